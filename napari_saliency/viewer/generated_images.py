"""Pictures that a method has made: ordinary image layers beside the picture that was looked at.

There is one for each picture layer, updated in place until it is kept or deleted. All that the user
sets on it, its place and its name too, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_saliency.viewer.map_layers import geometry, pinned
from napari_saliency.viewer.source_layer import OURS

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt
    from napari.components import LayerList

    from napari_saliency.core.placement import Placement
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.viewer.source_layer import Plane

GAP = 0.05
"""Between the two pictures, as a share of the first one's width."""


@dataclass(eq=False)
class _Live:
    """The layer that shows a made picture now, and the name that it was given; another one is the user's."""

    layer: Image
    name: str


class PictureLayers:
    """The pictures that were made, in one viewer."""

    def __init__(self, layers: LayerList) -> None:
        self._layers = layers
        self._live: dict[object, _Live] = {}

    def show(self, source: Image, plane: Plane, explanation: Explanation) -> bool:
        """Show a made picture to the right of the one that was looked at; return whether it is a new layer."""
        pixels = _as_layers_pixels(explanation.picture, source, plane)
        live = self._live.get(source.unique_id)
        if live is None or live.layer not in self._layers or live.layer.data.shape != pixels.shape:
            self._add(source, plane, explanation, pixels)
            return True
        live.layer.data = pixels
        live.layer.metadata[OURS] = explanation
        if live.layer.name == live.name != explanation.name:
            live.layer.name = explanation.name
            live.name = live.layer.name  # napari may have added a number
        return False

    def has(self, source: Image) -> bool:
        """Whether a layer shows a picture that was made for this one."""
        live = self._live.get(source.unique_id)
        return live is not None and live.layer in self._layers

    def keep(self, source: Image) -> None:
        """Leave a made picture as it is; the next one goes into a new layer."""
        self._live.pop(source.unique_id, None)

    def _add(
        self, source: Image, plane: Plane, explanation: Explanation, pixels: npt.NDArray[np.uint8]
    ) -> None:
        layer = Image(
            pixels,
            name=explanation.name,
            rgb=explanation.picture.ndim > len(explanation.placement.scale),
            contrast_limits=(0, 255),
            metadata={OURS: explanation},  # before it is inserted: it is not what is looked at next
            axis_labels=source.axis_labels,
            **geometry(source, plane, _beside(explanation.placement, source, plane)),
        )
        self._layers.insert(self._layers.index(source) + 1, layer)
        self._live[source.unique_id] = _Live(layer, layer.name)


def _beside(placement: Placement, source: Image, plane: Plane) -> Placement:
    """The same place, to the right of the picture."""
    level = source.level_shapes[plane.level] if source.multiscale else source.data.shape
    *others, across = placement.translate
    return replace(placement, translate=(*others, across + (1 + GAP) * int(level[plane.axes[-1]])))


def _as_layers_pixels(picture: npt.NDArray[Any], source: Image, plane: Plane) -> npt.NDArray[np.uint8]:
    """Give a picture the axes of the other one's layer, of length 1 all but its own; colours come last."""
    if picture.ndim == len(plane.axes):
        return np.asarray(pinned(picture, source.ndim, plane))
    return np.stack([pinned(colour, source.ndim, plane) for colour in np.moveaxis(picture, -1, 0)], axis=-1)
