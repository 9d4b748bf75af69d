"""Similarity, sparseness and grids, derived a second time."""

import numpy as np
import pytest

from napari_saliency.checks.maps import FEW, gini, magnitude, on_grid, similarity, spearman, trapezoid

RANDOM = np.random.default_rng(0)


def ranks(values):
    """Ranks from 1 on by counting, ties sharing their mean."""
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_the_correlation_of_counted_ranks(ties):
    one, other = RANDOM.normal(size=(2, 40))
    if ties:
        one, other = one.round(), other.round()
    wanted = np.corrcoef(ranks(one), ranks(other))[0, 1]
    assert spearman(one, other) == pytest.approx(wanted)


def test_rank_correlation_knows_order_alone():
    values = RANDOM.normal(size=(5, 6, 3))
    assert spearman(values, np.exp(values)) == pytest.approx(1)
    assert spearman(values, -(values**3)) == pytest.approx(-1)


def test_a_constant_map_is_like_no_other():
    assert spearman(np.zeros(9), np.arange(9)) == 0
    assert spearman(np.full(9, np.nan), np.arange(9)) == 0


@pytest.mark.parametrize("channels", [(), (3,)])
def test_maps_are_compared_where_one_of_them_says_something(channels):
    """Two maps of unlike numbers over the same empty ground are not alike, as ranks alone would have it."""
    one, other = RANDOM.normal(size=(2, 6, 8, *channels)).astype(np.float32)
    one[2:], other[3:] = 0, 0
    everywhere = np.ones((6, 8), bool)
    assert similarity(one, other, everywhere) == pytest.approx(spearman(one[:3], other[:3]))
    assert (
        abs(similarity(np.abs(one), np.abs(other), everywhere)) < 0.5 < spearman(np.abs(one), np.abs(other))
    )
    assert similarity(one, one, everywhere) == pytest.approx(1)


def test_maps_are_compared_in_the_picture_alone():
    one, other = RANDOM.random((2, 6, 8)).astype(np.float32)
    visible = np.zeros((6, 8), bool)
    visible[2:4] = True
    assert similarity(one, other, visible) == pytest.approx(spearman(one[2:4], other[2:4]))


def test_maps_of_a_few_places_are_compared_with_the_empty_ones():
    """The same single place is the same map, though one number has no rank."""
    one, other = np.zeros((2, 5, 5), np.float32)
    one[1, 2], other[1, 2] = 3, 1
    assert similarity(one, other, np.ones((5, 5), bool)) == pytest.approx(1)
    one.flat[:FEW], other.flat[:FEW] = np.arange(FEW) + 1, np.arange(FEW)[::-1] + 1
    assert similarity(one, other, np.ones((5, 5), bool)) == pytest.approx(-1)


def test_gini_is_half_the_mean_difference_of_pairs_over_the_mean():
    values = RANDOM.normal(size=50)
    pairs = np.abs(np.subtract.outer(np.abs(values), np.abs(values))).mean()
    assert gini(values) == pytest.approx(pairs / 2 / np.abs(values).mean())


def test_gini_of_even_single_and_empty_maps_and_of_noise():
    assert gini(np.full((4, 5), -3)) == pytest.approx(0)
    assert gini(np.eye(1, 100)) == pytest.approx(0.99)
    assert gini(np.zeros(7)) == 0
    assert gini(RANDOM.normal(size=100_000)) == pytest.approx(2**0.5 - 1, abs=0.01)


def test_a_map_of_the_grids_size_is_left_as_it_is():
    values = RANDOM.normal(size=(5, 7)).astype(np.float32)
    np.testing.assert_array_equal(on_grid(values, (5, 7)), values)


@pytest.mark.parametrize("space", [(8, 12), (9, 15), (7, 5)])
def test_a_coarse_map_is_interpolated_between_its_centres(space):
    values = RANDOM.normal(size=(4, 3)).astype(np.float32)
    wanted = np.empty(space)
    for place in np.ndindex(space):
        at = [
            min(max((p + 0.5) * n / s - 0.5, 0), n - 1) for p, s, n in zip(place, space, (4, 3), strict=True)
        ]
        low = [int(a) for a in at]
        high = [min(i + 1, n - 1) for i, n in zip(low, (4, 3), strict=True)]
        y, x = (a - i for a, i in zip(at, low, strict=True))
        wanted[place] = (
            (1 - y) * (1 - x) * values[low[0], low[1]]
            + (1 - y) * x * values[low[0], high[1]]
            + y * (1 - x) * values[high[0], low[1]]
            + y * x * values[high[0], high[1]]
        )
    np.testing.assert_allclose(on_grid(values, space), wanted, rtol=1e-5, atol=1e-6)


def test_the_largest_magnitude_of_channels_counts():
    values = np.float32([[[1, -5, 2], [0, 0, 1]]])
    np.testing.assert_array_equal(magnitude(values, 2), [[5, 1]])
    np.testing.assert_array_equal(magnitude(values[..., 1], 2), [[5, 0]])


def test_the_area_under_a_line_is_half_of_its_ends():
    assert trapezoid(np.linspace(3, 5, 9)) == pytest.approx(4)
