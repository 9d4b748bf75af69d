"""Explanations of spatial outputs and of regression models."""

from dataclasses import replace

import numpy as np
import pytest

from napari_saliency.api.explain import explain, explain_batch
from napari_saliency.core.placement import Region
from napari_saliency.core.types import SCORES, Target
from tests.analytic import Dense, Linear, Spatial, pictures


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_mean_score_in_a_region_is_explained(score, activation):
    model = Dense(activation=activation)
    picture = pictures(model)[0]
    region = np.zeros((6, 8), bool)
    region[2:4, 2:6] = True  # the places 1, 1 and 1, 2 of the output
    result = explain(model, picture, 2, score=score, region=region)
    moved = np.zeros_like(picture, np.float64)
    for place in np.ndindex(picture.shape):
        nudge = np.zeros_like(picture, np.float64)
        nudge[place] = 1e-4
        high, low = (_in_places(model, picture + sign * nudge, score)[1, 1:3, 2].mean() for sign in (1, -1))
        moved[place] = (high - low) / 2e-4
    np.testing.assert_allclose(result.values, moved, atol=1e-6)
    assert result.score == pytest.approx(_in_places(model, picture, score)[1, 1:3, 2].mean(), rel=1e-5)
    assert not result.values[0].any()


def _in_places(model, picture, score):
    logits = model.logits(picture[None].astype(np.float64))[0]
    if score == "logit":
        return logits
    if model.info.activation == "sigmoid":
        p = 1 / (1 + np.exp(-logits))
    else:
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return p if score == "probability" else np.log(p)


def test_each_picture_has_its_region_and_without_one_everything_counts():
    model = Dense()
    images = pictures(model, 2)
    left = np.zeros((6, 8), bool)
    left[:, :4] = True
    together = explain_batch(model, images, [1, 1], "smoothgrad", regions=[left, None], samples=6)
    for result, image, region in zip(together, images, [left, None], strict=True):
        alone = explain(model, image, 1, "smoothgrad", region=region, samples=6)
        np.testing.assert_allclose(result.values, alone.values, atol=1e-6)
    assert not together[0].values[:, 4:].any()
    assert together[1].values[:, 4:].all()


def test_the_whole_picture_is_the_picture_without_what_was_put_around_it():
    model = Dense()
    model.info = replace(model.info, input=replace(model.info.input, fit="pad"))
    image = np.random.default_rng(0).normal(size=(3, 8, 3)).astype(np.float32)
    whole = explain(model, image, 1)
    same = explain(model, image, 1, region=np.ones((3, 8), bool))
    np.testing.assert_array_equal(whole.values, same.values)
    assert whole.score == same.score


def test_a_map_is_made_again_by_its_own_target():
    """A target contains its region, and a region argument takes precedence."""
    model = Dense()
    picture = pictures(model)[0]
    region = np.zeros((6, 8), bool)
    region[2:4, 2:6] = True
    first = explain(model, picture, 2, region=region)
    again = explain(model, picture, first.target)
    np.testing.assert_array_equal(again.values, first.values)
    assert (again.target, again.score) == (first.target, first.score)
    everywhere = explain(model, picture, first.target, region=np.ones((6, 8), bool))
    np.testing.assert_array_equal(
        everywhere.values, explain(model, picture, 2, region=np.ones((6, 8), bool)).values
    )
    other = Region((3, 4), np.packbits(np.ones((3, 4), bool)).tobytes())
    with pytest.raises(ValueError, match=r"target\'s region .*\(3, 4\).*: give a region"):
        explain(model, picture, replace(first.target, region=other))


def test_the_top_class_is_that_of_the_region():
    model = Dense()
    picture = pictures(model)[0]
    p = _in_places(model, picture, "probability")
    for row, column in np.ndindex(p.shape[:2]):
        region = np.zeros((6, 8), bool)
        region[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = True
        assert explain(model, picture, region=region).target.index == p[row, column].argmax()


@pytest.mark.parametrize(
    ("kind", "region", "named"),
    [
        (Spatial, np.ones((6, 8), bool), "gives one answer for the whole picture"),
        (Dense, np.ones((3, 4), bool), r"shape of the image, \(6, 8\), not \(3, 4\)"),
        (Dense, np.zeros((6, 8), bool), "the region is empty"),
    ],
)
def test_regions_that_cannot_be(kind, region, named):
    model = kind()
    with pytest.raises(ValueError, match=named):
        explain(model, pictures(model)[0], region=region)


def test_regions_are_counted():
    model = Dense()
    with pytest.raises(ValueError, match=r"3 regions .* 2 images: give one for each"):
        explain_batch(model, list(pictures(model, 2)), regions=[None] * 3)


def test_quantities_are_explained_up_and_down():
    model = Linear(activation="quantity")
    picture = pictures(model)[0]
    up, down = (explain(model, picture, 1, score=score) for score in ("increase", "decrease"))
    np.testing.assert_allclose(up.values, model.weights[..., 1], rtol=1e-5)
    np.testing.assert_array_equal(down.values, -up.values)
    assert up.score == down.score == pytest.approx(model.logits(picture[None])[0, 1], rel=1e-5)
    assert (up.label, down.label) == ("Egyptian cat ↑", "Egyptian cat ↓")
    assert explain(model, picture).target == Target.of_class(0, "increase")
    with pytest.raises(ValueError, match="has no score 'probability'; it has increase, decrease"):
        explain(model, picture, 1, score="probability")


def test_one_quantity_goes_by_the_direction_alone():
    model = Linear(activation="quantity")
    model.info = replace(model.info, labels=("age",))
    model.weights, model.bias = model.weights[..., :1], model.bias[:1]
    picture = pictures(model)[0]
    result = explain(model, picture, "decrease")
    assert result.name == "age ↓ · Gradient"
    np.testing.assert_allclose(result.values, -model.weights[..., 0], rtol=1e-5)
    assert np.isnan(result.prediction.top(1)[0].probability)
