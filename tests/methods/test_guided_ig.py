"""Guided integrated gradients, against the algorithm with sorted lists and closed forms."""

import numpy as np
import pytest

from napari_saliency.core.types import SCORES
from napari_saliency.methods import METHODS
from napari_saliency.methods._shared.baselines import empty_picture
from napari_saliency.methods.guided_ig import _bring_nearer
from tests.analytic import Linear, Quadratic, Spatial, pictures, targets_of

guided_ig = METHODS["guided_ig"].function


def last(model, x, targets, **options):
    *_, estimate = guided_ig(model, x, targets, **options)
    return estimate


def by_hand(model, x, start, targets, steps, fraction):
    """Of one picture, value by value."""
    goal = [float(v) for v in x.ravel()]
    place = [float(v) for v in start.ravel()]
    count, total = len(goal), [0.0] * x.size
    group = int(fraction * (count - 1)) + 1
    stride = sum(abs(a - b) for a, b in zip(goal, place, strict=True)) / steps
    for _ in range(steps):
        here = np.array(place, np.float32).reshape(x.shape)
        gradient = model.gradient(here, targets)[1].ravel().tolist()
        order = sorted((i for i in range(count) if place[i] != goal[i]), key=lambda i: abs(gradient[i]))
        needed = stride
        while needed > 1e-9 and order:
            size = min(group, len(order))
            while size < len(order) and abs(gradient[order[size]]) == abs(gradient[order[size - 1]]):
                size += 1
            some, order = order[:size], order[size:]
            share = min(1, needed / sum(abs(goal[i] - place[i]) for i in some))
            for i in some:
                move = share * (goal[i] - place[i])
                needed -= abs(move)
                total[i] += move * gradient[i]
                place[i] = goal[i] if share == 1 else place[i] + move
    return np.array(total).reshape(x.shape)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.7])
def test_it_is_the_algorithm(score, fraction):
    model = Spatial()
    x = pictures(model, 2)
    result = last(model, x, targets_of(0, 2, score=score), steps=13, fraction=fraction).values
    for n, index in enumerate((0, 2)):
        targets = targets_of(index, score=score)
        wanted = by_hand(model, x[n : n + 1], np.zeros_like(x[:1]), targets, 13, fraction)
        np.testing.assert_allclose(result[n], wanted[0], rtol=1e-4, atol=1e-5)


def test_when_all_values_move_together_the_way_is_straight():
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 1)
    gradients = [model.gradient((x * np.float32(step / 10)), targets)[1] for step in range(10)]
    result = last(model, x, targets, steps=10, fraction=1.0).values
    np.testing.assert_allclose(result, x * np.mean(gradients, axis=0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 2), (6, 9, 3), (4, 5, 6, 2)])
@pytest.mark.parametrize("baseline", ["black", "white", "mean", "blur"])
@pytest.mark.parametrize("fraction", [0.05, 0.25])
def test_a_linear_model_is_explained_exactly(shape, baseline, fraction):
    """Whatever the way: the gradient is the same everywhere."""
    model = Linear(shape)
    x = pictures(model, 2)
    start = empty_picture(model, x, baseline)
    result = last(model, x, targets_of(2, 2), steps=9, baseline=baseline, fraction=fraction)
    np.testing.assert_allclose(result.values, model.weights[..., 2] * (x - start), rtol=1e-4, atol=1e-5)
    assert (result.diagnostics["relative completeness gap"] < 1e-3).all()


def test_a_quadratic_model_is_explained_up_to_the_sum_over_its_steps():
    model = Quadratic()
    x = pictures(model, 2)
    wanted = x * (model.weights[..., 1] + model.curvature[..., 1] * x / 2)
    errors = [
        np.abs(last(model, x, targets_of(1, 1), steps=steps).values - wanted).max() for steps in (16, 256)
    ]
    assert errors[0] > 4 * errors[1] > 0


def seen(model, x, targets, **options):
    """The pictures whose gradients are asked for."""
    result, gradient = [], model.gradient
    model.gradient = lambda x, targets: result.append(x.copy()) or gradient(x, targets)
    last(model, x, targets, **options)
    return np.array(result, np.float64)


def test_every_step_comes_nearer_by_the_same_distance():
    model = Spatial()
    x = pictures(model, 2)
    way = seen(model, x, targets_of(0, 1), steps=10, fraction=0.1)
    distances = np.abs(x - way).sum((2, 3, 4))
    whole = np.abs(x).sum((1, 2, 3))
    np.testing.assert_allclose(distances, np.multiply.outer(np.arange(10, 0, -1) / 10, whole), rtol=1e-5)


def test_values_that_matter_little_go_first_and_nothing_goes_back():
    model = Linear()
    x = np.ones((1, *model.shape), np.float32)
    way = seen(model, x, targets_of(0), steps=10, fraction=0.05)
    steepness = np.abs(model.weights[..., 0])
    for place in way[1:, 0]:
        moving = (place > 0) & (place < 1)
        assert steepness[place == 1].max(initial=0) <= steepness[place < 1].min()
        assert moving.sum() <= 0.05 * x.size + 1
    assert (np.diff(way, axis=0) >= 0).all()


def test_it_goes_around_what_is_steep_on_the_straight_way():
    """A ridge half way: the straight way climbs it, and one that leaves the steep value for last does not."""

    class Ridge(Linear):
        def logits(self, x):
            flat = x.reshape(len(x), -1)
            bump = np.where((flat[:, :1] > 0.4) & (flat[:, :1] < 0.6), flat[:, 1:2], 0)
            return np.repeat(10 * bump + flat.sum(1, keepdims=True), 4, axis=1)

        def pull_back(self, x, cotangents, rule=None):
            flat = x.reshape(len(x), -1)
            result = np.ones_like(flat)
            result[:, 1] += 10 * ((flat[:, 0] > 0.4) & (flat[:, 0] < 0.6))
            return (result * cotangents.sum(1, keepdims=True)).reshape(x.shape)

    model = Ridge((2, 2, 1))
    x, targets = np.ones((1, 2, 2, 1), np.float32), targets_of(0)
    *_, straight = METHODS["integrated_gradients"].function(model, x, targets, steps=64)
    guided = last(model, x, targets, steps=64, fraction=0.01)
    assert straight.values.ravel()[1] > 1.5
    np.testing.assert_allclose(guided.values.ravel(), 1, atol=0.05)
    assert abs(guided.diagnostics["completeness gap"][0]) < 0.05


def test_the_gap_that_is_reported_is_the_gap():
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 1)
    result = last(model, x, targets, steps=8)
    difference = model.gradient(x, targets)[0] - model.gradient(np.zeros_like(x), targets)[0]
    gap = result.values.sum((1, 2, 3)) - difference
    np.testing.assert_allclose(result.diagnostics["completeness gap"], gap, atol=1e-4)
    assert np.abs(gap).min() > 1e-3  # otherwise this shows nothing


def test_on_a_network_of_relus_the_gap_stays_however_many_the_steps():
    """What the notes say: its authors' sum uses the gradient on the flat side of every fold it slides along."""
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 1)
    gaps = [
        np.abs(last(model, x, targets, steps=steps).diagnostics["completeness gap"]) for steps in (128, 512)
    ]
    assert (gaps[1] > gaps[0] / 2).all()
    assert (gaps[1] > 0.02).all()


@pytest.mark.parametrize(("model", "adds_up"), [(Linear(), True), (Spatial(), False)])
def test_a_map_that_does_not_add_up_says_so(model, adds_up):
    estimates = list(guided_ig(model, pictures(model, 2), targets_of(0, 1), steps=8))
    for gap, notes in zip(
        estimates[-1].diagnostics["relative completeness gap"], estimates[-1].notes, strict=True
    ):
        assert (gap <= 0.05) == (not notes) == adds_up
        assert adds_up or f"miss the score's difference by {gap:.0%}" in notes[0]
    assert not any(estimate.notes for estimate in estimates[:-1])


def test_a_picture_that_is_its_own_baseline_gets_nothing():
    model = Spatial()
    result = last(model, np.zeros((1, *model.shape), np.float32), targets_of(0), steps=8)
    assert not result.values.any()
    assert result.diagnostics["completeness gap"] == 0


def test_every_run_of_the_model_is_counted():
    model = Spatial()
    done = [estimate.done for estimate in guided_ig(model, pictures(model, 3), targets_of(0, 1, 2), steps=9)]
    assert done == list(range(2, 11))
    assert model.calls == [("scores", 3), *[("gradient", 3)] * 9]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
def test_a_derivative_that_is_no_number_goes_last_and_the_way_has_an_end(bad, fraction):
    gradient = np.ones((4, 4, 3), np.float32)
    gradient[0, 1, 2] = bad
    left = np.ones(gradient.shape)
    moves = list(_bring_nearer(left, gradient, 1.0, fraction))
    np.testing.assert_allclose(sum(moves), 1 - left, atol=1e-15)
    if fraction < 1:
        assert left.sum() == pytest.approx(1)
        assert left[0, 1, 2] == 1
    for _ in _bring_nearer(left, gradient, 0.0, fraction):
        pass
    assert not left.any()


def test_a_map_that_is_not_finite_comes_to_its_end():
    class Broken(Linear):
        def pull_back(self, x, cotangents, rule=None):
            result = super().pull_back(x, cotangents, rule)
            result[:, 0, 0] = np.nan
            return result

    model = Broken()
    estimates = list(guided_ig(model, pictures(model), targets_of(0), steps=8))
    assert estimates[-1].done == estimates[-1].total
    assert np.isnan(estimates[-1].values[0, 0, 0]).all()
    assert np.isfinite(estimates[-1].values[0, 1:]).all()
