"""What a layer returns, as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.layers import Layer, usual_layer
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models.base import Model


@method("Activations", needs="tap", cite="Yosinski et al. 2015, section 2", shows="stack")
def activations(model: Model, x: Array, targets: Targets, *, layer: Layer = "") -> Iterator[Estimate]:
    """A layer's feature maps: what each of its channels has found, and where; the same for every class.

    Notes
    -----
    The map has the layer's own size and channels, raw, in the layer's own numbers. The target has no part
    in it: all classes, scores and weightings have the same map.
    """
    result = model.tap(x, targets, layer or usual_layer(model)).activations
    yield Estimate(result, 1, 1)
