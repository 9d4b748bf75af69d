"""``bundled:photos``: nine everyday things, learned from openly licensed photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from . import files, network, photo_pack, training

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = 96
MODEL_SEED = 3
BATCH = 64
# (side of the training images, epochs, with mixup?): small images first, which are cheap; in the last epochs the
# images are closer to real ones.
STAGES = ((64, 16, True), (80, 8, True), (96, 5, True), (96, 2, False))
SETTINGS = files.Settings(
    photo_pack.LABELS,
    "Knows nine things and will force any picture into them: "
    "airplane, carton, cat, dog, flower, fruit or vegetable, motorbike, shirt, trousers.",
)
# Channels of each residual block, and the step of its first convolution.
_BLOCKS = ((64, 2), (64, 1), (112, 2), (112, 1))


def build(norm: bool, size: int | None = SIZE) -> Any:
    """Build the residual network.

    Parameters
    ----------
    norm : bool
        Whether to build it for training, with batch normalisation and logits.
    size : int or None
        Side of the pictures; None for any.

    Returns
    -------
    keras.Model
        From (batch, size, size, 3), 0..255, to (batch, 9).
    """
    entry, x = network.picture_input(size, size, 3)
    x = network.convolution(x, 32, "stem", norm=norm, stride=2, size=5)
    for number, (channels, stride) in enumerate(_BLOCKS, start=1):
        x = _block(x, channels, stride, f"block{number}", norm)
    x = network.convolution(x, 160, "last", norm=norm, size=1)
    x = network.classifier(x, len(photo_pack.LABELS), norm=norm, dropout=0.2)
    return keras.Model(entry, x, name="photos")


def _block(x: Any, channels: int, stride: int, name: str, norm: bool) -> Any:
    """Add two convolutions to their input."""
    y = network.convolution(x, channels, f"{name}_a", norm=norm, stride=stride)
    y = network.convolution(y, channels, f"{name}_b", norm=norm, relu=False)
    if stride > 1 or x.shape[-1] != channels:
        x = network.convolution(x, channels, f"{name}_skip", norm=norm, size=1, stride=stride, relu=False)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, y]))


def train(folder: Path, keep: Path | None = None) -> Any:
    """Train the network on the photo pack and save it.

    Parameters
    ----------
    folder : Path
        Folder that holds ``photos_open10.npz``.
    keep : Path, optional
        File for the weights reached so far, written about twenty times, in case the run is cut off.

    Returns
    -------
    keras.Model
        The saved model.
    """
    keras.utils.set_random_seed(MODEL_SEED)
    pack = photo_pack.read(folder)
    pictures, labels = pack.pictures[~pack.test], pack.labels[~pack.test]
    model = build(True, None)
    per_epoch = len(labels) // BATCH
    batches = _batches(pictures, labels, per_epoch)
    recipe = training.Recipe(
        steps=per_epoch * sum(epochs for _, epochs, _ in STAGES),
        rate=3e-3,
        warmup=2 * per_epoch,
        decay=0.05,
        average=0.998,
        smoothing=0.05,
    )
    training.train(model, batches, recipe, None if keep is None else lambda _, m: m.save_weights(keep))
    plain = network.folded(model, build)
    files.save(plain, "photos", SETTINGS)
    photo_pack.write_credits(pack, files.BUNDLED / "photos_credits.md")
    return plain


def _batches(pictures: NDArray[np.uint8], labels: NDArray[np.int64], per_epoch: int) -> Any:
    """Yield the training batches, stage after stage."""
    whole = tf.constant(pictures)
    known = tf.one_hot(labels, len(photo_pack.LABELS))
    rng = np.random.default_rng(MODEL_SEED)
    result = None
    for size, epochs, mixed in STAGES:
        order = _balanced_order(rng, labels, epochs * per_epoch * BATCH)

        def prepare(index: Any, size: int = size, mixed: bool = mixed) -> tuple[Any, Any]:
            varied = _varied(tf.gather(whole, index), size, 0.3 if mixed else 0.5)
            return _mixed(varied, tf.gather(known, index)) if mixed else (varied, tf.gather(known, index))

        stage = tf.data.Dataset.from_tensor_slices(order).batch(BATCH).map(prepare)
        result = stage if result is None else result.concatenate(stage)
    return result.prefetch(4) if result is not None else None


def _balanced_order(rng: np.random.Generator, labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Draw indices with class frequencies proportional to the square root of the class sizes."""
    weights = 1 / np.sqrt(np.bincount(labels))[labels]
    return rng.choice(len(labels), count, p=weights / weights.sum())


def _varied(pictures: Any, size: int, smallest: float) -> Any:
    """Crop, flip and change the colours of each image at random; from (n, h, w, 3) to (n, size, size, 3), 0..255."""
    count = tf.shape(pictures)[0]
    area = tf.random.uniform((count,), smallest, 1.0)
    aspect = tf.exp(tf.random.uniform((count,), -0.29, 0.29))
    height = tf.minimum(tf.sqrt(area / aspect), 1.0)
    width = tf.minimum(tf.sqrt(area * aspect), 1.0)
    top = tf.random.uniform((count,)) * (1 - height)
    left = tf.random.uniform((count,)) * (1 - width)
    flip = tf.random.uniform((count,)) < 0.5
    # A box with left and right exchanged is sampled mirrored.
    boxes = tf.stack(
        [top, tf.where(flip, left + width, left), top + height, tf.where(flip, left, left + width)], 1
    )
    return _coloured(tf.image.crop_and_resize(pictures, boxes, tf.range(count), (size, size)))


def _coloured(x: Any) -> Any:
    """Change brightness, contrast, saturation and tint of each image at random."""
    each = (tf.shape(x)[0], 1, 1, 1)
    grey = tf.reduce_mean(x, -1, keepdims=True)
    x = grey + (x - grey) * tf.random.uniform(each, 0.4, 1.5)
    mean = tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    x = mean + (x - mean) * tf.random.uniform(each, 0.65, 1.4)
    tint = 1 + tf.random.normal((tf.shape(x)[0], 1, 1, 3), stddev=0.06)
    return tf.clip_by_value(x * tint + tf.random.uniform(each, -35, 35), 0, 255)


def _mixed(x: Any, labels: Any) -> tuple[Any, Any]:
    """Mixup: blend each picture and its label with another of the batch (Zhang et al. 2018)."""
    gammas = tf.random.gamma((2, tf.shape(x)[0]), 0.2)
    share = gammas[0] / (gammas[0] + gammas[1] + 1e-8)
    share = tf.maximum(share, 1 - share)
    blend = share[:, None, None, None]
    return (
        blend * x + (1 - blend) * tf.reverse(x, [0]),
        share[:, None] * labels + (1 - share[:, None]) * tf.reverse(labels, [0]),
    )
