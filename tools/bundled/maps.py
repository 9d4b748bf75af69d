"""Independent implementations of saliency maps on TensorFlow, so that the model cards do not rely on the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MapFunction = Callable[[Any, NDArray[Any], int], Floats]


def _logits(model: Any, features: Any) -> Any:
    """Apply the last layer, a Dense with softmax, without its softmax."""
    return features @ model.layers[-1].kernel + model.layers[-1].bias


def _gradients(model: Any, pictures: NDArray[Any], target: int) -> Floats:
    """Compute the gradients of one logit, for images (n, h, w, c)."""
    features = keras.Model(model.inputs, model.layers[-1].input)
    x = tf.constant(pictures, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = tf.reduce_sum(_logits(model, features(x, training=False))[:, target])
    return np.asarray(tape.gradient(score, x), np.float64)


def gradient(model: Any, picture: NDArray[Any], target: int) -> Floats:
    """Return the gradient of a logit.

    Parameters
    ----------
    model : keras.Model
        Ends in a Dense layer with softmax.
    picture : array
        Shape (h, w, c), 0..255.
    target : int
        The class.

    Returns
    -------
    array of float64
        Shape (h, w, c), signed.
    """
    return np.asarray(_gradients(model, picture[None], target)[0])


def gradient_times_input(model: Any, picture: NDArray[Any], target: int) -> Floats:
    """Return the gradient of a logit times the picture; parameters as `gradient`."""
    return np.asarray(gradient(model, picture, target) * picture)


def smoothgrad(model: Any, picture: NDArray[Any], target: int) -> Floats:
    """Return the mean gradient over 50 copies, noise .15 of the picture's range; parameters as `gradient`."""
    noise = 0.15 * float(np.ptp(picture)) * np.random.default_rng(0).normal(size=(50, *picture.shape))
    return np.asarray(_gradients(model, picture + noise, target).mean(0))


def integrated_gradients(model: Any, picture: NDArray[Any], target: int) -> Floats:
    """Return integrated gradients from black in 64 midpoint steps; parameters as `gradient`."""
    along = (np.arange(64) + 0.5) / 64
    path = along[:, None, None, None] * picture.astype(np.float64)
    return np.asarray(_gradients(model, path, target).mean(0) * picture)


def grad_cam(model: Any, picture: NDArray[Any], target: int) -> Floats:
    """Return Grad-CAM of the last convolution, enlarged bilinearly; parameters as `gradient`."""
    last = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    activations_of = keras.Model(model.inputs, last.output)
    with tf.GradientTape() as tape:
        activations = activations_of(tf.constant(picture[None], tf.float32), training=False)
        tape.watch(activations)
        # All bundled models average these activations before their last layer.
        score = _logits(model, tf.reduce_mean(activations, (1, 2)))[0, target]
    weights = tf.reduce_mean(tape.gradient(score, activations), (1, 2), keepdims=True)
    cam = tf.nn.relu(tf.reduce_sum(weights * activations, -1, keepdims=True))
    return np.asarray(tf.image.resize(cam, picture.shape[:2])[0], np.float64)


def guided_backpropagation(model: Any, picture: NDArray[Any], target: int) -> Floats:
    """Return the gradient; ReLUs pass only positive gradients of positive inputs. Parameters as `gradient`."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def guided(x: Any) -> Any:
        return tf.nn.relu(x), lambda upstream: tf.where(x > 0, tf.nn.relu(upstream), 0.0)

    def replaced(layer: Any) -> Any:
        copy = type(layer).from_config(layer.get_config())
        if getattr(copy, "activation", None) is keras.activations.relu:
            copy.activation = guided
        return copy

    # Only for models whose ReLUs are activations of layers, as in digits and watermark.
    twin = keras.models.clone_model(model, clone_function=replaced)
    twin.set_weights(model.get_weights())
    return gradient(twin, picture, target)


METHODS: dict[str, MapFunction] = {
    "SmoothGrad": smoothgrad,
    "gradient": gradient,
    "gradient x input": gradient_times_input,
    "integrated gradients": integrated_gradients,
    "guided backpropagation": guided_backpropagation,
    "Grad-CAM": grad_cam,
}


def strongest_mass_inside(values: Floats, region: NDArray[np.bool_], share: float = 0.05) -> float:
    """Return the share of the sum over the strongest pixels that lies inside a region.

    Parameters
    ----------
    values : array of float64
        A map, shape (h, w, c), signed; its absolute value's maximum over channels is what counts.
    region : array of bool
        Shape (h, w).
    share : float
        Share of all pixels that counts as the strongest, 0..1.

    Returns
    -------
    float
        0..1.
    """
    flat = np.abs(values).max(-1).ravel()
    strongest = np.argsort(flat)[::-1][: round(share * flat.size)]
    return float(flat[strongest][region.ravel()[strongest]].sum() / flat[strongest].sum())
