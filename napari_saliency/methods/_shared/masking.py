"""Pictures under masks, and the model's scores of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency.methods._shared.baselines import empty_picture

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, Targets
    from napari_saliency.methods._shared.baselines import Empty
    from napari_saliency.models.base import Model


class MaskedImages:
    """Pictures under masks: where a mask is 1 the picture shows, where it is 0 the baseline covers it.

    The scores of all classes are cached (`Model.score_cache`), so another class with the same masks does not run the
    model, and one that needs more masks runs only those. Outputs with space are cached as far as memory allows.

    Parameters
    ----------
    model : Model
    x : (N, *space, C) float32
        Preprocessed pictures.
    fill : {"black", "white", "mean", "blur"}, number or tuple of numbers
        The baseline.
    *question
        Whatever else the masks depend on.
    """

    def __init__(self, model: Model, x: Array, fill: Empty, *question: Hashable) -> None:
        self._model, self._x = model, x
        self._empty = np.ascontiguousarray(empty_picture(model, x, fill))
        self._visible = x - self._empty
        self._score_cache = model.score_cache(x, *question, fill)

    def pictures(self, step: Hashable, masks: Callable[[], Array]) -> Array:
        """Return pictures (M·N, *space, C) under each of M masks; none if their scores are known.

        Parameters
        ----------
        step : hashable
            Names these masks: the same step always has the same masks.
        masks : callable
            Makes them, (M, N, *space) or (M, 1, *space) float32 from 0 to 1; not called if the scores are known.
        """
        return self._score_cache.needed(step, lambda: self._masked(masks()))

    def values(self, step: Hashable, targets: Targets, pictures: Array) -> Array:
        """Return the targets' values (M, N) for a step's pictures."""
        return self._weigh(self._score_cache.scores(step, lambda: self._scores(pictures)), targets)

    def ends(self, targets: Targets) -> tuple[Array, Array]:
        """Return the targets' values for the whole pictures and for the baselines, each (N,)."""
        both = np.concatenate([self._x, self._empty])
        whole, empty = self._weigh(self._score_cache.scores("ends", lambda: self._scores(both)), targets)
        return whole, empty

    def _scores(self, pictures: Array) -> Array:
        """Return the scores of pictures, in calls no larger than the model wants."""
        most = max(len(self._x), self._model.info.together(self._x.shape[1:-1]))
        parts = [pictures[start : start + most] for start in range(0, len(pictures), most)]
        return np.concatenate(list(map(self._model.scores, parts)))

    def _weigh(self, scores: Array, targets: Targets) -> Array:
        count = len(scores) // len(self._x)
        return self._model.weigh(scores, targets.repeat(count)).reshape(count, -1)

    def _masked(self, masks: Array) -> Array:
        channels = self._x.shape[-1]
        # Written out for each channel first: an axis of three that is broadcast takes many times as long.
        pictures = np.repeat(masks, channels, axis=-1).reshape(*masks.shape, channels) * self._visible
        pictures += self._empty
        return pictures.reshape(-1, *self._x.shape[1:])
