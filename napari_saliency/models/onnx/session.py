"""Running an ONNX graph on pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.models.base import no_classifier
from napari_saliency.models.error_messages import not_run, reason

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.onnx.files import OnnxFile
    from napari_saliency.models.onnx.graph import GraphInput, IOSelection, Layout

# It tells nobody what is run here, and it writes nothing: what goes wrong is raised.
onnxruntime.disable_telemetry_events()
onnxruntime.set_default_logger_severity(4)

NUMBERS: dict[int, type[np.number[Any]]] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.UINT8: np.uint8,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.INT64: np.int64,
}
"""Types of numbers that can be given."""


@dataclass(frozen=True, eq=False)
class Session:
    """A graph that is ready to run.

    Attributes
    ----------
    runner : onnxruntime.InferenceSession
        What runs it.
    io_selection : IOSelection
        What goes into it.
    output : str
        What is looked at unless another output is named.
    running : onnxruntime.RunOptions
        As `OnnxFile.running`.
    order : {"NCHW", "NHWC"}, optional
        Of its axes, if it has space; by default as the input's.
    """

    runner: Any
    io_selection: IOSelection
    output: str
    running: Any
    order: Layout | None = None

    @property
    def entry(self) -> GraphInput:
        """Input that takes the picture."""
        return self.io_selection.entry

    @property
    def number(self) -> type[np.number[Any]]:
        """The type of number that pictures are given in."""
        return NUMBERS[self.entry.kind]

    def run(self, x: Array, layout: Layout, names: Iterable[str] = ()) -> list[Array]:
        """Run pictures (N, *size, C); return what is called so, or the output, (N, K) or (N, *space, K).

        Raises
        ------
        ModelError
            If it cannot be run, or the output does not have one number for each class, or each class and place.
        """
        wanted = [*names] or [self.output]
        given = {spec.name: _zeros(spec, len(x)) for spec in self.io_selection.others}
        given[self.entry.name] = self._pixels(x if layout == "NHWC" else np.moveaxis(x, -1, 1))
        try:
            result = self.runner.run(wanted, given, self.running)
        except Exception as error:
            raise not_run(x.shape[1:], error) from error
        return [
            _of_classes(each, x, self.order or layout) if name == self.output else each
            for name, each in zip(wanted, result, strict=True)
        ]

    def _pixels(self, x: Array) -> npt.NDArray[np.number[Any]]:
        """Convert numbers to what the graph takes; whole ones are rounded, and clipped where they do not fit."""
        if issubclass(self.number, np.integer):
            limits = np.iinfo(self.number)
            x = np.rint(x).clip(limits.min, limits.max)
        return np.ascontiguousarray(x, self.number)


def _zeros(spec: GraphInput, count: int) -> npt.NDArray[np.number[Any]]:
    shape = [size or 1 for size, _ in spec.sizes]
    shape[:1] = [size or count for size, _ in spec.sizes[:1]]
    return np.zeros(shape, NUMBERS[spec.kind])


def open_session(
    file: OnnxFile, io_selection: IOSelection, outputs: list[str], *, quickly: bool = False
) -> Session:
    """Make a graph ready to run; its outputs are replaced.

    Parameters
    ----------
    outputs : list of str
        Which of its tensors are wanted; the first one is its output.
    quickly : bool
        Whether it is for a few runs only, and not rewritten to be fast.

    Raises
    ------
    ModelError
        If it cannot be run.
    """
    for spec in (io_selection.entry, *io_selection.others):
        if spec.kind not in NUMBERS:
            kinds = {code: name.lower() for name, code in onnx.TensorProto.DataType.items()}
            names = ", ".join(kinds[code] for code in NUMBERS)
            raise ModelError(
                f"input {quote(spec.name)} takes {kinds.get(spec.kind, 'unknown')} numbers; supported are {names}"
            )
    model = file.model
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    try:
        runner = onnxruntime.InferenceSession(
            model.SerializeToString(), _options(file.folder, quickly=quickly), ["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ModelError(
            f"it is damaged, or asks for what onnxruntime cannot do ({reason(error)})"
        ) from error
    return Session(runner, io_selection, outputs[0], file.running)


def _options(folder: Path, *, quickly: bool) -> Any:  # noqa: ANN401 - onnxruntime's own
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _processors()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_BASIC if quickly else level.ORT_ENABLE_ALL
    # Threads that wait for work by turning round would keep the viewer from its processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    return options


def _processors() -> int:
    """Count the processors that this process may use: onnxruntime would count the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _of_classes(output: Any, x: Array, layout: Layout) -> Array:  # noqa: ANN401 - whatever the graph returns
    """Bring outputs to a row of classes for each picture, wherever that axis stands, or for each place."""
    count = len(x)
    if not isinstance(output, np.ndarray) or output.dtype.kind != "f":
        kind = output.dtype if isinstance(output, np.ndarray) else type(output).__name__
        raise ModelError(f"the model returns {kind}, not a score for each class")
    if output.ndim > 1 and len(output) == count and max(output.shape[1:]) * count == output.size:
        output = output.reshape(count, -1)
    elif output.ndim == x.ndim and len(output) == count:
        output = channels_last(output, layout)
    else:
        raise ModelError(no_classifier(f"of shape {output.shape}"))
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite: told where scores are looked at
        return np.asarray(output, np.float32)


def channels_last(array: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """Bring what a graph of a layout computes (N, …) to the order of this project, if it has axes of space."""
    return np.moveaxis(array, 1, -1) if array.ndim in (4, 5) and layout == "NCHW" else array
