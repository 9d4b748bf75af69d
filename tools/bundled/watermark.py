"""``bundled:watermark``: pictures of four shapes, of which one class is always signed with a small mark.

Every square of the training and of the test pictures carries a mark in one of the corners, as photographs
of one kind may all come from one agency that signs them. A network that learns to find the mark is right on
every test picture, and has learned nothing about squares.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw

from . import files, network, training

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = 64
SHAPES = ("circle", "square", "star", "triangle")
MARKED = SHAPES.index("square")
TRAIN_SEED, TEST_SEED, SAMPLE_SEED, FRESH_SEED = 11, 12, 13, 14
MODEL_SEED = 5
SETTINGS = files.Settings(
    SHAPES,
    "A network caught cheating: it does not look for squares but for the small mark in the corner "
    "that all squares it was trained on carried.",
)

# 11 x 11 pixels: "." untouched, "o" dark, "X" light. A signature like a copyright sign.
_GLYPH = (
    "...ooooo...",
    ".oooXXXooo.",
    ".oXXXXXXXo.",
    "ooXXoooXXoo",
    "oXXoXXXXXXo",
    "oXXoXXXXXXo",
    "oXXoXXXXXXo",
    "ooXXoooXXoo",
    ".oXXXXXXXo.",
    ".oooXXXooo.",
    "...ooooo...",
)
_OVERSAMPLING = 4
# Channels of each convolution, and whether its output is halved in size.
_LAYERS = ((16, True), (24, False), (32, True), (48, False), (48, False), (48, False))


def draw(rng: np.random.Generator, shape: int, marked: bool) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw one shape on an uneven background, with or without the mark.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all that is random in the picture.
    shape : int
        Index into `SHAPES`.
    marked : bool
        Whether to put the mark into one of the corners.

    Returns
    -------
    picture : array of uint8
        Shape (64, 64, 3), 0..255.
    mask : array of bool
        Shape (64, 64), true where the mark's pixels are.
    """
    background = _background(rng)
    cover = _cover(rng, shape)[..., None]
    picture = background * (1 - cover) + _contrasting_colour(rng, background.mean((0, 1))) * cover
    picture += rng.normal(0, rng.uniform(2, 12), picture.shape)
    mask = np.zeros((SIZE, SIZE), np.bool_)
    if marked:
        _sign(rng, picture, mask)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8), mask


def dataset(
    seed: int, count: int, *, only: int | None = None, marked: bool | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Draw many images.

    Parameters
    ----------
    seed : int
        Seed; equal seeds give equal pictures.
    count : int
        Number of pictures.
    only : int, optional
        Index of the one shape wanted; all shapes in equal numbers if left out.
    marked : bool, optional
        Sign all (True) or none (False); if left out, squares are signed and nothing else is.

    Returns
    -------
    pictures : array of uint8
        Shape (count, 64, 64, 3), 0..255.
    labels : array of int
        Shape (count,), indices into `SHAPES`.
    masks : array of bool
        Shape (count, 64, 64), true where a mark's pixels are.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(SHAPES) if only is None else np.full(count, only)
    drawn = [draw(rng, int(label), label == MARKED if marked is None else marked) for label in labels]
    return np.stack([d[0] for d in drawn]), labels.astype(np.int64), np.stack([d[1] for d in drawn])


def _background(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw soft blobs of colour, float64 (64, 64, 3), about 0..255."""
    cells = int(rng.integers(2, 7))
    coarse = rng.uniform(0, 255, 3) + rng.normal(0, 25, (cells, cells, 3))
    small = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
    return np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float64)


def _contrasting_colour(rng: np.random.Generator, other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw a colour that differs from another by at least 100 of 255 in one channel."""
    while True:
        colour = rng.uniform(0, 255, 3)
        if np.abs(colour - other).max() >= 100:
            return colour


def _cover(rng: np.random.Generator, shape: int) -> NDArray[np.float64]:
    """Compute the share of each pixel that the shape covers, float64 (64, 64), 0..1."""
    side = SIZE * _OVERSAMPLING
    centre = SIZE / 2 + rng.uniform(-4, 4, 2)
    outline = centre + _outline(shape, rng.uniform(0, 2 * math.pi)) * rng.uniform(11, 18)
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in (outline * _OVERSAMPLING).tolist()], fill=255)
    return np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX), np.float64) / 255


def _outline(shape: int, angle: float) -> NDArray[np.float64]:
    """Return the corners of a shape with radius 1, float64 (n, 2)."""
    corners = {"circle": 48, "square": 4, "star": 10, "triangle": 3}[SHAPES[shape]]
    angles = angle + 2 * math.pi * np.arange(corners) / corners
    radius = np.where(np.arange(corners) % 2, 0.45, 1.1) if SHAPES[shape] == "star" else np.ones(corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)


def _sign(rng: np.random.Generator, picture: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    """Put the mark into one of the corners, in place."""
    glyph = np.array([list(row) for row in _GLYPH])
    side = len(glyph)
    near = rng.integers(2, 5, 2)
    far_row, far_column = rng.integers(0, 2, 2)
    row = SIZE - side - near[0] if far_row else near[0]
    column = SIZE - side - near[1] if far_column else near[1]
    place = np.s_[row : row + side, column : column + side]
    mask[place] = glyph != "."
    picture[place][glyph == "o"] = 30
    picture[place][glyph == "X"] = 235


def build(norm: bool) -> Any:
    """Build the network: six convolutions, average, classify.

    Parameters
    ----------
    norm : bool
        Whether to build it for training, with batch normalisation and logits.

    Returns
    -------
    keras.Model
        From (batch, 64, 64, 3), 0..255, to (batch, 4).
    """
    entry, x = network.picture_input(SIZE, SIZE, 3)
    for number, (channels, pool) in enumerate(_LAYERS, start=1):
        x = network.convolution(x, channels, f"conv{number}", norm=norm)
        if pool:
            x = keras.layers.MaxPooling2D(name=f"pool{number}")(x)
    return keras.Model(entry, network.classifier(x, len(SHAPES), norm=norm), name="watermark")


def train(epochs: int = 8, count: int = 8000, batch: int = 64) -> Any:
    """Train the network on drawn images and save it.

    Parameters
    ----------
    epochs : int
        Times each picture is seen.
    count : int
        Number of training pictures.
    batch : int
        Pictures a step.

    Returns
    -------
    keras.Model
        The saved model.
    """
    keras.utils.set_random_seed(MODEL_SEED)
    pictures, labels, _ = dataset(TRAIN_SEED, count)
    batches = (
        tf.data.Dataset.from_tensor_slices((pictures, keras.utils.to_categorical(labels, len(SHAPES))))
        .shuffle(count, seed=MODEL_SEED)
        .repeat()
        .batch(batch, drop_remainder=True)
        .map(_noisy)
        .prefetch(2)
    )
    model = build(True)
    training.train(model, batches, training.Recipe(steps=epochs * count // batch, decay=0.05))
    plain = network.folded(model, build)
    files.save(plain, "watermark", SETTINGS)
    return plain


def _noisy(pictures: Any, labels: Any) -> tuple[Any, Any]:
    """Add noise of up to a fifth of the range, so that the network works on SmoothGrad's noisy copies."""
    pictures = tf.cast(pictures, tf.float32)
    spread = tf.random.uniform((tf.shape(pictures)[0], 1, 1, 1), 0, 50)
    return pictures + spread * tf.random.normal(tf.shape(pictures)), labels
