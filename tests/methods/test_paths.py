"""Integrated gradients, against a plain loop and closed forms; test_path_axioms.py has the axioms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import fixed_quad

from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.methods._shared.baselines import empty_picture, noise_picture
from napari_saliency.methods._shared.path_integral import spread_out
from tests.analytic import Linear, Quadratic, Spatial, pictures, targets_of

integrated_gradients = METHODS["integrated_gradients"].function
RULES = ["trapezoid", "gauss_legendre"]
BASELINES = ["black", "white", "mean", "blur"]


def last(model, x, targets, **options):
    *_, estimate = integrated_gradients(model, x, targets, **options)
    return estimate


def loop(model, x, targets, steps, start):
    """Trapezoid rule, one gradient after the other."""
    positions = np.linspace(0, 1, steps)
    gradients = [model.gradient((start + a * (x - start)).astype(np.float32), targets)[1] for a in positions]
    return (x - start) * np.trapezoid(np.array(gradients, np.float64), positions, axis=0)


def empty(model, x, baseline):
    """The empty pictures of models without preprocessing, by hand but for the blur (test_occlusion.py)."""
    if baseline == "blur":
        return empty_picture(model, x, "blur")
    mean = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    return {"black": np.zeros_like(x), "white": np.full_like(x, 255), "mean": mean}[baseline]


def noises(model, count, seed):
    """Random baselines, one after the other."""
    random = np.random.default_rng(seed)
    return [255 * random.random((1, *model.shape), np.float32) for _ in range(count)]


def preprocessed(model, name):
    spec = replace(model.info.input, preprocessing=PREPROCESSINGS[name])
    model.info = replace(model.info, input=spec)
    return model


@pytest.mark.parametrize("steps", [8, 9, 33])
@pytest.mark.parametrize("score", SCORES)
def test_it_is_the_trapezoid_rule(steps, score):
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 2, score=score)
    wanted = loop(model, x, targets, steps, np.zeros_like(x))
    np.testing.assert_allclose(last(model, x, targets, steps=steps).values, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [8, 33])
@pytest.mark.parametrize("score", SCORES)
def test_it_is_gauss_and_legendres_rule(steps, score):
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 2, score=score)

    def gradients(positions):
        return np.stack([model.gradient((a * x).astype(np.float32), targets)[1] for a in positions], axis=-1)

    wanted = x * fixed_quad(gradients, 0, 1, n=steps)[0]
    result = last(model, x, targets, steps=steps, rule="gauss_legendre").values
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_a_quadratic_model_is_integrated_exactly(rule, baseline):
    model = Quadratic()
    x = pictures(model, 2)
    start = empty(model, x, baseline)
    wanted = (x - start) * (model.weights[..., 1] + model.curvature[..., 1] * (x + start) / 2)
    result = last(model, x, targets_of(1, 1), steps=8, baseline=baseline, rule=rule).values
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_gauss_and_legendres_rule_is_better_where_the_score_is_smooth():
    model = Quadratic()
    x, targets = pictures(model, 3), targets_of(0, 1, 2, score="probability")
    trapezoid, gauss = (
        np.abs(last(model, x, targets, steps=8, rule=rule).diagnostics["completeness gap"]) for rule in RULES
    )
    assert (gauss < trapezoid / 20).all()


@pytest.mark.parametrize(("rule", "ends"), [("trapezoid", 0), ("gauss_legendre", 2)])
def test_every_gradient_is_counted_those_at_the_ends_too(rule, ends):
    model = Spatial()
    result = last(model, pictures(model), targets_of(0), steps=11, rule=rule)
    assert result.done == result.total == 11 + ends == sum(size for _, size in model.calls)
    assert {call for call, _ in model.calls} == {"gradient"}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_contributions_add_up_to_the_difference_of_scores(score, baseline, rule):
    model = preprocessed(Spatial(), "tf")
    x = pictures(model, 2)
    targets = Targets(np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32), score)
    start = {"black": np.full_like(x, -1), "white": np.ones_like(x)}.get(baseline)
    start = empty(model, x, baseline) if start is None else start
    difference = model.gradient(x, targets)[0] - model.gradient(start, targets)[0]
    total = last(model, x, targets, steps=512, baseline=baseline, rule=rule).values.sum((1, 2, 3))
    np.testing.assert_allclose(total, difference, atol=0.01 * np.abs(difference).max() + 1e-3)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("baseline", [*BASELINES, "random"])
def test_the_gap_that_is_reported_is_the_gap(baseline, rule):
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 1)
    options = {"steps": 8, "baseline": baseline, "rule": rule, "samples": 3, "seed": 5}
    estimate = last(model, x, targets, **options)
    starts = noises(model, 3, 5) if baseline == "random" else [empty(model, x, baseline)]
    before = [model.gradient(np.broadcast_to(start, x.shape), targets)[0] for start in starts]
    difference = model.gradient(x, targets)[0] - np.mean(before, axis=0)
    gap = estimate.values.sum((1, 2, 3)) - difference
    scale = np.abs(difference).max()
    np.testing.assert_allclose(estimate.diagnostics["completeness gap"], gap, atol=1e-5 * scale + 1e-4)
    relative = np.abs(gap / difference)
    np.testing.assert_allclose(
        estimate.diagnostics["relative completeness gap"], relative, rtol=2e-2, atol=1e-4
    )
    assert np.abs(gap).max() > 1e-3 * scale  # otherwise this shows nothing


def test_more_steps_leave_a_smaller_gap():
    model = Spatial()
    x, targets = pictures(model, 4), targets_of(0, 1, 2, 3)
    gaps = [
        np.abs(last(model, x, targets, steps=steps).diagnostics["completeness gap"]).mean()
        for steps in (8, 64, 512)
    ]
    assert gaps[0] > 4 * gaps[1] > 16 * gaps[2]


@pytest.mark.parametrize("name", PREPROCESSINGS)
@pytest.mark.parametrize(
    ("baseline", "value"), [("black", 0), ("white", 255), (124, 124), ((124, 116, 104), (124, 116, 104))]
)
def test_pitfall_baseline_black_in_preprocessed_space(name, baseline, value):
    model = preprocessed(Spatial(), name)
    start = PREPROCESSINGS[name](np.full((1, *model.shape), value, np.float32))
    x = pictures(model)
    x[:, :2] = start[:, :2]  # a part that is empty before preprocessing, whatever numbers that makes of it
    result = last(model, x, targets_of(0), steps=9, baseline=baseline).values
    assert not result[:, :2].any()
    np.testing.assert_allclose(result, loop(model, x, targets_of(0), 9, start), rtol=1e-4, atol=1e-4)


def test_the_mean_is_each_pictures_own_and_each_channels():
    model = Spatial()
    x = pictures(model, 2)
    start = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    wanted = loop(model, x, targets_of(0, 1), 9, start)
    np.testing.assert_allclose(
        last(model, x, targets_of(0, 1), steps=9, baseline="mean").values, wanted, rtol=1e-4, atol=1e-5
    )


def test_the_first_estimate_comes_early_and_knows_both_ends():
    model = Quadratic()  # two ends are enough for it
    x = pictures(model)
    steps = list(integrated_gradients(model, x, targets_of(0)))
    assert steps[0].done == 2
    np.testing.assert_allclose(steps[0].values, steps[-1].values, rtol=1e-3, atol=1e-4)
    assert not steps[0].diagnostics


def test_the_way_is_covered_early():
    """Half of the steps are taken all over the way, not on its first half."""
    model = Spatial(batch=2)
    x, targets = pictures(model), targets_of(0)
    estimates = {e.done: e.values for e in integrated_gradients(model, x, targets, steps=64)}
    errors = [
        np.abs(estimates[done] - estimates[64]).max() / np.abs(estimates[64]).max() for done in (2, 16, 32)
    ]
    assert errors[2] < 0.1
    assert errors[0] > errors[2]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 20])
def test_steps_are_spread_out_each_once_and_the_ends_first(count):
    order = spread_out(count).tolist()
    assert sorted(order) == list(range(count))
    assert set(order[:2]) == {0, count - 1}
    for taken in range(4, count):
        gaps = np.diff(sorted(order[:taken]))
        assert gaps.max() <= 2 * (count - 1) / (taken // 2)


# Random baselines ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_of_random_baselines_it_is_the_mean_over_all_of_them_with_its_standard_error(rule):
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 1)
    options = {"steps": 9, "rule": rule}
    maps = []
    for noise in noises(model, 5, 3):
        start = np.broadcast_to(noise, x.shape)
        if rule == "trapezoid":
            maps.append(loop(model, x, targets, 9, start))
            continue
        roots, weights = np.polynomial.legendre.leggauss(9)
        nodes = [(start + (1 + r) / 2 * (x - start)).astype(np.float32) for r in roots]
        gradients = sum(w / 2 * model.gradient(p, targets)[1] for w, p in zip(weights, nodes, strict=True))
        maps.append((x - start) * gradients)
    result = last(model, x, targets, baseline="random", samples=5, seed=3, **options)
    np.testing.assert_allclose(result.values, np.mean(maps, axis=0), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(result.stderr, np.std(maps, axis=0, ddof=1) / 5**0.5, rtol=1e-3, atol=1e-3)
    assert result.done == result.total == 5 * (9 if rule == "trapezoid" else 11)
    np.testing.assert_array_equal(result.diagnostics["samples"], [5, 5])


@pytest.mark.parametrize("kind", [Linear, Quadratic])
def test_their_mean_is_that_of_uniform_noise_from_black_to_white(kind):
    """The expectation in closed form, from the noise's mean 255/2 and mean square 255²/3; the error is honest."""
    model = kind()
    x = pictures(model)
    result = last(model, x, targets_of(1), steps=8, baseline="random", samples=300, rule="gauss_legendre")
    curvature = model.curvature[..., 1] if kind is Quadratic else 0
    wanted = model.weights[..., 1] * (x - 255 / 2) + curvature * (x**2 - 255**2 / 3) / 2
    errors = (result.values - wanted) / result.stderr
    assert np.abs(errors).max() < 4.5
    assert 0.8 < errors.std() < 1.25


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_the_noise_is_drawn_before_preprocessing_and_is_the_same_for_all_pictures(name):
    model = preprocessed(Spatial((32, 32, 3)), name)
    x = pictures(model, 2)
    first, second = noise_picture(model, x, np.random.default_rng(0))
    np.testing.assert_array_equal(first, second)
    drawn = PREPROCESSINGS[name].inverse(first)
    assert drawn.min() > -0.01
    assert drawn.max() < 255.01
    shares = np.histogram(drawn, 5, (0, 255))[0] / drawn.size
    np.testing.assert_allclose(shares, 0.2, atol=0.03)


def test_a_picture_that_is_precise_enough_keeps_the_gap_of_its_own_samples():
    model = Spatial()
    x, targets = pictures(model, 2) * np.float32([300, 1])[:, None, None, None], targets_of(0, 1)
    options = {"steps": 8, "baseline": "random", "samples": 60}
    free = last(model, x, targets, **options).diagnostics["relative standard error"]
    wanted = float(free.max()) * 1.05
    both = last(model, x, targets, precision=wanted, **options)
    assert both.diagnostics["samples"].min() < both.diagnostics["samples"].max()
    for n in (0, 1):
        taken = int(both.diagnostics["samples"][n])
        alone = last(model, x[n : n + 1], targets_of(n), **{**options, "samples": taken})
        for key, value in alone.diagnostics.items():
            np.testing.assert_allclose(both.diagnostics[key][n], value[0], rtol=1e-3, atol=1e-3)


def test_pitfall_integrated_gradients_without_the_x_minus_baseline_factor():
    """Gradients alone would be the weights, the same for each picture."""
    model = Linear()
    x, targets = pictures(model, 2), targets_of(1, 1)
    for baseline in BASELINES:
        for rule in RULES:
            result = last(model, x, targets, baseline=baseline, rule=rule)
            wanted = model.weights[..., 1] * (x - empty(model, x, baseline))
            np.testing.assert_allclose(result.values, wanted, rtol=1e-4, atol=1e-5)
            assert (result.diagnostics["relative completeness gap"] < 1e-3).all()
