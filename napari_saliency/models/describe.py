"""Descriptions of models, put together from facts and from what the user says; the same for every framework.

Some say little of themselves: a PyTorch network knows neither the size of its pictures nor the names of
its classes. What they do not say is guessed, and asked for. Adapters find `Facts`; everything else about a description
is decided here. A setting that does not fit is a `SettingError`, to which `sidecar.naming_the_file` adds the file that
holds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_saliency.core.errors import quote
from napari_saliency.core.placement import format_size
from napari_saliency.core.preprocessing import PREPROCESSINGS, InputSpec, Preprocessing
from napari_saliency.core.types import NEEDS
from napari_saliency.models.info import ModelInfo
from napari_saliency.models.settings import SettingError

if TYPE_CHECKING:
    from napari_saliency.core.types import Fit, Needs, OutputActivation
    from napari_saliency.models.info import Layer, Question
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.sources import Source

Shape = tuple[int | None, ...]

OWN_SIZE = "It takes images of any size: if it was trained on one size, say which in Settings."

IMPLICIT = {
    "softmax": "Logits cannot be read off this model; log-probabilities stand in for them.",
    "sigmoid": "Logits are computed back from the probabilities: they are inexact where those are nearly 0 or 1.",
}


@dataclass(frozen=True)
class Facts:
    """Facts about a model, mostly found out by running it.

    Attributes
    ----------
    shape : (height, width, channels), or (z, y, x, channels)
        Of a picture; None for a size that is free.
    known : bool
        Whether the model itself or the user says so; otherwise it is a guess, or, where a size is free, was
        found out.
    n_outputs : int
        One sigmoid tells two classes apart, whose logits are -z and z.
    fingerprint : str
        SHA-256 over the architecture and the weights.
    raw : bool
        Whether nothing is seen to make probabilities of the outputs.
    implicit : {"softmax", "sigmoid"} or None
        What the outputs are probabilities of, although how they are computed from logits is not seen.
    guess : str
        Name of the preprocessing that it probably wants; "" where nothing tells.
    sure : bool
        True if that is not a guess.
    layers : tuple of Layer
        Where a size is free, in that of some picture, or 0.
    names : set of str
        Further names by which layers can be asked for.
    thinned : set of str
        Layers whose output is another layer's, thinned out or moved.
    multiple : int
        Sizes that are free must be multiples of it.
    notes : tuple of str
        Further sentences for the user.
    activation, space, inputs, outputs, work, memory, gives, unruled
        See `ModelInfo`.
    """

    shape: Shape = ()
    known: bool = False
    n_outputs: int = 0
    fingerprint: str = ""
    activation: OutputActivation = "softmax"
    space: tuple[int | None, ...] = ()
    raw: bool = False
    implicit: OutputActivation | None = None
    guess: str = ""
    sure: bool = False
    layers: tuple[Layer, ...] = ()
    names: frozenset[str] = frozenset()
    thinned: frozenset[str] = frozenset()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    multiple: int = 1
    work: float = 0
    memory: float = 0
    notes: tuple[str, ...] = ()
    gives: frozenset[Needs] = field(default=frozenset(NEEDS))
    unruled: str = ""

    @property
    def n_classes(self) -> int:
        """Number of logits."""
        return 2 if self.n_outputs == 1 and self.activation == "sigmoid" else self.n_outputs


def describe(source: Source, settings: Settings, facts: Facts) -> ModelInfo:
    """Put a model's description together.

    Raises
    ------
    SettingError
        If what the user says does not fit the model.
    """
    *space, channels = fit_shape(settings, facts.shape)
    assert channels is not None
    shape = tuple(space)
    guess = facts.guess or ("torch" if channels == 3 else "unit")
    preprocessing = _fitting(settings.resolve() or PREPROCESSINGS[guess], channels)
    questions = tuple(_questions(source, settings, facts))
    return ModelInfo(
        source=str(source),
        name=source.name,
        input=InputSpec(shape, channels, preprocessing, settings.fit or _usual_fit(shape), facts.multiple),
        labels=_labels(settings, facts),
        activation=facts.activation,
        space=facts.space,
        logits=facts.implicit != "softmax",
        layers=_layers(facts),
        cam_layer=_cam_layer(settings, facts),
        questions=questions,
        notes=tuple(_notes(settings, facts, questions, guess)),
        fingerprint=facts.fingerprint,
        inputs=facts.inputs,
        outputs=facts.outputs,
        work=facts.work,
        memory=facts.memory,
        gives=facts.gives,
        unruled=facts.unruled,
        sized=bool(settings.size),
    )


def fit_shape(settings: Settings, shape: Shape) -> Shape:
    """Return size and channels; of a free size, what the user says.

    Raises
    ------
    SettingError
        If the user says otherwise than the model.
    """
    own, channels = shape[:-1], shape[-1]
    if settings.channels not in (None, channels):
        raise SettingError(
            "channels", f"pictures of {settings.channels} channels are asked for; the model takes {channels}"
        )
    given = settings.size
    if not given:
        return shape
    if len(given) != len(own):
        kind = "volumes: size=(z, y, x)" if len(own) == 3 else "pictures: size=(height, width)"
        raise SettingError("size", f"{len(given)} numbers are given for a size, but the model takes {kind}")
    if any(n not in (None, asked) for n, asked in zip(own, given, strict=True)):
        raise SettingError(
            "size",
            f"pictures of {format_size(given)} pixels are asked for; the model takes {format_size(own)}",
        )
    return *given, channels


def _usual_fit(shape: Shape) -> Fit:
    """Crop pictures, as most are for training; of a volume, whose voxels are seldom cubes, take all."""
    return "crop" if len(shape) == 2 else "stretch"


def _fitting(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Refuse a preprocessing made for other channels than the model's."""
    given = {len(preprocessing.mean), len(preprocessing.std), 3 if preprocessing.bgr else 1}
    if given - {1, channels}:
        raise SettingError(
            "preprocessing",
            f"preprocessing {quote(preprocessing.name)} is for {max(given)} channels; the model has {channels}",
        )
    return preprocessing


def _labels(settings: Settings, facts: Facts) -> tuple[str, ...]:
    """Name the classes; of a single output, one name is that of the class it is high for."""
    n_classes = facts.n_classes
    kind = "class" if facts.activation != "quantity" else "quantity" if n_classes > 1 else ""
    labels = settings.labels or tuple(f"{kind} {i}" if kind else "value" for i in range(n_classes))
    if len(labels) == facts.n_outputs < n_classes:
        return f"not {labels[0]}", labels[0]
    if len(labels) != n_classes:
        raise SettingError(
            "labels",
            f"{len(labels)} class names are given for a model with {n_classes} classes: it needs one for each",
        )
    return labels


def _layers(facts: Facts) -> tuple[Layer, ...]:
    """Return layers as they are displayed: without sizes that depend on the picture's."""
    if all(facts.shape):
        return facts.layers
    return tuple(layer._replace(shape=(0,) * len(layer.shape)) for layer in facts.layers)


def _cam_layer(settings: Settings, facts: Facts) -> str:
    """Choose the last layer with space that is not merely another one, thinned out.

    Of a segmentation the last one at its narrowest place (Vinogradova et al. 2020, section 3).
    """
    names = [layer.name for layer in facts.layers]
    if settings.layer is None:
        own = [layer for layer in reversed(facts.layers) if layer.name not in facts.thinned]
        if (
            facts.space
        ):  # the last one is the answer itself; in the narrowest, much of the picture comes together
            own.sort(key=lambda layer: math.prod(layer.shape))
        return own[0].name if own else ""
    if settings.layer not in {*names, *facts.names}:
        raise SettingError(
            "layer", f"the model has no layer {quote(settings.layer)} with space; it has {', '.join(names)}"
        )
    return settings.layer


def _questions(source: Source, settings: Settings, facts: Facts) -> Iterator[Question]:
    if not (facts.known or settings.size or None in facts.shape):
        yield "size"
    if not (facts.sure or settings.preprocessing):
        yield "preprocessing"
    if facts.inputs and settings.input is None:
        yield "input"
    if facts.outputs and settings.output is None:
        yield "output"
    if facts.raw and facts.n_outputs == 1 and settings.task is None:
        yield "task"
    elif not (settings.labels or source.kind == "application" or _is_one_quantity(facts)):
        yield "labels"


def _is_one_quantity(facts: Facts) -> bool:
    """Return whether there is nothing that names would tell apart."""
    return facts.activation == "quantity" and facts.n_outputs == 1


def _notes(settings: Settings, facts: Facts, questions: tuple[Question, ...], guess: str) -> Iterator[str]:
    if settings.note:
        yield settings.note
    if "size" in questions:
        yield f"Input size is a guess ({format_size(facts.shape[:-1])}): say what the model was trained on."
    if None in facts.shape and not (facts.known or facts.space or settings.size):
        yield OWN_SIZE
    if "preprocessing" in questions:
        yield f"Preprocessing is a guess ({guess}): say what the model was trained with."
    if "task" in questions:
        yield "Its one number is taken for two classes; if it is a quantity, say that the model is a regression."
    if facts.implicit:
        yield IMPLICIT[facts.implicit]
    yield from facts.notes
