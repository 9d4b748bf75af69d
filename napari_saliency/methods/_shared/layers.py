"""Maps of a layer: which layer, what must be read with its map, and bringing it to the picture's size."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt

from napari_saliency.core.errors import ModelError
from napari_saliency.methods.options import LayerChoice

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.base import Model

Layer = Annotated[
    str, LayerChoice(), {"tooltip": "The layer to look at; empty for the model's last one with space."}
]

NOWHERE = "No place of this layer raises the score: the map is zero everywhere."
ONE_PLACE = (
    "This layer has a single place for a picture of this size, so its map does not say where: "
    "choose an earlier layer."
)


def usual_layer(model: Model) -> str:
    """Return the layer that is looked at unless another one is asked for.

    Raises
    ------
    ModelError
        If no layer has space.
    """
    if not model.info.cam_layer:
        before = f" before {model.info.viewed_layer}" if model.info.viewed_layer else ""
        raise ModelError(
            f"{model.info.name} has no layer{before} whose output has space, so there is no class activation map"
        )
    return model.info.cam_layer


def notes_on(maps: Array) -> list[tuple[str, ...]]:
    """Return for each of N maps (N, *space) the sentences that must be read with it."""
    single = (ONE_PLACE,) if math.prod(maps.shape[1:]) == 1 else ()
    return [single if result.any() else (NOWHERE, *single) for result in maps]


def upsampled(maps: Array, space: tuple[int, ...]) -> Array:
    """Interpolate a map, or a mask, linearly between its places' centres; beyond the outermost it is constant.

    Map and picture cover the same: the centre of place ``i`` of ``n`` lies at ``(i + 0.5)·size/n − 0.5``, as in a
    `Placement`. No value is larger or smaller than in the map: what is not negative stays so.

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
        first, share = _places(fine, coarse)  # linear in each axis alone, so one after the other
        share = share.reshape(-1, *[1] * (maps.ndim - axis - 1))
        before, after = maps.take(first, axis), maps.take(np.minimum(first + 1, coarse - 1), axis)
        maps = before + share * (after - before)
    return maps


@cache
def _places(fine: int, coarse: int) -> tuple[npt.NDArray[np.intp], Array]:
    """Return for each of ``fine`` places the one of ``coarse`` before it, and the share of the way to the next."""
    centres = np.clip((np.arange(fine) + 0.5) * coarse / fine - 0.5, 0, coarse - 1)
    first = np.floor(centres).astype(np.intp)
    return first, (centres - first).astype(np.float32)
