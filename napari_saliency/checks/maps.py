"""Maps as numbers to compare: one for each pixel, their order, and the similarity of two maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_saliency.methods._shared.layers import upsampled
from napari_saliency.methods.registry import METHODS

if TYPE_CHECKING:
    from napari_saliency.checks.finding import Subject
    from napari_saliency.core.types import Array

FEW = 10
"""Fewest places whose rank correlation means something: with fewer, chance alone makes it a third or more."""

BY_VALUE = "Pixels are ranked by the map's value: evidence for the target comes first."
BY_SUM = "Pixels are ranked by the sum of their channels' contributions: evidence for the target comes first."
BY_MAGNITUDE = "Pixels are ranked by their channels' largest magnitude, as the map is usually shown."


def relevance(subject: Subject) -> tuple[Array, str]:
    """Return one number for each pixel of the map, (*space of the map) float32, and a sentence on how it was made.

    The sign of a share of the score means something, so the sum counts. A derivative's sign says in which direction a
    pixel would have to change, not whether it matters.
    """
    values = subject.values
    if values.ndim == len(subject.space):
        return values, BY_VALUE
    if METHODS[subject.method].shares(subject.options):
        return values.sum(axis=-1), BY_SUM
    return magnitude(values, len(subject.space)), BY_MAGNITUDE


def magnitude(values: Array, axes: int) -> Array:
    """Return the largest magnitude of each pixel's channels, (*space) float32."""
    result = np.abs(values)
    return result if values.ndim == axes else np.asarray(result.max(axis=-1), np.float32)


def spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return the rank correlation of two arrays of one shape, -1 to 1; 0 if one of them is constant.

    Ties share the mean of their ranks. Numbers that are not finite count as 0.
    """
    first, second = (_ranks(np.nan_to_num(a, nan=0, posinf=0, neginf=0).ravel()) for a in (one, other))
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size else 0.0


def similarity(one: Array, other: Array, visible: npt.NDArray[np.bool_]) -> float:
    """Return the rank correlation of two maps where they differ from zero, -1 to 1.

    Parameters
    ----------
    one, other : (*space) or (*space, C) float32
        The maps.
    visible : (*space) bool
        Places of the picture; padding is left out.

    Notes
    -----
    Places where both are exactly 0 are left out, too: gradient × input is 0 wherever the picture is, for every
    network, and a picture with a plain background would make any two maps similar. They count
    where fewer than `FEW` others are left.
    """
    first, second = one[visible], other[visible]
    differing = ((first != 0) | (second != 0)).reshape(len(first), -1).any(axis=1)
    if np.count_nonzero(differing) < FEW:
        return spearman(first, second)
    return spearman(first[differing], second[differing])


def _ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(middle[inverse], np.float64)


def gini(values: npt.ArrayLike) -> float:
    """Return the Gini index of the magnitudes, 0 (all equal) to 1 (all in one); 0 for an empty map.

    Hurley and Rickard 2009, table I; used for maps by Chalasani et al. 2020, section 5.
    """
    sizes = np.sort(np.abs(np.asarray(values, np.float64)).ravel())
    total, count = sizes.sum(), len(sizes)
    if not total:
        return 0.0
    shares = (count - np.arange(1, count + 1) + 0.5) / count
    return float(1 - 2 * (sizes / total * shares).sum())


def on_grid(values: Array, space: tuple[int, ...]) -> Array:
    """Interpolate a map linearly onto a finer grid that covers the same.

    Parameters
    ----------
    values : (*coarse) float32
        One number for each pixel.
    space : tuple of int
        Size of the grid; a map of this size is returned as it is.
    """
    (result,) = upsampled(values[None], space)
    return np.asarray(result, np.float32)


def trapezoid(y: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the area under curves (..., n) over 0 to 1, sampled evenly."""
    return np.asarray((y[..., 1:] + y[..., :-1]).mean(axis=-1) / 2, np.float64)
