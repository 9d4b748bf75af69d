"""Maps that add up what happens on the way from an empty picture to this one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency._types import Array, Estimate, Targets
from napari_saliency.methods._baselines import Baseline, empty_picture
from napari_saliency.methods._chunks import chunks
from napari_saliency.methods._registry import method

if TYPE_CHECKING:
    from napari_saliency.models._base import Model


@method("Integrated gradients", needs="gradient", cite="Sundararajan et al. 2017, eq. 1")
def integrated_gradients(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    steps: Annotated[int, {"min": 8, "max": 512}] = 64,
    baseline: Baseline = "black",
) -> Iterator[Estimate]:
    """What each pixel contributes to the score, compared with an empty picture.

    Parameters
    ----------
    steps : int
        Gradients along the way; more of them make the completeness gap smaller.
    baseline : {"black", "white", "mean", "blur"}
        The empty picture. Pixels that look like it get nothing, whatever they mean to the model.

    Notes
    -----
    The contributions of all pixels add up to the score minus the empty picture's score; by how much
    they do not is reported as the completeness gap. The integral is the trapezoid rule's; the steps
    are taken in an order that covers the whole way early, so that the map sharpens evenly.
    """
    start = empty_picture(model, x, baseline)
    positions = np.linspace(0, 1, steps)
    shares = np.full(steps, 1 / (steps - 1))
    shares[[0, -1]] /= 2
    order = _spread_out(steps)
    total, share = np.zeros(x.shape), 0.0
    ends: dict[int, Array] = {}
    for begin, stop in chunks(steps, len(x), model.info.together(x.shape[1:-1])):
        chosen = order[begin:stop]
        between = start + np.multiply.outer(positions[chosen].astype(np.float32), x - start)
        values, gradients = model.gradient(between.reshape(-1, *x.shape[1:]), targets.repeat(len(chosen)))
        rows = zip(chosen.tolist(), values.reshape(len(chosen), -1), strict=True)
        ends.update((step, value) for step, value in rows if step in (0, steps - 1))
        total += np.tensordot(shares[chosen], gradients.reshape(len(chosen), *x.shape).astype(np.float64), 1)
        share += shares[chosen].sum()
        map_so_far = ((x - start) * total / share).astype(np.float32)
        yield Estimate(
            map_so_far, stop, steps, diagnostics=_gap(map_so_far, ends, steps) if stop == steps else {}
        )


def _spread_out(count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Order 0..count-1 by van der Corput's sequence, the two ends first."""
    bits = max(1, (count - 1).bit_length())
    reversed_bits = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(count)]
    inner = [i for i in np.argsort(reversed_bits, kind="stable") if i not in (0, count - 1)]
    return np.array([0, count - 1, *inner])


def _gap(values: Array, ends: dict[int, Array], steps: int) -> dict[str, Array]:
    difference = ends[steps - 1] - ends[0]
    gap = values.sum(axis=tuple(range(1, values.ndim)), dtype=np.float64) - difference
    scale = np.maximum(np.abs(difference), np.finfo(np.float32).tiny)
    return {
        "completeness gap": gap.astype(np.float32),
        "relative completeness gap": (np.abs(gap) / scale).astype(np.float32),
    }
