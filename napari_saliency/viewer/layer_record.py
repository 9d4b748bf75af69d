"""The state of a layer that the panel made: one record under ``layer.metadata["saliency"]``.

The record is frozen and replaced as a whole, never changed in place: napari's *Duplicate layer* copies the dictionary
of a layer's metadata but not the values in it, so a record that changed would also change in the copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.state import Request

KEY = "saliency"
"""Key in ``layer.metadata`` of every layer that shows an explanation.

`Explanation.to_layer` puts the explanation itself there; layers of the panel have a `LayerRecord`.
"""


class Shows(StrEnum):
    """The part of an explanation that a layer shows."""

    MAP = "map"
    ERROR = "error"
    PICTURE = "picture"


class State(StrEnum):
    """The relation of a layer to the panel.

    A live layer is updated in place. A kept one belongs to the user. A left one was live when its panel was closed;
    the next panel makes it live again as soon as it has something to show for the same picture.
    """

    LIVE = "live"
    KEPT = "kept"
    LEFT = "left"


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """The state of a layer that the panel made.

    Attributes
    ----------
    shows : Shows
        Map, error or made picture.
    explanation : Explanation
        The result that is shown.
    request : Request
        The question that it answers.
    name : str
        Name that the panel gave the layer; another one is the user's.
    state : State
        Live, kept or left.
    by_hand : bool
        True if the user has set the contrast limits.
    """

    shows: Shows
    explanation: Explanation
    request: Request
    name: str
    state: State = State.LIVE
    by_hand: bool = False


def is_generated(layer: Layer) -> bool:
    """Return whether a layer shows an explanation, made by the panel or from a notebook."""
    return KEY in layer.metadata


def record_of(layer: Layer) -> LayerRecord | None:
    """Return the record of a layer; None for layers that the panel did not make."""
    record = layer.metadata.get(KEY)
    return record if isinstance(record, LayerRecord) else None


def update_record(layer: Layer, **changes: Any) -> None:  # noqa: ANN401 - fields of the record
    """Replace some fields of the record of a layer of the panel."""
    layer.metadata[KEY] = replace(layer.metadata[KEY], **changes)
