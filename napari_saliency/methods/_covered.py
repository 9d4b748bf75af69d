"""Pictures of which only a part is left, and what a model says of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency.methods._baselines import empty_picture

if TYPE_CHECKING:
    from napari_saliency._types import Array, Targets
    from napari_saliency.methods._baselines import Baseline
    from napari_saliency.models._base import Model


class Covered:
    """Pictures under masks: where a mask is 1 the picture is left, where it is 0 the empty one covers it.

    Scores of all classes are kept (`Model.recall`), so another class of the same masks runs the model zero
    times, and one that needs more masks runs only those. Of outputs with space only those are kept that fit
    into memory.

    Parameters
    ----------
    model : Model
    x : (N, *space, C) float32
        Preprocessed pictures.
    fill : {"black", "white", "mean", "blur"}
        The empty picture.
    *question
        What the masks depend on besides the pictures.
    """

    def __init__(self, model: Model, x: Array, fill: Baseline, *question: Hashable) -> None:
        self._model, self._x = model, x
        self._empty = np.ascontiguousarray(empty_picture(model, x, fill))
        self._shown = x - self._empty
        self._recall = model.recall(x, *question, fill)

    def values(self, step: Hashable, targets: Targets, masks: Callable[[], Array]) -> Array:
        """Values (M, N) of the pictures' targets under each of M masks.

        Parameters
        ----------
        step : hashable
            Names these masks: the same step always has the same.
        masks : callable
            Makes them, (M, N, *space) or (M, 1, *space) float32 from 0 to 1; not asked if the scores are known.
        """
        return self._weigh(self._recall.scores(step, lambda: self._under(masks())), targets)

    def ends(self, targets: Targets) -> tuple[Array, Array]:
        """Values of the whole pictures and of the empty ones, each (N,)."""
        both = np.stack([self._x, self._empty])
        scores = self._recall.scores("ends", lambda: self._run(len(both), both.__getitem__))
        whole, empty = self._weigh(scores, targets)
        return whole, empty

    def _weigh(self, scores: Array, targets: Targets) -> Array:
        count = len(scores) // len(self._x)
        return self._model.weigh(scores, targets.repeat(count)).reshape(count, -1)

    def _under(self, masks: Array) -> Array:
        """Scores (M·N, ...) of the pictures under M masks."""
        return self._run(len(masks), lambda some: self._masked(masks[some]))

    def _run(self, times: int, pictures: Callable[[slice], Array]) -> Array:
        """Scores of so many times the pictures, made as they are run, in calls not larger than the model wants."""
        most = max(1, self._model.info.together(self._x.shape[1:-1]) // len(self._x))
        parts = (pictures(slice(start, start + most)) for start in range(0, times, most))
        return np.concatenate([self._model.scores(part.reshape(-1, *self._x.shape[1:])) for part in parts])

    def _masked(self, masks: Array) -> Array:
        pictures = np.empty((len(masks), *self._x.shape), np.float32)
        for channel in range(
            self._x.shape[-1]
        ):  # all at once is many times as slow: loops as short as the channels
            np.multiply(self._shown[..., channel], masks, out=pictures[..., channel])
        pictures += self._empty
        return pictures
