"""The contract that every framework's adapter fulfils."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from napari_saliency._placement import share, sized
from napari_saliency._preprocessing import Preprocessing
from napari_saliency._types import (
    DIRECTIONS,
    NEEDS,
    PLURALS,
    SCORES,
    Array,
    Ending,
    Fit,
    ModelError,
    Needs,
    Prediction,
    Rule,
    Score,
)
from napari_saliency.models._endings import as_score, log_probabilities, probabilities
from napari_saliency.models._inside import no_channels
from napari_saliency.models._memory import check_memory
from napari_saliency.models._recall import Recall

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Sequence

    from napari_saliency._placement import Region
    from napari_saliency._types import Targets
    from napari_saliency.models._randomised import Randomised
    from napari_saliency.models._settings import Settings

Question = Literal["size", "preprocessing", "input", "output", "task", "labels"]
"""What only the user knows of a model file."""

MOST_PICTURES, BEST_WORK, BEST_PIXELS = 8, 12_000_000_000, 8 * 224 * 224
"""Of one call: pictures, multiplications of their forward passes, and pixels beyond which a call only gets longer,
or costs memory. Measured on processors."""


@dataclass(frozen=True)
class InputSpec:
    """What a model takes.

    Attributes
    ----------
    shape : (height, width), or (z, y, x) of models that take volumes
        In pixels; None where the model takes any size.
    channels : int
        1 grey, 3 RGB; others are taken as they are.
    preprocessing : Preprocessing
        From pictures with values 0..255, RGB, to the model's numbers.
    fit : {"crop", "stretch", "pad"}
        How a picture is brought to the model's size.
    multiple : int
        Sizes that are free must be multiples of it.
    """

    shape: tuple[int | None, ...]
    channels: int
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing.named("none"))
    fit: Fit = "crop"
    multiple: int = 1

    @property
    def words(self) -> str:
        """Size and channels as the user reads them, as in ``224×224 RGB``."""
        kind = {1: "grey", 3: "RGB"}.get(self.channels, f"{self.channels} channels")
        volumes = " (z×y×x)" if len(self.shape) == 3 else ""
        return f"{sized(self.shape)}{volumes} {kind}"


class Layer(NamedTuple):
    """A layer whose output has space, so that a class activation map can be made of it.

    Its shape has as many axes as the model's input, and 0 where the size depends on the picture's.
    """

    name: str
    shape: tuple[int, ...]
    channels: int


@dataclass(frozen=True)
class ModelInfo:
    """All that the viewer needs to know of a model; small, and pickled between processes.

    Attributes
    ----------
    source : str
        What `load_model` was given.
    name : str
        As the user reads it.
    input : InputSpec
        What the model takes.
    labels : tuple of str
        Name of each class; its length is the number of classes.
    ending : {"softmax", "sigmoid", "quantity"}
        How its logits become probabilities; of a regression they are quantities, and do not.
    space : tuple of int or None
        Size of the output, of models that answer for each place of a picture, as segmentations do; None
        where it depends on the picture's. () of all others.
    logits : bool
        False where the scores before the softmax cannot be had: log-probabilities stand in.
    layers : tuple of Layer
        Those that a class activation map can be made of, in the order of computation.
    cam_layer : str
        The one that is used unless another is asked for; "" where there is none.
    questions : tuple of {"size", "preprocessing", "input", "output", "task", "labels"}
        What had to be guessed and only the user knows.
    notes : tuple of str
        Sentences that the user must read before believing the model.
    fingerprint : str
        SHA-256 over the architecture and the weights.
    outputs : tuple of str
        Names of the network's outputs, where they are several and nobody said which.
    batch : int
        Most pictures of one call.
    work, memory : float
        Multiplications of a forward pass, and bytes that a gradient holds, for each pixel of a picture; 0 where
        they are not known.
    gives : set of {"scores", "gradient", "tap", "cascade"}
        Which calls it answers; a method works if its ``needs`` is among them.
    inside : str
        The layer whose channels are its answer, of a model that was looked into; see `Model.inside`.
    outer : ModelInfo, optional
        Of the whole model, then.
    """

    source: str
    name: str
    input: InputSpec
    labels: tuple[str, ...]
    ending: Ending = "softmax"
    space: tuple[int | None, ...] = ()
    logits: bool = True
    layers: tuple[Layer, ...] = ()
    cam_layer: str = ""
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    batch: int = MOST_PICTURES
    work: float = 0
    memory: float = 0
    gives: frozenset[Needs] = frozenset(NEEDS)
    inside: str = ""
    outer: ModelInfo | None = None

    @property
    def words(self) -> str:
        """As in ``224×224 RGB, 1000 classes``."""
        if self.inside:
            return f"{self.input.words}, {len(self.labels)} channels of {self.inside}"
        count = f"{len(self.labels)} {PLURALS[self.noun]}" if len(self.labels) > 1 else f"one {self.noun}"
        return f"{self.input.words}, {count}{' for each place' if self.space else ''}"

    @property
    def noun(self) -> str:
        """What it answers with: one of `PLURALS`."""
        return "channel" if self.inside else "quantity" if self.ending == "quantity" else "class"

    def together(self, space: tuple[int, ...]) -> int:
        """How many pictures of a size are best run in one call; it depends on nothing else."""
        pixels = math.prod(space)
        by_work = BEST_WORK // max(self.work * pixels, 1)
        return max(1, int(min(self.batch, by_work, BEST_PIXELS // pixels)))

    @property
    def scores(self) -> tuple[Score, ...]:
        """What of an output can be explained; the first unless another is asked for."""
        return DIRECTIONS if self.ending == "quantity" else SCORES


def no_classifier(output: str, dense: str = "(pictures, height, width, classes)") -> str:
    """Say that an output is none that can be explained.

    Parameters
    ----------
    output : str
        As in ``of shape (8, 20, 6)``.
    dense : str
        Shape of a segmentation's.
    """
    return (
        f"the model's output {output} is neither a classifier's, which is (pictures, classes), nor a "
        f"segmentation's, {dense}: detectors and models of sequences cannot be explained"
    )


class Tap(NamedTuple):
    """A layer's output and the score's gradient with respect to it, each (N, h, w, C) or (N, z, y, x, C)."""

    activations: Array
    gradients: Array


class Model(ABC):
    """A classifier. Pictures are (N, H, W, C) float32, volumes (N, Z, H, W, C), already preprocessed.

    All gradients in this project come out of `gradient` and `tap`: classes, contrasts and other
    weightings differ only in ``targets.weights``, probability and logit only in ``targets.score``.
    Instances may be called from several threads; calls then run one after the other.
    """

    info: ModelInfo
    _recall: Recall | None = None

    @abstractmethod
    def scores(self, x: Array) -> Array:
        """Logits (N, K), or (N, *space, K), in inference mode; log-probabilities where ``info.logits`` is False."""

    @abstractmethod
    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        """Value of each target and its derivative with respect to each picture.

        Parameters
        ----------
        x : (N, H, W, C) float32
            Preprocessed pictures.
        targets : Targets
            N rows of weights, of the scores' shape.
        rule : {"guided", "deconvnet"}, optional
            How gradients pass ReLUs; without it, by the derivative.

        Returns
        -------
        (N,) float32, (N, H, W, C) float32

        Raises
        ------
        ModelError
            If ``rule`` is given and the network has no ReLU that it could apply to.
        """

    @abstractmethod
    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        """Output of a layer and the derivative of each target with respect to it.

        Raises
        ------
        ModelError
            If the layer is not one of ``info.layers``.
        """

    @abstractmethod
    def with_settings(self, settings: Settings) -> Model:
        """Return the same network described by other settings, without loading it again."""

    def inside(self, layer: str) -> Model:
        """Look into a layer: the same network, which answers with that layer's channels, nothing loaded again.

        All that explains a class explains a channel then: its mean over the layer's places, or over those
        of a region, so that one place is a unit.

        Parameters
        ----------
        layer : str
            One of ``info.layers``; of an ONNX file the name of any tensor.

        Returns
        -------
        Model
            Its ``info`` has the layer's channels for labels, as in ``block5_conv3[12]``, which are quantities,
            and the layer's places for ``space``.

        Raises
        ------
        ModelError
            If the layer cannot be looked at.
        """
        raise no_channels(self.info, layer, ())

    def cascade(self, steps: int, seed: int = 0) -> Generator[Randomised]:
        """Make the weights of a copy random, layer after layer from the output down (Adebayo et al. 2018).

        Parameters
        ----------
        steps : int
            How many of these networks to give, spread evenly from one random layer to all of them; all, if
            there are fewer layers.
        seed : int
            Of the random numbers.

        Yields
        ------
        Randomised
            Layers below those that are random have the model's own weights, bit for bit; those that come after the
            layer that was looked into are none of them. A layer's weights are drawn by its own initialisers,
            where they are known; the others are its own in random order.

        Raises
        ------
        ModelError
            If the weights cannot be changed: ``info.gives`` has no ``"cascade"``.

        Notes
        -----
        The model itself is left as it is, wherever this is stopped.
        """
        raise self.no_cascade()

    def no_cascade(self) -> ModelError:
        """What `cascade` raises."""
        return ModelError(f"{self.info.name} keeps its weights to itself, so they cannot be made random")

    def no_layer(self, layer: str) -> ModelError:
        """What `tap` raises."""
        return ModelError(
            f"{layer!r} is not a layer of {self.info.name} that a class activation map can be made of"
        )

    def no_relu(self, rule: Rule) -> ModelError:
        """What `gradient` raises."""
        return ModelError(
            f"{self.info.name} has no ReLU, so {rule} backpropagation would be the plain gradient: use that"
        )

    def predict(self, x: Array, regions: Sequence[Region | None] | None = None) -> list[Prediction]:
        """What the model says of each picture of ``x``, or, if its output has space, of a region of each."""
        check_memory(self.info, x.shape)
        scores = self.scores(x)
        return [self.prediction(*one) for one in zip(scores, regions or [None] * len(scores), strict=True)]

    def prediction(self, logits: Array, region: Region | None = None) -> Prediction:
        """Name and weigh the logits (K,), or (*space, K), of one picture.

        Raises
        ------
        ModelError
            If they are not numbers.
        ValueError
            If a region is given although the output has no space.
        """
        largest = float(logits.max())  # NaN where any is; some may be -inf, as the logarithm of 0
        if not math.isfinite(largest):
            raise ModelError(
                f"the model's scores of this picture are not finite numbers ({largest}): its weights are "
                f"damaged, or preprocessing {self.info.input.preprocessing.name!r} does not fit it; "
                "save the model again, or choose the preprocessing that it was trained with"
            )
        space, ending = logits.shape[:-1], self.info.ending
        if region and not space:
            raise ValueError(
                f"{self.info.name} gives one answer for the whole picture: leave the region out, which is for "
                "models whose output has space"
            )
        score, p, log_p = logits, probabilities(logits, ending), log_probabilities(logits, ending)
        if space:
            counts = share(region, space)
            score, p, log_p = (np.tensordot(counts, each, len(space)) for each in (score, p, log_p))
        return Prediction(score, p, log_p, self.info.labels, space, channels=bool(self.info.inside))

    def weigh(self, scores: Array, targets: Targets) -> Array:
        """Value (N,) of each target, of what `scores` has returned."""
        found = as_score(scores, targets.score, self.info.ending)
        return np.asarray((targets.weights * found).sum(axis=tuple(range(1, found.ndim))), np.float32)

    def recall(self, x: Array, *question: Hashable) -> Recall:
        """Scores that a method has asked for pictures ``x`` with the options that ``question`` names.

        Those of the last question are kept, so that another class of it runs the model zero times.
        """
        if self._recall is None or not self._recall.answers(x, question):
            self._recall = Recall(x, question)
        return self._recall


def first_line(error: BaseException) -> str:
    """The first line of a framework's error that says something, without Keras' preface and bold type."""
    lines = (line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines())
    said = (line for line in lines if line and not line.startswith("Exception encountered when calling"))
    return next(said, type(error).__name__)[:300]
