"""Properties that can be read off an ONNX graph: its input, and where its logits may be."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from napari_saliency.core.errors import ModelError
from napari_saliency.models.io_selection import select_io, several

if TYPE_CHECKING:
    from napari_saliency.models.settings import Settings

Proto = Any
Layout = Literal["NCHW", "NHWC"]
Sizes = tuple[int | None, ...]

LAYOUTS: tuple[Layout, ...] = ("NCHW", "NHWC")
"""Channels before or after the axes of space; volumes have three of these, but the same names."""

CHANNELS = (1, 3, 4)
"""Numbers of channels that images can have."""

NAMES = {
    **{"depth": -4, "d": -4, "z": -4, "height": -3, "h": -3, "y": -3, "width": -2, "w": -2, "x": -2},
    **{"channels": -1, "channel": -1, "c": -1},
}
"""Names of sizes that are not fixed, with their axes in (depth, height, width, channels)."""

# Operations whose first input has channels second, always.
CHANNELS_SECOND = {
    *("Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "MaxPool", "AveragePool"),
    *("GlobalAveragePool", "GlobalMaxPool", "QLinearConv", "LRN"),
}
# Operations that leave the order of axes as it is.
KEEPING = {
    *("Add", "Sub", "Mul", "Div", "Cast", "Identity", "Pad", "Clip", "Relu", "Neg", "Pow", "Sqrt", "Sigmoid"),
    *("QuantizeLinear", "DequantizeLinear", "Resize", "Dropout", "Min", "Max", "LeakyRelu", "Tanh"),
}
# What networks that return logits end in; what comes before has nothing to do with the end.
LINEAR = {"Gemm", "MatMul", "Conv", "Einsum", "MatMulInteger", "QLinearMatMul", "QLinearConv", "FusedMatMul"}
# What squashes, or may do so: a softmax or sigmoid, however it is spelled, has one of these.
SQUASHING = {
    *("Softmax", "LogSoftmax", "Sigmoid", "Exp", "Tanh", "Softplus", "HardSigmoid", "ReduceLogSumExp", "Erf"),
    *("Softsign", "Hardmax", "If", "Loop", "Scan", "Pow"),
}
# What depends on a tensor's shape alone.
SHAPES = {"Shape", "Size", "ConstantOfShape"}

FARTHEST = 64
"""Tensors before the output among which the logits are looked for."""


@dataclass(frozen=True)
class GraphInput:
    """A graph's input.

    Attributes
    ----------
    name : str
        As the graph calls it.
    kind : int
        The type of its numbers, as `onnx.TensorProto` counts them.
    sizes : tuple of (int, str)
        0 and a name or none where a size is not fixed.
    """

    name: str
    kind: int
    sizes: tuple[tuple[int, str], ...]

    @property
    def batch(self) -> int | None:
        """The only number of pictures that it takes at once."""
        return self.sizes[0][0] or None

    def picture(self, layout: Layout) -> Sizes:
        """Return size and channels, as far as they are fixed."""
        return tuple(size or None for size, _ in self.turned(layout))

    def turned(self, layout: Layout) -> tuple[tuple[int, str], ...]:
        """Return sizes without the batch's, the channels last."""
        _, *sizes = self.sizes
        return tuple(sizes if layout == "NHWC" else [*sizes[1:], sizes[0]])


class IOSelection(NamedTuple):
    """The inputs of a graph, and the output that is looked at.

    Attributes
    ----------
    entry : GraphInput
        Takes the picture.
    others : tuple of GraphInput
        Take zeros.
    output : str
        The one that is explained.
    inputs, outputs : tuple of str
        Names of its inputs and outputs where there are several, the chosen one first.
    """

    entry: GraphInput
    others: tuple[GraphInput, ...]
    output: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def find_io(graph: Proto, settings: Settings) -> IOSelection:
    """Find what goes in and out.

    Raises
    ------
    ModelError
        If it is not one batch of pictures.
    """
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: _port(value) for value in graph.input if value.name not in constants}
    ends = {value.name: value.type.tensor_type.shape.dim for value in graph.output}
    if not (inputs and ends):
        raise ModelError("it has no inputs or no outputs, so it is not an image classifier")
    takes = {name: spec.sizes for name, spec in inputs.items()}
    entry = inputs.pop(select_io("input", takes, settings.input, 4, 5))
    if len(entry.sizes) not in (4, 5):
        description = " × ".join(str(size or name or "?") for size, name in entry.sizes)
        raise ModelError(
            f"expected an image input of 4 axes, (N, C, H, W) or (N, H, W, C), or a volume's of 5; this model takes "
            f"{f'an input of {description}' if description else 'a single number'}"
        )
    output = select_io("output", ends, settings.output, 2)
    return IOSelection(
        entry, tuple(inputs.values()), output, several(takes, entry.name, 4, 5), several(ends, output)
    )


def _port(value: Proto) -> GraphInput:
    tensor = value.type.tensor_type
    known = [(max(d.dim_value, 0), d.dim_param.lower()) for d in tensor.shape.dim]
    return GraphInput(
        value.name, tensor.elem_type, tuple(known if tensor.HasField("shape") else [(0, "")] * 4)
    )


def find_layouts(graph: Proto, entry: GraphInput) -> tuple[Layout, ...]:
    """Find the orders of axes that the input may have: by its first reader, its sizes' names, and its sizes."""
    second = _first_reader(graph, entry.name)
    if second is not None:
        return ("NCHW",) if second else ("NHWC",)
    for likely in (_has_names, _has_channels):
        fitting = tuple(layout for layout in LAYOUTS if likely(entry, layout))
        if len(fitting) == 1:
            return fitting
    return LAYOUTS


def find_channels(graph: Proto, entry: GraphInput) -> int | None:
    """Find how many channels the first convolution takes."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        weights = "".join(node.input[1:2])
        if node.op_type == "Conv" and len(shapes.get(weights, ())) in (4, 5):
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            return int(shapes[weights][1] * groups)
    return None


def _first_reader(graph: Proto, name: str) -> bool | None:
    """Return whether the first operation that tells takes channels second; None if none tells."""
    waiting, seen = deque([name]), {name}
    readers: dict[str, list[Proto]] = {}
    for node in graph.node:
        for each in node.input:
            readers.setdefault(each, []).append(node)
    while waiting:
        name = waiting.popleft()
        for node in readers.get(name, ()):
            if node.op_type in CHANNELS_SECOND and node.input[0] == name:
                return True
            if node.op_type == "Transpose":
                order = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), ())
                if order in ((0, 3, 1, 2), (0, 4, 1, 2, 3)):
                    return False
            elif node.op_type in KEEPING:
                new = set(node.output) - seen
                seen |= new
                waiting.extend(new)
    return None


def _has_channels(entry: GraphInput, layout: Layout) -> bool:
    return entry.picture(layout)[-1] in CHANNELS


def _has_names(entry: GraphInput, layout: Layout) -> bool:
    """Return whether all names that tell something stand where they belong, and there is one."""
    turned = entry.turned(layout)
    places = [NAMES[name] == place for place, (_, name) in enumerate(turned, -len(turned)) if name in NAMES]
    return bool(places) and all(places)


@dataclass(frozen=True)
class End:
    """The operations between the output and the last linear one.

    Attributes
    ----------
    candidates : tuple of str
        Tensors that may be the logits, the nearest to the output first; none if nothing squashes them.
    squashed : bool
        Whether something does, or may do so.
    """

    candidates: tuple[str, ...]
    squashed: bool


def find_end(graph: Proto, output: str) -> End:
    """Go back from the output to what computes the scores."""
    makers = _makers(graph)
    waiting, trail, kinds = deque([output]), [output], set()
    while waiting and len(trail) < FARTHEST:
        node = makers.get(waiting.popleft())
        if node is None or node.op_type in LINEAR | SHAPES:
            continue
        kinds.add(node.op_type)
        new = [name for name in dict.fromkeys(node.input) if name in makers and name not in trail]
        trail += new
        waiting.extend(new)
    if not (waiting or kinds & SQUASHING):
        return End((), squashed=False)
    candidates = [name for name in trail[1:] if _decides(makers, graph, output, name)]
    return End(tuple(dict.fromkeys(_before_shift(makers, name) for name in candidates)), squashed=True)


def _decides(makers: Mapping[str, Proto], graph: Proto, output: str, name: str) -> bool:
    """Return whether the output depends on the picture by way of one tensor alone."""
    entries = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    waiting, seen = [output], {name}
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        if here in entries:
            return False
        node = makers.get(here)
        if node is not None and node.op_type not in SHAPES:
            waiting.extend(_read(node))
    return True


def _before_shift(makers: Mapping[str, Proto], name: str) -> str:
    """Undo ``z - max(z)``, which does not change a softmax, and is not part of the scores."""
    node = makers.get(name)
    if node is None or node.op_type != "Sub":
        return name
    before, shift = "".join(node.input[:1]), makers.get("".join(node.input[1:2]))
    is_largest = shift is not None and shift.op_type == "ReduceMax" and before in shift.input
    return before if is_largest else name


def _makers(graph: Proto) -> dict[str, Proto]:
    return {name: node for node in graph.node for name in node.output if name}


def _read(node: Proto) -> Iterator[str]:
    """Yield what a node reads, the graphs within it included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for each in inner.node:
                yield from _read(each)
