"""Opening Keras models: files, applications, settings, and everything that can be wrong with them."""

import importlib
import inspect
import json
import os
import pickle
import pkgutil
import shutil
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_saliency.api.explain import explain
from napari_saliency.core.errors import ModelError, UntrustedError
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.images import prepare
from napari_saliency.models import (
    Scaling,
    Settings,
    load_model,
    needs_trust,
    open_model,
    sidecar_path,
    trust,
)
from napari_saliency.models.sources import APPLICATIONS, family
from tests.analytic import LABELS, pictures, targets_of
from tests.models.keras import networks

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


@pytest.fixture(scope="module")
def network(keras, twin):
    return networks.with_weights(networks.sequential(keras), twin.arrays)


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    """A folder with the network in each format."""
    folder = tmp_path_factory.mktemp("saved")
    network.save(folder / "net.keras")
    network.save(folder / "net.h5")
    network.save(folder / "net.hdf5")
    network.save_weights(folder / "only.weights.h5")
    return folder


@pytest.fixture
def path(saved, tmp_path):
    """A copy of the network's file that a test may write beside."""
    return Path(shutil.copy(saved / "net.keras", tmp_path))


def assert_is_the_twin(model, twin):
    x = pictures(twin, 2)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=1e-4)
    wanted = twin.gradient(x, targets_of(0, 1))[1]
    np.testing.assert_allclose(
        model.gradient(x, targets_of(0, 1))[1], wanted, atol=1e-4 * np.abs(wanted).max()
    )


# Files that open ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5"])
def test_a_file_opens_in_every_format(saved, twin, name):
    assert_is_the_twin(load_model(saved / name), twin)


def test_a_subclassed_model_opens_from_its_file(keras, tmp_path, twin):
    """Where its class is registered, it knows what it takes though Keras has no `input_shape` for it."""
    network = networks.with_weights(networks.subclassed(keras), twin.arrays)
    network.save(tmp_path / "own.keras")
    assert_is_the_twin(load_model(tmp_path / "own.keras"), twin)


def test_a_model_knows_what_it_is(saved, network):
    info = load_model(saved / "net.keras").info
    assert info.source == str(saved / "net.keras")
    assert info.name == "net"
    assert info.input.description == "13×9 RGB"
    assert info.labels == ("class 0", "class 1", "class 2", "class 3")
    assert info.questions == ("preprocessing", "labels")
    assert info.notes == ("Preprocessing is a guess (unit): say what the model was trained with.",)
    assert info.description == "13×9 RGB, 4 classes"


def test_the_fingerprint_is_that_of_architecture_and_weights(keras, saved, opened, twin):
    one = load_model(saved / "net.keras").info.fingerprint
    assert len(one) == 64
    assert load_model(saved / "net.keras").info.fingerprint == one
    other = networks.with_weights(networks.sequential(keras), [*twin.arrays[:-1], twin.bias + 1e-3])
    assert opened(other).info.fingerprint != one
    linear = networks.with_weights(networks.functional(keras, end=networks.LINEAR["Dense"]), twin.arrays)
    assert opened(linear).info.fingerprint != one


def test_one_output_may_come_in_a_list_or_a_dictionary(keras, opened, twin):
    net = networks.with_weights(networks.functional(keras), twin.arrays)
    for outputs in ([net.output], {"classes": net.output}):
        assert_is_the_twin(opened(keras.Model(net.input, outputs)), twin)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_file_of_another_backend_opens(saved, tmp_path, twin, backend):
    path = Path(shutil.copy(saved / "net.h5", tmp_path))
    with h5py.File(path, "r+") as file:
        file.attrs["backend"] = backend.encode()
    assert_is_the_twin(load_model(path), twin)


# Files that do not -------------------------------------------------------------------------------


def halved(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def without(member):
    def change(path):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if name != member}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return change


def replaced(member, text):
    def change(path):
        without(member)(path)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member, text)

    return change


BROKEN = {
    "text": ("net.keras", lambda path: path.write_text("a text"), "no .keras file, or only a part"),
    "text h5": ("net.h5", lambda path: path.write_text("a text"), "no .h5 file, or only a part"),
    "empty": ("net.keras", lambda path: path.write_bytes(b""), "no .keras file, or only a part"),
    "empty h5": ("net.h5", lambda path: path.write_bytes(b""), "no .h5 file, or only a part"),
    "truncated": ("net.keras", halved, "no .keras file, or only a part"),
    "truncated h5": ("net.h5", halved, "damaged, or not a model of Keras"),
    "no configuration": ("net.keras", without("config.json"), "damaged, or not a model of Keras"),
    "damaged configuration": ("net.keras", replaced("config.json", "{"), "damaged, or not a model of Keras"),
    "damaged weights": ("net.keras", replaced("model.weights.h5", "abc"), "damaged, or not a model of Keras"),
    "weights alone": ("only.weights.h5", lambda path: None, "holds weights alone"),
}


def refused(path):
    """The one sentence that says why a file does not open."""
    with pytest.raises(ModelError) as raised:
        load_model(path)
    text = str(raised.value)
    assert text.startswith(f"{path.name} could not be opened: ")
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(("name", "change", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_and_told_what_to_do(saved, tmp_path, name, change, reason):
    path = Path(shutil.copy(saved / name, tmp_path))
    change(path)
    text = refused(path)
    assert reason in text
    assert "save the" in text


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_layer_is_refused_and_its_program_never_run(keras, tmp_path, suffix):
    mark, path = tmp_path / "was run", tmp_path / f"net.{suffix}"
    program = eval(f"lambda x: (__import__('pathlib').Path({str(mark)!r}).touch(), x)[1]")
    layers = [
        keras.layers.Lambda(program),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    keras.Sequential([keras.Input((4, 6, 3)), *layers]).save(path)
    mark.unlink()
    text = refused(path)
    assert "a Lambda layer is a program that would run on your machine" in text
    assert "registered class" in text
    assert not mark.exists()
    keras.saving.load_model(path, safe_mode=False)
    assert mark.exists()  # it would have been run


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.utils", "plot_model"),
        ("keras.visualization", "plot_image_gallery"),
        ("keras.applications.resnet50", "decode_predictions"),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_functions_of_keras_that_do_not_compute_are_not_called(keras, tmp_path, module, name, suffix):
    """Keras gives a Lambda layer whichever of its own functions a file names, and any arguments."""
    network = keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Flatten(name="planted")])
    path = tmp_path / f"net{suffix}"
    network.save(path)
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    spoil_layer(path, {"class_name": "Lambda", "config": {"name": "planted", "function": function}})
    assert f"it calls {module}.{name}, which does more than compute" in refused(path)


def test_a_broken_file_is_not_taken_for_one_with_a_lambda_layer(saved, tmp_path):
    path = Path(shutil.copy(saved / "net.h5", tmp_path / "Lambda safe_mode.h5"))
    halved(path)
    assert "damaged" in refused(path)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_class_that_nobody_knows_is_named(keras, tmp_path, suffix):
    class Unknown(keras.layers.Layer):
        def call(self, x):
            return x

    layers = [Unknown(), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential([keras.Input((4, 6, 3)), *layers]).save(tmp_path / f"net.{suffix}")
    text = refused(tmp_path / f"net.{suffix}")
    assert "it uses Unknown, which is not Keras' own" in text
    assert "register_keras_serializable" in text


CUSTOM = """
import keras
from pathlib import Path

@keras.saving.register_keras_serializable("napari_saliency_custom")
class {name}(keras.layers.Layer):
    def call(self, x):
        return 2 * x

Path({mark!r}).touch()
"""


@pytest.fixture
def custom(keras, tmp_path, monkeypatch):
    """A saved network with a class that only a module on disk knows, and the mark that its import leaves."""
    name, mark = f"Doubling{tmp_path.name}".replace("_", ""), tmp_path / "was imported"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / f"layers_{name}.py").write_text(CUSTOM.format(name=name, mark=str(mark)), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    kind = type(name, (keras.layers.Layer,), {"call": lambda self, x: 2 * x})
    registered = keras.saving.register_keras_serializable("napari_saliency_custom")(kind)
    network = keras.Sequential(
        [keras.Input((4, 6, 3)), registered(), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    network.save(tmp_path / "net.keras")
    known = keras.saving.get_custom_objects()
    for key in [key for key, value in known.items() if value is registered]:
        del known[key]
    return tmp_path / "net.keras", f"layers_{name}", mark, network


def is_asked_for(load, module):
    """The message of a refusal that names the file which would have run."""
    with pytest.raises(UntrustedError, match=rf"runs the program .*{module}\.py on your machine") as raised:
        load()
    return str(raised.value)


def test_custom_classes_open_when_their_module_is_named_and_trusted(custom):
    path, module, mark, network = custom
    assert "custom='package.module'" in refused(path)
    said = is_asked_for(lambda: load_model(path, custom=module), module)
    assert f"models.trust({str(path)!r}, custom={module!r})" in said
    assert needs_trust(path, custom=module)
    assert not mark.exists()
    assert module not in sys.modules
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    opened = load_model(path, custom=module, trust=True)
    np.testing.assert_allclose(opened.scores(x), network(x), atol=1e-5)
    assert mark.exists()
    assert needs_trust(path, custom=module)  # a yes for one call is not remembered


def test_a_module_that_is_named_beside_the_file_runs_after_a_yes_alone(custom, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path, module, mark, _ = custom
    assert not needs_trust(path)
    Settings(custom=module).write_sidecar(path)
    assert needs_trust(path)
    is_asked_for(lambda: load_model(path), module)
    is_asked_for(lambda: open_model(path, Settings()), module)  # as the engine does
    assert not mark.exists()
    assert module not in sys.modules
    trust(path)
    assert not mark.exists()
    assert not needs_trust(path)
    open_model(path, Settings())
    assert mark.exists()
    file = tmp_path / "modules" / f"{module}.py"
    file.write_text(file.read_text("utf-8") + "# changed", "utf-8")
    is_asked_for(lambda: load_model(path), module)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("place", ["itself", "its loss"])
@pytest.mark.parametrize("package", ["planted", "keras_hub", "keras_cv"])
def test_a_class_that_names_its_own_module_brings_nothing_to_run(
    keras, tmp_path, monkeypatch, suffix, package, place
):
    """Keras imports modules of packages that it takes for its own, wherever they lie."""
    mark, folder = tmp_path / "was imported", tmp_path / "modules" / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n", "utf-8")
    monkeypatch.syspath_prepend(folder.parent)
    inner = keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Flatten()], name="planted")
    network = keras.Sequential([keras.Input((4, 6, 3)), inner])
    path = tmp_path / f"net{suffix}"
    network.save(path)
    odd = {"module": package, "class_name": "Odd", "config": {}, "registered_name": None}
    spoil_layer(path, odd if place == "itself" else {"compile_config": {"optimizer": "sgd", "loss": odd}})
    assert "it uses Odd, which is not Keras' own" in refused(path)
    assert not mark.exists()
    assert package not in sys.modules


def spoil_layer(path, values):
    """Write other values into the configuration of the layer "planted"."""

    def spoiled(text):
        config = json.loads(text)
        layer = next(x for x in config["config"]["layers"] if x["config"].get("name") == "planted")
        layer.update(values)
        return json.dumps(config)

    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = spoiled(file.attrs["model_config"])
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, spoiled(content) if name == "config.json" else content)


@pytest.mark.parametrize(
    ("module", "yes", "message"),
    [
        ("no.such", True, r"there is no module 'no\.such': install it"),
        ("no.such", False, r"there is no module 'no\.such': install it"),
        ("../no", False, r"'\.\./no' is no name of a module"),
        ("a folder", False, "'a folder' is no name of a module"),
        ("plain_folder", False, "'plain_folder' is a folder without a module of that name"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(path, tmp_path, monkeypatch, module, yes, message):
    (tmp_path / "plain_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_model(path, custom=module, trust=yes)


def flat(keras):
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(3)])


def boxes(keras):
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.Reshape((12, 12))]
    )


def film_of_volumes(keras):
    return keras.Sequential([keras.Input((2, 4, 8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])


def rounded(keras):
    x = inputs = keras.Input((8, 8, 3))
    x = keras.ops.cast(keras.ops.cast(x, "int32"), "float32")
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


STRANGERS = {
    flat: "takes inputs of shape (None, 64); a picture's is (pictures, height, width, channels)",
    film_of_volumes: "takes inputs of shape (None, 2, 4, 8, 8, 3); a picture's is",
    boxes: "output of shape (None, 12, 12) is neither a classifier's, which is (pictures, classes), nor a segmen",
    rounded: "scores have no derivative here: something on the way rounds or compares",
}


@pytest.mark.parametrize(("build", "reason"), STRANGERS.items(), ids=[build.__name__ for build in STRANGERS])
def test_what_is_no_classifier_of_pictures_is_told(keras, tmp_path, build, reason):
    build(keras).save(tmp_path / "net.keras")
    assert reason in refused(tmp_path / "net.keras")


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built:UserWarning")
def test_a_model_that_was_never_called_does_not_say_what_it_takes(keras, tmp_path):
    keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]).save(tmp_path / "net.keras")
    assert "does not say what it takes: call it once on a picture, then save it" in refused(
        tmp_path / "net.keras"
    )


# Settings ----------------------------------------------------------------------------------------


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


# keras.applications ------------------------------------------------------------------------------


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


# Real networks -----------------------------------------------------------------------------------


def prepared(model, images):
    return np.stack([prepare.prepare(image, model.info.input).x for image in images])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "mobilenet",
            {
                "Egyptian cat": 0.476,
                "tiger cat": 0.217,
                "tabby": 0.190,
                "lynx": 0.003,
                "window screen": 0.002,
            },
        ),
        ("squeezenet", {"Egyptian cat": 0.575, "tiger cat": 0.210, "tabby": 0.207}),
    ],
)
def test_imagenet_models_see_the_cat(request, chelsea, name, wanted):
    model = request.getfixturevalue(name)
    top = model.predict(prepared(model, [chelsea]))[0].top(len(wanted))
    assert {row.label: row.probability for row in top} == pytest.approx(wanted, abs=0.005)
    assert [row.label for row in top] == list(wanted)


PHOTOS = {
    "elephant.jpg": {385, 386, 101},
    "zebra.jpg": {340},
    "doberman.png": {236},
    "goldfish.jpg": {1},
    "siamese.jpg": {284},
    "swan.jpg": {99, 100},
    "bear.jpg": {294},
    "tabby.jpg": {281},
    "tabby_closeup.jpg": {281, 282, 283, 284, 285},
    "parrot.jpg": {88},
    "hot_dog.jpg": {934},
    "banana.jpg": {954},
}


@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("mobilenet", 11), ("squeezenet", 10)])
def test_imagenet_models_know_the_photos(request, data_folder, name, least):
    model = request.getfixturevalue(name)
    images = [prepare.load_image(data_folder / "photos" / photo) for photo in PHOTOS]
    predictions = model.predict(prepared(model, images))
    known = [
        bool({row.index for row in prediction.top(5)} & classes)
        for prediction, classes in zip(predictions, PHOTOS.values(), strict=True)
    ]
    assert sum(known) >= least


@pytest.mark.data
def test_the_imagenet_files_say_what_they_can(mobilenet, squeezenet, data_folder):
    for model in (mobilenet, squeezenet):
        assert model.info.description == "224×224 RGB, 1000 classes"
        assert model.info.labels[285] == "Egyptian cat"
        assert model.info.logits
        assert model.info.activation == "softmax"
        assert not model.info.questions


@pytest.mark.data
def test_the_mnist_file_reads_digits(data_folder):
    model = load_model(data_folder / "mnist" / "mnist_cnn.h5")
    assert model.info.description == "28×28 grey, 10 classes"
    assert model.info.input.preprocessing.name == "unit"
    assert model.info.questions == ("preprocessing", "labels")
    with np.load(data_folder / "mnist" / "mnist.npz") as mnist:
        images, classes = mnist["x_test"][:200], mnist["y_test"][:200]
    predicted = model.scores(prepared(model, images)).argmax(-1)
    assert (predicted == classes).mean() >= 0.97


@pytest.mark.data
def test_the_cifar_file_scales_inside_and_is_asked_nothing_about_it(data_folder):
    with np.load(data_folder / "cifar10" / "cifar10_subset.npz", allow_pickle=False) as cifar:
        images, classes = cifar["x_test20_lossless"], cifar["y_test20"]
        names = [str(name) for name in cifar["class_names"]]
    model = load_model(data_folder / "cifar10" / "resnet20.keras", labels=names)
    assert model.info.description == "32×32 RGB, 10 classes"
    assert model.info.questions == ()
    predicted = model.scores(prepared(model, images)).argmax(-1)
    assert (predicted == np.ravel(classes)).mean() >= 0.85
