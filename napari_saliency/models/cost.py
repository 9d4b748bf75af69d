"""The cost of an image for a network, and the check that memory suffices for it.

The check comes before the run, as a process that runs out of memory dies. The work of a pixel settles how many images
share a call (`ModelInfo.together`), its memory what `check_memory` refuses. The share of all computed bytes that is
held at once is measured once for each framework: `HELD` in its folder.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import psutil

from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import format_size

if TYPE_CHECKING:
    from napari_saliency.models.info import ModelInfo

ENOUGH = 32
"""Sizes that are proposed are multiples of it: what networks halve five times then still fits."""


class ModelCost(NamedTuple):
    """Multiplications and bytes for each pixel of a picture, and what its free sizes must be multiples of."""

    work: float = 0
    memory: float = 0
    multiple: int = 1

    @classmethod
    def of(cls, work: float, memory: float, space: tuple[int | None, ...], multiple: int = 1) -> ModelCost:
        """Share what a picture costs among its pixels."""
        pixels = math.prod(size or 1 for size in space)
        return cls(work / pixels, memory / pixels, multiple)


def check_memory(info: ModelInfo, shape: tuple[int, ...]) -> None:
    """Compare what a gradient needs with what there is.

    Parameters
    ----------
    shape : (N, *space, C)
        Of what the model is given.

    Raises
    ------
    ModelError
        If that is less.
    """
    needed, there = info.memory * math.prod(shape[:-1]), psutil.virtual_memory().available
    if needed <= there:
        return
    space = shape[1:-1]
    if all(info.input.shape):
        remedy = "close other programs"
    else:
        smaller = (there / needed) ** (1 / len(space))
        size = tuple(max(ENOUGH, int(n * smaller) // ENOUGH * ENOUGH) for n in space)
        remedy = f"give a smaller picture or a part of it, or open the model with size={size}"
    raise ModelError(
        f"{info.name} needs about {needed / 1e9:.1f} GB of memory for {format_size(space)} pixels, and "
        f"{there / 1e9:.1f} GB are free: {remedy}"
    )
