"""Integrated gradients, against a plain loop and its axioms."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from napari_saliency._preprocessing import PREPROCESSINGS
from napari_saliency._types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.methods._baselines import empty_picture
from tests.analytic import Quadratic, Spatial, pictures, targets_of

integrated_gradients = METHODS["integrated_gradients"].function


def last(model, x, targets, **options):
    *_, estimate = integrated_gradients(model, x, targets, **options)
    return estimate


def loop(model, x, targets, steps, start):
    """Trapezoid rule, one gradient after the other."""
    positions = np.linspace(0, 1, steps)
    gradients = [model.gradient((start + a * (x - start)).astype(np.float32), targets)[1] for a in positions]
    return (x - start) * np.trapezoid(np.array(gradients, np.float64), positions, axis=0)


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


def test_a_quadratic_model_is_integrated_exactly():
    model = Quadratic()
    x = pictures(model)
    wanted = x * (model.weights[..., 1] + model.curvature[..., 1] * x / 2)
    np.testing.assert_allclose(last(model, x, targets_of(1), steps=8).values, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("baseline", ["black", "white", "mean", "blur"])
def test_contributions_add_up_to_the_difference_of_scores(score, baseline):
    model = preprocessed(Spatial(), "tf")
    x = pictures(model, 2)
    targets = Targets(np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32), score)
    blurred = empty_picture(model, x, "blur")  # test_occlusion.py derives it a second time
    empty = {"black": np.full_like(x, -1), "white": np.ones_like(x), "blur": blurred}
    start = empty.get(baseline, np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape))
    difference = model.gradient(x, targets)[0] - model.gradient(start, targets)[0]
    total = last(model, x, targets, steps=512, baseline=baseline).values.sum((1, 2, 3))
    np.testing.assert_allclose(total, difference, atol=0.01 * np.abs(difference).max() + 1e-3)


def test_the_gap_that_is_reported_is_the_gap():
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 1)
    estimate = last(model, x, targets, steps=8)
    difference = model.gradient(x, targets)[0] - model.gradient(np.zeros_like(x), targets)[0]
    gap = estimate.values.sum((1, 2, 3)) - difference
    np.testing.assert_allclose(estimate.diagnostics["completeness gap"], gap, atol=1e-4)
    relative = np.abs(gap / difference)
    np.testing.assert_allclose(
        estimate.diagnostics["relative completeness gap"], relative, rtol=1e-2, atol=1e-4
    )
    assert np.abs(gap).min() > 1e-3  # otherwise this shows nothing


def test_more_steps_leave_a_smaller_gap():
    model = Spatial()
    x, targets = pictures(model, 4), targets_of(0, 1, 2, 3)
    gaps = [
        np.abs(last(model, x, targets, steps=steps).diagnostics["completeness gap"]).mean()
        for steps in (8, 64, 512)
    ]
    assert gaps[0] > 4 * gaps[1] > 16 * gaps[2]


@pytest.mark.parametrize("name", PREPROCESSINGS)
@pytest.mark.parametrize(("baseline", "value"), [("black", 0), ("white", 255)])
def test_the_empty_picture_is_black_before_preprocessing_not_after(name, baseline, value):
    model = preprocessed(Spatial(), name)
    start = PREPROCESSINGS[name](np.full((1, *model.shape), value, np.float32))
    x = pictures(model)
    x[:, :2] = start[:, :2]  # an empty part of the picture
    found = last(model, x, targets_of(0), steps=9, baseline=baseline).values
    assert not found[:, :2].any()
    np.testing.assert_allclose(found, loop(model, x, targets_of(0), 9, start), rtol=1e-4, atol=1e-4)


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


def test_memory_does_not_grow_with_the_steps():
    model = Spatial((32, 32, 3))
    x, targets = pictures(model), targets_of(0)
    peaks = []
    for steps in (32, 512):
        tracemalloc.start()
        for _ in integrated_gradients(model, x, targets, steps=steps):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
