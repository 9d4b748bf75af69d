"""Making what a model is run on next, while it still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")


def prefetch(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield the same parts in the same order, each made in another thread while the one before is in use.

    The first one is begun at once. NumPy and scikit-image let other threads compute meanwhile, and a network seldom
    keeps all cores busy. No more than one part is waiting, so memory grows by one.

    Parameters
    ----------
    parts : iterable
        Makes a part when it is asked for one; it is asked by one thread at a time.

    Raises
    ------
    Exception
        Whatever making a part raises, in its place.
    """
    made, end = iter(parts), object()
    worker = ThreadPoolExecutor(1, "saliency-beforehand")

    def handed_on(coming: Future[Part | object]) -> Iterator[Part]:
        try:
            while (part := coming.result()) is not end:
                coming = worker.submit(next, made, end)
                yield part  # type: ignore[misc] # it is not the end
        finally:  # whoever gives up does not wait for what is being made
            worker.shutdown(wait=False, cancel_futures=True)

    return handed_on(worker.submit(next, made, end))
