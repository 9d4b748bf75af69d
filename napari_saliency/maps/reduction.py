"""Raw map → layer: reduction of the channels, sign and scale; pure.

Maps are raw and signed, (h, w, C) or (h, w), and (z, y, x, C) or (z, y, x) of volumes. Everything here
is a view of one: nothing changes it, and nothing runs a model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from napari_saliency.maps.colormaps import COLORMAPS, colormap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_saliency.core.types import Array, Shows

Reduction = Literal["auto", "max", "sum", "mean", "norm", "each"]
"""How channels become one: the value with the largest magnitude, their sum, mean, or L2 norm; ``each``
keeps them all, ``auto`` does for stacks, and takes the largest magnitude of other maps.
"""

Sign = Literal["absolute", "positive", "negative", "signed"]
"""What of a signed map is shown."""

Contrast = Literal["per class", "shared"]
"""Whether each map has contrast limits of its own, or all known maps the same."""

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
SIGNS: tuple[Sign, ...] = get_args(Sign)
CONTRASTS: tuple[Contrast, ...] = get_args(Contrast)


@dataclass(frozen=True)
class Display:
    """How a map is shown.

    Attributes
    ----------
    reduction : {"auto", "max", "sum", "mean", "norm", "each"}
        How channels become one. ``max`` takes the value with the largest magnitude, with its
        sign; ``norm`` has no sign; ``each`` leaves them apart, to be stepped through. ``auto`` is
        ``each`` for methods that show a stack, and ``max`` for all others.
    sign : {"absolute", "positive", "negative", "signed"}
        What is shown of positive and negative values; ``negative`` shows magnitudes. With
        ``norm``, positive and negative are the norms of the channels' positive and negative
        parts, and signed is the same as absolute.
    clip : float
        Percentile, 50 to 100, of the magnitudes where the colours end.
    contrast : {"per class", "shared"}
        Whether contrast limits come from the map alone or from all that are known.
    colormap : str, optional
        One of `COLORMAPS`; by default ``heat``, and ``diverging`` where signs are shown.

    Raises
    ------
    ValueError
        If a choice does not exist.
    """

    reduction: Reduction = "auto"
    sign: Sign = "absolute"
    clip: float = 99.5
    contrast: Contrast = "per class"
    colormap: str | None = None

    def __post_init__(self) -> None:
        choices = {
            "reduction": REDUCTIONS,
            "sign": SIGNS,
            "contrast": CONTRASTS,
            "colormap": (None, *COLORMAPS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is not one of {', '.join(map(str, allowed))}"
                )
        if not 50 <= self.clip <= 100:
            raise ValueError(f"clip {self.clip!r} must be a percentile between 50 and 100")

    @property
    def diverging(self) -> bool:
        """Whether what is shown has both signs."""
        return self.sign == "signed" and self.reduction != "norm"

    @property
    def shared(self) -> bool:
        """Whether all known maps have the same contrast limits."""
        return self.contrast == "shared"

    def of(self, shows: Shows) -> Self:
        """Settle what ``auto`` means for a method that shows a map, a stack or a picture."""
        if self.reduction != "auto":
            return self
        return replace(self, reduction="each" if shows == "stack" else "max")


def reduce(values: Array, display: Display, axes: int = 2) -> Array:
    """Show one number for each pixel of a map, or of each of its channels.

    Parameters
    ----------
    values : (h, w, C) or (h, w) float32; of volumes (z, y, x, C) or (z, y, x)
        The map, raw and signed.
    display : Display
    axes : int
        Of space, as the map's placement has: 2, of volumes 3. A shape alone does not tell (z, y, x) from
        (h, w, C).

    Returns
    -------
    (h, w) or (z, y, x) float32
        In the map's own units, not normalised: signed if ``display.diverging``, otherwise from 0.
        A new array. With ``each``, and if there is more than one channel, (C, h, w) or (C, z, y, x).
    """
    if values.ndim == axes:
        values = values[..., None]
    if display.reduction == "each":
        return _show_sign(_channels_first(values), display.sign)
    if display.reduction == "norm":
        parts = _show_sign(values, display.sign)
        return np.asarray(np.sqrt(_accumulate(np.add, np.square(parts))), np.float32)
    return _show_sign(_reduce_channels(values, display.reduction), display.sign)


def _reduce_channels(values: Array, reduction: Reduction) -> Array:
    if reduction in ("auto", "max"):
        highest, lowest = _accumulate(np.maximum, values), _accumulate(np.minimum, values)
        return np.asarray(np.where(highest >= -lowest, highest, lowest), np.float32)
    total = _accumulate(np.add, values)
    return np.asarray(total if reduction == "sum" else total / values.shape[-1], np.float32)


def _channels_first(values: Array) -> Array:
    """Make a stack of channels, contiguous each; of a single one, itself."""
    stack = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return stack[0] if len(stack) == 1 else stack


def _accumulate(function: np.ufunc, values: Array) -> Array:
    """Reduce the channels; ten times as fast as numpy's own reduction of a short last axis."""
    channels = iter(np.moveaxis(values, -1, 0))
    total: Array = next(channels).copy()
    for channel in channels:
        function(total, channel, out=total)
    return total


def _show_sign(values: Array, sign: Sign) -> Array:
    if sign == "absolute":
        return np.asarray(np.abs(values), np.float32)
    if sign == "signed":
        return values.astype(np.float32)
    return np.asarray(np.maximum(values if sign == "positive" else -values, 0), np.float32)


def reduce_error(stderr: Array, values: Array, display: Display, axes: int = 2) -> Array:
    """Show the standard error of what `reduce` makes of a map: never less than it is.

    Parameters
    ----------
    stderr : array like ``values``
        The map's.
    values, display, axes
        As for `reduce`.

    Returns
    -------
    array float32, of the shape that `reduce` returns
        In the map's own units, whichever sign is shown. Of ``max`` the error of the channel that is
        taken. How much channels err together is not known, so of the others it is an upper bound, which
        needs no such knowledge: the sum of the channels' errors, their mean, or their L2 norm.
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
        From `reduce`; all channels together, where it has some.
    clip : float
        0 to 100.

    Returns
    -------
    float
        Positive: the largest magnitude where the percentile is 0, as in maps that are 0 nearly
        everywhere, and 0 only if all are.
    """
    magnitudes = np.abs(reduced[np.isfinite(reduced)])
    if not magnitudes.size:
        return 0.0
    return float(np.percentile(magnitudes, clip)) or float(magnitudes.max())


def limits(maps: Sequence[Array], display: Display) -> tuple[float, float]:
    """Find contrast limits for the first of some reduced maps.

    Parameters
    ----------
    maps : sequence of array float32
        The one that is shown, and all others that are known: they count if contrast is shared.
    display : Display

    Returns
    -------
    (float, float)
        From 0, or symmetric about 0 if ``display.diverging``; finite, and the first is smaller.
    """
    counted = maps if display.shared else maps[:1]
    high = max(peak(reduced, display.clip) for reduced in counted) or 1.0
    return (-high if display.diverging else 0.0), high


def rendering(display: Display) -> str:
    """How napari draws a map of a volume in 3-D: a maximum along each ray would hide what is negative."""
    return "translucent" if display.diverging else "mip"


def appearance(maps: Sequence[Array], display: Display) -> dict[str, Any]:
    """Collect how a new layer of the first of some reduced maps looks.

    Parameters
    ----------
    maps : sequence of array float32
        As for `limits`.
    display : Display

    Returns
    -------
    dict
        ``contrast_limits, colormap, blending, interpolation2d, rendering`` as napari's ``add_image`` takes
        them.
    """
    return {
        "contrast_limits": limits(maps, display),
        "colormap": colormap(display),
        "blending": "translucent",
        "interpolation2d": "linear",
        "rendering": rendering(display),
    }
