"""What a model is, put together from what it shows and what its user says.

For models that say little of themselves: a PyTorch network knows neither the size of its pictures nor
the names of its classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency._preprocessing import PREPROCESSINGS, Preprocessing
from napari_saliency._types import NEEDS, ModelError
from napari_saliency.models._base import InputSpec, ModelInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency._types import Array, Ending, Needs
    from napari_saliency.models._base import Layer, Question
    from napari_saliency.models._settings import Settings
    from napari_saliency.models._sources import Source

# Tried one after the other where nobody says a size: ImageNet's, then those of the usual data sets.
SIZES = (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)

SPELLED = {
    "softmax": "The scores before the softmax cannot be had; log-probabilities stand in for logits.",
    "sigmoid": "Logits are computed back from the probabilities: they are inexact where those are nearly 0 or 1.",
}


@dataclass(frozen=True)
class Facts:
    """What was found out by running a model.

    Attributes
    ----------
    shape : (height, width, channels)
        Of a picture.
    known : bool
        Whether the model itself or the user says so; otherwise it is a guess.
    n_outputs : int
        One sigmoid tells two classes apart, whose logits are -z and z.
    fingerprint : str
        SHA-256 over the architecture and the weights.
    spelled : {"softmax", "sigmoid"} or None
        What the outputs are probabilities of, although how they are computed from logits is not seen.
    ending, layers, cam_layer, batch, gives
        See `ModelInfo`.
    """

    shape: tuple[int, int, int]
    known: bool
    n_outputs: int
    fingerprint: str
    ending: Ending = "softmax"
    spelled: Ending | None = None
    layers: tuple[Layer, ...] = ()
    cam_layer: str = ""
    batch: int = 8
    gives: frozenset[Needs] = field(default=frozenset(NEEDS))


def describe(source: Source, settings: Settings, facts: Facts) -> ModelInfo:
    """Put a model's description together.

    Raises
    ------
    ModelError
        If what the user says does not fit the model.
    """
    height, width, channels = facts.shape
    guess = PREPROCESSINGS["torch" if channels == 3 else "unit"]
    preprocessing = fitting(settings.resolve() or guess, channels)
    return ModelInfo(
        source=str(source),
        name=source.name,
        input=InputSpec(height, width, channels, preprocessing, settings.fit or "crop"),
        labels=_labels(settings, facts),
        ending=facts.ending,
        logits=facts.spelled != "softmax",
        layers=facts.layers,
        cam_layer=facts.cam_layer,
        questions=tuple(_questions(settings, facts)),
        notes=tuple(_notes(settings, facts, guess.name)),
        fingerprint=facts.fingerprint,
        batch=facts.batch,
        gives=facts.gives,
    )


def fitting(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Refuse a preprocessing made for other channels than the model's."""
    given = {len(preprocessing.mean), len(preprocessing.std), 3 if preprocessing.bgr else 1}
    if given - {1, channels}:
        raise ModelError(
            f"preprocessing {preprocessing.name!r} is for {max(given)} channels; the model has {channels}"
        )
    return preprocessing


def find_shape(
    run: Callable[[Array], object], settings: Settings, channels: int | None
) -> tuple[int, int, int]:
    """Height, width and channels of pictures that a model takes: what the user says, or what works first.

    Parameters
    ----------
    run : callable
        Runs the model on (1, H, W, C) float32; raises ModelError if it does not take them.
    channels : int, optional
        What the model shows.

    Raises
    ------
    ModelError
        If it takes none of the sizes.
    """
    depth = settings.channels or channels or 3
    first: ModelError | None = None
    for height, width in [settings.size] if settings.size else [(size, size) for size in SIZES]:
        try:
            run(np.zeros((1, height, width, depth), np.float32))
        except ModelError as error:
            first = first or error
        else:
            return height, width, depth
    advice = "" if settings.size else "; say the size of its pictures: size=(height, width)"
    raise ModelError(f"{first}{advice}") from first


def find_ending(run: Callable[[Array], Array], shape: tuple[int, int, int]) -> Ending | None:
    """Tell logits from probabilities whose softmax or sigmoid was spelled by hand; None for logits.

    Parameters
    ----------
    run : callable
        Outputs (N, K) of pictures (N, H, W, C).
    """
    picture = np.random.default_rng(0).random((1, *shape), np.float32)
    # Some so large that what is not squashed leaves 0..1; a softmax may overflow there, and says nothing then.
    outputs = np.concatenate([run(scale * picture) for scale in (1, -1, 30, -30, 1000, -1000)])
    outputs = outputs[np.isfinite(outputs).all(-1)]
    if not len(outputs) or outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return None
    several = outputs.shape[-1] > 1
    return "softmax" if several and np.allclose(outputs.sum(-1), 1, atol=1e-3) else "sigmoid"


def check_repeatable(run: Callable[[Array], Array], x: Array, outputs: Array, *, alone: bool) -> None:
    """Find networks that were saved as they are in training, with chance and their company in the answer.

    Parameters
    ----------
    run : callable
        Outputs (N, K) of pictures (N, H, W, C).
    x, outputs : (N, H, W, C), (N, K) float32
        Pictures, and what was found for them together.
    alone : bool
        Whether a picture can be run without the others.

    Raises
    ------
    ModelError
        If the first picture's outputs are not always the same.
    """
    rows = x[:1] if alone else x
    again = np.concatenate([run(rows)[:1] for _ in range(2)])
    largest = np.abs(outputs[np.isfinite(outputs)]).max(initial=1e-3)
    if not np.allclose(again, outputs[:1], rtol=0, atol=1e-2 * largest, equal_nan=True):
        raise ModelError(
            f"it answers differently to the same picture, alone or among {len(x)}, or from one time to the next: "
            "it was saved as it is in training; call model.eval() before saving it"
        )


def _labels(settings: Settings, facts: Facts) -> tuple[str, ...]:
    """Name the classes; of a single output, one name is that of the class it is high for."""
    n_classes = 2 if facts.n_outputs == 1 else facts.n_outputs
    labels = settings.labels or tuple(f"class {i}" for i in range(n_classes))
    if len(labels) == facts.n_outputs == 1:
        return f"not {labels[0]}", labels[0]
    if len(labels) != n_classes:
        raise ModelError(f"{len(labels)} class names are given for a model with {n_classes} classes")
    return labels


def _questions(settings: Settings, facts: Facts) -> Iterator[Question]:
    if not (facts.known or settings.size):
        yield "size"
    if not settings.preprocessing:
        yield "preprocessing"
    if not settings.labels:
        yield "labels"


def _notes(settings: Settings, facts: Facts, guess: str) -> Iterator[str]:
    if settings.note:
        yield settings.note
    if not (facts.known or settings.size):
        height, width, _ = facts.shape
        yield f"Input size is a guess ({width}×{height}): say what the model was trained on."
    if not settings.preprocessing:
        yield f"Preprocessing is a guess ({guess}): say what the model was trained with."
    if facts.spelled:
        yield SPELLED[facts.spelled]
