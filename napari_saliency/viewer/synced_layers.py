"""Layers of ours that follow pictures: one for each, updated in place, with what is the user's left alone.

Maps and their errors are two such kinds; `_napari_maps` says what stands in them, and where.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_saliency.viewer.source_layer import OURS, owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import LayerList
    from napari.layers import Layer

    from napari_saliency.core.types import Array
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.state import Request

Limits = tuple[float, float]
Delay = Callable[[Callable[[], None]], Callable[[], None]]
"""Makes of a callable one that waits until it has not been called for a moment."""

# What stands in a layer's metadata, beside the explanation itself: what it answers, of which kind it is,
# whether it is live, kept by the user, or left by a panel that was closed, so that the next one may take
# it over, whether its contrast limits were set by hand, and the name that it was given.
REQUEST, KIND, STATE = "saliency_request", "saliency_kind", "saliency_state"
BY_HAND, NAME = "saliency_by_hand", "saliency_name"

LOOK = ("colormap", "opacity", "blending", "gamma", "interpolation2d", "rendering")
"""What a new layer takes over from the last one."""

_ROOMY = 4  # times as wide as need be: then the slider's handles are hard to set


@dataclass(frozen=True, eq=False)
class Content:
    """What a layer is to show.

    Attributes
    ----------
    values : array float32
        With as many axes as the layer.
    place : dict
        Attributes that say where it lies.
    limits : (float, float)
        Contrast limits, unless the user has set some.
    name : str
        Unless the user has chosen another one.
    explanation, request : Explanation, Request
        For the layer's metadata.
    """

    values: Array
    place: dict[str, Any]
    limits: Limits
    name: str
    explanation: Explanation
    request: Request


@dataclass(eq=False)
class SyncedLayer:
    """The layer that follows a picture now."""

    source: Image
    layer: Image
    name: str  # that it was given; another one is the user's
    by_hand: bool = False  # the user set the contrast limits


class LiveLayers:
    """The layers of one kind, one for each picture.

    Parameters
    ----------
    layers : LayerList
        The viewer's.
    kind : str
        Stands in the layers' metadata.
    delay : callable
        Makes a callable that is run once after many calls.
    contrast_moved : callable
        Told of a layer whose contrast limits somebody else has set: the user, or napari.

    Attributes
    ----------
    look : dict
        Of the next new layer.
    """

    def __init__(
        self, layers: LayerList, kind: str, delay: Delay, contrast_moved: Callable[[SyncedLayer], None]
    ) -> None:
        self._layers, self._kind, self._contrast_moved = layers, kind, contrast_moved
        self._live: dict[object, SyncedLayer] = {}
        self._kept: list[Image] = []  # to be hidden when the next one appears
        self._setting = False
        self._to_tell: list[Image] = []  # whose data changed without an event
        self._tell_soon = delay(self._tell)
        self.look: dict[str, Any] = {}

    def __iter__(self) -> Iterator[SyncedLayer]:
        """All that are live."""
        return iter(list(self._live.values()))

    def get(self, source: Image) -> SyncedLayer | None:
        """Return what follows a picture now."""
        return self._live.get(source.unique_id)

    def show(self, source: Image, content: Content, below: Layer) -> SyncedLayer:
        """Show something of a picture: in the layer that does, or in a new one above another."""
        with self._our_own_doing():
            live = self.get(source) or self._adopt(source) or self._add(source, content, below)
            self._update(live.layer, content)
            if live.layer.name == live.name != content.name:
                live.layer.name = content.name
                live.name = live.layer.name  # napari may have added a number
        live.layer.metadata.update({OURS: content.explanation, REQUEST: content.request})
        self.limit(live, content.limits)
        return live

    def limit(self, live: SyncedLayer, limits: Limits) -> None:
        """Set contrast limits, unless they are the user's or napari's."""
        if live.layer.auto_contrast:
            return
        with self._our_own_doing():
            chosen = live.layer.contrast_limits if live.by_hand else limits
            _set_limits(live.layer, (chosen[0], chosen[1]))

    def restyle(self, look: dict[str, Any]) -> None:
        """Give all layers, and the next new ones, a part of their look; contrast limits follow again."""
        self.look |= look
        for live in self:
            live.by_hand = False
            for name, value in look.items():
                setattr(live.layer, name, value)

    def keep(self, source: Image) -> bool:
        """Leave a picture's layer as it is; return whether there was one."""
        live = self.get(source)
        if live is None or live.layer not in self._layers:
            return False
        self._let_go(source.unique_id, "kept")
        self._kept.append(live.layer)
        return True

    def remove(self, source: Image) -> None:
        """Take a picture's layer out of the viewer, if there is one."""
        live = self.get(source) or self._adopt(source)
        if live is not None:
            self._let_go(source.unique_id)
            if live.layer in self._layers:
                self._layers.remove(live.layer)

    def forget(self, layer: Layer) -> None:
        """Follow the removal of a layer, a picture's or one of these."""
        for key, live in list(self._live.items()):
            if layer is live.layer or layer.unique_id == key:
                self._let_go(key)
        self._kept = [kept for kept in self._kept if kept is not layer]

    def close(self) -> None:
        """Let go of all layers; they stay as they are."""
        for key in list(self._live):
            self._let_go(key)

    def _update(self, layer: Image, content: Content) -> None:
        moved = different(layer, content.place)
        if layer.ndim != content.values.ndim or (not moved and layer.data.shape != content.values.shape):
            layer.data = content.values  # napari adds axes to a layer, or takes some away
            moved = different(layer, content.place)
        else:
            # Half of the time would go into the viewer's measuring all layers anew; but nothing has moved, or
            # it does so when the layer is moved. Others that listen are told after the map was painted.
            with layer.events.data.blocker():
                layer.data = content.values
            self._to_tell.append(layer)
            self._tell_soon()
        for name, value in moved.items():
            setattr(layer, name, value)

    def _tell(self) -> None:
        layers, self._to_tell = self._to_tell, []
        for layer in dict.fromkeys(layers):
            layer.events.data(value=layer.data)

    def _add(self, source: Image, content: Content, below: Layer) -> SyncedLayer:
        for kept in self._kept:
            kept.visible = False
        self._kept.clear()
        layer = Image(
            content.values,
            name=content.name,
            rgb=False,
            # before it is inserted: `is_picture` must say no
            metadata={OURS: content.explanation, KIND: self._kind},
            **content.place,
            **self.look,
        )
        self._layers.insert(self._layers.index(below) + 1, layer)
        return self._make_live(source, layer, layer.name)

    def _adopt(self, source: Image) -> SyncedLayer | None:
        """Take over the layer that a panel which is closed has left for a picture."""
        for layer in reversed(self._layers):
            data = layer.metadata
            if data.get(STATE) == "left" and data[KIND] == self._kind:
                of = owner(data[REQUEST].picture)
                if of is not None and of[0] == source.unique_id:
                    return self._make_live(source, layer, data[NAME])
        return None

    def _make_live(self, source: Image, layer: Image, name: str) -> SyncedLayer:
        by_hand = layer.metadata.get(BY_HAND, False)
        live = self._live[source.unique_id] = SyncedLayer(source, layer, name, by_hand)
        layer.metadata[STATE] = "live"
        layer.events.contrast_limits.connect(self._contrast_set)
        return live

    def _let_go(self, key: object, state: str = "left") -> None:
        live = self._live.pop(key)
        layer = live.layer
        layer.metadata.update({STATE: state, BY_HAND: live.by_hand, NAME: live.name})
        layer.events.contrast_limits.disconnect(self._contrast_set)
        self.look = look_of(layer)

    def _contrast_set(self, event: Any) -> None:  # noqa: ANN401 - napari's events are not typed
        if self._setting:
            return
        for live in self:
            if live.layer is event.source:
                live.by_hand |= not live.layer.auto_contrast
                self._contrast_moved(live)

    @contextmanager
    def _our_own_doing(self) -> Iterator[None]:
        self._setting = True
        try:
            yield
        finally:
            self._setting = False


def look_of(layer: Image) -> dict[str, Any]:
    """What of a layer's look the next one takes over."""
    return {name: getattr(layer, name) for name in LOOK}


def different(layer: Image, place: dict[str, Any]) -> dict[str, Any]:
    """Return what of a layer's place differs: every assignment makes napari slice the layer again."""
    result = {}
    for name, value in place.items():
        now = getattr(layer, name)
        if not np.array_equal(getattr(now, "affine_matrix", now), value):
            result[name] = value
    return result


def _set_limits(layer: Image, limits: Limits) -> None:
    """Set contrast limits, within a range that has room for all values.

    The range comes first: napari keeps that of the last map otherwise, and cuts the limits to it. It
    is left alone where it fits well enough, as setting it costs as much as all the rest.
    """
    finite = layer.data[np.isfinite(layer.data)]
    low, high = float(finite.min(initial=limits[0])), float(finite.max(initial=limits[1]))
    now = layer.contrast_limits_range
    if not (now[0] <= low < high <= now[1] and now[1] - now[0] <= _ROOMY * (high - low)):
        layer.contrast_limits_range = (low, high)
    if layer.contrast_limits != list(limits):
        layer.contrast_limits = limits
