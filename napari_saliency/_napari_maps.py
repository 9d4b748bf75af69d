"""The saliency layers: where they lie, what is updated, and what is left to the user.

Laws
----
There is one live map layer for each picture layer, right above it, updated in place. What the user
sets on it in napari stays: opacity, blending, gamma, interpolation, visibility, name, and

- the colormap, until the Display section's colormap or its kind (signed or not) is changed;
- the rendering of volumes in 3-D, until that kind is changed;
- contrast limits, once set by hand, until any Display control is changed or *auto* is pressed there.
  Before that, and after it, they follow the map, per class or shared between classes. napari's own
  continuous auto-contrast is left to itself.

A new layer (after Keep, deletion, or for another picture) begins with the look of the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from napari.utils import Colormap

from napari_saliency import _display
from napari_saliency._napari_pictures import OURS, owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import LayerList
    from napari.layers import Layer

    from napari_saliency._explanation import Explanation
    from napari_saliency._napari_pictures import Plane
    from napari_saliency._placement import Placement
    from napari_saliency._state import Request
    from napari_saliency._types import Array

Limits = tuple[float, float]
Delay = Callable[[Callable[[], None]], Callable[[], None]]
"""Makes of a callable one that waits until it has not been called for a moment."""

# What stands in a map layer's metadata, beside the explanation itself: what it answers, whether it is
# live, kept by the user, or left by a panel that was closed, so that the next one may take it over, and
# whether its contrast limits were set by hand.
REQUEST, STATE, BY_HAND = "saliency_request", "saliency_state", "saliency_by_hand"

_ROOMY = 4  # times as wide as need be: then the slider's handles are hard to set
_LOOK = ("colormap", "opacity", "blending", "gamma", "interpolation2d", "rendering")


class _View(NamedTuple):
    """A map as it is displayed: one number for each pixel, (h, w) or (z, y, x), and its own contrast limits."""

    values: Array
    limits: Limits


@dataclass(eq=False)
class _Live:
    """The layer that shows a picture's map now, and what it shows."""

    source: Image
    layer: Image
    name: str  # that it was given; another one is the user's
    by_hand: bool = False  # the user set the contrast limits
    shown: tuple[Plane, Explanation, Request] | None = None


class MapLayers:
    """The saliency layers of one viewer.

    Parameters
    ----------
    layers : LayerList
        The viewer's.
    display : Display
        How maps are shown.
    delay : callable
        Makes a callable that is run once after many calls.
    by_hand_changed : callable
        Told whether the user has set the contrast limits of the map that is shown.
    """

    def __init__(
        self,
        layers: LayerList,
        display: _display.Display,
        delay: Delay,
        by_hand_changed: Callable[[bool], None],
    ) -> None:
        self._layers, self._display, self._tell_by_hand = layers, display, by_hand_changed
        self._live: dict[object, _Live] = {}
        self._kept: list[Image] = []  # to be hidden when the next map appears
        self._look: dict[str, Any] = {"blending": "translucent", "interpolation2d": "linear"}
        self._look |= {"colormap": _colormap(display), "rendering": _display.rendering(display)}
        self._views: WeakKeyDictionary[Explanation, _View] = WeakKeyDictionary()
        self._setting = False
        self._to_tell: list[Image] = []  # whose data changed without an event
        self._tell_soon = delay(self._tell)

    def prepare(self, explanation: Explanation) -> None:
        """Compute now what `show` will need."""
        self._view(explanation)

    def show(
        self,
        source: Image,
        plane: Plane,
        explanation: Explanation,
        request: Request,
        others: Sequence[Explanation] = (),
    ) -> None:
        """Lay a map over a plane of a layer.

        Parameters
        ----------
        others : sequence of Explanation
            Maps that share their contrast limits with this one.
        """
        values = self._view(explanation).values
        place = geometry(source, plane, explanation.placement)
        with self._our_own_doing():
            live = self._live.get(source.unique_id) or self._adopt(source)
            live = live or self._add(source, plane, explanation)
            self._update(live.layer, pinned(values, source.ndim, plane), place)
            if not live.layer.auto_contrast:
                limits = live.layer.contrast_limits if live.by_hand else self._limits(explanation, others)
                _set_limits(live.layer, (limits[0], limits[1]), values)
            if live.layer.name == live.name != explanation.name:
                live.layer.name = explanation.name
                live.name = live.layer.name  # napari may have added a number
        live.shown = plane, explanation, request
        live.layer.metadata.update({OURS: explanation, REQUEST: request})
        self._tell_by_hand(live.by_hand)

    def has(self, source: Image) -> bool:
        """Whether a layer shows a picture's map now."""
        return source.unique_id in self._live

    def place(self, source: Image) -> None:
        """Follow a picture that was moved."""
        live = self._live.get(source.unique_id)
        if live is not None and live.shown is not None:
            plane, explanation, _ = live.shown
            for name, value in _moved(live.layer, geometry(source, plane, explanation.placement)).items():
                setattr(live.layer, name, value)

    def set_display(self, display: _display.Display, current: Image | None) -> None:
        """Show all maps but that of the current picture, and the next ones, in another way.

        Contrast limits follow the maps again.
        """
        before, self._display = self._display, display
        self._views.clear()
        look: dict[str, Any] = {}
        if (before.colormap, before.diverging) != (display.colormap, display.diverging):
            look["colormap"] = _colormap(display)
        if before.diverging != display.diverging:
            look["rendering"] = _display.rendering(display)
        self._look |= look
        for live in self._live.values():
            live.by_hand = False
            for name, value in look.items():
                setattr(live.layer, name, value)
            if live.source is not current and live.shown is not None:
                self.show(live.source, *live.shown)

    def keep(self, source: Image) -> bool:
        """Leave a picture's map as it is; return whether there was one."""
        live = self._live.get(source.unique_id)
        if live is None or live.layer not in self._layers:
            return False
        self._let_go(source.unique_id, "kept")
        self._kept.append(live.layer)
        return True

    def forget(self, layer: Layer) -> None:
        """Follow the removal of a layer, a picture's or a map's."""
        for key, live in list(self._live.items()):
            if layer is live.layer or layer.unique_id == key:
                self._let_go(key)
        self._kept = [kept for kept in self._kept if kept is not layer]

    def close(self) -> None:
        """Let go of all layers; they stay as they are."""
        for key in list(self._live):
            self._let_go(key)

    def _update(self, layer: Image, values: Array, place: dict[str, Any]) -> None:
        moved = _moved(layer, place)
        if not moved and layer.data.shape != values.shape:
            layer.data = values
            return
        # Half of the time would go into the viewer's measuring all layers anew; but nothing has moved, or
        # it does so when the layer is moved. Others that listen are told after the map was painted.
        with layer.events.data.blocker():
            layer.data = values
        for name, value in moved.items():
            setattr(layer, name, value)
        self._to_tell.append(layer)
        self._tell_soon()

    def _tell(self) -> None:
        layers, self._to_tell = self._to_tell, []
        for layer in dict.fromkeys(layers):
            layer.events.data(value=layer.data)

    def _view(self, explanation: Explanation) -> _View:
        if explanation not in self._views:
            values = explanation.reduced(self._display)
            self._views[explanation] = _View(values, _display.limits([values], self._display))
        return self._views[explanation]

    def _limits(self, explanation: Explanation, others: Sequence[Explanation]) -> Limits:
        shared = others if self._display.shared else ()
        found = [self._view(one).limits for one in (explanation, *shared)]
        return min(low for low, _ in found), max(high for _, high in found)

    def _add(self, source: Image, plane: Plane, explanation: Explanation) -> _Live:
        for kept in self._kept:
            kept.visible = False
        self._kept.clear()
        layer = Image(
            pinned(self._view(explanation).values, source.ndim, plane),
            name=explanation.name,
            rgb=False,
            metadata={OURS: explanation},  # before it is inserted: `is_picture` must say no
            axis_labels=source.axis_labels,
            **geometry(source, plane, explanation.placement),
            **self._look,
        )
        self._layers.insert(self._layers.index(source) + 1, layer)
        return self._make_live(source, layer, layer.name)

    def _adopt(self, source: Image) -> _Live | None:
        """Take over the map that a panel which is closed has left for a picture."""
        left = (layer for layer in reversed(self._layers) if layer.metadata.get(STATE) == "left")
        for layer in left:
            of = owner(layer.metadata[REQUEST].picture)
            if of is not None and of[0] == source.unique_id:
                return self._make_live(source, layer, layer.metadata[OURS].name)
        return None

    def _make_live(self, source: Image, layer: Image, name: str) -> _Live:
        by_hand = layer.metadata.get(BY_HAND, False)
        live = self._live[source.unique_id] = _Live(source, layer, name, by_hand)
        layer.metadata[STATE] = "live"
        layer.events.contrast_limits.connect(self._contrast_set)
        return live

    def _let_go(self, key: object, state: str = "left") -> None:
        live = self._live.pop(key)
        layer = live.layer
        layer.metadata.update({STATE: state, BY_HAND: live.by_hand})
        layer.events.contrast_limits.disconnect(self._contrast_set)
        self._look = {name: getattr(layer, name) for name in _LOOK}

    def _contrast_set(self, event: Any) -> None:  # noqa: ANN401 - napari's events are not typed
        if self._setting:
            return
        for live in self._live.values():
            if live.layer is event.source and not live.layer.auto_contrast:
                live.by_hand = True
                self._tell_by_hand(True)

    @contextmanager
    def _our_own_doing(self) -> Iterator[None]:
        self._setting = True
        try:
            yield
        finally:
            self._setting = False


def pinned(values: Array, ndim: int, plane: Plane) -> Array:
    """Give a map (h, w) or (z, y, x) the axes of its picture's layer, of length 1 all but its own."""
    others = tuple(axis for axis in range(ndim) if axis not in plane.axes)
    return np.expand_dims(values if plane.axes[-2] < plane.axes[-1] else values.T, others)


def geometry(source: Image, plane: Plane, placement: Placement) -> dict[str, Any]:
    """Where a map's layer lies in the world: as its picture, whatever that layer's transform."""
    others = dict(plane.steps)
    if plane.colours is not None:
        others[plane.colours] = (source.level_shapes[0][plane.colours] - 1) // 2
    if source.multiscale:
        factors = source.downsample_factors[plane.level]
        placement = placement.finer([float(factors[axis]) for axis in plane.axes])
    return _display.compose(placement, source, plane.axes, others.items())


def _moved(layer: Image, place: dict[str, Any]) -> dict[str, Any]:
    """Return what of a layer's place differs: every assignment makes napari slice the layer again."""
    found = {}
    for name, value in place.items():
        now = getattr(layer, name)
        if not np.array_equal(getattr(now, "affine_matrix", now), value):
            found[name] = value
    return found


def _set_limits(layer: Image, limits: Limits, values: Array) -> None:
    """Set contrast limits, within a range that has room for all values.

    The range comes first: napari keeps that of the last map otherwise, and cuts the limits to it. It
    is left alone where it fits well enough, as setting it costs as much as all the rest.
    """
    finite = values[np.isfinite(values)]
    low, high = float(finite.min(initial=limits[0])), float(finite.max(initial=limits[1]))
    now = layer.contrast_limits_range
    if not (now[0] <= low < high <= now[1] and now[1] - now[0] <= _ROOMY * (high - low)):
        layer.contrast_limits_range = (low, high)
    if layer.contrast_limits != list(limits):
        layer.contrast_limits = limits


def _colormap(display: _display.Display) -> Colormap:
    return Colormap(**_display.colormap(display))
