"""ONNX files: read whole and looked through before onnxruntime runs anything of them."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from napari_saliency.core.errors import ModelError, quote

Proto = Any
"""A part of an ONNX file as protobuf reads it."""

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Domains whose operations are part of onnxruntime; others come from libraries, which are programs."""

LARGEST = 2**31 - 1
"""Bytes that protobuf can read."""

MOST_NODES = 1_000_000
"""Operations, more than any network has."""


class OnnxContent(NamedTuple):
    """Content of a file that was looked through.

    Attributes
    ----------
    model : onnx.ModelProto
        The graph, its functions not yet written out.
    weights : list of Path
        Files beside it that hold its weights.
    """

    model: Proto
    weights: list[Path]


def check(path: Path) -> OnnxContent:
    """Read a file, and look through its operations, functions and weights.

    Raises
    ------
    ModelError
        If it is not an ONNX file, or truncated, or reaches for anything but itself and its weights.
    """
    if path.stat().st_size > LARGEST:
        raise ModelError("it is larger than 2 GB: save the model with its weights in a file of their own")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:
        raise ModelError("it is not a valid ONNX file (possibly truncated): copy it again") from error
    if not model.graph.node:
        raise ModelError("there is no network in it: it is not a valid ONNX file (possibly truncated)")
    if not all(
        isinstance(text, str) for text in _texts(model)
    ):  # protobuf returns bytes that are not UTF-8 as bytes
        raise ModelError("it is damaged (some of its names are not text): copy it again")
    _check_operations(model)
    weights = _weights_apart(model, path.parent)
    if model.functions:
        _check_functions(model)
    return OnnxContent(model, weights)


def _check_operations(model: Proto) -> None:
    """Refuse what onnxruntime does not know, in words that say what to do."""
    versions = {each.domain: each.version for each in model.opset_import}
    newest = onnx.defs.onnx_opset_version()
    if versions.get("", 0) > newest:
        raise ModelError(
            f"it is written in ONNX's opset {versions['']}, and what is installed here knows those up to {newest}: "
            "update onnx and onnxruntime, or export the model with a lower opset"
        )
    own = {(function.domain, function.name) for function in model.functions}
    graphs = [model.graph, *model.functions]
    for node in (node for graph in graphs for node in all_nodes(graph)):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise ModelError(
                f"it uses the operation {node.domain}.{node.op_type}, which only a library brings that would run on "
                "your machine: export the model with ONNX's own operations"
            )


def _check_functions(model: Proto) -> None:
    """Refuse functions that call themselves, or each other so often that no memory holds what they come to."""
    functions = {(function.domain, function.name): function for function in model.functions}
    try:
        count = _count(model.graph, functions, {})
    except RecursionError:
        count = inf
    if count > MOST_NODES:
        raise ModelError("its functions call each other endlessly: it is damaged")


def _count(
    graph: Proto, functions: dict[tuple[str, str], Proto], known: dict[tuple[str, str], float]
) -> float:
    """Count the operations that a graph has once its functions are written out."""
    total = 0.0
    for node in all_nodes(graph):
        key = node.domain, node.op_type
        if key in functions and key not in known:
            known[key] = inf  # until it is counted: what calls itself never ends
            known[key] = _count(functions[key], functions, known)
        total += known.get(key, 1)
    return total


def _texts(model: Proto) -> Iterator[object]:
    """Yield all texts of a file that are looked at."""
    for node in (node for part in (model.graph, *model.functions) for node in all_nodes(part)):
        yield from (node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        yield value.name
    for dim in (dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim):
        yield dim.dim_param
    for each in (*model.functions, *model.opset_import):
        yield each.domain
    for entry in (*model.metadata_props, *(e for tensor in _tensors(model) for e in tensor.external_data)):
        yield from (entry.key, entry.value)


def all_nodes(graph: Proto) -> Iterator[Proto]:
    """Yield the nodes of a graph or function, and of the graphs within its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def _tensors(model: Proto) -> Iterator[Proto]:
    """Yield all tensors that may keep their numbers in another file."""
    for part in (model.graph, *model.functions):
        attributes = [attribute for node in all_nodes(part) for attribute in node.attribute]
        graphs = [inner for attribute in attributes for inner in (attribute.g, *attribute.graphs)]
        if part is model.graph:
            graphs.append(part)
        sparse = [
            each for attribute in attributes for each in (attribute.sparse_tensor, *attribute.sparse_tensors)
        ]
        for graph in graphs:
            yield from graph.initializer
            sparse += graph.sparse_initializer
        for attribute in attributes:
            yield from (attribute.t, *attribute.tensors)
        for each in sparse:
            yield from (each.values, each.indices)


def _weights_apart(model: Proto, folder: Path) -> list[Path]:
    """Find the files that hold a model's weights.

    Raises
    ------
    ModelError
        If one is missing or too short, or lies outside of the model's folder: a model shall not read
        whatever it likes.
    """
    result = set()
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location", "")
        path = (folder / name).resolve()
        # onnxruntime takes names with an asterisk for places in memory.
        if not name or "*" in name or Path(name).is_absolute() or not path.is_relative_to(folder.resolve()):
            raise ModelError(
                f"its weights lie outside of its folder, in {quote(name)}, and are not read from there"
            )
        if not path.is_file():
            raise ModelError(f"its weights are in {quote(name)}, which is missing: put that file beside it")
        _check_range(entries, path)
        result.add(path)
    return sorted(result)


def _check_range(entries: dict[str, str], path: Path) -> None:
    try:
        offset, length = (int(entries.get(key) or 0) for key in ("offset", "length"))
    except ValueError:
        offset = length = -1
    if min(offset, length) < 0 or offset + length > path.stat().st_size:
        raise ModelError(f"{quote(path.name)} does not hold all of its weights: copy that file again")
