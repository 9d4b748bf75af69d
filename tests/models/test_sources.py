"""What `load_model` is given, understood without a framework."""

import subprocess
import sys

import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import catalogue, load_model, parse
from napari_saliency.models import sources as models_sources
from napari_saliency.models.sources import APPLICATIONS, family

WANTED = (
    "a .keras or .h5 file, a SavedModel folder, PyTorch's .pt2 or TorchScript file, or an .onnx file, keras:NAME, "
    "bundled:NAME or python:MODULE:NAME"
)


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        *dict.fromkeys((".keras", ".h5", ".hdf5", ".KERAS"), "keras").items(),
        *dict.fromkeys((".pt2", ".pt", ".pth", ".ts", ".PT"), "torch").items(),
    ],
)
def test_a_file_is_known_by_its_suffix(tmp_path, suffix, kind):
    path = tmp_path / f"my net{suffix}"
    path.touch()
    result = parse(str(path))
    assert (result.kind, result.name, result.path) == (kind, "my net", path.resolve())
    assert parse(path) == parse(str(result)) == result


def test_a_path_may_be_relative_or_begin_at_home(tmp_path, monkeypatch):
    (tmp_path / "a.keras").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert parse("a.keras").path == parse("~/a.keras").path == (tmp_path / "a.keras").resolve()


def test_an_application_is_known_by_its_name():
    result = parse("keras:MobileNetV2")
    assert (result.kind, result.name, result.path, result.weights) == (
        "application",
        "MobileNetV2",
        None,
        "imagenet",
    )


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_the_weights_of_an_application_can_be_chosen(weights):
    assert parse(f"keras:VGG16?weights={weights}").weights == weights


def test_the_weights_of_an_application_can_be_a_file(tmp_path):
    path = tmp_path / "a b.weights.h5"
    path.touch()
    assert parse(f"keras:VGG16?weights={path}").weights == str(path)


@pytest.mark.parametrize(
    "source", [*catalogue(), "keras:VGG16?weights=none", f"keras:VGG16?weights={__file__}"]
)
def test_a_source_is_written_as_it_is_read(source):
    assert str(parse(source)) == source
    assert parse(str(parse(source))) == parse(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.keras", f"there is no file 'nowhere.keras'; give {WANTED}"),
        ("", f"'' names no model: give {WANTED}"),
        (" ", f"' ' names no model: give {WANTED}"),
        ("keras:LeNet", "keras.applications has no 'LeNet'; it has MobileNetV2, "),
        ("keras:VGG16?weigths=none", "'weigths=none' is not understood: write keras:VGG16"),
        ("keras:VGG16?weights=", "'weights=' is not understood"),
        ("keras:VGG16?weights=/no/such.h5", "there is no weights file '/no/such.h5'"),
        ("bundled:nothing", "there is no bundled model 'nothing'; there are "),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(source, message):
    with pytest.raises(ModelError) as raised:
        parse(source)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("name", ["model.pkl", "model.tflite", "photo.jpg", "model", "model.keras.zip"])
def test_another_kind_of_file_is_told(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(
        ModelError, match=rf"'{name}' is not a model that opens here: give a \.keras or \.h5 file"
    ):
        parse(tmp_path / name)


def test_a_folder_is_no_model(tmp_path):
    (tmp_path / "saved.keras").mkdir()
    with pytest.raises(ModelError, match=r"'saved\.keras' is not a model"):
        parse(tmp_path / "saved.keras")


@pytest.mark.parametrize("name", models_sources.bundled())
def test_bundled_models_are_files_of_the_package(name):
    result = parse(f"bundled:{name}")
    assert result.bundled
    assert result.path.is_file()


def test_the_catalogue_can_be_opened_and_begins_with_what_needs_no_network():
    sources = catalogue()
    assert len(sources) == len(models_sources.bundled()) + len(APPLICATIONS)
    assert [parse(source).bundled for source in sources] == sorted(
        (parse(source).bundled for source in sources), reverse=True
    )


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("MobileNetV2", "tf"),
        ("mobilenetv2_1.00_224", "tf"),
        ("mobilenet_v2", "tf"),
        ("MobileNetV3Small", "none"),
        ("ResNet50", "caffe"),
        ("resnet50v2", "tf"),
        ("EfficientNetV2B0", "none"),
        ("InceptionResNetV2", "tf"),
        ("vgg16", "caffe"),
        ("densenet121", "torch"),
        ("my_model", None),
        ("sequential_3", None),
    ],
)
def test_a_network_of_a_known_name_is_taken_for_one_of_its_family(name, mode):
    assert family(name) == mode


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_preprocessing_of_every_application_is_known(name):
    assert family(name) is not None


def test_what_is_wrong_with_a_source_is_told_without_starting_a_framework():
    code = """
import sys
from napari_saliency.models import load_model
try:
    load_model("nowhere.keras")
except Exception as error:
    print(type(error).__name__, "tensorflow" in sys.modules, "keras" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ModelError", "False", "False"]


def test_load_model_checks_its_options_first(tmp_path):
    with pytest.raises(ValueError, match="'keras' is not one of"):
        load_model("nowhere.keras", preprocessing="keras")
