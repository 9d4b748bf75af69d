"""Score-CAM, against a loop over the channels."""

import numpy as np
import pytest
from skimage.transform import resize

from napari_saliency.core.types import SCORES
from napari_saliency.methods import METHODS
from napari_saliency.methods.score_cam import _masks
from napari_saliency.models import Tap
from tests.analytic import Spatial, pictures, targets_of
from tests.memory import most_memory

score_cam = METHODS["score_cam"].function
WEIGHTS = ["increase", "softmax"]


def run(model, x, targets, **options):
    return list(score_cam(model, x, targets, **options))


def increases(model, picture, targets):
    """How much more the score is of the picture seen through each channel than of an empty one."""
    channels = np.maximum(model.before_relu(picture[None]), 0)[0]
    result = []
    for channel in np.moveaxis(channels, -1, 0):
        mask = resize(channel, model.shape[:2], order=1, mode="edge", anti_aliasing=False)
        extent = mask.max() - mask.min()
        mask = (mask - mask.min()) / extent if extent else 0 * mask
        result.append(model.value(picture[None] * mask[..., None], targets)[0])
    return channels, np.array(result) - model.value(np.zeros_like(picture)[None], targets)[0]


@pytest.fixture
def model():
    return Spatial()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_channels_are_weighed_by_what_the_model_says_of_what_they_show(model, score, weights):
    x, classes = pictures(model, 3), (3, 0, 3)
    result = run(model, x, targets_of(*classes, score=score), weights=weights)[-1].values
    for n, index in enumerate(classes):
        channels, by = increases(model, x[n].astype(np.float64), targets_of(index, score=score))
        by = by if weights == "increase" else np.exp(by) / np.exp(by).sum()
        wanted = np.maximum(channels @ by, 0)
        np.testing.assert_allclose(result[n], wanted, rtol=1e-3, atol=1e-5)
    assert result.any()


def test_a_channel_that_is_the_same_everywhere_shows_nothing():
    """Not 0/0, nor what rounding makes of it."""
    channels = np.stack([np.full((7, 7), 0.1), np.eye(7)]).astype(np.float32)
    flat, other = _masks(channels, (50, 60))
    assert not flat.any()
    assert (other.min(), other.max()) == (0, 1)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_layer_that_is_the_same_everywhere_has_a_finite_map(model, weights):
    model.kernel[:], model.bias[:] = 0, 3
    assert np.isfinite(run(model, pictures(model, 2), targets_of(0, 3), weights=weights)[-1].values).all()


def test_it_costs_a_pass_for_each_channel_and_one_for_the_empty_picture(model):
    estimates = run(model, pictures(model, 2), targets_of(0, 1))
    assert {estimate.total for estimate in estimates} == {1 + model.features}
    assert all((estimate.diagnostics["forward passes"] == 6).all() for estimate in estimates)
    assert sum(size for kind, size in model.calls if kind == "scores") == 6 * 2


def test_it_does_not_depend_on_how_many_passes_are_run_together():
    models = [Spatial(batch=batch) for batch in (1, 2, 3, 8)]
    x, targets = pictures(models[0]), targets_of(3)
    first, *others = [run(model, x, targets)[-1].values for model in models]
    for other in others:
        np.testing.assert_array_equal(first, other)
    assert len({len(model.calls) for model in models}) > 1


@pytest.mark.parametrize("weights", WEIGHTS)
def test_another_class_of_the_same_picture_runs_nothing(model, weights):
    x = pictures(model, 2)
    fresh = run(Spatial(), x, targets_of(2, 3), weights=weights)[-1]
    run(model, x, targets_of(0, 1))
    model.calls.clear()
    again = run(model, x, targets_of(2, 3), weights=weights)[-1]
    assert model.calls == []
    np.testing.assert_array_equal(again.values, fresh.values)
    run(model, x + 1, targets_of(0, 1))
    assert model.calls


def test_it_shows_something_before_it_is_done():
    model = Spatial(batch=2)
    first, *_, last = run(model, pictures(model, seed=2), targets_of(3))
    assert (first.done, last.done) == (2, 6)
    assert first.values.shape == last.values.shape
    assert model.calls[:2] == [("tap", 1), ("scores", 2)]


def test_pitfall_out_of_memory_by_default(one_thread):
    model = Spatial((60, 80, 3))
    x, targets, random = pictures(model), targets_of(0), np.random.default_rng(0)

    def peak(channels):
        result = Tap(*random.random((2, 1, 2, 2, channels), np.float32))
        model.tap = lambda x, targets, layer: result
        return most_memory(lambda: run(model, x, targets, layer=f"of {channels} channels"))

    peak(10)
    assert peak(200) < 1.1 * peak(20)
