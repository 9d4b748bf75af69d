"""Networks whose upper layers have random weights, for asking whether a map depends on what was learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from napari_saliency.models.base import Model


class Randomised(NamedTuple):
    """A network with random weights in its upper layers.

    Attributes
    ----------
    layer : str
        The lowest of them.
    done, total : int
        How many layers are random, of all that have weights.
    model : Model
        Good until the next one is asked for: one copy of the network serves them all.
    """

    layer: str
    done: int
    total: int
    model: Model


def stages(count: int, steps: int) -> list[int]:
    """How many of ``count`` layers are random at each of some steps, from one to all."""
    return sorted({round(share) for share in np.linspace(1, count, min(steps, count)).tolist()})
