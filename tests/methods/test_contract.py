"""What holds for every registered method, shown on models whose derivatives are known."""

from collections import deque

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS, wrappable
from tests.analytic import LABELS, Linear, Quadratic, Spatial, pictures, targets_of
from tests.memory import most_memory

# What is not declared by a method, but follows from its options.
SEEDED = [name for name, found in METHODS.items() if any(option.name == "seed" for option in found.options)]
SAMPLED = [name for name, found in METHODS.items() if found.sampled]
MANY = {"samples": 20, "steps": 20, "segments": 5}

every_method = pytest.mark.parametrize("name", METHODS)


def run(name, model, x, targets, **options):
    """All estimates of a method, with few steps for those that have steps."""
    known = {option.name for option in METHODS[name].options}
    few = {option: value for option, value in MANY.items() if option in known}
    return list(METHODS[name].function(model, x, targets, **METHODS[name].complete({**few, **options})))


def answer(name, model, x, targets, **options):
    return run(name, model, x, targets, **options)[-1].values


@pytest.fixture
def model():
    return Spatial()


EMPTY = [(m.id, o.name) for m in METHODS.values() for o in m.options if o.per_channel]


def test_every_empty_picture_may_be_a_grey():
    named = [(m.id, o.name) for m in METHODS.values() for o in m.options if "black" in o.keywords]
    assert named == EMPTY
    assert {"occlusion", "integrated_gradients"} <= {name for name, _ in EMPTY}


@pytest.mark.parametrize(("name", "option"), EMPTY)
def test_a_grey_makes_the_map_that_its_word_makes_and_a_colour_another_one(model, name, option):
    x, targets = pictures(model), targets_of(0)
    for word, grey in (("black", 0), ("white", (255, 255, 255))):
        named, numbered = (answer(name, model, x, targets, **{option: one}) for one in (word, grey))
        np.testing.assert_array_equal(named, numbered)
    assert not np.allclose(answer(name, model, x, targets, **{option: (255, 0, 99.5)}), numbered)


@every_method
@pytest.mark.parametrize("count", [1, 3])
def test_maps_are_finite_float32_in_the_size_of_the_picture_or_of_the_layer(name, count, model):
    x = pictures(model, count)
    layer = model.info.layers[0]
    sizes = {"channels": x.shape, "pixels": x.shape[:-1], "places": (count, *layer.shape)}
    wanted = sizes[METHODS[name].layout]
    if METHODS[name].shows == "stack":
        wanted = (*wanted, layer.channels)
    for estimate in run(name, model, x, targets_of(*range(count))):
        assert estimate.values.shape == wanted
        assert estimate.values.dtype == np.float32
        assert np.isfinite(estimate.values).all()
        assert estimate.stderr is None or estimate.stderr.shape == wanted


@every_method
def test_pictures_and_targets_are_left_as_they_are(name, model):
    x, targets = pictures(model, 2), targets_of(0, 1)
    x.flags.writeable = targets.weights.flags.writeable = False
    before = x.copy()
    run(name, model, x, targets)
    np.testing.assert_array_equal(x, before)


@every_method
def test_pitfall_progress_that_never_reaches_its_total(name, model):
    estimates = run(name, model, pictures(model), targets_of(0))
    done = [estimate.done for estimate in estimates]
    assert done == sorted(set(done))
    assert done[0] > 0
    assert {estimate.total for estimate in estimates} == {done[-1]}


@every_method
def test_later_estimates_do_not_change_earlier_ones(name, model):
    x, targets = pictures(model), targets_of(0)
    kept = run(name, model, x, targets)
    fresh = METHODS[name].function(model, x, targets, **METHODS[name].complete({**_given(name)}))
    for late, now in zip(kept, fresh, strict=True):
        np.testing.assert_array_equal(late.values, now.values)


def _given(name):
    return {option.name: MANY[option.name] for option in METHODS[name].options if option.name in MANY}


@every_method
def test_another_class_has_another_map(name, model):
    x = pictures(model, 3)
    maps = [answer(name, model, x, targets_of(*[index] * 3)) for index in (0, 1)]
    assert np.allclose(*maps) != METHODS[name].targeted


@every_method
@pytest.mark.parametrize("score", SCORES[1:])
def test_another_score_has_another_map(name, score, model):
    x = pictures(model, 3)
    if METHODS[name].logits_only:
        with pytest.raises(ModelError, match="logits"):
            run(name, model, x, targets_of(0, 0, 0, score=score))
        return
    logit, other = (answer(name, model, x, targets_of(0, 0, 0, score=s)) for s in ("logit", score))
    assert np.allclose(logit, other) != METHODS[name].targeted


@every_method
def test_pitfall_custom_score_ignored(name, model):
    """A score that is ignored would give the same map; so do even powers."""
    x, weights = pictures(model, 3), targets_of(0, 0, 0).weights
    maps = [answer(name, model, x, Targets(sign * weights)) for sign in (1, -1)]
    assert np.allclose(*maps) == METHODS[name].even


@pytest.mark.parametrize("name", [name for name, found in METHODS.items() if found.degree is not None])
def test_pitfall_normalised_map_returned_sign_and_scale_lost(name, model):
    x, weights = pictures(model, 3), targets_of(0, 0, 0).weights
    once, twice = (answer(name, model, x, Targets(factor * weights)) for factor in (1, 2))
    np.testing.assert_allclose(twice, 2 ** METHODS[name].degree * once, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, found in METHODS.items() if found.linear])
def test_the_map_of_a_weighted_target_is_the_weighted_sum_of_maps(name, model):
    x = pictures(model)
    parts = [answer(name, model, x, targets_of(index)) for index in range(len(LABELS))]
    weights = np.array([[1, -2, 0, 0.5]], np.float32)
    whole = answer(name, model, x, Targets(weights))
    np.testing.assert_allclose(whole, np.tensordot(weights[0], parts, 1), rtol=1e-4, atol=1e-5)


@every_method
def test_pictures_of_a_batch_do_not_depend_on_their_company(name, model):
    x, classes = pictures(model, 3), (2, 0, 1)
    together = run(name, model, x, targets_of(*classes))[-1]
    for n, index in enumerate(classes):
        alone = run(name, model, x[n : n + 1], targets_of(index))[-1]
        np.testing.assert_allclose(together.values[n], alone.values[0], rtol=1e-4, atol=1e-5)
        for key, value in alone.diagnostics.items():
            np.testing.assert_allclose(together.diagnostics[key][n], value[0], rtol=1e-3, atol=1e-4)


@every_method
def test_two_runs_are_equal(name, model):
    x = pictures(model)
    np.testing.assert_array_equal(*(answer(name, model, x, targets_of(0)) for _ in range(2)))


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_has_another_map(name, model):
    x = pictures(model)
    maps = [
        answer(name, model, x, targets_of(0), seed=seed, **METHODS[name].sampling_options) for seed in (0, 1)
    ]
    assert not np.allclose(*maps)


@pytest.mark.parametrize("name", SAMPLED)
def test_what_samples_says_how_precise_it_is_and_stops_at_a_precision(name, model):
    """The error is that of the map so far, and a picture stops alone as it does beside others."""
    x, targets = pictures(model, 2), targets_of(0, 1)
    samples = {"samples": 500, **METHODS[name].sampling_options}
    for estimate in run(name, model, x, targets, **METHODS[name].sampling_options):
        if estimate.stderr is None:  # nothing is finished yet
            continue
        error = np.sqrt(np.square(estimate.stderr).mean((1, 2, 3) if estimate.values.ndim == 4 else (1, 2)))
        largest = np.abs(estimate.values).reshape(2, -1).max(1)
        np.testing.assert_allclose(
            estimate.diagnostics["relative standard error"], error / largest, rtol=1e-3
        )
    wanted = float(error.max() / largest.min()) / 2
    *_, last = run(name, model, x, targets, precision=wanted, **samples)
    assert last.done == last.total
    assert last.diagnostics["samples"].max() < 500
    assert (last.diagnostics["relative standard error"] <= wanted).all()
    for n, index in enumerate((0, 1)):
        *_, alone = run(name, model, x[n : n + 1], targets_of(index), precision=wanted, **samples)
        assert alone.diagnostics["samples"][0] == last.diagnostics["samples"][n]
        np.testing.assert_allclose(last.values[n], alone.values[0], rtol=1e-4, atol=1e-5)


@every_method
def test_cancelled_after_any_step_it_runs_nothing_more(name, model):
    x, targets = pictures(model), targets_of(0)
    estimates = run(name, model, x, targets)
    for taken in range(len(estimates)):
        running = METHODS[name].function(model, x, targets, **METHODS[name].complete(_given(name)))
        for estimate in estimates[:taken]:
            np.testing.assert_array_equal(next(running).values, estimate.values)
        calls = len(model.calls)
        running.close()
        assert len(model.calls) == calls
    np.testing.assert_array_equal(answer(name, model, x, targets), estimates[-1].values)


@every_method
def test_no_call_is_larger_than_the_model_wants(name):
    model = Spatial(batch=4)
    run(name, model, pictures(model), targets_of(0))
    assert max(size for _, size in model.calls) <= 4


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option.name)
        for name, m in METHODS.items()
        for option in m.options
        if option.name in ("samples", "steps")
    ],
)
def test_pitfall_out_of_memory_by_default(name, option, one_thread):
    """450 samples, or steps, more need less than ten pictures more; occlusion's windows have a test of their own."""
    given = {"segments": 12, "steps": 8, **(METHODS[name].sampling_options if option == "samples" else {})}
    known = {result.name for result in METHODS[name].options}
    options = {key: value for key, value in given.items() if key in known}
    peaks = []
    for count in (50, 50, 500):  # the first run imports and keeps what all others share
        model = Spatial((48, 48, 3))
        model.calls = deque(maxlen=0)  # a list of all calls grows with them
        x, complete = pictures(model), METHODS[name].complete({**options, option: count})
        running = METHODS[name].function(model, x, targets_of(0), **complete)
        peaks.append(most_memory(lambda running=running: deque(running, maxlen=0)))
    # Python itself keeps some for the next use: up to five pictures' worth of the small tuples of 500 steps.
    assert peaks[2] - peaks[1] < 10 * x[:1].nbytes


@every_method
def test_the_first_estimate_comes_within_the_work_of_three_plain_maps(name):
    """Two of them are the model's, where a forward pass is at most half of a gradient: one is left for all else."""
    model = Spatial((16, 24, 3))
    next(METHODS[name].function(model, pictures(model), targets_of(0), **METHODS[name].complete({})))
    work = {
        "gradient": 1,
        "tap": 1,
        "scores": 0.5,
        "rescale": 2,
        "epsilon": 1,
    }  # DeepLIFT: the empty picture, too
    assert sum(work[call] * size for call, size in model.calls) <= 2


@every_method
def test_nothing_runs_before_the_first_step_is_asked_for(name, model):
    METHODS[name].function(model, pictures(model), targets_of(0), **METHODS[name].complete({}))
    assert not model.calls


@every_method
@pytest.mark.parametrize("kind", [Linear, Quadratic])
def test_a_model_without_relu_or_space_is_refused_or_explained_but_never_something_else(name, kind):
    model = kind()
    if METHODS[name].needs in ("scores", "gradient") and not METHODS[name].needs_relu:
        assert np.isfinite(answer(name, model, pictures(model), targets_of(0))).all()
    else:
        with pytest.raises(ModelError, match=model.info.name):
            run(name, model, pictures(model), targets_of(0))


def counted(name, model, **options):
    """How often it says that a model is run, and how often it is."""
    complete, x = METHODS[name].complete(options), pictures(model)
    for _ in METHODS[name].function(model, x, targets_of(0), **complete):
        pass
    said = METHODS[name].passes(complete, model.info, x.shape[1:-1])
    return said, sum(size for _, size in model.calls)


@every_method
@pytest.mark.parametrize("shape", [(6, 8, 3), (24, 16, 3)])
def test_what_a_method_says_that_it_costs_is_what_the_model_counts(name, shape):
    said, result = counted(name, Spatial(shape), **_given(name))
    assert said == result


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("integrated_gradients", {"rule": "gauss_legendre", "steps": 9}),
        ("integrated_gradients", {"baseline": "random", "steps": 9, "samples": 4}),
        ("occlusion", {"window": 3, "stride": 2}),
        ("occlusion", {"window": 100}),
        ("rise", {"samples": 10, "centred": False}),
        ("kernel_shap", {"samples": 11}),
        ("kernel_shap", {"segments": 6}),
        ("score_cam", {"layer": "blocks"}),
        ("vargrad", {"of": "grad_cam", "samples": 3, "layer": "blocks"}),
    ],
)
def test_what_a_method_says_that_it_costs_follows_its_options(name, options):
    said, result = counted(name, Spatial(), **options)
    assert said == result


@pytest.mark.parametrize("inner", wrappable())
def test_a_wrapper_costs_what_it_wraps_times_the_copies(inner):
    said, result = counted("smoothgrad", Spatial(batch=64), of=inner, samples=2)
    assert said == result
    once, _ = counted(inner, Spatial(batch=64))
    assert said == 2 * once
