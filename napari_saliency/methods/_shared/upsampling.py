"""Bringing a coarse map, or mask, to the size of the picture."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_saliency.core.types import Array

Indices = npt.NDArray[np.intp]


def upsampled(maps: Array, space: tuple[int, ...]) -> Array:
    """Interpolate linearly between the centres of a map's places; beyond the outermost it stays as it is there.

    Both cover the same: the centre of place ``i`` of ``n`` lies at ``(i + 0.5)·size/n − 0.5``, as a
    `Placement` says it too. Nothing is larger than in the map, or smaller: what is not negative stays so.

    Parameters
    ----------
    maps : (N, w), (N, h, w) or (N, z, y, x) float32
        Any number of maps.
    space : tuple of int
        Size of the picture.

    Returns
    -------
    (N, *space) float32
    """
    for axis, (fine, coarse) in enumerate(zip(space, maps.shape[1:], strict=True), 1):
        first, share = _places(fine, coarse)
        share = share.reshape(-1, *[1] * (maps.ndim - axis - 1))
        before, after = maps.take(first, axis), maps.take(np.minimum(first + 1, coarse - 1), axis)
        maps = before + share * (after - before)
    return maps


@cache
def _places(fine: int, coarse: int) -> tuple[Indices, Array]:
    """Of ``coarse`` places the one before each of ``fine`` ones, and how far on to the next it lies, from 0 to 1."""
    centres = np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)
    first = np.floor(centres).astype(np.intp)
    return first, (centres - first).astype(np.float32)
