"""DeepLIFT and layer-wise relevance propagation: other derivatives at the nodes of PyTorch's record of a pass.

Ancona et al. 2018 write both as a gradient in which each nonlinearity f has another derivative than its own
(propositions 1 and 2): with z what goes into it,

- rescale rule (Shrikumar et al. 2017, eq. 12 and 14): (f(z) - f(z')) / (z - z'), where z' is what the reference
  image makes of z. Where the two hardly differ, the derivative itself.
- epsilon rule (Bach et al. 2015, eq. 58): f(z) / z, which is the derivative of a ReLU; and whatever sums to z is
  multiplied by z / (z + epsilon sign z).

What is multiplied by these is known while the network runs, so a `Recorder` listens to each operation, in
whatever way it was spelled: in modules, functions, TorchScript or exported graphs. A network that does anything
which is not on the lists below is refused, rather than explained wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch._C import _DisableTorchDispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from napari_saliency.core.errors import ModelError
from napari_saliency.models.torch.autograd import name_of

if TYPE_CHECKING:
    from napari_saliency.core.types import Needs
    from napari_saliency.models.torch.autograd import Pass
    from napari_saliency.models.torch.network import TorchNetwork

Tensor = Any
Node = Any
Hooks = Callable[[Node], None]

SUMS = {
    *("Convolution", "Addmm", "Mm", "Bmm", "Baddbmm", "Mean", "Sum", "Add", "Sub", "Rsub"),
    *("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "NativeBatchNormLegit"),
    *("AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D"),
    *("UpsampleNearest2D", "UpsampleNearest3D", "UpsampleNearestExact2D", "UpsampleNearestExact3D"),
    *("UpsampleBilinear2D", "UpsampleBicubic2D", "UpsampleTrilinear3D"),
    *("UpsampleBilinear2DAa", "UpsampleBicubic2DAa"),
}
"""Operations that sum, with weights that do not depend on the image; batch normalisations do, in inference mode."""

SCALES = {"Mul", "Div", "Neg"}
MOVES = {
    *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "ToCopy", "Clone", "Alias", "Permute"),
    *("T", "Transpose", "Expand", "Repeat", "Slice", "Select", "Split", "SplitWithSizes", "Unbind", "Cat"),
    *("Stack", "ConstantPadNd", "ReflectionPad2D", "ReflectionPad3D", "ReplicationPad2D", "ReplicationPad3D"),
    *("PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "NativeChannelShuffle", "Flip", "Roll"),
    *("MkldnnReshape", "ToMkldnn", "ToDense", "torch::autograd::AccumulateGrad"),
}
JOINING = {"Add", "Sub", "Cat", "Stack"}
"""All others may have one input alone that depends on the image, or they are products, which have no rule."""

KINKED = {"Relu", "LeakyRelu", "PreluKernel"}
"""Activations whose share f(z) / z is their derivative."""
ACTIVATIONS = KINKED | {
    *("Hardtanh", "Clamp", "ClampMin", "ClampMax", "Maximum", "Minimum", "Threshold", "Elu", "Celu", "Gelu"),
    *("Silu", "Mish", "Tanh", "Sigmoid", "LogSigmoid", "Softplus", "Hardswish", "Hardsigmoid"),
}
MAX_POOLS = {"MaxPool2DWithIndices", "MaxPool3DWithIndices", "AdaptiveMaxPool2D", "AdaptiveMaxPool3D"}
RULED = ACTIVATIONS | MAX_POOLS

NOTHING = 1e-10
"""Differences below which a share is the derivative itself; captum's number."""

LACKS = "a rule for each operation, and none is known for "
ELSEWHERE = "code that takes another way for another image"


class Operation(NamedTuple):
    """One operation of a pass.

    Attributes
    ----------
    name : str
        Of its derivative, as in ``Relu``.
    x : tensor
        What went into it, of all that depends on the image the first.
    outputs : tuple of tensor
        What came out of it.
    again : callable
        Does the same to another input, which it may overwrite.
    copied : bool
        Whether ``x`` is a copy, as the operation overwrites its input.
    """

    name: str
    x: Tensor
    outputs: tuple[Tensor, ...]
    again: Callable[[Tensor], tuple[Tensor, ...]]
    copied: bool


class _Call(NamedTuple):
    """The last call: its derivative is known before the next operation is called."""

    function: Any
    arguments: tuple[Any, ...]
    named: dict[str, Any]
    x: Tensor
    place: int
    hidden: bool
    outputs: tuple[Tensor, ...]


class Recorder(TorchDispatchMode):
    """Listen to what a pass computes.

    Parameters
    ----------
    take : callable, optional
        Is given each operation, and returns what sets a rule's hooks on its derivative, or why there is no rule.

    Attributes
    ----------
    hooks : dict of node to callable
        Of the operations that the rule says something of.
    refused : dict of node to str
        Of those that it is not made for.
    masked : dict of node to str
        Of those that use what depends on the image without a derivative, as a mask does.
    branches : bool
        Whether the network's own code looked at what it computes.
    """

    def __init__(self, take: Callable[[Operation], Hooks | str | None] | None = None) -> None:
        super().__init__()
        self.hooks: dict[Node, Hooks] = {}
        self.refused: dict[Node, str] = {}
        self.masked: dict[Node, str] = {}
        self.branches = False
        self._take = take
        self._last: _Call | None = None
        self._hidden = WeakIdKeyDictionary()  # what depends on the image and has no derivative
        self._taken: set[Node] = set()

    def on(self, network: TorchNetwork) -> TorchNetwork:
        """Return the same network, listened to. Nothing else may run operations while it is: it would be heard, too."""

        def call(given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it returns
            with self:
                result = network.call(given)
            with torch.no_grad():
                self._finish()
            return result

        return replace(network, call=call)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        # Autograd lies above this call and sets `grad_fn` after it returns, so each is taken when the next comes.
        self._finish()
        named = kwargs or {}
        tensors = [*_tensors((*args, *named.values()))]
        hidden = any(tensor in self._hidden for tensor in tensors if not tensor.requires_grad)
        # `item()`, or `if` and `while` over a tensor: Python itself looks at the value.
        self.branches |= hidden and func is torch.ops.aten._local_scalar_dense.default
        place = next((n for n, arg in enumerate(args) if _depends(arg)), -1)
        x = args[place] if place >= 0 else None
        if self._take and x is not None and _in_place(func):
            with _DisableTorchDispatch():  # the copy is not an operation of the network's
                x = x.clone()
        outputs = func(*args, **named)
        if place >= 0 or hidden or any(map(_depends, tensors)):
            several = outputs if isinstance(outputs, tuple) else (outputs,)
            self._last = _Call(func, args, named, x, place, hidden, several)
        return outputs

    def _finish(self) -> None:
        """Take the last operation, now that it has a derivative, or none."""
        call, self._last = self._last, None
        if call is None or not call.outputs or not isinstance(call.outputs[0], torch.Tensor):
            return
        node = call.outputs[0].grad_fn
        for tensor in call.outputs:
            # Zeros in the shape of an activation are constants, although they are made of one.
            if isinstance(tensor, torch.Tensor) and not tensor.requires_grad and not _is_new(call.function):
                self._hidden[tensor] = True
        if node is None:
            return
        name = name_of(node)
        if call.hidden:
            self.masked[node] = f"{name} by what has no derivative"
        if self._take is not None and call.place >= 0:
            with _DisableTorchDispatch():  # others would hear what is computed for the rule
                self._hook(
                    node, Operation(name, call.x, call.outputs, _again(call), _in_place(call.function))
                )

    def missed(self, node: Node) -> bool:
        """Return whether a rule should have been asked of a derivative, and was not: of what only a part is left."""
        return self._take is not None and name_of(node) in SUMS | RULED and node not in self._taken

    def _hook(self, node: Node, operation: Operation) -> None:
        assert self._take is not None
        self._taken.add(node)
        result = self._take(operation)
        if isinstance(result, str):
            self.refused[node] = result
        elif result is not None:
            self.hooks[node] = result
            if operation.name == "Add":  # a bias that is added by itself belongs to its sum
                self.hooks.pop(_unbiased(node), None)


class Reference:
    """The activations and max poolings of a pass over the reference images.

    Attributes
    ----------
    kept : list of (str, tensor, tuple of tensor)
        Name and input of each in the order of computation, and what came out of a max pooling.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[str, Tensor, tuple[Tensor, ...]]] = []

    def __call__(self, operation: Operation) -> None:
        """Keep an operation's input, and copy it, as what comes after may overwrite it."""
        if operation.name in RULED:
            x0 = operation.x if operation.copied else operation.x.clone()
            outputs = operation.outputs if operation.name in MAX_POOLS else ()
            self.kept.append((operation.name, x0, tuple(output.clone() for output in outputs)))


class Rescaling:
    """Derivatives by the rescale rule.

    Parameters
    ----------
    reference : Reference
        What it differs from.
    """

    def __init__(self, reference: Reference) -> None:
        self._left = iter(reference.kept)

    def __call__(self, operation: Operation) -> Hooks | str | None:
        """Return what sets the rule's hook on an operation's derivative."""
        if operation.name not in RULED:
            return None
        # Both passes run the same operations in the same order, unless the code branches on what it computes.
        name, x0, outputs = next(self._left, ("", operation.x, ()))
        if name != operation.name or x0.shape != operation.x.shape:
            return ELSEWHERE
        return _maxima(operation, x0, outputs) if outputs else _share(operation, x0)


class Relevance:
    """Derivatives by the epsilon rule."""

    def __init__(self, epsilon: float) -> None:
        self._epsilon = epsilon

    def __call__(self, operation: Operation) -> Hooks | str | None:
        """Return what sets the rule's hook on an operation's derivative."""
        name, (z, *_) = operation.name, operation.outputs
        if name in SUMS:
            kept = z / (z + torch.where(z >= 0, self._epsilon, -self._epsilon))
            # Before the sum's own derivative, which then shares out what is left to all its terms at once.
            return lambda node: node.register_prehook(lambda gradients: (gradients[0] * kept, *gradients[1:]))
        if name not in ACTIVATIONS or name in KINKED:
            return None
        return _share(operation, torch.zeros_like(operation.x))


def offset(operation: Operation) -> str | None:
    """Name an activation that the epsilon rule is not made for, as its share f(z) / z has no bound."""
    if operation.name not in ACTIVATIONS - KINKED:
        return None
    (none, *_) = operation.again(torch.zeros_like(operation.x))
    return f"{operation.name}, which is not 0 at 0" if bool(none.any()) else None


def rules_of(done: Pass, recorder: Recorder) -> tuple[tuple[Needs, ...], str]:
    """Find out which rules a network has, and what is needed for those that it has not.

    Parameters
    ----------
    recorder : Recorder
        That has taken `offset` of each operation.
    """
    reason = _unruled(done, recorder, recorder.masked)
    if reason:
        return (), LACKS + reason
    reason = _unruled(done, recorder, recorder.refused)
    return (("rescale",), LACKS + reason) if reason else (("rescale", "epsilon"), "")


def apply(done: Pass, recorder: Recorder) -> None:
    """Have a pass's derivative go by the rule that its recorder has taken.

    Raises
    ------
    ModelError
        If it did what the rule is not made for, this time.
    """
    reason = _unruled(done, recorder, recorder.masked | recorder.refused)
    if reason:
        raise ModelError(f"the rule needs {LACKS}{reason}")
    for node in done.ancestors() & recorder.hooks.keys():
        recorder.hooks[node](node)


def _unruled(done: Pass, recorder: Recorder, refused: dict[Node, str]) -> str:
    """Name the first operation on the way to a pass's logits that has no rule; "" if each has one."""
    if recorder.branches:
        return ELSEWHERE
    # Ancestors are a set; in the order of the pass, the same network is always refused for the same reason.
    nodes = sorted(done.ancestors(), key=lambda node: int(node._sequence_nr()))
    reasons = (refused.get(node) or _reason(node, missed=recorder.missed(node)) for node in nodes)
    return next(filter(None, reasons), "")


def _reason(node: Node, *, missed: bool) -> str:
    """Name an operation that is on none of the lists, or multiplies two tensors that depend on the image."""
    name = name_of(node)
    label = name.rpartition(":")[2].removeprefix("Native")
    if missed or name not in SUMS | SCALES | MOVES | RULED:
        return label
    if getattr(node, "_saved_training", False):
        return f"{label} by the image's own statistics"
    # Parameters do not need a gradient here, so whatever has a derivative depends on the image.
    depending = [before is not None for before, _ in node.next_functions]
    if name not in JOINING and sum(depending) > 1:
        return f"{label} of two tensors that both depend on the image"
    return f"{label} by what depends on the image" if name == "Div" and not depending[0] else ""


def _share(operation: Operation, x0: Tensor) -> Hooks | str:
    """Set the share: the difference of an activation's outputs over that of its inputs.

    It is computed in place, as new memory costs more than arithmetic, and its derivative is taken once.
    """
    (y, *_) = operation.outputs
    if y.shape != x0.shape:
        return f"{operation.name} that changes the shape"
    change = operation.x.sub_(x0) if operation.copied else operation.x - x0
    y0 = operation.again(x0)[0]
    share = y0.neg_().add_(y).div_(change)
    same = change.abs_() < NOTHING
    differs = not same.any()

    def shared(inner: tuple[Tensor | None, ...], outer: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        by = share.mul_(outer[0])
        if differs:
            return tuple(None if own is None else by for own in inner)
        return tuple(None if own is None else torch.where(same, own, by) for own in inner)

    return lambda node: node.register_hook(shared)


def _maxima(operation: Operation, x0: Tensor, outputs: tuple[Tensor, ...]) -> Hooks:
    """Set the share of max pooling: the difference of two maxima is given to where the higher of them is.

    As captum does, but for windows that overlap, of which it counts once what two share: a place may have
    shares of several windows. Both images' places are divided by the same difference, or what is the maximum
    in one of them alone would not add up.
    """
    (here, places, *_), (there, places0, *_) = operation.outputs, outputs
    highest, change = torch.maximum(here, there), operation.x - x0
    parts = ((places, highest - there), (places0, here - highest))

    def shared(inner: tuple[Tensor | None, ...], outer: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
        space = -1 - (change.ndim - 3)  # the first axis after batch and channels, which `places` counts along
        shares = torch.zeros_like(change).flatten(space)
        for where, part in parts:
            shares.scatter_add_(-1, where.flatten(space), part.mul_(outer[0]).flatten(space))
        by = shares.reshape(change.shape).div_(change)
        return tuple(None if own is None else torch.where(change.abs() < NOTHING, own, by) for own in inner)

    return lambda node: node.register_hook(shared)


def _again(call: _Call) -> Callable[[Tensor], tuple[Tensor, ...]]:
    def again(x: Tensor) -> tuple[Tensor, ...]:
        arguments = [*call.arguments[: call.place], x, *call.arguments[call.place + 1 :]]
        result = call.function(*arguments, **call.named)
        return result if isinstance(result, tuple) else (result,)

    return again


def _unbiased(add: Node) -> Node:
    """Return the matrix product to which a separate addition adds a bias, if there is one."""
    inputs = [before for before, _ in add.next_functions if before is not None]
    node = inputs[0] if len(inputs) == 1 else None
    while node is not None and name_of(node) in ("View", "UnsafeView", "ReshapeAlias"):
        node = node.next_functions[0][0]
    return node if node is not None and name_of(node) in ("Mm", "Bmm") else None


def _tensors(arguments: tuple[Any, ...]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            yield argument
        elif isinstance(argument, (list, tuple)):
            yield from _tensors(tuple(argument))


def _depends(argument: Any) -> bool:  # noqa: ANN401 - whatever an operation takes
    return isinstance(argument, torch.Tensor) and argument.requires_grad


@cache
def _in_place(function: Any) -> bool:  # noqa: ANN401 - PyTorch's
    return str(function._schema.name).endswith("_")


@cache
def _is_new(function: Any) -> bool:  # noqa: ANN401 - PyTorch's
    """Return whether an operation makes numbers of its own, with another tensor's shape."""
    name = str(function._schema.name).removeprefix("aten::")
    return name.startswith("new_") or name.endswith("_like")
