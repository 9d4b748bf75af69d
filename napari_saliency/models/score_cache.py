"""Cache of the scores that a forward-only method has asked a model for, kept for the next class."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_saliency.core.types import Array

MOST_BYTES = 64 << 20
"""Scores beyond these are not kept: a thousand classes in 16 thousand places."""


class ScoreCache:
    """Scores of all classes, step by step, of one method on one batch of pictures.

    A forward pass scores all classes, so another class needs no pass of its own.

    Parameters
    ----------
    x : (N, *space, C) float32
        Preprocessed pictures.
    question : tuple
        The method and its options.
    """

    def __init__(self, x: Array, question: tuple[Hashable, ...]) -> None:
        self._x, self._question = x.copy(), question
        self._scores: dict[Hashable, Array] = {}
        self._bytes = 0

    def answers(self, x: Array, question: tuple[Hashable, ...]) -> bool:
        """Return whether these are the scores of a question."""
        return self._question == question and np.array_equal(self._x, x)

    def needed(self, step: Hashable, pictures: Callable[[], Array]) -> Array:
        """Make the pictures that the model is to score for a step; none if it has been taken before."""
        return np.empty(0, np.float32) if step in self._scores else pictures()

    def scores(self, step: Hashable, run: Callable[[], Array]) -> Array:
        """Return the scores (N, K) of a step, or what else it gives; it runs only if it has not been taken before."""
        known = self._scores.get(step)
        if known is not None:
            return known
        result = run()
        if self._bytes + result.nbytes <= MOST_BYTES:
            self._scores[step] = result
            self._bytes += result.nbytes
        return result
