"""Channels that are left apart: a stack over the picture, stepped through with napari's slider."""

import numpy as np
import pytest

from napari_saliency.core.placement import Placement
from napari_saliency.core.types import Target
from napari_saliency.maps.display import Display
from napari_saliency.maps.reduction import limits
from napari_saliency.session.state import Request
from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.layer_record import record_of
from napari_saliency.viewer.source_layer import visible_plane
from tests.fakes import explanation, prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer
RNG = np.random.default_rng(5)
EACH = Display("each")


@pytest.fixture
def session():
    return StagedSession(
        prediction(3), values=lambda index, title: (RNG.normal(size=(4, 6, 5)) + index).astype(np.float32)
    )


@pytest.fixture
def controller(viewer, session):
    made = LayerController(viewer, session, [].append, lambda call: call)
    yield made
    made.close()


def shows(layer, kind):
    record = record_of(layer)
    return record is not None and record.shows == kind


def displayed(viewer):
    (layer,) = (layer for layer in viewer.layers if shows(layer, "map"))
    return layer


def lay(viewer, controller, source, made):
    plane = visible_plane(source, viewer.dims, len(made.placement.scale))
    asked = Request((source.unique_id, plane, None, 0, 0), "m", "gradient", (), Target.of_class(0))
    controller._maps.show(source, plane, made, asked)
    return displayed(viewer)


def test_one_layer_becomes_a_stack_and_a_map_again(viewer, session, controller):
    viewer.add_image(RNG.integers(0, 255, (60, 80, 3), np.uint8), scale=(2, 3), units="um")
    session.select_class(1)
    layer, flat = displayed(viewer), displayed(viewer).extent.world.copy()
    layer.opacity, layer.gamma, layer.name = 0.3, 0.5, "mine"
    key = session.picture.key
    controller.display = EACH
    assert displayed(viewer) is layer
    assert layer.data.shape == (5, 4, 6)
    assert (viewer.dims.ndim, viewer.dims.nsteps[0], viewer.dims.axis_labels[0]) == (3, 5, "channel")
    np.testing.assert_allclose(layer.extent.world[:, 1:], flat)
    assert layer.contrast_limits == pytest.approx(limits([layer.data], EACH))
    assert layer.units[1:] == viewer.layers[0].units
    viewer.dims.set_current_step(0, 3)
    assert session.picture.key == key  # the picture is the same, whichever channel is looked at
    session.select_class(2)
    assert displayed(viewer) is layer
    assert viewer.dims.current_step[0] == 3
    controller.display = Display()
    assert displayed(viewer) is layer
    assert layer.data.shape == (4, 6)
    assert viewer.dims.ndim == 2
    np.testing.assert_allclose(layer.extent.world, flat)
    assert layer.units == viewer.layers[0].units
    assert (layer.opacity, layer.gamma, layer.name) == (0.3, 0.5, "mine")


def test_contrast_by_hand_survives_new_maps_of_a_stack(viewer, session, controller):
    viewer.add_image(RNG.integers(0, 255, (60, 80, 3), np.uint8))
    controller.display = EACH
    session.select_class(1)
    displayed(viewer).contrast_limits = (0.5, 1)
    session.select_class(2)
    assert displayed(viewer).contrast_limits == [0.5, 1]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_channels_of_a_plane_of_a_stack_lie_on_it(viewer, controller, order):
    source = viewer.add_image(RNG.random((6, 7, 8)), scale=(5, 2, 3), translate=(1, 2, 3))
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 4)
    sides = [source.data.shape[axis] for axis in order[1:]]
    values = RNG.random((*sides, 5)).astype(np.float32)
    controller.display = EACH
    layer = lay(viewer, controller, source, explanation(values=values))
    assert viewer.dims.ndim == layer.ndim == 4
    spot = [0, 0, 0]
    spot[order[1]], spot[order[2]] = 2, 3
    assert layer.data[(4, *spot)] == pytest.approx(values[2, 3, 4])
    at_source = [*spot]
    at_source[order[0]] = 4
    np.testing.assert_allclose(layer.data_to_world((4, *spot)), (4, *source.data_to_world(at_source)))


def test_channels_of_a_volume_lie_on_it(viewer, controller):
    source = viewer.add_image(RNG.random((2, 6, 8, 10)), scale=(1, 3, 2, 2))
    values = RNG.random((3, 4, 5, 7)).astype(np.float32)
    controller.display = EACH
    placement = Placement((2.0, 2.0, 2.0), (0.5, 0.5, 0.5))
    layer = lay(viewer, controller, source, explanation(values=values, placement=placement))
    assert layer.data.shape == (7, 1, 3, 4, 5)
    np.testing.assert_array_equal(layer.data[6, 0], values[..., 6])
    place = source.data_to_world((0, 2.5, 4.5, 6.5))
    np.testing.assert_allclose(layer.data_to_world((6, 0, 1, 2, 3)), (6, *place))


def test_a_method_that_shows_a_stack_needs_no_choice(viewer, controller):
    source = viewer.add_image(RNG.random((4, 6)))
    values = RNG.random((4, 6, 5)).astype(np.float32)
    assert lay(viewer, controller, source, explanation(values=values, shows="stack")).ndim == 3
    assert lay(viewer, controller, source, explanation(values=values)).ndim == 2
    controller.display = Display("mean")
    assert lay(viewer, controller, source, explanation(values=values, shows="stack")).ndim == 2


def test_the_error_of_each_channel_is_stepped_through_with_it(viewer, session, controller):
    viewer.add_image(RNG.random((40, 60)))
    controller.display, controller.errors = EACH, True
    session.patient = True
    session.select_class(1)
    error = np.abs(RNG.normal(size=(4, 6, 5))).astype(np.float32)
    session.finish(stderr=error)
    (layer,) = (layer for layer in viewer.layers if shows(layer, "error"))
    np.testing.assert_array_equal(layer.data, np.moveaxis(error, -1, 0))
    np.testing.assert_array_equal(layer.extent.world, displayed(viewer).extent.world)
    controller.display = Display("mean")
    assert layer in viewer.layers
    np.testing.assert_allclose(layer.data, error.mean(axis=-1), rtol=1e-6)


def test_a_picture_that_is_moved_takes_its_stack_along(viewer, session, controller):
    source = viewer.add_image(RNG.random((40, 60)))
    controller.display = EACH
    session.explain()
    before = displayed(viewer).extent.world.copy()
    source.translate = (50, 60)
    np.testing.assert_allclose(displayed(viewer).extent.world, before + np.float64([0, 50, 60]))
