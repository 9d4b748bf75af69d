"""How much of a long method is done between two pictures on the screen."""

from __future__ import annotations

import math
from collections.abc import Iterator

BEST_PIXELS = 8 * 224 * 224
"""Pixels of one call beyond which it only costs memory: measured on processors."""


def chunks(total: int, shape: tuple[int, ...], batch: int) -> Iterator[tuple[int, int]]:
    """Cut ``total`` samples into ranges (start, stop): the first is small, so that something shows at once.

    The sizes follow from the arguments alone, not from the clock: a sum of floats depends on how it
    is cut, and the same request shall give the same map.

    Parameters
    ----------
    total : int
        Samples for each picture.
    shape : (N, *space, C)
        Of the pictures; a range of ``m`` samples is a batch of ``N·m`` pictures.
    batch : int
        Most pictures of one call, see `ModelInfo`.
    """
    most = max(1, min(batch // shape[0], BEST_PIXELS // math.prod(shape[:-1])))
    start, size = 0, min(2, most)
    while start < total:
        stop = min(start + size, total)
        yield start, stop
        start, size = stop, most
