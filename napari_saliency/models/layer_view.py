"""Looking into a model: a layer's channels in place of its answer.

The channels are quantities with space, so every method works on them unchanged. The engine holds one network, and
views of its layers.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from napari_saliency.core.errors import ModelError, quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_saliency.models.info import Layer, ModelInfo


def describe_layer_view(info: ModelInfo, layer: Layer, before: Iterable[str]) -> ModelInfo:
    """Describe a model whose answer is a layer's channels.

    Parameters
    ----------
    info : ModelInfo
        Of the whole model.
    layer : Layer
        Whose channels are looked at.
    before : iterable of str
        Layers on the way to it.
    """
    earlier = set(before) - {layer.name}
    layers = tuple(one for one in info.layers if one.name in earlier)
    return replace(
        info,
        labels=tuple(f"{layer.name}[{channel}]" for channel in range(layer.channels)),
        activation="quantity",
        space=tuple(size or None for size in layer.shape),
        logits=True,
        layers=layers,
        cam_layer=layers[-1].name if layers else "",
        questions=(),
        fingerprint=f"{info.fingerprint} {layer.name}",
        outputs=(),
        viewed_layer=layer.name,
        outer=info,
    )


def find_layer(info: ModelInfo, name: str) -> Layer:
    """One of a model's layers.

    Raises
    ------
    ModelError
        If it has none of that name; the message names the nearest ones.
    """
    layers = {layer.name: layer for layer in info.layers}
    if name not in layers:
        raise no_channels(info, name, layers)
    return layers[name]


def no_channels(info: ModelInfo, name: str, known: Iterable[str]) -> ModelError:
    """Return the error that `Model.view_layer` raises."""
    names = list(known)
    near = get_close_matches(name, names, 5, 0.4) or names[-5:]
    hint = f"; it has {', '.join(near)}{' …' if len(names) > len(near) else ''}" if near else ""
    return ModelError(f"{info.name} has no layer {quote(name)} that can be looked into{hint}")
