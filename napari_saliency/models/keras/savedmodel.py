"""SavedModel folders of TensorFlow 1 and 2: the serving signature, as part of the one graph.

Such a folder is a program of TensorFlow's operations. Loading it runs none of the user's Python, but its
operations may read and write files, so that all of them are looked through before anything is run. The
signature is then laid flat, with its weights in it, and copied into the graph that all questions are
answered from: logits, ReLUs and layers are found there as in any other network.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from napari_saliency.core.errors import ModelError
from napari_saliency.models.error_messages import reason
from napari_saliency.models.io_selection import select_io, several
from napari_saliency.models.keras.network import PictureSpec, zeros
from napari_saliency.models.keras.rules import override_map
from napari_saliency.models.keras.tracing import Recorded
from napari_saliency.models.safety.keras_savedmodel import check_answer, operations

if TYPE_CHECKING:
    from napari_saliency.models.keras.folding import Folding
    from napari_saliency.models.keras.rules import TracedRule
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.sources import Source

Tensor = Any

# Constants above this many bytes are fed into the graph rather than copied into each of its functions.
LARGE = 1 << 14

# What operations are in Keras' terms, so that the layer for class activation maps is chosen by the same rule.
KINDS = {
    "MaxPool": "Pooling",
    "AvgPool": "Pooling",
    "Pad": "Padding",
    "PadV2": "Padding",
    "Transpose": "Permute",
}
COMPUTING = (
    "Conv",
    "Relu",
    "BiasAdd",
    "FusedBatchNorm",
    "Add",
    "Concat",
    "Pool",
    "Elu",
    "Selu",
    "Sigmoid",
    "Tanh",
    "Mul",
)

LOOPS = frozenset(("While", "StatelessWhile", "LoopCond"))


class SavedModel:
    """A loaded folder.

    Parameters
    ----------
    folder : Path
        With ``saved_model.pb``; `safety.check` has looked through it.

    Raises
    ------
    ModelError
        If it holds no signature, or an operation that nobody's picture needs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            loaded = tf.saved_model.load(str(folder))
        except Exception as error:
            raise ModelError(
                f"TensorFlow could not load it ({reason(error)[:150]}): export it again"
            ) from error
        signatures = dict(loaded.signatures)
        if not signatures:
            raise ModelError("it has no signature to serve: export it with model.export('FOLDER')")
        name = "serving_default" if "serving_default" in signatures else next(iter(signatures))
        self._signature = signatures[name]
        self._frozen = convert_variables_to_constants_v2(self._signature, lower_control_flow=False)
        definition = self._frozen.graph.as_graph_def()
        check_answer(definition)
        self.definition, self.weights = _apart(definition)
        self.inputs = {tensor.name: tensor for tensor in self._frozen.inputs if tensor.dtype != tf.resource}
        self.outputs = dict(
            zip(sorted(self._signature.structured_outputs), self._frozen.outputs, strict=True)
        )

    @property
    def loops(self) -> bool:
        """True if what it runs may have no end."""
        return not LOOPS.isdisjoint(operations(self.definition))

    def chosen(self, settings: Settings) -> Signature:
        """Settle which input and output are meant."""
        return Signature(self, settings)

    def names(self) -> dict[str, str]:
        """Tensors' names of the inputs, by the names that the signature gives them."""
        # TensorFlow sorts both.
        return dict(zip(sorted(self._signature.structured_input_signature[1]), self.inputs, strict=True))


class Signature:
    """A SavedModel's signature as a `TraceableNetwork`: one picture in, one output."""

    def __init__(self, loaded: SavedModel, settings: Settings) -> None:
        self._loaded, self._names = loaded, loaded.names()
        takes = {name: _size(loaded.inputs[own]) for name, own in self._names.items()}
        self._input = select_io("input", takes, settings.input, 4, 5)
        tensor = loaded.inputs[self._names[self._input]]
        if tensor.shape.rank is None:
            raise ModelError("it does not say what shape its input has: export it with an input signature")
        self.picture = PictureSpec.of(tuple(tensor.shape), tensor.dtype)
        self.zeroed = tuple(name for name in takes if name != self._input)
        gives = {name: _size(end) for name, end in loaded.outputs.items()}
        self._output = select_io("output", gives, settings.output, 2)
        self.inputs, self.outputs = several(takes, self._input, 4, 5), several(gives, self._output)

    def record(self, folding: Folding | None, rule: TracedRule | None, x: Tensor) -> Recorded:
        """Copy the signature into the graph that is being traced."""
        before, after = self.picture.given(x)
        given = {f"{name}:0": tf.identity(value) for name, value in self._loaded.weights.items()}
        for name, own in self._names.items():
            tensor = self._loaded.inputs[own]
            given[own] = after if name == self._input else zeros(x, name, tuple(tensor.shape), tensor.dtype)
        end = self._loaded.outputs[self._output]
        definition = _with_rule(self._loaded.definition, rule)
        (output,) = tf.graph_util.import_graph_def(definition, given, [end.name], name="model")
        layers = _layers(output.graph, "model/", x.shape.rank)
        return Recorded(output, layers, {}, (before, after) if self.picture.dtype.is_integer else None)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kind of operation that each layer ends in, by the last part of its name."""
        result = {}
        for node in self._loaded.definition.node:
            scope = node.name.rpartition("/")[0] or node.name
            result[scope.rpartition("/")[2]] = KINDS.get(node.op, node.op)
        return result

    def fingerprint(self, path: Path | None) -> str:
        """SHA-256 over the flat graph and its weights."""
        digest = hashlib.sha256(self._loaded.definition.SerializeToString(deterministic=True))
        for name, value in sorted(self._loaded.weights.items()):
            digest.update(name.encode())
            digest.update(value.numpy().tobytes())
        return digest.hexdigest()

    def guess(self, source: Source) -> tuple[str, bool]:
        """Whole numbers are pictures as they are; of others nothing is known."""
        return ("none", True) if self.picture.dtype.is_integer else ("unit", False)


def _size(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(tensor.shape) if tensor.shape.rank is not None else ()


def _apart(definition: Any) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401 - a GraphDef
    """Take inputs and large constants out of a graph; control inputs that only kept an order go, too."""
    weights = {}
    slim = type(definition)()
    slim.CopyFrom(definition)
    del slim.node[:]
    for node in definition.node:
        if node.op == "Const" and node.attr["value"].ByteSize() > LARGE:
            weights[node.name] = tf.constant(tf.make_ndarray(node.attr["value"].tensor))
        if node.op == "Placeholder" or node.name in weights:
            continue
        kept = slim.node.add()
        kept.CopyFrom(node)
        kept.input[:] = [name for name in node.input if not name.startswith("^")]
    return slim, weights


def _with_rule(definition: Any, rule: TracedRule | None) -> Any:  # noqa: ANN401 - a GraphDef
    """Have nonlinearities pass gradients by a rule; in a graph that is imported, nothing else says so."""
    overrides = override_map(rule)
    if not overrides:
        return definition
    ruled = type(definition)()
    ruled.CopyFrom(definition)
    for node in ruled.node:
        if node.op in overrides:
            node.attr["_gradient_op_type"].s = overrides[node.op].encode()
    return ruled


def _layers(graph: Any, prefix: str, rank: int) -> list[tuple[str, Tensor]]:  # noqa: ANN401 - a tf.Graph
    """Find the last output with space of each name scope, by the scope's name, in the order of computation."""
    result: dict[str, Tensor] = {}
    for op in graph.get_operations():
        computes = op.name.startswith(prefix) and any(word in op.type for word in COMPUTING)
        if computes and op.outputs and op.outputs[0].shape.rank == rank:
            name = op.name.removeprefix(prefix)
            scope = name.rpartition("/")[0].removesuffix("/batchnorm") or name
            result.pop(scope, None)
            result[scope] = op.outputs[0]
    common = _common([name.split("/") for name in result])
    return [("/".join(name.split("/")[common:]), tensor) for name, tensor in result.items()]


def _common(names: list[list[str]]) -> int:
    """Count the first parts that all names share, leaving each at least one."""
    count = 0
    while names and all(len(name) > count + 1 and name[count] == names[0][count] for name in names):
        count += 1
    return count
