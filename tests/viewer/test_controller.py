"""The viewer and the session, connected: which picture is explained, and how often it is looked at.

`ViewerModel` is napari's viewer without a window; everything here runs at once (`delay` does not).
"""

import gc
import weakref
import zlib
from collections import Counter

import numpy as np
import pytest
from napari.layers import Image

from napari_saliency.maps.display import Display
from napari_saliency.viewer.controller import NO_PICTURE, LayerController
from napari_saliency.viewer.source_layer import Plane, owner
from tests.fakes import explanation
from tests.viewer.subjects import PHOTO, RNG, at_once, maps

pytestmark = pytest.mark.viewer


def test_follows_the_newest_image_and_the_users_choice(viewer, session, controller):
    assert controller.reading == NO_PICTURE
    assert session.picture is None
    first = viewer.add_image(PHOTO, name="first")
    assert controller.source is first
    second = viewer.add_image(PHOTO, name="second")
    assert session.picture.name == "second"
    controller.choose(first)
    assert session.picture.name == "first"
    viewer.layers.remove(first)
    assert controller.source is second
    viewer.layers.remove(second)
    assert controller.source is None
    assert session.picture is None


def test_layers_that_are_no_pictures_are_passed_over(viewer, session, controller):
    viewer.add_image(PHOTO, name="photo")
    viewer.add_labels(np.zeros((60, 80), int))
    viewer.add_points([[1, 2]])
    session.explain()
    assert len(maps(viewer)) == 1
    assert [layer.name for layer in controller.pictures] == ["photo"]
    assert controller.source.name == "photo"


def test_opened_over_existing_layers_it_takes_the_active_one(viewer, session):
    chosen = viewer.add_image(PHOTO)
    viewer.add_image(PHOTO)
    viewer.layers.selection.active = chosen
    controller = LayerController(viewer, session, [].append, at_once)
    assert controller.source is chosen
    controller.close()


def test_what_cannot_be_explained_is_said_and_nothing_is_sent(viewer, session, controller, monkeypatch):
    def refuse(layer, dims, space):
        raise ValueError(f"“{layer.name}” is empty.")

    monkeypatch.setattr("napari_saliency.viewer.controller.visible_plane", refuse)
    viewer.add_image(PHOTO, name="photo")
    assert controller.reading.description == "“photo” is empty."
    assert session.picture is None


def test_a_slider_outside_of_the_picture_gets_a_sentence(viewer, session, controller):
    viewer.add_image(np.zeros((9, 40, 40), np.uint8))
    viewer.add_image(np.zeros((3, 40, 40), np.uint8), name="short")
    viewer.dims.set_current_step(0, 8)
    assert "“short” has no plane" in controller.reading.description
    viewer.dims.set_current_step(0, 1)
    assert session.picture is not None
    assert controller.reading.description == ""


def test_in_three_dimensions_the_sliders_plane_is_explained_and_said(viewer, session, controller):
    viewer.add_image(RNG.random((5, 40, 40)))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.ndisplay = 3
    assert "3-D" in controller.reading.description
    assert owner(session.picture.key)[1] == Plane((1, 2), ((0, 2),))


@pytest.fixture
def journey(viewer, session, monkeypatch):
    """Count what a picture's arrival costs, with delayed calls that come when they are let, as in a window."""
    counts, waiting, posted = Counter(), [], []

    def counted(owner, name):
        function = getattr(owner, name)

        def count(*arguments, **more):
            counts[name.strip("_")] += 1
            return function(*arguments, **more)

        monkeypatch.setattr(owner, name, count)

    counted(LayerController, "_look")
    counted(zlib, "crc32")
    counted(session, "set_picture")
    controller = LayerController(viewer, session, posted.append, lambda call: lambda: waiting.append(call))

    def settle():
        controller._files._reader.submit(lambda: None).result(10)
        while posted or waiting:
            (posted or waiting).pop(0)()

    settle()
    counts.clear()
    yield controller, counts, settle
    controller.close()


def test_a_dropped_picture_is_looked_at_once(viewer, journey):
    _, counts, settle = journey
    viewer.add_image(RNG.integers(0, 255, (3, 50, 60), np.uint8))  # its sliders move, and its file is read
    settle()
    assert counts == {"look": 1, "set_picture": 1, "crc32": 1}


def test_what_happens_after_a_look_is_looked_at_once_more(viewer, journey):
    _, counts, settle = journey
    viewer.add_image(RNG.integers(0, 255, (5, 50, 60), np.uint8))
    settle()
    for step in (1, 3, 4):  # a slider that is dragged
        viewer.dims.set_current_step(0, step)
    assert counts["look"] == 1
    settle()
    assert counts == {"look": 2, "set_picture": 2, "crc32": 2}


def test_what_a_files_header_says_is_shown_without_another_look(viewer, session, journey):
    controller, counts, settle = journey
    viewer.add_image(RNG.integers(0, 255, (28, 28, 3), np.uint8))
    assert controller.reading.description == ""
    settle()
    assert "28 planes" in controller.reading.description
    assert counts["look"] == 1
    viewer.dims.ndisplay = 3
    settle()
    assert "28 planes" in controller.reading.description  # which a later look does not forget


def test_a_map_that_is_deleted_while_it_is_computed_stays_away_until_the_next_one(
    viewer, session, controller
):
    """Whoever deletes it does not want it: no step of the run that is left brings it back, nor another display."""
    viewer.add_image(PHOTO)
    session.patient = True
    session.explain()
    session.finish(done=2, total=9)
    viewer.layers.remove(maps(viewer)[0])
    assert session.commands[-1] == ("dismiss",)
    controller.display = Display(reduction="norm")
    assert not maps(viewer)
    session.explain()
    session.finish()
    assert len(maps(viewer)) == 1


def test_another_layer_that_is_deleted_dismisses_nothing(viewer, session, controller):
    viewer.add_image(PHOTO)
    other = viewer.add_labels(np.zeros((3, 3), int))
    session.explain()
    (kept,) = maps(viewer)
    controller.keep()
    session.select_class(2)
    for layer in (kept, other):
        viewer.layers.remove(layer)
    assert not session.of("dismiss")
    controller.display = Display(reduction="norm")
    assert len(maps(viewer)) == 1


def test_a_map_whose_picture_is_gone_is_dropped(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.patient = True
    session.explain()
    viewer.layers.clear()
    session.finish()
    assert not viewer.layers


def test_a_map_that_is_shown_goes_with_its_picture_and_does_not_come_back(viewer, session, controller):
    source = viewer.add_image(PHOTO)
    session.explain()
    (layer,) = maps(viewer)
    controller.keep()
    viewer.layers.remove(source)
    viewer.layers.remove(layer)
    assert session.explanation is not None
    controller.display = Display(reduction="norm")
    assert not viewer.layers


def test_whether_there_is_a_map_to_keep_is_told(viewer, session, controller):
    reported = []
    controller.map_changed.connect(reported.append)
    viewer.add_image(PHOTO)
    assert reported[-1:] == [False]
    session.explain()
    assert (reported[-1], controller.has_map) == (True, True)
    controller.keep()
    assert (reported[-1], controller.has_map) == (False, False)
    controller.display = Display(sign="signed")  # shows the map anew, in another layer
    assert reported[-1]
    viewer.layers.remove(maps(viewer)[0])
    assert not reported[-1]


def closed(viewer, session):
    """Use a connection, close it, and keep no more than a weak reference."""
    controller = LayerController(viewer, session, lambda call: None, at_once)
    viewer.layers.append(Image(PHOTO))  # `add_image` looks at local variables, and keeps them
    session.explain()
    controller.close()
    controller.close()
    controller._files._reader.shutdown()
    return weakref.ref(controller)


def test_nothing_is_held_after_closing(viewer, session):
    gone = closed(viewer, session)
    before = len(session.commands)
    viewer.layers[0].data = PHOTO[::-1].copy()
    maps(viewer)[0].contrast_limits = (0, 1)
    viewer.add_image(PHOTO)
    viewer.dims.set_point(0, 1)
    session.explanation_changed.emit(explanation())
    assert len(session.commands) == before
    gc.collect()
    assert gone() is None


def test_answers_that_come_after_closing_are_dropped(viewer, session):
    posted = []
    controller = LayerController(viewer, session, posted.append, at_once)
    viewer.add_image(RNG.integers(0, 255, (28, 28, 3), np.uint8))
    controller._files._reader.shutdown()
    assert posted
    controller.close()
    for call in posted:
        call()
    assert controller.reading.description == ""
