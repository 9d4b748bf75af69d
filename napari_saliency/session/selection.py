"""The classes that are explained: one, this one rather than that one, or any weighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from napari_saliency.core.types import Target

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_saliency.core.placement import Region
    from napari_saliency.core.types import Prediction, Score, Weights
    from napari_saliency.models import ModelInfo


@dataclass(frozen=True)
class ClassSelection:
    """The classes that are explained.

    Attributes
    ----------
    weights : tuple of (class index, weight)
        Sorted by class; empty for the top class of each image.
    """

    weights: Weights = ()

    @classmethod
    def one(cls, index: int | None) -> Self:
        """Select one class, or the top class."""
        return cls(() if index is None else ((index, 1.0),))

    @property
    def selected(self) -> int | None:
        """The class of the largest weight; None for the top class."""
        return max(self.weights, key=lambda pair: pair[1])[0] if self.weights else None

    @property
    def parts(self) -> Weights:
        """The terms of a sum; none of one class alone."""
        return self.weights if len(self.weights) > 1 or any(w != 1 for _, w in self.weights) else ()

    @property
    def other(self) -> int | None:
        """The class that the selected one is held against, if it is just one."""
        against = [index for index, weight in self.weights if weight < 0]
        return against[0] if len(against) == 1 else None

    def rather_than(self, other: int, prediction: Prediction) -> ClassSelection:
        """Hold the selected class against another one; against the same once more, or against itself, end that."""
        this = self.selected_in(prediction)
        if other in (this, self.other):
            return ClassSelection.one(this)
        return ClassSelection(Target.contrast(this, other).weights)

    def neighbour(self, by: int, prediction: Prediction) -> ClassSelection:
        """Select the class further down (or up, if negative) in the table."""
        order = prediction.order().tolist()
        here = 0 if self.selected is None else order.index(self.selected)
        return ClassSelection.one(order[min(max(here + by, 0), len(order) - 1)])

    def other_neighbour(self, by: int, prediction: Prediction) -> ClassSelection:
        """Hold the same class against one further down (or up) in the table."""
        this = self.selected_in(prediction)
        others = [index for index in prediction.order().tolist() if index != this]
        if not others:
            return self
        position = prediction.order().tolist().index(this) - (by > 0)
        here = position if self.other is None else others.index(self.other)
        return ClassSelection(Target.contrast(this, others[min(max(here + by, 0), len(others) - 1)]).weights)

    def selected_in(self, prediction: Prediction) -> int:
        """Return the selected class of an image, by its prediction."""
        return int(prediction.order()[0]) if self.selected is None else self.selected

    def target(self, prediction: Prediction, score: Score, region: Region | None) -> Target:
        """Return the target in an image."""
        return Target(self.weights or ClassSelection.one(self.selected_in(prediction)).weights, score, region)


def meaning(info: ModelInfo) -> Hashable:
    """Return a key of what the indices of a model's classes mean: with another key they are other classes."""
    return info.fingerprint, info.viewed_layer, info.outputs[:1], len(info.labels)
