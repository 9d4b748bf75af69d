"""Runs a Keras network symbolically and writes down what each layer returns.

Layers are recorded by listening to their calls, so that flat, nested and subclassed networks are one case. Sums and
concatenations that a functional network writes as plain operations count as layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from napari_saliency.models.keras import keras
from napari_saliency.models.keras.folding import Folding, can_fold

Tensor = Any

CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3D,
    keras.layers.Conv3DTranspose,
)
MOVING = ("Permute", "Reshape")
"""Layers after which the channels may be elsewhere."""
COMBINING = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Concatenate")
"""Operations between layers that are as good as the layers of the same name, where they are given several tensors."""


class Recorded(NamedTuple):
    """Result of a symbolic run.

    Attributes
    ----------
    output : tensor, or several
        Of the network.
    layers : list of (str, tensor)
        Each layer's output in the order of computation, named by the layers that it is called from.
    folded : dict of str to tensor
        For outputs that were folded away, by their tensors' names: what is computed in their place.
    whole : (tensor, tensor), optional
        Of a network that takes whole numbers: its picture before and after it is rounded to them.
    """

    output: Any
    layers: list[tuple[str, Tensor]]
    folded: dict[str, Tensor]
    whole: tuple[Tensor, Tensor] | None = None


def record(network: Any, folding: Folding | None, inputs: Any, first: Tensor | None = None) -> Recorded:  # noqa: ANN401
    """Run a network on a symbolic batch, in inference mode.

    Parameters
    ----------
    folding : Folding or None
        What folds batch normalisations into convolutions; None to run the network as it is.
    inputs : tensor, or list or dict of them
        What the network takes.
    first : tensor, optional
        The picture among them, if its channels come before its axes of space.
    """
    recording = _Recording(folding, first)
    with ExitStack() as stack:
        for layer in (*all_layers(network), *_combining(network)):
            stack.enter_context(_covered(layer, recording))
        output = network(inputs, training=False)
    return Recorded(output, recording.layers, recording.folded)


def all_layers(network: Any) -> list[Any]:  # noqa: ANN401 - Keras has no types
    """Return all layers within a network, those within layers included, each once."""
    result, waiting = {}, list(network.layers)
    while waiting:
        layer = waiting.pop(0)
        if id(layer) not in result:
            result[id(layer)] = layer
            waiting += getattr(layer, "_layers", [])
    return list(result.values())


def _combining(network: Any) -> list[Any]:  # noqa: ANN401 - Keras has no types
    """Find operations between layers of functional networks: some write a block's last sum as a plain ``+``."""
    layers = all_layers(network)
    result = [part for each in (network, *layers) for part in getattr(each, "operations", ())]
    return [part for part in result if type(part).__name__ in COMBINING and _takes_several(part)]


def _takes_several(operation: Any) -> bool:  # noqa: ANN401 - Keras has no types
    """Return whether it is an operation, not a layer, of several tensors: adding a number merely scales."""
    return not isinstance(operation, keras.Layer) and len(operation._inbound_nodes[0].input_tensors) > 1


class _Recording:
    """Notes that are taken during one run."""

    def __init__(self, folding: Folding | None, first: Tensor | None = None) -> None:
        self.layers: list[tuple[str, Tensor]] = []
        self.folded: dict[str, Tensor] = {}
        self._folding = folding
        # Of tensors with the channels first, by name: the same with the channels last.
        self._last: dict[str, Tensor] = {} if first is None else {first.name: first}
        self._path: list[str] = []
        self._calls: Counter[str] = Counter()
        self._made: dict[str, tuple[Any, Tensor]] = {}  # tensor's name: the layer that made it, and of what

    def listen(self, layer: Any, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Call a layer and write down its output."""
        self._path.append(layer.name)
        try:
            output = self._normalised(layer, args, kwargs)
            if output is None:
                output = self._turned(layer, args, _called(layer, call, args, kwargs))
        finally:
            name = "/".join(self._path)
            self._path.pop()
        if hasattr(output, "op"):
            self._calls[name] += 1
            times = self._calls[name]
            self.layers.append(
                (f"{name}:{times}" if times > 1 else name, self._last.get(output.name, output))
            )
            if args:
                self._made[output.name] = layer, args[0]
        return output

    def _turned(self, layer: Any, args: tuple[Any, ...], output: Any) -> Any:  # noqa: ANN401
        """Lead an output with the channels first through one that has them last, which is written down."""
        if not hasattr(output, "op") or output.shape.rank not in (4, 5) or output.name in self._last:
            return output
        inputs = args[0] if args and isinstance(args[0], (list, tuple)) else args
        follows = any(getattr(tensor, "name", "") in self._last for tensor in inputs)
        own = getattr(layer, "data_format", "") == "channels_first"
        if type(layer).__name__ in MOVING or not (own or follows):
            return output
        last = channels_last(output)
        output = channels_first(last)
        self._last[output.name] = last
        return output

    def _normalised(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:  # noqa: ANN401
        """Return the output of a batch normalisation that can be folded, else None."""
        if self._folding is None or not args or kwargs.get("training") is not False:
            return None
        before, x = self._made.get(getattr(args[0], "name", ""), (None, None))
        if before is None or not can_fold(before, layer):
            return None
        self.folded[args[0].name] = output = self._folding.normalised(before, x, layer)
        return output


def _called(layer: Any, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """Call a layer; a convolution with the channels first, with them last: else only some processors run it."""
    if type(layer) not in CONVOLUTIONS or layer.data_format != "channels_first":
        return call(*args, **kwargs)
    layer.data_format = "channels_last"
    try:
        output = call(channels_last(args[0]), *args[1:], **kwargs)
    finally:
        layer.data_format = "channels_first"
    return channels_first(output)


def channels_last(x: Tensor) -> Tensor:
    """Bring (N, C, *space) to (N, *space, C)."""
    return keras.ops.moveaxis(x, 1, -1)


def channels_first(x: Tensor) -> Tensor:
    """Bring (N, *space, C) to (N, C, *space)."""
    return keras.ops.moveaxis(x, -1, 1)


@contextmanager
def _covered(layer: Any, recording: _Recording) -> Iterator[None]:  # noqa: ANN401 - Keras has no types
    """Have a layer's calls recorded.

    The layer's own ``call`` is covered on the instance, and uncovered again: this holds for flat,
    nested and subclassed networks alike, where names of tensors do not.
    """
    call = layer.call
    own = layer.__dict__.get("call")  # where somebody covered it before
    layer.__dict__["call"] = lambda *args, **kwargs: recording.listen(layer, call, args, kwargs)
    try:
        yield
    finally:
        del layer.__dict__["call"]
        if own is not None:
            layer.__dict__["call"] = own
