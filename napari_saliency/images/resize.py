"""Cropping, padding and resizing of images to a model's input size; numpy and Pillow only.

Images of integers 0 to 255 are resized by Pillow in 8 bits, so that results equal those of ``Image.resize``
with ``BILINEAR``, which training pipelines use; all others in float32. The planes of a volume are resized
as images, and then along z by the same filter in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_saliency.core.placement import Placement, Region, format_size
from napari_saliency.images.intensity import IntensityRange, Pixels, Range, bands

if TYPE_CHECKING:
    from napari_saliency.core.preprocessing import InputSpec
    from napari_saliency.core.types import Array

Shape = tuple[int, ...]

MOST_PIXELS = 2**21
"""Limit for models that take any size, unless one is set: 1448×1448, or 128×128×128."""

_GAP = 4.0  # Pillow first averages whole blocks, down to no less than 4 times the wanted size: faster
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as in Pillow's "L"


@dataclass(frozen=True)
class Frame:
    """Crop, resize and pad: a box of the image is resized to ``content`` and put into a black ``size``.

    Attributes
    ----------
    starts, stops : tuple of int
        The box in the image, along each spatial axis.
    content : tuple of int
        Size of the resized box.
    size : tuple of int
        Size of the model input.
    corner : tuple of int
        Position of the resized box in the model input.
    description : str
        Phrase for the user, to follow the image's size.
    """

    starts: Shape
    stops: Shape
    content: Shape
    size: Shape
    corner: Shape
    description: str

    @property
    def placement(self) -> Placement:
        """Position of the model input's pixels in the image."""
        before, after = [], []
        sides = zip(self.starts, self.stops, self.content, self.size, self.corner, strict=True)
        for start, stop, content, size, corner in sides:
            scale = (stop - start) / content
            before.append(start - corner * scale)
            after.append(stop + (size - content - corner) * scale)
        return Placement.of_box((*before, *after), self.size)

    @property
    def inner(self) -> tuple[slice, ...]:
        """Slices of the model input that the image fills."""
        return tuple(slice(c, c + n) for c, n in zip(self.corner, self.content, strict=True))

    @property
    def picture(self) -> Region | None:
        """The part of the model input that shows the image; None if it is not padded."""
        if self.content == self.size:
            return None
        mask = np.zeros(self.size, bool)
        mask[self.inner] = True
        return Region(self.size, np.packbits(mask).tobytes())


def frame_image(shape: Shape, spec: InputSpec) -> Frame:
    """Decide how an image of shape (h, w) or (z, y, x) is cropped, resized and padded for a model."""
    size, fit, description = _input_size(shape, spec), spec.fit, ""
    if not any(spec.shape) and spec.multiple == 1:  # such a model takes any aspect ratio, too
        description = "" if size == shape else f", scaled to {format_size(size)}{_reason(shape, spec)}"
        return Frame((0,) * len(shape), shape, size, size, (0,) * len(shape), description)
    starts, stops, content = (0,) * len(shape), shape, size
    if fit == "crop":
        starts, stops = _centre_box(shape, size)
        description = (
            f", centre {format_size(_extent(starts, stops))} cropped" if any(starts) or stops != shape else ""
        )
    elif fit == "pad":
        zoom = min(s / n for s, n in zip(size, shape, strict=True))
        content = tuple(max(1, round(n * zoom)) for n in shape)
    if content != _extent(starts, stops):
        uneven = fit == "stretch" and any(
            shape[0] * s != n * size[0] for n, s in zip(shape, size, strict=True)
        )
        description += f", {'stretched' if uneven else 'scaled'} to {format_size(content)}"
    if content != size:
        description += f", black around it to {format_size(size)}"
    corner = tuple((s - c) // 2 for s, c in zip(size, content, strict=True))
    return Frame(starts, stops, content, size, corner, description and description + _reason(shape, spec))


def _input_size(shape: Shape, spec: InputSpec) -> Shape:
    """Return the input size; open sides keep the image's length, within the limit and down to a multiple."""
    shrink, step = min(1.0, (MOST_PIXELS / math.prod(shape)) ** (1 / len(shape))), spec.multiple
    return tuple(
        own or max(1, math.floor(n * shrink / step)) * step for own, n in zip(spec.shape, shape, strict=True)
    )


def _reason(shape: Shape, spec: InputSpec) -> str:
    """Explain why the image is downscaled for a model that takes any size."""
    if any(spec.shape):
        return ""
    limit = f"limit: {MOST_PIXELS / 1e6:.1f} million pixels" if math.prod(shape) > MOST_PIXELS else ""
    multiples = f"sizes in multiples of {spec.multiple}" if spec.multiple > 1 else ""
    return f" ({', '.join(filter(None, (limit, multiples)))})"


def _extent(starts: Shape, stops: Shape) -> Shape:
    return tuple(stop - start for start, stop in zip(starts, stops, strict=True))


def _centre_box(shape: Shape, size: Shape) -> tuple[Shape, Shape]:
    """Return starts and stops of the largest centred box with the aspect ratio of ``size``."""
    tight = min(range(len(shape)), key=lambda axis: shape[axis] / size[axis])
    sides = [min(n, max(1, round(shape[tight] * s / size[tight]))) for n, s in zip(shape, size, strict=True)]
    starts = tuple((n - side) // 2 for n, side in zip(shape, sides, strict=True))
    return starts, tuple(start + side for start, side in zip(starts, sides, strict=True))


def fit_image(picture: Pixels, frame: Frame, intensity_range: IntensityRange, channels: int) -> Array:
    """Convert an image (h, w, c) or volume (z, y, x, c) to the input size and channels, values 0 to 255.

    Parameters
    ----------
    channels : int
        The image's number of channels; or 1 for an RGB image, or 3 for a grey one.
    """
    box = tuple(map(slice, frame.starts, frame.stops))
    to_grey = channels == 1 and picture.shape[-1] == 3
    resize = _resize if picture.ndim == 3 else _resize_volume
    result = np.zeros((*frame.size, channels), np.float32)
    result[frame.inner] = resize(picture[box], intensity_range, frame.content, to_grey)
    return result


def _resize_volume(volume: Pixels, intensity_range: IntensityRange, size: Shape, to_grey: bool) -> Array:
    """Resize plane by plane, antialiased along all axes; only one resized plane is in memory besides the result."""
    shares = _filter_weights(volume.shape[0], size[0])
    result = np.zeros((*size, 1 if to_grey else volume.shape[-1]), np.float32)
    for plane, share in zip(volume, shares.T, strict=True):
        reached = np.flatnonzero(share)
        if reached.size:
            small = _resize(plane, intensity_range, size[1:], to_grey)
            for target in reached:
                result[target] += share[target] * small
    return result


def _filter_weights(fine: int, coarse: int) -> Array:
    """Return the weights of ``fine`` planes in each of ``coarse`` ones, (coarse, fine); Pillow's BILINEAR filter."""
    scale = fine / coarse
    centres = (np.arange(coarse) + 0.5) * scale
    distances = np.abs(np.arange(fine) + 0.5 - centres[:, None]) / max(1.0, scale)
    shares = np.maximum(1 - distances, 0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _resize(picture: Pixels, intensity_range: IntensityRange, size: Shape, to_grey: bool) -> Array:
    height, width, channels = picture.shape
    keep = size == (height, width)
    scale = height / size[0]
    reach = 0.0 if keep else max(1.0, scale)  # of the filter, in rows of the image
    result = np.empty((*size, 1 if to_grey else channels), np.float32)
    work = 1 if picture.itemsize == 1 else max(4, picture.itemsize)  # bytes per value while converting
    for rows in bands(size[0], width * channels * scale * work):
        start, stop = rows.start * scale, rows.stop * scale
        first, last = max(0, math.floor(start - reach)), min(height, math.ceil(stop + reach))
        band = intensity_range(picture[first:last])
        band = _to_grey(band) if to_grey else band
        span = (start - first, min(stop - first, last - first))
        result[rows] = band if keep else _resize_band(band, span, (rows.stop - rows.start, size[1]))
    return result


def _to_grey(band: Pixels) -> Pixels:
    if band.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(band)).convert("L"))[..., None]
    return np.asarray(band @ _LUMA)[..., None]


def _resize_band(band: Pixels, span: Range, size: Shape) -> Pixels:
    """Resize rows ``span`` of a band (h, w, c), antialiased."""
    box = (0, span[0], band.shape[1], span[1])
    height, width = size

    def resize(part: Pixels) -> Pixels:
        # Without this, Pillow would gather strided values one by one, holding the interpreter's lock.
        picture = Image.fromarray(np.ascontiguousarray(part))
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=_GAP))

    if band.dtype == np.uint8 and band.shape[2] == 3 and band.strides[1:] == (3, 1):
        return resize(band)
    return np.stack([resize(band[..., c]) for c in range(band.shape[2])], axis=-1)
