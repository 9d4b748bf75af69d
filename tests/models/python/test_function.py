"""Functions of pictures as models."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings, probabilities
from napari_saliency.models.python.function import CallableModel
from napari_saliency.models.sources import Source
from tests.analytic import Linear, Quadratic, pictures, targets_of

SETTINGS = Settings(size=(6, 8), preprocessing="none", labels=tuple("abcd"))


def opened(function, settings=SETTINGS):
    return CallableModel(function, Source("python", "f"), settings)


def logits_of(twin):
    def function(x):
        return twin.logits(x.astype(np.float64))

    function.gradient = lambda x, weights: (
        (weights * function(x)).sum(-1),
        twin.pull_back(x.astype(np.float64), weights.astype(np.float64)),
    )
    return function


def probabilities_of(twin, activation):
    """The same behind a softmax or sigmoid that nobody can look into."""

    def function(x):
        return probabilities(twin.logits(x.astype(np.float64)), activation)

    def gradient(x, weights):
        p = function(x).astype(np.float64)
        mean = weights * p if activation == "sigmoid" else (weights * p).sum(-1, keepdims=True)
        return (weights * p).sum(-1), twin.pull_back(x.astype(np.float64), p * (weights - mean))

    function.gradient = gradient
    return function


@pytest.fixture
def twin():
    return Quadratic()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_scores_and_gradients_are_those_of_the_numpy_twin(activation, score):
    twin = Quadratic(activation=activation or "softmax")
    model = opened(probabilities_of(twin, activation) if activation else logits_of(twin))
    assert model.info.activation == twin.info.activation
    assert model.info.logits == (activation != "softmax")
    x = pictures(twin, 3)
    targets = Targets(targets_of(0, 2, 1).weights - 0.5 * targets_of(1, 1, 3).weights, score)
    value, gradient = model.gradient(x, targets)
    if activation == "softmax" and score == "logit":  # log-probabilities stand in
        targets = Targets(targets.weights, "log_probability")
    wanted, oracle = twin.gradient(x, targets)
    np.testing.assert_allclose(value, wanted, atol=1e-4)
    np.testing.assert_allclose(gradient, oracle, atol=1e-4 * np.abs(oracle).max())
    result, said = ([p.probabilities for p in m.predict(x)] for m in (model, twin))
    np.testing.assert_allclose(result, said, atol=1e-5)
    assert {value.dtype, gradient.dtype, model.scores(x).dtype} == {np.dtype(np.float32)}


@pytest.mark.parametrize("implicit", [False, True])
def test_one_output_tells_two_classes_apart(implicit):
    twin = Linear()
    weights = twin.weights[..., :1]

    def function(x):
        z = np.tensordot(x, weights, 3)
        return 1 / (1 + np.exp(-z)) if implicit else z

    def gradient(x, by):
        p = function(x)
        slope = by * p * (1 - p) if implicit else by
        return (by * p).sum(-1), slope[..., None, None] * weights[..., 0]

    function.gradient = gradient
    model = opened(function, Settings(labels=("ill",)).over(SETTINGS))
    assert model.info.labels == ("not ill", "ill")
    x = pictures(twin, 2)
    z = np.tensordot(x, weights, 3)
    np.testing.assert_allclose(model.scores(x), np.hstack([-z, z]), atol=1e-4)
    targets = Targets(np.eye(2, dtype=np.float32)[[1, 0]], "probability")
    p = 1 / (1 + np.exp(-z))
    wanted = (np.array([[1], [-1]]) * p * (1 - p))[..., None, None] * weights[..., 0]
    np.testing.assert_allclose(model.gradient(x, targets)[1], wanted, atol=1e-5)


def test_a_function_alone_gives_scores_and_says_so(twin):
    model = opened(lambda x: twin.logits(x))
    assert model.info.gives == {"scores"}
    x, targets = pictures(twin), targets_of(0)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), rtol=1e-5)
    with pytest.raises(
        ModelError, match="f is a function without derivatives, so it can only be run forward"
    ):
        model.gradient(x, targets)
    with pytest.raises(ModelError, match="whose layers cannot be seen"):
        model.tap(x, targets, "conv")


def test_what_a_model_gives_says_which_methods_work(twin):
    model = opened(logits_of(twin))
    assert model.info.gives == {"scores", "gradient"}
    x, targets = pictures(twin), targets_of(0)
    for method in METHODS.values():
        ruled = method.id in ("guided_backprop", "deconvnet")
        if method.needs in model.info.gives and not ruled:
            *_, last = method.function(model, x, targets)
            *_, wanted = method.function(twin, x, targets)
            np.testing.assert_allclose(last.values, wanted.values, rtol=1e-3, atol=1e-5)
        else:
            with pytest.raises(ModelError):
                list(method.function(model, x, targets))


def test_what_cannot_be_known_is_asked_and_can_be_said_later(twin):
    model = opened(lambda x: x.mean((1, 2)), Settings())
    assert model.info.input.description == "224×224 RGB"
    assert model.info.questions == ("size", "preprocessing", "labels")
    assert model.with_settings(Settings(size=(20, 30), channels=1)).info.input.description == "30×20 grey"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, 0], r"output of shape \(1, 8, 3\) for 1 pictures is neither a classifier's"),
        (lambda x: x.mean((1, 2))[:0], r"output of shape \(0, 3\) for 1 pictures is neither"),
        (lambda x: 1 / 0, "f could not be run on images of shape .*ZeroDivisionError"),
        (lambda x: "cat", "could not be run"),
    ],
)
def test_what_is_no_classifier_is_told(function, message):
    with pytest.raises(ModelError, match=message):
        opened(function)


def test_a_gradient_of_another_shape_is_told(twin):
    function = logits_of(twin)
    function.gradient = lambda x, weights: (None, np.zeros(3))
    with pytest.raises(ModelError, match=r"the gradient of f has the shape \(3,\), not \(1, 6, 8, 3\)"):
        opened(function).gradient(pictures(twin), targets_of(0))


def test_scores_that_were_kept_are_not_those_of_other_settings():
    """The same file, the same outputs: but they are one quantity now, and were two classes."""

    def function(x):
        return x.mean(axis=(1, 2))[:, :1] - 0.2

    x, settings = pictures(Linear()), SETTINGS.without("labels")
    model = opened(function, settings)
    *_, before = METHODS["occlusion"].function(model, x, Targets(np.eye(2, dtype=np.float32)[[1]]))
    regression = model.with_settings(Settings(task="regression").over(settings))
    *_, result = METHODS["occlusion"].function(regression, x, Targets(np.ones((1, 1), np.float32)))
    assert len(regression.info.labels) == 1
    assert np.abs(result.values).max() > 1e-3
    np.testing.assert_allclose(result.values, before.values, rtol=1e-5)


@pytest.mark.parametrize(("outputs", "asked"), [(1, False), (2, True)])
def test_names_of_quantities_are_asked_for_where_there_are_several(outputs, asked):
    quantities = Settings(size=(6, 8), preprocessing="none", task="regression")
    model = opened(lambda x: np.resize(x.mean((1, 2, 3)), (len(x), outputs)), quantities)
    assert (model.info.activation, "labels" in model.info.questions) == ("quantity", asked)
