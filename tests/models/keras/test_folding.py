"""Batch normalisations folded into convolutions: the same function, with fewer operations."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets

pytestmark = pytest.mark.framework

SHAPE = (9, 12, 3)
CONVOLUTIONS = {
    "plain": ("Conv2D", {"filters": 4, "kernel_size": 3}),
    "without bias": ("Conv2D", {"filters": 4, "kernel_size": 3, "use_bias": False}),
    "strided": ("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}),
    "dilated": ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": 2}),
    "grouped": ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 3}),
    "depthwise": ("DepthwiseConv2D", {"kernel_size": 3}),
    "depthwise, wider": ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}),
}
NORMALISATIONS = {"whole": {}, "no scale": {"scale": False}, "no centre": {"center": False, "epsilon": 0.1}}


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)


def unsettled(network):
    """Give all weights values that a trained network could have."""
    rng = np.random.default_rng(1)
    for variable in network.variables:
        variable.assign(variable + rng.uniform(0.1, 0.5, variable.shape))
    return network


def classified(keras, inputs, x):
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(name="relu")(x))
    return unsettled(keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x)))


def operations(model):
    """Types of the operations that the scores are computed by."""
    from napari_saliency.models.keras.graph import _ancestors

    return sorted(op.type for op in _ancestors(model._graph._logits))


def gradient_of(keras, network, x, index):
    """Gradient of a logit by a tape, of a network whose last layer has a softmax."""
    import tensorflow as tf

    last = network.layers[-1]
    activation, last.activation = last.activation, keras.activations.linear
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        score = network(tensor, training=False)[:, index]
    last.activation = activation
    return tape.gradient(score, tensor).numpy()


def check(keras, model, network, x):
    wanted = gradient_of(keras, network, x, 1)
    _, result = model.gradient(x, Targets(np.eye(3, dtype=np.float32)[[1, 1]]))
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(result, wanted, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(
        [p.probabilities for p in model.predict(x)], network(x, training=False), atol=1e-6
    )


def has_onednn():
    """Whether TensorFlow uses oneDNN here, without which it has no derivatives of grouped convolutions."""
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_folded_network_is_the_same_function(keras, opened, x, convolution, normalisation):
    kind, options = CONVOLUTIONS[convolution]
    inputs = keras.Input(SHAPE)
    y = getattr(keras.layers, kind)(**options)(inputs)
    y = keras.layers.BatchNormalization(**NORMALISATIONS[normalisation])(y)
    network = classified(keras, inputs, y)
    model = opened(network)
    assert "Rsqrt" not in operations(model)  # with which a normalisation begins
    if convolution == "grouped" and not has_onednn():
        with pytest.raises(ModelError, match="TF_ENABLE_ONEDNN_OPTS=1"):
            model.gradient(x, Targets(np.eye(3, dtype=np.float32)[[1, 1]]))
        return
    check(keras, model, network, x)


def not_folded(keras):
    layers = keras.layers

    class Own(layers.Conv2D):
        def call(self, x):
            return 2 * super().call(x)

    return {
        "no convolution before it": [layers.ReLU()],
        "a ReLU between": [layers.Conv2D(4, 3, activation="relu")],
        "a layer between": [layers.Conv2D(4, 3), layers.ZeroPadding2D()],
        "a layer of the user's": [Own(4, 3)],
    }


@pytest.mark.parametrize(
    "name",
    ["no convolution before it", "a ReLU between", "a layer between", "a layer of the user's"],
)
def test_what_cannot_be_folded_stays(keras, opened, x, name):
    y = inputs = keras.Input(SHAPE)
    for layer in not_folded(keras)[name]:
        y = layer(y)
    network = classified(keras, inputs, keras.layers.BatchNormalization()(y))
    model = opened(network)
    assert "Rsqrt" in operations(model)
    check(keras, model, network, x)


def test_a_normalisation_of_another_axis_stays(keras, opened, x):
    inputs = keras.Input(SHAPE)
    y = keras.layers.BatchNormalization(axis=1)(keras.layers.Conv2D(4, 3)(inputs))
    network = classified(keras, inputs, y)
    check(keras, opened(network), network, x)


def test_a_convolution_with_two_normalisations_has_weights_for_each(keras, opened, x):
    shared = keras.layers.Conv2D(3, 3, padding="same")
    inputs = keras.Input(SHAPE)
    one = keras.layers.BatchNormalization()(shared(inputs))
    two = keras.layers.BatchNormalization()(shared(one))
    network = classified(keras, inputs, keras.layers.Add()([one, two]))
    model = opened(network)
    assert "Rsqrt" not in operations(model)
    check(keras, model, network, x)


def test_a_normalisation_that_is_told_to_train_is_left_to_itself(keras, opened, x):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = keras.layers.Conv2D(4, 3)
            self.normalisation = keras.layers.BatchNormalization()
            self.top = keras.layers.Dense(3)

        def call(self, x):
            y = self.normalisation(self.convolution(x), training=True)  # its own doing, against the caller
            return self.top(keras.ops.mean(y**2, (1, 2)))

    network = Net()
    network(np.zeros((1, *SHAPE)))
    unsettled(network)
    model = opened(network)
    np.testing.assert_allclose(model.scores(x), network(x), rtol=1e-4)


def test_a_layer_that_was_folded_away_can_still_be_looked_at(keras, opened, x):
    inputs = keras.Input(SHAPE)
    y = keras.layers.Conv2D(4, 3, name="convolution")(inputs)
    network = classified(keras, inputs, keras.layers.BatchNormalization(name="normalisation")(y))
    model = opened(network)
    assert [layer.name for layer in model.info.layers] == ["convolution", "normalisation", "relu"]
    targets = Targets(np.eye(3, dtype=np.float32)[[1, 2]])
    before = model.tap(x, targets, "convolution")
    after = model.tap(x, targets, "normalisation")
    np.testing.assert_allclose(before.activations, network.layers[1](x), atol=1e-5)
    normalisation = network.layers[2]
    factor = normalisation.gamma / np.sqrt(normalisation.moving_variance + normalisation.epsilon)
    np.testing.assert_allclose(before.gradients, after.gradients * factor, atol=1e-6)


def test_a_layer_whose_output_is_used_twice_has_its_whole_derivative(keras, opened, x):
    inputs = keras.Input(SHAPE)
    y = keras.layers.Conv2D(4, 3, name="convolution")(inputs)
    normalised = keras.layers.BatchNormalization()(y)
    network = unsettled(
        keras.Model(
            inputs, keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Add()([y, normalised])))
        )
    )
    result = opened(network).tap(x, Targets(np.eye(3, dtype=np.float32)[[1, 2]]), "convolution").gradients
    normalisation, top = network.layers[2], np.asarray(network.layers[-1].kernel)
    factor = normalisation.gamma / np.sqrt(normalisation.moving_variance + normalisation.epsilon)
    wanted = top[:, [1, 2]].T.reshape(result.shape) * (1 + np.asarray(factor))
    np.testing.assert_allclose(result, wanted, rtol=1e-5)


def test_rules_hold_in_a_folded_network(keras, opened, x):
    """Guided backpropagation by hand: ReLU, mean and a dense layer."""
    inputs = keras.Input(SHAPE)
    y = keras.layers.Conv2D(4, 1, name="convolution")(inputs)
    network = classified(keras, inputs, keras.layers.BatchNormalization(name="normalisation")(y))
    model = opened(network)
    _, result = model.gradient(x, Targets(np.eye(3, dtype=np.float32)[[0, 0]]), "guided")
    convolution, normalisation = network.layers[1], network.layers[2]
    z = np.asarray(normalisation(convolution(x)))
    top = np.asarray(network.layers[-1].kernel)[:, 0] / (SHAPE[0] * SHAPE[1])
    viewed_layer = np.maximum(top, 0) * (z > 0)
    factor = np.asarray(normalisation.gamma / np.sqrt(normalisation.moving_variance + normalisation.epsilon))
    wanted = (viewed_layer * factor) @ np.asarray(convolution.kernel)[0, 0].T
    np.testing.assert_allclose(result, wanted, atol=1e-5 * np.abs(wanted).max())
