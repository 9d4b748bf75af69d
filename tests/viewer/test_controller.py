"""Viewer and inspection, connected: pictures found, planes pinned, the user's settings kept.

`ViewerModel` is napari's viewer without a window; everything here runs at once (`delay` does not).
"""

import gc
import weakref
import zlib
from collections import Counter
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.layers._source import layer_source
from napari.utils.notifications import notification_manager
from PIL import Image as Pillow

from napari_saliency.core.types import Target
from napari_saliency.images.prepare import prepare
from napari_saliency.maps.display import Display
from napari_saliency.models import InputSpec
from napari_saliency.session.state import Problem, Request
from napari_saliency.viewer.controller import NO_PICTURE, LayerController
from napari_saliency.viewer.layer_record import Shows, State, is_generated, record_of
from napari_saliency.viewer.map_layers import geometry, pinned
from napari_saliency.viewer.misread_files import find_misreading
from napari_saliency.viewer.napari_hooks import notify
from napari_saliency.viewer.source_layer import Plane, owner, picture, visible_plane
from tests.fakes import FakeSession, explanation, prediction

pytestmark = pytest.mark.viewer
RNG = np.random.default_rng(5)
PHOTO = RNG.integers(0, 255, (60, 80, 3), np.uint8)


@pytest.fixture
def session():
    return FakeSession(prediction(3), values=lambda index, title: np.full((4, 4, 3), index + 1.0, np.float32))


def at_once(call):
    return call


@pytest.fixture
def controller(viewer, session):
    made = LayerController(viewer, session, [].append, at_once)
    yield made
    made.close()


def settle(controller):
    """Wait for the thread that looks at files, and for its answers."""
    controller._files._reader.submit(lambda: None).result(10)
    posted = controller._post.__self__
    while posted:
        posted.pop(0)()


def maps(viewer):
    return [layer for layer in viewer.layers if is_generated(layer)]


def world(layer, *position):
    return np.array(layer.data_to_world(position))


# Which picture is looked at


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


def test_reads_what_the_viewer_shows(viewer, session, controller):
    stack = RNG.random((3, 5, 40, 50)).astype(np.float32)
    viewer.add_image(stack)
    viewer.dims.set_current_step((0, 1), (2, 4))
    pixels, values = session.picture.read()
    assert np.array_equal(pixels, stack[2, 4])
    assert values == (0, 1)
    viewer.dims.order = (2, 1, 3, 0)  # columns are the first axis now, rows the last
    viewer.dims.set_current_step(2, 20)
    pixels, _ = session.picture.read()
    assert np.array_equal(pixels, stack[:, 4, 20].T)


def test_colour_stacks_and_two_dimensional_layers_among_stacks(viewer, session, controller):
    stack = RNG.integers(0, 255, (4, 40, 50, 3), np.uint8)
    viewer.add_image(stack)
    viewer.dims.set_current_step(0, 3)
    assert np.array_equal(session.picture.read()[0], stack[3])
    viewer.add_image(PHOTO)
    pixels, values = session.picture.read()
    assert np.array_equal(pixels, PHOTO)
    assert values is None


def test_lazy_data_are_read_only_when_asked(viewer, session, controller):
    chunks = []

    def chunk(block, block_info=None):
        chunks.append(block_info)
        return block

    data = da.from_array(RNG.random((6, 40, 50)), chunks=(1, 40, 50)).map_blocks(chunk, dtype=float)
    layer = viewer.add_image(data, contrast_limits=(0, 1))
    plane = visible_plane(layer, viewer.dims)
    chunks.clear()
    lazy = picture(layer, plane, 0)
    assert not chunks
    assert lazy.read()[0].shape == (40, 50)
    assert len(chunks) == 1


def test_multiscale_is_read_from_the_coarsest_level_that_is_fine_enough(viewer, session, controller):
    levels = [np.zeros((size, size), np.uint8) for size in (4096, 2048, 1024, 512)]
    layer = viewer.add_image(levels, multiscale=True)
    plane = visible_plane(layer, viewer.dims)
    assert plane.level == 2
    assert session.picture.read()[0].shape == (1024, 1024)


@pytest.mark.parametrize(
    ("shape", "dtype", "description"),
    [((0, 40), "uint8", "is empty"), ((40, 40), "complex128", "type complex128")],
)
def test_what_cannot_be_explained_gets_a_sentence(viewer, shape, dtype, description):
    # napari itself stumbles over layers of these, but they can be there.
    layer = SimpleNamespace(name="odd", level_shapes=[shape], dtype=dtype, ndim=2)
    with pytest.raises(ValueError, match=description):
        visible_plane(layer, viewer.dims)


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


# Equal keys mean equal pixels


def keys_after(viewer, session, *changes):
    result = [session.picture.key]
    for change in changes:
        change()
        result.append(session.picture.key)
    return result


def test_the_key_changes_with_the_pixels_and_with_nothing_else(viewer, session, controller):
    layer = viewer.add_image(RNG.random((5, 40, 40)).astype(np.float32) - 0.5)
    viewer.dims.set_current_step(0, 0)

    def paint():
        layer.data[0, 3, 3] = 9
        layer.refresh()

    before, same, moved, back, painted, brighter, replaced = keys_after(
        viewer,
        session,
        lambda: setattr(layer, "visible", False) or setattr(layer, "visible", True),
        lambda: viewer.dims.set_current_step(0, 1),
        lambda: viewer.dims.set_current_step(0, 0),
        paint,
        lambda: setattr(layer, "contrast_limits", (0, 0.2)),
        lambda: setattr(layer, "data", layer.data + 1),
    )
    assert before == same == back
    assert len({before, moved, painted, brighter, replaced}) == 5


def test_contrast_of_bytes_does_not_matter(viewer, session, controller):
    layer = viewer.add_image(PHOTO[..., 0])
    before = session.picture.key
    layer.contrast_limits = (10, 50)
    assert session.picture.key == before


# Where maps lie

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


def request(source, plane, index=0):
    return Request((source.unique_id, plane, None, 0, 0), "m", "gradient", (), Target.of_class(index))


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


# What is updated and what is the user's


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
    session._values = lambda index, title: np.linspace(1, 2 + index, 16, dtype=np.float32).reshape(4, 4)
    session.select_class(0)
    (layer,) = maps(viewer)
    layer.auto_contrast = True
    session.select_class(2)
    assert layer.contrast_limits == [1, 4]


def test_the_contrast_sliders_have_room_for_the_map(viewer, session, controller):
    viewer.add_image(PHOTO)
    for index, scale in ((0, 1), (1, 1e4), (2, 1e-4)):
        session._values = lambda index, title, scale=scale: np.full((4, 4), scale, np.float32)
        session.select_class(index)
        low, high = maps(viewer)[0].contrast_limits_range
        assert low <= 0
        assert scale <= high * (1 + 1e-6) <= 4.1 * scale


def test_maps_of_zeros_and_of_nan_do_no_harm(viewer, session, controller):
    viewer.add_image(PHOTO)
    for index, filling in enumerate((0, np.nan, np.inf)):
        session._values = lambda index, title, filling=filling: np.full((4, 4), filling, np.float32)
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
    gone = session.picture, session.prepared, session.prediction
    viewer.layers.clear()
    session.picture, session.prepared, session.prediction = gone
    session.finish()
    assert not viewer.layers


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


# Pictures that napari reads otherwise


def test_small_colour_pictures_are_taken_in_colour_and_can_be_shown_so(viewer, session, controller):
    small = RNG.integers(0, 255, (28, 28, 3), np.uint8)
    wrong = viewer.add_image(small, name="small")
    assert wrong.ndim == 3  # 28 planes
    settle(controller)
    assert np.array_equal(session.picture.read()[0], small)
    assert "28 planes" in controller.reading.description
    controller.correct()
    settle(controller)
    right = controller.source
    assert right is not wrong
    assert right.rgb
    assert not wrong.visible
    assert np.array_equal(right.data, small)
    settle(controller)
    assert controller.reading.description == ""


def test_a_stack_of_small_colour_pictures_keeps_its_slider(viewer, session, controller):
    stack = RNG.integers(0, 255, (5, 28, 28, 3), np.uint8)
    viewer.add_image(stack)
    viewer.dims.set_current_step(0, 2)
    assert np.array_equal(session.picture.read()[0], stack[2])


@pytest.mark.parametrize(
    ("mode", "exif", "remedy", "shape"),
    [
        ("RGB", 6, "Turn upright", (50, 40, 3)),
        ("CMYK", 1, "Show true colours", (40, 50, 3)),
        ("LA", 1, "Show in colour", (40, 50, 4)),
        ("RGB", 1, "", None),
    ],
)
def test_files_that_napari_reads_otherwise_are_noticed(
    viewer, controller, tmp_path, mode, exif, remedy, shape
):
    path = tmp_path / ("photo.png" if mode == "LA" else "photo.jpg")
    photo = Pillow.fromarray(RNG.integers(0, 255, (40, 50, 3), np.uint8)).convert(mode)
    tags = photo.getexif()
    tags[0x0112] = exif
    photo.save(path, exif=tags)
    with Pillow.open(path) as file, layer_source(path=str(path)):
        viewer.add_image(np.array(file), name="photo")
    reading = find_misreading(controller.source)
    assert reading.remedy == remedy
    if shape:
        assert reading.corrected().shape == shape


def test_three_planes_may_be_colours(viewer, controller):
    layer = viewer.add_image(RNG.integers(0, 255, (3, 50, 60), np.uint8))
    reading = find_misreading(layer)
    assert "Three planes" in reading.description
    assert reading.corrected().shape == (50, 60, 3)


def test_a_file_that_is_gone_is_a_sentence(viewer, session, controller, tmp_path):
    before = len(notification_manager.records)
    controller._files.read(lambda: Pillow.open(tmp_path / "gone.png"), lambda _answer: None)
    settle(controller)
    (record,) = notification_manager.records[before:]
    assert "gone.png" in record.message


# Several maps, several panels


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


# Notifications, closing


def test_problems_become_notifications_with_details_behind_them():
    displayed = []
    notify(Problem("It did not work.", "Traceback"), displayed.append)
    record = notification_manager.records[-1]
    assert (record.message, str(record.severity)) == ("It did not work.", "warning")
    ((label, act),) = record.actions
    act(None)
    assert label == "Details"
    assert displayed[0].details == "Traceback"
    notify(Problem("Plain."), displayed.append)
    assert notification_manager.records[-1].actions == ()


def test_a_notice_may_be_briefer_and_then_has_the_sentence_behind_it():
    displayed = []
    notify(Problem("A long sentence.", brief="See Details."), displayed.append)
    record = notification_manager.records[-1]
    assert record.message == "See Details."
    record.actions[0][1](None)
    assert displayed[0].message == "A long sentence."


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


def test_labels_are_no_pictures():
    assert not isinstance(Labels(np.zeros((4, 4), int)), Image)
