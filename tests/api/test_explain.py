"""Explanations of one image."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_saliency.api import explain as api_explain
from napari_saliency.api.explain import Question, explain, explain_batch, run_method
from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Placement
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.core.types import SCORES, Target, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import InputSpec
from tests.analytic import Linear, Spatial, pictures, targets_of
from tests.few import few

FEW = few(steps=9)


@pytest.fixture
def model():
    return Spatial()


@pytest.fixture
def picture(model):
    """Return an image of the input size, whose floats reach the model unchanged."""
    return pictures(model)[0]


def with_input(model, **changes):
    model.info = replace(model.info, input=replace(model.info.input, **changes))
    return model


@pytest.mark.parametrize("name", METHODS)
def test_pitfall_normalised_map_returned_sign_and_scale_lost(model, picture, name):
    result = explain(model, picture, 2, name, **FEW.get(name, {}))
    *_, estimate = METHODS[name].function(model, picture[None], targets_of(2), **FEW.get(name, {}))
    np.testing.assert_array_equal(result.values, estimate.values[0])
    assert result.values.dtype == np.float32
    assert result.values.shape == estimate.values.shape[1:]
    assert (result.method, result.title, result.complete) == (name, METHODS[name].title, True)


def test_a_picture_of_floats_passes_a_model_without_preprocessing_untouched(model, picture):
    seen = []
    scores = model.scores
    model.scores = lambda x: seen.append(x) or scores(x)
    explain(model, picture)
    np.testing.assert_array_equal(seen[0], picture[None])
    assert seen[0].dtype == np.float32


def test_a_picture_is_fitted_and_preprocessed(model):
    with_input(model, preprocessing=PREPROCESSINGS["unit"])
    image = np.full((60, 80, 3), 51, np.uint8)
    result = explain(model, image, 0)
    np.testing.assert_allclose(
        result.values[None], model.gradient(np.full((1, 6, 8, 3), 0.2, np.float32), targets_of(0))[1]
    )
    assert result.placement.scale == (10, 10)


@pytest.mark.parametrize("kind", [str, None])
def test_a_picture_may_be_a_path(model, tmp_path, kind):
    image = np.random.default_rng(0).integers(0, 256, size=(6, 8, 3), dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(image).save(path)
    result = explain(model, kind(path) if kind else path, 0)
    np.testing.assert_array_equal(result.values, explain(model, image, 0).values)


@pytest.mark.parametrize(
    ("method", "options", "score", "name"),
    [
        ("smoothgrad", {"of": "grad_cam"}, "logit", "zebra · SmoothGrad of Grad-CAM"),
        ("vargrad", {"of": "occlusion"}, "probability", "zebra · VarGrad of Occlusion · probability"),
        ("smoothgrad", {}, "log_probability", "zebra · SmoothGrad · log-probability"),
        ("gradient", {}, "logit", "zebra · Gradient"),
    ],
)
def test_a_name_says_what_is_wrapped_and_what_is_explained_if_it_is_not_the_usual(
    model, picture, method, options, score, name
):
    samples = {} if method == "gradient" else {"samples": 2}
    result = explain(model, picture, "zebra", method, score, **options, **samples)
    assert result.name == name
    assert result.error_name == f"{name} · standard error"


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_score_is_the_targets_value(score, activation):
    model = Spatial(activation=activation)
    picture = pictures(model)[0]
    target = Target.weighted({0: 1, 2: -0.5}, score)
    result = explain(model, picture, target)
    assert result.score == pytest.approx(
        model.gradient(picture[None], Targets(target.dense(4)[None], score))[0][0], rel=1e-5
    )


def test_an_explanation_can_be_understood_and_repeated(model, picture):
    result = explain(model, picture, 1, "smoothgrad", samples=5, seed=3)
    assert result.target == Target.of_class(1)
    assert result.name == "Egyptian cat · SmoothGrad"
    assert result.options == {
        "of": "gradient",
        "samples": 5,
        "noise": 0.15,
        "precision": 0.0,
        "layer": "",
        "absolute": False,
        "seed": 3,
    }
    assert (result.done, result.total) == (5, 5)
    assert result.stderr.shape == result.values.shape
    assert result.provenance["model"] == "analytic:Spatial"
    assert result.provenance["fingerprint"] == model.info.fingerprint
    assert result.provenance["preprocessing"] == "none"
    assert result.provenance["fit"] == "crop"
    assert result.provenance["scores"] == "logits"
    assert set(result.provenance) >= {"napari-saliency", "numpy", "keras", "tensorflow"}


def test_log_probabilities_that_stand_in_for_logits_are_named(model, picture):
    model.info = replace(model.info, logits=False)
    assert explain(model, picture).provenance["scores"] == "log-probabilities stand in for logits"


def test_the_prediction_comes_along(model, picture):
    (wanted,) = model.predict(picture[None])
    result = explain(model, picture).prediction
    assert result.top(5) == wanted.top(5)
    assert len(result.top(5)) == 4


def test_diagnostics_are_plain_numbers_of_the_picture(model):
    images = pictures(model, 2)
    together = explain_batch(model, images, [0, 1], "integrated_gradients", steps=9)
    for image, index, result in zip(images, (0, 1), together, strict=True):
        alone = explain(model, image, index, "integrated_gradients", steps=9)
        assert set(result.diagnostics) == {"completeness gap", "relative completeness gap"}
        for name, value in result.diagnostics.items():
            assert type(value) is float
            assert value == pytest.approx(alone.diagnostics[name], abs=1e-4)


def test_a_note_of_the_method_is_passed_on(model, picture):
    model.head[..., 0] = -np.abs(model.head[..., 0])
    assert "zero everywhere" in explain(model, picture, 0, "grad_cam").notes[0]


def test_a_note_belongs_to_its_picture(model):
    model.head[..., 0] = -np.abs(model.head[..., 0])
    model.head[..., 1] = np.abs(model.head[..., 1])
    empty, full = explain_batch(model, pictures(model, 2), [0, 1], "grad_cam")
    assert empty.notes
    assert not full.notes


def test_a_contrast_is_the_difference_of_the_maps(model, picture):
    maps = [explain(model, picture, target).values for target in (Target.contrast(2, 3), 2, 3)]
    np.testing.assert_allclose(maps[0], maps[1] - maps[2], atol=1e-6)


@pytest.mark.parametrize(("name", "what"), [("gradient", "derivatives"), ("grad_cam", "layers")])
def test_what_a_model_cannot_do_is_told_with_what_it_can(model, picture, name, what):
    model.info = replace(model.info, gives=frozenset({"scores"}))
    message = rf"needs {what}, which spatial does not give: choose Occlusion \(occlusion\)"
    with pytest.raises(ModelError, match=message):
        explain(model, picture, 0, name)
    assert [call for call, _ in model.calls] == ["scores"]
    assert explain(model, picture, 0, "occlusion").complete


def test_what_wraps_a_method_needs_what_that_one_needs(model, picture):
    model.info = replace(model.info, gives=frozenset({"scores"}))
    with pytest.raises(
        ModelError,
        match=r"does not give: choose another method to wrap: Occlusion \(occlusion\)",
    ):
        explain(model, picture, 0, "smoothgrad")
    result = explain(model, picture, 0, "smoothgrad", of="occlusion", samples=3)
    assert {call for call, _ in model.calls} == {"scores"}
    assert result.values.any()


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_a_coarser_map_covers_what_the_model_saw(model, fit):
    with_input(model, fit=fit)
    image = np.zeros((120, 200, 3), np.uint8)
    fine, coarse = (explain(model, image, 0, name).placement for name in ("gradient", "grad_cam"))

    def edges(placement, shape):
        starts = [t - s / 2 for t, s in zip(placement.translate, placement.scale, strict=True)]
        return starts, [a + n * s for a, n, s in zip(starts, shape, placement.scale, strict=True)]

    np.testing.assert_allclose(edges(coarse, (3, 4)), edges(fine, (6, 8)))
    np.testing.assert_allclose(coarse.scale, np.multiply(fine.scale, 2))


def test_a_map_of_a_picture_of_the_models_size_lies_on_its_pixels(model, picture):
    assert explain(model, picture).placement == Placement((1, 1), (0, 0))


def test_answers_get_better_and_end_with_the_one_of_explain(model, picture):
    (prediction,) = model.predict(picture[None])
    asked = [Question(prediction, Target.of_class(2), Placement((1, 1), (0, 0)))]
    steps = [result for (result,) in run_method(model, picture[None], asked, "smoothgrad", {"samples": 20})]
    assert [step.complete for step in steps] == [False] * (len(steps) - 1) + [True]
    wanted = explain(model, picture, 2, "smoothgrad", samples=20)
    np.testing.assert_array_equal(steps[-1].values, wanted.values)
    assert len(steps) > 2


def test_given_up_after_a_step_nothing_more_runs(model, picture):
    (prediction,) = model.predict(picture[None])
    asked = [Question(prediction, Target.of_class(2), Placement((1, 1), (0, 0)))]
    running = run_method(model, picture[None], asked, "smoothgrad", {})
    next(running)
    calls = len(model.calls)
    running.close()
    assert len(model.calls) == calls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "limes"}, "method 'limes' is not one of gradient, "),
        ({"method": ["gradient"]}, r"method \['gradient'\] is not one of gradient, "),
        ({"score": "prob"}, "score 'prob' is not one of logit, probability, log_probability"),
        (
            {"method": "smoothgrad", "sample": 3},
            "smoothgrad has no option 'sample'; it has of, samples, noise, precision, layer, absolute, seed",
        ),
        ({"method": "smoothgrad", "samples": 1}, "samples=1 must lie between 2 and 1000"),
        ({"steps": 3}, "gradient has no option 'steps'; it has none"),
    ],
)
def test_wrong_options_are_told(model, picture, options, message):
    with pytest.raises(ValueError, match=message):
        explain(model, picture, 0, **options)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("bundled:photos", r"'bundled:photos': write load_model\('bundled:photos'\)"),
        (Path("net.keras"), r"'net.keras': write load_model\('net.keras'\)"),
        (None, "None$"),
        (
            np.zeros((6, 8, 3)),
            r"an object of type ndarray of shape \(6, 8, 3\): the image is the second argument",
        ),
        (Spatial, "an object of type ABCMeta$"),
    ],
)
def test_what_is_no_model_is_told(model, given, text):
    for call in (explain, lambda *both: explain_batch(both[0], [both[1]])):
        with pytest.raises(TypeError, match=f"a model from load_model, not {text}"):
            call(given, model)


@pytest.mark.parametrize(("bad", "are"), [([(0, 0)], "1 pixel is"), ([(0, 0), (2, 3)], "2 pixels are")])
@pytest.mark.parametrize("name", ["gradient", "grad_cam"])
def test_a_map_that_is_not_finite_says_so(model, picture, monkeypatch, name, bad, are):
    method = METHODS[name]

    def overflowing(*args, **options):
        for estimate in method.function(*args, **options):
            estimate.values[0][tuple(zip(*bad, strict=True))] = np.inf
            estimate.values[0][(*bad[0], *[0] * (estimate.values.ndim - 3))] = np.nan
            yield estimate

    monkeypatch.setattr(api_explain, "METHODS", {name: replace(method, function=overflowing)})
    (note,) = [note for note in explain(model, picture, 0, name).notes if "finite" in note]
    count, verb = are.split(maxsplit=1)
    assert note.startswith(f"{count} of {12 if name == 'grad_cam' else 48} {verb} not finite")


def test_what_is_no_number_in_the_picture_is_said(model):
    picture = np.random.default_rng(0).random((6, 8, 3))
    picture[2, 3], picture[4, :2, 1] = np.nan, np.inf
    result = explain_batch(model, [picture, np.ones((6, 8, 3)) / np.arange(1, 9)[:, None]], 0)
    assert result[0].notes == (
        "1 of 48 pixels NaN, replaced by 0.",
        "2 of 48 pixels infinite, clipped to the smallest or largest value.",
    )
    assert result[1].notes == ()


def test_a_finite_map_has_no_note(model, picture):
    assert explain(model, picture, 0).notes == ()


@pytest.mark.parametrize("shows_nothing", [np.nan, np.inf, 0.0, 7.0])
def test_a_picture_that_is_the_same_everywhere_is_said_to_be_so(shows_nothing):
    """An image of NaN alone is black to the model, and its map looks like any other."""
    model = Spatial()
    note = "The model input is constant"
    picture = np.full((6, 8, 3), shows_nothing, np.float32)
    *flaws, said = explain(model, picture, 0).notes
    assert said.startswith(note)
    assert len(flaws) == (0 if np.isfinite(shows_nothing) else 1)
    picture[2, 3, :2] = 9, 3
    others = explain_batch(model, [picture, np.full((6, 8, 3), 200.0)], 0)
    assert [any(said.startswith(note) for said in result.notes) for result in others] == [False, True]


def test_a_wrong_picture_is_told(model, tmp_path):
    with pytest.raises(ValueError, match="channels"):
        explain(model, np.zeros((3, 6, 8, 3)))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        explain(model, tmp_path / "nowhere.png")


def test_what_a_model_cannot_do_is_told():
    model = Linear()
    with pytest.raises(ModelError, match="no layer whose output has space"):
        explain(model, pictures(model)[0], method="grad_cam")
    with pytest.raises(ModelError, match="no ReLU"):
        explain(model, pictures(model)[0], method="guided_backprop")


def test_grey_models_take_colour_pictures():
    model = Spatial((6, 8, 1))
    model.info = replace(model.info, input=InputSpec((6, 8), 1))
    assert explain(model, np.zeros((6, 8, 3), np.uint8), 0).values.shape == (6, 8, 1)
