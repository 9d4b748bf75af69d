"""Placement of maps, and regions."""

import numpy as np
import pytest

from napari_saliency.core.placement import Placement, Region, format_size


def test_a_map_as_large_as_its_picture_lies_on_it():
    assert Placement.of_box((0, 0, 30, 40), (30, 40)) == Placement((1.0, 1.0), (0.0, 0.0))


def test_the_first_pixel_of_a_coarse_map_is_centred_on_what_it_covers():
    # Two map pixels over rows 0 1 2 3 | 4 5 6 7: the first is centred on row 1.5.
    placement = Placement.of_box((0, 0, 8, 6), (2, 3))
    assert placement == Placement((4.0, 2.0), (1.5, 0.5))


def test_a_box_may_leave_the_picture():
    placement = Placement.of_box((-10, 5, 10, 15), (4, 5))
    assert placement.scale == (5.0, 2.0)
    assert placement.translate == (-10 + 2.5 - 0.5, 5 + 1 - 0.5)


@pytest.mark.parametrize("coarse", [(7, 7), (5, 14), (160, 224), (320, 448)])
def test_a_coarser_map_covers_the_same_box(coarse):
    box, fine = (3.0, -7.5, 83.0, 110.25), (160, 224)
    result = Placement.of_box(box, fine).coarser(fine, coarse)
    expected = Placement.of_box(box, coarse)
    np.testing.assert_allclose(result.scale, expected.scale)
    np.testing.assert_allclose(result.translate, expected.translate, atol=1e-12)


def test_a_map_of_a_volume_fills_its_box():
    placement = Placement.of_box((0, -2, 3, 4, 10, 9), (2, 6, 12))
    assert placement == Placement((2.0, 2.0, 0.5), (0.5, -1.5, 2.75))
    coarse = placement.coarser((2, 6, 12), (1, 2, 3))
    assert coarse == Placement.of_box((0, -2, 3, 4, 10, 9), (1, 2, 3))


def test_what_lies_in_a_coarse_level_lies_in_the_finest_one():
    contains = Placement.of_box((1, 2, 5, 8), (8, 3))
    assert contains.finer((4, 2.5)) == Placement.of_box((4, 5, 20, 20), (8, 3))


@pytest.mark.parametrize(
    ("shape", "description"),
    [((20, 30), "30×20"), ((8, 20, 30), "8×20×30"), ((None, None), "any size"), ((8, None, 30), "8×any×30")],
)
def test_sizes_are_read_width_first_and_those_of_volumes_as_arrays_have_them(shape, description):
    assert format_size(shape) == description


# Regions


def test_a_region_covers_what_the_model_sees_of_a_mask():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:40] = True
    # The model sees columns 10 to 50 of it, at half the size.
    region = Region.of_mask(mask, Placement.of_box((0, 10, 40, 50), (20, 20)), (20, 20))
    share = region.share((20, 20))
    assert share.sum() == pytest.approx(1)
    assert region.size == (share > 0).sum()
    np.testing.assert_array_equal(share > 0, mask[1::2, 11:50:2])


@pytest.mark.parametrize("space", [(20, 20), (4, 5), (3, 7), (20, 1)])
def test_an_output_place_counts_as_much_of_the_region_as_it_covers(space):
    random = np.random.default_rng(0)
    mask = random.random((20, 20)) > 0.7
    region = Region.of_mask(mask, Placement((1.0, 1.0), (0.0, 0.0)), (20, 20))
    fine = np.repeat(np.repeat(mask, space[0], 0), space[1], 1)  # every place now covers whole pixels
    expected = fine.reshape(space[0], 20, space[1], 20).sum((1, 3))
    np.testing.assert_allclose(region.share(space), expected / expected.sum(), rtol=1e-6)


def test_a_region_beside_what_the_model_sees_is_refused():
    mask = np.zeros((40, 60), bool)
    mask[:, :9] = True
    with pytest.raises(ValueError, match="the region is empty"):
        Region.of_mask(mask, Placement.of_box((0, 10, 40, 50), (20, 20)), (20, 20))


def test_what_is_drawn_beside_a_padded_picture_does_not_count():
    place, picture = Placement.of_box((-1, 0, 3, 4), (4, 4)), Region((4, 4), b"\x0f\xf0")
    region = Region.where(lambda points: points[:, 1] < 1, place, (4, 4), picture)
    np.testing.assert_array_equal(region.mask, np.array([[0] * 4, [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4]))
    with pytest.raises(ValueError, match="the region is empty"):
        Region.where(lambda points: points[:, 0] < -0.5, place, (4, 4), picture)


def test_outside_of_a_padded_picture_there_is_no_region():
    region = Region.of_mask(np.ones((2, 4), bool), Placement.of_box((-1, 0, 3, 4), (4, 4)), (4, 4))
    np.testing.assert_array_equal(region.share((4, 4)) > 0, np.float32([[0] * 4, [1] * 4, [1] * 4, [0] * 4]))


def test_a_region_of_a_volume_is_shared_out_along_all_axes():
    mask = np.zeros((8, 12, 16), bool)
    mask[2:4, 3:9, 8:] = True
    placement = Placement.of_box((0, 0, 8, 8, 12, 16), (8, 12, 8))  # the model sees half of it
    share = Region.of_mask(mask, placement, (8, 12, 8)).share((4, 4, 2))
    expected = np.zeros((4, 4, 2))
    expected[1] = np.float64([0, 1, 1, 0])[:, None] / 4
    np.testing.assert_allclose(share, expected)


def test_a_regions_mask_is_what_it_was_made_of():
    mask = np.random.default_rng(0).random((5, 7)) > 0.5
    region = Region.of_mask(mask, Placement((1, 1), (0, 0)), (5, 7))
    np.testing.assert_array_equal(region.mask, mask)
    assert region.mask.sum() == region.size
