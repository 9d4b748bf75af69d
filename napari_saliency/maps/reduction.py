"""From a raw map to a layer: channels are reduced, a sign is chosen, contrast limits are found. Pure functions.

Maps are raw and signed: (h, w, C) or (h, w), for volumes (z, y, x, C) or (z, y, x). Nothing here changes
a map or runs a model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.maps.colormaps import colormap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_saliency.core.types import Array
    from napari_saliency.maps.display import Display, Reduction, Sign


def reduce(values: Array, display: Display, axes: int = 2) -> Array:
    """Reduce a map to one value per pixel, or to one per pixel and channel.

    Parameters
    ----------
    values : (h, w, C) or (h, w) float32; for volumes (z, y, x, C) or (z, y, x)
        The map, raw and signed.
    display : Display
    axes : int
        Number of spatial axes, as in the map's placement: 2, for volumes 3. The shape alone does not tell
        (z, y, x) from (h, w, C).

    Returns
    -------
    (h, w) or (z, y, x) float32
        A new array in the map's own units, not normalised: signed if ``display.diverging``, otherwise
        not negative. With ``each`` and more than one channel (C, h, w) or (C, z, y, x).
    """
    if values.ndim == axes:
        values = values[..., None]
    if display.reduction == "each":
        return _take_sign(_stack_channels(values), display.sign)
    if display.reduction == "norm":
        parts = _take_sign(values, display.sign)
        return np.asarray(np.sqrt(_accumulate(np.add, np.square(parts))), np.float32)
    return _take_sign(_reduce_channels(values, display.reduction), display.sign)


def _reduce_channels(values: Array, reduction: Reduction) -> Array:
    if reduction in ("auto", "max"):
        highest, lowest = _accumulate(np.maximum, values), _accumulate(np.minimum, values)
        return np.asarray(np.where(highest >= -lowest, highest, lowest), np.float32)
    total = _accumulate(np.add, values)
    return np.asarray(total if reduction == "sum" else total / values.shape[-1], np.float32)


def _stack_channels(values: Array) -> Array:
    """Move the channels to the front, each contiguous; drop the axis of a single one."""
    stack = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return stack[0] if len(stack) == 1 else stack


def _accumulate(function: np.ufunc, values: Array) -> Array:
    """Reduce the channels with a ufunc.

    Ten times as fast as ``function.reduce(values, axis=-1)``, which loops over a short last axis.
    """
    channels = iter(np.moveaxis(values, -1, 0))
    total: Array = next(channels).copy()
    for channel in channels:
        function(total, channel, out=total)
    return total


def _take_sign(values: Array, sign: Sign) -> Array:
    if sign == "absolute":
        return np.asarray(np.abs(values), np.float32)
    if sign == "signed":
        return values.astype(np.float32)
    return np.asarray(np.maximum(values if sign == "positive" else -values, 0), np.float32)


def reduce_error(stderr: Array, values: Array, display: Display, axes: int = 2) -> Array:
    """Reduce a map's standard error as `reduce` does the map; never an underestimate.

    Parameters
    ----------
    stderr : array like ``values``
        The map's standard error.
    values, display, axes
        As in `reduce`.

    Returns
    -------
    array float32, of the shape that `reduce` returns
        In the map's own units, whichever sign is displayed. For ``max`` the error of the channel that is
        taken. The covariance of the channels is not known, so for the other reductions this is an upper
        bound that holds for any: the sum of the channels' errors, their mean, or their L2 norm.
    """
    if stderr.ndim == axes:
        stderr, values = stderr[..., None], values[..., None]
    if display.reduction in ("auto", "max"):
        taken = np.abs(values).argmax(axis=-1)[..., None]
        return np.take_along_axis(stderr, taken, axis=-1)[..., 0]
    return reduce(stderr, replace(display, sign="absolute"), axes)


def peak(reduced: Array, clip: float) -> float:
    """Return the ``clip`` percentile of the finite magnitudes of a reduced map.

    Parameters
    ----------
    reduced : array float32
        From `reduce`; channels that are kept apart count together.
    clip : float
        Percentile, 0 to 100.

    Returns
    -------
    float
        If the percentile is 0, as in maps that are 0 nearly everywhere, the largest magnitude; 0 only if
        no finite value differs from it.
    """
    magnitudes = np.abs(reduced[np.isfinite(reduced)])
    if not magnitudes.size:
        return 0.0
    return float(np.percentile(magnitudes, clip)) or float(magnitudes.max())


def limits(maps: Sequence[Array], display: Display) -> tuple[float, float]:
    """Compute the contrast limits of the first of several reduced maps.

    Parameters
    ----------
    maps : sequence of array float32
        The one that is displayed, then all others that are computed: these count if contrast is shared.
    display : Display

    Returns
    -------
    (float, float)
        Starting at 0, or symmetric about 0 if ``display.diverging``; finite, the first one smaller.
    """
    counted = maps if display.shared else maps[:1]
    high = max(peak(reduced, display.clip) for reduced in counted) or 1.0
    return (-high if display.diverging else 0.0), high


def rendering(display: Display) -> str:
    """Return napari's 3-D rendering mode for a volume; a maximum projection would hide negative values."""
    return "translucent" if display.diverging else "mip"


def appearance(maps: Sequence[Array], display: Display) -> dict[str, Any]:
    """Return the display settings of a new layer that shows the first of several reduced maps.

    Parameters
    ----------
    maps : sequence of array float32
        As in `limits`.
    display : Display

    Returns
    -------
    dict
        ``contrast_limits, colormap, blending, interpolation2d, rendering``, arguments of napari's
        ``add_image``.
    """
    return {
        "contrast_limits": limits(maps, display),
        "colormap": colormap(display),
        "blending": "translucent",
        "interpolation2d": "linear",
        "rendering": rendering(display),
    }
