"""Sample images, without a window."""

import socket

import numpy as np
import pytest

from napari_saliency.app import samples


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a sample wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_cat_is_a_photo_that_needs_no_network(no_network):
    [(pixels, options, kind)] = samples.cat()
    assert (pixels.shape, pixels.dtype, kind, options["rgb"]) == ((300, 451, 3), np.uint8, "image", True)


def test_cat_is_chelsea_of_scikit_image():
    from skimage.data import chelsea

    [(pixels, _, _)] = samples.cat()
    np.testing.assert_array_equal(pixels, chelsea())
    assert pixels.flags.writeable


def test_cat_does_not_import_what_takes_long(fresh_interpreter):
    code = "import sys; from napari_saliency.app import samples; samples.cat(); print(*sys.modules)"
    assert not {"scipy", "imageio", "tifffile", "pooch", "skimage.io"} & set(fresh_interpreter(code))


def test_digits_are_a_stack_with_two_of_each():
    [(pixels, options, kind)] = samples.digits()
    assert (pixels.shape, pixels.dtype, kind) == ((20, 28, 28), np.uint8, "image")
    assert options["metadata"]["labels"] == [digit for digit in range(10) for _ in range(2)]
    assert all(picture.max() > 200 and np.median(picture) == 0 for picture in pixels), "light on dark"


def test_watermark_pictures_come_with_the_mark_where_they_carry_one():
    (pictures, _, image), (masks, options, labels) = samples.watermark()
    assert (image, labels) == ("image", "labels")
    assert pictures.shape[1:] == (64, 64, 3)
    assert pictures.dtype == masks.dtype == np.uint8
    assert masks.shape == pictures.shape[:-1]
    assert set(np.unique(masks)) == {0, 1}
    marked = dict(zip(options["metadata"]["pictures"], masks.any((1, 2)), strict=True))
    assert marked["square_1"]
    assert marked["circle_with_mark"]
    assert not marked["circle"]
    assert not marked["square_without_mark"]


def test_marks_are_small_and_in_a_corner():
    _, (masks, _, _) = samples.watermark()
    for mask in masks[masks.any((1, 2))]:
        rows, columns = np.nonzero(mask)
        assert mask.mean() < 0.05
        assert abs(rows.mean() - 31.5) > 10
        assert abs(columns.mean() - 31.5) > 10
