"""Axioms that every method holds which adds up gradients along a way (Sundararajan et al. 2017, section 2)."""

import numpy as np
import pytest

from napari_saliency.core.types import SCORES
from napari_saliency.methods import METHODS
from tests.analytic import Linear, Quadratic, Spatial, pictures, targets_of

STRAIGHT = [
    ("integrated_gradients", {"baseline": baseline, "rule": rule, "samples": 3})
    for baseline in ("black", "mean", "blur", "random")
    for rule in ("trapezoid", "gauss_legendre")
]
WAYS = [*STRAIGHT, ("blur_ig", {}), ("guided_ig", {"baseline": "mean"}), ("guided_ig", {"fraction": 0.05})]
every_way = pytest.mark.parametrize(("name", "options"), WAYS)


def last(name, model, x, targets, **options):
    method = METHODS[name]
    *_, estimate = method.function(model, x, targets, **method.complete(options))
    return estimate


@every_way
@pytest.mark.parametrize("score", SCORES)
def test_completeness(name, options, score):
    """The contributions add up to the difference of scores as nearly as steps are many.

    Of the guided way only where the score is smooth: see its notes.
    """
    model = Quadratic() if name == "guided_ig" else Spatial()
    x, targets = pictures(model, 3), targets_of(0, 1, 3, score=score)
    gaps = []
    for steps in (8, 256):
        result = last(name, model, x, targets, steps=steps, **options)
        sizes = np.abs(result.values).sum((1, 2, 3))
        gaps.append(np.abs(result.diagnostics["completeness gap"]) / sizes)
    assert gaps[1].max() < 0.02
    assert gaps[1].mean() < max(gaps[0].mean() / 3, 1e-6)  # rounding, where a rule is exact


@every_way
def test_implementation_invariance(name, options):
    """Networks that compute the same have the same map: features in another order, and of another size."""
    model, twin = Spatial(), Spatial()
    order, sizes = np.array([3, 0, 4, 1, 2]), np.array([2, 0.5, 4, 1, 8])
    twin.kernel, twin.bias = model.kernel[..., order] * sizes, model.bias[order] * sizes
    twin.head = model.head[:, :, order] / sizes[:, None]
    x, targets = pictures(model, 2), targets_of(0, 1)
    np.testing.assert_allclose(twin.logits(x), model.logits(x), rtol=1e-6)
    maps = [last(name, one, x, targets, steps=16, **options).values for one in (model, twin)]
    np.testing.assert_allclose(*maps, rtol=1e-3, atol=1e-4 * np.abs(maps[0]).max())


@every_way
def test_an_input_that_cannot_matter_gets_nothing(name, options):
    model = Spatial()
    model.kernel[:, :, 1] = 0  # no feature looks at the second channel
    model.head[0, 2] = 0  # nor any class at this block
    result = last(name, model, pictures(model), targets_of(0), steps=16, **options).values
    assert not result[..., 1].any()
    assert not result[:, 0:2, 4:6].any()
    assert np.abs(result).max() > 1e-3


@pytest.mark.parametrize(("name", "options"), STRAIGHT[:6])
def test_symmetry(name, options):
    """Values that the model takes for each other, and that are the same, contribute the same."""
    model = Quadratic()
    for weights in (model.weights, model.curvature):
        weights[1, 2] = weights[4, 5]
    x = pictures(model)
    x[:, 1, 2] = x[:, 4, 5]
    if options["baseline"] == "blur":  # a baseline that depends on the place
        x[:] = x[:, :1, :1]
    result = last(name, model, x, targets_of(2, score="probability"), steps=16, **options).values
    np.testing.assert_allclose(result[:, 1, 2], result[:, 4, 5], rtol=1e-5, atol=1e-7)


@every_way
def test_linearity_in_the_model(name, options):
    """The map of a linear model's score is that of its parts together; the way is the same for all of them."""
    model = Linear()
    x = pictures(model)
    maps = [last(name, model, x, targets_of(index), steps=16, **options).values for index in (0, 1)]
    both = targets_of(0)
    both.weights[:, 1] = 1
    result = last(name, model, x, both, steps=16, **options).values
    np.testing.assert_allclose(result, sum(maps), rtol=1e-3, atol=1e-4 * np.abs(result).max())
