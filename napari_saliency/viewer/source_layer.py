"""What of an image layer is the picture to explain: the visible plane or volume, its colours, its pixels.

A map is later laid over the same `Plane`, so everything about where a picture lies in its layer is
here and in `_napari_maps`.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from PIL import Image as Pillow

from napari_saliency.images.prepare import display_range, load_image
from napari_saliency.session.state import SourceImage
from napari_saliency.viewer.layer_record import is_generated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import Dims

    from napari_saliency.core.placement import Drawn

Pixels = np.ndarray[Any, np.dtype[Any]]

FINE_ENOUGH = 1024
"""Of a multiscale layer the coarsest level is read whose sides are at least this long."""

VOXELS_ENOUGH = 256**3
"""The same of volumes, in voxels: one axis may be much shorter than the others."""

_READ_WHOLE = 4 * 2**20  # bytes of a plane that are compared to notice that somebody painted on it
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Plane:
    """The part of a layer that is one picture, or one volume.

    Attributes
    ----------
    axes : tuple of int
        Axes of the layer's data that are the picture's rows and columns; of a volume its z, y and x.
    steps : tuple of (int, int)
        The other axes, and the index along each; the axis of colours is none of them.
    level : int
        Of a multiscale layer.
    colours : int or None
        The axis of colours, where napari takes it for an axis of space.
    """

    axes: tuple[int, ...]
    steps: tuple[tuple[int, int], ...] = ()
    level: int = 0
    colours: int | None = None


@dataclass(frozen=True)
class Reading:
    """How a layer is understood.

    Attributes
    ----------
    description : str
        A sentence, where napari and the model would see different pictures; else empty.
    remedy : str
        What can be done about it, as on a button.
    corrected : callable, optional
        Does it: returns pixels to be shown in place of the layer's. Slow.
    """

    description: str = ""
    remedy: str = ""
    corrected: Callable[[], Pixels] | None = None


def is_picture(layer: object) -> bool:
    """Return whether a layer can be explained: an image that does not show an explanation itself."""
    return isinstance(layer, Image) and not is_generated(layer)


def visible_plane(layer: Image, dims: Dims, space: int = 2) -> Plane:
    """Find the plane that the viewer shows; in 3-D, the one that its sliders point at.

    Parameters
    ----------
    space : int
        Axes that the model sees. With 3 the volume is found that the viewer shows all or a plane of: the
        layer's last three axes, whichever way they are turned on the screen.

    Raises
    ------
    ValueError
        If there is nothing to see; the message is for the user.
    """
    name, shape = layer.name, layer.level_shapes[0]
    if not math.prod(shape):
        raise ValueError(f"“{name}” is empty.")
    if np.dtype(layer.dtype).kind not in "biuf":
        raise ValueError(
            f"“{name}” holds values of type {layer.dtype}: give a picture of bool, int or float."
        )
    axes, colours = _picture_axes(layer, dims) if space == 2 else _volume_axes(layer)
    point = np.round(layer.world_to_data(dims.point)).astype(int)
    others = [axis for axis in range(layer.ndim) if axis not in (*axes, colours)]
    if any(not 0 <= point[axis] < shape[axis] for axis in others):
        raise ValueError(f"“{name}” has nothing at this position of the slider.")
    steps = tuple((axis, int(point[axis])) for axis in others)
    return Plane(axes, steps, _level(layer, axes), colours)


def picture(layer: Image, plane: Plane, version: int, region: Drawn | None = None) -> SourceImage:
    """Describe a plane so that it can be read later, in another thread; equal keys mean equal pixels.

    Parameters
    ----------
    version : int
        How often the layer's data were replaced.
    """
    pixels = _pixels(layer, plane)
    # Contrast limits change what bytes look like, but not what they mean.
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


def read_otherwise(layer: Image) -> Reading:
    """Compare a layer with the file it came from; napari's reader does not always see what is in it.

    Opens the file's header: call it outside of the window's thread.
    """
    for reading in _readings(layer):
        return reading
    return Reading()


def _readings(layer: Image) -> Iterator[Reading]:
    shape = layer.level_shapes[0]
    path = Path(layer.source.path) if layer.source.path else None
    colours = _hidden_colours(layer)
    if colours is not None:
        size = "×".join(map(str, shape))
        again = (
            (lambda: load_image(path))
            if path and len(shape) == 3
            else (lambda: _as_colour(np.asarray(layer.data)))
        )
        planes = shape[-3]
        yield Reading(
            f"{size} is taken as a picture in colour; napari shows it as {planes} planes.",
            "Show in colour",
            again,
        )
    elif not layer.rgb and not layer.multiscale and len(shape) == 3 and shape[0] == 3 < min(shape[1:]):
        yield Reading(
            "Three planes: each is a picture of its own.",
            "Show as red, green, blue",
            lambda: np.moveaxis(np.asarray(layer.data), 0, -1),
        )
    if path is not None and len(shape) == 2 and path.is_file():
        yield from _file_readings(path)


def _file_readings(path: Path) -> Iterator[Reading]:
    try:
        with Pillow.open(path) as file:
            turned, mode = file.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1), file.mode
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return  # not a file of Pillow's: napari knew how to read it, so there is nothing to add
    if mode == "CMYK":
        yield Reading(
            "A photo in CMYK; napari shows its inks as if they were light.",
            "Show true colours",
            lambda: load_image(path),
        )
    elif turned:
        yield Reading(
            "The camera was turned; the photo is taken as napari shows it.",
            "Turn upright",
            lambda: load_image(path),
        )


def _as_colour(data: Pixels) -> Pixels:
    """Make RGB or RGBA of an array whose last axis is colours, grey with alpha too."""
    return data[..., [0, 0, 0, 1]] if data.shape[-1] == 2 else data


def _hidden_colours(layer: Image) -> int | None:
    """Return the last axis if it is one of colours though napari takes it for space."""
    shape = layer.level_shapes[0]
    small = not layer.rgb and not layer.multiscale and len(shape) > 2 and shape[-1] in (2, 3, 4)
    return len(shape) - 1 if small and min(shape[-3:-1]) > shape[-1] else None


def _picture_axes(layer: Image, dims: Dims) -> tuple[tuple[int, ...], int | None]:
    colours = _hidden_colours(layer)
    if colours is not None:
        return (colours - 2, colours - 1), colours
    offset = dims.ndim - layer.ndim  # napari lines up the last axes of all layers
    rows, columns = [axis - offset for axis in dims.order if axis >= offset][-2:]
    return (rows, columns), None


def _volume_axes(layer: Image) -> tuple[tuple[int, ...], int | None]:
    colours = _hidden_colours(layer)
    last = layer.ndim if colours is None else colours
    if last < 3:
        raise ValueError(f"“{layer.name}” is flat, and the model takes volumes: choose a stack of planes.")
    return (last - 3, last - 2, last - 1), colours


def _level(layer: Image, axes: tuple[int, ...]) -> int:
    if not layer.multiscale:
        return 0
    levels = enumerate([shape[axis] for axis in axes] for shape in layer.level_shapes)
    return max((n for n, sides in levels if _is_fine(sides)), default=0)


def _is_fine(sides: list[int]) -> bool:
    return min(sides) >= FINE_ENOUGH if len(sides) == 2 else math.prod(sides) >= VOXELS_ENOUGH


def _pixels(layer: Image, plane: Plane) -> Callable[[], Any]:
    """Return what cuts the plane out of the layer's data as they are now; lazy data stay lazy."""
    data = layer.data[plane.level] if layer.multiscale else layer.data
    factor = layer.downsample_factors[plane.level] if layer.multiscale else None
    index: list[Any] = [slice(None)] * data.ndim
    for axis, step in plane.steps:
        index[axis] = min(int(step / factor[axis]), data.shape[axis] - 1) if factor is not None else step
    turned = plane.axes[-2] > plane.axes[-1]  # of a plane; volumes are never turned

    def cut() -> Any:  # noqa: ANN401 - whatever array the layer holds
        result = data[tuple(index)]
        return result.swapaxes(0, 1) if turned else result

    return cut


def _content(layer: Image, plane: Plane, pixels: Callable[[], Any]) -> int:
    """Fingerprint a plane or volume that may be painted on; of large ones, of some of the pixels."""
    if layer.multiscale or not isinstance(layer.data, np.ndarray):
        return 0
    result = pixels()
    axes = len(plane.axes)
    thin = max(1, math.ceil((result.nbytes / _READ_WHOLE) ** (1 / axes)))
    return zlib.crc32(np.ascontiguousarray(result[(slice(None, None, thin),) * axes]).data)
