"""Random weights for layers of Keras networks, and which layers have weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_saliency.models.keras import keras
from napari_saliency.models.keras.tracing import all_layers

Weights = dict[int, tuple[Any, np.ndarray[Any, Any]]]
"""Variables and their values, by the variables' ids."""


def weighted_layers(network: Any, called: Sequence[str]) -> list[Any]:  # noqa: ANN401 - Keras has no types
    """Return layers with weights of their own, in the order in which they are first called.

    Parameters
    ----------
    network : keras.Model
        Layers of it that were not seen to be called come first: everything may lie above them.
    called : sequence of str
        Names of the layers, each with those that it was called from, in that order.
    """
    order: dict[str, int] = {}
    for place, name in enumerate(called):
        order.setdefault(name.rpartition("/")[2].partition(":")[0], place)
    result = [layer for layer in all_layers(network) if own_weights(layer)]
    return sorted(result, key=lambda layer: order.get(layer.name, -1))


def own_weights(layer: Any) -> list[Any]:  # noqa: ANN401
    """Return weights that a layer itself has learnt: not those of layers in it, nor what scales pictures."""
    if isinstance(layer, keras.layers.Normalization):
        return []
    inner = {id(weight) for part in getattr(layer, "_layers", []) for weight in part.weights}
    return [w for w in layer.weights if id(w) not in inner and keras.backend.is_float_dtype(w.dtype)]


def drawn(layer: Any, *seeds: int) -> Weights:  # noqa: ANN401
    """Draw new weights for a layer: from its own initialisers, where they are known, else its own in random order.

    Layers with the same seeds, and of one shape, get the same weights.
    """
    result: Weights = {}
    for number, variable in enumerate(own_weights(layer)):
        values, numbers = variable.numpy(), (*seeds, number)
        initializer = _initializer(layer, variable.name)
        if initializer is None:
            mixed = np.random.default_rng(numbers).permutation(values.ravel()).reshape(values.shape)
        else:
            config = initializer.get_config()
            if "seed" in config:
                config["seed"] = int(np.random.default_rng(numbers).integers(2**31))
            made = type(initializer).from_config(config)(values.shape, dtype=variable.dtype)
            mixed = keras.ops.convert_to_numpy(made).astype(values.dtype)
        result[id(variable)] = variable, mixed
    return result


def _initializer(layer: Any, name: str) -> Any:  # noqa: ANN401
    """By the names that Keras gives it: of a depthwise convolution's kernel it is ``depthwise_initializer``."""
    for prefix in (name, name.removesuffix("_kernel"), "depthwise" if name == "kernel" else name):
        result = getattr(layer, f"{prefix}_initializer", None)
        if isinstance(result, keras.initializers.Initializer):
            return result
    return None
