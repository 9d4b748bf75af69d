"""What a model expects its numbers to be: Keras' named preprocessings and any mean and deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_saliency.core.types import Array


@dataclass(frozen=True)
class Preprocessing:
    """An affine map of each channel, from pictures (0..255, RGB) to what a model expects.

    ``input = (channels / divisor - mean) / std``, with red and blue exchanged first if ``bgr``.

    Attributes
    ----------
    name : str
        As the user reads it, and as `Preprocessing.named` takes it.
    divisor : float
        255 brings pictures to 0..1.
    mean, std : tuple of float
        One for all channels, or one for each; in the model's channel order.
    bgr : bool
        Whether the model wants blue first.
    """

    name: str
    divisor: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False

    def __post_init__(self) -> None:
        if not self.divisor or not all(self.std):
            raise ValueError(
                f"preprocessing {self.name!r} would divide by zero: divisor {self.divisor}, std {self.std}"
            )

    @classmethod
    def named(cls, name: str) -> Preprocessing:
        """One of `PREPROCESSINGS`.

        Raises
        ------
        ValueError
            If there is none of that name; the message lists them.
        """
        if name not in PREPROCESSINGS:
            raise ValueError(f"preprocessing {name!r} is not one of {', '.join(PREPROCESSINGS)}")
        return PREPROCESSINGS[name]

    @property
    def description(self) -> str:
        """What is done to a picture's values, in a few words."""
        own = f"(values / {self.divisor:g} - {_listed(self.mean)}) / {_listed(self.std)}"
        return WORDS.get(self.name, own)

    def __call__(self, image: Array) -> Array:
        """Bring pictures (..., C) with values 0..255, RGB, to what the model expects."""
        channels = image[..., ::-1] if self.bgr else image
        if self.divisor == 1 and not any(self.mean) and set(self.std) == {1.0}:
            return np.ascontiguousarray(channels, np.float32)
        scaled = channels / np.float32(self.divisor)
        return np.asarray((scaled - _float32(self.mean)) / _float32(self.std), np.float32)

    def inverse(self, x: Array) -> Array:
        """Bring model inputs (..., C) back to pictures with values 0..255, RGB."""
        image = (x * _float32(self.std) + _float32(self.mean)) * np.float32(self.divisor)
        return np.asarray(image[..., ::-1] if self.bgr else image, np.float32)


def _float32(numbers: tuple[float, ...]) -> Array:
    return np.asarray(numbers, np.float32)


def _listed(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:g}" for number in numbers)


PREPROCESSINGS = {
    p.name: p
    for p in (
        Preprocessing("none"),
        Preprocessing("unit", 255.0),
        Preprocessing("tf", 127.5, (1.0,)),
        Preprocessing("caffe", 1.0, (103.939, 116.779, 123.68), bgr=True),
        Preprocessing("torch", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    )
}
"""Keras' terms: what ``keras.applications`` calls the modes of ``preprocess_input``, and two more."""

WORDS = {
    "none": "values 0 to 255 as they are",
    "unit": "values scaled to 0 to 1",
    "tf": "values scaled to -1 to 1",
    "caffe": "BGR, ImageNet mean subtracted",
    "torch": "scaled to 0 to 1, ImageNet mean and deviation",
}
