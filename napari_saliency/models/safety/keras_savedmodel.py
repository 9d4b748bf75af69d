"""Operations that a SavedModel may hold: those that compute, and those that only restore its weights.

An operation is known to be harmless if it stands in one of TensorFlow's modules that compute, and TensorFlow says
that it has no state, less a few that read files all the same; and some with state are known here. What another
release of TensorFlow brings elsewhere is refused. Loading a folder runs parts of it: what saves may stand in none of
those, nor in a signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python import ops
from tensorflow.python.framework import op_def_registry

from napari_saliency.core.errors import ModelError

# Parts of TensorFlow's modules tensorflow.python.ops.gen_…_ops whose operations compute.
COMPUTING = (
    *("array", "math", "nn", "image", "linalg", "spectral", "special_math", "bitwise", "manip", "sparse"),
    *(
        "ragged_array",
        "ragged_conversion",
        "ragged_math",
        "string",
        "parsing",
        "audio",
        "set",
        "count",
        "ctc",
    ),
    *("rnn", "cudnn_rnn", "uniform_quant", "random", "stateless_random", "random_index_shuffle"),
    *("candidate_sampling", "clustering", "control_flow", "functional", "list", "map", "data_flow", "lookup"),
    *("state", "training", "composite_tensor"),
)
# Operations without state that read, write, send or run something; datasets hold graphs as texts.
HARMFUL = re.compile(
    r"_.*|.*(Dataset|File|Proto|Summary|Remap|Checkpoint|Custom|Xla|Rpc|Snapshot|Remote).*"
    r"|(Py|EagerPy|Reader|Debug|TPU|Send|Recv|Copy|Read|Write|Save|Restore|Register|Collective|Nccl|Dump).*"
    r"|ImmutableConst|Abort|MlirPassthroughOp|.*SparseCore.*"  # a file's bytes; the process' end; compiled programs
)
# Operations with state that only compute, or keep variables and tables.
STATEFUL = re.compile(
    r"VarHandleOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VarIsInitializedOp|Variable(V2|Shape)?"
    r"|(Destroy)?TemporaryVariable|DestroyResourceOp|DisableCopyOnRead|GuaranteeConst|DeepCopy|Empty"
    r"|Resource(Apply|SparseApply|Scatter|Gather|StridedSliceAssign).*"
    r"|StatefulPartitionedCall|If|While|Case|DeviceIndex|Assert|Print|CheckNumerics(V2)?|Timestamp"
    r"|(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?|InitializeTableV2|LookupTable\w+V2"
    r"|TensorArray(Grad)?(V2|V3|WithShape)?|TensorArray\w+V[23]|Stack(V2|PushV2|PopV2|CloseV2)?"
    r"|Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|PoissonV2|Shuffle|Crop)|Multinomial"
    r"|ParameterizedTruncatedNormal|TruncatedNormal|Stateful(Uniform\w*|\w*Normal(V2)?|RandomBinomial)"
    r"|RngSkip|RngReadAndSkip|StatelessRandomGetAlg|SampleDistortedBoundingBox(V2)?|CudnnRNN\w*"
)
SAVING = frozenset(("SaveV2", "MergeV2Checkpoints"))
RESTORING = frozenset(("RestoreV2", "ShardedFilename"))


def check_folder(folder: Path) -> None:
    """Look through all that a folder could run, before TensorFlow loads it.

    Raises
    ------
    ModelError
        If it is damaged, or holds anything but what computes.
    """
    for path in folder.rglob("*"):
        if not (path.is_file() or path.is_dir()):  # to open a pipe takes for ever
            raise ModelError(f"{path.name[:60]!r} within it is not a regular file: export the model again")
    try:
        content = (folder / "saved_model.pb").read_bytes()
        result = saved_model_pb2.SavedModel.FromString(content)
    except Exception as error:
        raise ModelError("its saved_model.pb is damaged or truncated: export the model again") from error
    check_operations(result)


def check_operations(saved: Any) -> None:  # noqa: ANN401 - a SavedModel
    """Look through all that a SavedModel could run, before TensorFlow sees it.

    Raises
    ------
    ModelError
        If it has an operation that is not known to be harmless where it stands.
    """
    if not any(operations(graph.graph_def) for graph in saved.meta_graphs):
        raise ModelError("its saved_model.pb holds no operations: export the model again")
    for graph in saved.meta_graphs:
        functions = {function.signature.name for function in graph.graph_def.library.function}
        for name in sorted(operations(graph.graph_def) | _called(graph.graph_def)):
            if name not in SAVING | RESTORING and not _is_harmless(name, functions):
                raise forbidden(name)
        for name in sorted(_reached(graph) & SAVING):
            raise forbidden(name)


def check_answer(definition: Any) -> None:  # noqa: ANN401 - a GraphDef
    """Look through what answers are computed from: weights are in it, and nothing restores them.

    Raises
    ------
    ModelError
        If it has another operation than those that compute.
    """
    functions = {function.signature.name for function in definition.library.function}
    for name in sorted(operations(definition)):
        if name in SAVING | RESTORING or not _is_harmless(name, functions):
            raise forbidden(name)


def operations(definition: Any) -> set[str]:  # noqa: ANN401 - a GraphDef
    """Return the names of all operations in a graph and its functions."""
    return {node.op for node in _all_nodes(definition)}


def forbidden(operation: str) -> ModelError:
    """Return the error that names an operation which may not be run."""
    return ModelError(
        f"it has a {operation[:80]} operation, which could read, write or run something on your machine: nothing of "
        "it was run; export the model without it"
    )


def _is_harmless(name: str, functions: set[str]) -> bool:
    known = op_def_registry.get(name)
    if known is None:
        return name in functions
    if known.is_stateful:
        return bool(STATEFUL.fullmatch(name))
    return name in ("ReadVariableOp", "CopyHost") or (name in _computing() and not HARMFUL.fullmatch(name))


@cache
def _computing() -> frozenset[str]:
    """Return the names of all operations in TensorFlow's modules that compute."""
    names = [f"gen_{part}_ops" for part in COMPUTING] + ["gen_stateless_random_ops_v2"]
    modules = (getattr(ops, name, None) for name in names)  # what another release lacks is refused
    return frozenset(operation for module in modules if module for operation in vars(module))


def _all_nodes(definition: Any) -> Iterator[Any]:  # noqa: ANN401 - a GraphDef
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def _called(definition: Any) -> set[str]:  # noqa: ANN401 - a GraphDef
    """Return the names of all functions that are called by attributes."""
    return {name for node in _all_nodes(definition) for name in _functions_of(node)}


def _functions_of(node: Any) -> Iterator[str]:  # noqa: ANN401 - a NodeDef
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _reached(graph: Any) -> set[str]:  # noqa: ANN401 - a MetaGraphDef
    """Find operations in all that may run while the graph is loaded or answers: all but what only saves it."""
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    followers = {
        gradient.function_name: gradient.gradient_func for gradient in graph.graph_def.library.gradient
    }
    nodes = _ancestors(graph.graph_def, _roots(graph))
    # Functions that say what they implement may be put in another's place.
    waiting = [*graph.object_graph_def.concrete_functions]
    waiting += [name for name, function in library.items() if "api_implements" in function.attr]
    result = {node.op for node in nodes}
    waiting += [name for node in nodes for name in (node.op, *_mentioned(node.attr))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in library:
            continue
        seen.add(name)
        waiting += [followers.get(name, ""), *_mentioned(library[name].attr)]
        for node in library[name].node_def:
            result.add(node.op)
            waiting += [node.op, *_mentioned(node.attr)]
    return result


def _mentioned(attributes: Any) -> Iterator[str]:  # noqa: ANN401 - a map of AttrValues
    """Whatever in attributes may be a function's name."""
    for value in attributes.values():
        yield value.func.name
        yield value.s.decode("utf-8", "replace")
        yield from (function.name for function in value.list.func)
        yield from (text.decode("utf-8", "replace") for text in value.list.s)


def _roots(graph: Any) -> Iterator[str]:  # noqa: ANN401 - a MetaGraphDef
    """Yield the names of what is run in the graph itself: signatures, what starts it, what restores it."""
    yield graph.saver_def.restore_op_name
    for signature in graph.signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            yield tensor.name
            yield from (part.name for part in tensor.composite_tensor.components)
            sparse = tensor.coo_sparse
            yield from (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    for collection in graph.collection_def.values():
        yield from collection.node_list.value
        for content in collection.bytes_list.value:
            with suppress(Exception):  # something else is collected
                variable = variable_pb2.VariableDef.FromString(content)
                yield from (variable.variable_name, variable.initializer_name, variable.snapshot_name)
                yield variable.initial_value_name


def _ancestors(definition: Any, names: Iterable[str]) -> list[Any]:  # noqa: ANN401 - a GraphDef
    by_name = {node.name: node for node in definition.node}
    waiting, seen = [*names], dict[str, Any]()
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in by_name and name not in seen:
            seen[name] = by_name[name]
            waiting += by_name[name].input
    return [*seen.values()]
