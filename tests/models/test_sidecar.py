"""What stands beside a model's file: class names and bioimage.io's description; no framework is needed."""

import time

import numpy as np
import pytest
import yaml

from napari_saliency.models import Settings
from napari_saliency.models.sidecar import sidecar_settings


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "net.keras"
    path.touch()
    return path


@pytest.mark.parametrize("name", ["net.labels.txt", "labels.txt", "class_names.txt"])
def test_class_names_beside_the_only_model(model, name):
    model.with_name(name).write_text("cat\ndog", encoding="utf-8")
    assert sidecar_settings(model) == Settings(labels=("cat", "dog"))


@pytest.mark.parametrize("other", ["other.h5", "other.pt2", "other.pth"])
def test_class_names_of_one_of_two_models_bear_its_name(model, other):
    model.with_name(other).touch()
    model.with_name("labels.txt").write_text("cat\ndog", encoding="utf-8")
    assert sidecar_settings(model) == Settings()
    model.with_name("net.labels.json").write_text('["a", "b"]', encoding="utf-8")
    assert sidecar_settings(model) == Settings(labels=("a", "b"))


def test_class_names_within_a_saved_model(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "labels.txt").write_text("cat\ndog", encoding="utf-8")
    assert sidecar_settings(folder) == Settings(labels=("cat", "dog"))


def test_settings_go_over_class_names_and_both_over_a_description(model):
    Settings(fit="pad").write_sidecar(model)
    model.with_name("labels.txt").write_text("cat\ndog", encoding="utf-8")
    describe(model, [{"id": "scale_linear", "kwargs": {"gain": 2, "offset": 0}}], names=["x", "y"])
    result = sidecar_settings(model)
    assert (result.fit, result.labels) == ("pad", ("cat", "dog"))
    assert result.preprocessing.std == (0.5,)


def describe(model, steps, names=None, source="net.keras", **more):
    channel = {"type": "channel", "id": "channel"} | ({"channel_names": names} if names else {})
    described = {
        "type": "model",
        "format_version": "0.5.3",
        "inputs": [{"axes": [{"type": "batch"}, channel], "preprocessing": steps}],
        "outputs": [{"axes": [{"type": "batch"}, channel]}],
        "weights": {"keras_hdf5": {"source": source}},
    }
    model.with_name("rdf.yaml").write_text(yaml.safe_dump(described | more), encoding="utf-8")


STEPS = {
    "linear": ([{"id": "scale_linear", "kwargs": {"gain": 0.5, "offset": 3}}], lambda x: x * 0.5 + 3),
    "fixed, 0.5": (
        [
            {
                "id": "fixed_zero_mean_unit_variance",
                "kwargs": {"mean": [1, 2, 3], "std": [4, 5, 6], "axis": "channel"},
            }
        ],
        lambda x: (x - [1, 2, 3]) / [4, 5, 6],
    ),
    "fixed, 0.4": (
        [
            {
                "name": "zero_mean_unit_variance",
                "kwargs": {"mode": "fixed", "axes": "xy", "mean": 9.0, "std": 2.0},
            }
        ],
        lambda x: (x - 9) / 2,
    ),
    "several": (
        [
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
            {"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0}},
            {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": [0.4, 0.5, 0.6], "std": 0.2}},
        ],
        lambda x: (x / 255 - [0.4, 0.5, 0.6]) / 0.2,
    ),
}


@pytest.mark.parametrize(("steps", "wanted"), STEPS.values(), ids=STEPS)
def test_preprocessing_of_a_description_is_what_its_steps_compute(model, steps, wanted):
    describe(model, steps)
    picture = np.random.default_rng(0).uniform(0, 255, (4, 5, 3)).astype(np.float32)
    result = sidecar_settings(model).resolve()(picture)
    np.testing.assert_allclose(result, wanted(picture.astype(float)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["scale_range", "zero_mean_unit_variance", "binarize"])
def test_what_is_computed_for_each_picture_is_said_not_to_be_done(model, name):
    describe(model, [{"id": name, "kwargs": {"axes": ["x", "y"]}}])
    result = sidecar_settings(model)
    assert result.preprocessing is None
    assert (
        result.note
        == f"Its description asks for {name!r}, which is computed for each picture and not done here."
    )


def test_class_names_of_a_description(model):
    describe(model, [], names=["healthy", "infected"])
    assert sidecar_settings(model) == Settings(labels=("healthy", "infected"))


def test_a_description_of_version_0_4_has_letters_for_axes(model):
    describe(model, [], inputs=[{"axes": "byxc", "preprocessing": []}], outputs=[{"axes": "bc"}])
    assert sidecar_settings(model) == Settings()


def test_a_description_of_another_file_is_not_this_models(model):
    describe(model, [], names=["healthy", "infected"], source="weights.onnx")
    assert sidecar_settings(model) == Settings()


BAD = {
    "no YAML": "a: [",
    "a list": "[1, 2]",
    "nothing": "",
    "no model": "{type: dataset, inputs: [{}], outputs: [{}]}",
    "no outputs": "{type: model, inputs: [{}], outputs: []}",
    "an object": "!!python/object/apply:os.getcwd []",
    "repeats": "a: &a [1]\nb: [" + "*a, " * 51 + "*a]",
    "long": "a: " + "x" * 1_000_001,
    "many words": "a: [" + "b," * 90_000 + "]",
    "deep": "[" * 100_000,
    "deep in blocks": "- " * 90_000,
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 17)),
    "a long number": "a: 1" + ":1" * 90_000,
    "steps of other lengths": "{type: model, outputs: [{}], inputs: [{preprocessing: [{id: scale_linear, "
    "kwargs: {gain: [1, 2], offset: [1, 2, 3]}}]}]}",
    "a division by zero": "{type: model, outputs: [{}], inputs: [{preprocessing: "
    "[{id: fixed_zero_mean_unit_variance, kwargs: {mean: 1, std: 0}}]}]}",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_description_that_is_not_valid_is_named_in_one_sentence(model, text):
    model.with_name("rdf.yaml").write_text(text, encoding="utf-8")
    started = time.process_time()
    with pytest.raises(ValueError, match=r"^rdf\.yaml beside the model is not valid: ") as raised:
        sidecar_settings(model)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400
    assert time.process_time() - started < 5
