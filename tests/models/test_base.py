"""What is the same for the models of every framework."""

import pickle

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import InputSpec, Model, ModelInfo, probabilities
from tests.analytic import LABELS, Spatial, pictures, softmax


def test_a_model_in_words():
    info = ModelInfo("x", "x", InputSpec((224, 224), 3), tuple("abcd"))
    assert info.description == "224×224 RGB, 4 classes"


def test_what_the_viewer_needs_of_a_model_travels_between_processes():
    info = Spatial().info
    assert pickle.loads(pickle.dumps(info)) == info


def test_softmax():
    logits = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    result = probabilities(logits, "softmax")
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, softmax(logits.astype(np.float64)), rtol=1e-5)


def test_sigmoid():
    logits = np.linspace(-20, 20, 41, dtype=np.float32)
    result = probabilities(logits, "sigmoid")
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-7)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_of_huge_logits_are_finite(activation):
    np.testing.assert_allclose(
        probabilities(np.array([1e30, 0, -1e30], np.float32), activation)[[0, 2]], [1, 0]
    )


def test_log_probabilities_have_the_same_softmax():
    logits = np.array([1, 2, 4], np.float32)
    logarithms = np.log(probabilities(logits, "softmax"))
    np.testing.assert_allclose(
        probabilities(logarithms, "softmax"), probabilities(logits, "softmax"), rtol=1e-6
    )


def test_predictions_name_and_rank_the_classes():
    model = Spatial()
    x = pictures(model, 3)
    for prediction, logits in zip(model.predict(x), model.scores(x), strict=True):
        top = prediction.top(2)
        assert [row.index for row in top] == list(np.argsort(-logits)[:2])
        assert [row.label for row in top] == [LABELS[row.index] for row in top]
        np.testing.assert_allclose(
            [row.probability for row in top], np.sort(softmax(logits))[:-3:-1], rtol=1e-5
        )


def test_predicting_runs_the_model_once_for_all_pictures():
    model = Spatial()
    model.predict(pictures(model, 5))
    assert model.calls == [("scores", 5)]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize(
    ("logits", "named"),
    [([1, np.nan, 2], "nan"), ([np.nan] * 3, "nan"), ([1, np.inf, 2], "inf"), ([-np.inf] * 3, "-inf")],
)
def test_scores_that_are_no_numbers_are_told_with_what_to_do(activation, logits, named):
    model = Spatial(activation=activation)
    with pytest.raises(ModelError) as raised:
        model.prediction(np.array(logits, np.float32))
    text = str(raised.value)
    assert text.startswith(f"the model's scores of this picture are not finite numbers ({named}): ")
    assert "preprocessing 'none' does not fit" in text
    assert "save the model again" in text


def test_weights_that_are_no_numbers_are_told_when_the_model_predicts():
    model = Spatial()
    model.kernel[0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match=r"are not finite numbers \(nan\): its weights are damaged"):
        model.predict(pictures(model))


def test_a_class_that_is_impossible_is_a_score_like_others():
    result = Spatial().prediction(np.array([0, -np.inf, 0, 0], np.float32))
    np.testing.assert_allclose(result.probabilities, [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)


def test_a_model_fulfils_the_whole_contract_or_is_none():
    class Half(Model):
        def scores(self, x):
            return x

    with pytest.raises(TypeError, match="abstract"):
        Half()
