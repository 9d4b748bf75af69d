"""What a user says about a model, and the file that keeps it."""

import json
import os
import re
from pathlib import Path

import pytest

from napari_saliency.core.preprocessing import PREPROCESSINGS, Preprocessing
from napari_saliency.models import Scaling, Settings, read_labels, sidecar_path
from napari_saliency.models.settings import FIELDS

WHOLE = Settings(
    labels=("cat", "dög"),
    preprocessing=Scaling(divisor=255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), bgr=True),
    fit="pad",
    layer="conv",
    size=(224, 160),
    channels=3,
    note="Knows two things.",
    output="kind",
    outputs={"size": {"labels": ["small", "large"], "task": "classification"}},
)


@pytest.fixture
def model(tmp_path):
    """A model's file, as far as settings care."""
    return tmp_path / "my.net.keras"


def write(model, content):
    text = content if isinstance(content, str) else json.dumps(content)
    sidecar_path(model).write_text(text, encoding="utf-8")


def test_settings_lie_beside_the_model(model):
    assert sidecar_path(model) == model.with_name("my.net.saliency.json")


@pytest.mark.parametrize(
    "settings", [WHOLE, Settings(), Settings(preprocessing="tf"), Settings(labels=("a",))]
)
def test_settings_come_back_as_they_were_written(model, settings):
    settings.write_sidecar(model)
    assert Settings.read_sidecar(model) == settings


def test_a_settings_file_is_readable_and_holds_nothing_that_was_not_said(model):
    Settings(labels=("cat", "dög"), fit="pad").write_sidecar(model)
    text = sidecar_path(model).read_text(encoding="utf-8")
    assert json.loads(text) == {"labels": ["cat", "dög"], "fit": "pad", "file": model.name}
    assert "dög" in text


def test_without_a_file_nothing_is_said(model):
    assert Settings.read_sidecar(model) == Settings()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting"),
        ("", "Expecting"),
        ([1, 2], "mapping"),
        ({"preprocesing": "tf"}, "preprocesing"),
        ({"preprocessing": "tff"}, "'tff' is not one of none, unit, tf, caffe, torch"),
        ({"preprocessing": {"div": 255}}, "div"),
        ({"preprocessing": {"mean": "a"}}, "mean"),
        ({"preprocessing": {"divisor": 0}}, "would divide by zero"),
        ({"fit": "squeeze"}, "fit: .*'squeeze'"),
        ({"labels": "cat"}, "not valid: labels: "),
        ({"output": "kind", "labels": [1]}, r"not valid: labels\.0: "),
        ({"labels": []}, "labels"),
        ({"labels": [1, 2]}, "labels"),
        ({"layer": 3}, "layer"),
        ({"size": [224]}, "size"),
        ({"size": [0, 224]}, "size"),
        ({"channels": 0}, "channels"),
        ({"outputs": {"kind": ["cat"]}}, "outputs.kind"),
        ({"output": "kind", "outputs": {"kind": ["cat"]}}, "outputs.kind"),
        ({"outputs": {"kind": {"fit": "pad"}}}, "outputs.kind.fit"),
        ({"output": "kind", "outputs": {"kind": {"labels": "cat"}}}, "labels"),
        ({"output": ["kind"], "outputs": {"kind": {}}}, "output"),
        ({"size": [10**400, 5]}, "size"),
        ("[" * 200_000, "recursion"),
        (" " * 10_000_001, "longer than 10,000,000 bytes"),
    ],
)
def test_a_wrong_file_is_named_and_the_mistake_told_in_one_sentence(model, content, reason):
    write(model, content)
    with pytest.raises(ValueError, match=reason) as raised:
        Settings.read_sidecar(model)
    text = str(raised.value)
    assert text.startswith("my.net.saliency.json beside the model is not valid: ")
    assert text.endswith("; correct or delete it")
    assert "\n" not in text
    assert "pydantic" not in text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"fit": "squeeze"}, "fit: .*'crop', 'stretch' or 'pad'.*'squeeze'"),
        ({"preprocessing": "keras"}, "'keras' is not one of none, unit, tf, caffe, torch"),
        ({"labels": ()}, "labels"),
        ({"colour": 1}, "^'colour' is not one of labels, task, preprocessing, fit, layer, size,"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(values, reason):
    with pytest.raises(ValueError, match=reason) as raised:
        Settings(**values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_a_preprocessing_is_known_by_its_name(name):
    assert Settings(preprocessing=name).resolve() is PREPROCESSINGS[name]


def test_a_preprocessing_without_a_name_is_what_its_numbers_say():
    result = WHOLE.resolve()
    assert result == Preprocessing("mean/std", 255, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), bgr=True)


def test_no_preprocessing_is_none():
    assert Settings().resolve() is None


@pytest.mark.parametrize("scaling", [{"divisor": 0}, {"std": (0.1, 0.0, 0.1)}])
def test_a_preprocessing_that_divides_by_zero_is_refused(scaling):
    with pytest.raises(ValueError, match="would divide by zero"):
        Settings(preprocessing=Scaling(**scaling)).resolve()


def test_what_is_said_goes_over_what_was_said_before():
    before = Settings(labels=("a", "b"), preprocessing=Scaling(), fit="pad")
    after = Settings(labels=("c", "d"), layer="x").over(before)
    assert after == Settings(labels=("c", "d"), preprocessing=Scaling(), fit="pad", layer="x")


def test_names_are_those_of_the_output_that_is_explained():
    """Also of files that people write, who name all outputs alike; what was said of none holds for all others."""
    of = {"kind": {"labels": ("a", "b")}, "size": {"labels": ("x",), "task": "regression"}}
    sidecar = Settings(output="kind", outputs=of, fit="pad")
    assert (sidecar.labels, sidecar.task) == (("a", "b"), None)
    other = Settings(output="size").over(sidecar)
    assert (other.labels, other.task, other.fit) == (("x",), "regression", "pad")
    assert Settings(output="kind").over(other) == sidecar
    third = Settings(output="age").over(sidecar)
    assert (third.labels, third.task) == (None, None)
    assert Settings(output="age").over(Settings(labels=("a",))).labels == ("a",)
    assert Settings(output="size").over(Settings(labels=("a",), outputs=of)).labels == ("x",)


KIND, SIZE = {"labels": ["a", "b"]}, {"labels": ["x"], "task": "regression"}


@pytest.mark.parametrize(
    ("content", "outputs"),
    [
        (KIND, {"": KIND}),
        (SIZE | {"output": "size"}, {"size": SIZE}),
        (KIND | {"output": "kind", "outputs": {"size": SIZE}}, {"kind": KIND, "size": SIZE}),
        (KIND | {"outputs": {"size": SIZE}}, {"": KIND, "size": SIZE}),
        ({"labels": ["old"], "output": "size", "outputs": {"size": SIZE}}, {"size": SIZE}),
    ],
)
def test_names_without_an_output_in_a_file_are_those_of_the_one_that_is_explained(model, content, outputs):
    """So files were written before every output had its entry, and so people write them."""
    write(model, content)
    result = Settings.read_sidecar(model)
    assert result.outputs == Settings(outputs=outputs).outputs
    result.write_sidecar(model)
    assert Settings.read_sidecar(model) == result


def test_what_holds_for_every_output_comes_back_as_it_was_written(model):
    settings = Settings(output="size", outputs={"": KIND, "size": {"task": "regression"}})
    assert (settings.labels, settings.task) == (("a", "b"), "regression")
    settings.write_sidecar(model)
    assert Settings.read_sidecar(model) == settings


def test_what_is_said_now_is_meant_of_the_output_that_is_explained():
    now = Settings(labels=("c", "d")).over(Settings(output="kind", outputs={"kind": KIND, "size": SIZE}))
    assert now == Settings(output="kind", outputs={"kind": {"labels": ("c", "d")}, "size": SIZE})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "cat\n\n big dog \n"),
        ("labels.json", '["cat", "big dog"]'),
        ("labels.json", '{"1": ["n02", "big_dog"], "0": ["n01", "cat"]}'),
        ("labels.json", '{"1": "big_dog", "0": "cat"}'),
        ("labels.json", '{"big dog": 1, "cat": 0}'),
        ("labels.txt", "0 cat\n1 big dog"),
        ("labels.csv", "0,cat\n1,big dog"),
        ("labels.txt", "\ufeffcat\nbig dog"),
    ],
)
def test_labels_are_read_from_lines_a_list_or_keras_class_index(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / name) == ("cat", "big dog")


def test_names_that_begin_with_a_number_stay_as_they_are(tmp_path):
    (tmp_path / "labels.txt").write_text("3 cats\n1 dog", encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt") == ("3 cats", "1 dog")


def test_bytes_that_are_no_text_hold_no_class_names(tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ValueError, match=r"labels\.txt holds no class names"):
        read_labels(tmp_path / "labels.txt")


def test_more_than_ten_classes_are_in_the_order_of_their_numbers(tmp_path):
    index = {str(i): ["n", f"c{i}"] for i in sorted(range(12), key=str)}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    assert read_labels(tmp_path / "index.json") == tuple(f"c{i}" for i in range(12))


def make_pipe(path):
    os.mkfifo(path)


no_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")


@pytest.mark.parametrize("make", [Path.mkdir, pytest.param(make_pipe, marks=no_pipes)])
def test_what_is_no_file_is_not_read(model, make):
    make(sidecar_path(model))
    with pytest.raises(
        ValueError, match=r"^my\.net\.saliency\.json .* is not a regular file; correct or delete it$"
    ):
        Settings.read_sidecar(model)
    with pytest.raises(ValueError, match="is not a regular file"):
        read_labels(sidecar_path(model))


@pytest.mark.parametrize("text", ["[" * 200_000, "3", "{}", '{"a": "b"}', '{"0": []}', "{", "", "[]", "null"])
def test_a_file_without_class_names_is_told(tmp_path, text):
    (tmp_path / "labels.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.json holds no class names"):
        read_labels(tmp_path / "labels.json")


def test_class_names_of_gigabytes_are_not_read(tmp_path):
    with (tmp_path / "labels.txt").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(ValueError, match=r"labels\.txt is longer than 10,000,000 bytes"):
        read_labels(tmp_path / "labels.txt")


def test_an_empty_list_of_lines_holds_no_class_names(tmp_path):
    (tmp_path / "labels.txt").write_text("\n\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"labels\.txt holds no class names"):
        read_labels(tmp_path / "labels.txt")


def test_the_page_of_models_lists_every_field():
    text = (Path(__file__).parents[2] / "docs" / "models.md").read_text("utf-8")
    table = text[text.index("| field | |") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()))) == {
        *FIELDS, "file",
    }  # fmt: skip


def test_files_that_share_a_name_have_settings_of_their_own(tmp_path):
    """As the networks of two frameworks do: their preprocessing need not be the same."""
    keras, torch = tmp_path / "net.keras", tmp_path / "net.pth"
    for path in (keras, torch):
        path.touch()
    Settings(preprocessing="caffe").write_sidecar(keras)
    assert Settings.read_sidecar(torch) == Settings()
    Settings(preprocessing="torch").write_sidecar(torch)
    assert Settings.read_sidecar(keras) == Settings(preprocessing="caffe")
    assert Settings.read_sidecar(torch) == Settings(preprocessing="torch")
    assert {path.name for path in tmp_path.glob("*.json")} == {
        "net.saliency.json", "net.pth.saliency.json",
    }  # fmt: skip
    keras.unlink()  # it was given another ending, say: what was said goes with the name
    (tmp_path / "net.pth.saliency.json").unlink(missing_ok=True)
    assert sidecar_path(torch).name == "net.saliency.json"


def test_settings_that_somebody_wrote_are_those_of_every_file_of_the_name(tmp_path):
    (tmp_path / "net.saliency.json").write_text('{"preprocessing": "unit"}')
    for name in ("net.keras", "net.pth"):
        (tmp_path / name).touch()
        assert Settings.read_sidecar(tmp_path / name) == Settings(preprocessing="unit")
