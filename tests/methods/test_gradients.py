"""Maps of one derivative, against closed forms and finite differences."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from tests.analytic import LABELS, Convolutional, Linear, Quadratic, Spatial, pictures, targets_of

MODELS = {
    "linear": Linear((4, 6, 3)),
    "quadratic": Quadratic((4, 6, 3)),
    "spatial": Spatial((4, 6, 3)),
    "convolutional": Convolutional((9, 11, 3)),
    "relu6": Convolutional((9, 11, 3), ceiling=0.5),
    "leaky": Convolutional((9, 11, 3), slope=0.3),
    "sigmoid": Convolutional((9, 11, 3), activation="sigmoid"),
}


def last(name, model, x, targets):
    (estimate,) = METHODS[name].function(model, x, targets)
    return estimate.values


def finite_differences(model, x, targets, step=1e-6):
    """Central differences of the targets' values, one number of the picture after the other."""
    wide = x.astype(np.float64)
    result = np.empty(wide.shape)
    for place in np.ndindex(wide.shape[1:]):
        ahead, behind = wide.copy(), wide.copy()
        ahead[:, *place] += step
        behind[:, *place] -= step
        result[:, *place] = (model.value(ahead, targets) - model.value(behind, targets)) / (2 * step)
    return result


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("score", SCORES)
def test_gradient_equals_finite_differences(model, score):
    x, weights = pictures(model, 2), np.random.default_rng(3).normal(size=(2, len(LABELS)))
    targets = Targets(weights.astype(np.float32), score)
    np.testing.assert_allclose(
        last("gradient", model, x, targets), finite_differences(model, x, targets), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["gradient", "gradient_x_input"])
def test_a_linear_model_is_explained_exactly(name):
    """The derivative is the weight; what a pixel contributes is weight times pixel."""
    model = Linear()
    x, weight = pictures(model), model.weights[None, ..., 2]
    wanted = weight * x if name == "gradient_x_input" else weight
    np.testing.assert_allclose(last(name, model, x, targets_of(2)), wanted, rtol=1e-5, atol=2e-6)


def test_gradient_of_a_quadratic_model_in_closed_form():
    model = Quadratic()
    x = pictures(model)
    wanted = model.weights[..., 1] + model.curvature[..., 1] * x
    np.testing.assert_allclose(last("gradient", model, x, targets_of(1)), wanted, rtol=1e-5)


@pytest.mark.parametrize("score", SCORES)
def test_gradient_x_input_is_their_product(score):
    model = Spatial()
    x = pictures(model, 2)
    targets = targets_of(0, 3, score=score)
    np.testing.assert_allclose(
        last("gradient_x_input", model, x, targets), last("gradient", model, x, targets) * x, rtol=1e-6
    )


@pytest.mark.parametrize(("name", "rule"), [("guided_backprop", "guided"), ("deconvnet", "deconvnet")])
def test_rectified_gradients_are_the_rules_own(name, rule):
    model = Spatial()
    x, targets = pictures(model, 2), targets_of(0, 3)
    result = last(name, model, x, targets)
    np.testing.assert_array_equal(result, model.gradient(x, targets, rule=rule)[1])
    assert not np.allclose(result, last("gradient", model, x, targets))


def test_the_two_rules_differ():
    model = Spatial()
    x, targets = pictures(model), targets_of(0)
    assert not np.allclose(last("guided_backprop", model, x, targets), last("deconvnet", model, x, targets))


@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_without_a_relu_there_is_no_rectified_gradient(name):
    model = Linear()
    with pytest.raises(ModelError, match="no ReLU"):
        last(name, model, pictures(model), targets_of(0))
