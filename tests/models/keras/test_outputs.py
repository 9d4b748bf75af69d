"""Outputs that are no class scores of the whole picture: segmentations, and quantities."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from napari_saliency import explain, load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Target, Targets
from napari_saliency.models import Settings

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]

SHAPE, CLASSES = (8, 12, 3), 3


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def region():
    mask = np.zeros(SHAPE[:2], bool)
    mask[2:5, 3:9] = True
    return mask


def unet(keras, end, classes=CLASSES, shape=SHAPE):
    """Two levels with a skip connection; returns the network and its logits."""
    k = keras.layers
    inputs = keras.Input(shape)
    fine = k.Conv2D(6, 3, padding="same", activation="relu", name="fine")(inputs)
    coarse = k.Conv2D(8, 3, padding="same", activation="relu", name="bottleneck")(k.MaxPooling2D()(fine))
    up = k.Conv2DTranspose(6, 2, 2, activation="relu", name="up")(coarse)
    logits = k.Conv2D(classes, 1, name="logits")(k.Concatenate()([up, fine]))
    return keras.Model(inputs, end(keras, logits)), keras.Model(inputs, logits)


def _flat(keras, logits):
    return keras.layers.Softmax()(keras.layers.Reshape((SHAPE[0] * SHAPE[1], CLASSES))(logits))


def _permuted(keras, logits):
    first = keras.layers.Permute((3, 1, 2))(logits)
    p = keras.layers.Softmax(axis=1)(first)
    return keras.layers.Permute((2, 3, 1))(p)


def _by_hand(keras, logits):
    powers = keras.ops.exp(logits)
    return powers / keras.ops.sum(powers, axis=-1, keepdims=True)


SOFTMAXES = {
    "layers.Softmax": lambda keras, logits: keras.layers.Softmax()(logits),
    "Activation": lambda keras, logits: keras.layers.Activation("softmax")(logits),
    "ops.softmax": lambda keras, logits: keras.ops.softmax(logits),
    "laid flat": _flat,
    "channels first": _permuted,
    "logits": lambda keras, logits: logits,
}


def by_tape(network, picture, score, mask, index, activation="softmax"):
    """Mean score in the region and its derivative, taken eagerly."""
    import tensorflow as tf

    x = tf.constant(picture[None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = network(x, training=False)[0]
        if score == "logit":
            scores = logits
        elif activation == "softmax":
            scores = tf.nn.softmax(logits) if score == "probability" else tf.nn.log_softmax(logits)
        else:
            scores = tf.sigmoid(logits) if score == "probability" else tf.math.log_sigmoid(logits)
        value = tf.reduce_mean(tf.boolean_mask(scores[..., index], mask))
    return float(value), tape.gradient(value, x)[0].numpy()


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
@pytest.mark.parametrize("end", SOFTMAXES)
def test_a_class_inside_a_region(keras, opened, picture, region, end, score):
    network, logits = unet(keras, SOFTMAXES[end])
    model = opened(network, preprocessing="none")
    assert model.info.space == SHAPE[:2]
    assert model.info.logits
    assert model.info.description == "12×8 RGB, 3 classes for each place"
    result = explain(model, picture, 2, score=score, region=region)
    value, gradient = by_tape(logits, picture, score, region, 2)
    assert result.score == pytest.approx(value, abs=1e-5)
    np.testing.assert_allclose(result.values, gradient, atol=1e-5 * np.abs(gradient).max())


def test_probabilities_by_hand_have_logarithms_for_logits(keras, opened, picture, region):
    network, logits = unet(keras, _by_hand)
    model = opened(network, preprocessing="none")
    assert not model.info.logits
    result = explain(model, picture, 1, region=region)
    _, gradient = by_tape(logits, picture, "log_probability", region, 1)
    np.testing.assert_allclose(result.values, gradient, atol=1e-4 * np.abs(gradient).max())


def test_one_sigmoid_is_two_classes_at_each_place(keras, opened, picture, region):
    network, logits = unet(keras, lambda k, z: k.layers.Activation("sigmoid")(z), classes=1)
    model = opened(network, preprocessing="none", labels=("cell",))
    assert model.info.labels == ("not cell", "cell")
    result = explain(model, picture, "cell", score="probability", region=region)
    value, gradient = by_tape(logits, picture, "probability", region, 0, "sigmoid")
    assert result.score == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(result.values, gradient, atol=1e-5 * np.abs(gradient).max())
    other = explain(model, picture, "not cell", score="probability", region=region)
    np.testing.assert_allclose(other.values, -gradient, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gradient_x_input", {}),
        ("smoothgrad", {"samples": 4}),
        ("integrated_gradients", {"steps": 16}),
        ("grad_cam", {}),
        ("guided_backprop", {}),
        ("deconvnet", {}),
    ],
)
def test_every_method_answers_for_a_region(keras, opened, picture, region, method, options):
    network, _ = unet(keras, SOFTMAXES["layers.Softmax"])
    model = opened(network, preprocessing="none")
    viewed_layer = explain(model, picture, 0, method, region=region, **options)
    outside = explain(model, picture, 0, method, region=~region, **options)
    assert np.isfinite(viewed_layer.values).all()
    assert viewed_layer.values.any() or method == "grad_cam"
    assert not np.allclose(viewed_layer.values, outside.values) or method == "grad_cam"


def test_the_narrowest_layer_is_looked_at(keras, opened, picture, region):
    import tensorflow as tf

    network, logits = unet(keras, SOFTMAXES["layers.Softmax"])
    model = opened(network, preprocessing="none")
    assert model.info.cam_layer == "bottleneck"
    result = explain(model, picture, 1, "grad_cam", region=region)
    # Vinogradova et al. 2020, equations 1 and 2, with the mean over the region instead of the sum.
    layer = logits.get_layer
    fine = layer("fine")(picture[None])
    with tf.GradientTape() as tape:
        activations = layer("bottleneck")(tf.nn.max_pool2d(fine, 2, 2, "VALID"))
        tape.watch(activations)
        z = layer("logits")(tf.concat([layer("up")(activations), fine], axis=-1))
        value = tf.reduce_mean(tf.boolean_mask(z[0, ..., 1], region))
    weights = tape.gradient(value, activations)[0].numpy().mean((0, 1))
    expected = np.maximum(activations[0].numpy() @ weights, 0)
    np.testing.assert_allclose(result.values, expected, atol=1e-5 * max(expected.max(), 1e-3))


def test_pictures_of_any_size_have_outputs_of_theirs(keras, opened):
    network, logits = unet(keras, SOFTMAXES["layers.Softmax"], shape=(None, None, 3))
    model = opened(network, preprocessing="none")
    assert model.info.space == (None, None)
    for height, width in ((16, 20), (8, 8)):
        picture = np.random.default_rng(1).uniform(0, 1, (height, width, 3)).astype(np.float32)
        mask = np.arange(height * width).reshape(height, width) % 3 == 0
        result = explain(model, picture, 1, region=mask)
        _, gradient = by_tape(logits, picture, "logit", mask, 1)
        np.testing.assert_allclose(result.values, gradient, atol=1e-5 * np.abs(gradient).max())


def test_an_output_of_one_place_is_a_classifiers(keras, opened, picture):
    k = keras.layers
    inputs = keras.Input(SHAPE)
    network = keras.Model(inputs, k.Conv2D(CLASSES, SHAPE[:2], activation="softmax")(inputs))
    model = opened(network, preprocessing="none")
    assert model.info.space == ()
    np.testing.assert_allclose(
        model.predict(picture[None])[0].probabilities, network(picture[None])[0, 0, 0], atol=1e-6
    )


@pytest.mark.parametrize("shape", [(20, 6), (3, 4, 5, 6)])
def test_detectors_and_the_like_get_a_sentence(keras, opened, shape):
    inputs = keras.Input(SHAPE)
    x = keras.layers.Dense(int(np.prod(shape)))(keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ModelError, match="detectors and models of sequences cannot be explained"):
        opened(keras.Model(inputs, keras.layers.Reshape(shape)(x)))


# Quantities ----------------------------------------------------------------------------------------


def regression(keras, units=1, activation=None, loss=None):
    inputs = keras.Input(SHAPE)
    x = keras.layers.Conv2D(5, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(inputs, keras.layers.Dense(units, activation=activation)(x))
    if loss:
        network.compile(loss=loss)
    return network


def saved(network, tmp_path, suffix=".keras"):
    path = tmp_path / f"net{suffix}"
    network.save(path)
    return path


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("loss", ["mse", "mean_absolute_error", "huber", "logcosh-object"])
def test_the_loss_tells_a_regression(keras, tmp_path, picture, suffix, loss):
    import tensorflow as tf

    loss = keras.losses.LogCosh() if loss == "logcosh-object" else loss
    network = regression(keras, loss=loss)
    model = load_model(saved(network, tmp_path, suffix), preprocessing="none", labels=["age"])
    assert (model.info.activation, model.info.questions) == ("quantity", ())
    assert model.info.description == "12×8 RGB, one quantity"
    up, down = (explain(model, picture, target) for target in ("increase", "decrease"))
    x = tf.constant(picture[None])
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = network(x)[0, 0]
    gradient = tape.gradient(value, x)[0]
    np.testing.assert_allclose(up.values, gradient, atol=1e-5 * np.abs(gradient).max())
    np.testing.assert_array_equal(down.values, -up.values)
    assert up.score == pytest.approx(float(value), rel=1e-5)


def test_each_output_has_its_own_loss(keras, tmp_path):
    inputs = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    ends = {"kind": keras.layers.Dense(3, activation="softmax")(x), "age": keras.layers.Dense(1)(x)}
    network = keras.Model(inputs, ends)
    network.compile(loss={"kind": "sparse_categorical_crossentropy", "age": "mse"})
    path = saved(network, tmp_path)
    assert load_model(path, output="age").info.activation == "quantity"
    assert load_model(path, output="kind").info.activation == "softmax"
    both = load_model(path, output="kind").with_settings(Settings(output="age"))
    assert (both.info.activation, both.info.labels) == ("quantity", ("value",))


def test_a_loss_of_classes_makes_one_linear_unit_a_logit(keras, tmp_path):
    network = regression(keras, loss=keras.losses.BinaryCrossentropy(from_logits=True))
    info = load_model(saved(network, tmp_path)).info
    assert (info.activation, len(info.labels)) == ("sigmoid", 2)
    assert "task" not in info.questions


def test_one_linear_unit_asks_what_it_is(keras, tmp_path, picture):
    path = saved(regression(keras), tmp_path)
    model = load_model(path)
    assert "task" in model.info.questions
    assert "labels" not in model.info.questions
    assert any("one number is taken for two classes" in note for note in model.info.notes)
    other = model.with_settings(Settings(task="regression"))
    assert (other.info.activation, other.info.labels) == ("quantity", ("value",))
    x = picture[None]
    np.testing.assert_allclose(other.scores(x)[:, 0], model.scores(x)[:, 1], atol=1e-6)


def test_a_probability_can_be_called_a_quantity(keras, tmp_path, picture):
    network = regression(keras, activation="sigmoid", loss="mse")
    path = saved(network, tmp_path)
    assert load_model(path).info.activation == "sigmoid"  # trained by squares, and still a probability
    model = load_model(path, task="regression")
    assert model.scores(picture[None])[0, 0] == pytest.approx(float(network(picture[None])[0, 0]), abs=1e-6)


def test_several_quantities_have_names(keras, tmp_path, picture):
    network = regression(keras, units=3, loss="mse")
    model = load_model(saved(network, tmp_path), preprocessing="none")
    assert model.info.labels == ("quantity 0", "quantity 1", "quantity 2")
    result = explain(model, picture, 1, "guided_backprop", score="decrease")
    _, gradient = model.gradient(picture[None], Targets(np.float32([[0, -1, 0]])), "guided")
    np.testing.assert_array_equal(result.values, gradient[0])
    assert result.prediction.order().tolist() == [0, 1, 2]


def test_a_picture_may_become_a_picture(keras, opened, picture, region):
    network, logits = unet(keras, lambda k, z: z, classes=1)
    model = opened(network, preprocessing="none", task="regression")
    result = explain(model, picture, "increase", region=region)
    value, gradient = by_tape(logits, picture, "logit", region, 0)
    assert result.score == pytest.approx(value, abs=1e-5)
    np.testing.assert_allclose(result.values, gradient, atol=1e-5 * np.abs(gradient).max())
    assert replace(result.target, region=None) == Target.of_class(0, "increase")


def test_damaged_training_does_not_matter_where_it_says_nothing(keras, tmp_path):
    path = saved(regression(keras, units=4, loss="mse"), tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["compile_config"]["loss"] = {"a": "mse"}
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert load_model(path).info.activation == "softmax"


def test_names_beside_the_file_are_those_of_the_output_that_is_asked_for(keras, tmp_path):
    k = keras.layers
    inputs = keras.Input(SHAPE)
    x = k.GlobalAveragePooling2D()(k.Conv2D(4, 3)(inputs))
    path = saved(
        keras.Model(inputs, {"kind": k.Dense(3, name="kind")(x), "age": k.Dense(1, name="age")(x)}), tmp_path
    )
    said = {
        "output": "kind",
        "labels": ["a", "b", "c"],
        "outputs": {"age": {"task": "regression", "labels": ["years"]}},
    }
    path.with_name("net.saliency.json").write_text(json.dumps(said))
    kind, age = (load_model(path, preprocessing="unit", **which) for which in ({}, {"output": "age"}))
    assert (kind.info.labels, kind.info.activation) == (("a", "b", "c"), "softmax")
    assert (age.info.labels, age.info.activation) == (("years",), "quantity")
    assert age.with_settings(Settings(output="kind")).info.labels == ("a", "b", "c")
