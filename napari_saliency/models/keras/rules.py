"""Other derivatives of nonlinearities than their own, for TensorFlow's graphs.

A network that is traced while `override_map` holds passes gradients by the rule, whatever way its ReLUs were
spelled: all of them are the same two operations. So do DeepLIFT and layer-wise relevance propagation, which Ancona
et al. 2018 (propositions 1 and 2) write as gradients; `napari_saliency.models.torch.rules` says how. For the rescale
rule a batch holds the images and then the reference images, so that an operation knows both. A network that does
anything which is not on the lists below is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

if TYPE_CHECKING:
    from napari_saliency.core.types import Needs

Tensor = Any

TracedRule = Literal["guided", "deconvnet", "rescale", "epsilon"]
"""A rule, as far as a graph is another one for it: without reference images, and without epsilon's value."""

RELUS = ("Relu", "Relu6")

PRODUCTS = {
    *("Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2"),
    *("MatMul", "BatchMatMulV2", "Einsum"),
}
ADDITIONS = {"BiasAdd", "AddV2", "Add", "Sub"}
SUMS = PRODUCTS | ADDITIONS
SUMS |= {"AddN", "Mean", "Sum", "AvgPool", "AvgPool3D", "FusedBatchNormV3"}
SUMS |= {"ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic"}
"""Operations that sum, with weights that do not depend on the image; batch normalisations do, in inference mode."""

SCALES = {"Mul", "RealDiv", "Neg"}
MOVES = {
    *("Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "EnsureShape", "Transpose", "Pad", "PadV2"),
    *(
        "MirrorPad",
        "ConcatV2",
        "Pack",
        "Unpack",
        "StridedSlice",
        "Slice",
        "Split",
        "SplitV",
        "Tile",
        "GatherV2",
    ),
    *("BroadcastTo", "DepthToSpace", "SpaceToDepth", "SpaceToBatchND", "BatchToSpaceND", "ReverseV2"),
}
JOINING = {"AddV2", "Add", "AddN", "Sub", "ConcatV2", "Pack"}
"""All others may have one input alone that depends on the image, or they are products, which have no rule."""
EITHER = {"Mul", "MatMul", "BatchMatMulV2", "Einsum"}
IMAGE = {"Conv2DBackpropInput": 2, "Conv3DBackpropInputV2": 2, "Split": 1}
"""Index of the only input that may depend on the image, where it is not the first."""
SIZES = {"Shape", "ShapeN", "Size", "Rank"}

KINKED = {"Relu", "LeakyRelu"}
"""Activations whose share f(z) / z is their derivative."""
CENTRED = {"Relu6", "Elu", "Selu", "Tanh", "Softsign"}
"""Other activations that are 0 at 0; of the rest, f(z) / z has no bound."""
ACTIVATIONS = KINKED | CENTRED | {"Sigmoid", "Softplus"}
MAX_POOLS = {"MaxPool", "MaxPool3D", "Max"}
RULED = ACTIVATIONS | MAX_POOLS

NOTHING = 1e-10
"""Differences below which a share is the derivative itself."""


class Propagation(NamedTuple):
    """The image by which derivatives are being taken, and epsilon if the rule has one."""

    picture: Tensor
    epsilon: Tensor | None


_PROPAGATION: ContextVar[Propagation] = ContextVar("propagation")


def override_map(rule: TracedRule | None) -> dict[str, str]:
    """Map the type of each operation that has another gradient under a rule to that gradient's name."""
    kinds = {"rescale": RULED, "epsilon": SUMS | CENTRED}.get(rule or "", RELUS if rule else ())
    return {kind: f"napari_saliency_{rule}_{kind}" for kind in kinds}


@contextmanager
def propagating(picture: Tensor, epsilon: Tensor | None) -> Iterator[None]:
    """Take derivatives by the epsilon rule within; without an epsilon, by whatever rule there is."""
    token = _PROPAGATION.set(Propagation(picture, epsilon))
    try:
        yield
    finally:
        _PROPAGATION.reset(token)


def rules_of(starts: Iterable[Tensor], logits: Tensor) -> tuple[tuple[Needs, ...], str]:
    """Find out which rules a network has, and what is needed for those that it has not.

    Parameters
    ----------
    starts : iterable of tensor
        What the logits' derivative is taken by.
    logits : tensor
        What the derivative is taken of.
    """
    offset = ""
    for op, places in _depending(starts, _computing(logits)):
        reason = _reason(op, places)
        if reason:
            return (), f"{LACKS}{reason} ({op.name})"
        if op.type in ACTIVATIONS - KINKED - CENTRED:
            offset = offset or f"{LACKS}{op.type} ({op.name}), which is not 0 at 0"
    return (("rescale",) if offset else ("rescale", "epsilon")), offset


LACKS = "a rule for each operation, and none is known for "


def _computing(tensor: Tensor) -> set[Any]:
    """All operations that a tensor's values are computed by, not those that it has its size from."""
    result, waiting = set(), [tensor.op]
    while waiting:
        op = waiting.pop()
        if op not in result and op.type not in SIZES:
            result.add(op)
            waiting.extend(one.op for one in op.inputs)
    return result


def _depending(starts: Iterable[Tensor], ops: set[Any]) -> Iterator[tuple[Any, list[int]]]:
    """Yield operations that depend on the image, in the order of computation, and by which of their inputs."""
    tensors = {tensor.name for tensor in starts}
    (graph,) = {op.graph for op in ops}
    for op in filter(ops.__contains__, graph.get_operations()):
        places = [place for place, tensor in enumerate(op.inputs) if tensor.name in tensors]
        if places and not tensors.issuperset(output.name for output in op.outputs):
            tensors |= {output.name for output in op.outputs}
            yield op, places


def _reason(op: Any, places: list[int]) -> str:  # noqa: ANN401 - TensorFlow's own types
    """Name an operation that is on none of the lists, or multiplies two tensors that depend on the image."""
    if op.type not in SUMS | SCALES | MOVES | RULED:
        return str(op.type)
    if op.type == "FusedBatchNormV3" and op.get_attr("is_training"):
        return f"{op.type} by the image's own statistics"
    if op.type in RULED and op.inputs[0].shape.rank is not None and op.inputs[0].shape[0] is not None:
        return f"{op.type} of so many images at once"
    if op.type in JOINING:
        return ""
    if len(places) > 1:
        return f"{op.type} of two tensors that both depend on the image"
    fits = op.type in EITHER or places == [IMAGE.get(op.type, 0)]
    return "" if fits else f"{op.type} by what depends on the image"


def is_part(op: Any) -> bool:  # noqa: ANN401 - TensorFlow's own types
    """Return whether a ReLU is only a part of another activation, for which no rule for ReLUs is meant.

    Such are the gate of a hard sigmoid or hard swish, relu6(x + 3) / 6, and both sides of a PReLU,
    relu(x) - alpha * relu(-x).
    """
    x = op.inputs[0]
    if x.op.type == "AddV2" and op.type == "Relu6":
        return any(np.all(tf.get_static_value(term) == 3) for term in x.op.inputs)
    x = x.op.inputs[0] if x.op.type == "Neg" else x
    negated = [c.outputs[0] for c in x.consumers() if c.type == "Neg"]
    return _has_relu(x) and any(map(_has_relu, negated))


def _has_relu(tensor: Tensor) -> bool:
    return any(op.type in RELUS for op in tensor.consumers())


def _open(op: Any) -> Tensor:  # noqa: ANN401 - TensorFlow's own types
    """Return a mask of where a ReLU passes its input on: above 0, and below 6 for ReLU6."""
    y = op.outputs[0]
    return tf.logical_and(y > 0, y < 6) if op.type == "Relu6" else y > 0


@tf.RegisterGradient("napari_saliency_guided_Relu")
@tf.RegisterGradient("napari_saliency_guided_Relu6")
def _guided(op: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - TensorFlow's own types
    """Springenberg et al. 2015, section 3.4: only positive gradients, only through open ReLUs."""
    passed = gradient if is_part(op) else tf.nn.relu(gradient)
    return tf.where(_open(op), passed, tf.zeros_like(gradient))


@tf.RegisterGradient("napari_saliency_deconvnet_Relu")
@tf.RegisterGradient("napari_saliency_deconvnet_Relu6")
def _deconvnet(op: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - TensorFlow's own types
    """Zeiler and Fergus 2014, section 2.1: only positive gradients, whether the ReLU was open or not."""
    if is_part(op):
        return tf.where(_open(op), gradient, tf.zeros_like(gradient))
    return tf.nn.relu(gradient)


def _own(op: Any, *gradients: Tensor) -> list[Tensor | None]:  # noqa: ANN401 - TensorFlow's own types
    """Return TensorFlow's own derivatives with respect to an operation's inputs."""
    result = gradient_registry.lookup(op.type)(op, *gradients)
    return [*result] if isinstance(result, (list, tuple)) else [result]


def _rescaled(op: Any, gradient: Tensor) -> list[Tensor | None]:  # noqa: ANN401 - TensorFlow's own types
    """Shrikumar et al. 2017, eq. 12 and 14: difference of the outputs over that of the inputs."""
    (x, x0), (y, y0), (above, _) = (tf.split(each, 2) for each in (op.inputs[0], op.outputs[0], gradient))
    return _shared(op, gradient, x - x0, above * (y - y0))


def _rescaled_maxima(op: Any, gradient: Tensor) -> list[Tensor | None]:  # noqa: ANN401
    """Rescale max pooling: the difference of two maxima goes to the place of the higher one.

    A place may have shares of several windows. Both images' places are divided by the same difference, or what is
    the maximum in one of them alone would not add up.
    """
    (x, x0), (y, y0), (above, _) = (tf.split(each, 2) for each in (op.inputs[0], op.outputs[0], gradient))
    highest = tf.maximum(y, y0)
    parts = tf.concat([above * (highest - y0), above * (y - highest)], 0)
    there, there0 = tf.split(_own(op, parts)[0], 2)
    return _shared(op, gradient, x - x0, there + there0)


def _shared(op: Any, gradient: Tensor, change: Tensor, share: Tensor) -> list[Tensor | None]:  # noqa: ANN401
    """Return shares of a change, or the derivative where there is hardly any; nothing for the baselines."""
    own, *others = _own(op, gradient)
    own, none = tf.split(own, 2)
    same = tf.abs(change) < NOTHING
    result = tf.where(same, own, share / tf.where(same, tf.ones_like(change), change))
    return [tf.concat([result, tf.zeros_like(none)], 0), *(None for _ in others)]


def _relevant(op: Any, gradient: Tensor, *others: Tensor) -> list[Tensor | None]:  # noqa: ANN401
    """Bach et al. 2015, eq. 58: what a sum z passes back is multiplied by z / (z + epsilon sign z)."""
    z, propagation = op.outputs[0], _PROPAGATION.get()
    if op.type in PRODUCTS and _is_biased(z, propagation.picture):
        return _own(op, gradient, *others)
    epsilon = tf.cast(propagation.epsilon, z.dtype)
    kept = z / (z + tf.where(z >= 0, epsilon, -epsilon))
    return _own(op, gradient * kept, *others)


def _kept(op: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - TensorFlow's own types
    """Ancona et al. 2018, proposition 1: an activation passes relevance on as it is, f(z) / z of its multiplier."""
    (z,), (y,) = op.inputs, op.outputs
    same = tf.abs(z) < NOTHING
    return tf.where(same, _own(op, gradient)[0], gradient * y / tf.where(same, tf.ones_like(z), z))


def _is_biased(product: Tensor, picture: Tensor) -> bool:
    """Return whether a bias is added to a product next: the two are one sum."""
    for op in product.consumers():
        if op.type in ("Reshape", "Identity") and _is_biased(op.outputs[0], picture):
            return True
        others = [tensor for tensor in op.inputs if tensor.name != product.name]
        if op.type in ADDITIONS and others and not any(_depends(one, picture) for one in others):
            return True
    return False


def _depends(tensor: Tensor, picture: Tensor) -> bool:
    """Return whether a tensor is computed from the image."""
    known, waiting = {tensor.op}, [tensor.op]
    while waiting:
        op = waiting.pop()
        if op is picture.op:
            return True
        new = {one.op for one in op.inputs} - known
        known |= new
        waiting.extend(new)
    return False


for _kind in ACTIVATIONS:
    tf.RegisterGradient(f"napari_saliency_rescale_{_kind}")(_rescaled)
for _kind in MAX_POOLS:
    tf.RegisterGradient(f"napari_saliency_rescale_{_kind}")(_rescaled_maxima)
for _kind in SUMS:
    tf.RegisterGradient(f"napari_saliency_epsilon_{_kind}")(_relevant)
for _kind in CENTRED:
    tf.RegisterGradient(f"napari_saliency_epsilon_{_kind}")(_kept)
