"""Running moments, against numpy's over all samples at once."""

import numpy as np
import pytest

from napari_saliency.methods._shared import running_stats
from napari_saliency.methods._shared.running_stats import RunningMean, RunningVariance, relative_error


def samples(count, seed=0):
    return np.random.default_rng(seed).gamma(2, size=(count, 3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize(("group", "part"), [(1, 100), (3, 7), (40, 1)])
def test_moments_do_not_depend_on_how_samples_and_values_are_grouped(monkeypatch, group, part):
    monkeypatch.setattr(running_stats, "PART", part)
    all_of_them = samples(40)
    mean, variance = RunningMean(), RunningVariance()
    for start in range(0, 40, group):
        mean.add(all_of_them[start : start + group])
        variance.add(all_of_them[start : start + group])
    exact = all_of_them.astype(np.float64)
    np.testing.assert_allclose(mean.values, exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(mean.stderr, exact.std(0, ddof=1) / 40**0.5, rtol=1e-5)
    np.testing.assert_allclose(variance.values, exact.var(0, ddof=1), rtol=1e-5)
    fourth = ((exact - exact.mean(0)) ** 4).mean(0)
    spread = (fourth - exact.var(0, ddof=1) ** 2 * 37 / 39) / 40
    np.testing.assert_allclose(variance.stderr, np.sqrt(spread), rtol=1e-5)


@pytest.mark.parametrize("kind", [RunningMean, RunningVariance])
def test_one_sample_has_no_error_yet(kind):
    running = kind()
    running.add(samples(1))
    wanted = samples(1)[0] if kind is RunningMean else 0
    np.testing.assert_array_equal(running.values, np.broadcast_to(wanted, (3, 4, 5)))
    assert not running.enough
    first = running.estimate(1, 9)
    assert (first.stderr, first.diagnostics.keys()) == (None, {"samples"})
    running.add(samples(1, 1))
    assert running.estimate(2, 9).stderr.any()


@pytest.mark.parametrize("kind", [RunningMean, RunningVariance])
def test_a_picture_that_is_precise_enough_takes_no_more_samples(kind):
    quiet, loud = samples(64), samples(64, 1)
    quiet[:, 0] = 1 + 1e-3 * quiet[:, 0] + (np.arange(64) % 2)[:, None, None]
    both = np.stack([quiet[:, 0], loud[:, 0]], axis=1)
    together, alone = kind(0.05), kind(0.05)
    together.add(both)
    alone.add(both[:, :1])
    taken = together.estimate(64, 100).diagnostics["samples"]
    count = int(taken[0])
    assert kind.FEWEST <= count < 64 == taken[1]
    assert alone.enough
    assert not together.enough
    assert [kind.estimate(64, 100).total for kind in (together, alone)] == [100, 64]
    until = kind()
    until.add(both[:count])
    for name in ("values", "stderr"):
        np.testing.assert_array_equal(getattr(together, name)[0], getattr(alone, name)[0])
        np.testing.assert_allclose(getattr(together, name)[0], getattr(until, name)[0], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", [RunningMean, RunningVariance])
def test_an_error_that_is_believed_is_as_large_as_the_scatter(kind):
    """Of 400 runs; that of a variance of eight samples would be a quarter too small."""
    runs = []
    for seed in range(400):
        running = kind()
        running.add(samples(kind.FEWEST, seed))
        runs.append((running.values, running.stderr))
    values, errors = np.array(runs).swapaxes(0, 1)
    assert 0.9 < np.sqrt((errors**2).mean() / values.var(axis=0, ddof=1).mean()) < 1.1


def test_the_relative_error_of_an_empty_map_is_none():
    zeros = np.zeros((2, 3, 3), np.float32)
    assert not relative_error(zeros, zeros).any()
