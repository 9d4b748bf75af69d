"""Layers that follow pictures: one for each, updated in place, leaving alone what the user set.

Maps and their errors are two such kinds; `map_layers` decides what stands in them, and where.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image

from napari_saliency.viewer.layer_record import KEY, LayerRecord, Shows, State, record_of, update_record
from napari_saliency.viewer.source_layer import owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import LayerList
    from napari.layers import Layer

    from napari_saliency.core.types import Array
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.state import Request

Limits = tuple[float, float]
Delay = Callable[[Callable[[], None]], Callable[[], None]]
"""Wraps a callable so that it runs once, a moment after the last call."""

LOOK = ("colormap", "opacity", "blending", "gamma", "interpolation2d", "rendering")
"""Attributes that a new layer takes over from the last one."""

_ROOMY = 4  # times wider than necessary: beyond that the slider's handles are hard to set


@dataclass(frozen=True, eq=False)
class Content:
    """The content of a layer.

    Attributes
    ----------
    values : array float32
        With as many axes as the layer.
    place : dict
        Attributes that position the layer.
    limits : (float, float)
        Contrast limits, unless the user has set some.
    name : str
        Name, unless the user has chosen another one.
    explanation, request : Explanation, Request
        For the layer's record.
    """

    values: Array
    place: dict[str, Any]
    limits: Limits
    name: str
    explanation: Explanation
    request: Request


class SyncedLayer(NamedTuple):
    """A picture's layer and the one that follows it."""

    source: Image
    layer: Image

    @property
    def record(self) -> LayerRecord:
        """State of the following layer."""
        record = record_of(self.layer)
        assert record is not None
        return record


class LiveLayers:
    """The layers of one kind, at most one for each picture.

    The record in each layer's metadata is the only place that knows its state; here stands only which layer
    follows which picture now.

    Parameters
    ----------
    layers : LayerList
        The viewer's layers.
    shows : Shows
        Kind of the layers.
    delay : callable
        Wraps a callable so that it runs once, a moment after the last call.
    contrast_moved : callable
        Called with a layer whose contrast limits the user or napari has set.

    Attributes
    ----------
    look : dict
        Look of the next new layer.
    """

    def __init__(
        self, layers: LayerList, shows: Shows, delay: Delay, contrast_moved: Callable[[SyncedLayer], None]
    ) -> None:
        self._layers, self._shows, self._contrast_moved = layers, shows, contrast_moved
        self._live: dict[object, SyncedLayer] = {}
        self._hide_next: list[Image] = []  # kept layers, hidden when the next new one appears
        self._updating = False
        self._unannounced: list[Image] = []  # layers whose data changed without an event
        self._announce_soon = delay(self._announce)
        self.look: dict[str, Any] = {}

    def __iter__(self) -> Iterator[SyncedLayer]:
        """Go through all live layers."""
        return iter(list(self._live.values()))

    def get(self, source: Image) -> SyncedLayer | None:
        """Return what follows a picture now."""
        return self._live.get(source.unique_id)

    def show(self, source: Image, content: Content, below: Layer) -> SyncedLayer:
        """Show content for a picture: in the layer that follows it, or in a new one above another."""
        with self._own_changes():
            live = self.get(source) or self._adopt(source) or self._add(source, content, below)
            layer, name = live.layer, live.record.name
            self._update(layer, content)
            if layer.name == name != content.name:
                layer.name = content.name
                name = layer.name  # napari may have added a number
        update_record(layer, explanation=content.explanation, request=content.request, name=name)
        self.limit(live, content.limits)
        return live

    def limit(self, live: SyncedLayer, limits: Limits) -> None:
        """Set contrast limits, unless the user or napari's continuous auto-contrast controls them."""
        layer = live.layer
        if layer.auto_contrast:
            return
        with self._own_changes():
            chosen = layer.contrast_limits if live.record.by_hand else limits
            _set_limits(layer, (chosen[0], chosen[1]))

    def restyle(self, look: dict[str, Any]) -> None:
        """Change part of the look of all layers and of the next new ones; contrast limits follow again."""
        self.look |= look
        for live in self:
            update_record(live.layer, by_hand=False)
            for name, value in look.items():
                setattr(live.layer, name, value)

    def keep(self, source: Image) -> bool:
        """Leave a picture's layer as it is; return whether there was one."""
        live = self.get(source)
        if live is None or live.layer not in self._layers:
            return False
        self._let_go(source.unique_id, State.KEPT)
        self._hide_next.append(live.layer)
        return True

    def remove(self, source: Image) -> None:
        """Take a picture's layer out of the viewer, if there is one."""
        live = self.get(source) or self._adopt(source)
        if live is not None:
            self._let_go(source.unique_id, State.LEFT)
            if live.layer in self._layers:
                self._layers.remove(live.layer)

    def forget(self, layer: Layer) -> None:
        """Follow the removal of a layer: of a picture or of one that follows it."""
        for key, live in list(self._live.items()):
            if layer is live.layer or layer.unique_id == key:
                self._let_go(key, State.LEFT)
        self._hide_next = [kept for kept in self._hide_next if kept is not layer]

    def close(self) -> None:
        """Let go of all layers; they stay as they are."""
        for key in list(self._live):
            self._let_go(key, State.LEFT)

    def _update(self, layer: Image, content: Content) -> None:
        moved = different(layer, content.place)
        if layer.ndim != content.values.ndim or (not moved and layer.data.shape != content.values.shape):
            layer.data = content.values  # napari adds axes to a layer, or takes some away
            moved = different(layer, content.place)
        else:
            # The event would make the viewer measure all layers again, which is half of the time of an update.
            # Nothing has moved here, or moving the layer below triggers it anyway. Other listeners hear of the
            # new data after the map was painted.
            with layer.events.data.blocker():
                layer.data = content.values
            self._unannounced.append(layer)
            self._announce_soon()
        for name, value in moved.items():
            setattr(layer, name, value)

    def _announce(self) -> None:
        layers, self._unannounced = self._unannounced, []
        for layer in dict.fromkeys(layers):
            layer.events.data(value=layer.data)

    def _add(self, source: Image, content: Content, below: Layer) -> SyncedLayer:
        for kept in self._hide_next:
            kept.visible = False
        self._hide_next.clear()
        record = LayerRecord(self._shows, content.explanation, content.request, content.name)
        layer = Image(
            content.values,
            name=content.name,
            rgb=False,
            metadata={KEY: record},  # before it is inserted: `is_picture` must be false
            **content.place,
            **self.look,
        )
        self._layers.insert(self._layers.index(below) + 1, layer)
        update_record(layer, name=layer.name)  # napari may have added a number
        return self._follow(source, layer)

    def _adopt(self, source: Image) -> SyncedLayer | None:
        """Take over the layer that a closed panel has left for a picture."""
        for layer in reversed(self._layers):
            record = record_of(layer)
            if record is None or record.state is not State.LEFT or record.shows is not self._shows:
                continue
            followed = owner(record.request.picture)
            if followed is not None and followed[0] == source.unique_id:
                update_record(layer, state=State.LIVE)
                return self._follow(source, layer)
        return None

    def _follow(self, source: Image, layer: Image) -> SyncedLayer:
        live = self._live[source.unique_id] = SyncedLayer(source, layer)
        layer.events.contrast_limits.connect(self._contrast_set)
        return live

    def _let_go(self, key: object, state: State) -> None:
        layer = self._live.pop(key).layer
        update_record(layer, state=state)
        layer.events.contrast_limits.disconnect(self._contrast_set)
        self.look = look_of(layer)

    def _contrast_set(self, event: Any) -> None:  # noqa: ANN401 - napari's events are not typed
        if self._updating:
            return
        for live in self:
            if live.layer is event.source:
                update_record(live.layer, by_hand=live.record.by_hand or not live.layer.auto_contrast)
                self._contrast_moved(live)

    @contextmanager
    def _own_changes(self) -> Iterator[None]:
        """Take changes of contrast limits for our own, in layers that the user has linked to this one, too."""
        self._updating = True
        try:
            yield
        finally:
            self._updating = False


def look_of(layer: Image) -> dict[str, Any]:
    """Return the part of a layer's look that the next one takes over."""
    return {name: getattr(layer, name) for name in LOOK}


def different(layer: Image, place: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a place that differ: each assignment makes napari slice the layer again."""
    result = {}
    for name, value in place.items():
        now = getattr(layer, name)
        if not np.array_equal(getattr(now, "affine_matrix", now), value):
            result[name] = value
    return result


def _set_limits(layer: Image, limits: Limits) -> None:
    """Set contrast limits, within a range that includes all values.

    The range comes first: otherwise napari keeps that of the last map and clips the limits to it. It
    is left alone where it fits well enough, because setting it costs as much as everything else together.
    """
    finite = layer.data[np.isfinite(layer.data)]
    low, high = float(finite.min(initial=limits[0])), float(finite.max(initial=limits[1]))
    now = layer.contrast_limits_range
    if not (now[0] <= low < high <= now[1] and now[1] - now[0] <= _ROOMY * (high - low)):
        layer.contrast_limits_range = (low, high)
    if layer.contrast_limits != list(limits):
        layer.contrast_limits = limits
