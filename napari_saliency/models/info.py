"""Descriptions of models: all that the viewer needs to know of one, and nothing of its framework."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from napari_saliency.core.types import DIRECTIONS, NEEDS, PLURALS, SCORES, Needs, OutputActivation, Score

if TYPE_CHECKING:
    from napari_saliency.core.preprocessing import InputSpec

Question = Literal["size", "preprocessing", "input", "output", "task", "labels"]
"""A setting of a model file that only the user knows."""

MOST_PICTURES, BEST_WORK, BEST_PIXELS = 8, 12_000_000_000, 8 * 224 * 224
"""Limits of one call: images, multiplications of their forward passes, and pixels, beyond which a call only takes
longer or more memory. Measured on processors."""


class Layer(NamedTuple):
    """A layer whose output has space, so that a class activation map can be made of it.

    Its shape has as many axes as the model's input, and 0 where the size depends on the picture's.
    """

    name: str
    shape: tuple[int, ...]
    channels: int


@dataclass(frozen=True)
class ModelInfo:
    """Description of a model for the viewer; small, and pickled between processes.

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
    activation : {"softmax", "sigmoid", "quantity"}
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
    gives : set of {"scores", "gradient", "tap", "rescale", "epsilon", "cascade"}
        Which calls it answers; a method works if its ``needs`` is among them.
    unruled : str
        What ``"rescale"`` and ``"epsilon"`` need that is not there, or the latter alone.
    sized : bool
        Whether the user said the size, and may take it back.
    viewed_layer : str
        The layer whose channels are its answer, of a model that was looked into; see `Model.viewed_layer`.
    outer : ModelInfo, optional
        Of the whole model, then.
    """

    source: str
    name: str
    input: InputSpec
    labels: tuple[str, ...]
    activation: OutputActivation = "softmax"
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
    unruled: str = ""
    sized: bool = False
    viewed_layer: str = ""
    outer: ModelInfo | None = None

    @property
    def description(self) -> str:
        """Summary in a line, such as ``224×224 RGB, 1000 classes``."""
        if self.viewed_layer:
            return f"{self.input.description}, {len(self.labels)} channels of {self.viewed_layer}"
        count = f"{len(self.labels)} {PLURALS[self.noun]}" if len(self.labels) > 1 else f"one {self.noun}"
        return f"{self.input.description}, {count}{' for each place' if self.space else ''}"

    @property
    def noun(self) -> str:
        """Kind of number that it answers with: one of `PLURALS`."""
        return "channel" if self.viewed_layer else "quantity" if self.activation == "quantity" else "class"

    def together(self, space: tuple[int, ...]) -> int:
        """Return how many pictures of a size are best run in one call.

        The number follows from the work of a pixel, never from the clock or from free memory, so the same request is
        always cut alike.
        """
        pixels = math.prod(space)
        by_work = BEST_WORK // max(self.work * pixels, 1)
        return max(1, int(min(self.batch, by_work, BEST_PIXELS // pixels)))

    @property
    def scores(self) -> tuple[Score, ...]:
        """Scores of an output that can be explained; the first unless another is asked for."""
        return DIRECTIONS if self.activation == "quantity" else SCORES

    def lacks(self, call: Needs) -> str:
        """Say what is missing for a call that is not among ``gives``: ``needs layers, which net does not give``."""
        if call in ("rescale", "epsilon"):
            return f"needs {self.unruled or f'a network whose operations are visible, and {self.name} shows none'}"
        what = {"gradient": "derivatives", "tap": "layers", "cascade": "weights"}.get(call, call)
        return f"needs {what}, which {self.name} does not give"
