"""Preparation of an image for a model: intensities, channels, size, preprocessing; numpy and Pillow only.

Large images are cropped first and then read in bands of rows: this takes little memory, and no call holds
the interpreter's lock for long, which would freeze the window while this runs in a thread. Volumes are read
plane by plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.core.errors import quote
from napari_saliency.core.placement import Placement, Region, format_size
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
from napari_saliency.images.resize import MOST_PIXELS, fit_image, frame_image

if TYPE_CHECKING:
    from napari_saliency.core.preprocessing import InputSpec
    from napari_saliency.core.types import Array

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
    """An image as model input.

    Attributes
    ----------
    x : (H, W, C) or (Z, H, W, C) float32
        Model input, preprocessed.
    placement : Placement
        Position of the pixels of ``x`` in the image.
    preview : (H, W, 3) uint8
        The same pixels before preprocessing, for display; for volumes the middle plane.
    description : tuple of str
        Short phrases about how the image was interpreted; the first one is about its size.
    flaws : tuple of str
        Those of them that are about NaN and infinite values.
    picture : Region, optional
        The part of ``x`` that shows the image, if it is padded; None if the image fills ``x``.
    region : Region, optional
        The part of ``x`` whose scores are explained, for models with a spatial output.
    """

    x: Array
    placement: Placement
    preview: np.ndarray[Any, np.dtype[np.uint8]]
    description: tuple[str, ...]
    flaws: tuple[str, ...] = ()
    picture: Region | None = None
    region: Region | None = None


def prepare(image: Pixels, spec: InputSpec, value_range: Range | None = None) -> Prepared:
    """Prepare an image or a volume for a model.

    Parameters
    ----------
    image : (h, w), (h, w, 1), (h, w, 2), (h, w, 3), (h, w, 4) or (h, w, C) array
        Grey, grey with alpha, RGB, RGBA, or as many channels as the model has; bool, int or float. For
        models of volumes (z, y, x) or (z, y, x, channels); two channels of these are never read as grey
        with alpha.
    spec : InputSpec
        The model's input.
    value_range : (float, float), optional
        Values of black and white. By default 0 and 255 for integers, and 0 and 1 or 0 and 255 for floats,
        within these; the smallest and largest value otherwise. Floats for a model with preprocessing
        "none" are not scaled.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        If the image's shape, dtype or number of channels does not fit the model, or ``value_range`` is
        not a range.

    Notes
    -----
    Alpha is ignored, as by Keras' loaders. NaN become black, infinite values black or white. A side whose
    length the model leaves open keeps its length; images of more than `MOST_PIXELS` are downscaled. Voxels are
    seldom cubes, so volumes are stretched unless the specification says ``crop`` or ``pad``.
    """
    _check_preprocessing(spec)
    picture, colours = _match_channels(image, spec)
    intensity_range = find_intensity_range(picture, value_range, spec.preprocessing.name == "none")
    frame = frame_image(picture.shape[:-1], spec)
    pixels = fit_image(picture, frame, intensity_range, spec.channels)
    axes = len(spec.shape)
    channels = 1 if np.ndim(image) == axes else np.shape(image)[-1]
    size = (
        f"{format_size(picture.shape[:-1])} {_KINDS.get(channels, f'{channels} channels')}{frame.description}"
    )
    middle = ("preview: middle plane",) if axes == 3 else ()
    return Prepared(
        x=spec.preprocessing(pixels),
        placement=frame.placement,
        preview=_preview(pixels, intensity_range),
        description=(size, *middle, *colours, *intensity_range.description, *intensity_range.flaws),
        flaws=intensity_range.flaws,
        picture=frame.picture,
    )


def _check_preprocessing(spec: InputSpec) -> None:
    by_channel = max(len(spec.preprocessing.mean), len(spec.preprocessing.std))
    wanted = 3 if spec.preprocessing.bgr else by_channel
    if wanted not in (1, spec.channels):
        name = spec.preprocessing.name
        raise ValueError(
            f"preprocessing {quote(name)} is for {wanted} channels, but the model takes {spec.channels}: choose another"
        )


def _match_channels(image: Pixels, spec: InputSpec) -> tuple[Pixels, tuple[str, ...]]:
    """Return a view (h, w, c) or (z, y, x, c) whose channels `fit_image` can convert, and phrases about it."""
    picture, channels = _as_image(image, len(spec.shape)), spec.channels
    given = picture.shape[-1]
    if given == channels:
        return picture, ()
    known = (1, 2, 3, 4) if picture.ndim == 3 else (1, 3, 4)  # two channels of a volume are two stains
    if channels not in (1, 3) or given not in known:
        allowed = "1 to 4" if channels in (1, 3) else str(channels)
        raise ValueError(
            f"an image of shape {np.shape(image)} has {given} channels, but the model takes {allowed}: "
            "select channels, and put them on the last axis"
        )
    description: tuple[str, ...] = ()
    if given in (2, 4):
        picture, description = picture[..., :-1], _describe_alpha(picture[..., -1])
    if picture.shape[-1] == channels:
        return picture, description
    return picture, (*description, "converted to grey" if channels == 1 else "grey copied to three channels")


def _as_image(image: Pixels, axes: int) -> Pixels:
    """Add a missing channel axis; raise ValueError for arrays that are not an image or volume."""
    picture = np.asarray(image)
    if picture.dtype.kind not in "buif":
        raise ValueError(
            f"an image of dtype {picture.dtype} cannot be explained: convert it to bool, int or float"
        )
    if axes == 2 and picture.ndim not in (2, 3):
        raise ValueError(
            f"an image has shape (h, w) or (h, w, channels), not {picture.shape}: give one plane"
        )
    if axes == 3 and (picture.ndim not in (3, 4) or _is_colour(picture.shape)):
        raise ValueError(
            f"the model takes volumes, (z, y, x) or (z, y, x, channels), not {picture.shape}: give a stack of planes"
        )
    if not picture.size:
        raise ValueError(f"an image of shape {picture.shape} is empty: give at least one pixel")
    return picture[..., None] if picture.ndim == axes else picture


def _is_colour(shape: tuple[int, ...]) -> bool:
    """Return whether an array with the axes of a volume is rather a colour image."""
    return len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > shape[2]


def _describe_alpha(alpha: Pixels) -> tuple[str, ...]:
    parts = (alpha[rows] for rows in bands(alpha.shape[0], alpha[0].nbytes))
    return ("alpha ignored",) if any((part != alpha.flat[0]).any() for part in parts) else ()


def _preview(pixels: Array, intensity_range: IntensityRange) -> np.ndarray[Any, np.dtype[np.uint8]]:
    plane = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    rgb = plane[..., :3] if plane.shape[2] >= 3 else plane[..., :1]
    if intensity_range.untouched:  # model inputs may have any range
        low, high = DataRange.of(pixels).black_and_white
        rgb = (rgb - low) / ((high - low) or 1) * 255
    grey_or_rgb = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(grey_or_rgb, (*plane.shape[:2], 3)))
