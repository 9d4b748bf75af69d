"""Colormaps of the maps: transparent at 0, so that the image below remains visible. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency.maps.display import Display

# For each name: colours from 0 to the largest value, and from the most negative value to the most positive.
# All are transparent at 0, so that the colour at 0 only tints the values next to it.
_STOPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
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

_STEPS = 129  # number of colours; odd, so that the middle one of a diverging colormap lies at 0


def colormap(display: Display) -> dict[str, Any]:
    """Make a map's colormap, as napari's layers take it.

    Returns
    -------
    dict
        ``name``; ``colors`` (n, 4) float32, RGBA 0 to 1; ``controls`` (n,) float32, their positions between
        the contrast limits, 0 to 1. The value 0 is transparent; opacity rises smoothly to 1 at 80 % of
        the limit, so that weak noise does not veil the image.
    """
    name = display.colormap or ("diverging" if display.diverging else "heat")
    return _sample(f"saliency {name}", _STOPS[name][display.diverging], display)


def error_colormap(display: Display, map_colormap: str) -> dict[str, Any]:
    """Make the colormap of a map's standard error: a single hue that the map's colormap does not have.

    Cyan; green where both signs are displayed, since some diverging colormaps are blue or cyan for negative
    values; the other of the two where the map itself has that hue. If the limits have both signs, the
    colours are mirrored about 0, so that the map's contrast limits also serve for its error.

    Parameters
    ----------
    display : Display
        The map's.
    map_colormap : str
        Name of the map's colormap, which may be any of napari's.

    Returns
    -------
    dict
        As from `colormap`.
    """
    hues = ("green", "cyan") if display.diverging else ("cyan", "green")
    name = next(hue for hue in hues if hue not in map_colormap)
    stops = _STOPS[name][0]
    return _sample(f"saliency error {name}", stops[:0:-1] * display.diverging + stops, display)


def _sample(title: str, stops: tuple[str, ...], display: Display) -> dict[str, Any]:
    """Interpolate between stops, evenly spaced hex colours."""
    controls = np.linspace(0, 1, _STEPS, dtype=np.float32)
    places = np.linspace(0, 1, len(stops))
    rgb = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    strength = np.abs(2 * controls - 1) if display.diverging else controls
    columns = [np.interp(controls, places, channel) for channel in rgb.T] + [_opacity(strength)]
    title += " ±" * display.diverging
    return {"name": title, "colors": np.stack(columns, axis=-1).astype(np.float32), "controls": controls}


def _opacity(strength: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    t = np.clip(strength / 0.8, 0, 1)  # smoothstep: no edge that would look like structure in the map
    return np.asarray(t * t * (3 - 2 * t))
