"""The Keras adapter: every way to write a network gives the maps of its numpy twin."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_saliency.api.explain import explain, explain_batch
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from tests.analytic import LABELS, Convolutional, pictures, targets_of
from tests.few import EVERYWHERE
from tests.models.comparing import (
    FEW,
    RULES,
    answer,
    assert_log_probabilities_stand_in,
    assert_same_answers,
    assert_same_map,
    assert_same_tap,
)
from tests.models.keras import networks

pytestmark = pytest.mark.framework


STRUCTURES = {structure.__name__: structure for structure in networks.STRUCTURES}


@pytest.mark.parametrize("end", ["Dense(softmax)", "layers.Activation", "layers.Softmax", "ops.softmax"])
def test_pitfall_logits_wanted_softmax_gradient_delivered(keras, build, twin, end):
    """Beside a plain tape on the logits of the network without its end; one on the probabilities is another map."""
    import tensorflow as tf

    relu = networks.RELUS["activation='relu'"]
    bare = networks.with_weights(networks.functional(keras, relu, networks.LINEAR["Dense"]), twin.arrays)
    x = pictures(twin, 2)
    with tf.GradientTape(persistent=True) as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        logits = bare(tensor)
        logit, probability = logits[:, 2], tf.nn.softmax(logits)[:, 2]
    model = build(networks.functional, relu, networks.SOFTMAXES[end])
    result = model.gradient(x, targets_of(2, 2))[1]
    assert_same_map(result, tape.gradient(logit, tensor).numpy())
    assert np.abs(result - tape.gradient(probability, tensor)).max() > 0.1 * np.abs(result).max()
    asked = model.gradient(x, targets_of(2, 2, score="probability"))[1]
    assert_same_map(asked, tape.gradient(probability, tensor).numpy())


@pytest.mark.parametrize("end", networks.HIDDEN.values(), ids=networks.HIDDEN)
def test_where_logits_cannot_be_had_log_probabilities_stand_in_and_a_note_says_so(build, twin, end):
    model = build(networks.functional, networks.RELUS["activation='relu'"], end)
    assert_log_probabilities_stand_in(model, twin)
    x = pictures(twin, 2)
    np.testing.assert_allclose(
        [p.probabilities for p in model.predict(x)], [p.probabilities for p in twin.predict(x)], atol=1e-5
    )


@pytest.mark.parametrize("end", networks.SIGMOIDS_BY_HAND.values(), ids=networks.SIGMOIDS_BY_HAND)
def test_sigmoids_by_hand_are_told_from_logits_and_their_logits_computed_back(build, end):
    model = build(networks.functional, networks.RELUS["activation='relu'"], end)
    assert (model.info.logits, model.info.activation) == (True, "sigmoid")
    assert "Logits are computed back from the probabilities" in model.info.notes[-1]
    twin = Convolutional(activation="sigmoid")
    x, targets = pictures(twin, 2), targets_of(0, 1)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=1e-3)
    for rule in (None, "guided"):
        assert_same_map(model.gradient(x, targets, rule)[1], twin.gradient(x, targets, rule)[1], 1e-3)


@pytest.mark.parametrize("large", [1, 1e3])
def test_scaled_logits_are_not_taken_for_probabilities(keras, opened, large):
    """Between 0 and 1 for the one picture, far off for another."""
    end = [keras.layers.Flatten(), keras.layers.Dense(2), keras.layers.Rescaling(1e-3 * large, 0.5)]
    info = opened(keras.Sequential([keras.Input((4, 6, 1)), *end])).info
    assert (info.activation, info.logits) == ("softmax", True)
    assert "Logits are computed back" not in " ".join(info.notes)


def one_unit(keras, end):
    """A network with one output, and its logits and their derivative."""
    inputs = keras.Input((4, 6, 1))
    dense = keras.layers.Dense(1)
    network = keras.Model(inputs, end(keras, dense(keras.layers.Flatten()(inputs))))
    kernel, x = dense.get_weights()[0], np.random.default_rng(0).normal(size=(2, 4, 6, 1)).astype(np.float32)
    return network, x, x.reshape(2, -1) @ kernel, kernel.reshape(4, 6, 1)


ONE_UNIT = {
    "sigmoid": lambda k, z: k.ops.sigmoid(z),
    "none": lambda k, z: z,
    "by hand": lambda k, z: 1 / (1 + k.ops.exp(-z)),
}


def of_two(index, score="logit"):
    return Targets(np.eye(2, dtype=np.float32)[[index, index]], score)


@pytest.mark.parametrize("end", ONE_UNIT.values(), ids=ONE_UNIT)
def test_one_output_tells_two_classes_apart(keras, opened, end):
    network, x, z, kernel = one_unit(keras, end)
    model, p = opened(network), 1 / (1 + np.exp(-z))
    assert model.info.labels == ("class 0", "class 1")
    np.testing.assert_allclose(model.scores(x), np.hstack([-z, z]), atol=1e-5)
    result = [row.probabilities for row in model.predict(x)]
    np.testing.assert_allclose(result, np.hstack([1 - p, p]), rtol=1e-4)
    slopes = {"logit": np.ones_like(p), "probability": p * (1 - p), "log_probability": 1 - p}
    for score, slope in slopes.items():
        _, gradient = model.gradient(x, of_two(1, score))
        np.testing.assert_allclose(gradient, slope[..., None, None] * kernel, rtol=1e-3, atol=1e-6)
    _, gradient = model.gradient(x, of_two(0))
    np.testing.assert_allclose(gradient, -np.stack([kernel] * 2), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("names", [("cat",), ("not cat", "cat")])
def test_one_output_is_explained_for_either_class_by_name(keras, opened, names):
    network, x, z, kernel = one_unit(keras, ONE_UNIT["sigmoid"])
    model = opened(network, labels=names, preprocessing="none")
    wanted = ["cat" if value > 0 else "not cat" for value in z[:, 0]]
    result = explain_batch(model, list(x))
    assert [each.label for each in result] == [each.prediction.top(1)[0].label for each in result] == wanted
    np.testing.assert_allclose([each.score for each in result], np.abs(z[:, 0]), rtol=1e-5)
    result = explain(model, x[0], "not cat")
    np.testing.assert_allclose(result.values, -kernel, rtol=1e-5)
    assert result.score == pytest.approx(-z[0, 0], rel=1e-5)


def test_one_output_takes_one_name_or_two(keras, opened):
    with pytest.raises(ModelError, match="3 class names are given for a model with 2 classes"):
        opened(one_unit(keras, ONE_UNIT["sigmoid"])[0], labels=("a", "b", "c"))


def test_half_precision_gives_the_same_logits_and_maps_within_its_precision(keras, build, twin):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build(networks.functional)
    finally:
        keras.config.set_dtype_policy("float32")
    x, targets = pictures(twin, 2), targets_of(0, 1)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=0.02)
    assert_same_map(model.gradient(x, targets)[1], twin.gradient(x, targets)[1], share=0.03)
    tap = model.tap(x, targets, model.info.cam_layer)
    assert {array.dtype for array in tap} == {np.dtype(np.float32)}
    assert_same_map(tap.activations, twin.tap(x, targets, "rectified").activations, share=0.01)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_pitfall_nested_transfer_learning_and_subclassed_models(build, twin, structure):
    model = build(structure)
    assert model.info.logits
    assert_same_answers(model, twin)
    assert_same_answers(model, twin, ["logit"], RULES)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_pitfall_nested_transfer_learning_and_subclassed_models_at_a_layer(build, twin, structure):
    model = build(structure)
    # A ReLU that is no layer comes after the last layer with space.
    bare = structure in (
        networks.subclassed,
        networks.subclassed_with_lists,
        networks.subclassed_in_functional,
    )
    bare = bare or structure in (networks.call_in_a_function, networks.layer_call_in_a_function)
    assert_same_tap(model, twin, model.info.cam_layer, "linear" if bare else "rectified")


@pytest.fixture(scope="module")
def normalised(keras, opened, twin):
    """A network with batch normalisation that knows its statistics, and its twin without."""
    x = inputs = keras.Input(networks.PICTURE)
    for filters, strides in ((5, 1), (6, 2)):
        x = keras.layers.Conv2D(filters, 3, strides)(x)
        x = keras.layers.Dropout(0.5)(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    network = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(x)))
    random, folded = np.random.default_rng(2), Convolutional()
    weights = list(network.get_weights())
    for n in (0, 1):
        gamma, beta, mean, variance = (random.uniform(0.5, 2, size=len(twin.biases[n])) for _ in range(4))
        weights[6 * n : 6 * n + 6] = twin.kernels[n], twin.biases[n], gamma, beta, mean, variance
        factor = gamma / np.sqrt(variance + 1e-3)
        folded.kernels[n], folded.biases[n] = (
            twin.kernels[n] * factor,
            (twin.biases[n] - mean) * factor + beta,
        )
    network.set_weights([*weights[:-2], twin.head, twin.bias])
    return network, opened(network), folded


def test_batch_normalisation_uses_what_it_learned(normalised):
    _, model, folded = normalised
    assert_same_answers(model, folded, SCORES, [None, "guided", "deconvnet"])


def test_running_a_model_leaves_its_statistics_as_they_are(normalised, twin):
    network, model, _ = normalised
    before = network.get_weights()
    for name in EVERYWHERE:
        answer(name, model, pictures(twin, 2), targets_of(0, 1))
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_pitfall_train_mode_left_on(normalised, twin):
    _, model, _ = normalised
    x, targets = pictures(twin, 2), targets_of(0, 1)
    np.testing.assert_array_equal(*(model.scores(x) for _ in range(2)))
    for rule in (None, *RULES):
        np.testing.assert_array_equal(*(model.gradient(x, targets, rule)[1] for _ in range(2)))
    for one, other in zip(*(model.tap(x, targets, model.info.cam_layer) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def hurried():
    """Let threads interrupt each other as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_pitfall_two_threads_corrupt_each_others_maps(build, twin, hurried):
    """Another rule, another class, another picture and another layer at the same time."""
    model = build(networks.sequential, preprocessing="none")
    x = pictures(twin, 4)
    names = [name for name in EVERYWHERE if name not in FEW]
    jobs = [(name, n, (n + shift) % len(LABELS)) for shift in range(4) for n in range(4) for name in names]
    wanted = {
        (name, n, index): answer(name, twin, x[n : n + 1], targets_of(index)) for name, n, index in jobs
    }

    def run(job):
        name, n, index = job
        return job, answer(name, model, x[n : n + 1], targets_of(index))

    with ThreadPoolExecutor(8) as pool:
        for job, values in pool.map(run, jobs * 5):
            # Of a single picture and class a map may be empty: all of a method's tell what is large.
            largest = max(np.abs(values).max() for (name, *_), values in wanted.items() if name == job[0])
            np.testing.assert_allclose(values, wanted[job], rtol=0, atol=1e-4 * largest)


def test_threads_do_not_take_each_others_activations(build, twin, hurried):
    model = build(networks.sequential)
    x, targets = pictures(twin, 2), targets_of(0)
    wanted = [twin.tap(x[n : n + 1], targets, "rectified").activations for n in (0, 1)]

    def run(n):
        return n, model.tap(x[n : n + 1], targets, model.info.cam_layer).activations

    with ThreadPoolExecutor(8) as pool:
        for n, values in pool.map(run, [0, 1] * 250):
            assert_same_map(values, wanted[n])


# A few random masks or pieces do not tell a patch from what lies around it.
SHARP = [
    name
    for name in EVERYWHERE
    if METHODS[name].shows == "map" and not (METHODS[name].sampled and METHODS[name].needs == "scores")
]


@pytest.mark.parametrize("name", SHARP)
def test_pitfall_channels_last_confused_with_channels_first_or_width_and_height_swapped(keras, opened, name):
    """On a picture that is wider than high, so that exchanged axes show."""
    network = keras.Sequential(
        [
            keras.Input((160, 224, 3)),
            keras.layers.Conv2D(1, 3, padding="same", activation="relu", use_bias=False),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    red = np.zeros((3, 3, 3, 1), np.float32)
    red[..., 0, 0] = 1 / 9
    network.set_weights([red, np.array([[1.0, -1.0]]), np.zeros(2)])
    model = opened(network, preprocessing="none")
    x = np.random.default_rng(0).uniform(0, 0.3, size=(1, 160, 224, 3)).astype(np.float32)
    x[:, 30:42, 170:182, 0] = 1
    values = np.abs(answer(name, model, x, Targets(np.array([[1, 0]], np.float32))))[0]
    values = values if values.ndim == 3 else values[..., None]
    y, x = np.unravel_index(np.argmax(values.sum(-1)), values.shape[:2])
    assert 30 <= y < 42
    assert 170 <= x < 182
    assert values[28:44, 168:184].mean() > 3 * values.mean()
    if values.shape[-1] == 3:
        assert values[..., 0].sum() > 0.9 * values.sum()


def test_pictures_of_any_size_are_taken_by_a_network_that_takes_them(keras, opened):
    network = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model = opened(network)
    assert model.info.input.shape == (None, None)
    assert model.info.layers[0][1:] == ((0, 0), 4)
    for shape in ((20, 30), (33, 17)):
        x = np.random.default_rng(0).normal(size=(2, *shape, 3)).astype(np.float32)
        targets = Targets(np.eye(3, dtype=np.float32)[:2])
        assert model.gradient(x, targets)[1].shape == x.shape
        assert answer("grad_cam", model, x, targets).shape == (2, shape[0] - 2, shape[1] - 2)
