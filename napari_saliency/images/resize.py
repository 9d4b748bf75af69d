"""Which part of a picture a model sees, and how it is brought to the model's size; numpy and Pillow only.

Laws
----
Pictures of whole numbers 0 to 255 are resized by Pillow in 8 bits, so that results are those of
``Image.resize`` with ``BILINEAR``, as training pipelines use it; all others in float32. The planes of a
volume are resized as pictures are, and then along z by the same filter, in float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_saliency.core.placement import Placement, Region, sized
from napari_saliency.images.intensity import IntensityRange, Pixels, Range, bands

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.info import InputSpec

Shape = tuple[int, ...]

MOST_PIXELS = 2**21
"""Given to models that take any size, unless a size is said: 1448×1448, or 128×128×128."""

_GAP = 4.0  # Pillow first averages whole blocks, but never below 4 times the size that is wanted
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as in Pillow's "L"


@dataclass(frozen=True)
class Frame:
    """A box of the picture is resized to ``content`` and put at ``corner`` of a black ``size``.

    Attributes
    ----------
    starts, stops : tuple of int
        The box, along each axis of space.
    content, size, corner : tuple of int
        As above.
    description : str
        The same for people, to be said after the picture's size.
    """

    starts: Shape
    stops: Shape
    content: Shape
    size: Shape
    corner: Shape
    description: str

    @property
    def placement(self) -> Placement:
        """Where the pixels of ``size`` lie in the picture."""
        before, after = [], []
        sides = zip(self.starts, self.stops, self.content, self.size, self.corner, strict=True)
        for start, stop, content, size, corner in sides:
            scale = (stop - start) / content
            before.append(start - corner * scale)
            after.append(stop + (size - content - corner) * scale)
        return Placement.of_box((*before, *after), self.size)

    @property
    def inner(self) -> tuple[slice, ...]:
        """The part of ``size`` that the picture fills."""
        return tuple(slice(c, c + n) for c, n in zip(self.corner, self.content, strict=True))

    @property
    def picture(self) -> Region | None:
        """The same as a region; None where the picture fills all."""
        if self.content == self.size:
            return None
        mask = np.zeros(self.size, bool)
        mask[self.inner] = True
        return Region(self.size, np.packbits(mask).tobytes())


def framed(shape: Shape, spec: InputSpec) -> Frame:
    """Decide what a model sees of a picture of a shape (h, w) or (z, y, x)."""
    size, fit, description = _size(shape, spec), spec.fit, ""
    if not any(spec.shape) and spec.multiple == 1:  # a model of any size takes any aspect ratio
        description = "" if size == shape else f", scaled to {sized(size)}{_reason(shape, spec)}"
        return Frame((0,) * len(shape), shape, size, size, (0,) * len(shape), description)
    starts, stops, content = (0,) * len(shape), shape, size
    if fit == "crop":
        starts, stops = _centre_box(shape, size)
        description = (
            f", centre {sized(_extent(starts, stops))} cropped" if any(starts) or stops != shape else ""
        )
    elif fit == "pad":
        zoom = min(s / n for s, n in zip(size, shape, strict=True))
        content = tuple(max(1, round(n * zoom)) for n in shape)
    if content != _extent(starts, stops):
        uneven = fit == "stretch" and any(
            shape[0] * s != n * size[0] for n, s in zip(shape, size, strict=True)
        )
        description += f", {'stretched' if uneven else 'scaled'} to {sized(content)}"
    if content != size:
        description += f", black around it to {sized(size)}"
    corner = tuple((s - c) // 2 for s, c in zip(size, content, strict=True))
    return Frame(starts, stops, content, size, corner, description and description + _reason(shape, spec))


def _size(shape: Shape, spec: InputSpec) -> Shape:
    """The model's size; where it is free, the picture's own, within the limit, and cut to multiples."""
    shrink, step = min(1.0, (MOST_PIXELS / math.prod(shape)) ** (1 / len(shape))), spec.multiple
    return tuple(
        own or max(1, math.floor(n * shrink / step)) * step for own, n in zip(spec.shape, shape, strict=True)
    )


def _reason(shape: Shape, spec: InputSpec) -> str:
    """Why a model that takes any size does not get the picture as it is."""
    if any(spec.shape):
        return ""
    limit = f"limit: {MOST_PIXELS / 1e6:.1f} million pixels" if math.prod(shape) > MOST_PIXELS else ""
    multiples = f"sizes in multiples of {spec.multiple}" if spec.multiple > 1 else ""
    return f" ({', '.join(filter(None, (limit, multiples)))})"


def _extent(starts: Shape, stops: Shape) -> Shape:
    return tuple(stop - start for start, stop in zip(starts, stops, strict=True))


def _centre_box(shape: Shape, size: Shape) -> tuple[Shape, Shape]:
    """Starts and stops of the largest centred box of ``size``'s aspect ratio."""
    tight = min(range(len(shape)), key=lambda axis: shape[axis] / size[axis])
    sides = [min(n, max(1, round(shape[tight] * s / size[tight]))) for n, s in zip(shape, size, strict=True)]
    starts = tuple((n - side) // 2 for n, side in zip(shape, sides, strict=True))
    return starts, tuple(start + side for start, side in zip(starts, sides, strict=True))


def fitted(picture: Pixels, frame: Frame, intensity_range: IntensityRange, channels: int) -> Array:
    """Bring a picture (h, w, c) or volume (z, y, x, c) to the model's size and channels, values 0 to 255.

    Parameters
    ----------
    channels : int
        As many as the picture's, or 1 for RGB, or 3 for grey.
    """
    box = tuple(map(slice, frame.starts, frame.stops))
    to_grey = channels == 1 and picture.shape[-1] == 3
    resize = _resized if picture.ndim == 3 else _resized_volume
    result = np.zeros((*frame.size, channels), np.float32)
    result[frame.inner] = resize(picture[box], intensity_range, frame.content, to_grey)
    return result


def _resized_volume(volume: Pixels, intensity_range: IntensityRange, size: Shape, to_grey: bool) -> Array:
    """Resize plane by plane, antialiased along all axes, with no more than one of them in between."""
    shares = _shares(volume.shape[0], size[0])
    result = np.zeros((*size, 1 if to_grey else volume.shape[-1]), np.float32)
    for plane, share in zip(volume, shares.T, strict=True):
        reached = np.flatnonzero(share)
        if reached.size:
            small = _resized(plane, intensity_range, size[1:], to_grey)
            for target in reached:
                result[target] += share[target] * small
    return result


def _shares(fine: int, coarse: int) -> Array:
    """How much each of ``fine`` planes counts in each of ``coarse`` ones, (coarse, fine); Pillow's BILINEAR."""
    scale = fine / coarse
    centres = (np.arange(coarse) + 0.5) * scale
    distances = np.abs(np.arange(fine) + 0.5 - centres[:, None]) / max(1.0, scale)
    shares = np.maximum(1 - distances, 0)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _resized(picture: Pixels, intensity_range: IntensityRange, size: Shape, to_grey: bool) -> Array:
    height, width, channels = picture.shape
    keep = size == (height, width)
    scale = height / size[0]
    reach = 0.0 if keep else max(1.0, scale)  # of the filter, in rows of the picture
    result = np.empty((*size, 1 if to_grey else channels), np.float32)
    work = 1 if picture.itemsize == 1 else max(4, picture.itemsize)  # bytes of a value in between
    for rows in bands(size[0], width * channels * scale * work):
        start, stop = rows.start * scale, rows.stop * scale
        first, last = max(0, math.floor(start - reach)), min(height, math.ceil(stop + reach))
        band = intensity_range(picture[first:last])
        band = _grey(band) if to_grey else band
        span = (start - first, min(stop - first, last - first))
        result[rows] = band if keep else _resized_band(band, span, (rows.stop - rows.start, size[1]))
    return result


def _grey(band: Pixels) -> Pixels:
    if band.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(band)).convert("L"))[..., None]
    return np.asarray(band @ _LUMA)[..., None]


def _resized_band(band: Pixels, span: Range, size: Shape) -> Pixels:
    """Resize rows ``span`` of a band (h, w, c), antialiased."""
    box = (0, span[0], band.shape[1], span[1])
    height, width = size

    def resized(part: Pixels) -> Pixels:
        # Pillow would gather scattered values itself, one by one and holding the interpreter's lock.
        picture = Image.fromarray(np.ascontiguousarray(part))
        return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=_GAP))

    if band.dtype == np.uint8 and band.shape[2] == 3 and band.strides[1:] == (3, 1):
        return resized(band)
    return np.stack([resized(band[..., c]) for c in range(band.shape[2])], axis=-1)
