"""One small network, written in Keras in every way that people write networks.

All of them compute what `tests.analytic.Convolutional` computes, with its weights. No framework is
imported here: each function is given ``keras``.
"""

import numpy as np

CLASSES, PICTURE, SPACE = 4, (9, 13, 3), (3, 5, 6)


def with_weights(network, arrays):
    """Give a network the weights of its numpy twin, which may have other shapes but the same order."""
    shapes = [tuple(variable.shape) for variable in network.weights]
    network.set_weights([np.reshape(array, shape) for array, shape in zip(arrays, shapes, strict=True)])
    return network


# How a ReLU is spelled: what a convolution is followed by ----------------------------------------


def _argument(keras, filters, strides, activation="relu"):
    return keras.layers.Conv2D(filters, 3, strides, activation=activation)


def after(keras, filters, strides, function):
    convolution = keras.layers.Conv2D(filters, 3, strides)
    return lambda x: function(convolution(x))


RELUS = {
    "activation='relu'": _argument,
    "activation=relu": lambda k, *c: _argument(k, *c, activation=k.activations.relu),
    "layers.ReLU": lambda k, *c: after(k, *c, k.layers.ReLU()),
    "layers.Activation": lambda k, *c: after(k, *c, k.layers.Activation("relu")),
    "ops.relu": lambda k, *c: after(k, *c, k.ops.relu),
    "activations.relu": lambda k, *c: after(k, *c, k.activations.relu),
    "layer of one's own": lambda k, *c: after(k, *c, _rectifier(k, k.ops.relu)()),
    "tf.nn.relu": lambda k, *c: after(k, *c, _rectifier(k, _tensorflow().nn.relu)()),
    "in a tf.function": lambda k, *c: after(k, *c, _rectifier(k, _tensorflow().function(k.ops.relu))()),
    "in a model": lambda k, *c: after(k, *c, k.Sequential([k.layers.ReLU()])),
}
RELU6S = {
    "activation='relu6'": lambda k, *c: _argument(k, *c, activation="relu6"),
    "layers.ReLU(6)": lambda k, *c: after(k, *c, k.layers.ReLU(max_value=6)),
    "ops.relu6": lambda k, *c: after(k, *c, k.ops.relu6),
    "activations.relu(6)": lambda k, *c: after(k, *c, lambda x: k.activations.relu(x, max_value=6)),
    "tf.nn.relu6": lambda k, *c: after(k, *c, _rectifier(k, _tensorflow().nn.relu6)()),
}


def _rectifier(keras, function):
    class Rectifier(keras.layers.Layer):
        def call(self, x):
            return function(x)

    return Rectifier


def _tensorflow():
    import tensorflow

    return tensorflow


# How a network ends: from features with space to outputs -----------------------------------------


def _logits(keras, x, **kwargs):
    return keras.layers.Dense(CLASSES, **kwargs)(keras.layers.Flatten()(x))


def _by_hand(keras, x):
    powers = keras.ops.exp(_logits(keras, x))
    return powers / keras.ops.sum(powers, axis=-1, keepdims=True)


def _convolution(keras, x, **kwargs):
    return keras.layers.Conv2D(CLASSES, SPACE[:2], **kwargs)(x)


def _over_one_more(x):
    return x / (1 + x)


def _half(keras, x):
    return keras.layers.Rescaling(0.5)(keras.ops.softmax(x))


def _ensemble(keras, x):
    logits = _logits(keras, x)
    return _half(keras, logits) + _half(keras, logits)


def _pooled(keras, x):
    places = keras.layers.Reshape((1, 1, CLASSES))(_logits(keras, x))
    places = keras.layers.UpSampling2D(2)(keras.layers.Softmax()(places))
    return keras.layers.GlobalAveragePooling2D()(places)


SOFTMAXES = {
    "Dense(softmax)": lambda k, x: _logits(k, x, activation="softmax"),
    "layers.Activation": lambda k, x: k.layers.Activation("softmax")(_logits(k, x)),
    "layers.Softmax": lambda k, x: k.layers.Softmax()(_logits(k, x)),
    "ops.softmax": lambda k, x: k.ops.softmax(_logits(k, x)),
    "activations.softmax": lambda k, x: k.activations.softmax(_logits(k, x)),
    "log_softmax": lambda k, x: k.layers.Activation("log_softmax")(_logits(k, x)),
    "ops.log_softmax": lambda k, x: k.ops.log_softmax(_logits(k, x)),
    "Conv2D, Flatten, softmax": lambda k, x: k.layers.Softmax()(k.layers.Flatten()(_convolution(k, x))),
    "Conv2D(softmax), Reshape": lambda k, x: k.layers.Reshape((CLASSES,))(
        _convolution(k, x, activation="softmax")
    ),
    "softmax, other precision": lambda k, x: k.layers.Activation("linear", dtype="float32")(
        k.layers.Softmax(dtype="float64")(_logits(k, x))
    ),
    "softmax, Dropout": lambda k, x: k.layers.Dropout(0.5)(_logits(k, x, activation="softmax")),
    "in a model": lambda k, x: k.Sequential(
        [k.layers.Flatten(), k.layers.Dense(CLASSES, activation="softmax")]
    )(x),
}
LINEAR = {
    "Dense": _logits,
    "Conv2D, Reshape": lambda k, x: k.layers.Reshape((CLASSES,))(_convolution(k, x)),
    "Dense(linear)": lambda k, x: _logits(k, x, activation="linear"),
}
SIGMOIDS = {
    "Dense(sigmoid)": lambda k, x: _logits(k, x, activation="sigmoid"),
    "layers.Activation": lambda k, x: k.layers.Activation("sigmoid")(_logits(k, x)),
    "ops.sigmoid": lambda k, x: k.ops.sigmoid(_logits(k, x)),
}
SIGMOIDS_BY_HAND = {
    "1 / (1 + exp(-x))": lambda k, x: 1 / (1 + k.ops.exp(-_logits(k, x))),
    "exp(x) / (1 + exp(x))": lambda k, x: _over_one_more(k.ops.exp(_logits(k, x))),
    "(1 + tanh(x / 2)) / 2": lambda k, x: (1 + k.ops.tanh(_logits(k, x) / 2)) / 2,
    "half of two": lambda k, x: k.layers.Average()([k.ops.sigmoid(_logits(k, x))] * 2),
}
HIDDEN = {
    "exp / sum": _by_hand,
    "two halves": _ensemble,
    "mean of places": _pooled,
    "Average": lambda k, x: k.layers.Average()([k.ops.softmax(_logits(k, x))] * 2),
}


def functional(keras, relu=_argument, end=SOFTMAXES["Dense(softmax)"]):
    x = inputs = keras.Input(PICTURE)
    for filters, strides in ((5, 1), (6, 2)):
        x = relu(keras, filters, strides)(x)
    return keras.Model(inputs, end(keras, x))


# How a network is put together -------------------------------------------------------------------


def sequential(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(PICTURE),
            layers.Conv2D(5, 3, activation="relu"),
            layers.Conv2D(6, 3, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def nested(keras):
    inputs = keras.Input(PICTURE)
    return keras.Model(inputs, functional(keras)(inputs))


def twice_nested(keras):
    inputs = keras.Input(PICTURE)
    return keras.Model(inputs, nested(keras)(inputs))


def transfer(keras):
    """A base without a top, frozen, and a new top: as in every transfer-learning tutorial."""
    x = inputs = keras.Input(PICTURE)
    for filters, strides in ((5, 1), (6, 2)):
        x = keras.layers.Conv2D(filters, 3, strides, activation="relu")(x)
    base = keras.Model(inputs, x, name="base")
    base.trainable = False
    inputs = keras.Input(PICTURE)
    x = keras.layers.Flatten()(base(inputs, training=False))
    return keras.Model(
        inputs, keras.layers.Dense(CLASSES, activation="softmax")(keras.layers.Dropout(0.3)(x))
    )


def base_in_sequential(keras):
    body = keras.Sequential(
        [
            keras.Input(PICTURE),
            keras.layers.Conv2D(5, 3, activation="relu"),
            keras.layers.Conv2D(6, 3, 2, activation="relu"),
        ]
    )
    return keras.Sequential(
        [body, keras.layers.Flatten(), keras.layers.Dense(CLASSES), keras.layers.Softmax()]
    )


def subclass(keras):
    """A class of a network that has its layers as attributes."""

    @keras.saving.register_keras_serializable("napari_saliency_tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = keras.layers.Conv2D(5, 3, activation="relu")
            self.second = keras.layers.Conv2D(6, 3, 2)
            self.flatten = keras.layers.Flatten()
            self.top = keras.layers.Dense(CLASSES)

        def call(self, x):
            x = keras.ops.relu(self.second(self.first(x)))
            return keras.ops.softmax(self.top(self.flatten(x)))

    return Net


def subclassed(keras):
    return _called(subclass(keras)())


def subclassed_with_lists(keras):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [keras.layers.Conv2D(5, 3), keras.layers.Conv2D(6, 3, 2)]
            self.ends = {"flat": keras.layers.Flatten(), "top": keras.layers.Dense(CLASSES)}

        def call(self, x, training=False):
            for block in self.blocks:
                x = keras.layers.ReLU()(block(x)) if training else keras.ops.relu(block(x))
            return keras.ops.softmax(self.ends["top"](self.ends["flat"](x)))

    return _called(Net())


def subclassed_in_functional(keras):
    inputs = keras.Input(PICTURE)
    return keras.Model(inputs, subclass(keras)()(inputs))


def functional_in_subclassed(keras):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = functional(keras)

        def call(self, x):
            return self.net(x)

    return _called(Net())


def call_in_a_function(keras):
    class Net(subclass(keras)):
        @_tensorflow().function
        def call(self, x):
            return super().call(x)

    return _called(Net())


def layer_call_in_a_function(keras):
    """As ``layer.call = tf.function(layer.call)``, which speeds up eager calls."""
    network = subclassed(keras)
    network.second.call = _tensorflow().function(network.second.call)
    return network


def inner_class_in_a_function(keras):
    class Block(keras.layers.Layer):
        def __init__(self, filters, strides):
            super().__init__()
            self.convolution = keras.layers.Conv2D(filters, 3, strides)

        @_tensorflow().function
        def call(self, x):
            return keras.ops.relu(self.convolution(x))

    x = inputs = keras.Input(PICTURE)
    x = Block(6, 2)(Block(5, 1)(x))
    return keras.Model(inputs, keras.ops.softmax(_logits(keras, x)))


def with_names(keras):
    """A network whose input has a name, and is given as a list."""
    inputs = keras.Input(PICTURE, name="picture")
    x = keras.layers.Conv2D(6, 3, 2, activation="relu")(keras.layers.Conv2D(5, 3, activation="relu")(inputs))
    return keras.Model([inputs], [_logits(keras, x, activation="softmax")])


def dropout(keras):
    x = inputs = keras.Input(PICTURE)
    for filters, strides in ((5, 1), (6, 2)):
        x = keras.layers.Dropout(0.5)(keras.layers.Conv2D(filters, 3, strides, activation="relu")(x))
        x = keras.layers.SpatialDropout2D(0.5)(keras.layers.GaussianNoise(1.0)(x))
    return keras.Model(inputs, keras.layers.Dropout(0.9)(_logits(keras, x, activation="softmax")))


def augmented(keras):
    """Random changes for training in front, as in Keras' tutorials."""
    layers = keras.layers
    chances = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.4), layers.RandomZoom(0.5)])
    inputs = keras.Input(PICTURE)
    return keras.Model(inputs, functional(keras)(chances(inputs)))


STRUCTURES = (
    augmented,
    sequential,
    nested,
    twice_nested,
    transfer,
    base_in_sequential,
    subclassed,
    subclassed_with_lists,
    subclassed_in_functional,
    functional_in_subclassed,
    call_in_a_function,
    layer_call_in_a_function,
    inner_class_in_a_function,
    with_names,
    dropout,
)


def _called(network):
    network(np.zeros((1, *PICTURE), np.float32))
    return network
