"""Integrated gradients along a path that the model itself chooses."""

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
"""Share of the whole path by which a step may miss its end: rounding."""

FOLDED = (
    "the path crosses kinks of the score, as of ReLUs. What many neighbouring pixels share can be read; single "
    "pixels follow rounding."
)

STEEPEST, ARRIVED = np.float32(1e38), np.float32(3e38)
"""Magnitudes of gradients: the largest, which also stands for NaN, so that the path ends; and a larger one, of
values that have arrived."""


@method(
    "Guided integrated gradients",
    family="Paths",
    order=1,
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
    r"""Show what each pixel contributes to the score, moving pixels that matter little first: less speckle.

    Parameters
    ----------
    steps : int
        Gradients along the path, one after the other; more of them follow the score more closely.
    baseline : {"black", "white", "mean", "blur"}, number or tuple of numbers
        The baseline. Pixels that look like it get nothing, whatever they mean to the model. A number
        from 0 (black) to 255 (white) is a grey; several, as 124, 116, 104, are one for each channel.
    fraction : float
        Share of the values that are moved together, those with the smallest gradients; 1 moves all that
        have not arrived, which is the straight path.

    Notes
    -----
    .. math:: M = \sum_k \frac{\partial S}{\partial x}(x_k) \odot (x_{k+1} - x_k)

    Every step :math:`x_{k+1} - x_k` brings the picture nearer by the same distance (the sum of absolute differences),
    and moves those values whose gradient is smallest at :math:`x_k`; so steep places that happen to lie on the
    straight path, and add noise to its map, are avoided. The map so far is that of the path so far.
    The path may lead through any mixture of both pictures (the algorithm without anchors; the authors' program, whose
    maps these are if its ``max_dist`` is 1, keeps near the straight path unless told otherwise). As in the algorithm,
    each step uses the gradient at its start, and its values were chosen for being flat there. On networks of
    ReLUs, where the score has kinks, they often are steep beyond the kink: so the completeness gap, by
    which the contributions miss the score minus the baseline's, stays however many the steps, in
    the authors' program too. On such a network the order in which values move, and so the map pixel by pixel, follows
    rounding: a picture changed by a millionth has another map, which is alike only after smoothing. The map says
    so if its gap is large.

    **When to use:** for contributions with less speckle than integrated gradients on noisy networks.

    **When not to use:** pixel by pixel on networks of ReLUs, or where the contributions must add up: see the
    completeness gap.
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
    """Bring what is left of the path down to a distance, by moving the values with the smallest gradients.

    Yields
    ------
    float64
        By how much each value has moved.
    """
    steepness = np.fmin(np.abs(gradient), STEEPEST)
    rank, now = int(fraction * (steepness.size - 1)), np.abs(left).sum()
    near = NEAR * now
    while now - distance > near:
        # Products with masks throughout: indexing takes ten times as long.
        np.maximum(steepness, ARRIVED * (left == 0), out=steepness)
        limit = np.partition(steepness, rank, axis=None)[rank]
        going = left * (steepness <= min(limit, STEEPEST))
        going *= min((now - distance) / np.abs(going).sum(), 1)
        left -= going
        yield going
        now = np.abs(left).sum()
