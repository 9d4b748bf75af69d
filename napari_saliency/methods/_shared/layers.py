"""What all methods share that look at a layer: which one, and what must be read with its map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from napari_saliency.core.errors import ModelError

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.base import Model

Layer = Annotated[
    str,
    {
        "choices": "layers",
        "help": "The layer that is looked at; empty for the model's last one with space.",
    },
]

NOWHERE = "No place of this layer raises the score: the map is zero everywhere."
ONE_PLACE = (
    "This layer has a single place for a picture of this size, so its map does not say where: "
    "choose an earlier layer."
)


def usual_layer(model: Model) -> str:
    """The layer that is looked at unless another one is asked for.

    Raises
    ------
    ModelError
        If no layer has space.
    """
    if not model.info.cam_layer:
        before = f" before {model.info.viewed_layer}" if model.info.viewed_layer else ""
        raise ModelError(
            f"{model.info.name} has no layer{before} whose output has space, so there is no class activation map"
        )
    return model.info.cam_layer


def notes_on(maps: Array) -> list[tuple[str, ...]]:
    """For each of some maps (N, *space) the sentences that must be read with it."""
    single = (ONE_PLACE,) if math.prod(maps.shape[1:]) == 1 else ()
    return [single if result.any() else (NOWHERE, *single) for result in maps]
