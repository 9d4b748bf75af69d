"""Classifiers of keras.applications: preprocessing, weights and class names."""

import importlib
import inspect
import os
import pkgutil
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.models import (
    load_model,
)
from napari_saliency.models.sources import APPLICATIONS, family

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


def test_the_applications_are_those_of_keras(keras):
    offered = {name for name, result in vars(keras.applications).items() if inspect.isfunction(result)}
    assert set(APPLICATIONS) == offered


def preprocess_inputs(keras, name):
    """What the modules that offer an application preprocess its pictures with."""
    names = [module.name for module in pkgutil.iter_modules(keras.applications.__path__)]
    modules = [
        importlib.import_module(f"keras.applications.{name}") for name in names if name != "imagenet_utils"
    ]
    return [module.preprocess_input for module in modules if hasattr(module, name)]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_preprocessing_of_every_application_is_that_of_its_module(keras, name):
    picture = np.random.default_rng(0).uniform(0, 255, size=(2, 5, 7, 3)).astype(np.float32)
    result = preprocess_inputs(keras, name)
    if name.startswith("MobileNetV3"):  # its module has nothing else in it
        result.append(keras.applications.mobilenet_v3.preprocess_input)
    assert result
    for function in result:
        wanted = np.asarray(function(picture.copy()))
        np.testing.assert_allclose(PREPROCESSINGS[family(name)](picture), wanted, atol=1e-4)


@pytest.fixture
def small(keras, monkeypatch):
    """A small network in place of an application; it remembers what it was asked for."""
    asked = []

    def build(weights="imagenet", **options):
        asked.append(weights)
        network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
        network.add(keras.layers.Dense(build.classes, activation="softmax"))
        return network

    build.asked, build.classes = asked, 3
    monkeypatch.setattr(keras.applications, "VGG16", build)
    return build


def test_an_application_without_weights_needs_no_network(small):
    model = load_model("keras:VGG16?weights=none")
    assert small.asked == [None]
    assert model.info.source == "keras:VGG16?weights=none"
    assert model.info.name == "VGG16"
    assert model.info.input.preprocessing.name == "caffe"
    assert model.info.questions == ()


def test_weights_of_an_application_from_a_file(small, tmp_path):
    other = small()
    other.save_weights(tmp_path / "own.weights.h5")
    model = load_model(f"keras:VGG16?weights={tmp_path / 'own.weights.h5'}")
    assert small.asked[-1] is None
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(model.predict(x)[1].probabilities, other(x)[1], atol=1e-6)


@pytest.mark.data
def test_labels_of_an_application_come_from_keras_class_index(keras, small, data_folder, tmp_path):
    """Out of Keras' own cache, into which conftest.py lets nothing of the user's."""
    cache = Path(os.environ["KERAS_HOME"]) / "models"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy(data_folder / "imagenet" / "imagenet_class_index.json", cache)
    assert load_model("keras:VGG16").info.labels == ("class 0", "class 1", "class 2")
    small.classes = 1000
    small().save_weights(tmp_path / "own.weights.h5")
    for weights in ("", f"?weights={tmp_path / 'own.weights.h5'}"):
        labels = load_model(f"keras:VGG16{weights}").info.labels
        assert (labels[0], labels[285], labels[999]) == ("tench", "Egyptian cat", "toilet tissue")
    assert load_model("keras:VGG16?weights=none").info.labels[285] == "class 285"


def unreachable(*args, **kwargs):
    raise OSError(
        "URL fetch failure on https://storage.googleapis.com/...: None -- [Errno -2] Name not known"
    )


def test_without_a_network_one_sentence_says_what_to_do(keras, small, monkeypatch):
    monkeypatch.setattr(keras.applications, "VGG16", unreachable)
    with pytest.raises(ModelError) as raised:
        load_model("keras:VGG16")
    text = str(raised.value)
    assert text.startswith("weights of VGG16 could not be loaded (URL fetch failure")
    assert "keras:VGG16?weights=FILE" in text
    assert "\n" not in text


def test_without_class_names_a_note_says_why_classes_have_numbers(keras, small, monkeypatch):
    small.classes = 1000
    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", unreachable)
    info = load_model("keras:VGG16").info
    assert info.labels[285] == "class 285"
    assert info.notes[0].startswith("Class names could not be loaded (URL fetch failure")


def test_weights_that_do_not_fit_are_told(small, saved):
    with pytest.raises(ModelError, match="weights of VGG16 could not be loaded") as raised:
        load_model(f"keras:VGG16?weights={saved / 'only.weights.h5'}")
    assert "\n" not in str(raised.value)
