"""The picture in a layer: which plane is read, when its key changes, what cannot be explained."""

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_saliency.viewer.source_layer import picture, visible_plane
from tests.viewer.subjects import PHOTO, RNG

pytestmark = pytest.mark.viewer


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


def test_a_stack_of_small_colour_pictures_keeps_its_slider(viewer, session, controller):
    stack = RNG.integers(0, 255, (5, 28, 28, 3), np.uint8)
    viewer.add_image(stack)
    viewer.dims.set_current_step(0, 2)
    assert np.array_equal(session.picture.read()[0], stack[2])


def test_labels_are_no_pictures():
    assert not isinstance(Labels(np.zeros((4, 4), int)), Image)
