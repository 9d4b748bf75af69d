"""The one door: pictures in, explanations out."""

import re
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_saliency.api import explain as api_explain
from napari_saliency.api.explain import Question as ClassSelection
from napari_saliency.api.explain import answers, explain, explain_batch
from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Placement, Region
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.core.target_text import resolve, sum_words, target_label, weights_of
from napari_saliency.core.types import SCORES, Prediction, Target, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import InputSpec
from tests.analytic import LABELS, Anything, Dense, Linear, Spatial, pictures, prediction_of, targets_of
from tests.few import few

FEW = few(steps=9)


@pytest.fixture
def model():
    return Spatial()


@pytest.fixture
def picture(model):
    """A picture of the model's own size: floats are what the model gets."""
    return pictures(model)[0]


def with_input(model, **changes):
    model.info = replace(model.info, input=replace(model.info.input, **changes))
    return model


# What comes out ----------------------------------------------------------------------------------


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


# Targets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (None, 1),
        (0, 0),
        (np.int64(3), 3),
        ("zebra", 2),
        ("Zebra", 2),
        (" egyptian_cat ", 1),
        ("EGYPTIAN CAT", 1),
        (Target.of_class(3), 3),
    ],
)
def test_a_class_by_whatever_names_it(target, index):
    assert resolve(target, prediction_of(1, 3, 2, 0)) == Target.of_class(index)


@pytest.mark.parametrize("score", SCORES)
def test_the_score_that_is_asked_for(score):
    assert resolve("zebra", prediction_of(1, 3, 2, 0), score).score == score
    assert resolve(None, prediction_of(1, 3, 2, 0), score).score == score
    assert resolve(2, prediction_of(1, 3, 2, 0), score).score == score


def test_a_target_brings_its_own_score():
    target = Target.contrast(0, 1, "probability")
    assert resolve(target, prediction_of(1, 3, 2, 0), "logit") is target


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (4, "class 4 does not exist: the model has classes 0 to 3"),
        (-1, "class -1 does not exist: the model has classes 0 to 3"),
        (Target.of_class(7), "class 7 does not exist: the model has classes 0 to 3"),
        (True, "a target is a class's index or label, or a Target, not True"),
        (np.False_, "a target is a class's index or label, or a Target, not "),
        (2.0, "a target is a class's index or label, or a Target, not 2.0"),
        ([1], r"a target is a class's index or label, or a Target, not \[1\]"),
        ("zebre", "the model has no class 'zebre'; near it are zebra"),
        ("tabbycat", "the model has no class 'tabbycat'; near it are tabby cat"),
        ("aeroplane", "the model has no class 'aeroplane'$"),
    ],
)
def test_a_class_that_does_not_exist_is_told(target, message):
    with pytest.raises(ValueError, match=message):
        resolve(target, prediction_of(1, 3, 2, 0))


def test_a_label_that_names_two_classes_is_told():
    prediction = replace(prediction_of(1, 3, 2, 0), labels=("crane", "bird", "Crane", "dog"))
    with pytest.raises(ValueError, match="'crane' names the classes 0, 2: give one by its index"):
        resolve("crane", prediction)
    assert resolve(2, prediction) == Target.of_class(2)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target.of_class(2), "zebra"),
        (Target.contrast(2, 3), "zebra − bear"),
        (Target.contrast(3, 2), "bear − zebra"),
        (Target.weighted({0: 0.5, 1: -2}), "0.5 · tabby cat − 2 · Egyptian cat"),
        (Target.weighted([1, 1, 1, 1]), "tabby cat + Egyptian cat + zebra + bear"),
    ],
)
def test_a_target_in_words(target, text):
    assert target_label(target, LABELS) == text


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("zebra - bear", {2: 1, 3: -1}),
        ("zebra − Bear", {2: 1, 3: -1}),
        ("-zebra", {2: -1}),
        ("zebra+bear", {2: 1, 3: 1}),
        ("zebra-0.5 Egyptian_cat−bear", {1: -0.5, 2: 1, 3: -1}),
        ("2", {2: 1}),
        ("2 + 3", {2: 1, 3: 1}),
        ("2+3-0", {0: -1, 2: 1, 3: 1}),
        ("0.5 * 2 - zebra -3", {2: -0.5, 3: -1}),
        ("2 · 3", {3: 2}),
        ("- zebra", {2: -1}),
        ("0.5 tabby cat -2 · Egyptian_cat", {0: 0.5, 1: -2}),
        ("zebra + .5 * zebra + bear", {2: 1.5, 3: 1}),
        ("2 bear", {3: 2}),
    ],
)
def test_a_sum_in_words(text, weights):
    target = resolve(text, prediction_of(1, 3, 2, 0), "probability")
    assert target == Target.weighted(weights, "probability")
    assert resolve(target_label(target, LABELS), prediction_of(1, 3, 2, 0), "probability") == target


def named(*labels, channels=False):
    """A prediction of these labels."""
    values = np.zeros(len(labels), np.float32)
    return Prediction(values, values * np.nan if channels else values, values, labels, channels=channels)


def test_a_word_finds_the_labels_that_contain_it_the_most_probable_first():
    labels = ("crate", "oxcart", "castle", "tabby", "catamaran", "tiger_cat", "Persian cat", "Egyptian cat")
    probable = replace(named(*labels), probabilities=np.float32([0.2, 0, 0, 0.1, 0, 0.1, 0.2, 0.4]))
    near = r"near it are Egyptian cat, Persian cat, tiger_cat, catamaran, crate$"
    with pytest.raises(ValueError, match=near):
        weights_of("Cat", probable)
    with pytest.raises(ValueError, match=r"near it are catamaran$"):
        weights_of("amaran", probable)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("CD4+ T cell - B cel", "B cel"), ("CD4+ - CD8", "CD8"), ("CD4+ T cel", "CD4+ T cel"), ("C+", "C+")],
)
def test_labels_with_a_plus_sign_are_not_cut_to_name_what_is_wrong(text, wrong):
    with pytest.raises(ValueError, match=f"no class '{re.escape(wrong)}'; near it are"):
        weights_of(text, named("CD4+ T cell", "B cell", "CD4+", "CD8+", "C++", "C"))


@pytest.mark.parametrize("text", ["1,5 zebra", "zebra - 1,000 tabby cat", "3, zebra"])
def test_a_comma_makes_no_factor(text):
    """It may be a decimal one, stand between thousands, or between two classes."""
    with pytest.raises(ValueError, match=r"no class '(1,5|1,000|3,)"):
        weights_of(text, named("zebra", "tabby cat"))


def test_labels_may_look_like_sums_and_numbers():
    labels = ("salt - pepper", "salt", "3", "12", "jack-o'-lantern")
    assert weights_of("salt - pepper", named(*labels)) == ((0, 1.0),)
    assert weights_of("12", named(*labels)) == ((3, 1.0),)
    assert weights_of("3 - 12", named(*labels)) == ((2, 1.0), (3, -1.0))
    assert weights_of("2 · 3 - jack-o'-lantern", named(*labels)) == ((2, 2.0), (4, -1.0))
    assert weights_of("3-jack-o'-lantern+12", named(*labels)) == ((2, 1.0), (3, 1.0), (4, -1.0))
    assert weights_of("12 - salt - pepper", named(*labels)) == ((0, -1.0), (3, 1.0))
    assert weights_of("1", named(*labels)) == ((1, 1.0),)  # no label is that
    assert weights_of("3–12", named(*labels)) == ((2, 1.0), (3, -1.0))  # with the dash of a text processor


def test_an_exact_label_comes_before_a_sum_and_before_a_number():
    labels = ("T", "shirt", "T-shirt", "1", "a+b", "a", "b", "-1")
    for number, label in enumerate(labels):
        assert weights_of(label, named(*labels)) == ((number, 1.0),)
    assert weights_of("a+b+T-shirt", named(*labels)) == ((2, 1.0), (4, 1.0))
    assert weights_of("b+a", named(*labels)) == ((5, 1.0), (6, 1.0))
    assert weights_of("shirt-T", named(*labels)) == ((0, -1.0), (1, 1.0))


def test_a_sum_of_all_classes_is_read_at_once():
    labels = tuple(f"class-{n}" for n in range(1000))
    weights = tuple((n, n + 1.0) for n in range(1000))
    begin = time.process_time()
    assert weights_of(sum_words(weights, labels), named(*labels)) == weights
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zebra - zebra", "nothing is left of"),
        ("zebra - ber", "no class 'ber'; near it are bear"),
        ("", "nothing is named: give a class, or a sum of classes"),
        ("  ", "nothing is named"),
        ("0 zebra", "nothing is left of '0 zebra': all of its weights are 0"),
        ("zebra -", "a sign is followed by nothing"),
        ("zebra+", "a sign is followed by nothing"),
        ("zebra+ber", "no class 'ber'; near it are bear"),
        ("zebra - -ber", "no class '-ber'; near it are bear"),
        ("zebra + 4", "class 4 does not exist: the model has classes 0 to 3"),
        ("1.5", r"the model has no class '1\.5'"),
        ("zebra - ", "a sign is followed by nothing: give a class"),
        ("2 3", r"something is missing in '2 3': \+ or − between two, or · after a factor"),
        ("zebra + 0.5 3", "something is missing in '0.5 3'"),
        (f"{'9' * 400} zebra", "the factor of 'zebra' is too large"),
        ("1000001*2", "the factor of '2' is too large: a million is the most"),
    ],
)
def test_a_sum_that_makes_no_sense_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        weights_of(text, named(*LABELS))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("", "nothing is named: give a channel, or a sum of channels"),
        ("conv[9]", r"the layer has no channel 'conv\[9\]'; near it are conv"),
        (2, "channel 2 does not exist: the layer has channels 0 to 1"),
        (Target.of_class(5), "channel 5 does not exist: the layer has channels 0 to 1"),
    ],
)
def test_inside_a_layer_it_is_channels_that_do_not_exist(asked, message):
    with pytest.raises(ValueError, match=message):
        resolve(asked, named("conv[0]", "conv[1]", channels=True))


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
        ModelError, match=r"does not give: choose one inside that does not, Occlusion \(occlusion\)"
    ):
        explain(model, picture, 0, "smoothgrad")
    result = explain(model, picture, 0, "smoothgrad", of="occlusion", samples=3)
    assert {call for call, _ in model.calls} == {"scores"}
    assert result.values.any()


# Many pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_many_pictures_are_as_one_after_the_other(model, name):
    images, targets = pictures(model, 11), [n % 4 for n in range(11)]
    together = explain_batch(model, images, targets, name, **FEW.get(name, {}))
    for image, target, result in zip(images, targets, together, strict=True):
        alone = explain(model, image, target, name, **FEW.get(name, {}))
        np.testing.assert_allclose(result.values, alone.values, rtol=1e-4, atol=1e-5)
        assert result.score == pytest.approx(alone.score, rel=1e-5)
        assert (result.target, result.label, result.placement) == (alone.target, alone.label, alone.placement)


def test_many_pictures_run_in_batched_calls():
    model = Spatial(batch=4)
    explain_batch(model, pictures(model, 10))
    assert model.calls == [(call, size) for size in (4, 4, 2) for call in ("scores", "gradient")]


@pytest.mark.parametrize("target", [None, 2, np.int64(2), "zebra", Target.of_class(2)])
def test_one_target_is_for_all_pictures(model, target):
    result = explain_batch(model, pictures(model, 3), target)
    wanted = [None, None, None] if target is None else [2, 2, 2]
    tops = [explanation.prediction.top(1)[0].index for explanation in result]
    assert [explanation.target.index for explanation in result] == (tops if target is None else wanted)


@pytest.mark.parametrize("targets", [[0, "zebra", None], (0, 2, 1), np.array([0, 2, 1])])
def test_each_picture_may_have_its_own_target(model, targets):
    result = explain_batch(model, pictures(model, 3), targets)
    assert [explanation.target.index for explanation in result][:2] == [0, 2]


def test_pictures_of_several_sizes_come_to_the_models(model):
    images = [np.zeros((h, w, 3), np.uint8) for h, w in ((6, 8), (60, 30), (7, 7))]
    placements = [explanation.placement for explanation in explain_batch(model, images, 0)]
    assert len({placement.scale for placement in placements}) == 3


def test_no_pictures_have_no_explanations(model):
    assert explain_batch(model, []) == []


def test_targets_and_pictures_must_be_as_many(model):
    for images in (pictures(model, 3), iter(pictures(model, 3))):
        with pytest.raises(ValueError, match="2 targets are given for 3 pictures: give one for each"):
            explain_batch(model, images, iter([0, 1]))
    assert model.calls == []


def test_pictures_and_targets_may_be_any_iterables():
    model = Spatial(batch=2)
    images, targets = pictures(model, 5), [0, "zebra", 1, None, 3]
    wanted = explain_batch(model, images, targets)
    for some in (iter(images), tuple(images), deque(images), dict(enumerate(images)).values()):
        result = explain_batch(model, some, iter(targets))
        assert [one.target for one in result] == [one.target for one in wanted]
        np.testing.assert_array_equal([f.values for f in result], [w.values for w in wanted])


def test_pictures_of_a_generator_are_taken_batch_by_batch():
    model = Spatial(batch=2)
    known = []

    def taken():
        for image in pictures(model, 5):
            known.append(len(model.calls))
            yield image

    assert len(explain_batch(model, taken(), 1)) == 5
    assert known == [0, 0, 2, 2, 4]


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("cat.jpg", "'cat.jpg'"),
        (Path("cat.jpg"), "'cat.jpg'"),
        (None, "None"),
        (Image.new("RGB", (8, 6)), "an object of type Image"),
        (np.zeros((6, 8)), r"an object of type ndarray of shape \(6, 8\)"),
        (np.zeros((6, 8, 3)), r"an object of type ndarray of shape \(6, 8, 3\)"),
    ],
)
def test_one_picture_is_not_taken_for_many(model, image, text):
    with pytest.raises(TypeError, match=rf"not {text}: write \[picture\], or use explain for one"):
        explain_batch(model, image)


def test_targets_of_one_batch_share_their_score(model):
    targets = [Target.of_class(0), Target.of_class(0, "probability")]
    with pytest.raises(ValueError, match="must share their score, not mix logit, probability"):
        explain_batch(model, pictures(model, 2), targets)


def test_pictures_of_one_call_have_one_size_and_keep_their_order():
    model = Anything(batch=2)
    sizes = [(6, 8), (6, 8), (6, 8), (8, 8), (6, 8), (6, 8)]
    images = [np.full((*size, 3), 40 * n, np.uint8) for n, size in enumerate(sizes)]
    result = explain_batch(model, images, 0)
    assert [one.values.shape[:2] for one in result] == sizes
    assert [count for call, count in model.calls if call == "gradient"] == [2, 1, 1, 2]
    for one, image in zip(result, images, strict=True):
        assert one.score == pytest.approx(explain(model, image, 0).score)


def test_a_picture_that_memory_does_not_suffice_for_is_refused_before_the_model_runs():
    model = Anything()
    model.info = replace(model.info, memory=1e9)
    message = (
        r"anything needs about 1000000\.0 GB of memory for 1000×1000 pixels, and [\d.]+ GB are free: give a "
        r"smaller picture or a part of it, or open the model with size=\(\d+, \d+\)"
    )
    with pytest.raises(ModelError, match=message):
        explain(model, np.zeros((1000, 1000, 3), np.uint8))
    assert not model.calls
    model.info = replace(model.info, input=replace(model.info.input, shape=(1000, 1000)))
    with pytest.raises(ModelError, match=r"GB are free: close other programs"):
        explain(model, np.zeros((10, 10, 3), np.uint8))


# Where the map lies ------------------------------------------------------------------------------


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


# Estimates on the way ----------------------------------------------------------------------------


def test_answers_get_better_and_end_with_the_one_of_explain(model, picture):
    (prediction,) = model.predict(picture[None])
    asked = [ClassSelection(prediction, Target.of_class(2), Placement((1, 1), (0, 0)))]
    steps = [result for (result,) in answers(model, picture[None], asked, "smoothgrad", {"samples": 20})]
    assert [step.complete for step in steps] == [False] * (len(steps) - 1) + [True]
    wanted = explain(model, picture, 2, "smoothgrad", samples=20)
    np.testing.assert_array_equal(steps[-1].values, wanted.values)
    assert len(steps) > 2


def test_given_up_after_a_step_nothing_more_runs(model, picture):
    (prediction,) = model.predict(picture[None])
    asked = [ClassSelection(prediction, Target.of_class(2), Placement((1, 1), (0, 0)))]
    running = answers(model, picture[None], asked, "smoothgrad", {})
    next(running)
    calls = len(model.calls)
    running.close()
    assert len(model.calls) == calls


# What is wrong -----------------------------------------------------------------------------------


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
        (np.zeros((6, 8, 3)), r"an object of type ndarray of shape \(6, 8, 3\): the picture comes second"),
        (Spatial, "an object of type ABCMeta$"),
    ],
)
def test_what_is_no_model_is_told(model, given, text):
    for call in (explain, lambda *both: explain_batch(both[0], [both[1]])):
        with pytest.raises(TypeError, match=f"the first argument is a model from load_model, not {text}"):
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
    assert note.startswith(f"{are} not finite, of {12 if name == 'grad_cam' else 48}")


def test_what_is_no_number_in_the_picture_is_said(model):
    picture = np.random.default_rng(0).random((6, 8, 3))
    picture[2, 3], picture[4, :2, 1] = np.nan, np.inf
    result = explain_batch(model, [picture, np.ones((6, 8, 3)) / np.arange(1, 9)[:, None]], 0)
    assert result[0].notes == (
        "1 of 48 pixels NaN, taken as 0.",
        "2 of 48 pixels infinite, taken as the smallest or largest value.",
    )
    assert result[1].notes == ()


def test_a_finite_map_has_no_note(model, picture):
    assert explain(model, picture, 0).notes == ()


@pytest.mark.parametrize("shows_nothing", [np.nan, np.inf, 0.0, 7.0])
def test_a_picture_that_is_the_same_everywhere_is_said_to_be_so(shows_nothing):
    """One of NaN alone looks black to the model, and its map like any other's."""
    model = Spatial()
    note = "To the model the picture is the same everywhere"
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


# Outputs with space


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
    model = with_input(Dense(), fit="pad")
    image = np.random.default_rng(0).normal(size=(3, 8, 3)).astype(np.float32)
    whole = explain(model, image, 1)
    same = explain(model, image, 1, region=np.ones((3, 8), bool))
    np.testing.assert_array_equal(whole.values, same.values)
    assert whole.score == same.score


def test_a_map_is_made_again_by_its_own_target():
    """Which knows its region; a region that is given counts more."""
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
    with pytest.raises(ValueError, match="the target's region is one of pictures of"):
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
        (Dense, np.ones((3, 4), bool), "a region has the picture's shape"),
        (Dense, np.zeros((6, 8), bool), "the region is empty"),
    ],
)
def test_regions_that_cannot_be(kind, region, named):
    model = kind()
    with pytest.raises(ValueError, match=named):
        explain(model, pictures(model)[0], region=region)


def test_regions_are_counted():
    model = Dense()
    with pytest.raises(ValueError, match="3 regions are given for 2 pictures"):
        explain_batch(model, list(pictures(model, 2)), regions=[None] * 3)


# Quantities


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
