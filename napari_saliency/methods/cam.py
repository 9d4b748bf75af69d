"""Class activation maps: which places of a late layer speak for the class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency._types import Array, Estimate, ModelError, Targets
from napari_saliency.methods._registry import method

if TYPE_CHECKING:
    from napari_saliency.models._base import Model

NOWHERE = "No place of this layer raises the score: the map is zero everywhere."


@method("Grad-CAM", needs="tap", cite="Selvaraju et al. 2017, eq. 1 and 2")
def grad_cam(
    model: Model, x: Array, targets: Targets, *, layer: Annotated[str, {"choices": "layers"}] = ""
) -> Iterator[Estimate]:
    """Places of the last convolution that raise the score: coarse, but follows the class well.

    Parameters
    ----------
    layer : str
        The layer that is looked at; empty for the model's last one with space.

    Notes
    -----
    The map has the layer's own size, and no negative values by definition. It is not resampled.
    """
    activations, gradients = model.tap(x, targets, layer or _last_layer(model))
    space = tuple(range(1, gradients.ndim - 1))
    weights = gradients.mean(axis=space, keepdims=True)
    values = np.maximum((weights * activations).sum(axis=-1), 0)
    notes = [() if found else (NOWHERE,) for found in values.any(axis=space)]
    yield Estimate(values, 1, 1, notes=notes)


def _last_layer(model: Model) -> str:
    if not model.info.cam_layer:
        raise ModelError(
            f"{model.info.name} has no layer whose output has space, so there is no class activation map"
        )
    return model.info.cam_layer
