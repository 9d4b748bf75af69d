"""A network traced once, and every question put to it: scores, gradients, inner layers.

The network is run symbolically one single time. In the graph that results the logits are *found*
(the input of the last softmax or sigmoid, however it was written), and each question is answered
by a function pruned out of that graph. Nothing is traced again for another class: the weights of
the classes are an input. Only another derivative of the ReLUs needs a trace of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from napari_saliency.core.errors import ModelError
from napari_saliency.models.base import no_classifier
from napari_saliency.models.keras.rules import RELUS, is_part, override_map, propagating, rules_of
from napari_saliency.models.probabilities import SMALLEST, SMALLEST_REST

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, Needs, OutputActivation, Score
    from napari_saliency.models.keras.rules import TracedRule
    from napari_saliency.models.keras.tracing import Recorded

Tensor = Any

# Operations that pass values on as they are, at most in another shape or precision.
PASSING = {"Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "EnsureShape", "Transpose"}
ENDINGS: dict[str, OutputActivation] = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}
# What a network that returns logits ends in; anything else may be a softmax spelled by hand.
LINEAR = {"BiasAdd", "MatMul", "BatchMatMulV2", "Mean", "Relu", "AddV2", "Einsum", "Conv2D", "Conv3D"}
LINEAR |= {"ResizeBilinear", "ResizeNearestNeighbor", "Conv2DBackpropInput", "Conv3DBackpropInputV2"}
# What is in every softmax, and so in averages of several, which end in something linear, too.
EXPONENTIAL = {"Exp", "Softmax"}
NO_DERIVATIVE = "the model's scores have no derivative here: something on the way rounds or compares"


class Graph:
    """A classifier's graph.

    Parameters
    ----------
    record : callable
        Runs the network on a symbolic batch.
    shape : (height, width, channels), or (z, y, x, channels)
        Of a picture; None for a size that is free.
    rule : {"guided", "deconvnet", "rescale", "epsilon"}, optional
        How nonlinearities pass gradients back, if not by their derivative. By the rescale rule, a batch is of
        images and then of as many reference images.
    quantity : bool
        Whether the outputs are quantities, to be taken as they are.
    implicit : {"softmax", "sigmoid"}, optional
        What the outputs are said to be probabilities of, although how they are computed from logits
        is not known. Scores are then the logarithms of a softmax's, and the logits of a sigmoid's.

    Attributes
    ----------
    activation : {"softmax", "sigmoid", "quantity"}
        How the logits become probabilities.
    has_logits : bool
        Whether that was seen; otherwise the outputs are taken for logits.
    recognised : bool
        False if the outputs are neither of a known softmax or sigmoid, nor plainly linear.
    n_outputs, n_classes : int
        The network's, and those it stands for: one sigmoid tells two classes apart, whose logits are
        -z and z.
    space : tuple of int or None
        Of the outputs, if they have any.
    called : list of str
        All layers, named by those that they are called from, in the order of computation.
    ops : set of tf.Operation
        All that the logits are computed by.
    n_relus : int
        ReLUs in their own right on the way from the picture to the logits.
    layers : dict of str to (height, width, channels), or (z, y, x, channels)
        Outputs with space of layers on the way to the logits, in the order of computation.
    folded_away : set of str
        Those of them which something was computed without: their derivatives are not to be had here.
    """

    def __init__(
        self,
        record: Callable[[Tensor], Recorded],
        shape: tuple[int | None, ...],
        *,
        rule: TracedRule | None = None,
        implicit: OutputActivation | None = None,
        quantity: bool = False,
    ) -> None:
        self.activation: OutputActivation = "quantity" if quantity else "softmax"
        self.recognised, self.has_logits = True, False
        self._record, self._rule, self._implicit = record, rule, implicit
        specs = [tf.TensorSpec([None, *shape], tf.float32), tf.TensorSpec(None, tf.float32)]
        specs += [tf.TensorSpec([], tf.float32)] if rule == "epsilon" else []
        with _functions_inlined():
            self._answer = tf.compat.v1.wrap_function(self._trace, specs)
        self._functions: dict[Any, Any] = {}
        self._separating: dict[str, bool] = {}
        self._views: dict[str, Graph] = {}
        self._layer = ""  # that was looked into

    def gradient(
        self, x: Array, weights: Array, score: Score = "logit", epsilon: float | None = None
    ) -> tuple[Array, Array]:
        """Return the value (N,) of the weighted scores and its derivative with respect to ``x``."""
        given = [tf.constant(x), tf.constant(weights)]
        given += [] if epsilon is None else [tf.constant(epsilon, tf.float32)]
        if score == "logit" and not self._layer:  # the one function that exists from the start
            _, value, gradient = self._answer(*given)
        else:
            value, gradient = self._function(("gradient", score), self._gradient_of(score))(*given)
        return value.numpy(), gradient.numpy()

    def outputs(self, x: Array) -> Array:
        """Return the network's own outputs, (N, n_outputs) or (N, *space, n_outputs)."""
        function = self._function("outputs", lambda: (self._x, self._output))
        return function(tf.constant(x)).numpy()  # type: ignore[no-any-return]

    def scores(self, x: Array) -> Array:
        """Return logits (N, K) or (N, *space, K)."""
        if len(x) == 1 and not self.space and not self._layer:
            # For one picture a whole gradient is cheaper than compiling a function for the forward pass.
            logits = self._answer(tf.constant(x), tf.zeros((1, self.n_classes)))[0]
        else:
            logits = self._function("scores", lambda: (self._x, self._logits))(tf.constant(x))
        return logits.numpy()  # type: ignore[no-any-return]

    def activations(self, x: Array, layer: str) -> Tensor:
        """Return a layer's output, as a tensor that `layer_gradient` takes."""
        return self._function(("activations", layer), lambda: (self._x, self._tensors[layer]))(tf.constant(x))

    def layer_gradient(
        self, x: Array, activations: Tensor, weights: Array, score: Score, layer: str
    ) -> Array:
        """Return the derivative of the weighted scores with respect to a layer's output.

        Only what follows the layer is computed, if the logits depend on the picture through the
        layer alone.
        """
        function = self._function(("layer", layer, score), self._layer_gradient_of(layer, score))
        first = activations if self._separates(layer) else tf.constant(x)
        return function(first, tf.constant(weights)).numpy()  # type: ignore[no-any-return]

    def view_layer(self, layer: str) -> Graph:
        """Look into a layer, once: the same graph, in which that layer's channels are the logits."""
        if layer not in self._views:
            twin = self._views[layer] = copy.copy(self)
            twin._layer = layer
            # The copy shares the graph, but not what was derived from the logits that it replaces.
            twin._functions, twin._separating, twin._views = {}, {}, {}
            twin.__dict__.pop("layers", None)  # where `cached_property` keeps it
            with self._answer.graph.as_default():
                twin._take(tf.cast(self._tensors[layer], tf.float32), self._folded)
            twin.activation, twin.n_classes = "quantity", int(twin._logits.shape[-1])
            del twin._tensors[layer]
        return self._views[layer]

    def depends_on(self, variable: Any) -> bool:  # noqa: ANN401 - Keras has no types
        """Return whether the logits are computed from a layer's variable."""
        captured = self._answer.graph.captures
        return any(given is variable.value.handle and taken.op in self.ops for given, taken in captured)

    def evaluate(self, key: str, build: Callable[[], Any], x: Array) -> Any:  # noqa: ANN401 - what is built
        """Return the value of what is built once, in this graph, from its operations."""
        return self._function(key, lambda: (self._x, build()))(tf.constant(x))

    @cached_property
    def layers(self) -> dict[str, tuple[int | None, ...]]:
        """See the class."""
        rank = self._x.shape.rank
        with_space = {n: t for n, t in self._tensors.items() if t.shape.rank == rank and t.shape[-1]}
        return {n: tuple(t.shape[1:]) for n, t in with_space.items() if any(s != 1 for s in t.shape[1:-1])}

    def rules(self) -> tuple[tuple[Needs, ...], str]:
        """Find out which rules it has, and what is needed for those that it has not; see `rules.rules_of`."""
        if self._implicit:
            return (), f"logits, and how this network comes to its {self._implicit} is not seen"
        return rules_of([self._x] if self._whole is None else _numbers(self._whole[1]), self._logits)

    def _trace(self, x: Tensor, weights: Tensor, epsilon: Tensor | None = None) -> tuple[Tensor, ...]:
        with tf.compat.v1.get_default_graph().gradient_override_map(override_map(self._rule)):
            output, layers, folded, whole = self._record(x)
        output = _of_classes(output, x)
        self.called = [name for name, _ in layers]
        self.n_outputs = int(output.shape[-1])
        self._x, self._weights, self._epsilon, self._output = x, weights, epsilon, output
        self._whole = whole
        # Dropout that is off and nested models return another layer's output: it goes by that one's name.
        named = {tensor.name: name for name, tensor in reversed(layers)} | {x.name: ""}
        own = [(name, t) for name, t in layers if named[t.name] == name]
        self._tensors = dict(own)
        self._take(self._find_logits(output), folded)
        value = self._value("logit")
        return self._logits, value, self._by_picture(value)

    def _take(self, logits: Tensor, folded: dict[str, Tensor]) -> None:
        """Take a tensor for the logits, and of the layers those on the way to it."""
        self._logits, self._folded = logits, folded
        self.space = tuple(logits.shape[1:-1])
        ops = self.ops = _ancestors(logits)
        self.n_relus = sum(op.type in RELUS and not is_part(op) for op in ops)
        self._tensors = {
            name: t
            for name, t in self._tensors.items()
            if ops & {t.op, getattr(folded.get(t.name), "op", None)}
        }
        # One that is also used elsewhere has a derivative here, but not its whole one.
        self.folded_away = {name for name, t in self._tensors.items() if t.name in folded}

    def _find_logits(self, output: Tensor) -> Tensor:
        """Go back from the output to what the last softmax or sigmoid is computed from."""
        # Operations that only move or name values may follow the softmax; the logits must then be moved alike.
        shape, last, passed = output.shape, output.op, []
        while last.type in PASSING:
            passed.append(last)
            last = last.inputs[0].op
        if self.activation == "quantity":
            pass
        elif last.type in ENDINGS and _over_classes(last, self.n_outputs):
            self.activation, self.has_logits = ENDINGS[last.type], True
            output = _passed_on(last.inputs[0], passed)
        elif self._implicit:
            self.activation, output = self._implicit, _inverted(output, self._implicit)
        else:
            self.activation = "sigmoid" if self.n_outputs == 1 else "softmax"
            self.recognised = last.type in LINEAR and not any(
                op.type in EXPONENTIAL for op in _ancestors(output)
            )
        output = tf.ensure_shape(tf.cast(output, tf.float32), shape)
        if self.n_outputs == 1 and self.activation == "sigmoid":  # one output tells two classes apart
            output = tf.concat([-output, output], axis=-1)
        self.n_classes = int(output.shape[-1])
        return output

    def _value(self, score: Score) -> Tensor:
        """Weighted scores, (N,), from the logits."""
        if score == "logit":
            scores = self._logits
        else:
            scores = getattr(tf.nn if score == "probability" else _Log, self.activation)(self._logits)
        weights = tf.ensure_shape(self._weights, scores.shape)
        return tf.reduce_sum(weights * scores, axis=range(1, scores.shape.rank))

    def _gradient_of(self, score: Score) -> Callable[[], tuple[Any, Any]]:
        def build() -> tuple[Any, Any]:
            value, feeds = self._value(score), [self._x, self._weights]
            feeds += [] if self._epsilon is None else [self._epsilon]
            return feeds, [value, self._by_picture(value)]

        return build

    def _by_picture(self, value: Tensor) -> Tensor:
        """Derive by the picture, or where that is rounded, by the numbers that are computed with."""
        with propagating(self._x, self._epsilon):
            if self._whole is None:
                return _derivative(value, self._x)
            # Rounding has no derivative: it is passed over, from the numbers after it to those before it.
            before, after = self._whole
            result = [tf.cast(_derivative(value, number), tf.float32) for number in _numbers(after)]
        (gradient,) = tf.gradients(before, self._x, grad_ys=tf.add_n(result))
        return tf.convert_to_tensor(gradient)

    def _layer_gradient_of(self, layer: str, score: Score) -> Callable[[], tuple[Any, Any]]:
        def build() -> tuple[Any, Any]:
            tensor = self._tensors[layer]
            first = tensor if self._separates(layer) else self._x
            return [first, self._weights], _derivative(self._value(score), tensor)

        return build

    def _separates(self, layer: str) -> bool:
        """Return whether the logits depend on the picture through this layer alone."""
        if layer not in self._separating:
            # A skip connection leads around the layer: then the picture is still found without passing it.
            self._separating[layer] = self._x.op not in _ancestors(
                self._logits, without=self._tensors[layer].op
            )
        return self._separating[layer]

    def _function(self, key: Any, build: Callable[[], tuple[Any, Any]]) -> Any:  # noqa: ANN401 - TensorFlow's own types
        """Prune a function out of the graph, once."""
        if key not in self._functions:
            with self._answer.graph.as_default():
                feeds, fetches = build()
            # Without a signature each call is first taken for a wrong one, at the price of printing its arrays.
            specs = tuple(tf.TensorSpec(feed.shape, feed.dtype) for feed in tf.nest.flatten(feeds))
            self._functions[key] = self._answer.prune(feeds, fetches, input_signature=(specs, {}))
        return self._functions[key]


def _of_classes(output: Tensor, x: Tensor) -> Tensor:
    """Bring outputs to (N, K), or, where they have the picture's axes, to (N, *space, K).

    Raises
    ------
    ModelError
        If they are neither.
    """
    shape = output.shape if tf.is_tensor(output) else None
    if shape is not None and shape.rank and shape[-1]:
        if shape.rank == 3 and shape[1] == np.prod([size or 0 for size in x.shape[1:-1]]):
            return tf.reshape(output, [-1, *x.shape[1:-1], shape[-1]])  # segmentations that were laid flat
        if shape.rank == x.shape.rank and all(size == 1 for size in shape[1:-1]):
            return tf.reshape(output, [-1, shape[-1]])
        if shape.rank in (2, x.shape.rank):
            return output
    raise ModelError(no_classifier(_shape(output)))


def _over_classes(activation: Any, n_outputs: int) -> bool:  # noqa: ANN401 - TensorFlow's own types
    """Return whether a softmax is one over the classes; a sigmoid is over nothing."""
    return bool(activation.type == "Sigmoid" or activation.inputs[0].shape[-1] == n_outputs)


def _passed_on(logits: Tensor, passed: list[Any]) -> Tensor:
    """Do to the logits what is done to the probabilities made of them: the last operation comes first."""
    for op in reversed(passed):
        logits = (
            tf.transpose(logits, op.inputs[1])
            if op.type == "Transpose"
            else tf.reshape(logits, tf.shape(op.outputs[0]))
        )
    return logits


def _inverted(output: Tensor, activation: OutputActivation) -> Tensor:
    """Go back from probabilities to scores; exact but for rounding, and where they are 0 or 1."""
    output = tf.cast(output, tf.float32)
    logarithm = tf.math.log(tf.maximum(output, SMALLEST))
    if activation == "softmax":
        return logarithm
    return logarithm - tf.math.log(tf.maximum(1 - output, SMALLEST_REST))


class _Log:
    """Logarithms of the endings, without going through the probability."""

    softmax = tf.nn.log_softmax
    sigmoid = tf.math.log_sigmoid


def _derivative(value: Tensor, by: Tensor) -> Tensor:
    (gradient,) = tf.gradients(value, by)
    if gradient is None:
        raise ModelError(NO_DERIVATIVE)
    return tf.convert_to_tensor(gradient)


def _numbers(whole: Tensor) -> list[Tensor]:
    """Find the floating-point numbers that whole numbers are made into, before anything is computed."""
    result, waiting = [], [whole]
    while waiting:
        for op in waiting.pop().consumers():
            (output, *_) = op.outputs
            if op.type == "Cast" and output.dtype.is_floating:
                result.append(output)
            elif op.type in ("Identity", "Cast"):
                waiting.append(output)
            elif op.type != "Shape":
                raise ModelError(
                    f"the model computes with whole numbers ({op.type}), which has no derivative"
                )
    if not result:
        raise ModelError(NO_DERIVATIVE)
    return result


def _ancestors(tensor: Tensor, without: Any = None) -> set[Any]:  # noqa: ANN401 - TensorFlow's own types
    """Find all operations that a tensor is computed from, not looking behind one of them."""
    result, waiting = set(), [tensor.op]
    while waiting:
        op = waiting.pop()
        if op not in result and op is not without:
            result.add(op)
            waiting.extend(i.op for i in op.inputs)
    return result


def _shape(output: Any) -> str:  # noqa: ANN401 - whatever a model returns
    if tf.is_tensor(output):
        return f"of shape {tuple(output.shape)}"
    return (
        f"({type(output).__name__} of {len(output)})"
        if hasattr(output, "__len__")
        else f"({type(output).__name__})"
    )


@contextmanager
def _functions_inlined() -> Iterator[None]:
    """Trace what a model itself wrapped in ``tf.function`` as part of the one graph."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
