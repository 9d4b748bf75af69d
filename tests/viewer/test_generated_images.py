"""Pictures that a method has made, as layers of their own beside the one that was looked at."""

import numpy as np
import pytest

from napari_saliency.maps.display import Display
from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.layer_record import is_generated
from tests.fakes import prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer
RNG = np.random.default_rng(5)
PHOTO = RNG.integers(0, 255, (60, 80, 3), np.uint8)


def made(index, title):
    """A picture for each class: bright at its top left."""
    values = np.full((8, 8, 3), 10.0 * index + 0.4, np.float32)
    values[0, 0] = 300
    return values


@pytest.fixture
def session():
    result = StagedSession(prediction(3), values=made)
    result.set_method("activation_maximization", {})
    return result


@pytest.fixture
def controller(viewer, session):
    opened = LayerController(viewer, session, [].append, lambda call: call)
    yield opened
    opened.close()


def ours(viewer):
    return [layer for layer in viewer.layers if is_generated(layer)]


def test_it_is_an_ordinary_picture_right_of_the_one_that_is_looked_at(viewer, session, controller):
    source = viewer.add_image(PHOTO, scale=(2, 2), translate=(100, 0), rotate=90)
    session.explain()
    (layer,) = ours(viewer)
    assert layer.rgb
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (8, 8, 3)
    assert layer.data[0, 0].tolist() == [255, 255, 255]
    assert layer.data[1, 1].tolist() == [10 * session.explanation.target.index] * 3
    assert layer.opacity == 1
    assert controller.source is source
    assert list(controller.pictures) == [source]
    # The model saw the middle 60 columns of 80: 7.5 pixels for each of its 8, moved by 1.05 times the width.
    wanted = source.data_to_world((3.25, 10 + 3.25 + 1.05 * 80))
    np.testing.assert_allclose(layer.data_to_world((0, 0)), wanted)


def test_another_class_takes_its_place_and_the_users_settings_stay(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.select_class(1)
    (layer,) = ours(viewer)
    layer.opacity, layer.translate = 0.5, (7, 7)
    session.select_class(2)
    assert ours(viewer) == [layer]
    assert layer.data[1, 1, 0] == 20
    assert layer.name == session.explanation.name
    assert (layer.opacity, tuple(layer.translate)) == (0.5, (7, 7))
    layer.name = "mine"
    session.select_class(1)
    assert layer.name == "mine"


@pytest.mark.parametrize("end", ["keep", "delete"])
def test_after_it_was_kept_or_deleted_the_next_one_is_a_new_layer(viewer, session, controller, end):
    viewer.add_image(PHOTO)
    session.select_class(1)
    (first,) = ours(viewer)
    assert controller.has_map
    if end == "keep":
        controller.keep()
    else:
        viewer.layers.remove(first)
    assert not controller.has_map
    session.select_class(2)
    result = ours(viewer)
    assert len(result) == (2 if end == "keep" else 1)
    assert first.data[1, 1, 0] == 10
    assert next(layer for layer in result if layer is not first).data[1, 1, 0] == 20


def test_one_that_is_deleted_while_it_is_made_stays_away_until_the_next_one(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.patient = True
    session.explain()
    session.finish(done=2, total=9)
    (layer,) = ours(viewer)
    viewer.layers.remove(layer)
    assert session.commands[-1] == ("dismiss",)
    controller.display = Display(reduction="norm")
    assert not ours(viewer)


def test_maps_and_made_pictures_do_not_touch_each_other(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.set_method("gradient", {})
    session.select_class(1)
    (the_map,) = ours(viewer)
    before = the_map.data.copy()
    session.set_method("activation_maximization", {})
    session.select_class(1)
    assert len(ours(viewer)) == 2
    np.testing.assert_array_equal(the_map.data, before)
    session.set_method("gradient", {})
    session.select_class(2)
    picture = next(layer for layer in ours(viewer) if layer is not the_map)
    assert picture.data[1, 1, 0] == 10
    assert not np.array_equal(the_map.data, before)


def test_a_plane_of_a_stack_has_its_picture_at_that_plane(viewer, session, controller):
    viewer.add_image(RNG.integers(0, 255, (5, 60, 80), np.uint8))
    viewer.dims.set_current_step(0, 3)
    session.explain()
    (layer,) = ours(viewer)
    assert layer.data.shape == (1, 8, 8, 3)
    assert layer.data_to_world((0, 0, 0))[0] == 3


def test_a_turned_plane_has_a_turned_picture(viewer, session, controller):
    viewer.add_image(RNG.integers(0, 255, (60, 80), np.uint8))
    viewer.dims.order = (1, 0)
    session.explain()
    (layer,) = ours(viewer)
    assert layer.data[0, 0].tolist() == [255, 255, 255]
    # What is right on the screen is further down in the data.
    assert layer.data_to_world((0, 0))[0] > 60 > layer.data_to_world((0, 0))[1]


def test_grey_models_make_grey_pictures(viewer, controller, session):
    session.stage.values = lambda index, title: made(index, title)[..., :1]
    viewer.add_image(PHOTO)
    session.explain()
    (layer,) = ours(viewer)
    assert not layer.rgb
    assert layer.data.shape == (8, 8)
    assert tuple(layer.contrast_limits) == (0, 255)


def test_it_comes_into_sight_once(viewer, session, controller):
    viewer.add_image(PHOTO)
    viewer.scene.camera.zoom, viewer.scene.camera.center = 20, (0, 0, 0)
    session.select_class(1)
    assert viewer.scene.camera.center[-1] > 60  # both of them are in sight
    viewer.scene.camera.center = (0, 1, 2)
    session.select_class(2)
    assert viewer.scene.camera.center == (0, 1, 2)
