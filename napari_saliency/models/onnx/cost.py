"""The cost of an image for an ONNX graph, measured on one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.models.cost import ModelCost
from napari_saliency.models.onnx.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_saliency.models.onnx.files import OnnxFile
    from napari_saliency.models.onnx.graph import Layout
    from napari_saliency.models.onnx.session import Session
    from napari_saliency.models.probe import Place

CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Index of the input that holds a convolution's weights."""

HELD = 0.4
"""Of all that is computed, what a run holds at once: measured .15 to .32 on three networks; tiny ones hold more."""


def measure_cost(file: OnnxFile, session: Session, layout: Layout, place: Place) -> ModelCost:
    """Run a graph once with all that is computed in it as outputs: multiplications, and bytes, for each pixel.

    Nothing is known of a graph that cannot be run so.
    """
    io_selection = session.io_selection
    nodes = [node for node in file.model.graph.node if node.op_type != "Constant"]
    # The output comes first, as sessions have it.
    names = list(
        dict.fromkeys([io_selection.output, *(name for node in nodes for name in node.output if name)])
    )
    x = np.zeros((io_selection.entry.batch or 1, *place.tried), np.float32)
    try:
        whole = open_session(file, io_selection, names, quickly=True)
        result = cast("list[object]", whole.run(x, layout, names))  # some may be sequences of arrays
    except ModelError:
        return ModelCost()
    arrays = {n: each for n, each in zip(names, result, strict=True) if isinstance(each, np.ndarray)}
    work = sum(_works(file.model.graph, {name: array.shape for name, array in arrays.items()}))
    held = HELD * sum(array.nbytes for array in arrays.values())
    return ModelCost.of(work / len(x), held / len(x), place.tried[:-1])


def _works(graph: Any, shapes: dict[str, tuple[int, ...]]) -> Iterator[int]:  # noqa: ANN401 - protobuf's own
    """Yield the multiplications of each convolution whose weights are kept in the graph."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights |= {
        n.output[0]: tuple(a.t.dims) for n in graph.node if n.op_type == "Constant" for a in n.attribute
    }
    for node in graph.node:
        kernel = weights.get(node.input[CONVOLUTIONS[node.op_type]]) if node.op_type in CONVOLUTIONS else None
        if kernel and node.output[0] in shapes:
            yield math.prod(shapes[node.output[0]]) * math.prod(kernel[1:])
