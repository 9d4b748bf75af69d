"""Opening Keras' files: every format, and everything that can be wrong with one."""

import shutil
import zipfile
from pathlib import Path

import h5py
import pytest

from napari_saliency.models import (
    load_model,
)
from tests.models.keras import networks
from tests.models.keras.files import assert_is_the_twin, refused, spoil_layer

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


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
    "text": ("net.keras", lambda path: path.write_text("a text"), "not a valid .keras file"),
    "text h5": ("net.h5", lambda path: path.write_text("a text"), "not a valid .h5 file"),
    "empty": ("net.keras", lambda path: path.write_bytes(b""), "not a valid .keras file"),
    "empty h5": ("net.h5", lambda path: path.write_bytes(b""), "not a valid .h5 file"),
    "truncated": ("net.keras", halved, "not a valid .keras file"),
    "truncated h5": ("net.h5", halved, "damaged, or not a model of Keras"),
    "no configuration": ("net.keras", without("config.json"), "damaged, or not a model of Keras"),
    "damaged configuration": ("net.keras", replaced("config.json", "{"), "damaged, or not a model of Keras"),
    "damaged weights": ("net.keras", replaced("model.weights.h5", "abc"), "damaged, or not a model of Keras"),
    "weights alone": ("only.weights.h5", lambda path: None, "holds weights alone"),
}


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
