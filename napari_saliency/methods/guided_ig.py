"""Integrated gradients along a way that each model chooses for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import Empty, empty_picture
from napari_saliency.methods._shared.path_integral import Doubles, completeness, incomplete
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

NEAR = 1e-9
"""Share of the whole way that may be missing from a step's end: what rounding leaves."""

FOLDED = (
    "the way led through places where the score is folded. What many neighbouring pixels share can be read, "
    "single pixels follow rounding."
)

STEEPEST, ARRIVED = np.float32(1e38), np.float32(3e38)
"""Sizes of gradients: the largest, which also stands for what is no number, so that the way has an end; and more
than that, of values that are moved no more."""


@method(
    "Guided integrated gradients",
    needs="gradient",
    cite="Kapishnikov et al. 2021, algorithm 1",
    passes=lambda options, *_: options["steps"] + 1,
    contributes=True,
)
def guided_ig(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    steps: Annotated[int, {"min": 8, "max": 512}] = 64,
    baseline: Empty = "black",
    fraction: Annotated[float, {"min": 0.01, "max": 1.0, "step": 0.01}] = 0.25,
) -> Iterator[Estimate]:
    """What each pixel contributes to the score, where pixels that matter little go first: less speckle.

    Parameters
    ----------
    steps : int
        Gradients along the way, one after the other; more of them follow the score more closely.
    baseline : {"black", "white", "mean", "blur"}, number or tuple of numbers
        The empty picture. Pixels that look like it get nothing, whatever they mean to the model. A number
        from 0 (black) to 255 (white) is a grey; several, as 124, 116, 104, are one for each channel.
    fraction : float
        Share of the values that are moved together, those with the smallest gradients; 1 moves all that
        have not arrived, which is the straight way.

    Notes
    -----
    Every step brings the picture nearer by the same distance (the sum of absolute differences), and takes
    it from those values whose gradient is smallest there; so steep places that happen to lie on the
    straight way, and add noise to its map, are gone around. The map so far is that of the way so far.
    The way may go through any mixture of both pictures (the algorithm without anchors; the authors' program, whose
    maps these are if its ``max_dist`` is 1, keeps near the straight way unless told otherwise). As in the algorithm
    each step uses the gradient at its beginning, and its values were chosen for being flat there. On networks of
    ReLUs, where the score is folded, they often are steep on the other side of the fold: so the completeness gap, by
    which the contributions do not add up to the score minus the empty picture's, stays however many the steps, in
    the authors' program too. On such a network the order in which values go, and so the map pixel by pixel, follows
    rounding: a picture changed by a millionth has another map, which is alike only where it is smoothed. The map says
    so if its gap is large.
    """
    before = after = model.weigh(model.scores(x), targets)
    left = x - empty_picture(model, x, baseline).astype(np.float64)
    whole = np.abs(left).sum(axis=tuple(range(1, x.ndim)))
    total = np.zeros(x.shape)
    for step in range(steps):
        values, gradients = model.gradient((x - left).astype(np.float32), targets)
        if not step:
            before = values
        for one, gradient, sums, distance in zip(left, gradients, total, whole, strict=True):
            for going in _bring_nearer(one, gradient, distance * (1 - (step + 1) / steps), fraction):
                sums += going * gradient
        so_far = total.astype(np.float32)
        if step < steps - 1:
            yield Estimate(so_far, step + 2, steps + 1)  # 1 for the score of the whole picture
    gaps = completeness(so_far, after - before)
    yield Estimate(so_far, steps + 1, steps + 1, diagnostics=gaps, notes=incomplete(gaps, FOLDED))


def _bring_nearer(left: Doubles, gradient: Array, distance: float, fraction: float) -> Iterator[Doubles]:
    """Bring what a picture has left to go down to a distance, by those values that have the smallest gradients.

    Yields
    ------
    float64
        By how much each value goes, once it is gone.
    """
    steepness = np.fmin(np.abs(gradient), STEEPEST)
    rank, now = int(fraction * (steepness.size - 1)), np.abs(left).sum()
    near = NEAR * now
    while now - distance > near:
        # Products with masks throughout: picking values out takes ten times as long.
        np.maximum(steepness, ARRIVED * (left == 0), out=steepness)
        limit = np.partition(steepness, rank, axis=None)[rank]
        going = left * (steepness <= min(limit, STEEPEST))
        going *= min((now - distance) / np.abs(going).sum(), 1)
        left -= going
        yield going
        now = np.abs(left).sum()
