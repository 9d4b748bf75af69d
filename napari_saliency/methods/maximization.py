"""Synthetic pictures that raise a score as far as possible: what a class, or a layer's channel, responds to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import empty_picture
from napari_saliency.methods.registry import method
from napari_saliency.methods.sampling import Seed

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

NOISE = 0.05
"""Standard deviation of the initial noise, as a share of black to white."""

NOTHING = "Nothing raises this score: its derivative is zero everywhere."


@method(
    "Activation maximization",
    family="Synthetic pictures",
    needs="gradient",
    cite="Simonyan et al. 2014, eq. 1; regularised as in Mahendran and Vedaldi 2016, section 3",
    shows="picture",
    degree=0,
    passes=lambda options, *_: options["steps"] + 1,
)
def activation_maximization(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    steps: Annotated[int, {"min": 1, "max": 2000}] = 128,
    start: Literal["noise", "picture"] = "noise",
    rate: Annotated[float, {"min": 0.001, "max": 0.08, "step": 0.001, "advanced": True}] = 0.05,
    smoothness: Annotated[float, {"min": 0.0, "max": 2.0, "step": 0.01, "advanced": True}] = 1.0,
    decay: Annotated[float, {"min": 0.0, "max": 1.0, "step": 0.01, "advanced": True}] = 0.1,
    jitter: Annotated[int, {"min": 0, "max": 64, "advanced": True}] = 4,
    seed: Seed = 0,
) -> Iterator[Estimate]:
    r"""Synthesize a picture that raises the class's score: not a map, but what the class looks like to the model.

    Parameters
    ----------
    steps : int
        Gradient steps. The picture changes less and less towards the last of them.
    start : {"noise", "picture"}
        Picture to begin with: grey with a little noise, or the one at hand.
    rate : float
        Distance that the pixels move in the first step (root mean square), as a share of black to white.
    smoothness : float
        Weight of the regulariser that keeps neighbouring pixels alike (total variation, squared).
    decay : float
        Weight of the regulariser that draws pixels towards grey (L2).
    jitter : int
        Each step shifts the picture by up to so many pixels, so that no pattern sticks to the grid.

    Notes
    -----
    .. math:: \arg\max_I \; S(I) - \tfrac{1}{2} \lambda \, \|I\|^2 - \tfrac{1}{2} \mu \, TV(I)

    by gradient ascent, where :math:`I` is the picture less mid-grey as a share of black to white, :math:`TV` the sum of
    the squared differences of neighbours, :math:`\lambda` is ``decay`` and :math:`\mu` ``smoothness``. The score's
    gradient is divided by its root mean square, so that the weights mean the same for every model and score; values
    stay between black and white. The picture at hand matters only as a start.

    **When to use:** to see what a class, or a channel of a layer, responds to at all.

    **When not to use:** to explain a decision on a picture; and what looks like nothing may score high: see the score
    reached.
    """
    black, white = (empty_picture(model, x, grey) for grey in ("black", "white"))
    space, random = tuple(range(1, x.ndim - 1)), np.random.default_rng(seed)
    depth = white - black
    noise = 0.5 + NOISE * random.standard_normal((1, *x.shape[1:]), np.float32)
    share = np.clip((x - black) / depth if start == "picture" else np.repeat(noise, len(x), 0), 0, 1)
    values = black + share * depth
    for step in range(steps):
        moved = tuple(random.integers(-jitter, jitter, len(space), endpoint=True).tolist())
        there = np.roll(values, moved, space)
        gradient = np.roll(model.gradient(there, targets)[1], [-by for by in moved], space) * depth
        uphill = _normalised(gradient) - decay * (share - 0.5) + smoothness * _towards_neighbours(share)
        share = np.clip(share + rate * (1 - step / steps) * uphill, 0, 1)
        values = black + share * depth
        if step + 1 < steps:
            yield Estimate(values, step + 1, steps)
    notes = [() if one.any() else (NOTHING,) for one in gradient]
    reached = model.weigh(model.scores(values), targets)
    yield Estimate(values, steps, steps, diagnostics={"score reached": reached}, notes=notes)


def _normalised(gradient: Array) -> Array:
    """Divide each picture's gradient by its root mean square; zero stays zero."""
    axes = tuple(range(1, gradient.ndim))
    size = np.sqrt(np.square(gradient, dtype=np.float64).mean(axis=axes, keepdims=True))
    return np.asarray(gradient / np.where(size > 0, size, 1).astype(np.float32))


def _towards_neighbours(share: Array) -> Array:
    """Sum the differences to the neighbours along the axes of space: minus half of TV's derivative."""
    total = np.zeros_like(share)
    for axis in range(1, share.ndim - 1):
        rises = np.moveaxis(np.diff(share, axis=axis), axis, 0)
        here = np.moveaxis(total, axis, 0)
        here[:-1] += rises
        here[1:] -= rises
    return total
