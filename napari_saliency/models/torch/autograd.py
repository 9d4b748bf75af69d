"""One forward pass of a PyTorch network, and every question put to it.

PyTorch's record of a pass is the same for modules, TorchScript and exported graphs: a graph of
derivatives. In it the logits are *found* (what the last softmax or sigmoid was computed from), ReLUs
are known by their derivatives, however they were spelled, and rules are hooks on these. A pass has a
graph of its own, so nothing of a network is ever changed and threads cannot disturb each other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._python_dispatch import TorchDispatchMode

from napari_saliency.core.errors import ModelError
from napari_saliency.models.base import no_classifier
from napari_saliency.models.error_messages import not_run
from napari_saliency.models.probabilities import SMALLEST, SMALLEST_REST

if TYPE_CHECKING:
    from napari_saliency.core.types import OutputActivation, ReluRule, Score

Tensor = Any
Node = Any

OUTPUT_ACTIVATIONS: dict[str, OutputActivation] = {
    "_softmax": "softmax",
    "_log_softmax": "softmax",
    "sigmoid": "sigmoid",
}
# Derivatives of operations that pass values on as they are, at most in another shape or precision.
# A logarithm is one of them: what it was taken of is found behind it.
PASSING = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "ToCopy", "Clone", "Alias", "Log")
# What networks that return logits end in; anything else may be a softmax or sigmoid spelled by hand.
LINEAR = {"Addmm", "Mm", "Convolution"}
# These, too, unless there is what is in every softmax, and so in averages of several.
MIXING = {
    *("Mean", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "Add", "Relu", "Bmm"),
    *("UpsampleBilinear2D", "UpsampleNearest2D", "UpsampleTrilinear3D", "UpsampleNearest3D"),
}
EXPONENTIAL = {"Exp", "Softmax", "LogSoftmax", "Sigmoid"}
# Operations that compute nothing, so their output is not a layer of its own.
MOVING = {
    *("view", "_unsafe_view", "alias", "detach", "clone"),
    *("t", "permute", "transpose", "_to_copy", "slice"),
}


class Seen(NamedTuple):
    """An inner tensor: where it lies in the graph of derivatives, and its shape."""

    edge: GradientEdge
    shape: tuple[int, ...]


class Ended(NamedTuple):
    """A softmax or sigmoid: what it was computed from, its value, its output, its kind, and over which axis."""

    edge: GradientEdge | None
    value: Tensor
    output: Tensor
    activation: OutputActivation
    axis: int

    def makes(self, output: Tensor) -> bool:
        """Return whether it can make the probabilities of classes, the second axis of an output."""
        over_classes = (
            self.activation == "sigmoid" or self.value.ndim == 2 or self.axis % self.value.ndim == 1
        )
        return self.edge is not None and self.value.numel() == output.numel() and over_classes


class Watch(TorchDispatchMode):
    """Write down what a pass computes.

    Parameters
    ----------
    names : mapping of int to str, optional
        Name of the layer of each weight, by the tensor's id. Given, every operation's output is
        written down as a layer; otherwise none is.
    keep : tuple of str
        The layers whose values are kept.
    last : int, optional
        How many softmaxes and sigmoids to remember, of those that come last; otherwise all.

    Attributes
    ----------
    ndim : int
        Axes of what is run, and so of an output that has space.
    work : int
        Multiplications of the convolutions, for one picture.
    held : int
        Bytes of all that was computed.
    kept : dict of str to tensor
        Values of the layers that are kept.
    failed : Exception or None
        What the last operation raised: TorchScript forgets what was said.
    """

    def __init__(
        self, names: Mapping[int, str] | None = None, keep: tuple[str, ...] = (), *, last: int | None = None
    ) -> None:
        super().__init__()
        self.endings: deque[Ended] = deque(maxlen=last)
        self.layers: dict[str, Seen] = {}
        self.kinds: dict[str, str] = {}
        self.kept: dict[str, Tensor] = {}
        self.threes: list[Tensor] = []
        self.failed: Exception | None = None
        self.work, self.held, self.ndim = 0, 0, 4
        self._names, self._keep, self._last = names, keep, "input"
        self._pending: list[tuple[str, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        self.process_pending()
        name = func._schema.name.removeprefix("aten::").removesuffix("_")
        before = _before(args[0], copied="_." in str(func)) if name in OUTPUT_ACTIVATIONS else None
        try:
            output, self.failed = func(*args, **(kwargs or {})), None
        except Exception as error:
            self.failed = error
            raise
        if before:
            axis = args[1] if len(args) > 1 else 1
            self.endings.append(Ended(*before, output, OUTPUT_ACTIVATIONS[name], axis))
        elif name in ("convolution", "_convolution"):
            self.work += output[0].numel() * args[1][0].numel()
        elif name == "add" and isinstance(args[1], (int, float)) and args[1] == 3:
            self.threes.append(output)
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor) and name not in MOVING and not func._schema.name.endswith("_"):
            self.held += first.nbytes
        if self._names is not None and name not in MOVING:
            self._note(name, args, first)
        return output

    def note(self, name: str, output: Tensor, kind: str) -> None:
        """Write a layer's output down, if it has space; a name that is there already gets a number."""
        with_space = isinstance(output, torch.Tensor) and output.ndim == self.ndim
        if not with_space or all(size == 1 for size in output.shape[2:]):
            return
        number = sum(other.partition(":")[0] == name for other in self.kinds) + 1
        name = name if number == 1 else f"{name}:{number}"
        self.kinds[name] = kind
        if name in self._keep:  # what comes after may overwrite it
            self.kept[name] = output.detach().clone()
        self._pending.append((name, output))

    def process_pending(self) -> None:
        """Look up where the layers of the last operation lie; before it was finished they lay nowhere."""
        for name, output in self._pending:
            if output.grad_fn is not None:
                self.layers[name] = Seen(get_gradient_edge(output), tuple(output.shape))
        self._pending.clear()

    def _note(self, name: str, args: Any, output: Any) -> None:  # noqa: ANN401 - whatever an operation takes
        assert self._names is not None
        named = [self._names[id(arg)] for arg in args if id(arg) in self._names]
        self._last = named[0] if named else self._last
        self.note(named[0] if named else f"{self._last}/{name}", output, name)


def _before(logits: Tensor, *, copied: bool) -> tuple[GradientEdge | None, Tensor]:
    """Return the input of a softmax or sigmoid; copied if it is about to be overwritten."""
    edge = get_gradient_edge(logits) if logits.grad_fn is not None else None
    return edge, logits.detach().clone() if copied else logits.detach()


class Pass:
    """A forward pass that derivatives can be taken of.

    Parameters
    ----------
    network : callable
        Takes (N, C, H, W) or (N, C, Z, H, W).
    x : (N, H, W, C) or (N, Z, H, W, C) tensor
        Pictures.
    watch : Watch
        Writes down what is computed.
    raw : bool
        Whether the outputs are to be taken as they are: those of a regression.

    Attributes
    ----------
    logits : (N, K) or (N, *space, K) tensor
        Or the outputs, where no softmax or sigmoid is found at the end.
    activation : {"softmax", "sigmoid"} or None
        Of the outputs; None where there is none to be seen.
    which : int
        How many of a softmax or sigmoid come after the one at the end; -1 where there is none to be seen.
    """

    def __init__(
        self, network: Callable[[Tensor], Tensor], x: Tensor, watch: Watch, *, raw: bool = False
    ) -> None:
        self.watch, self.x = watch, x.requires_grad_()
        output = run(network, self.x, watch)
        watch.process_pending()
        if output.grad_fn is None:
            raise ModelError("the model's scores have no derivative here: it computes without gradients")
        self.activation: OutputActivation | None = None
        self.which = -1
        self._edge, self.logits = get_gradient_edge(output), channels_last(output.detach().float())
        last = _behind(output.grad_fn)
        for number, ended in enumerate(() if raw else reversed(watch.endings)):
            if ended.output.grad_fn is last and ended.makes(output):
                assert ended.edge is not None
                self.activation, self.which, self._edge = ended.activation, number, ended.edge
                self.logits = channels_last(ended.value.reshape(output.shape).float())
                self._shape, self._dtype = ended.value.shape, ended.value.dtype
                return
        self._shape, self._dtype = output.shape, output.dtype

    def end_at(self, layer: str) -> None:
        """Look into a layer that is kept: its channels take the logits' place."""
        values = self.watch.kept[layer]
        self._edge, self.logits = self.watch.layers[layer].edge, channels_last(values.float())
        self._shape, self._dtype = values.shape, values.dtype

    def derivative(self, cotangents: Tensor, by: GradientEdge | None = None) -> Tensor:
        """Bring derivatives by the logits back to the pictures, or to a layer.

        To the pictures, once: what is on the way is forgotten, to have its memory. To a layer, often.
        """
        start = cotangents.movedim(-1, 1).reshape(self._shape).to(self._dtype)
        goal = self.x if by is None else by
        try:
            (result,) = torch.autograd.grad(
                [self._edge], [goal], [start], retain_graph=by is not None, allow_unused=True
            )
        except RuntimeError as error:
            raise ModelError(f"the model's scores have no derivative here: {error}") from error
        if result is None:
            raise ModelError("the model's scores have no derivative here: they do not depend on it")
        return result.float()

    @property
    def is_linear(self) -> bool:
        """True if it plainly ends in logits."""
        last = _behind(self._edge.node)
        name = "" if last is None else name_of(last)
        return name in LINEAR or (name in MIXING and not EXPONENTIAL & set(map(name_of, self.ancestors())))

    def ancestors(self) -> set[Node]:
        """All derivatives that the logits' is made of."""
        result: set[Node] = set()
        waiting = [self._edge.node]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in result:
                result.add(node)
                waiting.extend(before for before, _ in node.next_functions)
        return result

    def apply(self, rule: ReluRule) -> int:
        """Let gradients pass ReLUs by a rule; return how many ReLUs there are."""
        relus = {node for node in self.ancestors() if _is_relu(node)}
        threes = {tensor.grad_fn for tensor in self.watch.threes}
        own = [node for node in relus if not _is_part(node, relus, threes)]
        for node in own:
            # Springenberg et al. 2015, section 3.4: only positive gradients, only through open ReLUs.
            node.register_prehook(_positive)
            if rule == "deconvnet":  # Zeiler and Fergus 2014, section 2.1: whether the ReLU was open or not
                node.register_hook(_whatever_was_open)
        return len(own)


def run(network: Callable[[Tensor], Tensor], x: Tensor, watch: Watch) -> Tensor:
    """Run a network on (N, H, W, C) or (N, Z, H, W, C); return its outputs (N, K), or (N, K, *space).

    Raises
    ------
    ModelError
        If it cannot be run, or does not return one number for each class, or each class and place.
    """
    # A copy, not a view: networks may begin with an operation in place.
    viewed_layer = x.movedim(-1, 1).clone(memory_format=torch.contiguous_format)
    watch.ndim = x.ndim
    try:
        # TorchScript's optimiser has derivatives of its own, which nobody can look into.
        with torch.jit.optimized_execution(False), watch:
            output = network(viewed_layer)
    except ModelError:
        raise
    except Exception as error:
        raise not_run(tuple(x.shape[1:]), watch.failed or error) from error
    if isinstance(output, torch.Tensor) and len(output) == len(x):
        output = single(output, x.ndim)
        if output.ndim in (2, x.ndim):
            return output
    tensor = isinstance(output, torch.Tensor)
    what = f"of shape {tuple(output.shape)}" if tensor else f"({type(output).__name__})"
    raise ModelError(no_classifier(what, "(pictures, classes, height, width)"))


def single(output: Tensor, ndim: int) -> Tensor:
    """Flatten outputs (N, K, 1, 1) to (N, K): they are not a segmentation. ``ndim`` is that of images."""
    return output.flatten(1) if output.ndim == ndim and output[0, 0].numel() == 1 else output


def channels_last(outputs: Tensor) -> Tensor:
    """(N, K, *space) → (N, *space, K)."""
    return outputs.movedim(1, -1)


def listen(network: Any, watch: Watch) -> ExitStack:  # noqa: ANN401 - a Module
    """Write down what each module returns, while the context lasts."""
    stack = ExitStack()

    def hook(name: str) -> Callable[[Any, Any, Any], None]:
        return lambda module, _, output: watch.note(name, output, type(module).__name__)

    for name, module in network.named_modules():
        if name:
            stack.callback(module.register_forward_hook(hook(name)).remove)
    return stack


def weigh(
    outputs: Tensor,
    weights: Tensor,
    score: Score,
    activation: OutputActivation,
    as_logits: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Weighted scores (N,), and their derivatives by what a pass ends in.

    Parameters
    ----------
    outputs : (N, K) or (N, *space, K)
        `Pass.logits`.
    as_logits : callable
        Makes logits of them.
    """
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        scores = as_logits(leaf)
        if score == "probability":
            scores = scores.sigmoid() if activation == "sigmoid" else scores.softmax(-1)
        elif score == "log_probability":
            scores = (
                torch.nn.functional.logsigmoid(scores) if activation == "sigmoid" else scores.log_softmax(-1)
            )
        value = (weights * scores).flatten(1).sum(-1)
        (cotangents,) = torch.autograd.grad(value.sum(), leaf)
    return value, cotangents


def logarithms(probabilities: Tensor, activation: OutputActivation) -> Tensor:
    """Logits of a sigmoid's probabilities, or what stands in for those of a softmax's."""
    some = probabilities.clamp(min=SMALLEST).log()
    return some if activation == "softmax" else some - (1 - probabilities).clamp(min=SMALLEST_REST).log()


def _positive(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else gradient.clamp(min=0) for gradient in gradients)


def _whatever_was_open(
    inner: tuple[Tensor | None, ...], outer: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else outer[0].clamp(min=0) for gradient in inner)


def _is_relu(node: Node) -> bool:
    """Return whether a derivative is that of a ReLU or ReLU6, in any spelling."""
    name = name_of(node)
    if name == "Maximum":
        return _equals(node._saved_self, 0) or _equals(node._saved_other, 0)
    if name not in ("Relu", "Hardtanh", "Clamp", "ClampMin"):
        return False
    low = getattr(node, "_saved_min_val", getattr(node, "_saved_min", 0))
    high = getattr(node, "_saved_max_val", getattr(node, "_saved_max", None))
    return _equals(low, 0) and (high is None or _equals(high, 6) or _equals(high, math.inf))


def _equals(value: Any, number: float) -> bool:  # noqa: ANN401 - a number, a tensor or None
    return value is not None and bool(torch.all(torch.as_tensor(value) == number))


def _is_part(relu: Node, relus: set[Node], threes: set[Node]) -> bool:
    """Return whether a ReLU is only a part of another activation, for which no rule for ReLUs is meant.

    Such are the gate of a hard sigmoid or hard swish, relu6(x + 3) / 6, and both sides of a PReLU,
    relu(x) - alpha * relu(-x).
    """
    before = relu.next_functions[0]
    if relu in threes or before[0] in threes:  # in threes itself, if it overwrites the sum
        return name_of(relu) != "Relu"
    negated = before[0] is not None and name_of(before[0]) == "Neg"
    x = before[0].next_functions[0] if negated else before
    inputs = [other.next_functions[0] for other in relus]
    minus = [node for node, _ in inputs if node is not None and name_of(node) == "Neg"]
    return x in inputs and any(node.next_functions[0] == x for node in minus)


def _behind(node: Node) -> Node:
    """Go back over what only passes values on."""
    while node is not None and name_of(node) in PASSING:
        node = node.next_functions[0][0]
    return node


def name_of(node: Node) -> str:
    """Return the operation that a derivative is of: ``View`` of ``ViewBackward0``."""
    return str(node.name()).partition("Backward")[0]
