"""Any picture → what a model takes, and where that lies in the picture; numpy and Pillow only.

Laws
----
Large pictures are cut first and then read in bands of rows. Memory stays small, and no call holds
the interpreter's lock for long: all of this runs in a thread beside the window. Volumes are read in
planes, which are pictures again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.core.placement import Placement, Region, sized
from napari_saliency.images.files import AnyImage, as_pixels, load_image
from napari_saliency.images.intensity import (
    DataRange,
    IntensityRange,
    Pixels,
    Range,
    bands,
    display_range,
    find_intensity_range,
)
from napari_saliency.images.resize import MOST_PIXELS, fitted, framed

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.info import InputSpec

__all__ = [
    "MOST_PIXELS",
    "AnyImage",
    "Pixels",
    "Prepared",
    "Range",
    "as_pixels",
    "display_range",
    "load_image",
    "prepare",
]

_KINDS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture as a model takes it.

    Attributes
    ----------
    x : (H, W, C) or (Z, H, W, C) float32
        Model input, preprocessed.
    placement : Placement
        Where the pixels of ``x`` lie in the picture.
    preview : (H, W, 3) uint8
        The same pixels before preprocessing, to look at; of a volume the middle plane.
    description : tuple of str
        How the picture was understood, in short sentences; the first is about its size.
    flaws : tuple of str
        Those of them that tell of values that are no numbers.
    picture : Region, optional
        The part of ``x`` that shows the picture, where black is around it; all of it if there is none.
    region : Region, optional
        The part of it that is looked at.
    """

    x: Array
    placement: Placement
    preview: np.ndarray[Any, np.dtype[np.uint8]]
    description: tuple[str, ...]
    flaws: tuple[str, ...] = ()
    picture: Region | None = None
    region: Region | None = None


def prepare(image: Pixels, spec: InputSpec, value_range: Range | None = None) -> Prepared:
    """Bring a picture, or a volume, to what a model takes.

    Parameters
    ----------
    image : (h, w), (h, w, 1), (h, w, 2), (h, w, 3), (h, w, 4) or (h, w, C) array
        Grey, grey with alpha, RGB, RGBA, or as many channels as the model has; bool, whole
        numbers or floats. For models of volumes (z, y, x) or (z, y, x, channels); two channels of
        these are never taken for grey with alpha.
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
    that the model leaves open keeps its length; pictures of more than `MOST_PIXELS` are made smaller.
    """
    _check_preprocessing(spec)
    picture, colours = _coloured(image, spec)
    intensity_range = find_intensity_range(picture, value_range, spec.preprocessing.name == "none")
    frame = framed(picture.shape[:-1], spec)
    pixels = fitted(picture, frame, intensity_range, spec.channels)
    axes = len(spec.shape)
    channels = 1 if np.ndim(image) == axes else np.shape(image)[-1]
    size = f"{sized(picture.shape[:-1])} {_KINDS.get(channels, f'{channels} channels')}{frame.description}"
    middle = ("shown is the middle plane",) if axes == 3 else ()
    return Prepared(
        x=spec.preprocessing(pixels),
        placement=frame.placement,
        preview=_seen(pixels, intensity_range),
        description=(size, *middle, *colours, *intensity_range.description, *intensity_range.flaws),
        flaws=intensity_range.flaws,
        picture=frame.picture,
    )


def _check_preprocessing(spec: InputSpec) -> None:
    by_channel = max(len(spec.preprocessing.mean), len(spec.preprocessing.std))
    wanted = 3 if spec.preprocessing.bgr else by_channel
    if wanted not in (1, spec.channels):
        name = spec.preprocessing.name
        raise ValueError(f"preprocessing {name!r} is for {wanted} channels, the model takes {spec.channels}")


def _coloured(image: Pixels, spec: InputSpec) -> tuple[Pixels, tuple[str, ...]]:
    """Return a view (h, w, c) or (z, y, x, c) whose channels `fitted` can bring to those of the model."""
    picture, channels = _checked(image, len(spec.shape)), spec.channels
    given = picture.shape[-1]
    if given == channels:
        return picture, ()
    known = (1, 2, 3, 4) if picture.ndim == 3 else (1, 3, 4)  # two channels of a volume are two dyes
    if channels not in (1, 3) or given not in known:
        allowed = "1 to 4" if channels in (1, 3) else str(channels)
        raise ValueError(
            f"a picture of shape {np.shape(image)} has {given} channels, but the model takes {allowed}: "
            "choose some, and put the channels last"
        )
    description: tuple[str, ...] = ()
    if given in (2, 4):
        picture, description = picture[..., :-1], _alpha_words(picture[..., -1])
    if picture.shape[-1] == channels:
        return picture, description
    return picture, (*description, "colours taken as grey" if channels == 1 else "grey repeated for RGB")


def _checked(image: Pixels, axes: int) -> Pixels:
    """Give a picture or volume an axis of channels; refuse what is neither."""
    picture = np.asarray(image)
    if picture.dtype.kind not in "buif":
        raise ValueError(f"a picture of type {picture.dtype} cannot be explained: give bool, int or float")
    if axes == 2 and picture.ndim not in (2, 3):
        raise ValueError(f"a picture is (h, w) or (h, w, channels), not {picture.shape}: give one plane")
    if axes == 3 and (picture.ndim not in (3, 4) or _is_colour(picture.shape)):
        raise ValueError(
            f"the model takes volumes, (z, y, x) or (z, y, x, channels), not {picture.shape}: give a stack of planes"
        )
    if not picture.size:
        raise ValueError(f"a picture of shape {picture.shape} is empty: give at least one pixel")
    return picture[..., None] if picture.ndim == axes else picture


def _is_colour(shape: tuple[int, ...]) -> bool:
    """Whether what could be a volume by its axes is a picture in colour."""
    return len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > shape[2]


def _alpha_words(alpha: Pixels) -> tuple[str, ...]:
    parts = (alpha[rows] for rows in bands(alpha.shape[0], alpha[0].nbytes))
    return ("alpha ignored",) if any((part != alpha.flat[0]).any() for part in parts) else ()


def _seen(pixels: Array, intensity_range: IntensityRange) -> np.ndarray[Any, np.dtype[np.uint8]]:
    plane = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    rgb = plane[..., :3] if plane.shape[2] >= 3 else plane[..., :1]
    if intensity_range.untouched:  # these values may lie anywhere, and still there must be something to see
        low, high = DataRange.of(pixels).natural
        rgb = (rgb - low) / ((high - low) or 1) * 255
    grey_or_rgb = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(grey_or_rgb, (*plane.shape[:2], 3)))
