"""Content of an ONNX file that was looked through: its graph, and the class names that it brings."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import onnx.inliner
import onnxruntime

from napari_saliency.models.safety.onnx_files import all_nodes
from napari_saliency.models.settings import names_of

if TYPE_CHECKING:
    from napari_saliency.models.safety import Checked

Proto = Any
"""A part of an ONNX file as protobuf reads it."""

LABELS = ("names", "classes", "class_names", "labels", "id2label")
"""Under which of a file's own notes exporters write the names of the classes."""


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """Content of a file.

    Attributes
    ----------
    model : onnx.ModelProto
        The graph, without functions.
    folder : Path
        Where weights lie that are kept apart from it.
    fingerprint : str
        SHA-256 over the file, and over those that hold its weights.
    labels : tuple of str
        Names of the classes, if the file brings them.
    running : onnxruntime.RunOptions
        Of all of its runs, by which they can be ended.
    """

    model: Proto
    folder: Path
    fingerprint: str
    labels: tuple[str, ...]
    running: Any = field(default_factory=onnxruntime.RunOptions)

    def stop(self) -> None:
        """End whatever runs."""
        self.running.terminate = True

    @property
    def loops(self) -> bool:
        """True if what it runs may have no end."""
        return any(node.op_type == "Loop" for node in all_nodes(self.model.graph))


def read_file(checked: Checked) -> OnnxFile:
    """Read what was looked through; functions are written out where they are called."""
    model, weights = checked.content
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    return OnnxFile(model, checked.path.parent, _fingerprint([checked.path, *weights]), _labels(model))


def _fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _labels(model: Proto) -> tuple[str, ...]:
    """Read class names off the file's notes: a list or numbered names, in JSON or as Python writes them, or lines."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    for key in LABELS:
        text = notes.get(key, "").strip()
        if names := names_of(_content(text)):
            return tuple(names)
        separator = "\n" if "\n" in text else ","
        if text and text[0] not in "[{(":
            return tuple(filter(None, map(str.strip, text.split(separator))))
    return ()


def _content(text: str) -> object:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return ast.literal_eval(text)
    return None
