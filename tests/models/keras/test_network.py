"""What a network takes and gives: channels first, whole numbers, several inputs and outputs."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.models import Settings, load_model

pytestmark = pytest.mark.framework

SHAPE = (9, 11, 3)


def targets(*classes, count=4, score="logit"):
    return Targets(np.eye(count, dtype=np.float32)[list(classes)], score)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).uniform(0, 1, size=(2, *SHAPE)).astype(np.float32)


def assert_same_model(result, wanted, x, share=1e-4):
    """Scores, gradients by every rule, and what each layer gives and gets."""
    np.testing.assert_allclose(result.scores(x), wanted.scores(x), atol=1e-4)
    count = len(wanted.info.labels)
    for rule in (None, "guided", "deconvnet"):
        oracle = wanted.gradient(x, targets(1, 0, count=count), rule)[1]
        other = result.gradient(x, targets(1, 0, count=count), rule)[1]
        assert np.abs(oracle).max() > 1e-4
        np.testing.assert_allclose(other, oracle, atol=share * np.abs(oracle).max())


def assert_same_layers(result, wanted, x):
    assert [layer[1:] for layer in result.info.layers] == [layer[1:] for layer in wanted.info.layers]
    for own, other in zip(result.info.layers, wanted.info.layers, strict=True):
        for a, b in zip(
            result.tap(x, targets(1, 0), own.name), wanted.tap(x, targets(1, 0), other.name), strict=True
        ):
            np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(b).max(), 1e-3))


# Channels first ----------------------------------------------------------------------------------


def classifier(keras, first, layers=None):
    """The same layers, with the channels before or behind height and width."""
    order = "channels_first" if first else "channels_last"
    at = 1 if first else -1
    k = keras.layers
    x = inputs = keras.Input((SHAPE[2], *SHAPE[:2]) if first else SHAPE)
    x = k.ZeroPadding2D(1, data_format=order, name="pad")(x)
    x = k.Conv2D(5, 3, 2, padding="same", data_format=order, name="conv")(x)
    x = k.BatchNormalization(axis=at, name="norm")(x)
    x = k.ReLU(name="relu")(x)
    x = k.DepthwiseConv2D(3, data_format=order, padding="same", activation="relu", name="depth")(x)
    x = k.Concatenate(axis=at, name="both")([x, k.SeparableConv2D(3, 1, data_format=order, name="sep")(x)])
    x = k.Conv2DTranspose(4, 2, 2, data_format=order, name="larger")(x)
    x = k.MaxPooling2D(data_format=order, name="half")(x)
    x = k.GlobalAveragePooling2D(data_format=order)(x)
    return keras.Model(inputs, k.Dense(4, activation="softmax")(x))


def with_noise(network, seed=0):
    noise = np.random.default_rng(seed)
    network.set_weights(
        [noise.uniform(0.1, 1, w.shape) * noise.choice((-1, 1, 1), w.shape[-1:]) for w in network.weights]
    )
    for layer in network.layers:
        if hasattr(layer, "moving_variance"):
            layer.moving_variance.assign(np.abs(layer.moving_variance))
    return network


def test_pitfall_channels_last_confused_with_channels_first(keras, opened, x):
    wanted = with_noise(classifier(keras, first=False))
    network = classifier(keras, first=True)
    network.set_weights(wanted.get_weights())
    result, twin = opened(network), opened(wanted)
    assert result.info.input.description == twin.info.input.description == "11×9 RGB"
    assert [layer.name for layer in result.info.layers] == [layer.name for layer in twin.info.layers]
    assert result.info.cam_layer == twin.info.cam_layer == "larger"
    assert_same_model(result, twin, x)
    assert_same_layers(result, twin, x)
    assert network.layers[2].data_format == "channels_first"


def test_channels_first_in_a_model_in_a_model(keras, opened, x):
    wanted = with_noise(classifier(keras, first=False))
    network = classifier(keras, first=True)
    network.set_weights(wanted.get_weights())
    inputs = keras.Input((SHAPE[2], *SHAPE[:2]))
    result, twin = opened(keras.Model(inputs, network(inputs))), opened(wanted)
    assert_same_model(result, twin, x)
    assert_same_layers(result, twin, x)


@pytest.mark.parametrize("first", [True, False])
def test_a_permutation_in_front(keras, opened, x, first):
    """The other order inside than outside."""
    wanted = with_noise(classifier(keras, first=False))
    inner = classifier(keras, first=not first)
    inner.set_weights(wanted.get_weights())
    inputs = keras.Input((SHAPE[2], *SHAPE[:2]) if first else SHAPE)
    turned = keras.layers.Permute((2, 3, 1) if first else (3, 1, 2))(inputs)
    result = opened(keras.Model(inputs, inner(turned)))
    assert result.info.input.description == "11×9 RGB"
    assert_same_model(result, opened(wanted), x)
    assert {layer[1:] for layer in opened(wanted).info.layers} <= {layer[1:] for layer in result.info.layers}


def test_the_size_of_three_tells_where_the_channels_are_whatever_the_layers_say(keras, opened):
    layers = [keras.layers.Flatten(data_format="channels_first"), keras.layers.Dense(3)]
    assert opened(keras.Sequential([keras.Input((8, 6, 3)), *layers])).info.input.description == "6×8 RGB"
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    assert opened(keras.Sequential([keras.Input((1, 6, 8)), *layers])).info.input.description == "8×6 grey"


# Whole numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("first", [True, False])
def test_whole_numbers_are_rounded_and_derivatives_are_those_by_what_is_computed_with(
    keras, opened, dtype, first
):
    def build(dtype):
        shape = (SHAPE[2], *SHAPE[:2]) if first else SHAPE
        inputs = keras.Input(shape, dtype=dtype)
        x = keras.layers.Rescaling(1 / 255)(inputs)
        x = keras.layers.Conv2D(4, 3, activation="relu", data_format="channels_first" if first else None)(x)
        return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(x)))

    wanted, network = build("float32"), build(dtype)
    network.set_weights(wanted.get_weights())
    result, twin = opened(network), opened(wanted)
    x = np.random.default_rng(0).uniform(0, 255, size=(2, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(result.scores(x), twin.scores(np.round(x)), atol=1e-4)
    for rule in (None, "guided"):
        oracle = twin.gradient(np.round(x), targets(0, 1), rule)[1]
        np.testing.assert_allclose(result.gradient(x, targets(0, 1), rule)[1], oracle, rtol=1e-3, atol=1e-7)
    assert "pictures are rounded" in result.info.notes[-1]
    assert (result.info.input.preprocessing.name, result.info.questions) == ("none", ("labels",))


def test_what_uint8_does_not_hold_is_cut_off(keras, opened):
    inputs = keras.Input((2, 2, 1), dtype="uint8")
    dense = keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Rescaling(1.0)(inputs)))
    model = opened(keras.Model(inputs, dense))
    ends = [np.full((1, 2, 2, 1), value, np.float32) for value in (0, 255)]
    far = [np.full((1, 2, 2, 1), value, np.float32) for value in (-9, 999)]
    np.testing.assert_allclose(
        model.scores(np.concatenate(far)), model.scores(np.concatenate(ends)), atol=1e-4
    )


def test_arithmetic_of_whole_numbers_has_no_derivative(keras, opened):
    inputs = keras.Input((2, 2, 1), dtype="int32")
    x = keras.ops.cast(inputs * 2, "float32")
    with pytest.raises(ModelError, match=r"computes with whole numbers \(Mul\), which has no derivative"):
        opened(keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x))))


# Several inputs and outputs ----------------------------------------------------------------------


def joined(keras, named):
    a, b = keras.Input(SHAPE, name="photo"), keras.Input((5,), name="facts")
    z = keras.layers.Dense(4, name="top")(keras.layers.Flatten()(a))
    z = z + keras.layers.Dense(4, use_bias=True, bias_initializer="ones", name="side")(b)
    return keras.Model({"photo": a, "facts": b} if named else [a, b], keras.layers.Softmax()(z))


@pytest.mark.parametrize("named", [True, False])
def test_other_inputs_are_zeros(keras, opened, x, named):
    network = joined(keras, named)
    result = opened(network)
    assert (result.info.inputs, "input" in result.info.questions) == ((), False)  # the other is no picture's
    assert "The picture goes into one input; zeros go into facts." in result.info.notes
    kernel, bias = network.get_layer("top").get_weights()
    np.testing.assert_allclose(result.scores(x), x.reshape(2, -1) @ kernel + bias + 1, atol=1e-4)
    gradient = result.gradient(x, targets(1, 2))[1]
    np.testing.assert_allclose(gradient, kernel.T[[1, 2]].reshape(2, *SHAPE), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"input": "picture"}, "no input 'picture'; it has photo, facts"),
        ({"input": "facts"}, "takes inputs of shape (None, 5)"),
    ],
)
def test_inputs_that_cannot_be(keras, opened, settings, reason):
    with pytest.raises(ModelError) as raised:
        opened(joined(keras, named=True), **settings)
    assert reason in str(raised.value)


def test_zeros_need_a_size(keras, opened):
    a, b = keras.Input(SHAPE, name="photo"), keras.Input((None, 4), name="words")
    z = keras.layers.Dense(4)(keras.layers.Flatten()(a)) + keras.ops.mean(b, 1)
    with pytest.raises(ModelError, match="input 'words' has no fixed size"):
        opened(keras.Model([a, b], z), input="photo")


def test_of_two_pictures_the_user_says_which(keras, opened, x):
    a, b = keras.Input(SHAPE, name="left"), keras.Input(SHAPE, name="right")
    network = keras.Model(
        [a, b], keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Concatenate()([a, b])))
    )
    result = opened(network)
    assert (result.info.inputs, "input" in result.info.questions) == (("left", "right"), True)
    right = opened(network, input="right")
    assert (right.info.inputs, "input" in right.info.questions) == (("right", "left"), False)
    np.testing.assert_allclose(right.scores(x), network.predict([0 * x, x], verbose=0), atol=1e-4)


def heads(keras, named):
    inputs = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(inputs)
    first = keras.layers.Conv2D(2, 3, name="mask")(inputs)
    second = keras.layers.Dense(4, activation="softmax", name="kind")(flat)
    third = keras.layers.Dense(1, activation="sigmoid", name="ill")(flat)
    ends = {"mask": first, "kind": second, "ill": third}
    return keras.Model(inputs, ends if named else list(ends.values()))


@pytest.mark.parametrize("named", [True, False])
def test_of_several_outputs_the_first_of_classes_is_taken_and_the_user_asked(keras, opened, x, named):
    network = heads(keras, named)
    result = opened(network, preprocessing="unit")
    assert set(result.info.outputs) == {"mask", "kind", "ill"}
    assert result.info.questions[0] == "output"
    others = ", ".join(result.info.outputs[1:])
    assert result.info.outputs[0] == chosen(result)
    assert f"This is the output {chosen(result)}; there is also {others}." in result.info.notes
    wanted = opened(keras.Model(network.inputs, network.get_layer(chosen(result)).output))
    assert_same_scores(result, wanted, x)


def chosen(model):
    return {4: "kind", 2: "ill"}[len(model.info.labels)]


def assert_same_scores(result, wanted, x):
    np.testing.assert_allclose(result.scores(x), wanted.scores(x), atol=1e-5)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("output", ["kind", "ill"])
def test_an_output_by_name(keras, opened, x, named, output):
    network = heads(keras, named)
    result = opened(network, output=output)
    assert ("output" in result.info.questions, result.info.outputs[0]) == (False, output)
    assert_same_scores(result, opened(keras.Model(network.inputs, network.get_layer(output).output)), x)


def test_another_output_needs_no_other_file(keras, opened):
    model = opened(heads(keras, named=True), output="kind")
    other = model.with_settings(Settings(output="ill"))
    assert (len(model.info.labels), len(other.info.labels)) == (4, 2)


def test_an_output_that_does_not_exist_is_told(keras, opened):
    with pytest.raises(ModelError, match="no output 'kinds'; it has mask, kind, ill"):
        opened(heads(keras, named=False), output="kinds")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, as it saves
def test_a_size_that_was_said_is_taken_back_by_an_empty_one(keras, tmp_path):
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    path = tmp_path / "net.keras"
    keras.Sequential([keras.Input((None, None, 3)), *layers]).save(path)
    Settings(size=(40, 30), preprocessing="unit").write_sidecar(path)
    fixed, free = load_model(path), load_model(path, size=())
    assert (fixed.info.input.shape, fixed.info.sized) == ((40, 30), True)
    assert (free.info.input.shape, free.info.sized) == ((None, None), False)
    assert fixed.with_settings(Settings(size=())).info.input.shape == (None, None)
    assert free.info.input.preprocessing.name == "unit"
