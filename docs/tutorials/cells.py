"""Draw a stack of cells and train a small U-Net on others like it: what the tutorial at the microscope needs.

    python cells.py [FOLDER]

writes ``cells.tif`` (5 planes, grey, 16 bit), ``cells.keras`` and its settings ``cells.saliency.json``, in about a
minute.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

SIDE = 128
"""Height and width of a plane, in pixels."""


def draw_plane(random: np.random.Generator, nuclei: int = 9) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw nuclei of uneven brightness, and bright specks of dust, on a noisy ground; return where nuclei are."""
    y, x = np.mgrid[:SIDE, :SIDE]
    image, mask = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE), bool)
    for _ in range(nuclei):
        (cy, cx), (a, b), angle = (
            random.uniform(8, SIDE - 8, 2),
            random.uniform(6, 11, 2),
            random.uniform(0, np.pi),
        )
        u, v = (
            (y - cy) * np.cos(angle) + (x - cx) * np.sin(angle),
            (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle),
        )
        inside = (u / a) ** 2 + (v / b) ** 2 < 1
        texture = gaussian_filter(random.normal(size=image.shape), 1.5)
        image[inside] = (random.uniform(0.35, 0.7) + 0.25 * texture)[inside]
        mask |= inside
    for cy, cx in random.integers(4, SIDE - 4, (4, 2)):
        image[cy - 1 : cy + 2, cx - 1 : cx + 2] = 1.0
        mask[cy - 1 : cy + 2, cx - 1 : cx + 2] = False
    ground = 0.15 + 0.1 * gaussian_filter(random.normal(size=image.shape), 20) * 20
    noisy = gaussian_filter(image, 1.0) + ground + random.normal(0, 0.04, image.shape)
    return noisy.clip(0, 1).astype(np.float32), mask


def build_unet() -> keras.Model:
    """Build a U-Net of two levels, for images of any size that is a multiple of 4."""
    from keras import Input, Model, layers

    def block(tensor: object, channels: int) -> object:
        for _ in range(2):
            tensor = layers.Conv2D(channels, 3, padding="same", activation="relu")(tensor)
        return tensor

    inputs = Input((None, None, 1))
    fine = block(layers.Rescaling(1 / 255)(inputs), 8)
    middle = block(layers.MaxPooling2D()(fine), 16)
    coarse = block(layers.MaxPooling2D()(middle), 32)
    middle = block(layers.Concatenate()([layers.UpSampling2D()(coarse), middle]), 16)
    fine = block(layers.Concatenate()([layers.UpSampling2D()(middle), fine]), 8)
    return Model(inputs, layers.Conv2D(2, 1, activation="softmax")(fine))


def train(planes: int = 96, epochs: int = 12) -> keras.Model:
    """Train the network on drawn planes; the same on every run on one machine."""
    import keras

    keras.utils.set_random_seed(0)
    drawn = [draw_plane(np.random.default_rng(1000 + number)) for number in range(planes)]
    x = 255 * np.stack([image for image, _ in drawn])[..., None]
    y = np.stack([mask for _, mask in drawn]).astype(np.int32)
    network = build_unet()
    network.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    network.fit(x, y, batch_size=8, epochs=epochs, verbose=0)
    return network


def main(folder: Path) -> None:
    """Write the stack, the network and its settings."""
    import tifffile

    folder.mkdir(parents=True, exist_ok=True)
    stack = np.stack([draw_plane(np.random.default_rng(number))[0] for number in range(5)])
    tifffile.imwrite(folder / "cells.tif", np.rint(stack * 4095).astype(np.uint16))
    train().save(folder / "cells.keras")
    settings = {"labels": ["background", "nucleus"], "preprocessing": "none"}
    (folder / "cells.saliency.json").write_text(json.dumps(settings), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
