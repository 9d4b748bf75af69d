"""Every method on models of volumes, beside closed forms and loops of numpy."""

import numpy as np
import pytest

from napari_saliency.methods import METHODS
from napari_saliency.models import Tap
from tests.analytic import Linear, Quadratic, pictures, targets_of
from tests.noise import noise

SHAPE = (4, 5, 6, 2)


def answer(name, model, x, targets, **options):
    *_, last = METHODS[name].function(model, x, targets, **METHODS[name].complete(options))
    return last


@pytest.mark.parametrize("name", ["gradient", "gradient_x_input", "smoothgrad", "integrated_gradients"])
def test_a_linear_model_is_explained_exactly(name):
    model = Linear(SHAPE)
    x = pictures(model, 2)
    result = answer(name, model, x, targets_of(2, 0)).values
    expected = np.stack([model.weights[..., 2], model.weights[..., 0]])
    expected = expected * x if name in ("gradient_x_input", "integrated_gradients") else expected
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_smoothgrad_is_the_mean_over_noise_of_each_volumes_own_range():
    model = Quadratic(SHAPE)
    x = pictures(model, 2) * np.float32([1, 9])[:, None, None, None, None]
    result = answer("smoothgrad", model, x, targets_of(1, 1), samples=5, noise=0.2, seed=7).values
    drawn = noise(7, 5, SHAPE)
    for n, volume in enumerate(x.astype(np.float64)):
        copies = volume + 0.2 * (volume.max() - volume.min()) * drawn
        expected = model.weights[..., 1] + model.curvature[..., 1] * copies.mean(axis=0)
        np.testing.assert_allclose(result[n], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("baseline", ["black", "white", "mean"])
def test_integrated_gradients_add_up_to_the_difference_of_scores(baseline):
    model = Quadratic(SHAPE)
    x = pictures(model, 2)
    last = answer("integrated_gradients", model, x, targets_of(3, 1), baseline=baseline)
    empty = {"black": np.zeros_like(x), "white": np.full_like(x, 255)}
    empty = empty.get(baseline, np.broadcast_to(x.mean(axis=(1, 2, 3), keepdims=True), x.shape))
    gained = (model.logits(x) - model.logits(empty))[[0, 1], [3, 1]]
    np.testing.assert_allclose(last.values.sum(axis=(1, 2, 3, 4)), gained, rtol=1e-4)
    assert np.abs(last.diagnostics["completeness gap"]).max() < 1e-3 * np.abs(gained).max()


def test_grad_cam_weighs_channels_by_their_mean_gradient_over_all_places():
    random = np.random.default_rng(0)
    tap = Tap(*random.normal(size=(2, 2, 3, 4, 5, 6)).astype(np.float32))
    model = Linear(SHAPE)
    model.tap = lambda x, targets, layer: tap
    last = answer("grad_cam", model, pictures(model, 2), targets_of(0, 1), layer="any")
    for n in range(2):
        alpha = [tap.gradients[n, ..., c].mean() for c in range(6)]
        expected = sum(alpha[c] * tap.activations[n, ..., c] for c in range(6))
        np.testing.assert_allclose(last.values[n], np.maximum(expected, 0), rtol=1e-4, atol=1e-6)
