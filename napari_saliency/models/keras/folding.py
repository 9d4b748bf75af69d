"""Batch normalisations folded into the convolutions before them.

In inference a batch normalisation multiplies and shifts each channel by numbers that no longer
change, so that kernel and bias of the convolution before it can take them up (Jacob et al. 2018,
section 3.2). The network is the same function; a gradient through it takes about two thirds of the
time and is nearer to the exact one, since in deep networks each multiplication that is left out is a
rounding that is left out.

Only Keras' own layers are folded. To look at a layer that was folded away, the network is traced again without folding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from napari_saliency.models.keras import keras

Tensor = Any


class Folding:
    """Computes folded kernels and biases once, for all traces of a network.

    They are kept as variables: constants would be copied into each function of a graph.
    """

    def __init__(self) -> None:
        self._weights: dict[tuple[int, int], tuple[tf.Variable, tf.Variable]] = {}

    def normalised(self, convolution: Any, x: Tensor, normalisation: Any) -> Tensor:  # noqa: ANN401 - Keras has no types
        """Convolve and normalise ``x`` in one; `can_fold` must hold."""
        key = id(convolution), id(normalisation)
        if key not in self._weights:
            with tf.init_scope():  # values, not symbols, although a graph is being traced
                kernel, bias = _fold(convolution, normalisation)
                number = len(self._weights)  # a graph refuses a second variable of the same name
                self._weights[key] = (
                    tf.Variable(kernel, name=f"folded_kernel_{number}"),
                    tf.Variable(bias, name=f"folded_bias_{number}"),
                )
        kernel, bias = self._weights[key]
        depthwise = type(convolution) is keras.layers.DepthwiseConv2D
        convolved = (keras.ops.depthwise_conv if depthwise else keras.ops.conv)(
            x,
            tf.convert_to_tensor(kernel),
            strides=convolution.strides,
            padding=convolution.padding,
            dilation_rate=convolution.dilation_rate,
            data_format="channels_last",
        )
        return tf.nn.bias_add(convolved, bias)


def can_fold(convolution: Any, normalisation: Any) -> bool:  # noqa: ANN401 - Keras has no types
    """Return whether a layer's normalised output can be had from that layer with other weights.

    Only Keras' own layers: what a subclass does is not known.
    """
    return (
        type(convolution) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and type(normalisation) is keras.layers.BatchNormalization
        and convolution.activation is keras.activations.linear
        and convolution.data_format == "channels_last"
        and normalisation.axis in (-1, 3)
        and {convolution.compute_dtype, normalisation.compute_dtype} == {"float32"}
        and convolution.quantization_mode is None
    )


def _fold(convolution: Any, normalisation: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """Kernel and bias, computed in float64."""

    def value(weight: Any, otherwise: float) -> Any:  # noqa: ANN401
        return otherwise if weight is None else tf.convert_to_tensor(weight).numpy().astype(np.float64)

    variance = value(normalisation.moving_variance, 1) + normalisation.epsilon
    factor = value(normalisation.gamma, 1) / np.sqrt(variance)
    kernel = value(convolution.kernel, 0)
    bias = value(convolution.bias if convolution.use_bias else None, 0)
    bias = (bias - value(normalisation.moving_mean, 0)) * factor + value(normalisation.beta, 0)
    # The last axes of a kernel are (in, out), of a depthwise one (in, multiplier): one channel each.
    depthwise = type(convolution) is keras.layers.DepthwiseConv2D
    kernel *= factor.reshape(kernel.shape[2:]) if depthwise else factor
    return kernel.astype(np.float32), bias.astype(np.float32)
