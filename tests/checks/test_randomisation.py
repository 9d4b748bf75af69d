"""Randomised weights and classes: what changes must change, and what must not stays bit-equal."""

from dataclasses import replace

import numpy as np
import pytest

from napari_saliency.checks import Finding, Subject
from napari_saliency.checks.maps import spearman
from napari_saliency.checks.randomisation import _of_class, _of_randomness
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS
from tests.analytic import Convolutional, Dense, Linear, pictures
from tests.checks.subjects import last, part, subject, weighted


def test_pitfall_randomisation_check_re_initialises_everything_at_step_one():
    """Quantus on Keras makes all layers random at step one."""
    model = Convolutional()
    before = [weights.copy() for weights in model.arrays]
    lowest = {"head": 4, "second": 2, "first": 0}  # from which of the arrays on weights may change
    for stage in model.cascade(3):
        for number, (mine, old) in enumerate(zip(stage.model.arrays, before, strict=True)):
            if number < lowest[stage.layer]:
                np.testing.assert_array_equal(mine, old)
        assert not np.array_equal(stage.model.arrays[lowest[stage.layer]], before[lowest[stage.layer]])


def reported(method, values):
    """One number for each place: contributions have a sign that counts."""
    if values.ndim == 2:
        return values
    return np.abs(values).max(-1) if method == "gradient" else values.sum(-1)


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "occlusion", "integrated_gradients"])
def test_similarity_is_that_of_maps_made_one_after_the_other(method):
    model = Convolutional()
    about = subject(model, method)
    result = last("model_randomisation", about, steps=3, seed=2)
    wanted = [1.0]
    for stage in model.cascade(3, 2):
        *_, made = METHODS[method].function(stage.model, about.x, about.targets, **about.options)
        mine, its = (reported(method, values) for values in (about.values, made.values[0]))
        wanted.append(spearman(*(one[(mine != 0) | (its != 0)] for one in (mine, its))))
    (curve,) = result.curves
    np.testing.assert_allclose(curve.x, [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(curve.y, wanted, rtol=1e-6)
    assert (curve.across, curve.up) == ("layers randomised", "similarity")
    assert result.figures["similarity at the end"] == pytest.approx(wanted[-1])
    assert {len(result.notes), result.notes[0].split()[0]} == {1, "Pixels"}


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
def test_black_ground_does_not_make_maps_alike(method):
    """Multiplied with it every network's map is 0 there; as ranks these ties would make up the similarity."""
    model = Convolutional()
    about = subject(model, method)
    x, ground = about.x.copy(), np.ones((1, *model.shape), bool)
    ground[:, 3:6, 4:8] = False
    x[ground] = 0
    *_, made = METHODS[method].function(model, x, about.targets, **about.options)
    dark = Subject(model, x, about.targets, made.values[0], method, about.options)
    result = last("model_randomisation", dark, steps=3).curves[0].y
    picture, _ = part(np.s_[3:6, 4:8], model.shape[:-1])
    alone = last("model_randomisation", replace(dark, picture=picture), steps=3).curves[0].y
    np.testing.assert_allclose(result, alone)


@pytest.mark.parametrize("name", ["model_randomisation", "class_randomisation"])
def test_black_around_the_picture_does_not_make_maps_alike(name):
    """Derivatives are not 0 there, but everywhere on it much the same."""
    picture, mask = part(np.s_[4:6], Convolutional().shape[:-1])
    about = subject(picture=picture)
    result = last(name, about)
    inner = replace(about, values=about.values * mask[..., None])
    for key, value in last(name, inner).figures.items():
        assert value == pytest.approx(result.figures[key], abs=1e-6)


def test_a_map_that_shows_the_picture_alone_is_not_to_be_trusted(monkeypatch):
    """As guided backpropagation nearly does: it draws what the network can see."""
    from napari_saliency.core.types import Estimate
    from napari_saliency.methods import registry

    def edges(model, x, targets):
        yield Estimate(np.abs(np.gradient(x, axis=1)), 1, 1)

    method = registry.Method("edges", "Edges", edges, "scores", "nobody", ())
    monkeypatch.setitem(registry._METHODS, "edges", method)
    about = subject(Convolutional(), "edges")
    result = last("model_randomisation", about)
    assert result.level == "bad"
    assert "(similarity 1.00 with the upper half random, 1.00 with all): do not trust it." in result.verdict
    classes = last("class_randomisation", about)
    assert classes.level == "bad"
    assert "Other classes have the same map" in classes.verdict


def test_where_no_weights_come_before_what_is_explained_nothing_is_judged(monkeypatch):
    monkeypatch.setattr(Convolutional, "cascade", lambda *_: (each for each in ()))
    result = last("model_randomisation", subject(Convolutional()))
    assert (result.level, result.complete) == ("not applicable", True)
    assert "no weights before the explained layer" in result.verdict


@pytest.mark.parametrize(
    ("alike", "level"),
    [
        ([1, 0.9, 0.1, 0.05, 0], "good"),
        ([1, 0.7, 0.55, 0.9, 0.6], "good"),
        ([1, 0.7, 0.64, 0.1, 0], "doubtful"),
        ([1, 0.4, 0.3, 0.3, -0.69], "doubtful"),
        ([1, 0.9, 0.6, 0.3, 0.2], "bad"),
        ([1, 0.2, 0.1, 0, 0.8], "bad"),
        ([1, 0.2, 0.1, 0, -0.8], "bad"),
        ([1, -0.9, -0.9, 0, 0], "good"),
    ],
)
def test_the_verdict_follows_what_is_left(alike, level):
    """In the upper half, of which the mean counts, and at the end."""
    assert _of_randomness(Finding(1, 1), [0, 0.1, 0.5, 0.8, 1], alike).level == level


def test_of_two_stages_the_first_stands_for_the_upper_half():
    result = _of_randomness(Finding(1, 1), [0, 0.6, 1], [1, 0.8, 0.1])
    assert (result.figures["similarity, upper half"], result.level) == (0.8, "bad")


def test_classes_are_compared_signs_included():
    model = Linear()
    about = subject(model, index=1)
    result = last("class_randomisation", about, classes=3)
    wanted = {
        f"similarity to {model.info.labels[k]}": spearman(about.values, model.weights[..., k])
        for k in (0, 2, 3)
    }
    assert result.figures.keys() == {"similarity", *wanted}
    for name, value in wanted.items():
        assert result.figures[name] == pytest.approx(value, abs=1e-5)
    assert result.figures["similarity"] == pytest.approx(np.mean([*wanted.values()]), abs=1e-5)
    assert result.level == "good"


def test_a_model_of_one_class_has_no_other():
    about = subject(Linear())
    all_of_them = Targets(np.ones((1, 4), np.float32))
    result = last("class_randomisation", type(about)(**{**vars(about), "targets": all_of_them}))
    assert (result.level, result.verdict) == ("not applicable", "The model has no other class.")


class Two(Linear):
    """Two classes, which one output tells apart or which have one each."""

    def __init__(self, kind):
        super().__init__(activation="softmax" if "softmax" in kind else "sigmoid")
        self.info = replace(self.info, labels=("a", "b"), logits="unknown" not in kind)
        self.weights, self.bias = self.weights[..., :2].copy(), self.bias[:2].copy()
        if kind == "one sigmoid":
            self.weights[..., 0], self.bias[0] = -self.weights[..., 1], -self.bias[1]


@pytest.mark.parametrize("method", ["gradient", "smoothgrad_squared", "rise"])
@pytest.mark.parametrize(
    ("kind", "score", "mirrored"),
    [
        ("one sigmoid", "logit", True),
        ("one sigmoid", "probability", True),
        ("two sigmoids", "logit", False),
        ("softmax", "logit", False),
        ("softmax", "probability", True),
        ("softmax", "log_probability", True),
        ("softmax of unknown logits", "logit", True),
    ],
)
def test_two_classes_that_share_one_number_are_not_compared(method, kind, score, mirrored):
    model, options = Two(kind), METHODS[method].complete({})
    x, targets = pictures(model), Targets(np.float32([[0, 1]]), score)
    *_, made = METHODS[method].function(model, x, targets, **options)
    result = last("class_randomisation", Subject(model, x, targets, made.values[0], method, options))
    assert ("share one score" in result.verdict) == mirrored
    assert (result.level == "not applicable") == mirrored


@pytest.mark.parametrize("sign", [1, -1])
def test_decrease_is_compared_with_decrease(sign):
    model = Linear(activation="quantity")
    model.weights[...] = model.weights[..., :1]
    about = subject(model, values=sign * model.weights[..., 0])
    about = replace(about, targets=Targets(sign * about.targets.weights))
    result = last("class_randomisation", about)
    assert (result.level, result.figures["similarity"]) == ("bad", pytest.approx(1))


@pytest.mark.parametrize(("given", "wanted"), [([1, -1, 0], 1), ([-1, 1, 0], 1), ([-2, 1, 0], -2)])
def test_another_class_gets_the_largest_weight_with_its_sign(given, wanted):
    about = replace(subject(Linear()), targets=Targets(np.float32([given])))
    np.testing.assert_array_equal(_of_class(about, 2).weights, [[0, 0, wanted]])


@pytest.mark.parametrize(("factors", "level"), [([-1, -1, -1], "doubtful"), ([1, -1, -1], "doubtful")])
def test_a_map_that_differs_by_its_sign_alone_is_doubtful(factors, level):
    model = Linear()
    for index, factor in enumerate(factors, 1):
        model.weights[..., index] = factor * model.weights[..., 0]
    result = last("class_randomisation", subject(model), classes=3)
    assert result.level == level
    assert "but for its sign (similarity ±1.00)" in result.verdict
    assert result.figures["similarity"] == pytest.approx(np.mean(factors))


def test_another_class_of_an_output_with_space_is_asked_for_in_the_same_places():
    model = Dense()
    about = subject(Linear())
    places = np.random.default_rng(0).random((1, *model.info.space))
    weights = places[..., None] * weighted(1).weights
    about = type(about)(**{**vars(about), "targets": Targets(weights.astype(np.float32))})
    result = _of_class(about, 2).weights
    np.testing.assert_allclose(result[..., 2], places, rtol=1e-6)
    assert not result[..., [0, 1, 3]].any()
