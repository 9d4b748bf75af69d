"""A PyTorch network written out as steps, each a module of its own that is run once: what captum's rules are for.

captum looks at modules. What a network does beside them (``F.relu``, a sum of two branches), and what it does
with one module twice, captum passes over without a word. So the network is traced by ``torch.fx`` and each of its
operations made a module. A network with an operation that no rule is known for has no steps at all, rather than
wrong ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from operator import attrgetter
from threading import Lock, get_ident
from typing import Any

import torch
from torch import fx, nn

Node = Any
Tensor = Any

RECTIFIERS = (nn.ReLU, nn.LeakyReLU)
ACTIVATIONS = (*RECTIFIERS, nn.ELU, nn.Sigmoid, nn.Softplus, nn.Tanh)
"""What captum's DeepLIFT has a rule for, beside max pooling."""

MAX_POOLS = (nn.MaxPool2d, nn.MaxPool3d)
SUMS = (
    *(nn.Linear, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Upsample),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
"""Sums with weights that do not depend on the picture; batch normalisations are, in inference mode."""

MOVES = (
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.ZeroPad2d, nn.ZeroPad3d, nn.PixelShuffle, nn.ChannelShuffle),
)
OUTPUT_ACTIVATIONS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, "softmax", "log_softmax", "sigmoid")

LAYER_OF = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
LAYER_OF |= {"max_pool2d": nn.MaxPool2d, "max_pool3d": nn.MaxPool3d}
"""Functions whose arguments are those of a layer."""

SUMMING = {"add", "sub", "mean", "sum", "interpolate"}
SUMMING |= {f"{kind}avg_pool{axes}d" for kind in ("", "adaptive_") for axes in (2, 3)}
SCALING = {"mul", "multiply", "truediv", "div"}  # by what does not depend on the picture
MOVING = {"cat", "concat", "clone", "contiguous", "expand", "flatten", "getitem", "movedim", "neg", "permute"}
MOVING |= {"reshape", "squeeze", "stack", "transpose", "unsqueeze", "view"}
MOVING |= {
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
}  # which do nothing: others are known by their chance
SIZES = {"dim", "size"}
"""What says something of a tensor that is no part of the score's derivative; so do its attributes:"""
SAYING = {"device", "dtype", "ndim", "shape"}


class Unfollowed(Exception):
    """A network does something that no rule is known for; the message is its name."""


class Step(nn.Module):
    """One operation on tensors that depend on the picture; the rest of its arguments are fixed, or given by name.

    Parameters
    ----------
    function : callable
        Of all arguments.
    node : torch.fx.Node
        The operation.
    moving : bool
        Whether it only passes values on, or scales each; otherwise it sums them.
    """

    def __init__(self, function: Any, node: Node, *, moving: bool) -> None:  # noqa: ANN401 - any operation
        super().__init__()
        self._function, self.moving = function, moving
        self._names = tuple(one.name for one in _from_picture(node))
        self._arguments = fx.node.map_arg((node.args, node.kwargs), lambda one: _Slot(one.name))

    def forward(self, *tensors: Tensor, **others: Any) -> Tensor:  # noqa: ANN401 - sizes and weights
        given = {**dict(zip(self._names, tensors, strict=True)), **others}
        arguments, named = fx.node.map_aggregate(
            self._arguments, lambda one: given[one] if isinstance(one, _Slot) else one
        )
        result = self._function(*arguments, **named)
        return result.clone() if any(result is one for one in tensors) else result  # one tensor has one place


class Apart(nn.Module):
    """Hand a tensor on for one module alone.

    captum's hooks replace all of the derivative by what goes in; and of two on one tensor, that of what
    comes out is handed what the other has not replaced yet.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


class MaxPooling(nn.Module):
    """A max pooling that captum has no rule for, as its own counts once what two windows share.

    Parameters
    ----------
    pool : torch.nn.MaxPool2d or torch.nn.MaxPool3d

    Attributes
    ----------
    places : (N, C, *space) tensor of int64
        Where each maximum of the last run is, in all of the picture's values one after the other.
    """

    def __init__(self, pool: Any) -> None:  # noqa: ANN401 - a Module
        super().__init__()
        pool = copy.copy(pool)
        pool.return_indices = True
        self._pool = pool.forward  # so it is no module inside

    def forward(self, x: Tensor) -> Tensor:
        highest, self.places = self._pool(x)
        return highest


class _Slot(str):
    """Where an argument belongs that is computed by another operation."""


class _Tracer(fx.Tracer):
    """Traces in one thread: while it does, it stands in for the calls of every module, in all of them."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def call_module(self, m: Any, forward: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401 - fx's signature
        if get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


_TRACING = Lock()  # two at once would put the other's stand-in back in the end


def steps_of(module: Any, *, ended: bool) -> Any:  # noqa: ANN401 - both are Modules
    """Write a network out as steps.

    Parameters
    ----------
    module : torch.nn.Module
        In inference mode; it is left as it is, and its weights are shared.
    ended : bool
        Whether a softmax or sigmoid at its end is to be left out.

    Returns
    -------
    torch.fx.GraphModule
        Its children are `Step`s, and activations and max poolings, each with what goes before it.

    Raises
    ------
    Unfollowed
        If it cannot be traced, or does what no rule is known for.
    """
    module = copy.copy(module)  # tracing leaves constants behind
    try:
        with _TRACING:
            graph = _Tracer().trace(module)
        if ended:
            _leave_ending_out(module, graph)
        root = nn.Module()
        for node in graph.nodes:
            depends = bool(_from_picture(node)) and not _says(node)
            node.meta["from picture"] = depends or node.op == "placeholder"
        for node in graph.nodes:
            _write(module, node, root)
        return fx.GraphModule(root, graph).eval()
    except Unfollowed:
        raise
    except Exception as error:  # whatever a network's own code says of what is not a tensor
        raise Unfollowed("code that torch.fx cannot follow") from error


def _from_picture(node: Node) -> list[Node]:
    """Tensors that depend on the picture, of what goes into an operation."""
    return [one for one in node.all_input_nodes if one.meta.get("from picture")]


def _says(node: Node) -> bool:
    """Whether it says of a tensor how large it is, and the like."""
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in SAYING
    return node.op in ("call_function", "call_method") and _name(node) in SIZES


def _write(module: Any, node: Node, root: Any) -> None:  # noqa: ANN401 - Modules
    """Let a node of the graph run a step that is put under ``root``."""
    if node.op == "get_attr":
        # `data`, as captum loads all weights into themselves, which others must not notice.
        root.register_buffer(node.name, attrgetter(node.target)(module).data)
        node.target = node.name
    elif node.meta["from picture"] and node.op not in ("placeholder", "output"):
        step, inputs = _step(module, node), _from_picture(node)
        if not (isinstance(step, Step) or _is_alone(inputs[0], root)):
            step = nn.Sequential(Apart(), step)
        root.add_module(node.name, step)
        others = {one.name: one for one in node.all_input_nodes if one not in inputs}
        node.op, node.target, node.args, node.kwargs = "call_module", node.name, tuple(inputs), others
    elif node.op == "call_module":
        raise Unfollowed(_name(node))


def _is_alone(node: Node, root: Any) -> bool:  # noqa: ANN401 - a Module
    """Whether what a node hands on is for one taker, and has no hook of captum's yet."""
    made = root.get_submodule(node.target) if node.op == "call_module" else None
    return len(node.users) == 1 and isinstance(made, Step)


def _step(module: Any, node: Node) -> Any:  # noqa: ANN401 - Modules
    """Make a module that does what a node does, and nothing else in the network."""
    name = _name(node)
    if node.op == "call_module":
        return _step_of_layer(module.get_submodule(node.target), node)
    if node.op == "call_function" and str(node.target.__module__).split(".")[0] not in ("torch", "_operator"):
        raise Unfollowed(name)
    if name in LAYER_OF:
        named = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
        return _step_of_layer(LAYER_OF[name](*node.args[1:], **named), node)
    scales = name in SCALING and len(_from_picture(node)) == 1
    scales = scales and (node.args[0] in _from_picture(node) or name in ("mul", "multiply"))
    if not (scales or name in MOVING or name in SUMMING):
        raise Unfollowed(name)
    called = node.target if node.op == "call_function" else getattr(torch.Tensor, name)  # never in place
    return Step(called, node, moving=scales or name in MOVING)


def _step_of_layer(layer: Any, node: Node) -> Any:  # noqa: ANN401 - Modules
    """Make a module of a layer, but for its hooks: those of captum must never be in the network itself."""
    kind = type(layer)
    if kind in ACTIVATIONS:
        layer = copy.deepcopy(layer)
        layer.inplace = False
        return layer
    if kind in MAX_POOLS and not layer.return_indices:
        return MaxPooling(layer)
    if kind not in (*SUMS, *MOVES):
        raise Unfollowed(kind.__name__)
    return Step(layer.forward, node, moving=kind in MOVES)


def _name(node: Node) -> str:
    """``relu`` of an operation, in whatever spelling; of a module its name in the network."""
    name = str(getattr(node.target, "__name__", node.target))
    bare = name.removesuffix("_")
    return bare if node.op == "call_method" or bare in LAYER_OF else name


def _leave_ending_out(module: Any, graph: Any) -> None:  # noqa: ANN401 - a Module and a Graph
    """Let the network return what its last softmax or sigmoid is computed from."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    activation = output.args[0]
    while isinstance(activation, fx.Node) and _is_one_of(module, activation, (*MOVES, *MOVING)):
        activation = activation.args[0]
    if not isinstance(activation, fx.Node) or not _is_one_of(module, activation, OUTPUT_ACTIVATIONS):
        raise Unfollowed("its end")
    activation.replace_all_uses_with(activation.args[0])
    graph.erase_node(activation)


def _is_one_of(module: Any, node: Node, kinds: Sequence[Any]) -> bool:  # noqa: ANN401 - a Module
    return (type(module.get_submodule(node.target)) if node.op == "call_module" else _name(node)) in kinds
