"""Pictures that show nothing: what a picture is compared with, or covered by."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from napari_saliency._types import Array
    from napari_saliency.models._base import Model

Baseline = Literal["black", "white", "mean", "blur"]

FAR = 12
"""Standard deviations from which a Gaussian is 0 (1e-31): numbers that are nearly 0 take thirty times as long."""

BLUR = 1 / 20
"""Standard deviation of the blur, as a share of the picture's longer side: 11 pixels of 224."""


def empty_picture(model: Model, x: Array, baseline: Baseline) -> Array:
    """Make the empty picture in the model's own numbers: black is not 0 for most models.

    Parameters
    ----------
    x : (N, *space, C) float32
        Preprocessed pictures.
    baseline : {"black", "white", "mean", "blur"}
        Black and white are those of the picture before preprocessing; the mean is that of each channel
        of each picture, and the blur takes away all that is smaller than it.

    Returns
    -------
    (N, *space, C) float32
    """
    if baseline == "blur":
        return blurred(x, BLUR * max(x.shape[1:-1]))
    if baseline == "mean":
        return np.broadcast_to(x.mean(axis=tuple(range(1, x.ndim - 1)), keepdims=True), x.shape)
    grey = np.full(x.shape, 255.0 if baseline == "white" else 0.0, np.float32)
    return model.info.input.preprocessing(grey)


def noise_picture(model: Model, x: Array, random: np.random.Generator) -> Array:
    """Make a picture of noise: every value is drawn from 0 to 255 alike before it is preprocessed.

    Parameters
    ----------
    x : (N, *space, C) float32
        Preprocessed pictures; all of them get the same noise, so that none depends on its company.
    random : numpy.random.Generator

    Returns
    -------
    (N, *space, C) float32
    """
    noise = model.info.input.preprocessing(255 * random.random((1, *x.shape[1:]), np.float32))
    return np.broadcast_to(noise, x.shape)


def blurred(x: Array, sigma: float) -> Array:
    """Convolve with a Gaussian along each axis in space; at the edge the weights left over are scaled up.

    Parameters
    ----------
    x : (N, *space, C) float32
    sigma : float
        Its standard deviation in pixels; 0 leaves the pictures as they are.

    Returns
    -------
    (N, *space, C) float32
    """
    if not sigma:
        return x
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1))  # so that all products are of large matrices
    for axis, size in enumerate(x.shape[2:], 2):
        weights = _gaussian(size, sigma)
        lines = x.reshape(-1, size, math.prod(x.shape[axis + 1 :]))
        x = (weights @ lines if lines.shape[-1] > 1 else lines[..., 0] @ weights.T).reshape(x.shape)
    return np.moveaxis(x, 1, -1)


@lru_cache(maxsize=3)  # the axes of a picture are often as long
def _gaussian(size: int, sigma: float) -> Array:
    """How much each place of a line counts at each, (size, size) float32; the rows add up to 1."""
    distances = np.arange(1 - size, size) / sigma
    bell = np.where(np.abs(distances) < FAR, np.exp(-0.5 * distances**2), 0)
    weights = np.lib.stride_tricks.sliding_window_view(bell, size)[::-1]
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)
