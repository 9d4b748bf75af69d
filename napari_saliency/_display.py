"""Raw map → layer: reduction of the channels, sign, scale and colours; pure.

Maps are raw and signed, (h, w, C) or (h, w), and (z, y, x, C) or (z, y, x) of volumes. Everything here
is a view of one: nothing changes it, and nothing runs a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_saliency._placement import Placement
    from napari_saliency._types import Array

Reduction = Literal["max", "sum", "mean", "norm"]
"""How channels become one: the value with the largest magnitude, their sum, mean, or L2 norm."""

Sign = Literal["absolute", "positive", "negative", "signed"]
"""What of a signed map is shown."""

Contrast = Literal["per class", "shared"]
"""Whether each map has contrast limits of its own, or all known maps the same."""

REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
SIGNS: tuple[Sign, ...] = get_args(Sign)
CONTRASTS: tuple[Contrast, ...] = get_args(Contrast)

# Colours from a value of 0 on, and from the most negative to the most positive one. At 0 all are
# transparent, so that colours there only tint what lies beside it.
_STOPS = {
    "heat": (
        ("#7a1f6d", "#bb3754", "#e35933", "#f98e09", "#fbc127", "#fcffa4"),
        ("#b4f2ff", "#3fb8f0", "#2166c8", "#4a3f8f", "#bb3754", "#f98e09", "#fcffa4"),
    ),
    "jet": (
        ("#00007f", "#0000ff", "#007fff", "#00ffff", "#7fff7f", "#ffff00", "#ff7f00", "#ff0000", "#7f0000"),
        ("#00007f", "#0000ff", "#007fff", "#00ffff", "#7fff7f", "#ffff00", "#ff7f00", "#ff0000", "#7f0000"),
    ),
    "green": (
        ("#006d2c", "#19b34b", "#4dff6e", "#d8ffc9"),
        ("#f3a6ff", "#d63bf0", "#7a5a8c", "#19b34b", "#a8ff9e"),
    ),
    "cyan": (
        ("#006a80", "#00a9c4", "#33e1f5", "#d2fbff"),
        ("#ffc9a6", "#f5743b", "#80706a", "#00a9c4", "#a6f7ff"),
    ),
    "diverging": (
        ("#f4a582", "#e0604c", "#c4122f", "#8a0a2a"),
        ("#1a3fbf", "#2f7de1", "#cccccc", "#ef4b3c", "#b3001b"),
    ),
}

COLORMAPS = tuple(_STOPS)
"""Names of the colormaps; all are transparent at 0 and serve signed maps too."""

_STEPS = 129  # colours of a colormap; odd, so that a diverging one has its middle at 0


@dataclass(frozen=True)
class Display:
    """How a map is shown.

    Attributes
    ----------
    reduction : {"max", "sum", "mean", "norm"}
        How channels become one. ``max`` takes the value with the largest magnitude, with its
        sign; ``norm`` has no sign.
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

    reduction: Reduction = "max"
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


def reduce(values: Array, display: Display, axes: int = 2) -> Array:
    """Show one number for each pixel of a map.

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
        A new array.
    """
    if values.ndim == axes:
        values = values[..., None]
    if display.reduction == "norm":
        parts = _show_sign(values, display.sign)
        return np.asarray(np.sqrt(_accumulate(np.add, np.square(parts))), np.float32)
    return _show_sign(_reduce_channels(values, display.reduction), display.sign)


def _reduce_channels(values: Array, reduction: Reduction) -> Array:
    if reduction == "max":
        highest, lowest = _accumulate(np.maximum, values), _accumulate(np.minimum, values)
        return np.asarray(np.where(highest >= -lowest, highest, lowest), np.float32)
    total = _accumulate(np.add, values)
    return np.asarray(total if reduction == "sum" else total / values.shape[-1], np.float32)


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


def peak(reduced: Array, clip: float) -> float:
    """Return the ``clip`` percentile of the finite magnitudes of a reduced map.

    Parameters
    ----------
    reduced : (h, w) or (z, y, x) float32
        From `reduce`.
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
    maps : sequence of (h, w) or (z, y, x) float32
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


def colormap(display: Display) -> dict[str, Any]:
    """Make the colours, as napari's layers take them.

    Returns
    -------
    dict
        ``name``; ``colors`` (n, 4) float32, RGBA 0 to 1; ``controls`` (n,) float32, 0 to 1, where
        they stand between the contrast limits. The value 0 is transparent; from there opacity
        rises smoothly and is full at 80 % of the limit: weak noise does not veil the picture.
    """
    name = display.colormap or ("diverging" if display.diverging else "heat")
    stops = _STOPS[name][display.diverging]
    controls = np.linspace(0, 1, _STEPS, dtype=np.float32)
    places = np.linspace(0, 1, len(stops))
    rgb = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    strength = np.abs(2 * controls - 1) if display.diverging else controls
    columns = [np.interp(controls, places, channel) for channel in rgb.T] + [_opacity(strength)]
    title = f"saliency {name}{' ±' if display.diverging else ''}"
    return {"name": title, "colors": np.stack(columns, axis=-1).astype(np.float32), "controls": controls}


def _opacity(strength: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    t = np.clip(strength / 0.8, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def rendering(display: Display) -> str:
    """How napari draws a map of a volume in 3-D: a maximum along each ray would hide what is negative."""
    return "translucent" if display.diverging else "mip"


def appearance(maps: Sequence[Array], display: Display) -> dict[str, Any]:
    """Collect how a new layer of the first of some reduced maps looks.

    Parameters
    ----------
    maps : sequence of (h, w) or (z, y, x) float32
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


class Source(Protocol):
    """What `compose` reads of the picture's layer; napari's own layers have it."""

    @property
    def scale(self) -> npt.NDArray[Any]: ...
    @property
    def translate(self) -> npt.NDArray[Any]: ...
    @property
    def rotate(self) -> npt.NDArray[Any]: ...
    @property
    def shear(self) -> npt.NDArray[Any]: ...
    @property
    def affine(self) -> Any: ...  # noqa: ANN401 - napari's Affine
    @property
    def units(self) -> Any: ...  # noqa: ANN401 - pint units


def compose(
    placement: Placement,
    source: Source,
    axes: tuple[int, ...] = (-2, -1),
    steps: Iterable[tuple[int, float]] = (),
) -> dict[str, Any]:
    """Place a map's layer so that it lies on the picture, however that is transformed.

    Parameters
    ----------
    placement : Placement
        Where the map lies in the picture.
    source : napari layer
        The picture's.
    axes : tuple of int
        The source's axes that are the picture's y and x, or the volume's z, y and x.
    steps : iterable of (int, float)
        For stacks: other axes of the source, and the index along each of the plane that was
        explained; 0 along those not named.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units`` for a layer of as many axes as the
        source has, whose data has length 1 along all but ``axes``.
    """
    scale, position = np.ones(len(source.scale)), np.zeros(len(source.scale))
    scale[list(axes)], position[list(axes)] = placement.scale, placement.translate
    for axis, index in steps:
        position[axis] = index
    # napari: world = affine · (rotate · shear · scale · data + translate)
    linear = source.rotate @ _shear_matrix(source.shear, len(scale)) @ np.diag(source.scale)
    return {
        "scale": source.scale * scale,
        "translate": source.translate + linear @ position,
        "rotate": np.array(source.rotate),
        "shear": np.array(source.shear),
        "affine": np.array(source.affine.affine_matrix),  # the object itself would be shared
        "units": source.units,
    }


def _shear_matrix(shear: npt.NDArray[Any], ndim: int) -> npt.NDArray[Any]:
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix
