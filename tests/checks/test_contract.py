"""What holds for every registered check."""

from dataclasses import replace

import numpy as np
import pytest

from napari_saliency.checks import CHECKS
from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Region
from tests.analytic import Convolutional, Spatial
from tests.checks.subjects import FEW, last, run, subject

WORDS = {
    "empty": "zero everywhere",
    "even": "same value everywhere",
    "nan": "not finite",
    "inf": "not finite",
}
FLAT = {"completeness_gap": ("empty", "even"), "max_sensitivity": ("even",)}  # which they can judge

every_check = pytest.mark.parametrize("name", CHECKS)
RUNNING = [name for name, check in CHECKS.items() if check.runs(1)]
SEEDED = [name for name, check in CHECKS.items() if any(option.name == "seed" for option in check.options)]
SPACE = (9, 13)


def region():
    mask = np.zeros(SPACE, bool)
    mask[2:6, 3:9] = True
    return Region(SPACE, np.packbits(mask).tobytes())


def about(method="gradient", **options):
    return subject(Convolutional(), method, region=region(), **options)


def same(one, other):
    assert (one.done, one.total, one.verdict, one.level) == (
        other.done,
        other.total,
        other.verdict,
        other.level,
    )
    assert dict(one.figures) == dict(other.figures)
    for mine, its in zip(one.curves, other.curves, strict=True):
        np.testing.assert_array_equal(mine.y, its.y)


@every_check
@pytest.mark.parametrize("method", ["gradient", "grad_cam", "occlusion", "integrated_gradients"])
def test_pitfall_progress_that_never_reaches_its_total(name, method):
    *before, end = run(name, about(method))
    assert end.complete
    assert end.level in ("good", "doubtful", "bad", "not applicable")
    assert end.verdict.endswith(".")
    assert all(np.isfinite(value) for value in end.figures.values())
    assert not any(finding.complete or finding.verdict or finding.level for finding in before)


@every_check
@pytest.mark.parametrize("method", ["gradient", "smoothgrad"])
def test_progress_grows(name, method):
    findings = run(name, about(method, **({"samples": 9} if method == "smoothgrad" else {})))
    done = [finding.done for finding in findings]
    assert done == sorted(set(done))
    assert len({finding.total for finding in findings}) == 1


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_the_model_can_be_stopped_on_the_way(name):
    assert len(run(name, about())) > 1


@every_check
def test_nothing_that_it_is_given_is_changed(name):
    given = about()
    for array in (given.x, given.values, given.targets.weights):
        array.flags.writeable = False
    before = [weights.copy() for weights in given.model.arrays]
    run(name, given)
    for mine, old in zip(given.model.arrays, before, strict=True):
        np.testing.assert_array_equal(mine, old)


@every_check
def test_two_runs_are_equal(name):
    for one, other in zip(run(name, about()), run(name, about()), strict=True):
        same(one, other)


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_measures_something_else(name):
    figures = [dict(last(name, about(), seed=seed).figures) for seed in range(4)]
    assert any(other != figures[0] for other in figures[1:])


@every_check
def test_cancelled_after_any_step_it_runs_nothing_more_and_leaves_nothing_behind(name):
    given = about()
    options = CHECKS[name].complete({o.name: FEW[o.name] for o in CHECKS[name].options if o.name in FEW})
    findings = run(name, given)
    for taken in range(len(findings)):
        running = CHECKS[name].function(given, **options)
        for finding in findings[:taken]:
            same(next(running), finding)
        calls = len(given.model.calls)
        running.close()
        assert len(given.model.calls) == calls
    same(last(name, given), findings[-1])


@every_check
def test_nothing_runs_before_the_first_step_is_asked_for(name):
    given = about()
    given.model.calls.clear()
    CHECKS[name].function(given, **CHECKS[name].complete({}))
    assert not given.model.calls


@every_check
def test_no_call_is_larger_than_the_model_wants(name):
    given = subject(Convolutional(batch=3), region=region())
    run(name, given)
    assert max(size for _, size in given.model.calls) <= 3


def unusable(kind):
    """A map of which there is nothing to judge."""
    given = about()
    values = {"empty": np.zeros_like, "even": np.ones_like}.get(kind, np.array)(given.values)
    if kind not in ("empty", "even"):
        values[0, 0, 0] = float(kind)
    if kind == "even":
        values[...] = [1, -2, 3]  # each channel is
    return replace(given, values=values, diagnostics={"relative completeness gap": 0.5})


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [(name, *each) for name in CHECKS for each in WORDS.items() if each[0] not in FLAT.get(name, ())],
)
def test_of_a_map_that_says_nothing_nothing_is_said(name, kind, text):
    """Such a map is like no other, which sounds good."""
    given = unusable(kind)
    given.model.calls.clear()
    (result,) = run(name, given)
    assert result.level == "not applicable"
    assert text in result.verdict
    assert not given.model.calls


def test_that_an_empty_map_misses_the_score_is_told():
    assert last("completeness_gap", unusable("empty")).level == "bad"


@pytest.mark.parametrize("name", RUNNING)
def test_it_costs_what_it_says(name):
    """Counted are pictures; the gradient's map is one."""
    model = Convolutional(shape=(9, 13, 3))
    counted = []
    for call in ("scores", "gradient"):
        method = getattr(Convolutional, call)

        def counting(self, x, *rest, method=method):
            counted.append(len(x))
            return method(self, x, *rest)

        setattr(Convolutional, call, counting)
    try:
        given = subject(model)
        counted.clear()
        options = CHECKS[name].complete({o.name: FEW[o.name] for o in CHECKS[name].options if o.name in FEW})
        end = last(name, given)
    finally:
        for call in ("scores", "gradient"):
            delattr(Convolutional, call)
    cost = CHECKS[name].cost(options)
    if name == "model_randomisation":  # the model has three layers, fewer than stages were allowed
        assert (sum(counted), end.total) == (3, 300)
    else:
        assert sum(counted) == cost.runs + cost.maps


def test_a_model_that_keeps_its_weights_to_itself_says_so():
    with pytest.raises(ModelError, match="keeps its weights to itself"):
        run("model_randomisation", subject(Spatial()))
