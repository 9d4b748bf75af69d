"""Noise is standard normal, independent, and the same for the same seed."""

import numpy as np
import pytest
from scipy import stats

from napari_saliency.methods._shared.noise import normal
from tests.noise import noise


@pytest.mark.parametrize("shape", [(1,), (4, 6, 3), (5, 7, 3)])
def test_it_is_box_and_mullers_transform(shape):
    random = np.random.default_rng(3)
    result = [normal(random, shape) for _ in range(4)]
    assert {each.dtype for each in result} == {np.dtype(np.float32)}
    np.testing.assert_allclose(result, noise(3, 4, shape), rtol=1e-5, atol=1e-6)


def test_it_is_normal_and_what_is_drawn_in_pairs_is_independent():
    drawn = normal(np.random.default_rng(0), (200_000,))
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    first, second = drawn[:100_000], drawn[100_000:]
    for power in (1, 2):
        assert abs(stats.spearmanr(first**power, second**power).statistic) < 0.01


def test_it_is_finite_at_the_ends_of_the_uniform_numbers():
    class Ends:
        def random(self, shape, dtype):
            return np.array([[0, 1 - 2**-24], [0, 1 - 2**-24]], dtype)

    drawn = normal(Ends(), (4,))
    assert np.isfinite(drawn).all()
    assert np.abs(drawn).max() == pytest.approx(np.sqrt(2 * 24 * np.log(2)), rel=1e-3)
