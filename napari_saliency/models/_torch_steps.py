"""A PyTorch network written out as steps, each a module of its own that is run once: what captum's rules are for.

captum looks at modules. What a network does beside them (``F.relu``, a sum of two branches), and what it does
with one module twice, captum passes over without a word. So the network is traced by ``torch.fx`` and written out
again: each operation becomes a module, each use of a module a module. An operation that no rule is known for has
no steps at all, rather than wrong ones.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import fx, nn

Node = Any
Tensor = Any

LOWEST = -1e30
"""What max pooling never takes; infinity would have no differences."""

RECTIFIERS = (nn.ReLU, nn.LeakyReLU)
ACTIVATIONS = (*RECTIFIERS, nn.ELU, nn.Sigmoid, nn.Softplus, nn.Tanh)
"""What captum's DeepLift has a rule for, beside max pooling."""

MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
WEIGHTED = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.Upsample),
)
"""Sums with weights that do not depend on the picture; batch normalisations are, in inference mode."""

MOVING = (
    *(nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.PixelShuffle, nn.ChannelShuffle),
)
ENDINGS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, "softmax", "log_softmax", "sigmoid")

ACTIVATION_OF = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
POOL_OF = {"max_pool1d": nn.MaxPool1d, "max_pool2d": nn.MaxPool2d, "max_pool3d": nn.MaxPool3d}
POOL_ARGUMENTS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")

SUMMING = {"add", "sub", "neg", "mean", "sum", "interpolate"}
SUMMING |= {f"{kind}avg_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3)}
SCALING = {"mul", "multiply", "truediv", "div"}  # by what does not depend on the picture
MOVING_NAMES = {"cat", "concat", "clone", "contiguous", "expand", "flatten", "getitem", "movedim", "permute"}
MOVING_NAMES |= {"reshape", "squeeze", "stack", "transpose", "unsqueeze", "view"}
DROPPING = {"dropout", "dropout1d", "dropout2d", "dropout3d"}
SIZES = {"dim", "getattr", "size"}
"""What says something of a tensor that is no part of the score's derivative."""


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
        Whether it only passes values on, or scales each.
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
        found = self._function(*arguments, **named)
        return found.clone() if any(found is one for one in tensors) else found  # one tensor has one place


class Apart(nn.Module):
    """Hand a tensor on for one module alone: captum's hooks replace all of the derivative by what goes in.

    Parameters
    ----------
    layer : torch.nn.Module, optional
        One without weights, which moves values, or returns what it is given.
    """

    def __init__(self, layer: Any = None) -> None:  # noqa: ANN401 - a Module
        super().__init__()
        self._move = None if layer is None else layer.forward  # so it is no module inside

    def forward(self, tensor: Tensor) -> Tensor:
        return (self._move(tensor) if self._move else tensor).clone()


class Windows(nn.Module):
    """What each window of a max pooling sees, (N, C, h, w, values): captum's rule is wrong where windows overlap.

    Parameters
    ----------
    pool : torch.nn.MaxPool2d
        Not dilated.
    """

    def __init__(self, pool: Any) -> None:  # noqa: ANN401 - a Module
        super().__init__()
        self._pool = (pool.kernel_size, pool.stride, pool.padding, 1, pool.ceil_mode)
        self._edges = [_pair(each) for each in self._pool[:3]]

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.max_pool2d(x.new_empty(x.shape, device="meta"), *self._pool)
        around: list[int] = []
        for axis in (1, 0):  # the last one first, as `pad` wants it
            kernel, stride, before = (each[axis] for each in self._edges)
            around += [before, (pooled.shape[2 + axis] - 1) * stride + kernel - x.shape[2 + axis] - before]
        x = nn.functional.pad(x, around, value=LOWEST)
        for axis, (kernel, stride) in enumerate(zip(*self._edges[:2], strict=True), 2):
            x = x.unfold(axis, kernel, stride)
        return x.flatten(-2).clone()


class Squeezed(nn.Module):
    """Drop the axis of a window's values, of which one is left."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(-1)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


class _Slot(str):
    """Where an argument belongs that is computed by another operation."""


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
        Its children are activations and max poolings, `Step`s, and other layers of PyTorch's.

    Raises
    ------
    Unfollowed
        If it cannot be traced, or does what no rule is known for.
    """
    try:
        graph = fx.symbolic_trace(module).graph
    except Exception as error:  # whatever a network's own code says of what is not a tensor
        raise Unfollowed("what depends on the picture's values, or is not written in Python") from error
    if ended:
        _leave_ending_out(module, graph)
    root = nn.Module()
    written = fx.Graph()
    known: dict[Node, Node] = {}
    for node in graph.nodes:
        known[node] = _write(module, node, (root, written, known))
        known[node].meta["from picture"] = node.meta["from picture"] = _depends(node)
    return fx.GraphModule(root, written).eval()


def _depends(node: Node) -> bool:
    """Whether it is a tensor that depends on the picture."""
    if node.op == "placeholder":
        return True
    return bool(_from_picture(node)) and not (node.op.startswith("call_") and _name(node) in SIZES)


def _from_picture(node: Node) -> list[Node]:
    return [one for one in node.all_input_nodes if one.meta.get("from picture")]


def _write(module: Any, node: Node, into: tuple[Any, Any, dict[Node, Node]]) -> Node:  # noqa: ANN401
    root, written, known = into
    if node.op == "get_attr":
        root.register_buffer(node.name, _at(module, node.target).detach())
        return written.get_attr(node.name)
    if not _depends(node) or node.op in ("placeholder", "output"):
        if node.op == "call_module":
            raise Unfollowed(_name(node))
        return written.node_copy(node, known.__getitem__)
    step = _apart(_step(module, node), _name(node))
    root.add_module(node.name, step)
    inputs = [known[one] for one in _from_picture(node)]
    others = {one.name: known[one] for one in node.all_input_nodes if one not in _from_picture(node)}
    if isinstance(step, (*ACTIVATIONS, *MAX_POOLS)):
        root.add_module(f"{node.name}_alone", Apart())
        inputs = [written.call_module(f"{node.name}_alone", tuple(inputs))]
    return written.call_module(node.name, tuple(inputs), others)


def _step(module: Any, node: Node) -> Any:  # noqa: ANN401 - Modules
    """Make a module that does what a node does, and nothing else in the network."""
    name = _name(node)
    if node.op == "call_module":
        return _twin(module.get_submodule(node.target), name)
    if node.op == "call_function" and not str(node.target.__module__).startswith(("torch", "_operator")):
        raise Unfollowed(name)
    if name in ACTIVATION_OF:
        return ACTIVATION_OF[name]()
    if name in POOL_OF:
        named = {key: value for key, value in node.kwargs.items() if key != "input"}
        return POOL_OF[name](**dict(zip(POOL_ARGUMENTS, node.args[1:], strict=False)), **named)
    scales = name in SCALING and len(_from_picture(node)) == 1
    scales &= node.args[0] in _from_picture(node) or name in ("mul", "multiply")
    moves = name in MOVING_NAMES or (name in DROPPING and not node.kwargs.get("training", True))
    if not (scales or moves or name in SUMMING):
        raise Unfollowed(name)
    return Step(_called(node), node, moving=moves or scales or name == "neg")


def _apart(step: Any, name: str) -> Any:  # noqa: ANN401 - Modules
    """Lay the windows of a max pooling beside each other where they overlap."""
    if not isinstance(step, MAX_POOLS):
        return step
    sizes = [_pair(each) for each in (step.kernel_size, step.stride)]
    if all(kernel <= stride for kernel, stride in zip(*sizes, strict=True)):
        return step
    if not isinstance(step, nn.MaxPool2d) or step.dilation not in (1, (1, 1)):
        raise Unfollowed(name)
    values = sizes[0][0] * sizes[0][1]
    return nn.Sequential(Windows(step), nn.MaxPool3d((1, 1, values)), Squeezed())


def _twin(layer: Any, name: str) -> Any:  # noqa: ANN401 - Modules
    """Copy a layer, but for its weights, so that hooks and rules are never in the network itself."""
    if type(layer) not in (*ACTIVATIONS, *MAX_POOLS, *WEIGHTED, *MOVING):
        raise Unfollowed(name)
    if getattr(layer, "track_running_stats", True) is False:  # it would depend on the picture's company
        raise Unfollowed(name)
    # `data` counts changes apart: captum loads the weights into themselves, which others must not notice.
    same: dict[int, Any] = {id(p): nn.Parameter(p.data, requires_grad=False) for p in layer.parameters()}
    same |= {id(b): b.data for b in layer.buffers()}
    twin = copy.deepcopy(layer, same)
    if hasattr(twin, "inplace"):
        twin.inplace = False
    return Apart(twin) if isinstance(twin, MOVING) else twin


def _called(node: Node) -> Any:  # noqa: ANN401 - a function
    if node.op == "call_function":
        return node.target
    method = node.target.removesuffix("_")
    return lambda tensor, *arguments, **named: getattr(tensor, method)(*arguments, **named)


def _name(node: Node) -> str:
    """``relu`` of an operation, in whatever spelling; of a module its name in the network."""
    name = getattr(node.target, "__name__", node.target)
    return name if node.op == "call_module" else str(name).removesuffix("_")


def _leave_ending_out(module: Any, graph: Any) -> None:  # noqa: ANN401 - a Module and a Graph
    """Let the network return what its last softmax or sigmoid is computed from."""
    (output,) = (node for node in graph.nodes if node.op == "output")
    ending = output.args[0]
    while isinstance(ending, fx.Node) and _is_one_of(module, ending, (*MOVING, *MOVING_NAMES, *DROPPING)):
        ending = ending.args[0]
    if not isinstance(ending, fx.Node) or not _is_one_of(module, ending, ENDINGS):
        raise Unfollowed("its end")
    ending.replace_all_uses_with(ending.args[0])
    graph.erase_node(ending)


def _is_one_of(module: Any, node: Node, kinds: Sequence[Any]) -> bool:  # noqa: ANN401 - a Module
    return (type(module.get_submodule(node.target)) if node.op == "call_module" else _name(node)) in kinds


def _at(module: Any, path: str) -> Tensor:  # noqa: ANN401 - a Module
    owner, _, name = path.rpartition(".")
    return getattr(module.get_submodule(owner), name)
