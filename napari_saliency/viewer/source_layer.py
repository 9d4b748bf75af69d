"""The picture to explain in an image layer: the visible plane or volume, its colours, its pixels.

A map is later laid over the same `Plane`, so everything about where a picture lies in its layer is
here and in `map_layers`.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_saliency.images.prepare import display_range
from napari_saliency.session.state import SourceImage
from napari_saliency.viewer.layer_record import is_generated

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import Dims

    from napari_saliency.core.placement import Drawn

Pixels = np.ndarray[Any, np.dtype[Any]]

FINE_ENOUGH = 1024
"""Least side, in pixels, of the level that is read of a multiscale layer: the coarsest such level."""

VOXELS_ENOUGH = 256**3
"""The same for volumes, in voxels, because one axis may be much shorter than the others."""

_READ_WHOLE = 4 * 2**20  # bytes of a plane that are compared to notice that somebody painted on it


@dataclass(frozen=True)
class Plane:
    """The part of a layer that is one picture or one volume.

    Attributes
    ----------
    axes : tuple of int
        Axes of the layer's data that are the picture's rows and columns, or the z, y and x of a volume.
    steps : tuple of (int, int)
        The other axes and the index along each, without the axis of colours.
    level : int
        Level of a multiscale layer.
    colours : int or None
        The axis of colours, if napari takes it for a spatial axis.
    """

    axes: tuple[int, ...]
    steps: tuple[tuple[int, int], ...] = ()
    level: int = 0
    colours: int | None = None


def is_picture(layer: object) -> bool:
    """Return whether a layer can be explained: an image that does not show an explanation itself."""
    return isinstance(layer, Image) and not is_generated(layer)


def visible_plane(layer: Image, dims: Dims, space: int = 2) -> Plane:
    """Return the plane that the viewer shows; in 3-D, the one at the position of its sliders.

    Parameters
    ----------
    space : int
        Number of spatial axes of the model's input. With 3, return the volume of which the viewer shows all or one
        plane: the last three axes of the layer, in whatever order the viewer displays them.

    Raises
    ------
    ValueError
        If there is nothing to see; the message is for the user.
    """
    name, shape = layer.name, layer.level_shapes[0]
    if not math.prod(shape):
        raise ValueError(f"“{name}” is empty: choose another layer.")
    if np.dtype(layer.dtype).kind not in "biuf":
        raise ValueError(
            f"“{name}” has values of type {layer.dtype}: convert them to bool, int or float to explain them."
        )
    axes, colours = _picture_axes(layer, dims) if space == 2 else _volume_axes(layer)
    point = np.round(layer.world_to_data(dims.point)).astype(int)
    others = [axis for axis in range(layer.ndim) if axis not in (*axes, colours)]
    if any(not 0 <= point[axis] < shape[axis] for axis in others):
        raise ValueError(f"“{name}” has no plane at this slider position: move the slider back.")
    steps = tuple((axis, int(point[axis])) for axis in others)
    return Plane(axes, steps, _level(layer, axes), colours)


def picture(layer: Image, plane: Plane, version: int, region: Drawn | None = None) -> SourceImage:
    """Describe a plane so that another thread can read it later; equal keys mean equal pixels.

    Parameters
    ----------
    version : int
        Number of times that the layer's data were replaced.
    """
    pixels = _pixels(layer, plane)
    # Contrast limits change how bytes look but not what they mean.
    limits = (0.0, 0.0) if layer.dtype in (bool, np.uint8) else tuple(map(float, layer.contrast_limits))

    def read() -> tuple[Pixels, tuple[float, float] | None]:
        image = np.asarray(pixels())
        return image, display_range(image, (limits[0], limits[1]))

    key = (layer.unique_id, plane, limits, version, _content(layer, plane, pixels), region and region.key)
    where = ", ".join(f"{layer.axis_labels[axis]} {index}" for axis, index in plane.steps)
    name = f"{layer.name} ({where})" if where else layer.name
    return SourceImage(key, name, read, region.contains if region else None)


def owner(key: object) -> tuple[object, Plane] | None:
    """Return the layer's ``unique_id`` and the plane that a picture's key stands for."""
    if isinstance(key, tuple) and len(key) == 6 and isinstance(key[1], Plane):
        return key[0], key[1]
    return None


def hidden_colours(layer: Image) -> int | None:
    """Return the last axis if it holds colours although napari takes it for a spatial axis."""
    shape = layer.level_shapes[0]
    small = not layer.rgb and not layer.multiscale and len(shape) > 2 and shape[-1] in (2, 3, 4)
    return len(shape) - 1 if small and min(shape[-3:-1]) > shape[-1] else None


def _picture_axes(layer: Image, dims: Dims) -> tuple[tuple[int, ...], int | None]:
    colours = hidden_colours(layer)
    if colours is not None:
        return (colours - 2, colours - 1), colours
    offset = dims.ndim - layer.ndim  # napari lines up the last axes of all layers
    rows, columns = [axis - offset for axis in dims.order if axis >= offset][-2:]
    return (rows, columns), None


def _volume_axes(layer: Image) -> tuple[tuple[int, ...], int | None]:
    colours = hidden_colours(layer)
    last = layer.ndim if colours is None else colours
    if last < 3:
        raise ValueError(f"“{layer.name}” is 2-D and the model takes volumes: choose a stack of planes.")
    return (last - 3, last - 2, last - 1), colours


def _level(layer: Image, axes: tuple[int, ...]) -> int:
    if not layer.multiscale:
        return 0
    levels = enumerate([shape[axis] for axis in axes] for shape in layer.level_shapes)
    return max((n for n, sides in levels if _is_fine(sides)), default=0)


def _is_fine(sides: list[int]) -> bool:
    return min(sides) >= FINE_ENOUGH if len(sides) == 2 else math.prod(sides) >= VOXELS_ENOUGH


def _pixels(layer: Image, plane: Plane) -> Callable[[], Any]:
    """Return a callable that cuts the plane out of the layer's present data; lazy data stay lazy."""
    data = layer.data[plane.level] if layer.multiscale else layer.data
    factor = layer.downsample_factors[plane.level] if layer.multiscale else None
    index: list[Any] = [slice(None)] * data.ndim
    for axis, step in plane.steps:
        index[axis] = min(int(step / factor[axis]), data.shape[axis] - 1) if factor is not None else step
    turned = plane.axes[-2] > plane.axes[-1]  # planes alone: volumes are never turned

    def cut() -> Any:  # noqa: ANN401 - whatever array the layer holds
        result = data[tuple(index)]
        return result.swapaxes(0, 1) if turned else result

    return cut


def _content(layer: Image, plane: Plane, pixels: Callable[[], Any]) -> int:
    """Return a checksum of a plane or volume that may be painted on; for large ones, of a grid of their pixels."""
    if layer.multiscale or not isinstance(layer.data, np.ndarray):
        return 0
    result = pixels()
    axes = len(plane.axes)
    thin = max(1, math.ceil((result.nbytes / _READ_WHOLE) ** (1 / axes)))
    return zlib.crc32(np.ascontiguousarray(result[(slice(None, None, thin),) * axes]).data)
