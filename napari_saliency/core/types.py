"""The frozen data that every other module speaks in; numpy only.

Laws
----
Arrays are channels-last and float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index as whole
from types import MappingProxyType
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt

from napari_saliency.core.placement import Region, share

Array = npt.NDArray[np.float32]

Score = Literal["logit", "probability", "log_probability", "increase", "decrease"]
"""What is explained: of a class its logit (the score before softmax or sigmoid) or its probability, of a
quantity why it is not smaller, or not larger."""

Rule = Literal["guided", "deconvnet"]
"""How ReLUs pass gradients back when not by their derivative."""

Fit = Literal["crop", "stretch", "pad"]
"""How a picture is brought to the model's size: centre crop, stretched, letterboxed."""

OutputActivation = Literal["softmax", "sigmoid", "quantity"]
"""How logits become probabilities: classes exclude each other, or do not; quantities have none."""

Needs = Literal["scores", "gradient", "tap", "propagate", "cascade"]
"""What a method or a check asks of a model: one of the calls of `models.Model`. Methods ask for the first four."""

Shows = Literal["map", "stack", "picture"]
"""What a method's values are: a map, of which channels are one pixel's; a stack, each of whose channels is
a map of its own; or a picture.
"""

Weights = tuple[tuple[int, float], ...]
"""(class index, weight), sorted by class, each class once."""

SCORES: tuple[Score, ...] = ("logit", "probability", "log_probability")
DIRECTIONS: tuple[Score, ...] = ("increase", "decrease")
NEEDS: tuple[Needs, ...] = ("scores", "gradient", "tap")
FITS: tuple[Fit, ...] = get_args(Fit)
PLURALS: Mapping[str, str] = MappingProxyType(
    {"class": "classes", "quantity": "quantities", "channel": "channels"}
)
"""What the numbers can be that a model answers with, or a layer of it."""

NOTHING: Mapping[str, float] = MappingProxyType({})


class Rescale(NamedTuple):
    """Bring differences back: each activation's change over its input's (Shrikumar et al. 2017, section 3.5.1).

    Attributes
    ----------
    start : (N, *space, C) float32
        The empty pictures that these differ from, preprocessed.
    """

    start: Array


class Epsilon(NamedTuple):
    """Share a neuron's relevance among what it sums (Bach et al. 2015, eq. 58).

    Attributes
    ----------
    epsilon : float
        Added to each sum, in its direction; what sums to less loses its relevance.
    """

    epsilon: float


def _class_index(value: object) -> int:
    """Take a whole number; a label, which only a model knows, is refused."""
    if isinstance(value, str):
        raise ValueError(
            f"a Target takes a class's index, not {value!r}, as only a model knows its labels: "
            f"model.info.labels.index({value!r}) gives the index"
        )
    try:
        if not isinstance(value, bool):
            return whole(value)  # type: ignore[arg-type] # which it says itself
    except TypeError:
        pass
    raise ValueError(f"a Target takes a class's index, not {value!r}: give a whole number from 0 on")


@dataclass(frozen=True)
class Target:
    """What is explained: a weighted sum of the scores of classes.

    Attributes
    ----------
    weights : tuple of (class index, weight)
        Sorted by class, each class once; hashable, so that a target can be part of a cache key.
    score : {"logit", "probability", "log_probability", "increase", "decrease"}
        Which of the class's numbers is weighted.
    region : Region, optional
        Of models whose output has space: where. The scores' mean there is explained; without it, their
        mean everywhere.
    """

    weights: Weights
    score: Score = "logit"
    region: Region | None = None

    def __post_init__(self) -> None:
        if self.score not in get_args(Score):
            raise ValueError(f"score {self.score!r} is not one of {', '.join(get_args(Score))}")
        try:
            pairs = [(index, float(weight)) for index, weight in self.weights]
        except (TypeError, ValueError):
            raise ValueError(f"weights {self.weights!r} must be pairs of a class and a number") from None
        classes = [_class_index(index) for index, _ in pairs]
        if not all(math.isfinite(weight) for _, weight in pairs):
            raise ValueError(f"weights {self.weights!r} must be finite numbers")
        if not classes or classes != sorted(set(classes)) or classes[0] < 0:
            raise ValueError(f"weights {self.weights!r} must name each class once, sorted, from 0 on")

    @classmethod
    def of_class(cls, index: int, score: Score = "logit") -> Self:
        """One class."""
        return cls(((_class_index(index), 1.0),), score)

    @classmethod
    def contrast(cls, this: int, rather_than: int, score: Score = "logit") -> Self:
        """Why ``this`` class rather than that one: the difference of their scores."""
        this, rather_than = _class_index(this), _class_index(rather_than)
        if this == rather_than:
            raise ValueError(f"a contrast needs two different classes, not {this} twice")
        return cls.weighted({this: 1.0, rather_than: -1.0}, score)

    @classmethod
    def weighted(cls, weights: Mapping[int, float] | Sequence[float], score: Score = "logit") -> Self:
        """Any weighting: class → weight, or one weight for each class."""
        pairs = weights.items() if isinstance(weights, Mapping) else enumerate(weights)
        return cls(tuple(sorted((_class_index(i), float(w)) for i, w in pairs if w)), score)

    @property
    def index(self) -> int | None:
        """The class, if the target is one class."""
        return self.weights[0][0] if len(self.weights) == 1 and self.weights[0][1] == 1 else None

    def dense(self, n_classes: int, space: tuple[int, ...] = ()) -> Array:
        """Weights of all outputs, (n_classes,), or (*space, n_classes) for outputs with space.

        Raises
        ------
        ValueError
            If the target names a class that the model does not have.
        """
        if self.weights[-1][0] >= n_classes:
            last = self.weights[-1][0]
            raise ValueError(f"class {last} does not exist: the model has classes 0 to {n_classes - 1}")
        dense = np.zeros(n_classes, np.float32)
        for index, weight in self.weights:
            dense[index] = weight
        return share(self.region, space)[..., None] * dense if space else dense


@dataclass(frozen=True, eq=False)
class Targets:
    """One target for each picture of a batch, ready for `Model.gradient`.

    Attributes
    ----------
    weights : (N, K) or (N, *space, K) float32
        Row n weighs the K classes' scores of picture n.
    score : {"logit", "probability", "log_probability"}
        Which of the classes' numbers are weighted.
    """

    weights: Array
    score: Score = "logit"

    def repeat(self, times: int) -> Targets:
        """Repeat the whole batch: rows 0..N-1, then 0..N-1 again, and so on."""
        return Targets(np.tile(self.weights, (times, *[1] * (self.weights.ndim - 1))), self.score)


class Ranked(NamedTuple):
    """A row of the class table."""

    index: int  # type: ignore[assignment] # hides tuple.index(), which nobody needs here
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says of one picture.

    Attributes
    ----------
    logits, probabilities, log_probabilities : (K,) float32
        Where a model's logits cannot be had, ``logits`` holds log-probabilities. Of outputs with space
        the means over a region. Quantities are ``logits``, and their probabilities NaN.
    labels : tuple of str
        The classes' names.
    space : tuple of int
        Size of an output that has space; () of all others.
    channels : bool
        Whether the quantities are a layer's channels, of which the strongest come first.
    """

    logits: Array
    probabilities: Array
    log_probabilities: Array
    labels: tuple[str, ...]
    space: tuple[int, ...] = ()
    channels: bool = False

    def order(self) -> npt.NDArray[np.intp]:
        """Class indices, the most probable first; ties, and quantities, in the order of the classes."""
        if self.channels:
            return np.argsort(-self.logits, kind="stable")
        if self.of_quantities:
            return np.arange(len(self.logits))
        return np.lexsort((-self.logits, -self.probabilities))

    @property
    def of_quantities(self) -> bool:
        """Whether the scores are no classes'."""
        return bool(np.isnan(self.probabilities).all())

    @property
    def noun(self) -> str:
        """What the scores are of: one of `PLURALS`."""
        return "channel" if self.channels else "quantity" if self.of_quantities else "class"

    @property
    def owner(self) -> str:
        """Whose they are, in words."""
        return "the layer" if self.channels else "the model"

    def top(self, k: int = 5) -> list[Ranked]:
        """Return the ``k`` most probable classes, the most probable first; quantities in their order."""
        return [Ranked(int(i), self.labels[i], float(self.probabilities[i])) for i in self.order()[:k]]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A method's answer so far.

    Attributes
    ----------
    values : (N, h, w, C) or (N, h, w) float32; of volumes (N, z, y, x, C) or (N, z, y, x)
        The maps: raw, signed, not normalised.
    done, total : int
        How far the method is; the last estimate has ``done == total``.
    stderr : array like ``values``, or None
        Standard error of each value, of methods that sample.
    diagnostics : mapping
        Figures that tell how far the map can be trusted, each a (N,) array or a number.
    notes : sequence of tuple of str
        For each picture the sentences that the user must read with its map; empty if there are none.
    """

    values: Array
    done: int
    total: int
    stderr: Array | None = None
    diagnostics: Mapping[str, float | Array] = field(default_factory=lambda: NOTHING)
    notes: Sequence[tuple[str, ...]] = ()
