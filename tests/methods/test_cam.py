"""Class activation maps of one derivative, against their formulas, place by place."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.transform import resize

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from tests.analytic import Convolutional, Linear, Spatial, pictures, targets_of

LOOKING = [name for name, found in METHODS.items() if found.needs == "tap"]
CAMS = ["grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "score_cam", "guided_grad_cam"]
RECTIFIED = ["grad_cam", "grad_cam_pp", "layer_cam", "score_cam"]

every_looking = pytest.mark.parametrize("name", LOOKING)
every_score = pytest.mark.parametrize("score", SCORES)


def answer(name, model, x, targets, **options):
    *_, last = METHODS[name].function(model, x, targets, **options)
    return last


def grad_cam(model, x, targets, **options):
    return answer("grad_cam", model, x, targets, **options)


@pytest.fixture
def model():
    return Spatial()


@pytest.fixture
def never(model):
    """A model whose first class no place speaks for, and whose second class every place speaks for."""
    model.bias = -np.abs(model.bias)  # an empty picture shows nothing
    model.head[..., 0] = -np.abs(model.head[..., 0])
    model.head[..., 1] = np.abs(model.head[..., 1])
    return model


@pytest.fixture
def pooled(model):
    """A model that takes the mean of each channel, as the networks do that class activation maps began with."""
    model.head[:] = model.head.mean((0, 1))
    return model


def view_layer(model, x, targets):
    """Activations and gradients of the only layer, (N, h, w, F) float64."""
    activations = np.maximum(model.before_relu(x.astype(np.float64)), 0)
    cotangents = model.cotangents(x.astype(np.float64), targets)
    return activations, np.einsum("nk,hwfk->nhwf", cotangents, model.head)


def places(activations):
    """Each place of each channel."""
    return np.ndindex(*activations.shape[1:])


# The formulas ------------------------------------------------------------------------------------


@every_score
def test_grad_cam_is_the_rectified_sum_of_activations_weighted_by_mean_gradients(model, score):
    x, targets = pictures(model, 2), targets_of(0, 1, score=score)
    activations, gradients = view_layer(model, x, targets)
    alpha = gradients.mean((1, 2))
    wanted = np.maximum(np.einsum("nf,nhwf->nhw", alpha, activations), 0)
    np.testing.assert_allclose(grad_cam(model, x, targets).values, wanted, rtol=1e-4, atol=1e-6)


def test_grad_cam_pp_has_the_weights_of_its_definition_for_the_scores_exponential(model):
    """The derivatives of exp(score), first to third, by differences: nothing of the closed form is used."""
    x, classes, h = pictures(model, 3), (0, 1, 3), 0.02
    targets = targets_of(*classes)
    activations, _ = view_layer(model, x, targets)
    result = answer("grad_cam_pp", model, x, targets).values
    for n, k in enumerate(classes):
        weights = np.zeros(model.features)
        for row, column, channel in places(activations):
            # Shares of exp(score), which all terms have as a factor: exp(score + change) / exp(score).
            y = [np.exp(step * h * model.head[row, column, channel, k]) for step in range(-2, 3)]
            first, second = (y[3] - y[1]) / (2 * h), (y[3] - 2 * y[2] + y[1]) / h**2
            third = (y[4] - 2 * y[3] + 2 * y[1] - y[0]) / (2 * h**3)
            alpha = second / (2 * second + activations[n, ..., channel].sum() * third)
            weights[channel] += alpha * max(first, 0)
        wanted = np.maximum(activations[n] @ weights, 0)
        np.testing.assert_allclose(result[n], wanted, rtol=2e-3, atol=1e-5)
    assert result.any(axis=(1, 2)).all()


@every_score
def test_grad_cam_pp_is_its_closed_form_of_any_score(model, score):
    x, targets = pictures(model, 2), targets_of(0, 2, score=score)
    activations, g = view_layer(model, x, targets)
    alpha = g**2 / (2 * g**2 + g**3 * activations.sum((1, 2), keepdims=True))
    weights = (alpha * np.maximum(g, 0)).sum((1, 2))
    wanted = np.maximum(np.einsum("nf,nhwf->nhw", weights, activations), 0)
    np.testing.assert_allclose(answer("grad_cam_pp", model, x, targets).values, wanted, rtol=1e-4, atol=1e-6)


@every_score
def test_hires_cam_is_the_signed_sum_of_activation_times_gradient_at_each_place(model, score):
    x, targets = pictures(model, 2), targets_of(0, 3, score=score)
    activations, gradients = view_layer(model, x, targets)
    wanted = np.zeros((2, 3, 4))
    for row, column, channel in places(activations):
        wanted[:, row, column] += activations[:, row, column, channel] * gradients[:, row, column, channel]
    result = answer("hires_cam", model, x, targets).values
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-6)
    assert result.min() < 0 < result.max()


@every_score
def test_layer_cam_counts_each_place_by_its_own_positive_gradient(model, score):
    x, targets = pictures(model, 2), targets_of(1, 2, score=score)
    activations, gradients = view_layer(model, x, targets)
    wanted = np.zeros((2, 3, 4))
    for row, column, channel in places(activations):
        weight = np.maximum(gradients[:, row, column, channel], 0)
        wanted[:, row, column] += weight * activations[:, row, column, channel]
    result = answer("layer_cam", model, x, targets).values
    np.testing.assert_allclose(result, np.maximum(wanted, 0), rtol=1e-4, atol=1e-6)


@every_score
def test_guided_grad_cam_is_guided_backpropagation_times_grad_cam_in_the_pictures_size(model, score):
    x, targets = pictures(model, 3), targets_of(0, 1, 3, score=score)
    activations, gradients = view_layer(model, x, targets)
    coarse = np.maximum((gradients.mean((1, 2), keepdims=True) * activations).sum(-1), 0)
    fine = [resize(one, model.shape[:2], order=1, mode="edge", anti_aliasing=False) for one in coarse]
    wide = x.astype(np.float64)
    wanted = model.pull_back(wide, model.cotangents(wide, targets), "guided") * np.array(fine)[..., None]
    result = answer("guided_grad_cam", model, x, targets).values
    assert result.shape == x.shape
    assert wanted.any()
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-6)


def test_activations_are_what_the_layer_returns(model):
    x = pictures(model, 2)
    result = answer("activations", model, x, targets_of(0, 1)).values
    np.testing.assert_allclose(result, np.maximum(model.before_relu(x), 0), rtol=1e-5, atol=1e-6)


# What must hold ----------------------------------------------------------------------------------


def test_hires_cam_is_complete_where_a_dense_layer_follows(model):
    """Draelos and Carin 2020: all places add up to the score (the layer has no bias)."""
    x, targets = pictures(model, 4), targets_of(0, 1, 2, 3)
    values = answer("hires_cam", model, x, targets).values
    np.testing.assert_allclose(values.sum((1, 2)), model.value(x, targets), rtol=1e-4, atol=1e-5)


def test_a_place_that_the_model_does_not_use_is_zero_in_hires_cam_and_layer_cam(model):
    model.head[1, 2] = 0
    x, targets = pictures(model, 2), targets_of(0, 1)
    for name in ("hires_cam", "layer_cam"):
        assert not answer(name, model, x, targets).values[:, 1, 2].any()


def test_of_pooled_channels_hires_cam_and_grad_cam_are_the_class_activation_map(pooled):
    """Zhou et al. 2016: each channel weighed by the class's own weight."""
    x, targets = pictures(pooled, 3), targets_of(0, 1, 2)
    activations, _ = view_layer(pooled, x, targets)
    wanted = np.stack([activations[n] @ pooled.head[0, 0, :, n] for n in range(3)])
    np.testing.assert_allclose(answer("hires_cam", pooled, x, targets).values, wanted, rtol=1e-4, atol=1e-5)
    rectified = np.maximum(wanted, 0)
    np.testing.assert_allclose(grad_cam(pooled, x, targets).values, rectified, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RECTIFIED)
def test_pitfall_class_activation_map_with_negatives(name, model):
    values = answer(name, model, pictures(model, 5), targets_of(0, 1, 2, 3, 0)).values
    assert values.shape == (5, 3, 4)
    assert (values >= 0).all()
    assert (values > 0).any()


@pytest.mark.parametrize("name", [name for name in CAMS if name != "hires_cam"])
def test_pitfall_class_activation_map_0_0_when_all_are_negative(name, never):
    """Not 0/0, whatever the weights are divided by."""
    estimate = answer(name, never, pictures(never, 2), targets_of(0, 1))
    assert not estimate.values[0].any()
    assert np.isfinite(estimate.values).all()
    assert "zero everywhere" in estimate.notes[0][0]
    assert estimate.notes[1] == ()
    assert estimate.values[1].any()


@pytest.mark.parametrize("name", CAMS)
def test_a_picture_that_the_layer_sees_nothing_in_has_an_empty_map(name, model):
    model.bias = np.full(model.features, -1e6)
    estimate = answer(name, model, pictures(model), targets_of(0))
    assert not estimate.values.any()
    assert "zero everywhere" in estimate.notes[0][0]


@pytest.mark.parametrize("name", [name for name in CAMS if name != "hires_cam"])
def test_pitfall_custom_score_ignored_where_negatives_are_left_out(name, never):
    """Against the second class everything speaks: the map of −f is zero, not f's map."""
    x, weights = pictures(never), targets_of(1).weights
    assert answer(name, never, x, Targets(weights)).values.any()
    assert not answer(name, never, x, Targets(-weights)).values.any()


def test_the_map_of_minus_f_is_minus_the_map_of_f_in_hires_cam(model):
    x, weights = pictures(model), targets_of(1).weights
    plus, minus = (answer("hires_cam", model, x, Targets(sign * weights)).values for sign in (1, -1))
    np.testing.assert_array_equal(plus, -minus)
    assert plus.any()


@every_looking
@pytest.mark.parametrize(("shape", "said"), [((2, 2, 3), True), ((2, 4, 3), False)])
def test_a_layer_of_a_single_place_is_said_to_tell_nothing(name, shape, said):
    model = Spatial(shape)
    notes = answer(name, model, pictures(model), targets_of(0)).notes
    assert any("single place" in note for note in (*notes, ())[0]) == (said and name != "activations")


def test_grad_cam_pp_says_where_it_is_not_defined():
    """Of a layer before its ReLU the activations may add up to so little that the weights change their sign."""
    model = Convolutional()
    x, targets = 30 * pictures(model, 2), targets_of(0, 1)
    activations, gradients = model.tap(x, targets, "linear")
    below = 2 + np.maximum(gradients, 0) * activations.sum((1, 2), keepdims=True)
    assert (below <= 0).any()
    estimate = answer("grad_cam_pp", model, x, targets, layer="linear")
    for picture, notes in zip(below, estimate.notes, strict=True):
        assert any("not defined here" in note for note in notes) == (picture <= 0).any()
    assert np.isfinite(estimate.values).all()
    assert answer("grad_cam_pp", model, x, targets, layer="rectified").notes == [(), ()]


# Which layer -------------------------------------------------------------------------------------


@every_looking
def test_the_layer_can_be_chosen(name, model):
    x, targets = pictures(model), targets_of(0)
    np.testing.assert_array_equal(
        answer(name, model, x, targets, layer="blocks").values, answer(name, model, x, targets).values
    )
    with pytest.raises(ModelError, match="'other'"):
        answer(name, model, x, targets, layer="other")


@every_looking
def test_unless_chosen_the_layer_is_the_models(name, model):
    model.info = replace(model.info, cam_layer="another")
    with pytest.raises(ModelError, match="'another'"):
        answer(name, model, pictures(model), targets_of(0))


@every_looking
def test_where_no_layer_with_space_comes_before_the_one_looked_into_that_one_is_named(name):
    model = Spatial()
    model.info = replace(model.info, cam_layer="", viewed_layer="first")
    with pytest.raises(ModelError, match="has no layer before first whose output has space"):
        answer(name, model, pictures(model), targets_of(0))


@every_looking
def test_a_model_without_space_has_no_class_activation_map(name):
    model = Linear()
    with pytest.raises(ModelError, match="linear has no layer whose output has space"):
        answer(name, model, pictures(model), targets_of(0))
