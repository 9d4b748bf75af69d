"""Models of volumes in the viewer: which volume is looked at, and where its map lies."""

import numpy as np
import pytest

from napari_saliency.core.placement import Placement
from napari_saliency.core.types import Target
from napari_saliency.images.prepare import prepare
from napari_saliency.maps.display import Display
from napari_saliency.models import InputSpec
from napari_saliency.session.state import ModelStatus, Phase, Request
from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.layer_record import is_generated
from napari_saliency.viewer.map_layers import geometry, pinned
from napari_saliency.viewer.regions import drawn
from napari_saliency.viewer.source_layer import Plane, picture, visible_plane
from tests.fakes import explanation, info, prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer
RNG = np.random.default_rng(5)
VOLUMES = info(input=InputSpec((8, 16, 16), 1, fit="stretch"))


@pytest.fixture
def session():
    return StagedSession(prediction(3), ModelStatus(Phase.READY, "ready", "fake:net", VOLUMES))


@pytest.fixture
def controller(viewer, session):
    made = LayerController(viewer, session, [].append, lambda call: call)
    yield made
    made.close()


def preview(viewer, source):
    return visible_plane(source, viewer.dims, 3)


def displayed(viewer, controller, source, made):
    plane = preview(viewer, source)
    asked = Request((source.unique_id, plane, None, 0, 0), "m", "gradient", (), Target.of_class(0))
    controller._maps.show(source, plane, made, asked)
    (layer,) = (layer for layer in viewer.layers if is_generated(layer))
    return layer


# Which volume


def test_the_whole_volume_is_explained_wherever_the_slider_is(viewer, session, controller):
    data = RNG.random((5, 20, 30)).astype(np.float32)
    viewer.add_image(data)
    key = session.picture.key
    np.testing.assert_array_equal(session.picture.read()[0], data)
    for change in (
        lambda: viewer.dims.set_current_step(0, 1),
        lambda: setattr(viewer.dims, "ndisplay", 3),
        lambda: setattr(viewer.dims, "order", (2, 1, 0)),
    ):
        change()
        assert session.picture.key == key
        np.testing.assert_array_equal(session.picture.read()[0], data)
        assert not controller.reading.description


def test_time_is_stepped_with_the_slider(viewer, session, controller):
    data = RNG.random((4, 5, 20, 30)).astype(np.float32)
    layer = viewer.add_image(data)
    layer.axis_labels = ("t", "z", "y", "x")
    for time in (0, 2):
        viewer.dims.set_current_step(0, time)
        np.testing.assert_array_equal(session.picture.read()[0], data[time])
        assert session.picture.name.endswith(f"(t {time})")
    assert preview(viewer, layer) == Plane((1, 2, 3), ((0, 2),))


@pytest.mark.parametrize("rgb", [True, False])
def test_colours_are_no_axis_of_a_volume(viewer, rgb):
    data = RNG.integers(0, 255, (5, 20, 30, 3), np.uint8)
    layer = viewer.add_image(data, rgb=rgb)
    plane = preview(viewer, layer)
    assert plane.axes == (0, 1, 2)
    assert not plane.steps
    np.testing.assert_array_equal(picture(layer, plane, 0).read()[0], data)


def test_a_flat_picture_is_refused_in_words(viewer, session, controller):
    viewer.add_image(RNG.random((20, 30)), name="flat")
    assert all(part in controller.reading.description for part in ("“flat”", "2-D", "volumes", "stack"))
    assert session.picture is None


def test_another_model_looks_at_planes_again(viewer, session, controller):
    data = RNG.random((5, 20, 30)).astype(np.float32)
    viewer.add_image(data)
    viewer.dims.set_current_step(0, 3)
    session.set_model(ModelStatus(Phase.READY, "ready", "fake:flat", info()))
    np.testing.assert_array_equal(session.picture.read()[0], data[3])
    session.set_model(ModelStatus(Phase.READY, "ready", "fake:net", VOLUMES))
    np.testing.assert_array_equal(session.picture.read()[0], data)


def test_a_model_of_volumes_is_never_given_a_plane_in_between(viewer):
    data = RNG.random((5, 20, 30)).astype(np.float32)
    viewer.add_image(data)
    session = StagedSession(prediction(3), ModelStatus(Phase.READY, "ready", "fake:flat", info()))
    controller = LayerController(
        viewer, session, [].append, lambda call: lambda: None
    )  # what waits never comes
    assert session.picture.read()[0].shape == (20, 30)
    session.set_model(ModelStatus(Phase.READY, "ready", "fake:net", VOLUMES))
    assert session.picture.read()[0].shape == (5, 20, 30)
    session.set_model(ModelStatus(Phase.LOADING, "loading", "fake:another"))
    assert session.picture.read()[0].shape == (5, 20, 30)
    controller.close()


def test_painting_on_any_plane_is_noticed(viewer, session, controller):
    layer = viewer.add_image(np.zeros((300, 120, 130), np.uint8))  # more than is read whole
    before = session.picture.key
    layer.data[150:, :60] = 7
    layer.refresh()
    assert session.picture.key != before


def test_of_a_pyramid_a_level_is_read_that_is_fine_enough(viewer):
    levels = [np.broadcast_to(np.uint8(0), (64, size, size)) for size in (4096, 2048, 1024, 512, 256)]
    layer = viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    assert preview(viewer, layer).level == 3


# Where its map lies

TRANSFORMS = [
    {},
    {"scale": (4.0, 2.0, 0.5), "translate": (9.0, 100.0, -7.0)},
    {"rotate": (20, 30, 40), "scale": (3, 1.5, 1.5), "translate": (3, 4, 5), "shear": [0.2, 0.1, 0.3]},
    {
        "affine": [[0.9, -0.3, 0.1, 5], [0.4, 1.1, 0, -2], [0.2, 0, 1, 3], [0, 0, 0, 1]],
        "scale": (3, 2, 1),
    },
]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # which napari says of any turned volume
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
@pytest.mark.parametrize("lead", [0, 1])
def test_a_planted_dot_is_found_where_it_was_planted(viewer, controller, fit, transform, lead):
    if lead and transform:
        transform = {"scale": (7, 4.0, 2.0, 0.5), "translate": (1, 9.0, 100.0, -7.0)}
    place, time = (17, 24, 36), (3,) * lead
    dotted = np.zeros((30, 40, 60), np.uint8)
    dotted[place] = 255
    stack = np.stack([dotted * 0] * 3 + [dotted]) if lead else dotted
    source = viewer.add_image(stack, **transform)
    for axis, step in enumerate(time):
        viewer.dims.set_current_step(axis, step)
    pixels, _ = picture(source, preview(viewer, source), 0).read()
    prepared = prepare(pixels, InputSpec((12, 10, 16), 1, fit=fit))
    made = explanation(values=prepared.x[..., 0], placement=prepared.placement)
    layer = displayed(viewer, controller, source, made)
    assert layer.data.shape == ((1,) * lead) + (12, 10, 16)
    result = np.unravel_index(np.argmax(layer.data), layer.data.shape)
    back = np.array(source.world_to_data(layer.data_to_world(result)))
    assert np.all(np.abs(back[lead:] - place) <= np.array(prepared.placement.scale) / 2 + 1e-6)
    np.testing.assert_allclose(back[:lead], time)


def test_a_map_without_channels_is_not_taken_for_a_picture_with_some(viewer, controller):
    source = viewer.add_image(RNG.random((6, 8, 10)))
    values = RNG.random((3, 4, 5)).astype(np.float32)
    placement = Placement((2.0, 2.0, 2.0), (0.5, 0.5, 0.5))
    layer = displayed(viewer, controller, source, explanation(values=values, placement=placement))
    np.testing.assert_allclose(layer.data, values)
    np.testing.assert_allclose(layer.extent.world, [[0.5, 0.5, 0.5], [4.5, 6.5, 8.5]])  # centres


def test_a_map_with_channels_is_shown_as_one_number_for_each_voxel(viewer, controller):
    source = viewer.add_image(RNG.random((3, 4, 5)))
    values = RNG.normal(size=(3, 4, 5, 2)).astype(np.float32)
    placement = Placement((1.0,) * 3, (0.0,) * 3)
    layer = displayed(viewer, controller, source, explanation(values=values, placement=placement))
    np.testing.assert_allclose(layer.data, np.abs(values).max(-1))


def test_maps_of_a_coarse_level_lie_on_the_finest(viewer):
    levels = [np.broadcast_to(np.uint8(0), (128, size, size)) for size in (1024, 512)]
    source = viewer.add_image(levels, multiscale=True, scale=(2, 0.5, 0.5), contrast_limits=(0, 255))
    plane = preview(viewer, source)
    assert plane.level == 1
    place = geometry(source, plane, Placement((1.0,) * 3, (0.0,) * 3))
    np.testing.assert_allclose(place["scale"], (2, 1, 1))
    np.testing.assert_allclose(place["translate"], (0, 0.25, 0.25))  # the middle of two pixels of half a unit


def test_hidden_colours_do_not_make_the_map_longer():
    plane = Plane((0, 1, 2), (), 0, 3)
    assert pinned(np.zeros((4, 5, 6), np.float32), 4, plane).shape == (4, 5, 6, 1)


def test_signs_are_not_hidden_in_3d_and_the_users_rendering_stays(viewer, controller):
    source = viewer.add_image(RNG.random((3, 4, 5)))
    made = explanation(values=RNG.random((3, 4, 5, 1)), placement=Placement((1.0,) * 3, (0.0,) * 3))
    layer = displayed(viewer, controller, source, made)
    assert layer.rendering == "mip"
    controller.display = Display(sign="signed")
    assert layer.rendering == "translucent"
    layer.rendering = "average"
    controller.display = Display(sign="signed", reduction="sum", colormap="cyan")
    assert layer.rendering == "average"
    controller.display = Display(sign="positive")
    assert layer.rendering == "mip"


# Regions


def inside(viewer, layer, source, shape):
    result = drawn(layer, source, preview(viewer, source), viewer.dims.point)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, len(shape))
    return result.contains(points.astype(float)).reshape(shape)


def test_labels_say_of_each_voxel_whether_it_counts(viewer):
    placed = {"scale": (3, 2, 1), "translate": (5, 6, 7)}
    source = viewer.add_image(RNG.random((6, 8, 10)), **placed)
    painted = np.zeros((6, 8, 10), np.uint8)
    painted[1:3, 2:6, 4:] = 2
    layer = viewer.add_labels(painted, **placed)
    np.testing.assert_array_equal(inside(viewer, layer, source, (6, 8, 10)), painted > 0)


@pytest.mark.parametrize("ndim", [2, 3])
def test_shapes_reach_through_the_volume(viewer, ndim):
    source = viewer.add_image(RNG.random((6, 8, 10)))
    corners = np.float64([[1.6, 2.6], [1.6, 7.4], [5.4, 7.4], [5.4, 2.6]])
    corners = corners if ndim == 2 else np.insert(corners, 0, 4, axis=1)
    layer = viewer.add_shapes([corners], shape_type="rectangle")
    expected = np.zeros((6, 8, 10), bool)
    expected[:, 2:6, 3:8] = True
    np.testing.assert_array_equal(inside(viewer, layer, source, (6, 8, 10)), expected)
