"""Which sizes a network takes where it leaves them open, found out on small pictures; for every framework."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import sized
from napari_saliency.models.error_messages import is_too_small, reason
from napari_saliency.models.settings import SettingError

if TYPE_CHECKING:
    from napari_saliency.core.types import Array

Shape = tuple[int | None, ...]

MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Networks that halve a picture and join the halves again take multiples of these alone."""

SIDES = {2: 96, 3: 32}
"""Multiples of all of them, as small as networks take; by the number of axes."""

MORE = {2: (32, 64), 3: (32, 32, 0)}
"""What is added for a second look: pictures that are not square, and that a network halves to another size."""

HINT = "; networks that take any size often want multiples of 32: say one, in Settings or as size=(256, 384)"
LARGER = ": give a larger one, or say which size it was trained on, in Settings or as size=(256, 384)"


class NotRunError(ModelError):
    """A network could not be run on a picture."""

    hint = HINT
    """What may help, if the network takes any size."""


class TooSmallError(NotRunError):
    """Nothing is left of a picture before the network's end."""

    hint = LARGER


def not_run(shape: tuple[int, ...], error: BaseException) -> NotRunError:
    """Say in a sentence why a framework could not run a network on a picture of a shape (*size, C)."""
    *space, _ = shape
    if is_too_small(error):
        kind = "picture of {} pixels" if len(space) == 2 else "volume of {} voxels"
        return TooSmallError(f"a {kind.format(sized(space))} is too small for this model")
    return NotRunError(f"the model could not be run on pictures of shape {tuple(shape)}: {reason(error)}")


class ModelCost(NamedTuple):
    """Multiplications and bytes for each pixel of a picture, and what its free sizes must be multiples of."""

    work: float = 0
    memory: float = 0
    multiple: int = 1

    @classmethod
    def of(cls, work: float, memory: float, space: Shape, multiple: int = 1) -> ModelCost:
        """Share what a picture costs among its pixels."""
        pixels = math.prod(size or 1 for size in space)
        return cls(work / pixels, memory / pixels, multiple)


class Trial(NamedTuple):
    """A multiple, and a shape (*size, C) of pictures that shows whether it is the one."""

    multiple: int
    shape: tuple[int, ...]


class Place(NamedTuple):
    """What pictures a network takes.

    Attributes
    ----------
    shape : (height, width, channels), or (z, y, x, channels)
        None for a size that is free.
    tried : tuple of int
        One such shape that it is known to take.
    multiple : int
        Of which free sizes are multiples.
    known : bool
        Whether the network or the user says so; otherwise it is a guess.
    """

    shape: Shape
    tried: tuple[int, ...]
    multiple: int = 1
    known: bool = False


def trials(shape: Shape) -> Iterator[Trial]:
    """Small pictures of a shape (*size, C) whose free sizes are None, one for each multiple."""
    for multiple in MULTIPLES:
        yield Trial(multiple, tuple(size or SIDES[len(shape) - 1] + multiple for size in shape))


def find_free(run: Callable[[Array], object], channels: int, axes: int) -> Place | None:
    """Find what a network that does not say whether it takes any size wants multiples of.

    Parameters
    ----------
    run : callable
        Runs it on (1, *size, C) float32; raises ModelError if it does not take them.
    axes : int
        2 of pictures, 3 of volumes.

    Returns
    -------
    Place or None
        None if it takes no such sizes, as networks do that are made for one alone.
    """
    shape = *[None] * axes, channels
    for trial in trials(shape):
        more = (*MORE[axes], 0)
        larger = tuple(size + each for size, each in zip(trial.shape, more, strict=True))
        try:
            for each in (trial.shape, larger):
                run(np.zeros((1, *each), np.float32))
        except SettingError:  # another size would not help
            raise
        except ModelError:
            continue
        return Place(shape, trial.shape, trial.multiple)
    return None


@contextmanager
def hinting(shape: Shape) -> Iterator[None]:
    """Say what may help where a network of a free size could not be run on a picture."""
    try:
        yield
    except NotRunError as error:
        raise ModelError(f"{error}{error.hint if None in shape else ''}") from error
