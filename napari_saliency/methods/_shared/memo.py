"""Pieces that a picture was cut into, kept: another class, score or method needs the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_saliency.core.types import Array

Labels = npt.NDArray[np.integer[Any]]
Cut = Callable[..., Labels]

MOST_BYTES = 64 << 20
"""Of all labels that a function keeps; the oldest go first."""


def memoized(cut: Cut) -> Cut:
    """Let a function that cuts pictures into pieces remember what it was given last.

    Parameters
    ----------
    cut : callable
        ``cut(picture, *options)`` returns labels of the pixels, which depend on nothing else.

    Returns
    -------
    callable
        The same; its labels are read-only.
    """
    result: dict[tuple[Hashable, ...], Labels] = {}
    lock = Lock()

    @wraps(cut)
    def once(picture: Array, *options: Hashable) -> Labels:
        key = (sha256(picture.tobytes()).digest(), picture.shape, *options)
        with lock:
            if key not in result:
                result[key] = cut(picture, *options)
                result[key].flags.writeable = False
                while len(result) > 1 and sum(labels.nbytes for labels in result.values()) > MOST_BYTES:
                    del result[next(iter(result))]
            return result[key]

    return once
