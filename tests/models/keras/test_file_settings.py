"""What is said of Keras' files: beside them, when they are opened, and inside them."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from napari_saliency.api.explain import explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.models import (
    Scaling,
    Settings,
    load_model,
    open_model,
    sidecar_path,
)
from tests.analytic import LABELS, pictures, targets_of
from tests.models.keras.files import assert_is_the_twin

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


def test_settings_beside_the_file_are_kept_to_and_nothing_is_asked(path):
    kept = Settings(labels=LABELS, preprocessing="tf", fit="pad", layer="conv2d", note="Sees four things.")
    names = [layer.name for layer in load_model(path).info.layers]
    kept = kept.over(Settings()).model_copy(update={"layer": names[0]})
    kept.write_sidecar(path)
    info = load_model(path).info
    assert (info.labels, info.input.preprocessing, info.input.fit) == (LABELS, PREPROCESSINGS["tf"], "pad")
    assert (info.cam_layer, info.questions, info.notes) == (names[0], (), ("Sees four things.",))


def test_what_load_model_is_given_goes_over_the_settings_beside_the_file(path):
    Settings(labels=LABELS, preprocessing="tf", fit="pad").write_sidecar(path)
    info = load_model(path, preprocessing="caffe", fit="stretch", labels=list("abcd")).info
    assert (info.labels, info.input.preprocessing.name, info.input.fit) == (tuple("abcd"), "caffe", "stretch")


def test_class_names_and_a_description_beside_the_file_are_kept_to(path):
    path.with_name("labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    text = (
        "{type: model, inputs: [{preprocessing: [{id: scale_linear, kwargs: {gain: 0.5}}]}], outputs: [{}]}"
    )
    path.with_name("rdf.yaml").write_text(text, encoding="utf-8")
    info = load_model(path).info
    assert (info.labels, info.questions) == (LABELS, ())
    np.testing.assert_allclose(info.input.preprocessing(np.full((1, 1, 3), 8, np.float32)), 4)


def test_a_preprocessing_without_a_name(path):
    info = load_model(path, preprocessing=Scaling(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))).info
    picture = np.full((2, 2, 3), 51, np.float32)
    wanted = (0.2 - np.array([0.5, 0.4, 0.3])) / np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(info.input.preprocessing(picture)[0, 0], wanted, rtol=1e-5)


def test_a_picture_of_floats_and_of_the_models_size_passes_untouched(path, twin):
    picture = pictures(twin)[0]
    result = explain(load_model(path, preprocessing="none"), picture, 2)
    wanted = twin.gradient(picture[None], targets_of(2))[1][0]
    np.testing.assert_allclose(result.values, wanted, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(result.prediction.logits, twin.scores(picture[None])[0], atol=1e-4)


@pytest.mark.parametrize("kind", [str, Path])
def test_labels_from_a_file(path, tmp_path, kind):
    (tmp_path / "labels.txt").write_text("\n".join(LABELS), encoding="utf-8")
    info = load_model(path, labels=kind(tmp_path / "labels.txt")).info
    assert info.labels == LABELS
    assert "labels" not in info.questions


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labels": ("cat", "dog")}, "2 class names are given for a model with 4 classes"),
        ({"layer": "conv9"}, "no layer 'conv9' with space; it has "),
        (
            {"preprocessing": Scaling(mean=(0.5, 0.5))},
            "preprocessing 'mean/std' is for 2 channels; the model has 3",
        ),
    ],
)
def test_settings_that_do_not_fit_the_model_are_told(path, options, reason):
    layer, *_ = load_model(path).info.layers
    with pytest.raises(ModelError, match=r"net\.keras could not be opened") as raised:
        load_model(path, **options)
    assert reason in str(raised.value)
    assert "saliency.json" not in str(raised.value)
    Settings(**options).write_sidecar(path)
    for open_it in (load_model, lambda path: open_model(path, Settings())):
        with pytest.raises(ModelError) as raised:
            open_it(path)
        assert reason in str(raised.value)
        assert str(raised.value).endswith(
            "; net.saliency.json beside the model says so: correct or delete it"
        )
    (name,) = options
    fitting = {"labels": LABELS, "layer": layer.name, "preprocessing": "tf"}
    load_model(path, **{name: fitting[name]})  # what is said now goes over the file


@pytest.mark.parametrize("name", ["labels.txt", "rdf.yaml", "net.labels.json"])
def test_class_names_beside_the_file_that_do_not_fit_are_told_with_their_file(path, name):
    names = {
        "labels.txt": "cat\ndog",
        "rdf.yaml": "{type: model, inputs: [{}], outputs: [{axes: [{channel_names: [cat, dog]}]}]}",
        "net.labels.json": '["cat", "dog"]',
    }
    path.with_name(name).write_text(names[name], encoding="utf-8")
    with pytest.raises(ModelError) as raised:
        load_model(path)
    reason = "2 class names are given for a model with 4 classes: it needs one for each"
    said = f"net.keras could not be opened: {reason}; {name} beside the model says so: correct or delete it"
    assert str(raised.value) == said
    assert load_model(path, labels=LABELS).info.labels == LABELS  # what is said now goes over the file


@pytest.mark.parametrize("field", ["input", "output"])
def test_a_port_beside_the_file_that_does_not_exist_is_told_with_its_file(path, field):
    Settings(**{field: "other"}).write_sidecar(path)
    with pytest.raises(ModelError, match=f"the model has no {field} 'other'") as raised:
        load_model(path)
    assert str(raised.value).endswith("; net.saliency.json beside the model says so: correct or delete it")


def test_errors_of_the_engine_leave_the_name_to_the_viewer(path):
    reason = "2 class names are given for a model with 4 classes: it needs one for each"
    wrong = Settings(labels=("cat", "dog"))
    with pytest.raises(ModelError) as raised:
        open_model(path, wrong)
    assert str(raised.value) == str(pickle.loads(pickle.dumps(raised.value))) == reason
    with pytest.raises(ModelError) as raised:
        load_model(path).with_settings(wrong)
    assert str(raised.value) == reason
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"^it is not a valid \.keras file"):
        open_model(path, Settings())


@pytest.mark.parametrize("name", ["caffe", "torch"])
def test_a_preprocessing_of_colours_is_refused_for_grey_models(keras, opened, name):
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    with pytest.raises(ModelError, match=f"'{name}' is for 3 channels; the model has 1"):
        opened(network, preprocessing=name)


def test_a_wrong_settings_file_is_named(path):
    sidecar_path(path).write_text(json.dumps({"fit": "squeeze"}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"net\.saliency\.json beside the model is not valid"):
        load_model(path)


def test_other_settings_do_not_load_the_model_again(keras, path, monkeypatch, twin):
    model = load_model(path, preprocessing="unit")
    path.unlink()
    monkeypatch.setattr(keras.saving, "load_model", None)
    other = model.with_settings(Settings(labels=LABELS, preprocessing="tf", fit="pad"))
    assert (other.info.labels, other.info.input.preprocessing.name, other.info.input.fit) == (
        LABELS,
        "tf",
        "pad",
    )
    assert other.info.questions == ()
    assert model.info.input.preprocessing.name == "unit"
    assert model.info.questions == ("labels",)
    assert other.info.fingerprint == model.info.fingerprint
    assert_is_the_twin(other, twin)


@pytest.mark.parametrize(
    ("scaling", "mode"),
    [
        (lambda layers: layers.Rescaling(1 / 255), "none"),
        (lambda layers: layers.Rescaling(1 / 127.5, -1), "none"),
        (lambda layers: layers.Rescaling(2.0, -1), "unit"),
        (lambda layers: layers.Normalization(mean=[124, 116, 104], variance=[3400, 3300, 3400]), "none"),
        (lambda layers: layers.Normalization(mean=[0.48, 0.46, 0.41], variance=[0.05] * 3), "unit"),
    ],
)
def test_scaling_inside_the_model_is_recognised_and_nothing_asked(keras, opened, scaling, mode):
    layers = [scaling(keras.layers), keras.layers.Flatten(), keras.layers.Dense(3)]
    nested = keras.Sequential([keras.Input((4, 4, 3)), *layers])
    info = opened(keras.Sequential([keras.Input((4, 4, 3)), nested])).info
    assert info.input.preprocessing.name == mode
    assert "preprocessing" not in info.questions


@pytest.mark.parametrize(
    ("name", "mode"), [("vgg16", "caffe"), ("mobilenetv2_1.00_224", "tf"), ("mine", "unit")]
)
def test_a_known_name_inside_the_model_is_a_guess_and_said_to_be_one(keras, opened, name, mode):
    base = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()], name=name)
    info = opened(keras.Sequential([keras.Input((4, 4, 3)), base, keras.layers.Dense(3)])).info
    assert info.input.preprocessing.name == mode
    assert "preprocessing" in info.questions
    assert f"Preprocessing is a guess ({mode})" in info.notes[0]
