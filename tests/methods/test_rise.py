"""RISE, against a plain loop over the same masks, its expectation on a linear model and its axioms."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import score_cache
from tests.analytic import LABELS, Dense, Linear, Spatial, pictures, targets_of

rise = partial(METHODS["rise"].function, centred=False)  # eq. 6 as it stands


def last(model, x, targets, **options):
    *_, estimate = rise(model, x, targets, **options)
    return estimate


def interpolated(grid, place, sizes):
    """Value of a grid at one pixel of its enlargement to some sizes, by its neighbours on each axis."""
    value, near = 0.0, []
    for where, cells, size in zip(place, grid.shape, sizes, strict=True):
        at = min(max((where + 0.5) / size * cells - 0.5, 0), cells - 1)
        low = min(int(at), cells - 1)
        near.append([(low, 1 - (at - low)), (min(low + 1, cells - 1), at - low)])
    for corner in product(*near):
        value += np.prod([share for _, share in corner]) * grid[tuple(cell for cell, _ in corner)]
    return value


def masks_of(space, cells, probability, seed, samples):
    """The same masks, pixel by pixel."""
    random = np.random.default_rng(seed)
    edges = [-(-side // count) for side, count in zip(space, cells, strict=True)]
    sizes = [(count + 1) * edge for count, edge in zip(cells, edges, strict=True)]
    for _ in range(samples):
        grid = random.random(cells) < probability
        shifts = [random.integers(0, edge + 1) for edge in edges]
        mask = np.zeros(space)
        for place in np.ndindex(*space):
            mask[place] = interpolated(grid, np.add(place, shifts), sizes)
        yield mask


def loop(model, picture, target, masks, probability):
    """Eq. 6 with black for what is covered: score times mask, over the number and the probability."""
    result = []
    for mask in masks:
        value = model.value((picture * mask[..., None])[None].astype(np.float64), target)[0]
        result.append(value * mask / probability)
    return np.mean(result, axis=0), np.std(result, axis=0, ddof=1) / len(result) ** 0.5


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("cells", "probability", "samples"), [(3, 0.5, 20), (4, 0.3, 9), (1, 0.5, 5)])
def test_it_is_equation_6_over_the_same_masks(score, cells, probability, samples):
    model = Spatial()
    x, weights = pictures(model, 2), np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32)
    options = {"samples": samples, "cells": cells, "probability": probability, "seed": 3}
    result = last(model, x, Targets(weights, score), **options)
    masks = list(masks_of((6, 8), (cells, cells), probability, 3, samples))
    for n in range(2):
        mean, error = loop(model, x[n], Targets(weights[n : n + 1], score), masks, probability)
        np.testing.assert_allclose(result.values[n], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(result.stderr[n], error, rtol=1e-3, atol=1e-5)


def test_volumes_have_masks_with_three_axes():
    model = Linear((4, 5, 6, 2))
    x = pictures(model)
    result = last(model, x, targets_of(2), samples=6, seed=1)
    masks = masks_of((4, 5, 6), (4, 4, 4), 0.5, 1, 6)
    mean, _ = loop(model, x[0], targets_of(2), masks, 0.5)
    np.testing.assert_allclose(result.values[0], mean, rtol=1e-4, atol=1e-5)


def overlap(side, cells):
    """Of two pixels on one axis: the mean over all shifts of the product of their weights, summed over cells."""
    edge = -(-side // cells)
    size, result = (cells + 1) * edge, np.zeros((side, side))
    for shift in range(edge + 1):
        rows = [
            [interpolated(np.eye(cells)[c], [place + shift], [size]) for c in range(cells)]
            for place in range(side)
        ]
        result += np.array(rows) @ np.transpose(rows)
    return result / (edge + 1)


def test_it_tends_to_its_expectation_and_the_error_tells_how_far_it_is():
    """Of a linear model: the covariance of two pixels' masks is p (1 − p) times the overlap of their cells."""
    model, p, cells = Linear(), 0.4, 3
    x = pictures(model)
    gains = np.einsum("hwc,hwck->hwk", x[0], model.weights)
    mean = model.bias + p * gains.sum((0, 1))
    near = np.einsum("ab,cd,bdk->ack", overlap(6, cells), overlap(8, cells), gains)
    off, errors = np.zeros((2, 10, 6, 8)), np.zeros((2, 10, 6, 8))
    for centred, seed in product((0, 1), range(10)):
        options = {"samples": 400, "cells": cells, "probability": p, "seed": seed}
        result = last(model, x, targets_of(seed % 4), centred=bool(centred), **options)
        expected = (1 - p) * near[..., seed % 4] + (0 if centred else mean[seed % 4])
        errors[centred, seed] = result.stderr[0]
        off[centred, seed] = (result.values[0] - expected) / result.stderr[0]
    assert np.abs(off).max() < 4.5
    assert ((np.square(off).mean((1, 2, 3)) > 0.5) & (np.square(off).mean((1, 2, 3)) < 1.8)).all()
    assert errors[1].mean() < 0.8 * errors[0].mean()


def test_centred_is_the_plain_loop_with_what_is_expected_taken_away():
    model = Spatial()
    x = pictures(model)
    result = last(model, x, targets_of(1), samples=12, cells=3, centred=True).values[0]
    middle = model.value(np.stack([x[0], 0 * x[0]]).astype(float), targets_of(1, 1)).mean()
    wanted = np.zeros((6, 8))
    for mask in masks_of((6, 8), (3, 3), 0.5, 0, 12):
        value = model.value((x[0] * mask[..., None])[None].astype(float), targets_of(1))[0]
        wanted += (value - middle) * (mask - 0.5) / 0.5 / 12
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)


def test_a_model_that_always_says_the_same_has_an_empty_centred_map_and_a_constant_expected_one():
    model = Linear()
    model.weights[:] = 0
    x = pictures(model)
    assert np.abs(last(model, x, targets_of(0), samples=50, centred=True).values).max() < 1e-7
    raw = last(model, x, targets_of(0), samples=4000)
    assert np.abs((raw.values - model.bias[0]) / raw.stderr).max() < 4.5


def test_a_planted_mark_is_found_where_it_is():
    model = Linear((32, 48, 1))
    model.weights[:] = 0
    model.weights[4:8, 36:40] = 1  # what the network has learnt
    result = last(model, np.ones((1, 32, 48, 1), np.float32), targets_of(0), samples=1500).values[0]
    row, column = np.unravel_index(result.argmax(), result.shape)
    assert abs(row - 5.5) <= 3
    assert abs(column - 37.5) <= 4


def test_the_first_estimate_is_the_mean_of_two_masks():
    model = Spatial()
    x = pictures(model)
    first = next(rise(model, x, targets_of(0), cells=3))
    assert (first.done, model.calls) == (2, [("scores", 2)])
    mean, _ = loop(model, x[0], targets_of(0), masks_of((6, 8), (3, 3), 0.5, 0, 2), 0.5)
    np.testing.assert_allclose(first.values[0], mean, rtol=1e-4, atol=1e-5)


# Another class -----------------------------------------------------------------------------------


def test_other_classes_and_scores_run_the_model_zero_times():
    model, options = Spatial(), {"samples": 40, "cells": 3}
    x = pictures(model, 2)
    last(model, x, targets_of(0, 1), **options)
    known = len(model.calls)
    for index, score in product(range(len(LABELS)), SCORES):
        result = last(model, x, targets_of(index, index, score=score), **options).values
        assert len(model.calls) == known
        fresh = last(Spatial(), x, targets_of(index, index, score=score), **options).values
        np.testing.assert_array_equal(result, fresh)


def test_a_class_that_needs_more_masks_runs_only_those():
    model = Spatial()
    x = pictures(model)
    counts = {}
    for index in range(len(LABELS)):
        options = {"samples": 2000, "cells": 3, "precision": 0.04}
        counts[index] = last(Spatial(), x, targets_of(index), **options).done
    few, many = min(counts, key=counts.get), max(counts, key=counts.get)
    assert counts[few] < counts[many]
    last(model, x, targets_of(few), **options)
    assert sum(size for _, size in model.calls) == counts[few]
    result = last(model, x, targets_of(many), **options)
    assert sum(size for _, size in model.calls) == counts[many]
    np.testing.assert_array_equal(result.values, last(Spatial(), x, targets_of(many), **options).values)


def test_more_masks_of_the_same_class_run_only_the_new_ones():
    model = Spatial()
    x = pictures(model)
    last(model, x, targets_of(0), samples=42)
    last(model, x, targets_of(0), samples=82)
    assert sum(size for _, size in model.calls) == 82


@pytest.mark.parametrize("change", [{"cells": 3}, {"probability": 0.6}, {"fill": "white"}, {"seed": 1}])
def test_what_is_asked_otherwise_runs_anew(change):
    model = Spatial()
    x = pictures(model)
    last(model, x, targets_of(0), samples=10)
    result = last(model, x, targets_of(0), samples=10, **change)
    assert sum(size for _, size in model.calls) == 20
    np.testing.assert_array_equal(
        result.values, last(Spatial(), x, targets_of(0), samples=10, **change).values
    )


def test_outputs_with_space_that_would_fill_the_memory_run_again(monkeypatch):
    model = Dense()
    x = pictures(model)
    weights = np.zeros((1, 3, 4, len(LABELS)), np.float32)
    weights[0, 1, 2, 3] = 1
    result = last(model, x, Targets(weights), samples=30, cells=3)
    mean, _ = loop(model, x[0], Targets(weights), masks_of((6, 8), (3, 3), 0.5, 0, 30), 0.5)
    np.testing.assert_allclose(result.values[0], mean, rtol=1e-4, atol=1e-5)
    again = last(model, x, Targets(weights), samples=30, cells=3)
    assert sum(size for _, size in model.calls) == 30
    monkeypatch.setattr(score_cache, "MOST_BYTES", 100)
    model = Dense()
    for _ in range(2):
        again = last(model, x, Targets(weights), samples=30, cells=3)
        np.testing.assert_array_equal(again.values, result.values)
    assert sum(size for _, size in model.calls) == 60


def test_what_all_pixels_share_is_left_out_unless_it_is_asked_for():
    assert METHODS["rise"].complete({})["centred"] is True
