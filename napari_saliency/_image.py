"""Any picture → what a model takes, and where that lies in the picture; numpy and Pillow only.

Laws
----
Large pictures are cut first and then read in bands of rows. Memory stays small, and no call holds
the interpreter's lock for long: all of this runs in a thread beside the window.

Pictures of whole numbers 0 to 255 are resized by Pillow in 8 bits, so that results are those of
``Image.resize`` with ``BILINEAR``, as training pipelines use it; all others in float32.
"""

from __future__ import annotations

import math
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from napari_saliency._levels import Extent, Levels, Pixels, Range, bands, display_range, find_levels
from napari_saliency._placement import Placement, Region

if TYPE_CHECKING:
    from napari_saliency._types import Array
    from napari_saliency.models._base import InputSpec

__all__ = [
    "LONGEST",
    "AnyImage",
    "Pixels",
    "Prepared",
    "Range",
    "as_pixels",
    "display_range",
    "load_image",
    "prepare",
]

Size = tuple[int, int]

LONGEST = 1024
"""Longest side given to models that take any size."""

_GAP = 4.0  # Pillow first averages whole blocks, but never below 4 times the size that is wanted
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as in Pillow's "L"
_KINDS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}

# What Pillow's decoders raise for damaged files.
_DAMAGED: tuple[type[Exception], ...] = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError)
_DAMAGED += (ArithmeticError, RuntimeError, struct.error)


AnyImage = Pixels | str | Path | Image.Image
"""A picture as users have it."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a model takes it.

    Attributes
    ----------
    x : (H, W, C) float32
        Model input, preprocessed.
    placement : Placement
        Where the pixels of ``x`` lie in the picture.
    seen : (H, W, 3) uint8
        The same pixels before preprocessing, to look at.
    words : tuple of str
        How the picture was understood, in short sentences; the first is about its size.
    region : Region, optional
        The part of it that is looked at.
    """

    x: Array
    placement: Placement
    seen: np.ndarray[Any, np.dtype[np.uint8]]
    words: tuple[str, ...]
    region: Region | None = None


def prepare(image: Pixels, spec: InputSpec, value_range: Range | None = None) -> Prepared:
    """Bring a picture to what a model takes.

    Parameters
    ----------
    image : (h, w), (h, w, 1), (h, w, 2), (h, w, 3), (h, w, 4) or (h, w, C) array
        Grey, grey with alpha, RGB, RGBA, or as many channels as the model has; bool, whole
        numbers or floats.
    spec : InputSpec
        What the model takes.
    value_range : (float, float), optional
        What is black and what is white. Without it, whole numbers 0 to 255 and floats 0 to 1 or
        0 to 255 are taken as such, all others from their smallest to their largest value; floats
        for a model with preprocessing "none" are taken as they are, whatever they are.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        If the picture's shape, type or channels do not fit, or ``value_range`` is empty.

    Notes
    -----
    Alpha is ignored, as Keras' loaders do. NaN are black, infinite values black or white. A side
    that the model leaves open keeps its length; pictures longer than `LONGEST` are made smaller.
    """
    _check_preprocessing(spec)
    picture, colours = _coloured(image, spec.channels)
    height, width = picture.shape[:2]
    levels = find_levels(picture, value_range, spec.preprocessing.name == "none")
    frame = _framed((height, width), spec)
    fitted = _fitted(picture, frame, levels, spec.channels)
    channels = 1 if np.ndim(image) == 2 else np.shape(image)[-1]
    size = f"{width}×{height} {_KINDS.get(channels, f'{channels} channels')}{frame.words}"
    return Prepared(
        x=spec.preprocessing(fitted),
        placement=frame.placement,
        seen=_seen(fitted, levels),
        words=(size, *colours, *levels.words),
    )


def as_pixels(image: AnyImage) -> Pixels:
    """Take a picture as what it is: an array, the path of a file (see `load_image`), or Pillow's own."""
    if isinstance(image, (str, Path)):
        return load_image(image)
    if isinstance(image, Image.Image):
        return _pixels(ImageOps.exif_transpose(image))
    return np.asarray(image)


def load_image(path: str | Path) -> Pixels:
    """Read a picture file, turned as its EXIF orientation says.

    Parameters
    ----------
    path : str or Path
        Any format that Pillow reads; of animations the first frame.

    Returns
    -------
    (h, w), (h, w, 3) or (h, w, 4) array
        Grey, RGB or RGBA, uint8; uint16 for 16-bit grey; int32 or float32 for grey files of that
        type. Palettes and CMYK become RGB, or RGBA where they have transparency; grey with alpha
        becomes RGBA.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no picture, is damaged, or has more than 179 million pixels.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Large pictures are welcome, and oddities of their metadata do not matter here.
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                ImageOps.exif_transpose(picture, in_place=True)
                return _pixels(picture)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not a picture in a format that can be read") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than 179 million pixels: make it smaller first") from None
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{path} cannot be read as a picture: {reason}") from error


def _pixels(picture: Image.Image) -> Pixels:
    corner = _converted(picture.crop((0, 0, 1, 1)))
    pixels = np.empty((picture.height, picture.width, *corner.shape[2:]), corner.dtype)
    for rows in bands(picture.height, picture.width * 4):
        pixels[rows] = _converted(picture.crop((0, rows.start, picture.width, rows.stop)))
    if pixels.dtype == np.int32 and pixels.min() >= 0 and pixels.max() < 2**16:
        return pixels.astype(np.uint16)  # Pillow holds 16-bit files of some formats as int32
    return pixels


def _converted(picture: Image.Image) -> Pixels:
    mode = picture.mode
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode in ("L", "RGB", "RGBA", "I", "F"):
        return np.asarray(picture)
    if mode == "1":
        return np.asarray(picture.convert("L"))
    clear = mode.casefold() in ("la", "pa", "rgba") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if clear else "RGB"))


def _check_preprocessing(spec: InputSpec) -> None:
    by_channel = max(len(spec.preprocessing.mean), len(spec.preprocessing.std))
    wanted = 3 if spec.preprocessing.bgr else by_channel
    if wanted not in (1, spec.channels):
        name = spec.preprocessing.name
        raise ValueError(f"preprocessing {name!r} is for {wanted} channels, the model takes {spec.channels}")


def _coloured(image: Pixels, channels: int) -> tuple[Pixels, tuple[str, ...]]:
    """Return a view (h, w, c) whose channels `_fitted` can bring to those of the model."""
    picture = _checked(image)
    given = picture.shape[2]
    if given == channels:
        return picture, ()
    if channels not in (1, 3) or given > 4:
        allowed = "1 to 4" if channels in (1, 3) else str(channels)
        raise ValueError(
            f"a picture of shape {np.shape(image)} has {given} channels, but the model takes {allowed}: "
            "choose some, and put the channels last"
        )
    words: tuple[str, ...] = ()
    if given in (2, 4):
        picture, words = picture[..., :-1], _alpha_words(picture[..., -1])
    if picture.shape[2] == channels:
        return picture, words
    return picture, (*words, "colours taken as grey" if channels == 1 else "grey repeated for RGB")


def _checked(image: Pixels) -> Pixels:
    picture = np.asarray(image)
    if picture.dtype.kind not in "buif":
        raise ValueError(f"a picture of type {picture.dtype} cannot be explained: give bool, int or float")
    if picture.ndim not in (2, 3):
        raise ValueError(f"a picture is (h, w) or (h, w, channels), not {picture.shape}: give one plane")
    if not picture.size:
        raise ValueError(f"a picture of shape {picture.shape} is empty: give at least one pixel")
    return picture[..., None] if picture.ndim == 2 else picture


def _alpha_words(alpha: Pixels) -> tuple[str, ...]:
    parts = (alpha[rows] for rows in bands(alpha.shape[0], alpha[0].nbytes))
    return ("alpha ignored",) if any((part != alpha[0, 0]).any() for part in parts) else ()


@dataclass(frozen=True)
class _Frame:
    """A box of the picture is resized to ``content`` and put at ``corner`` of a black ``size``."""

    box: tuple[int, int, int, int]  # top, left, bottom, right
    content: Size
    size: Size
    corner: Size
    words: str

    @property
    def placement(self) -> Placement:
        top, left, bottom, right = self.box
        sy, sx = (bottom - top) / self.content[0], (right - left) / self.content[1]
        y, x = self.corner
        below, beside = self.size[0] - self.content[0] - y, self.size[1] - self.content[1] - x
        edges = (top - y * sy, left - x * sx, bottom + below * sy, right + beside * sx)
        return Placement.of_box(edges, self.size)


def _framed(shape: Size, spec: InputSpec) -> _Frame:
    shrink = min(1.0, LONGEST / max(shape))
    size = (spec.height or max(1, round(shape[0] * shrink)), spec.width or max(1, round(shape[1] * shrink)))
    # A model of any size takes any aspect ratio.
    fit = spec.fit if spec.height or spec.width else "keep"
    box, content, words = (0, 0, *shape), size, ""
    if fit == "crop":
        box = _centre_box(shape, size)
        words = f", centre {box[3] - box[1]}×{box[2] - box[0]} cropped" if box != (0, 0, *shape) else ""
    elif fit == "pad":
        zoom = min(size[0] / shape[0], size[1] / shape[1])
        content = (max(1, round(shape[0] * zoom)), max(1, round(shape[1] * zoom)))
    if content != (box[2] - box[0], box[3] - box[1]):
        uneven = fit == "stretch" and shape[0] * size[1] != shape[1] * size[0]
        words += f", {'stretched' if uneven else 'scaled'} to {content[1]}×{content[0]}"
    if content != size:
        words += f", black around it to {size[1]}×{size[0]}"
    return _Frame(box, content, size, ((size[0] - content[0]) // 2, (size[1] - content[1]) // 2), words)


def _centre_box(shape: Size, size: Size) -> tuple[int, int, int, int]:
    """Return the largest centred box of ``size``'s aspect ratio."""
    height = min(shape[0], max(1, round(shape[1] * size[0] / size[1])))
    width = min(shape[1], max(1, round(shape[0] * size[1] / size[0])))
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    return top, left, top + height, left + width


def _fitted(picture: Pixels, frame: _Frame, levels: Levels, channels: int) -> Array:
    top, left, bottom, right = frame.box
    to_grey = channels == 1 and picture.shape[2] == 3
    content = _resized(picture[top:bottom, left:right], levels, frame.content, to_grey)
    y, x = frame.corner
    fitted = np.zeros((*frame.size, channels), np.float32)
    fitted[y : y + frame.content[0], x : x + frame.content[1]] = content
    return fitted


def _resized(picture: Pixels, levels: Levels, size: Size, to_grey: bool) -> Array:
    height, width, channels = picture.shape
    keep = size == (height, width)
    scale = height / size[0]
    reach = 0.0 if keep else max(1.0, scale)  # of the filter, in rows of the picture
    result = np.empty((*size, 1 if to_grey else channels), np.float32)
    work = 1 if picture.itemsize == 1 else max(4, picture.itemsize)  # bytes of a value in between
    for rows in bands(size[0], width * channels * scale * work):
        start, stop = rows.start * scale, rows.stop * scale
        first, last = max(0, math.floor(start - reach)), min(height, math.ceil(stop + reach))
        band = levels(picture[first:last])
        band = _grey(band) if to_grey else band
        span = (start - first, min(stop - first, last - first))
        result[rows] = band if keep else _resized_band(band, span, (rows.stop - rows.start, size[1]))
    return result


def _grey(band: Pixels) -> Pixels:
    if band.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(band)).convert("L"))[..., None]
    return np.asarray(band @ _LUMA)[..., None]


def _resized_band(band: Pixels, span: Range, size: Size) -> Pixels:
    """Resize rows ``span`` of a band (h, w, c), antialiased."""
    box = (0, span[0], band.shape[1], span[1])

    def resized(part: Pixels) -> Pixels:
        # Pillow would gather scattered values itself, one by one and holding the interpreter's lock.
        picture = Image.fromarray(np.ascontiguousarray(part))
        return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR, box, reducing_gap=_GAP))

    if band.dtype == np.uint8 and band.shape[2] == 3 and band.strides[1:] == (3, 1):
        return resized(band)
    return np.stack([resized(band[..., c]) for c in range(band.shape[2])], axis=-1)


def _seen(fitted: Array, levels: Levels) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shown = fitted[..., :3] if fitted.shape[2] >= 3 else fitted[..., :1]
    if levels.untouched:  # these values may lie anywhere, and still there must be something to see
        low, high = Extent.of(fitted).natural
        shown = (shown - low) / ((high - low) or 1) * 255
    grey_or_rgb = np.clip(np.rint(shown), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(grey_or_rgb, (*fitted.shape[:2], 3)))
