"""The frozen data that every other module speaks in; numpy only.

Laws
----
Arrays are channels-last and float32. Pixel coordinates follow napari: the centre of the
first pixel is at 0, so a picture of height ``h`` covers ``-0.5 .. h - 0.5``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index as whole
from types import MappingProxyType
from typing import Literal, NamedTuple, Self, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

Score = Literal["logit", "probability", "log_probability"]
"""What of a class is explained; the logit is the score before softmax or sigmoid."""

Rule = Literal["guided", "deconvnet"]
"""How ReLUs pass gradients back when not by their derivative."""

Fit = Literal["crop", "stretch", "pad"]
"""How a picture is brought to the model's size: centre crop, stretched, letterboxed."""

Ending = Literal["softmax", "sigmoid"]
"""How logits become probabilities: classes exclude each other, or do not."""

Needs = Literal["scores", "gradient", "tap"]
"""What a method asks of a model: one of the three calls of `models.Model`."""

SCORES: tuple[Score, ...] = get_args(Score)
NEEDS: tuple[Needs, ...] = get_args(Needs)
FITS: tuple[Fit, ...] = get_args(Fit)
NOTHING: Mapping[str, float] = MappingProxyType({})


class ModelError(Exception):
    """A model cannot do what was asked; the message says why and what to do instead."""


class UntrustedError(ModelError):
    """A model is a program, and nobody has said that it may run; the message names it."""


@dataclass(frozen=True)
class Placement:
    """Where a map's pixels lie in the picture's pixels.

    Attributes
    ----------
    scale : (float, float)
        Picture pixels per map pixel, along y and x.
    translate : (float, float)
        Picture coordinates (y, x) of the centre of the map's first pixel.
    """

    scale: tuple[float, float]
    translate: tuple[float, float]

    @classmethod
    def of_box(cls, box: tuple[float, float, float, float], shape: tuple[int, int]) -> Self:
        """Place a map of ``shape`` (h, w) so that it fills ``box``.

        Parameters
        ----------
        box : (top, left, bottom, right)
            Edges in picture pixels, where 0 is the *outer edge* of the first pixel (so the
            whole picture is ``(0, 0, h, w)``); edges may lie outside of the picture.
        shape : (int, int)
            The map's height and width.
        """
        top, left, bottom, right = box
        scale = ((bottom - top) / shape[0], (right - left) / shape[1])
        return cls(scale, (top + scale[0] / 2 - 0.5, left + scale[1] / 2 - 0.5))

    def coarser(self, fine: tuple[int, int], coarse: tuple[int, int]) -> Self:
        """Place a ``coarse`` (h, w) map that covers what a ``fine`` one here covers."""
        ratio = (fine[0] / coarse[0], fine[1] / coarse[1])
        scale = (self.scale[0] * ratio[0], self.scale[1] * ratio[1])
        shift = [t + s * (r - 1) / 2 for t, s, r in zip(self.translate, self.scale, ratio, strict=True)]
        return type(self)(scale, (shift[0], shift[1]))


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
    score : {"logit", "probability", "log_probability"}
        Which of the class's numbers is weighted.
    """

    weights: tuple[tuple[int, float], ...]
    score: Score = "logit"

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"score {self.score!r} is not one of {', '.join(SCORES)}")
        classes = [_class_index(index) for index, _ in self.weights]
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

    def dense(self, n_classes: int) -> Array:
        """Weights of all classes, shape (n_classes,).

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
        return dense


@dataclass(frozen=True, eq=False)
class Targets:
    """One target for each picture of a batch, ready for `Model.gradient`.

    Attributes
    ----------
    weights : (N, K) float32
        Row n weighs the K classes' scores of picture n.
    score : {"logit", "probability", "log_probability"}
        Which of the classes' numbers are weighted.
    """

    weights: Array
    score: Score = "logit"

    def repeat(self, times: int) -> Targets:
        """Repeat the whole batch: rows 0..N-1, then 0..N-1 again, and so on."""
        return Targets(np.tile(self.weights, (times, 1)), self.score)


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
    logits, probabilities : (K,) float32
        Where a model's logits cannot be had, ``logits`` holds log-probabilities.
    labels : tuple of str
        The classes' names.
    """

    logits: Array
    probabilities: Array
    labels: tuple[str, ...]

    def order(self) -> npt.NDArray[np.intp]:
        """Class indices, the most probable first; ties in the order of the classes."""
        return np.argsort(-self.logits, kind="stable")

    def top(self, k: int = 5) -> list[Ranked]:
        """Return the ``k`` most probable classes, the most probable first."""
        return [Ranked(int(i), self.labels[i], float(self.probabilities[i])) for i in self.order()[:k]]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A method's answer so far.

    Attributes
    ----------
    values : (N, h, w, C) or (N, h, w) float32
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
