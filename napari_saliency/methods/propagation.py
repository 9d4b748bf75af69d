"""Contributions to the score by another derivative of each nonlinearity than its own.

Ancona et al. 2018 (propositions 1 and 2) write both methods as a gradient in which every nonlinearity passes back
its share over a distance, not its slope at a point. What the model gives are multipliers; times how far the image
is from the reference, or from 0, they are contributions. They need a network each of whose operations has a rule:
no products of two tensors that depend on the image, as in attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency.core.types import Array, Epsilon, Estimate, Rescale, Targets
from napari_saliency.methods._shared.baselines import Empty, empty_picture
from napari_saliency.methods._shared.path_integral import completeness, incomplete
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

LOST = "score taken by biases and epsilon"
POOLED = "the rule of max pooling loses some."


@method(
    "DeepLIFT",
    family="Propagation rules",
    needs="rescale",
    cite="Shrikumar et al. 2017, section 3.5.1, rescale rule",
    contributes=True,
    linear=True,
    logits_only=True,
)
def deep_lift(model: Model, x: Array, targets: Targets, *, baseline: Empty = "black") -> Iterator[Estimate]:
    r"""Show what each pixel contributes to the score, by differences from a baseline image.

    Parameters
    ----------
    baseline : {"black", "white", "mean", "blur"}, number or tuple of numbers
        The empty picture. Pixels that look like it get nothing, whatever they mean to the model. A number
        from 0 (black) to 255 (white) is a grey; several, as 124, 116, 104, are one for each channel.

    Notes
    -----
    The rescale rule: an activation passes back its own change over that of its input, where a gradient
    takes the slope at one end. One pass, where integrated gradients takes many. The contributions add up to
    the score minus the empty picture's; by how much they do not is reported as the completeness gap: what
    rounding leaves, and the share of a max pooling whose maximum moves to a place that has not changed.

    .. math:: M = (x - x') \odot \frac{\partial^{f} S}{\partial x}, \qquad
        f'(z) \to \frac{f(z) - f(z')}{z - z'} \text{ at every nonlinearity } f

    **When to use:** for contributions that add up to the score, at the price of one pass.

    **When not to use:** with a baseline whose colour matters in the picture: such pixels get nothing.
    """
    start = empty_picture(model, x, baseline)
    start = np.asarray(start, np.float32)
    difference, multipliers = model.gradient(x, targets, Rescale(start))
    values = multipliers * (x - start)
    gaps = completeness(values, difference)
    yield Estimate(values, 1, 1, diagnostics=gaps, notes=incomplete(gaps, POOLED))


@method(
    "Layer-wise relevance propagation",
    family="Propagation rules",
    needs="epsilon",
    cite="Bach et al. 2015, eq. 58",
    contributes=True,
    linear=True,
    logits_only=True,
)
def lrp(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    epsilon: Annotated[float, {"min": 0.001, "max": 100.0, "step": 0.001}] = 0.01,
) -> Iterator[Estimate]:
    r"""Share the score out among the pixels, layer by layer, in proportion to what each sum is made of.

    Parameters
    ----------
    epsilon : float
        Added to every sum: the larger, the more of what nearly cancels out is left out of the map.

    Notes
    -----
    The epsilon rule, in every layer; activations pass relevance on as it is. As epsilon goes to 0 the map of a
    network of ReLUs becomes gradient × input (Ancona et al. 2018, proposition 1). Zero is what preprocessing makes
    zero, as there. Relevance is kept but for what epsilon and the layers' biases take: how much of the score that
    is, is reported.

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \varepsilon \, \mathrm{sign}(z_j)} R_j, \qquad
        z_j = \sum_i x_i w_{ij} + b_j

    **When to use:** for signed shares of the score with less noise than gradient × input, in one pass.

    **When not to use:** where the shares must add up exactly: biases and epsilon take a part, which is reported.
    """
    score, multipliers = model.gradient(x, targets, Epsilon(epsilon))
    values = multipliers * x
    kept = values.sum(axis=tuple(range(1, values.ndim)), dtype=np.float64)
    yield Estimate(values, 1, 1, diagnostics={LOST: np.asarray(score - kept, np.float32)})
