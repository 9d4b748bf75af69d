"""Other derivatives of ReLUs than their own: guided backpropagation and deconvnet, for TensorFlow's graphs.

A network that is traced while `override_map` holds passes gradients by the rule, whatever way its ReLUs were
spelled: all of them are the same two operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from napari_saliency.core.types import Rule

Tensor = Any

RELUS = ("Relu", "Relu6")


def override_map(rule: Rule | None) -> dict[str, str]:
    """Map the type of each ReLU to the name of its gradient under a rule."""
    return {relu: f"napari_saliency_{rule}_{relu}" for relu in RELUS} if rule else {}


def is_part(op: Any) -> bool:  # noqa: ANN401 - TensorFlow's own types
    """Whether a ReLU is only a part of another activation, which no rule for ReLUs is meant for.

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
    """Where a ReLU passes its input on: above 0, and below 6 if it ends there."""
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
