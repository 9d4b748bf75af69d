"""Input of a model: preprocessing (Keras' named modes, or any mean and standard deviation), size and channels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency.core.errors import quote
from napari_saliency.core.placement import format_size

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, Fit


@dataclass(frozen=True)
class Preprocessing:
    """An affine transform of each channel, from images (0..255, RGB) to model inputs.

    ``input = (channels / divisor - mean) / std``, with red and blue swapped first if ``bgr``.

    Attributes
    ----------
    name : str
        Shown to the user, and accepted by `Preprocessing.named`.
    divisor : float
        255 scales images to 0..1.
    mean, std : tuple of float
        One value for all channels, or one per channel in the model's channel order.
    bgr : bool
        True if the model's first channel is blue.
    """

    name: str
    divisor: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False

    def __post_init__(self) -> None:
        if not self.divisor or not all(self.std):
            raise ValueError(
                f"preprocessing {quote(self.name)} would divide by zero: divisor {self.divisor}, std {self.std}"
            )

    @classmethod
    def named(cls, name: str) -> Preprocessing:
        """Look up one of `PREPROCESSINGS`.

        Raises
        ------
        ValueError
            If the name does not exist; the message lists those that do.
        """
        if name not in PREPROCESSINGS:
            raise ValueError(f"preprocessing {quote(name)} is not one of {', '.join(PREPROCESSINGS)}")
        return PREPROCESSINGS[name]

    @property
    def description(self) -> str:
        """The transform in a few words."""
        formula = f"(values / {self.divisor:g} - {_listed(self.mean)}) / {_listed(self.std)}"
        return DESCRIPTIONS.get(self.name, formula)

    def __call__(self, image: Array) -> Array:
        """Convert images (..., C), RGB with values 0..255, to model inputs."""
        channels = image[..., ::-1] if self.bgr else image
        if self.divisor == 1 and not any(self.mean) and set(self.std) == {1.0}:
            return np.ascontiguousarray(channels, np.float32)
        scaled = channels / np.float32(self.divisor)
        return np.asarray((scaled - _float32(self.mean)) / _float32(self.std), np.float32)

    def inverse(self, x: Array) -> Array:
        """Convert model inputs (..., C) back to images, RGB with values 0..255."""
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
"""The modes of ``preprocess_input`` in ``keras.applications`` under their Keras names, and two more."""

DESCRIPTIONS = {
    "none": "values 0 to 255 as they are",
    "unit": "values scaled to 0 to 1",
    "tf": "values scaled to -1 to 1",
    "caffe": "BGR, ImageNet mean subtracted",
    "torch": "scaled to 0 to 1, normalised by ImageNet mean and standard deviation",
}


@dataclass(frozen=True)
class InputSpec:
    """Input of a model: size, channels and preprocessing of its images.

    Attributes
    ----------
    shape : (height, width), or (z, y, x) for models of volumes
        In pixels; None along axes where the model takes any size.
    channels : int
        1 for grey, 3 for RGB; images for other numbers are not converted.
    preprocessing : Preprocessing
        From images, RGB with values 0..255, to model inputs.
    fit : {"crop", "stretch", "pad"}
        How images are resized to the input size.
    multiple : int
        Sizes along axes that are None must be multiples of it.
    """

    shape: tuple[int | None, ...]
    channels: int
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing.named("none"))
    fit: Fit = "crop"
    multiple: int = 1

    @property
    def description(self) -> str:
        """Size and channels for the user, as in ``224×224 RGB``."""
        kind = {1: "grey", 3: "RGB"}.get(self.channels, f"{self.channels} channels")
        volumes = " (z×y×x)" if len(self.shape) == 3 else ""
        return f"{format_size(self.shape)}{volumes} {kind}"
