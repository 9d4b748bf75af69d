"""Building blocks: convolutions that train with batch normalisation and are saved without it.

A batch normalisation after a convolution is, once trained, one factor and one offset a channel. Folding
both into the convolution gives the same function with fewer layers, faster, and with gradients that
suffer less from rounding. So every network here is built twice by one function, ``norm=True`` for
training and ``norm=False`` for the file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

Builder = Callable[[bool], Any]


def convolution(
    x: Any, channels: int, name: str, *, norm: bool, size: int = 3, stride: int = 1, relu: bool = True
) -> Any:
    """Apply a convolution, with batch normalisation between it and its ReLU if wanted.

    Parameters
    ----------
    x : keras tensor
        Input, shape (batch, height, width, channels).
    channels : int
        Number of output channels.
    name : str
        Name of the convolution layer, by which `folded` finds it.
    norm : bool
        Whether to normalise; without it the convolution has a bias instead.
    size, stride : int
        Side of the kernel and step between its places, in pixels.
    relu : bool
        Whether a ReLU follows.

    Returns
    -------
    keras tensor
        Output, shape (batch, height / stride, width / stride, channels).
    """
    # With its ReLU inside, the saved layer outputs the activations that a class activation map needs.
    inside = "relu" if relu and not norm else None
    x = layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        use_bias=not norm,
        activation=inside,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    if norm:
        x = layers.BatchNormalization(momentum=0.95, epsilon=1e-3, name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x) if relu else x
    return x


def classifier(x: Any, classes: int, *, norm: bool, dropout: float = 0.0) -> Any:
    """Global average pooling and a dense layer; logits during training, probabilities in the file.

    Parameters
    ----------
    x : keras tensor
        Features, shape (batch, height, width, channels).
    classes : int
        Number of outputs.
    norm : bool
        Whether this is the network for training.
    dropout : float
        Share of averaged features dropped while training, 0..1.

    Returns
    -------
    keras tensor
        Logits or probabilities, shape (batch, classes).
    """
    x = layers.GlobalAveragePooling2D(name="average")(x)
    if norm and dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation=None if norm else "softmax", name="classes")(x)


def folded(trained: Any, build: Builder) -> Any:
    """Return the network for the file: batch normalisations folded, softmax at the end.

    Parameters
    ----------
    trained : keras.Model
        The network built with ``build(True)``, after training.
    build : callable
        Builds the network, with (True) or without (False) batch normalisation.

    Returns
    -------
    keras.Model
        Uncompiled model, float32, from pictures 0..255 to probabilities.
    """
    plain = build(False)
    for layer in plain.layers:
        if isinstance(layer, layers.Conv2D):
            norm = trained.get_layer(f"{layer.name}_norm")
            gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
            factor = gamma / np.sqrt(variance + norm.epsilon)
            kernel = trained.get_layer(layer.name).get_weights()[0] * factor
            layer.set_weights([kernel.astype(np.float32), (beta - mean * factor).astype(np.float32)])
        elif isinstance(layer, layers.Dense):
            layer.set_weights(trained.get_layer(layer.name).get_weights())
    return plain


def parameter_count(model: Any) -> int:
    """Return the number of weights of a model.

    Parameters
    ----------
    model : keras.Model
        Any built model.

    Returns
    -------
    int
        Number of float32 values.
    """
    return int(model.count_params())


def picture_input(height: int | None, width: int | None, channels: int) -> tuple[Any, Any]:
    """Return an input for pictures 0..255 and the same scaled to -1..1 inside the model.

    Parameters
    ----------
    height, width : int or None
        Size in pixels; None where any size is taken (while training).
    channels : int
        1 for grey, 3 for RGB.

    Returns
    -------
    tuple of keras tensors
        The input and the scaled input.
    """
    entry = keras.Input((height, width, channels), name="picture")
    return entry, layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(entry)
