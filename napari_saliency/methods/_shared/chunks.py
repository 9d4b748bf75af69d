"""How much of a long method is done between two pictures on the screen."""

from __future__ import annotations

from collections.abc import Iterator


def chunks(total: int, pictures: int, together: int, *, first: int = 2) -> Iterator[tuple[int, int]]:
    """Cut ``total`` samples into ranges (start, stop): the first is small, so that something shows at once.

    The sizes follow from the arguments alone, not from the clock: a sum of floats depends on how it
    is cut, and the same request shall give the same map.

    Parameters
    ----------
    total : int
        Samples for each picture.
    pictures : int
        How many there are; a range of ``m`` samples is a call of ``m`` times as many.
    together : int
        Best pictures of one call, see `ModelInfo.together`.
    first : int
        Samples of the first range, if a call may have so many.
    """
    most = max(1, together // pictures)
    start, size = 0, min(first, most)
    while start < total:
        stop = min(start + size, total)
        yield start, stop
        start, size = stop, most
