"""Grad-CAM, against its formula."""

from dataclasses import replace

import numpy as np
import pytest

from napari_saliency._types import SCORES, ModelError, Targets
from napari_saliency.methods import METHODS
from tests.analytic import Linear, Spatial, pictures, targets_of

grad_cam = METHODS["grad_cam"].function


def only(model, x, targets, **options):
    (estimate,) = grad_cam(model, x, targets, **options)
    return estimate


@pytest.fixture
def model():
    return Spatial()


@pytest.fixture
def never(model):
    """A model whose first class no place speaks for, and whose second class every place speaks for."""
    model.head[..., 0] = -np.abs(model.head[..., 0])
    model.head[..., 1] = np.abs(model.head[..., 1])
    return model


@pytest.mark.parametrize("score", SCORES)
def test_it_is_the_rectified_sum_of_activations_weighted_by_mean_gradients(model, score):
    x, targets = pictures(model, 2), targets_of(0, 1, score=score)
    activations = np.maximum(model.before_relu(x), 0)
    gradients = np.einsum("nk,hwfk->nhwf", model.cotangents(x, targets), model.head)
    alpha = gradients.mean((1, 2))
    wanted = np.maximum(np.einsum("nf,nhwf->nhw", alpha, activations), 0)
    np.testing.assert_allclose(only(model, x, targets).values, wanted, rtol=1e-4, atol=1e-6)


def test_it_has_the_layers_size_and_no_negative_values(model):
    values = only(model, pictures(model, 5), targets_of(0, 1, 2, 3, 0)).values
    assert values.shape == (5, 3, 4)
    assert (values >= 0).all()
    assert (values > 0).any()


def test_where_nothing_speaks_for_the_class_the_map_is_zero_and_says_so(never):
    estimate = only(never, pictures(never), targets_of(0))
    assert not estimate.values.any()
    assert np.isfinite(estimate.values).all()
    assert "zero everywhere" in estimate.notes[0][0]


def test_where_something_speaks_for_the_class_there_is_no_such_note(never):
    assert not any(only(never, pictures(never), targets_of(1)).notes)


def test_a_negative_weight_is_not_its_opposite(never):
    """Against the second class everything speaks: the map of −f is zero, not f's map."""
    weights = targets_of(1).weights
    assert only(never, pictures(never), Targets(weights)).values.any()
    assert not only(never, pictures(never), Targets(-weights)).values.any()


def test_the_layer_can_be_chosen(model):
    x, targets = pictures(model), targets_of(0)
    np.testing.assert_array_equal(
        only(model, x, targets, layer="blocks").values, only(model, x, targets).values
    )
    with pytest.raises(ModelError, match="'other'"):
        only(model, x, targets, layer="other")


def test_unless_chosen_the_layer_is_the_models(model):
    model.info = replace(model.info, cam_layer="another")
    with pytest.raises(ModelError, match="'another'"):
        only(model, pictures(model), targets_of(0))


def test_a_model_without_space_has_no_class_activation_map():
    model = Linear()
    with pytest.raises(ModelError, match="linear has no layer whose output has space"):
        only(model, pictures(model), targets_of(0))
