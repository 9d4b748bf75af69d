"""Which maps are fetched while the engine has nothing else to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction
    from napari_saliency.session.runs import Job

PREFETCH = 5
"""Top classes whose maps are fetched ahead."""

PREFETCH_SECONDS = 3.0
"""Unless the steps of the map that was asked for took longer than this."""


class Prefetcher:
    """The top classes, as long as their maps come quickly and the memory holds them all."""

    def __init__(self) -> None:
        self._seconds = 0.0  # that the steps of the last map took
        self._fetched = 0

    def classes(self, prediction: Prediction) -> list[int]:
        """Return the classes that are worth fetching now, the most probable first."""
        # No more than that many maps: they may have to be forgotten for each other, and so would never end.
        if self._seconds > PREFETCH_SECONDS or self._fetched >= PREFETCH:
            return []
        return [row.index for row in prediction.top(PREFETCH)]

    def begin(self) -> None:
        """Begin anew: the user has asked for a map."""
        self._fetched = 0

    def count(self, run: Job) -> None:
        """Learn from a run that has come to its end."""
        if run.quiet:
            self._fetched += 1
        else:
            self._seconds = time.monotonic() - run.first
