"""Batches for networks that take one number of pictures alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_saliency.core.types import Array


def parts(rows: Array, size: int | None) -> Iterator[tuple[Array, int]]:
    """Cut a batch into parts of one size, the last filled up; and how many rows of each count.

    Parameters
    ----------
    size : int or None
        Rows of a part; all in one where it is None.
    """
    size = size or len(rows)
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        yield np.resize(part, (size, *part.shape[1:])), len(part)
