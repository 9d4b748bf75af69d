"""The saliency layers: maps of pictures, and their standard errors.

Laws
----
Each picture layer has one live map layer, directly above it and updated in place. What the user sets on it
in napari stays: opacity, blending, gamma, interpolation, visibility, name, and

- the colormap, until the Display section changes the colormap or its kind (signed or not);
- the rendering of volumes in 3-D, until that kind changes;
- contrast limits, once set by hand, until any Display control changes or *Auto contrast* is pressed there.
  Otherwise they follow the map, per class or shared between classes. napari's own continuous auto-contrast
  is not interfered with.

A new layer (after Keep, deletion, or for another picture) begins with the look of the last one.

If errors are switched on and a map has one, the same holds for a second layer, directly above the map. It begins
with the map's look but in other colours, so that it is not mistaken for a map. Its contrast limits are always those
of the map, so that both can be compared. It is removed when a complete map has no error, and empty while an
incomplete map has none yet.
The selection does not change: napari's layer controls belong to the map unless the user selects the error.

Channels that are not reduced form a leading axis, which napari's slider steps through; the same layer gains and
loses that axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from napari.utils import Colormap

from napari_saliency.maps import reduction
from napari_saliency.maps.colormaps import colormap, error_colormap
from napari_saliency.maps.transforms import compose, stacked
from napari_saliency.viewer.layer_record import Shows
from napari_saliency.viewer.synced_layers import (
    Content,
    Delay,
    Limits,
    LiveLayers,
    SyncedLayer,
    different,
    look_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Image, Layer

    from napari_saliency.core.placement import Placement
    from napari_saliency.core.types import Array
    from napari_saliency.maps.display import Display
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.state import Request
    from napari_saliency.viewer.source_layer import Plane


class _View(NamedTuple):
    """A map as it is displayed: one number per pixel, (h, w) or (z, y, x), after a leading axis of channels if any."""

    values: Array
    limits: Limits  # its own


class _Displayed(NamedTuple):
    """An image's map, with everything that decides how it is drawn."""

    source: Image
    plane: Plane
    explanation: Explanation
    request: Request


class MapLayers:
    """The saliency layers of one viewer.

    Parameters
    ----------
    layers : LayerList
        The viewer's layers.
    display : Display
        How maps are shown.
    delay : callable
        Wraps a callable so that it runs once, a moment after the last call.
    by_hand_changed : callable
        Called with True if the user has set the contrast limits of the map that is shown or of its error, else with
        False.
    """

    def __init__(
        self,
        layers: LayerList,
        display: Display,
        delay: Delay,
        by_hand_changed: Callable[[bool], None],
    ) -> None:
        self._layers, self._display, self._report_by_hand = layers, display, by_hand_changed
        self._maps = LiveLayers(layers, Shows.MAP, delay, self._contrast_moved)
        self._errors = LiveLayers(layers, Shows.ERROR, delay, self._contrast_moved)
        self._maps.look = {"blending": "translucent", "interpolation2d": "linear"}
        self._maps.look |= {"colormap": _colormap(display), "rendering": reduction.rendering(display)}
        self._with_errors = False
        self._displayed: dict[object, _Displayed] = {}
        self._views: WeakKeyDictionary[Explanation, _View] = WeakKeyDictionary()

    def prepare(self, explanation: Explanation) -> None:
        """Reduce a map in advance, so that `show` is fast."""
        self._view(explanation)

    def show(
        self,
        source: Image,
        plane: Plane,
        explanation: Explanation,
        request: Request,
        others: Sequence[Explanation] = (),
    ) -> None:
        """Lay a map over a plane of a layer, and its error over the map.

        Parameters
        ----------
        others : sequence of Explanation
            Maps that share their contrast limits with this one.
        """
        displayed = self._displayed[source.unique_id] = _Displayed(source, plane, explanation, request)
        limits = self._limits(explanation, others)
        content = _content(displayed, self._view(explanation).values, limits, explanation.name)
        below = self._maps.show(source, content, source)
        self._show_error(displayed, below)
        self._report(source)

    def has(self, source: Image) -> bool:
        """Return whether a layer shows a picture's map now."""
        return self._maps.get(source) is not None

    def error_of(self, layer: Layer) -> Image | None:
        """Return the picture of a layer that shows the error of its map; None for other layers."""
        return next((live.source for live in self._errors if live.layer is layer), None)

    def show_errors(self, wanted: bool) -> None:
        """Show or hide the errors of all maps, from now on."""
        self._with_errors = wanted
        for displayed in self._displayed.values():
            live = self._maps.get(displayed.source)
            if live is not None:
                self._show_error(displayed, live)
                self._report(displayed.source)

    def place(self, source: Image) -> None:
        """Move the map of a picture, and its error, to where the picture lies now."""
        for live in (self._maps.get(source), self._errors.get(source)):
            if live is not None:
                place = _place(self._displayed[source.unique_id], live.layer.ndim)
                for name, value in different(live.layer, place).items():
                    setattr(live.layer, name, value)

    def set_display(self, display: Display, current: Image | None) -> None:
        """Change how maps are shown: all except the current picture's, which the caller shows again.

        Contrast limits follow the maps again.
        """
        before, self._display = self._display, display
        self._views.clear()
        look: dict[str, Any] = {}
        if (before.colormap, before.diverging) != (display.colormap, display.diverging):
            look["colormap"] = _colormap(display)
        if before.diverging != display.diverging:
            look["rendering"] = reduction.rendering(display)
        self._maps.restyle(look)
        if "colormap" in look:
            look["colormap"] = self._error_colormap(look["colormap"])
        self._errors.restyle(look)
        for live in self._maps:
            if live.source is not current:
                self.show(*self._displayed[live.source.unique_id])

    def keep(self, source: Image) -> bool:
        """Leave a picture's map and its error as they are; return whether there was a map."""
        kept = self._maps.keep(source)
        if kept:
            self._errors.keep(source)
        return kept

    def forget(self, layer: Layer) -> None:
        """Follow the removal of a layer: of a picture, a map or an error."""
        self._displayed.pop(layer.unique_id, None)
        self._maps.forget(layer)
        self._errors.forget(layer)

    def close(self) -> None:
        """Let go of all layers; they stay as they are."""
        self._maps.close()
        self._errors.close()

    def _show_error(self, displayed: _Displayed, below: SyncedLayer) -> None:
        """Show the error of a map above it, if it has one and errors are switched on."""
        source, explanation = displayed.source, displayed.explanation
        live = self._errors.get(source)
        if not self._with_errors or (explanation.stderr is None and explanation.complete):
            if live is not None and self._layers.selection.active is live.layer:
                self._layers.selection.active = below.layer
            self._errors.remove(source)
            return
        if explanation.stderr is not None:
            values = explanation.reduced_error(self._display)
        elif live is not None:
            values = np.full_like(self._view(explanation).values, np.nan)
        else:
            return
        if live is None:
            usual = {**look_of(below.layer), "colormap": self._error_colormap(below.layer.colormap)}
            self._errors.look = usual | self._errors.look
        content = _content(displayed, values, below.layer.contrast_limits, explanation.error_name)
        active = self._layers.selection.active
        self._errors.show(source, content, below.layer)
        if live is None:
            self._layers.selection.active = active

    def _error_colormap(self, of_map: Colormap) -> Colormap:
        return Colormap(**error_colormap(self._display, of_map.name))

    def _contrast_moved(self, live: SyncedLayer) -> None:
        """Give an error the contrast limits of its map, whoever set those."""
        displayed, error = self._maps.get(live.source), self._errors.get(live.source)
        if displayed is live and error is not None:
            self._errors.limit(error, live.layer.contrast_limits)
        self._report(live.source)

    def _report(self, source: Image) -> None:
        both = (self._maps.get(source), self._errors.get(source))
        self._report_by_hand(any(live is not None and live.record.by_hand for live in both))

    def _view(self, explanation: Explanation) -> _View:
        if explanation not in self._views:
            values = explanation.reduced(self._display)
            self._views[explanation] = _View(values, reduction.limits([values], self._display))
        return self._views[explanation]

    def _limits(self, explanation: Explanation, others: Sequence[Explanation]) -> Limits:
        shared = others if self._display.shared else ()
        result = [self._view(one).limits for one in (explanation, *shared)]
        return min(low for low, _ in result), max(high for _, high in result)


def pinned(values: Array, ndim: int, plane: Plane) -> Array:
    """Give a map the axes of its picture's layer, with length 1 for all but its own.

    Parameters
    ----------
    values : (h, w) or (z, y, x), or with a leading axis of channels, which stays the first
    ndim : int
        Axes of the picture's layer.
    """
    lead = values.ndim - len(plane.axes)
    others = tuple(lead + axis for axis in range(ndim) if axis not in plane.axes)
    turned = plane.axes[-2] > plane.axes[-1]
    return np.expand_dims(values.swapaxes(-2, -1) if turned else values, others)


def geometry(source: Image, plane: Plane, placement: Placement) -> dict[str, Any]:
    """Return the transform that lays a map over its picture, whatever the transform of the picture's layer."""
    others = dict(plane.steps)
    if plane.colours is not None:
        others[plane.colours] = (source.level_shapes[0][plane.colours] - 1) // 2
    if source.multiscale:
        factors = source.downsample_factors[plane.level]
        placement = placement.finer([float(factors[axis]) for axis in plane.axes])
    return compose(placement, source, plane.axes, others.items())


def _content(displayed: _Displayed, values: Array, limits: Sequence[float], name: str) -> Content:
    data = pinned(values, displayed.source.ndim, displayed.plane)
    place = _place(displayed, data.ndim)
    return Content(data, place, (limits[0], limits[1]), name, displayed.explanation, displayed.request)


def _place(displayed: _Displayed, ndim: int) -> dict[str, Any]:
    """Return the transform of a layer with the axes of its picture's layer, or with a leading one of channels."""
    source = displayed.source
    place = geometry(source, displayed.plane, displayed.explanation.placement)
    labels = tuple(source.axis_labels)
    if ndim == source.ndim:
        return {**place, "axis_labels": labels}
    return {**stacked(place), "axis_labels": ("channel", *labels)}


def _colormap(display: Display) -> Colormap:
    return Colormap(**colormap(display))
