"""Class activation maps of one derivative: which places of a late layer speak for the class.

All are a sum over the layer's channels of activation times weight, and differ in the weights: one for
each channel (`grad_cam`, `grad_cam_pp`), or one for each place of it (`layer_cam`, `hires_cam`). What the last
layer has returned is kept by the model: another class, of any of them, costs only what follows the layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.layers import Layer, notes_on, usual_layer
from napari_saliency.methods._shared.upsampling import upsampled
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

POLE = (
    "Grad-CAM++ is not defined here: it divides by 2 + gradient · sum of the activations, which is not positive "
    "somewhere, as the layer has negative values. Choose a layer behind a ReLU, or Grad-CAM."
)


@method("Grad-CAM", needs="tap", cite="Selvaraju et al. 2017, eq. 1 and 2")
def grad_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    """Places of the last convolution that raise the score: coarse, but follows the class well.

    Notes
    -----
    The map has the layer's own size, and no negative values by definition. It is not resampled.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    yield _rectified(activations * gradients.mean(axis=_space(gradients), keepdims=True))


@method("Grad-CAM++", needs="tap", cite="Chattopadhay et al. 2018, eq. 19")
def grad_cam_pp(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    """Grad-CAM that finds a class in several places: gradients count more where few of them are positive.

    Notes
    -----
    ``relu(sum_k w_k A_k)`` with ``w_k = sum of alpha · relu(g)`` over all places, where ``g`` is the score's
    gradient and ``alpha = g² / (2 g² + g³ · sum of A_k)``, the paper's eq. 19. That is its definition, a ratio of
    second and third derivatives, in closed form under two assumptions: the class's output is the exponential
    of the score, and the score is piecewise linear in the layer, which it is where only ReLUs, poolings and
    dense layers follow; there the score is to be the logit. The factor exp(score) is left out of all weights: it
    is the same everywhere in a map and would overflow. Where ``g`` is 0, so is what it adds. Twice the target is
    not twice the map.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    space, rising = _space(gradients), np.maximum(gradients, 0)
    below = 2 + rising * activations.sum(axis=space, keepdims=True)
    weights = np.divide(rising, below, out=np.zeros_like(rising), where=below != 0)
    result = _rectified(activations * weights.sum(axis=space, keepdims=True))
    poles = (below <= 0).any(axis=(*space, -1))
    notes = [(POLE, *given) if pole else given for pole, given in zip(poles, result.notes, strict=True)]
    yield Estimate(result.values, 1, 1, notes=notes)


@method("HiResCAM", needs="tap", cite="Draelos and Carin 2020, section 3")
def hires_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    """What each place of the last convolution contributes to the score: gradient times activation.

    Notes
    -----
    Signed: no ReLU is applied, as in the authors' own program; negative places speak against the class.
    Where one dense layer alone follows, the places add up to the score less the layer's bias, so it shows
    what the model has used. Grad-CAM's averaged gradients may show places that it has not.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    values = (gradients * activations).sum(axis=-1)
    yield Estimate(values, 1, 1, notes=notes_on(values))


@method("LayerCAM", needs="tap", cite="Jiang et al. 2021")
def layer_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    """Activations times their positive gradients: serves early layers, too, for finer maps.

    Notes
    -----
    ``relu(sum_k relu(g_k) A_k)``, where ``g`` is the score's gradient: no negative values, by definition.
    """
    activations, gradients = model.tap(x, targets, layer or usual_layer(model))
    yield _rectified(activations * np.maximum(gradients, 0))


@method(
    "Guided Grad-CAM",
    needs="tap",
    cite="Selvaraju et al. 2017, section 3, Guided Grad-CAM",
    passes=lambda *_: 2,
)
def guided_grad_cam(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    """Guided backpropagation where Grad-CAM is high: crisp outlines of what belongs to the class.

    Notes
    -----
    Has the picture's size and channels: Grad-CAM's map is interpolated bilinearly, places by their centres.
    The outlines are guided backpropagation's, which hardly depends on what was learned (Adebayo et al. 2018);
    only where they lie follows the class. Another class costs a pass back through the whole network.
    """
    (coarse,) = grad_cam(model, x, targets, layer=layer)
    _, fine = model.gradient(x, targets, rule="guided")
    yield Estimate(fine * upsampled(coarse.values, x.shape[1:-1])[..., None], 1, 1, notes=coarse.notes)


def _space(gradients: Array) -> tuple[int, ...]:
    """The axes of space."""
    return tuple(range(1, gradients.ndim - 1))


def _rectified(weighted: Array) -> Estimate:
    """Sum of weighted channels without what is negative; of pictures with nothing left, this is said."""
    values = np.maximum(weighted.sum(axis=-1), 0)
    return Estimate(values, 1, 1, notes=notes_on(values))
