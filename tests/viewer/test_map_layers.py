"""Maps over their pictures: where they lie, and what of them is the user's."""

import numpy as np
import pytest

from napari_saliency.images.prepare import prepare
from napari_saliency.maps.display import Display
from napari_saliency.models import InputSpec
from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.layer_record import Shows, State, record_of
from napari_saliency.viewer.map_layers import geometry, pinned
from napari_saliency.viewer.source_layer import Plane, visible_plane
from tests.fakes import explanation
from tests.viewer.subjects import PHOTO, RNG, at_once, maps, request, world

pytestmark = pytest.mark.viewer
TRANSFORMS = [
    {},
    {"scale": (2.0, 0.5), "translate": (100.0, -7.0)},
    {"rotate": 33.0, "scale": (1.5, 1.5), "translate": (3.0, 4.0), "shear": [0.2]},
    {"affine": np.array([[0.9, -0.3, 5.0], [0.4, 1.1, -2.0], [0, 0, 1]]), "scale": (3.0, 2.0)},
]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_a_planted_dot_is_found_where_it_was_planted(viewer, controller, fit, transform):
    y, x = 37, 61
    dotted = np.zeros((90, 120), np.uint8)
    dotted[y, x] = 255
    source = viewer.add_image(dotted, **transform)
    prepared = prepare(dotted, InputSpec((30, 30), 1, fit=fit))
    made = explanation(values=prepared.x[..., 0], placement=prepared.placement)
    plane = visible_plane(source, viewer.dims)
    controller._maps.show(source, plane, made, request(source, plane))
    (layer,) = maps(viewer)
    result = np.unravel_index(np.argmax(layer.data), layer.data.shape)
    back = np.array(source.world_to_data(world(layer, *result)))
    assert np.all(np.abs(back - (y, x)) <= np.array(prepared.placement.scale) / 2 + 1e-6)


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (0, 2), (2, 0), (0, 1)])
def test_maps_are_pinned_to_their_plane_whichever_axes_are_shown(viewer, controller, axes):
    data = RNG.random((6, 7, 8)).astype(np.float32)
    source = viewer.add_image(data, scale=(3, 2, 1), translate=(10, 20, 30))
    (other,) = {0, 1, 2} - set(axes)
    viewer.dims.order = (other, *axes)
    viewer.dims.set_current_step(other, 4)
    plane = visible_plane(source, viewer.dims)
    assert plane == Plane(axes, ((other, 4),))
    values = RNG.random((data.shape[axes[0]], data.shape[axes[1]])).astype(np.float32)
    controller._maps.show(source, plane, explanation(values=values), request(source, plane))
    (layer,) = maps(viewer)
    assert layer.data.shape[other] == 1
    spot = [0, 0, 0]
    spot[axes[0]], spot[axes[1]] = 2, 3
    assert layer.data[tuple(spot)] == pytest.approx(values[2, 3])
    spot_in_source = [*spot]
    spot_in_source[other] = 4
    assert np.allclose(world(layer, *spot), world(source, *spot_in_source))


def test_maps_of_a_coarse_level_lie_on_the_finest(viewer, controller):
    levels = [np.zeros((size, size), np.uint8) for size in (4096, 2048, 1024)]
    source = viewer.add_image(levels, multiscale=True, scale=(0.5, 0.5))
    plane = visible_plane(source, viewer.dims)
    place = geometry(source, plane, explanation().placement)
    assert np.allclose(place["scale"], 2)
    assert np.allclose(place["translate"], 0.75)  # the middle of four pixels of half a unit


def test_hidden_colours_do_not_make_the_map_a_stack():
    plane = Plane((0, 1), (), 0, 2)
    assert pinned(np.zeros((4, 5), np.float32), 3, plane).shape == (4, 5, 1)


def test_one_layer_right_above_its_picture_updated_in_place(viewer, session, controller):
    viewer.add_image(PHOTO, name="one")
    viewer.add_image(PHOTO, name="two")
    controller.choose(viewer.layers["one"])
    session.explain()
    assert [layer.name for layer in viewer.layers] == ["one", session.explanation.name, "two"]
    layer, before = viewer.layers[1], viewer.layers[1].data.copy()
    session.select_class(1 if session.explanation.target.index != 1 else 2)
    assert viewer.layers[1] is layer
    assert not np.array_equal(layer.data, before)
    assert layer.name == session.explanation.name
    record = record_of(layer)
    assert record.explanation is session.explanation
    assert record.request == session.request
    assert (record.shows, record.state, record.name) == (Shows.MAP, State.LIVE, layer.name)


def test_listeners_hear_of_new_data(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.explain()
    heard = []
    maps(viewer)[0].events.data.connect(lambda event: heard.append(event.value.max()))
    session.select_class(2)
    assert heard == [3]


def test_each_picture_has_a_map_of_its_own(viewer, session, controller):
    for name in ("one", "two"):
        viewer.add_image(PHOTO, name=name)
        session.explain()
    assert len(maps(viewer)) == 2
    controller.choose(viewer.layers["one"])
    session.explain()
    assert len(maps(viewer)) == 2


USERS = {
    "colormap": "viridis",
    "opacity": 0.3,
    "blending": "additive",
    "gamma": 0.5,
    "visible": False,
    "interpolation2d": "nearest",
    "contrast_limits": [0.25, 1.5],
    "name": "my own name",
}


def value(layer, name):
    result = getattr(layer, name)
    return getattr(result, "name", result)


def test_what_the_user_sets_survives_other_classes_and_methods(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.explain()
    (layer,) = maps(viewer)
    for name, chosen in USERS.items():
        setattr(layer, name, chosen)
    for index in (2, 1, 0):
        session.select_class(index)
    session.set_method("grad_cam", {})
    session.explain()
    assert maps(viewer) == [layer]
    assert {name: value(layer, name) for name in USERS} == USERS


def test_contrast_follows_each_map_until_it_is_set_by_hand(viewer, session, controller):
    reported = []
    controller.contrast_changed.connect(reported.append)
    viewer.add_image(PHOTO)
    session.select_class(0)
    (layer,) = maps(viewer)
    assert layer.contrast_limits == [0, 1]
    session.select_class(2)
    assert layer.contrast_limits == [0, 3]
    layer.contrast_limits = (0.5, 2)
    session.select_class(1)
    assert layer.contrast_limits == [0.5, 2]
    assert reported[-1] is True
    controller.auto_contrast()
    assert layer.contrast_limits == [0, 2]
    assert reported[-1] is False


def test_contrast_by_hand_ends_with_a_change_of_display(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.select_class(1)
    (layer,) = maps(viewer)
    layer.contrast_limits = (0.5, 1)
    layer.colormap = "viridis"
    controller.display = Display(reduction="sum")
    assert layer.contrast_limits == [0, 6]
    assert layer.colormap.name == "viridis"  # which a reduction has nothing to do with
    controller.display = Display(sign="signed")
    assert layer.contrast_limits == [-2, 2]
    assert "diverging" in layer.colormap.name


def test_shared_contrast_is_that_of_all_known_maps(viewer, session, controller):
    viewer.add_image(PHOTO)
    for index in (2, 0):
        session.select_class(index)
    controller.display = Display(contrast="shared")
    (layer,) = maps(viewer)
    assert layer.contrast_limits == [0, 3]
    session.select_class(2)
    assert layer.contrast_limits == [0, 3]


def test_continuous_auto_contrast_of_napari_is_left_alone(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.stage.values = lambda index, title: np.linspace(1, 2 + index, 16, dtype=np.float32).reshape(4, 4)
    session.select_class(0)
    (layer,) = maps(viewer)
    layer.auto_contrast = True
    session.select_class(2)
    assert layer.contrast_limits == [1, 4]


def test_the_contrast_sliders_have_room_for_the_map(viewer, session, controller):
    viewer.add_image(PHOTO)
    for index, scale in ((0, 1), (1, 1e4), (2, 1e-4)):
        session.stage.values = lambda index, title, scale=scale: np.full((4, 4), scale, np.float32)
        session.select_class(index)
        low, high = maps(viewer)[0].contrast_limits_range
        assert low <= 0
        assert scale <= high * (1 + 1e-6) <= 4.1 * scale


def test_maps_of_zeros_and_of_nan_do_no_harm(viewer, session, controller):
    viewer.add_image(PHOTO)
    for index, filling in enumerate((0, np.nan, np.inf)):
        session.stage.values = lambda index, title, filling=filling: np.full((4, 4), filling, np.float32)
        session.select_class(index)
        assert maps(viewer)[0].contrast_limits == [0, 1]


def test_keep_freezes_a_map_and_the_next_one_looks_the_same(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.select_class(0)
    (kept,) = maps(viewer)
    kept.opacity, kept.colormap = 0.4, "viridis"
    frozen = kept.data.copy()
    controller.keep()
    session.select_class(2)
    new = next(layer for layer in maps(viewer) if layer is not kept)
    assert np.array_equal(kept.data, frozen)
    assert record_of(kept).explanation.target.index == 0
    assert not kept.visible
    assert new.visible
    assert (new.opacity, new.colormap.name) == (0.4, "viridis")
    kept.visible = True
    session.select_class(1)
    assert kept.visible  # it is hidden once, not again and again


def test_a_map_that_was_deleted_comes_back_with_its_look(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.select_class(0)
    maps(viewer)[0].gamma = 0.5
    viewer.layers.remove(maps(viewer)[0])
    session.select_class(1)
    assert [layer.gamma for layer in maps(viewer)] == [0.5]


def test_a_moved_picture_takes_its_map_along(viewer, session, controller):
    source = viewer.add_image(PHOTO)
    session.explain()
    (layer,) = maps(viewer)
    before = world(layer, 0, 0)
    source.translate = (50, 60)
    assert np.allclose(world(layer, 0, 0), before + np.array([50, 60]))


def test_live_maps_follow_the_slider_and_others_stay(viewer, session, controller):
    viewer.add_image(RNG.random((5, 40, 40)).astype(np.float32))
    viewer.dims.set_current_step(0, 0)
    session.explain()
    (layer,) = maps(viewer)
    viewer.dims.set_current_step(0, 3)
    assert world(layer, 0, 0, 0)[0] == 0
    session.live = True
    viewer.dims.set_current_step(0, 4)
    assert world(layer, 0, 0, 0)[0] == 4
    assert maps(viewer) == [layer]
    assert viewer.dims.nsteps[0] == 5


def test_all_maps_follow_the_display_not_only_the_one_looked_at(viewer, session, controller):
    for name in ("first", "second"):
        viewer.add_image(PHOTO, name=name)
        session.explain()
    controller.display = Display(sign="signed")
    for layer in maps(viewer):
        assert layer.contrast_limits[0] == -layer.contrast_limits[1]
        assert layer.colormap.name == "saliency diverging ±"
    controller.display = Display(sign="negative")  # of which there is nothing
    assert all(not layer.data.any() for layer in maps(viewer))


def test_a_picture_that_is_moved_brings_no_map_back(viewer, session, controller):
    layer = viewer.add_image(PHOTO)
    session.explain()
    controller.keep()
    layer.scale = (2, 2)
    assert len(maps(viewer)) == 1
    viewer.layers.remove(maps(viewer)[0])
    layer.translate = (5, 5)
    assert maps(viewer) == []


def test_the_next_panel_takes_over_the_map_that_a_closed_one_has_left(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.explain()
    controller.keep()
    session.select_class(1)
    before = {layer.unique_id: record_of(layer).explanation.label for layer in maps(viewer)}
    live = next(layer for layer in maps(viewer) if record_of(layer).state is State.LIVE)
    live.contrast_limits = (1, 2)
    controller.close()
    following = LayerController(viewer, session, [].append, at_once)
    session.select_class(2)
    assert live.contrast_limits == [1, 2]  # set by hand, under the panel before
    after = {layer.unique_id: record_of(layer).explanation.label for layer in maps(viewer)}
    assert after.keys() == before.keys()
    assert sum(after[one] != before[one] for one in after) == 1  # and the kept one is as it was
    following.close()


def test_two_panels_have_a_map_each(viewer, session, controller):
    viewer.add_image(PHOTO)
    session.explain()
    second = LayerController(viewer, session, [].append, at_once)
    session.select_class(1)
    assert len(maps(viewer)) == 2
    second.close()
