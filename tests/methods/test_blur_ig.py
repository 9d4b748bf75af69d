"""Blur integrated gradients, against scipy's blur, the authors' sum and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_saliency.core.types import SCORES
from napari_saliency.methods import METHODS
from napari_saliency.methods._shared.baselines import blurred
from tests.analytic import Linear, Quadratic, Spatial, pictures, targets_of

blur_ig = METHODS["blur_ig"].function
SHAPES = [(16, 2), (6, 9, 3), (4, 5, 6, 2)]


def last(model, x, targets, **options):
    *_, estimate = blur_ig(model, x, targets, **options)
    return estimate


def by_scipy(x, sigma):
    """A blur that sees nothing beyond the edge: weights that lie outside are taken away."""
    sigmas = (0, *[sigma] * (x.ndim - 2), 0)
    sums, weights = (
        gaussian_filter(values.astype(np.float64), sigmas, mode="constant", truncate=40)
        for values in (x, np.ones_like(x))
    )
    return sums / weights


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [0.3, 1, 7.5])
def test_the_blur_is_a_gaussian_in_space(shape, sigma):
    x = pictures(Linear(shape), 2)
    none, some = blurred(x, 0, sigma)
    np.testing.assert_allclose(some, by_scipy(x, sigma), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(none, x)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [Linear, Quadratic])
@pytest.mark.parametrize("blur", [0.1, 0.5])
def test_linear_and_quadratic_models_are_explained_exactly(shape, kind, blur):
    model = kind(shape)
    x = pictures(model, 2)
    start = by_scipy(x, blur * max(shape[:-1]))
    curvature = model.curvature[..., 3] if kind is Quadratic else 0
    wanted = (x - start) * (model.weights[..., 3] + curvature * (x + start) / 2)
    result = last(model, x, targets_of(3, 3), steps=8, blur=blur)
    np.testing.assert_allclose(result.values, wanted, rtol=1e-4, atol=1e-5)
    assert (result.diagnostics["relative completeness gap"] < 1e-4).all()


@pytest.mark.parametrize("score", SCORES)
def test_it_is_the_integral_over_the_standard_deviation(score):
    """As the authors' code adds it up, in many small steps: gradient times change of the blurred picture."""
    model, small = Spatial(), 1e-3
    x, targets = pictures(model), targets_of(0, score=score)
    sigmas = np.linspace(0, 0.25 * 8, 801)
    wanted = np.zeros(x.shape)
    for low, high in pairwise(sigmas):
        middle = (low + high) / 2
        change = (by_scipy(x, middle + small) - by_scipy(x, middle - small)) / (2 * small)
        gradient = model.gradient(by_scipy(x, middle).astype(np.float32), targets)[1]
        wanted -= gradient * change * (high - low)
    result = last(model, x, targets, steps=512, blur=0.25).values
    np.testing.assert_allclose(result, wanted, atol=0.01 * np.abs(wanted).max())


@pytest.mark.parametrize("score", SCORES)
def test_the_gap_that_is_reported_is_the_gap_and_falls_with_the_steps(score):
    model = Spatial()
    x, targets = pictures(model, 4), targets_of(0, 1, 2, 3, score=score)
    start = by_scipy(x, 0.2 * 8).astype(np.float32)
    difference = model.gradient(x, targets)[0] - model.gradient(start, targets)[0]
    sizes = []
    for steps in (8, 64, 512):
        result = last(model, x, targets, steps=steps)
        gap = result.values.sum((1, 2, 3)) - difference
        np.testing.assert_allclose(result.diagnostics["completeness gap"], gap, atol=1e-4)
        np.testing.assert_allclose(
            result.diagnostics["relative completeness gap"], np.abs(gap / difference), rtol=1e-2, atol=1e-3
        )
        sizes.append(np.abs(gap).mean())
    assert sizes[0] > 3 * sizes[1] > 6 * sizes[2]


def test_what_is_blurred_away_already_gets_nothing():
    model = Spatial()
    x = np.broadcast_to(np.float32([0.3, -2, 5]), (1, *model.shape)).copy()
    np.testing.assert_allclose(last(model, x, targets_of(0)).values, 0, atol=1e-5)


def test_the_way_is_covered_early():
    model = Spatial(batch=2)
    x, targets = pictures(model), targets_of(0)
    estimates = {e.done: e.values for e in blur_ig(model, x, targets, steps=64)}
    assert min(estimates) == 2
    errors = [
        np.abs(estimates[done] - estimates[64]).max() / np.abs(estimates[64]).max() for done in (2, 16, 32)
    ]
    assert errors[2] < 0.15
    assert errors[0] > errors[2]


def test_every_step_is_one_gradient():
    model = Spatial()
    result = last(model, pictures(model), targets_of(0), steps=21)
    assert result.done == result.total == 21 == sum(size for _, size in model.calls)


@pytest.mark.parametrize("steps", [9, 64])
def test_the_steps_are_even_in_the_root_of_the_standard_deviation(steps, monkeypatch):
    """Every picture that the model is run on lies where the square of an even step says."""
    model, seen = Spatial(), []
    x = pictures(model)
    gradient = model.gradient
    monkeypatch.setattr(model, "gradient", lambda at, targets: seen.extend(at) or gradient(at, targets))
    last(model, x, targets_of(0), steps=steps, blur=0.25)
    for number in range(steps):
        wanted = by_scipy(x, 0.25 * 8 * (number / (steps - 1)) ** 2)[0] if number else x[0]
        assert min(np.abs(one - wanted).max() for one in seen) < 1e-5
