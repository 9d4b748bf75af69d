"""``bundled:digits``: handwritten digits, learned from MNIST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from . import files, network, training

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 28
LABELS = tuple(str(digit) for digit in range(10))
MODEL_SEED = 1
SETTINGS = files.Settings(
    LABELS,
    "Knows the digits 0 to 9, written light on a dark ground, and takes every picture for one of them.",
)

Split = tuple[NDArray[np.uint8], NDArray[np.int64]]


def dataset(folder: Path | None) -> tuple[Split, Split]:
    """Load MNIST.

    Parameters
    ----------
    folder : Path or None
        Folder that holds ``mnist/mnist.npz``; without it, Keras fetches the file into its own cache.

    Returns
    -------
    train, test : tuple of (pictures, labels)
        uint8 pictures (n, 28, 28, 1), 0..255, light on dark, and integer labels (n,).
    """
    if folder is None:
        train, test = keras.datasets.mnist.load_data()
        return _with_channel(*train), _with_channel(*test)
    # Keras no longer accepts the path of an existing file.
    with np.load(folder / "mnist" / "mnist.npz") as stored:
        train, test = ((stored[f"x_{part}"], stored[f"y_{part}"]) for part in ("train", "test"))
    return _with_channel(*train), _with_channel(*test)


def _with_channel(pictures: NDArray[Any], labels: NDArray[Any]) -> Split:
    return pictures.astype(np.uint8)[..., None], labels.astype(np.int64)


def build(norm: bool) -> Any:
    """Build the network: five convolutions, average, classify.

    Parameters
    ----------
    norm : bool
        Whether to build it for training, with batch normalisation and logits.

    Returns
    -------
    keras.Model
        From (batch, 28, 28, 1), 0..255, to (batch, 10).
    """
    entry, x = network.picture_input(SIZE, SIZE, 1)
    x = network.convolution(x, 16, "conv1", norm=norm)
    x = keras.layers.MaxPooling2D(name="pool1")(x)
    x = network.convolution(x, 32, "conv2", norm=norm)
    x = network.convolution(x, 32, "conv3", norm=norm)
    x = keras.layers.MaxPooling2D(name="pool2")(x)
    x = network.convolution(x, 48, "conv4", norm=norm)
    x = network.convolution(x, 64, "conv5", norm=norm)
    return keras.Model(entry, network.classifier(x, len(LABELS), norm=norm), name="digits")


def train(folder: Path | None, epochs: int = 8, batch: int = 128) -> Any:
    """Train the network on MNIST and save it.

    Parameters
    ----------
    folder : Path or None
        As for `dataset`.
    epochs : int
        Times each picture is seen.
    batch : int
        Pictures a step.

    Returns
    -------
    keras.Model
        The saved model.
    """
    keras.utils.set_random_seed(MODEL_SEED)
    (pictures, labels), _ = dataset(folder)
    batches = (
        tf.data.Dataset.from_tensor_slices((pictures, keras.utils.to_categorical(labels, len(LABELS))))
        .shuffle(len(labels), seed=MODEL_SEED)
        .repeat()
        .batch(batch, drop_remainder=True)
        .map(_moved)
        .prefetch(2)
    )
    model = build(True)
    training.train(model, batches, training.Recipe(steps=epochs * len(labels) // batch))
    plain = network.folded(model, build)
    files.save(plain, "digits", SETTINGS)
    return plain


def _moved(pictures: Any, labels: Any) -> tuple[Any, Any]:
    """Rotate, shear, stretch and shift each image a little."""
    count = tf.shape(pictures)[0]
    # Rows of the matrix from output to input pixels: the identity plus small random terms.
    linear = tf.random.normal((count, 2, 2), stddev=0.09)
    linear = linear + tf.eye(2)
    shift = tf.random.uniform((count, 2, 1), -2.5, 2.5)
    centre = tf.constant([[(SIZE - 1) / 2], [(SIZE - 1) / 2]], tf.float32)
    offset = centre + shift - linear @ centre
    matrix = tf.reshape(tf.concat([linear, offset], 2), (count, 6))
    pictures = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pictures, tf.float32),
        transforms=tf.concat([matrix, tf.zeros((count, 2))], 1),
        output_shape=[SIZE, SIZE],
        fill_value=0.0,
        interpolation="BILINEAR",
    )
    return pictures, labels
