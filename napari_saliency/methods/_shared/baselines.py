"""Baselines: pictures that show nothing, which a picture is compared with or covered by."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from napari_saliency.methods.options import PerChannel

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.base import Model

Baseline = Literal["black", "white", "mean", "blur"]

GREYS = {"min": 0, "max": 255}

Empty = Annotated[Baseline | float | tuple[float, ...], PerChannel(), GREYS]
"""A baseline by name; or a grey from 0 (black) to 255 (white), or one for each channel."""

FAR = 6
"""Standard deviations beyond which a Gaussian is taken as 0: its tails, 2e-9 of its sum, are less than rounding."""

BLOCK = 32
"""Places computed together in lines much longer than a Gaussian reaches."""

BLUR = 1 / 20
"""Standard deviation of the blur, as a share of the picture's longer side: 11 pixels of 224."""


def empty_picture(model: Model, x: Array, baseline: Empty) -> Array:
    """Make the baseline picture in the model's own numbers: black is not 0 for most models.

    Parameters
    ----------
    x : (N, *space, C) float32
        Preprocessed pictures.
    baseline : {"black", "white", "mean", "blur"}, number or tuple of numbers
        Black and white are those of the picture before preprocessing. The mean is that of each channel of each
        picture, padding included. The blur removes all details smaller than it. A number is a grey before
        preprocessing, from 0 to 255; several are one for each channel.

    Returns
    -------
    (N, *space, C) float32

    Raises
    ------
    ValueError
        If there are several numbers, but not one for each channel.
    """
    if baseline == "blur":
        (result,) = blurred(x, BLUR * max(x.shape[1:-1]))
        return np.asarray(result)
    if baseline == "mean":
        return np.broadcast_to(x.mean(axis=tuple(range(1, x.ndim - 1)), keepdims=True), x.shape)
    grey = {"black": 0.0, "white": 255.0}[baseline] if isinstance(baseline, str) else baseline
    check_colour(grey, x.shape[-1])
    return model.info.input.preprocessing(np.full(x.shape, grey, np.float32))


def check_colour(colour: object, channels: int) -> None:
    """Raise ValueError if a colour is several numbers, but not one for each channel."""
    if isinstance(colour, tuple) and len(colour) != channels:
        raise ValueError(
            f"the colour {', '.join(f'{number:g}' for number in colour)} has {len(colour)} numbers, but the model "
            f"takes {channels} channel{'s' * (channels > 1)}: give one number for all, or one for each"
        )


def noise_picture(model: Model, x: Array, random: np.random.Generator) -> Array:
    """Make a picture of noise: every value is drawn evenly from 0 to 255 before preprocessing.

    Parameters
    ----------
    x : (N, *space, C) float32
        Preprocessed pictures; all of them get the same noise, so that a map does not depend on its batch.
    random : numpy.random.Generator

    Returns
    -------
    (N, *space, C) float32
    """
    noise = model.info.input.preprocessing(255 * random.random((1, *x.shape[1:]), np.float32))
    return np.broadcast_to(noise, x.shape)


def blurred(x: Array, *sigmas: float) -> Array:
    """Convolve with Gaussians along each axis in space; at the edge the remaining weights are scaled up.

    Parameters
    ----------
    x : (N, *space, C) float32
    sigmas : float
        M standard deviations in pixels; 0 leaves the pictures as they are.

    Returns
    -------
    (M, N, *space, C) float32
    """
    planes = np.ascontiguousarray(np.moveaxis(x, -1, 1))  # so that all products are of large matrices
    result = np.empty((len(sigmas), *x.shape), np.float32)
    for pictures, sigma in zip(result, sigmas, strict=True):
        convolved = _convolved(planes, sigma) if sigma else planes
        for channel in range(x.shape[-1]):  # four times as fast as all at once
            pictures[..., channel] = convolved[:, channel]
    return result


def _convolved(planes: Array, sigma: float) -> Array:
    """Convolve (N, C, *space) along each axis in space."""
    reach = math.ceil(FAR * sigma)
    for axis, size in enumerate(planes.shape[2:], 2):
        weights = _gaussian(size, sigma)
        lines = planes.reshape(-1, size, math.prod(planes.shape[axis + 1 :]))
        result = np.empty_like(lines)
        block = BLOCK if 4 * reach < size else size
        for start in range(0, size, block):
            places, near = slice(start, start + block), slice(max(0, start - reach), start + block + reach)
            if lines.shape[-1] > 1:
                np.matmul(weights[places, near], lines[:, near], out=result[:, places])
            else:  # one large product for all lines
                np.matmul(lines[:, near, 0], weights[places, near].T, out=result[:, places, 0])
        planes = result.reshape(planes.shape)
    return planes


@lru_cache(maxsize=3)  # the axes of a picture are often as long
def _gaussian(size: int, sigma: float) -> Array:
    """Return the weight of each place of a line at each place, (size, size) float32; rows add up to 1."""
    distances = np.arange(1 - size, size) / sigma
    bell = np.where(np.abs(distances) < FAR, np.exp(-0.5 * distances**2), 0)
    windows = np.lib.stride_tricks.sliding_window_view
    sums = windows(bell, size).sum(axis=1)
    return np.asarray(windows(bell.astype(np.float32), size) / sums.astype(np.float32)[:, None])[::-1]
