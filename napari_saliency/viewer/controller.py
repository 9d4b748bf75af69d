"""Connection between the viewer and the session: which picture is explained, where its map goes.

With the other modules of this room, this is all that knows napari's layers. No Qt here: what needs an event loop
is passed in as ``post`` and ``delay``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from psygnal import Signal

from napari_saliency.maps.display import Display
from napari_saliency.viewer.generated_images import PictureLayers
from napari_saliency.viewer.layer_record import Shows, State, record_of
from napari_saliency.viewer.map_layers import MapLayers
from napari_saliency.viewer.misread_files import FileThread, Reading, find_misreading, show_instead
from napari_saliency.viewer.regions import drawn, is_drawing
from napari_saliency.viewer.source_layer import is_picture, owner, picture, visible_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_saliency.core.placement import Drawn
    from napari_saliency.engine.client import Post
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.session import Session
    from napari_saliency.session.state import ModelStatus, SourceImage
    from napari_saliency.viewer.regions import Drawing
    from napari_saliency.viewer.source_layer import Plane
    from napari_saliency.viewer.synced_layers import Delay

NOTHING_DRAWN = "The region's layer is empty here: draw a region, or choose the whole picture."
IN_3D = "In the 3-D view, the plane at the slider position is explained."
NO_PICTURE = Reading("Drop a picture into the viewer.")


class LayerController:
    """Connects a viewer with a session until it is closed.

    Parameters
    ----------
    viewer : ViewerModel
        Its newest image layer is explained, until the user chooses another one.
    session : Session
        Is given pictures and returns maps.
    post : callable
        Runs a callable in the window's thread, soon.
    delay : callable
        Wraps a callable so that it runs once, a moment after the last call.

    Attributes
    ----------
    source : Image or None
        The layer that is explained.
    reading : Reading
        How it is interpreted, if there is anything to say about it.
    display : Display
        How maps are shown; settable.
    errors : bool
        True if the standard errors of maps are shown, too; settable.
    region : Labels, Shapes or None
        The layer that marks where maps are expected to point and, for models with spatial output, which part of the
        picture is explained.
    """

    pictures_changed = Signal()  # the layers of pictures and regions, their names, or the choice among them
    reading_changed = Signal(object)  # Reading
    contrast_changed = Signal(bool)  # True if the user has set the contrast limits by hand
    map_changed = Signal(bool)  # True if the picture has a map that can be kept
    errors_changed = Signal(bool)  # True if errors are shown

    def __init__(self, viewer: ViewerModel, session: Session, post: Post, delay: Delay) -> None:
        self._viewer, self._session, self._post = viewer, session, post
        self._look_due, self._look_later = False, delay(self._look_if_due)
        self._files = FileThread(post)
        self._closed = False
        self._version: dict[object, int] = {}
        self._misread = Reading()  # of the file of the picture's layer, read in a thread
        self._obstacle: Reading | None = None  # found by the last look
        self._space = 2  # axes that the model sees
        self.source: Image | None = None
        self.region: Drawing | None = None
        self.reading = NO_PICTURE
        self._display, self._errors = Display(), False
        self._maps = MapLayers(viewer.layers, self._display, delay, self._contrast_by_hand)
        self._made = PictureLayers(viewer.layers)
        for emitter, callback in self._viewer_events():
            emitter.connect(callback)
        session.explanation_changed.connect(self._show)
        session.known_classes_changed.connect(self._prepare)
        session.model_changed.connect(self._model_set)
        self._model_set(session.model)
        self.choose(self._first())

    @property
    def pictures(self) -> list[Image]:
        """Layers that can be explained, the topmost first."""
        return [layer for layer in reversed(self._viewer.layers) if is_picture(layer)]

    def choose(self, layer: Image | None) -> None:
        """Explain another layer, or none."""
        if layer is not self.source:
            self._let_go()
            self.source, self._misread = layer, Reading()
            if layer is not None:
                for emitter, callback in self._layer_events(layer):
                    emitter.connect(callback)
                self._files.read(partial(find_misreading, layer), partial(self._misread_found, layer))
        self.pictures_changed.emit()
        self._report_map()
        self._look()

    @property
    def drawings(self) -> list[Drawing]:
        """Layers in which a region can be drawn, the topmost first."""
        return [layer for layer in reversed(self._viewer.layers) if is_drawing(layer)]

    def choose_region(self, layer: Drawing | None) -> None:
        """Use the region drawn in a layer, or the whole picture."""
        self._let_go_of_region()
        self.region = layer
        for emitter, callback in self._drawing_events(layer):
            emitter.connect(callback)
        self.pictures_changed.emit()
        self._look_soon()

    def correct(self) -> None:
        """Show the picture as it should have been read, in a new layer."""
        source, corrected = self.source, self.reading.corrected
        if source is not None and corrected is not None:
            self._files.read(corrected, partial(show_instead, self._viewer.layers, source))

    def keep(self) -> None:
        """Keep the map as a layer of its own; the next map goes into a new layer."""
        if self.source is not None:
            self._maps.keep(self.source)
            self._made.keep(self.source)
            self._report_map()

    @property
    def display(self) -> Display:
        """Settings of how maps are shown."""
        return self._display

    @display.setter
    def display(self, display: Display) -> None:
        self._display = display
        self._maps.set_display(display, self.source)
        self._show(self._session.explanation)

    @property
    def errors(self) -> bool:
        """True if the standard errors of maps are shown, too."""
        return self._errors

    @errors.setter
    def errors(self, errors: bool) -> None:
        if errors != self._errors and not self._closed:
            self._errors = errors
            self._maps.show_errors(errors)
            self.errors_changed.emit(errors)

    @property
    def has_map(self) -> bool:
        """True if a live layer shows the picture's map, or a picture generated for it."""
        return self.source is not None and (self._maps.has(self.source) or self._made.has(self.source))

    def auto_contrast(self) -> None:
        """Make the contrast limits follow the map again."""
        self.display = self._display

    def close(self) -> None:
        """Disconnect from the viewer and its layers; maps stay."""
        if self._closed:
            return
        self._closed = True
        self._let_go()
        self._let_go_of_region()
        self._session.model_changed.disconnect(self._model_set, missing_ok=True)
        self._maps.close()
        self._made.close()
        for emitter, callback in self._viewer_events():
            emitter.disconnect(callback)
        self._session.explanation_changed.disconnect(self._show, missing_ok=True)
        self._session.known_classes_changed.disconnect(self._prepare, missing_ok=True)
        self._files.close()

    def _viewer_events(self) -> list[tuple[Any, Callable[..., None]]]:
        layers, dims = self._viewer.layers.events, self._viewer.dims.events
        return [
            (layers.inserted, self._inserted),
            (layers.removed, self._removed),
            (layers.reordered, self._reordered),
            (dims.current_step, self._moved),
            (dims.order, self._moved),
            (dims.ndisplay, self._moved),
        ]

    def _layer_events(self, layer: Image) -> list[tuple[Any, Callable[..., None]]]:
        events = layer.events
        moved = (events.scale, events.translate, events.rotate, events.shear, events.affine)
        return [
            (events.data, self._replaced),
            (events.set_data, self._moved),
            (events.contrast_limits, self._moved),
            (events.name, self._reordered),
            *((event, self._placed) for event in moved),
        ]

    def _let_go_of_region(self) -> None:
        for emitter, callback in self._drawing_events(self.region):
            emitter.disconnect(callback)

    def _drawing_events(self, layer: Drawing | None) -> list[tuple[Any, Callable[..., None]]]:
        if layer is None:
            return []
        events = layer.events
        changed = [events.data, events.set_data, events.scale, events.translate, events.rotate, events.shear]
        if isinstance(layer, Labels):
            changed += [events.selected_label, events.labels_update, events.paint]
        return [
            (events.name, self._reordered),
            *((event, self._moved) for event in (*changed, events.affine)),
        ]

    def _let_go(self) -> None:
        if self.source is not None:
            for emitter, callback in self._layer_events(self.source):
                emitter.disconnect(callback)

    def _first(self) -> Image | None:
        active = self._viewer.layers.selection.active
        pictures = self.pictures
        return (
            active
            if is_picture(active)
            else next((p for p in pictures if p.visible), next(iter(pictures), None))
        )

    def _inserted(self, event: Any) -> None:  # noqa: ANN401 - napari's events are not typed
        if is_picture(event.value):
            self.choose(event.value)
        elif is_drawing(event.value):
            self.pictures_changed.emit()

    def _removed(self, event: Any) -> None:  # noqa: ANN401
        source = self._maps.error_of(event.value)
        if source is not None:  # napari is still removing: other layers are changed later
            self._post(partial(self._error_deleted, source))
        if self._is_shown(event.value):
            self._session.dismiss()
        self._maps.forget(event.value)
        self._version.pop(event.value.unique_id, None)
        if event.value is self.source:
            self.choose(next(iter(self.pictures), None))
        elif event.value is self.region:
            self.choose_region(None)
        elif is_picture(event.value) or is_drawing(event.value):
            self.pictures_changed.emit()
        self._report_map()

    def _is_shown(self, layer: Layer) -> bool:
        """Return whether a layer shows the session's explanation as a live map or picture."""
        record = record_of(layer)
        if record is None or record.shows is Shows.ERROR or record.state is State.KEPT:
            return False
        return record.explanation is self._session.explanation

    def _error_deleted(self, source: Image) -> None:
        """Switch errors off, unless the picture was removed with them."""
        if source in self._viewer.layers:
            self.errors = False

    def _reordered(self, _event: object = None) -> None:
        self.pictures_changed.emit()

    def _moved(self, _event: object = None) -> None:
        self._look_soon()

    def _model_set(self, status: ModelStatus) -> None:
        """Look again; at once if the number of spatial axes differs from that of the previous model."""
        before = self._space
        if status.info is not None:
            self._space = len(status.info.input.shape)
        (self._look_soon if self._space == before else self._look)()

    def _replaced(self, _event: object = None) -> None:
        if self.source is not None:
            self._version[self.source.unique_id] = self._version.get(self.source.unique_id, 0) + 1
            self._look_soon()

    def _look_soon(self) -> None:
        """Look after a moment, once for many events, and not at all if `_look` was called meanwhile."""
        self._look_due = True
        self._look_later()

    def _look_if_due(self) -> None:
        if self._look_due:
            self._look()

    def _look(self) -> None:
        """Tell the session what is visible now, and where its map is expected to point."""
        self._look_due = False
        if self._closed:
            return
        seen = region = self._obstacle = None
        if self.source is not None:
            seen, region = self._look_at(self.source)
        self._show_reading()
        self._session.set_picture(seen)
        self._session.checks.look_for(region)  # by now it is known whether the map is of this picture

    def _look_at(self, source: Image) -> tuple[SourceImage | None, Drawn | None]:
        """Return a layer's picture, and the region, whether or not the model can use it."""
        region = None
        try:
            plane = visible_plane(source, self._viewer.dims, self._space)
            region = self._drawn(source, plane)
            asked = region if self._uses_regions else None
            if asked is not None and asked.empty:  # as on most planes of a stack: not an error, so no notice
                raise ValueError(NOTHING_DRAWN)
            seen = picture(source, plane, self._version.get(source.unique_id, 0), asked)
        except ValueError as error:
            self._obstacle = Reading(str(error))
            return None, region
        if self._viewer.dims.ndisplay == 3 and self._space == 2 and plane.steps:
            self._obstacle = Reading(IN_3D)
        return seen, region

    @property
    def _uses_regions(self) -> bool:
        """True if the model can be asked about part of a picture."""
        info = self._session.model.info
        return info is not None and bool(info.space)

    def _drawn(self, source: Image, plane: Plane) -> Drawn | None:
        return None if self.region is None else drawn(self.region, source, plane, self._viewer.dims.point)

    def _show_reading(self) -> None:
        reading = NO_PICTURE if self.source is None else self._obstacle or self._misread
        if reading != self.reading:
            self.reading = reading
            self.reading_changed.emit(reading)

    def _misread_found(self, layer: Image, reading: Reading) -> None:
        if layer is self.source and not self._closed:
            self._misread = reading
            self._show_reading()

    def _show(self, explanation: Explanation | None) -> None:
        request = self._session.request
        result = owner(request.picture) if request is not None else None
        if explanation is None or request is None or result is None:
            return
        source = next((layer for layer in self._viewer.layers if layer.unique_id == result[0]), None)
        if source is None:
            return
        if explanation.shows == "picture":
            if self._made.show(source, result[1], explanation, request):
                self._viewer.reset_view()  # the new layer lies outside the view
        else:
            others = self._session.known() if self._display.shared else ()
            self._maps.show(source, result[1], explanation, request, others)
        self._report_map()

    def _prepare(self, _classes: frozenset[int]) -> None:
        """Prepare the maps that the next click may show."""
        for explanation in self._session.known():
            if explanation.shows != "picture":
                self._maps.prepare(explanation)

    def _placed(self, _event: object = None) -> None:
        """Move the map with its picture; a region drawn over it stays where it is."""
        if self.source is not None:
            self._maps.place(self.source)
        if self.region is not None:
            self._look_soon()

    def _report_map(self) -> None:
        self.map_changed.emit(self.has_map)

    def _contrast_by_hand(self, by_hand: bool) -> None:
        self.contrast_changed.emit(by_hand)
