"""What a model is, put together from what it shows and what its user says; the same for every framework.

Some say little of themselves: a PyTorch network knows neither the size of its pictures nor the names of
its classes. What they do not say is guessed, and asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency._placement import sized
from napari_saliency._preprocessing import PREPROCESSINGS, Preprocessing
from napari_saliency._types import NEEDS, ModelError
from napari_saliency.models._base import InputSpec, ModelInfo
from napari_saliency.models._settings import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency._types import Array, Ending, Fit, Needs
    from napari_saliency.models._base import Layer, Question
    from napari_saliency.models._settings import Settings
    from napari_saliency.models._sources import Source

# Tried one after the other where nobody says a size: ImageNet's, then those of the usual data sets; of
# volumes those of MedMNIST, of patches of scans, and of video.
SIZES = {
    2: tuple((n, n) for n in (224, 32, 28, 64, 96, 128, 256, 299, 384, 512)),
    3: (*((n, n, n) for n in (64, 32, 28, 96)), (16, 112, 112), (16, 224, 224), (128, 128, 128)),
}

# Batches beyond these get no better: pictures, and multiplications of all their forward passes.
MOST_PICTURES, BEST_WORK = 8, 12_000_000_000

SPELLED = {
    "softmax": "The scores before the softmax cannot be had; log-probabilities stand in for logits.",
    "sigmoid": "Logits are computed back from the probabilities: they are inexact where those are nearly 0 or 1.",
}


@dataclass(frozen=True)
class Facts:
    """What was found out about a model, mostly by running it.

    Attributes
    ----------
    shape : (height, width, channels), or (z, y, x, channels)
        Of a picture; None for a size that is free.
    known : bool
        Whether the model itself or the user says so; otherwise it is a guess.
    n_outputs : int
        One sigmoid tells two classes apart, whose logits are -z and z.
    fingerprint : str
        SHA-256 over the architecture and the weights.
    spelled : {"softmax", "sigmoid"} or None
        What the outputs are probabilities of, although how they are computed from logits is not seen.
    guess : str
        Name of the preprocessing that it probably wants; "" where nothing tells.
    sure : bool
        Whether that is no guess.
    names : set of str
        Further names by which layers can be asked for.
    thinned : set of str
        Layers whose output is another layer's, thinned out or moved.
    work : int
        Multiplications of one forward pass; 0 where they are not known.
    notes : tuple of str
        Further sentences for the user.
    ending, layers, outputs, gives
        See `ModelInfo`.
    """

    shape: tuple[int | None, ...]
    known: bool
    n_outputs: int
    fingerprint: str
    ending: Ending = "softmax"
    spelled: Ending | None = None
    guess: str = ""
    sure: bool = False
    layers: tuple[Layer, ...] = ()
    names: frozenset[str] = frozenset()
    thinned: frozenset[str] = frozenset()
    outputs: tuple[str, ...] = ()
    work: int = 0
    notes: tuple[str, ...] = ()
    gives: frozenset[Needs] = field(default=frozenset(NEEDS))

    @property
    def n_classes(self) -> int:
        """As many as there are logits."""
        return 2 if self.n_outputs == 1 and self.ending == "sigmoid" else self.n_outputs


def describe(source: Source, settings: Settings, facts: Facts) -> ModelInfo:
    """Put a model's description together.

    Raises
    ------
    SettingError
        If what the user says does not fit the model.
    """
    shape, channels = _shape(settings, facts)
    guess = facts.guess or ("torch" if channels == 3 else "unit")
    preprocessing = _fitting(settings.resolve() or PREPROCESSINGS[guess], channels)
    questions = tuple(_questions(source, settings, facts))
    return ModelInfo(
        source=str(source),
        name=source.name,
        input=InputSpec(shape, channels, preprocessing, settings.fit or _usual_fit(shape)),
        labels=_labels(settings, facts),
        ending=facts.ending,
        logits=facts.spelled != "softmax",
        layers=facts.layers,
        cam_layer=_cam_layer(settings, facts),
        questions=questions,
        notes=tuple(_notes(settings, facts, questions, guess)),
        fingerprint=facts.fingerprint,
        outputs=facts.outputs,
        batch=max(1, min(MOST_PICTURES, BEST_WORK // max(facts.work, 1))),
        gives=facts.gives,
    )


def _shape(settings: Settings, facts: Facts) -> tuple[tuple[int | None, ...], int]:
    """Size and channels; of a free size, what the user says."""
    shape, channels = facts.shape[:-1], facts.shape[-1]
    assert channels is not None
    if settings.channels not in (None, channels):
        raise SettingError(
            "channels", f"pictures of {settings.channels} channels are asked for; the model takes {channels}"
        )
    said = settings.size
    if said is None:
        return shape, channels
    if len(said) != len(shape):
        kind = "volumes: size=(z, y, x)" if len(shape) == 3 else "pictures: size=(height, width)"
        raise SettingError("size", f"{len(said)} numbers are given for a size, but the model takes {kind}")
    if any(own not in (None, asked) for own, asked in zip(shape, said, strict=True)):
        raise SettingError(
            "size", f"pictures of {sized(said)} pixels are asked for; the model takes {sized(shape)}"
        )
    return said, channels


def _usual_fit(shape: tuple[int | None, ...]) -> Fit:
    """Pictures are cropped, as most are for training. Voxels are seldom cubes: of a volume, all is taken."""
    return "crop" if len(shape) == 2 else "stretch"


def _fitting(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Refuse a preprocessing made for other channels than the model's."""
    given = {len(preprocessing.mean), len(preprocessing.std), 3 if preprocessing.bgr else 1}
    if given - {1, channels}:
        raise SettingError(
            "preprocessing",
            f"preprocessing {preprocessing.name!r} is for {max(given)} channels; the model has {channels}",
        )
    return preprocessing


def find_shape(
    run: Callable[[Array], object], settings: Settings, channels: int | None, axes: int = 2
) -> tuple[int, ...]:
    """Size and channels of pictures that a model takes: what the user says, or what works first.

    Parameters
    ----------
    run : callable
        Runs the model on (1, H, W, C) or (1, Z, H, W, C) float32; raises ModelError if it does not take them.
    channels : int, optional
        What the model shows.
    axes : int
        2 of pictures, 3 of volumes.

    Raises
    ------
    ModelError
        If it takes none of the sizes; SettingError, if the user said which.
    """
    depth = settings.channels or channels or 3
    first: ModelError | None = None
    for size in [settings.size] if settings.size else SIZES[axes]:
        try:
            run(np.zeros((1, *size, depth), np.float32))
        except ModelError as error:
            first = first or error
        else:
            return *size, depth
    if settings.size:
        raise SettingError("size", str(first)) from first
    names = "(height, width)" if axes == 2 else "(z, y, x)"
    if settings.channels:
        raise SettingError("channels", f"{first}; say the size of its pictures, too: size={names}")
    raise ModelError(f"{first}; say the size of its pictures: size={names}") from first


def find_ending(run: Callable[[Array], Array], shape: tuple[int, ...]) -> Ending | None:
    """Tell logits from probabilities whose softmax or sigmoid was spelled by hand; None for logits.

    Parameters
    ----------
    run : callable
        Outputs (N, K) of pictures (N, *shape).
    """
    picture = np.random.default_rng(0).random((1, *shape), np.float32)
    # Some so large that what is not squashed leaves 0..1; a softmax may overflow there, and says nothing then.
    outputs = np.concatenate([run(scale * picture) for scale in (1, -1, 30, -30, 1000, -1000)])
    outputs = outputs[np.isfinite(outputs).all(-1)]
    if not len(outputs) or outputs.min() < 0 or outputs.max() > 1 + 1e-3:
        return None
    several = outputs.shape[-1] > 1
    return "softmax" if several and np.allclose(outputs.sum(-1), 1, atol=1e-3) else "sigmoid"


def _labels(settings: Settings, facts: Facts) -> tuple[str, ...]:
    """Name the classes; of a single output, one name is that of the class it is high for."""
    n_classes = facts.n_classes
    labels = settings.labels or tuple(f"class {i}" for i in range(n_classes))
    if len(labels) == facts.n_outputs < n_classes:
        return f"not {labels[0]}", labels[0]
    if len(labels) != n_classes:
        raise SettingError(
            "labels",
            f"{len(labels)} class names are given for a model with {n_classes} classes: it needs one for each",
        )
    return labels


def _cam_layer(settings: Settings, facts: Facts) -> str:
    """The last layer with space that is not a mere thinning out of another one."""
    names = [layer.name for layer in facts.layers]
    if settings.layer is None:
        return next((name for name in reversed(names) if name not in facts.thinned), "")
    if settings.layer not in {*names, *facts.names}:
        raise SettingError(
            "layer", f"the model has no layer {settings.layer!r} with space; it has {', '.join(names)}"
        )
    return settings.layer


def _questions(source: Source, settings: Settings, facts: Facts) -> Iterator[Question]:
    if not (facts.known or settings.size):
        yield "size"
    if not (facts.sure or settings.preprocessing):
        yield "preprocessing"
    if facts.outputs:
        yield "output"
    if not settings.labels and source.kind != "application":
        yield "labels"


def _notes(settings: Settings, facts: Facts, questions: tuple[Question, ...], guess: str) -> Iterator[str]:
    if settings.note:
        yield settings.note
    if "size" in questions:
        yield f"Input size is a guess ({sized(facts.shape[:-1])}): say what the model was trained on."
    if "preprocessing" in questions:
        yield f"Preprocessing is a guess ({guess}): say what the model was trained with."
    if facts.spelled:
        yield SPELLED[facts.spelled]
    yield from facts.notes
