"""Frozen data classes that every other module uses; numpy only.

Arrays are channels-last and float32. A quantity, the output of a regression, is a logit without a probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index as as_integer
from types import MappingProxyType
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt

from napari_saliency.core.errors import quote
from napari_saliency.core.placement import Region, share

Array = npt.NDArray[np.float32]

Score = Literal["logit", "probability", "log_probability", "increase", "decrease"]
"""Score to explain: for a class its logit (before softmax or sigmoid), probability or log-probability; for a
quantity of a regression model ``increase`` (the output) or ``decrease`` (its negative, a weight of -1)."""

ReluRule = Literal["guided", "deconvnet"]
"""Backward rule of ReLUs, in place of their derivative."""

Fit = Literal["crop", "stretch", "pad"]
"""Resizing of an image to the input size: centre crop, stretch, or letterbox."""

OutputActivation = Literal["softmax", "sigmoid", "quantity"]
"""Output activation: for exclusive classes, for independent classes, or none (regression)."""

Needs = Literal["scores", "gradient", "tap", "rescale", "epsilon", "cascade"]
"""Operation of `models.Model` that a method or check needs, or a gradient by a rule that every operation of the network
must have. Methods need any of them except the last."""

Shows = Literal["map", "stack", "picture"]
"""Kind of a method's values: a map, whose channels belong to one pixel; a stack, each of whose channels is a
map; or a generated image.
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
"""Kinds of outputs, of a model or of a layer, singular to plural."""

NOTHING: Mapping[str, float] = MappingProxyType({})


class Rescale(NamedTuple):
    """DeepLIFT's rescale rule (Shrikumar et al. 2017, section 3.5.1): finite differences in place of derivatives.

    An activation f passes back (f(z) - f(z')) / (z - z'), where z' is its input for the baseline image
    (Ancona et al. 2018, proposition 2).

    Attributes
    ----------
    start : (N, *space, C) float32
        Baseline images, preprocessed.
    """

    start: Array

    @property
    def needs(self) -> Literal["rescale"]:
        """Ability that a model needs for this rule."""
        return "rescale"


class Epsilon(NamedTuple):
    """Epsilon rule of layer-wise relevance propagation (Bach et al. 2015, eq. 58).

    An activation f passes back f(z) / z, and a sum z what reaches it times z / (z + epsilon sign z)
    (Ancona et al. 2018, proposition 1).

    Attributes
    ----------
    epsilon : float
        Added to each sum, with its sign; sums of smaller magnitude lose most of their relevance.
    """

    epsilon: float

    @property
    def needs(self) -> Literal["epsilon"]:
        """Ability that a model needs for this rule."""
        return "epsilon"


Rule = ReluRule | Rescale | Epsilon
"""Another derivative for each nonlinearity than its own."""


def _class_index(value: object) -> int:
    """Return a class index as int; refuse labels, which only a model knows, floats and bool."""
    if isinstance(value, str):
        raise ValueError(
            f"a Target takes a class index, not {quote(value)}, as only a model knows its labels: "
            f"model.info.labels.index({quote(value)}) gives the index"
        )
    try:
        if not isinstance(value, bool):
            return as_integer(value)  # type: ignore[arg-type] # raises TypeError itself
    except TypeError:
        pass
    raise ValueError(f"a Target takes a class index, not {quote(value)}: give an integer from 0 on")


@dataclass(frozen=True)
class Target:
    """The explained quantity: a weighted sum of class scores.

    A region spreads the weight of a class over the positions that it covers, so that the mean score there is explained.

    Attributes
    ----------
    weights : tuple of (class index, weight)
        Sorted by class, each class once; hashable, so that a target can be part of a cache key.
    score : {"logit", "probability", "log_probability", "increase", "decrease"}
        The score that is weighted.
    region : Region, optional
        For models with a spatial output: the mean score in this region is explained; without it, the mean
        over the whole output.
    """

    weights: Weights
    score: Score = "logit"
    region: Region | None = None

    def __post_init__(self) -> None:
        if self.score not in get_args(Score):
            raise ValueError(f"score {quote(self.score)} is not one of {', '.join(get_args(Score))}")
        try:
            pairs = [(index, float(weight)) for index, weight in self.weights]
        except (TypeError, ValueError):
            raise ValueError(f"weights {quote(self.weights)} must be pairs of a class and a number") from None
        classes = [_class_index(index) for index, _ in pairs]
        if not all(math.isfinite(weight) for _, weight in pairs):
            raise ValueError(f"weights {quote(self.weights)} must be finite numbers")
        if not classes or classes != sorted(set(classes)) or classes[0] < 0:
            raise ValueError(f"weights {quote(self.weights)} must name each class once, sorted, from 0 on")

    @classmethod
    def of_class(cls, index: int, score: Score = "logit") -> Self:
        """Make a target of one class."""
        return cls(((_class_index(index), 1.0),), score)

    @classmethod
    def contrast(cls, this: int, rather_than: int, score: Score = "logit") -> Self:
        """Make a target of the difference of two scores: why ``this`` class ``rather_than`` the other."""
        this, rather_than = _class_index(this), _class_index(rather_than)
        if this == rather_than:
            raise ValueError(f"a contrast needs two different classes, not {this} twice")
        return cls.weighted({this: 1.0, rather_than: -1.0}, score)

    @classmethod
    def weighted(cls, weights: Mapping[int, float] | Sequence[float], score: Score = "logit") -> Self:
        """Make a target from a mapping of class to weight, or from one weight per class."""
        pairs = weights.items() if isinstance(weights, Mapping) else enumerate(weights)
        return cls(tuple(sorted((_class_index(i), float(w)) for i, w in pairs if w)), score)

    @property
    def index(self) -> int | None:
        """Index of the class if the target is one class with weight 1, else None."""
        return self.weights[0][0] if len(self.weights) == 1 and self.weights[0][1] == 1 else None

    def dense(self, n_classes: int, space: tuple[int, ...] = ()) -> Array:
        """Return the weights of all outputs, (n_classes,), or (*space, n_classes) for spatial outputs.

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
    """One target per image of a batch, as `Model.gradient` takes them.

    Attributes
    ----------
    weights : (N, K) or (N, *space, K) float32
        Row n holds the weights of the K class scores of image n.
    score : {"logit", "probability", "log_probability"}
        The score that is weighted.
    """

    weights: Array
    score: Score = "logit"

    def repeat(self, times: int) -> Targets:
        """Repeat the whole batch: rows 0..N-1, then 0..N-1 again, and so on."""
        return Targets(np.tile(self.weights, (times, *[1] * (self.weights.ndim - 1))), self.score)


class Ranked(NamedTuple):
    """A row of the class table."""

    index: int  # type: ignore[assignment] # hides tuple.index(), which is not used
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """A model's prediction for one image.

    Attributes
    ----------
    logits, probabilities, log_probabilities : (K,) float32
        If the model's logits are not accessible, ``logits`` holds log-probabilities. For spatial outputs
        these are means over a region. The outputs of regression models are ``logits``, and their
        probabilities are NaN.
    labels : tuple of str
        Class names.
    space : tuple of int
        Size of a spatial output; () for all others.
    channels : bool
        True if the outputs are the channels of a layer.
    """

    logits: Array
    probabilities: Array
    log_probabilities: Array
    labels: tuple[str, ...]
    space: tuple[int, ...] = ()
    channels: bool = False

    def order(self) -> npt.NDArray[np.intp]:
        """Return the class indices, most probable first.

        Ties of the probabilities are broken by logit, then by index. Channels are ordered by value, the largest
        first; quantities by index.
        """
        if self.channels:
            return np.argsort(-self.logits, kind="stable")
        if self.of_quantities:
            return np.arange(len(self.logits))
        return np.lexsort((-self.logits, -self.probabilities))

    @property
    def of_quantities(self) -> bool:
        """True for regression outputs."""
        return bool(np.isnan(self.probabilities).all())

    @property
    def noun(self) -> str:
        """Kind of the outputs: a key of `PLURALS`."""
        return "channel" if self.channels else "quantity" if self.of_quantities else "class"

    @property
    def owner(self) -> str:
        """Owner of the outputs, for messages: the model or the layer."""
        return "the layer" if self.channels else "the model"

    def top(self, k: int = 5) -> list[Ranked]:
        """Return the first ``k`` classes in `order`."""
        return [Ranked(int(i), self.labels[i], float(self.probabilities[i])) for i in self.order()[:k]]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A method's intermediate or final result.

    Attributes
    ----------
    values : (N, h, w, C) or (N, h, w) float32; for volumes (N, z, y, x, C) or (N, z, y, x)
        The maps: raw, signed, not normalised.
    done, total : int
        Steps done, and steps in total; equal in the last estimate.
    stderr : array like ``values``, or None
        Standard error of each value, for methods that sample.
    diagnostics : mapping
        Measures of the maps' reliability, each a (N,) array or a number.
    notes : sequence of tuple of str
        For each image, sentences that the user must read with its map; empty if no image has any.
    """

    values: Array
    done: int
    total: int
    stderr: Array | None = None
    diagnostics: Mapping[str, float | Array] = field(default_factory=lambda: NOTHING)
    notes: Sequence[tuple[str, ...]] = ()
