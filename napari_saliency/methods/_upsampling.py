"""Bringing the map of a coarse layer to the size of the picture, where a method multiplies the two."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_saliency._types import Array


def upsampled(maps: Array, space: tuple[int, ...]) -> Array:
    """Interpolate linearly between the centres of a map's places; beyond the outermost it stays as it is there.

    Both cover the same: the centre of place ``i`` of ``n`` lies at ``(i + 0.5)·size/n − 0.5``, as a
    `Placement` says it too. Nothing is larger than in the map, or smaller: what is not negative stays so.

    Parameters
    ----------
    maps : (N, h, w) or (N, z, y, x) float32
        Any number of maps.
    space : tuple of int
        Size of the picture.

    Returns
    -------
    (N, *space) float32
    """
    for axis, (fine, coarse) in enumerate(zip(space, maps.shape[1:], strict=True), 1):
        maps = np.moveaxis(np.tensordot(_weights(fine, coarse), maps, (1, axis)), 0, axis)
    return maps


@cache
def _weights(fine: int, coarse: int) -> Array:
    """How much each of ``coarse`` places counts at each of ``fine`` ones, (fine, coarse) float32."""
    centres = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    rows = [np.interp(centres, np.arange(coarse), alone) for alone in np.eye(coarse)]
    return np.stack(rows, axis=1).astype(np.float32)
