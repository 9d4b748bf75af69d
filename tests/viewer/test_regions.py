"""Regions drawn in Labels and Shapes layers, wherever the layers lie."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from napari.layers import Shapes

from napari_saliency.session.state import ModelStatus, Phase
from napari_saliency.viewer.controller import NOTHING_DRAWN, LayerController
from napari_saliency.viewer.regions import drawn
from napari_saliency.viewer.source_layer import visible_plane
from napari_saliency.widgets.picture_section import WHOLE, PictureSection
from tests.fakes import info, prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer
PHOTO = np.random.default_rng(5).integers(0, 255, (60, 80, 3), np.uint8)
DENSE = info(space=(28, 28))


@pytest.fixture
def session():
    return StagedSession(prediction(3), ModelStatus(Phase.READY, "ready", "fake:unet", DENSE))


@pytest.fixture
def controller(viewer, session):
    made = LayerController(viewer, session, [].append, lambda call: call)
    yield made
    made.close()


def mask_of(viewer, layer, source, shape=(60, 80)):
    """Every pixel of the picture, asked one by one."""
    result = drawn(layer, source, visible_plane(source, viewer.dims), viewer.dims.point)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 2)
    return result.contains(points.astype(float)).reshape(shape)


def painted(value=1, shape=(60, 80)):
    pixels = np.zeros(shape, np.uint8)
    pixels[..., 10:20, 30:50] = value
    return pixels


def test_the_selected_label_counts_and_else_all_that_is_painted(viewer):
    source = viewer.add_image(PHOTO)
    pixels = painted(3)
    pixels[40:45, 5:9] = 7
    layer = viewer.add_labels(pixels)
    layer.selected_label = 7
    np.testing.assert_array_equal(mask_of(viewer, layer, source), pixels == 7)
    layer.selected_label = 1
    np.testing.assert_array_equal(mask_of(viewer, layer, source), pixels > 0)


@pytest.mark.parametrize(
    "placed",
    [
        {"scale": (0.5, 2.0), "translate": (3, -7)},
        {"rotate": 30, "scale": (2, 2)},
        {"shear": [0.4], "translate": (1, 2)},
        {"affine": [[0, 1, 4], [-2, 0, 1], [0, 0, 1]]},
    ],
)
def test_labels_that_lie_on_the_picture_are_its_pixels(viewer, placed):
    source = viewer.add_image(PHOTO, **placed)
    layer = viewer.add_labels(painted(), **placed)
    np.testing.assert_array_equal(mask_of(viewer, layer, source), painted() > 0)


def test_a_finer_drawing_elsewhere_is_looked_up_in_the_world(viewer):
    source = viewer.add_image(PHOTO, scale=(2, 2), translate=(100, 50))
    layer = viewer.add_labels(np.ones((40, 60), np.uint8), scale=(0.5, 0.5), translate=(110, 60))
    expected = np.zeros((60, 80), bool)  # the world's 110 to 130 and 60 to 90, in pixels of 2
    expected[5:15, 5:20] = True
    np.testing.assert_array_equal(mask_of(viewer, layer, source), expected)


def test_of_a_stack_the_visible_plane_counts(viewer):
    source = viewer.add_image(np.zeros((4, 60, 80), np.uint8))
    pixels = np.stack([painted(), 0 * painted(), 1 - painted(), painted()])
    layer = viewer.add_labels(pixels)
    for step in range(4):
        viewer.dims.set_current_step(0, step)
        np.testing.assert_array_equal(mask_of(viewer, layer, source), pixels[step] > 0)
    flat = viewer.add_labels(painted())
    np.testing.assert_array_equal(mask_of(viewer, flat, source), painted() > 0)


def test_a_stack_of_drawings_over_a_single_picture(viewer):
    source = viewer.add_image(PHOTO)
    layer = viewer.add_labels(np.stack([painted(), 1 - painted()]))
    viewer.dims.set_current_step(0, 1)
    np.testing.assert_array_equal(mask_of(viewer, layer, source), painted() == 0)


def test_a_coarse_level_is_asked_in_its_own_pixels(viewer):
    source = viewer.add_image([np.zeros((2048, 4096), np.uint8), np.zeros((1024, 2048), np.uint8)])
    fine = np.zeros((2048, 4096), np.uint8)
    fine[200:600, 1000:3000] = 1
    layer = viewer.add_labels(fine)
    assert visible_plane(source, viewer.dims).level == 1
    np.testing.assert_array_equal(mask_of(viewer, layer, source, (1024, 2048)), fine[::2, ::2] > 0)


def test_shapes_with_an_area_count_together(viewer):
    source = viewer.add_image(PHOTO)
    layer = viewer.add_shapes(
        [[[9.5, 29.5], [9.5, 49.5], [19.5, 49.5], [19.5, 29.5]]], shape_type="rectangle"
    )
    np.testing.assert_array_equal(mask_of(viewer, layer, source), painted() > 0)
    layer.add_ellipses([[[30.3, 10.2], [30.3, 50.2], [50.3, 50.2], [50.3, 10.2]]])
    layer.add_lines([[[0, 0], [59, 79]]])
    y, x = np.mgrid[:60, :80]
    ellipse = ((y - 40.3) / 10) ** 2 + ((x - 30.2) / 20) ** 2 <= 1
    np.testing.assert_array_equal(mask_of(viewer, layer, source), (painted() > 0) | ellipse)


def test_shapes_of_other_planes_do_not_count(viewer):
    source = viewer.add_image(np.zeros((3, 60, 80), np.uint8))
    corners = [[9.5, 29.5], [9.5, 49.5], [19.5, 49.5], [19.5, 29.5]]
    layer = Shapes([[[2, *corner] for corner in corners]], shape_type="polygon")
    viewer.add_layer(layer)
    viewer.dims.set_current_step(0, 2)
    np.testing.assert_array_equal(mask_of(viewer, layer, source), painted() > 0)
    viewer.dims.set_current_step(0, 1)
    assert not mask_of(viewer, layer, source).any()


def test_where_nothing_is_drawn_nothing_is_asked_and_no_notice_shown(viewer, session, controller):
    viewer.add_image(np.zeros((3, 60, 80), np.uint8))
    layer = viewer.add_labels(np.stack([0 * painted(), painted(), 0 * painted()]))
    controller.choose_region(layer)
    heard = []
    session.failed.connect(heard.append)
    for step, drawn_here in ((0, False), (1, True), (2, False)):
        viewer.dims.set_current_step(0, step)
        assert (session.picture is not None) == drawn_here
        assert (controller.reading.description == NOTHING_DRAWN) == (not drawn_here)
    assert not heard


def test_arrays_that_are_computed_when_read_are_not_read_in_the_window(viewer):
    read = []

    def plane(block, block_info=None):
        read.append(block_info[0]["array-location"][0][0] if block_info else None)
        return block

    pixels = np.stack([painted(), 0 * painted(), 1 - painted()])
    lazy = da.from_array(pixels, chunks=(1, 60, 80)).map_blocks(plane, dtype=pixels.dtype, meta=pixels[:0])
    source = viewer.add_image(np.zeros((3, 60, 80), np.uint8))
    layer = viewer.add_labels(lazy)
    viewer.dims.set_current_step(0, 2)
    read.clear()
    result = drawn(layer, source, visible_plane(source, viewer.dims), viewer.dims.point)
    assert not read
    assert result.contains(np.array([[15.0, 40.0], [0.0, 0.0]])).tolist() == [False, True]
    assert set(read) == {2}


def test_drawing_on_is_another_question(viewer, session, controller):
    viewer.add_image(PHOTO)
    whole = session.picture.key
    layer = viewer.add_labels(painted())
    assert session.picture.key == whole
    controller.choose_region(layer)
    first = session.picture.key
    assert session.picture.contains is not None
    layer.paint((40, 40), 1)
    assert len({whole, first, session.picture.key}) == 3
    viewer.layers.remove(layer)
    assert controller.region is None
    assert session.picture.key == whole


def test_models_that_answer_for_the_whole_picture_are_not_asked_about_regions(viewer, session, controller):
    viewer.add_image(PHOTO)
    controller.choose_region(viewer.add_shapes([[[0, 0], [0, 9], [9, 9]]], shape_type="polygon"))
    drawn_key = session.picture.key
    session.set_model(replace(session.model, info=info()))
    assert session.picture.contains is None
    session.set_model(replace(session.model, info=DENSE))
    assert session.picture.key == drawn_key


@pytest.mark.parametrize("space", [(), (28, 28)])
def test_where_the_map_ought_to_point_is_told_whatever_the_model(viewer, session, controller, space):
    session.set_model(replace(session.model, info=info(space=space)))
    source = viewer.add_image(PHOTO)
    shapes = viewer.add_shapes([[[0, 0], [0, 40], [60, 40], [60, 0]]], shape_type="rectangle")
    assert session.checks.drawn is None
    controller.choose_region(shapes)
    first = session.checks.drawn
    np.testing.assert_array_equal(first.contains(np.float64([[30, 20], [30, 60]])), [True, False])
    shapes.data = [np.float64([[0, 50], [0, 70], [60, 70], [60, 50]])]
    second = session.checks.drawn
    np.testing.assert_array_equal(second.contains(np.float64([[30, 20], [30, 60]])), [False, True])
    source.translate = (0, 50)  # the picture goes, the drawing stays
    third = session.checks.drawn
    np.testing.assert_array_equal(third.contains(np.float64([[30, 5], [30, 60]])), [True, False])
    assert len({first.key, second.key, third.key}) == 3
    controller.choose_region(None)
    assert session.checks.drawn is None


def test_a_layer_with_nothing_in_it_that_has_an_area_is_told_to_be_empty(viewer, session, controller):
    session.set_model(replace(session.model, info=info()))
    viewer.add_image(PHOTO)
    for layer in (
        viewer.add_labels(np.zeros((60, 80), int)),
        viewer.add_shapes([[[0, 0], [60, 40]]], shape_type="line"),
    ):
        controller.choose_region(layer)
        assert session.checks.drawn.empty
        assert session.picture is not None


def test_the_panel_lists_drawings_for_checks_and_for_models_with_space(qtbot, viewer, session, controller):
    section = PictureSection(controller, session)
    qtbot.addWidget(section)
    section.show()
    viewer.add_image(PHOTO)
    layer = viewer.add_labels(painted(), name="cell")
    assert [section.regions.itemText(n) for n in range(section.regions.count())] == [WHOLE, "cell"]
    section.regions.setCurrentIndex(1)
    section.regions.activated.emit(1)
    assert controller.region is layer
    assert section.regions.currentText() == "cell"
    assert section.regions.isVisible()
    layer.name = "nucleus"
    assert section.regions.currentText() == "nucleus"
    viewer.layers.remove(layer)
    assert section.regions.currentText() == WHOLE
    assert section.regions.isVisible()  # for what may be drawn
    session.set_model(replace(session.model, info=info()))
    assert not section.regions.isVisible()
    viewer.add_labels(painted())
    assert section.regions.isVisible()
