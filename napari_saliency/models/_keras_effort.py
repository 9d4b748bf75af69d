"""What pictures cost a Keras network, and which sizes it takes where it leaves them open."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf

from napari_saliency._types import ModelError
from napari_saliency.models._base import first_line

if TYPE_CHECKING:
    from napari_saliency._types import Array
    from napari_saliency.models._keras_graph import Graph

HELD = 0.4
"""Of all that is computed, what a gradient holds at once: measured .20 to .37 on six networks."""

MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Networks that halve a picture and join the halves again take multiples of these alone."""

SIDES = {2: 96, 3: 32}
"""Multiples of all of them, as small as networks take; by the number of axes."""


class Effort(NamedTuple):
    """Multiplications and bytes for each pixel of a picture, and what its free sizes must be multiples of."""

    work: float = 0
    memory: float = 0
    multiple: int = 1


def find_effort(graph: Graph, shape: tuple[int | None, ...]) -> Effort:
    """Find out what a network's pictures of a shape (*size, C) cost; where sizes are free, on small ones.

    Nothing is known of a network that takes none of these.
    """
    if None not in shape:
        return _of_pixels(graph.costs(), shape, 1)
    for multiple in MULTIPLES:
        tried = tuple(size or SIDES[len(shape) - 1] + multiple for size in shape)
        try:
            return _of_pixels(graph.costs(np.zeros((1, *tried), np.float32)), tried, multiple)
        except tf.errors.OpError:
            continue
    return Effort()


def _of_pixels(costs: tuple[int, int], shape: tuple[int | None, ...], multiple: int) -> Effort:
    pixels = math.prod(size or 1 for size in shape[:-1])
    return Effort(costs[0] / pixels, HELD * costs[1] / pixels, multiple)


@contextmanager
def told(x: Array, shape: tuple[int | None, ...]) -> Iterator[None]:
    """Say in a sentence why a network of a shape could not be run on pictures (N, *size, C)."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise ModelError(
            f"memory does not suffice for pictures of shape {x.shape[1:]}: give smaller ones"
        ) from error
    except tf.errors.OpError as error:
        hint = "; networks that take any size often want multiples of 32: say one, as size=(256, 384)"
        raise ModelError(
            f"the model could not be run on pictures of shape {x.shape[1:]}: "
            f"{first_line(error)}{hint if None in shape else ''}"
        ) from error
