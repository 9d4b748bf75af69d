"""The colours of maps: transparent at 0, so that the picture below stays readable; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_saliency.maps.reduction import Display

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
    return _made(f"saliency {name}", _STOPS[name][display.diverging], display)


def error_colormap(display: Display, beside: str) -> dict[str, Any]:
    """Make the colours of a map's standard error: one hue, and another than those of the map.

    Cyan, and green where signs are shown, as blue and cyan are some colormaps' negative; the other one where the
    map itself has that hue. For limits of both signs they are mirrored about 0: the error's can be the map's.

    Parameters
    ----------
    display : Display
        Of the map.
    read_sidecar : str
        Name of the map's colormap, which need not be one of ours.

    Returns
    -------
    dict
        As of `colormap`, which see.
    """
    hues = ("green", "cyan") if display.diverging else ("cyan", "green")
    name = next(hue for hue in hues if hue not in beside)
    stops = _STOPS[name][0]
    return _made(f"saliency error {name}", stops[:0:-1] * display.diverging + stops, display)


def _made(title: str, stops: tuple[str, ...], display: Display) -> dict[str, Any]:
    controls = np.linspace(0, 1, _STEPS, dtype=np.float32)
    places = np.linspace(0, 1, len(stops))
    rgb = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    strength = np.abs(2 * controls - 1) if display.diverging else controls
    columns = [np.interp(controls, places, channel) for channel in rgb.T] + [_opacity(strength)]
    title += " ±" * display.diverging
    return {"name": title, "colors": np.stack(columns, axis=-1).astype(np.float32), "controls": controls}


def _opacity(strength: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    t = np.clip(strength / 0.8, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
