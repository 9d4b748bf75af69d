"""What a layer of the panel knows of itself, also after napari has copied or saved it."""

import copy
import pickle

import numpy as np
import pytest
from napari.layers import Image
from napari.layers._layer_actions import _duplicate_layer

from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.layer_record import KEY, Shows, State, is_generated, record_of, update_record
from tests.fakes import explanation, prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer
PHOTO = np.random.default_rng(5).integers(0, 255, (60, 80, 3), np.uint8)


@pytest.fixture
def session():
    return StagedSession(
        prediction(3), values=lambda index, title: np.full((4, 4, 3), index + 1.0, np.float32)
    )


@pytest.fixture
def controller(viewer, session):
    made = LayerController(viewer, session, [].append, lambda call: call)
    viewer.add_image(PHOTO, name="photo")
    yield made
    made.close()


def generated(viewer):
    return [layer for layer in viewer.layers if is_generated(layer)]


def test_everything_stands_in_one_place(viewer, session, controller):
    session.select_class(1)
    (layer,) = generated(viewer)
    assert list(layer.metadata) == [KEY]
    layer.contrast_limits = (0.5, 1)
    record = record_of(layer)
    assert (record.shows, record.state, record.by_hand) == (Shows.MAP, State.LIVE, True)
    controller.keep()
    assert (record.state, record_of(layer).state) == (State.LIVE, State.KEPT)  # replaced, never changed


def test_states_follow_the_panel(viewer, session, controller):
    session.select_class(1)
    (kept,) = generated(viewer)
    controller.keep()
    session.select_class(2)
    (live,) = (layer for layer in generated(viewer) if layer is not kept)
    assert (record_of(kept).state, record_of(live).state) == (State.KEPT, State.LIVE)
    controller.close()
    assert (record_of(kept).state, record_of(live).state) == (State.KEPT, State.LEFT)


def test_a_generated_picture_is_the_users_once_its_panel_is_closed(viewer, session, controller):
    session.set_method("activation_maximization", {})
    session.select_class(1)
    (layer,) = generated(viewer)
    assert (record_of(layer).shows, record_of(layer).state) == (Shows.PICTURE, State.LIVE)
    controller.close()
    assert record_of(layer).state is State.KEPT


def test_a_duplicate_is_no_picture_and_keeps_what_it_showed(viewer, session, controller):
    session.select_class(1)
    (layer,) = generated(viewer)
    viewer.layers.selection.active = layer
    _duplicate_layer(viewer.layers)
    (duplicate,) = (other for other in generated(viewer) if other is not layer)
    session.select_class(2)
    assert controller.source.name == "photo"
    assert record_of(duplicate).explanation.target.index == 1
    assert record_of(layer).explanation.target.index == 2
    assert duplicate.data.max() == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda metadata: pickle.loads(pickle.dumps(metadata))])
def test_the_record_can_be_copied_and_pickled(viewer, session, controller, copied):
    session.select_class(1)
    (layer,) = generated(viewer)
    record = record_of(Image(layer.data, metadata=copied(layer.metadata)))
    assert record.state is State.LIVE
    np.testing.assert_array_equal(record.explanation.values, session.explanation.values)
    assert record.request.target == session.request.target


def test_a_layer_of_a_notebook_is_generated_but_not_the_panels(viewer, controller):
    data, attributes, _ = explanation().to_layer()
    layer = viewer.add_image(data, **attributes)
    assert is_generated(layer)
    assert record_of(layer) is None
    assert controller.source.name == "photo"


def test_only_a_layer_with_a_record_has_one_to_update():
    with pytest.raises(KeyError):
        update_record(Image(PHOTO), by_hand=True)
