"""Long methods step by step: cut into calls of the model, prepared ahead of it, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Part = TypeVar("Part")


def chunks(total: int, pictures: int, together: int, *, first: int = 2) -> Iterator[tuple[int, int]]:
    """Cut ``total`` samples into ranges (start, stop); the first is small, so that a map shows at once.

    The sizes follow from the arguments alone, not from the clock: a sum of floats depends on how it is cut, and the
    same request must give the same map.

    Parameters
    ----------
    total : int
        Samples for each picture.
    pictures : int
        Pictures explained together; a range of ``m`` samples is a call with ``m`` times as many.
    together : int
        Best number of pictures in one call; see `ModelInfo.together`.
    first : int
        Samples in the first range, if one call may have so many.
    """
    most = max(1, together // pictures)
    start, size = 0, min(first, most)
    while start < total:
        stop = min(start + size, total)
        yield start, stop
        start, size = stop, most


def prefetch(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield parts in their order, each made in another thread while the one before is in use.

    The first one is started at once. NumPy and scikit-image release the interpreter lock while they compute, and a
    network seldom keeps all cores busy. At most one part is waiting, so memory grows by one. Parts are made in the
    order in which they are used, random ones too, so the map is the same as without the thread.

    Parameters
    ----------
    parts : iterable
        Makes a part when asked for one, by one thread at a time.

    Raises
    ------
    Exception
        Whatever making a part raises, in its place.
    """
    made, end = iter(parts), object()
    worker = ThreadPoolExecutor(1, "saliency-prefetch")

    def in_order(coming: Future[Part | object]) -> Iterator[Part]:
        try:
            while (part := coming.result()) is not end:
                coming = worker.submit(next, made, end)
                yield part  # type: ignore[misc] # it is not the end
        finally:  # a caller that gives up does not wait for the part being made
            worker.shutdown(wait=False, cancel_futures=True)

    return in_order(worker.submit(next, made, end))


class Progress:
    """Progress of a run whose steps report progress of their own, as nested progress bars show it.

    Parameters
    ----------
    steps : int
        Steps of the whole run. How many units one of them has is known once the first has reported; it stays so if
        a later step has another total, so that the run ends where it was said to end.
    """

    def __init__(self, steps: int) -> None:
        self._steps, self._started, self._unit = steps, 0, 0
        self.done = 0

    @property
    def total(self) -> int:
        """Units of the whole run; 0 until the first step has reported."""
        return self._steps * self._unit

    def sub(self, steps: int = 1) -> SubProgress:
        """Start the next steps, which run together and report as one."""
        started, self._started = self._started, self._started + steps
        return SubProgress(self, started, steps)

    def move(self, started: int, steps: int, done: int, total: int) -> bool:
        """Take the report of some steps; return whether the run has moved on."""
        self._unit = self._unit or total
        before, self.done = self.done, started * self._unit + steps * self._unit * done // total
        return self.done != before


@dataclass(frozen=True)
class SubProgress:
    """Some steps of a `Progress`: how many were started before them, and how many they are."""

    of: Progress
    started: int
    steps: int

    def update(self, done: int, total: int) -> bool:
        """Report ``done`` of ``total``; return whether the whole run has moved on."""
        return self.of.move(self.started, self.steps, done, total)
