"""Class activation maps from one derivative: which places of a late layer speak for the class.

All are a sum over the layer's channels of activation times weight, and differ in the weights: one for each channel
(`grad_cam`, `grad_cam_pp`), or one for each place of it (`layer_cam`, `hires_cam`). `activations` shows what they are
made of. The model caches the layer's output: another class, by any of these methods, costs only what follows the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.layers import Layer, notes_on, upsampled, usual_layer
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

POLE = (
    "Grad-CAM++ is not defined here: it divides by 2 + gradient · sum of the activations, which is not positive "
    "somewhere, as the layer has negative values. Choose a layer behind a ReLU, or Grad-CAM."
)


@method("Grad-CAM", family="Class activation maps", needs="tap", cite="Selvaraju et al. 2017, eq. 1 and 2")
def grad_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    r"""Show which places of the last convolution raise the score: coarse, but follows the class well.

    Notes
    -----
    .. math:: M = \max\Big(0, \sum_k \alpha_k A_k\Big), \qquad
        \alpha_k = \frac{1}{Z} \sum_{p} \frac{\partial S}{\partial A_{k,p}}

    where :math:`A_k` is the layer's channel :math:`k` and :math:`Z` the number of its places :math:`p`. The map has the
    layer's own size, and no negative values by definition. It is not resampled.

    **When to use:** to see which part of the picture speaks for a class; cheap, and it does depend on the class.

    **When not to use:** for detail finer than a place of the layer, for evidence against the class (there is none in
    the map), or on networks without a convolution near the end.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    yield _rectified(activations * gradients.mean(axis=_space(gradients), keepdims=True))


@method(
    "Grad-CAM++",
    family="Class activation maps",
    needs="tap",
    cite="Chattopadhay et al. 2018, eq. 19",
    degree=None,
)
def grad_cam_pp(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    r"""Find a class in several places: Grad-CAM that weighs gradients more where few are positive.

    Notes
    -----
    .. math:: M = \max\Big(0, \sum_k w_k A_k\Big), \qquad
        w_k = \sum_p \frac{g_{k,p}^2}{2 g_{k,p}^2 + g_{k,p}^3 \sum_q A_{k,q}} \, \max(0, g_{k,p})

    where :math:`g` is the score's gradient by the layer (the paper's eq. 19). That is its definition, a ratio of
    second and third derivatives, in closed form under two assumptions: the class's output is the exponential
    of the score, and the score is piecewise linear in the layer, which it is where only ReLUs, poolings and
    dense layers follow; the score must then be the logit. The factor exp(score) is left out of all weights: it
    is the same everywhere in a map and would overflow. Where :math:`g` is 0, so is its term. Twice the target is
    not twice the map.

    **When to use:** where the picture shows several objects of the class, of which Grad-CAM favours the largest.

    **When not to use:** on layers with negative values, where its denominator may vanish (the map says so), or with
    scores other than the logit.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    space, rising = _space(gradients), np.maximum(gradients, 0)
    below = 2 + rising * activations.sum(axis=space, keepdims=True)
    weights = np.divide(rising, below, out=np.zeros_like(rising), where=below != 0)
    result = _rectified(activations * weights.sum(axis=space, keepdims=True))
    poles = (below <= 0).any(axis=(*space, -1))
    notes = [(POLE, *given) if pole else given for pole, given in zip(poles, result.notes, strict=True)]
    yield Estimate(result.values, 1, 1, notes=notes)


@method(
    "HiResCAM",
    family="Class activation maps",
    needs="tap",
    cite="Draelos and Carin 2020, section 3",
    linear=True,
)
def hires_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    r"""Show what each place of the last convolution contributes to the score: gradient times activation.

    Notes
    -----
    .. math:: M_p = \sum_k \frac{\partial S}{\partial A_{k,p}} A_{k,p}

    Signed: no ReLU is applied, as in the authors' own program; negative places speak against the class.
    Where a single dense layer follows, the places add up to the score less the layer's bias, so the map shows what
    the model has used. Grad-CAM's averaged gradients may show places that it has not.

    **When to use:** to see which places the model really used, for and against the class, at Grad-CAM's price.

    **When not to use:** far from the network's end: the more layers follow, the noisier the gradients are.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    values = (gradients * activations).sum(axis=-1)
    yield Estimate(values, 1, 1, notes=notes_on(values))


@method("LayerCAM", family="Class activation maps", needs="tap", cite="Jiang et al. 2021")
def layer_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    r"""Multiply activations and their positive gradients: works for early layers, too, with finer maps.

    Notes
    -----
    .. math:: M_p = \max\Big(0, \sum_k \max\Big(0, \frac{\partial S}{\partial A_{k,p}}\Big) A_{k,p}\Big)

    No negative values, by definition.

    **When to use:** with an earlier layer, for a map finer than Grad-CAM's that still follows the class.

    **When not to use:** for evidence against the class: negative gradients are left out.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    yield _rectified(activations * np.maximum(gradients, 0))


@method(
    "Guided Grad-CAM",
    family="Class activation maps",
    needs="tap",
    cite="Selvaraju et al. 2017, section 3, Guided Grad-CAM",
    passes=lambda *_: 2,
    degree=2,
    layout="channels",
    needs_relu=True,
)
def guided_grad_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    r"""Show guided backpropagation where Grad-CAM is high: crisp outlines of what belongs to the class.

    Notes
    -----
    .. math:: M = M_{\text{guided}} \odot \uparrow\! M_{\text{Grad-CAM}}

    The map has the picture's size and channels: Grad-CAM's is interpolated bilinearly between its places' centres.
    The outlines are guided backpropagation's, which hardly depends on what was learnt (Adebayo et al. 2018);
    only where they lie follows the class. Another class costs a backward pass through the whole network.

    **When to use:** to illustrate what Grad-CAM points at, in fine detail.

    **When not to use:** as evidence that the outlines themselves matter to the class.
    """
    (coarse,) = grad_cam(model, x, targets, layer=layer)
    _, fine = model.gradient(x, targets, rule="guided")
    yield Estimate(fine * upsampled(coarse.values, x.shape[1:-1])[..., None], 1, 1, notes=coarse.notes)


@method(
    "Activations",
    family="Class activation maps",
    order=2,
    needs="tap",
    cite="Yosinski et al. 2015, section 2",
    shows="stack",
    degree=0,
    even=True,
    targeted=False,
)
def activations(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    r"""Show a layer's feature maps: what each channel has found, and where; the same for every class.

    Notes
    -----
    .. math:: M_k = A_k(x)

    The map has the layer's own size and channels, raw, in the layer's own numbers. The target plays no part: all
    classes, scores and weightings have the same map.

    **When to use:** to see what a layer responds to, channel by channel, before asking what speaks for a class.

    **When not to use:** to explain a class: the map does not depend on it.
    """
    result = model.tap(x, targets, layer or usual_layer(model)).activations
    yield Estimate(result, 1, 1)


def _space(gradients: Array) -> tuple[int, ...]:
    """Return the axes of space."""
    return tuple(range(1, gradients.ndim - 1))


def _rectified(weighted: Array) -> Estimate:
    """Sum weighted channels and drop what is negative; maps with nothing left say so."""
    values = np.maximum(weighted.sum(axis=-1), 0)
    return Estimate(values, 1, 1, notes=notes_on(values))
