"""The cost of an image for a Keras network, and the sizes that it takes where it leaves them open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from napari_saliency.core.errors import ModelError
from napari_saliency.models.cost import ModelCost
from napari_saliency.models.error_messages import hinting, not_run
from napari_saliency.models.keras.graph import PASSING
from napari_saliency.models.probe import trials

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.keras.graph import Graph

Tensor = Any

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "Conv3D")

HELD = 0.4
"""Of all that is computed, what a gradient holds at once: measured .20 to .37 on six networks."""


def measure_cost(graph: Graph, shape: tuple[int | None, ...]) -> ModelCost:
    """Find out what a network's pictures of a shape (*size, C) cost; where sizes are free, on small ones.

    Nothing is known of a network that takes none of these.
    """
    if None not in shape:
        return _of_pixels(costs(graph), shape, 1)
    for multiple, tried in trials(shape):
        try:
            return _of_pixels(measured_costs(graph, np.zeros((1, *tried), np.float32)), tried, multiple)
        except tf.errors.OpError:
            continue
    return ModelCost()


def costs(graph: Graph) -> tuple[int, int]:
    """Count multiplications of one picture's forward pass, and bytes of all that is computed; 0 of free sizes."""
    return _costs(graph.ops, lambda tensor: tensor.shape[1:].num_elements() or 0)


def measured_costs(graph: Graph, x: Array) -> tuple[int, int]:
    """Measure the same on (1, *size, C), which also shows whether a picture of that size can be run."""

    def build() -> list[Tensor]:
        result = _costs(graph.ops, partial(tf.size, out_type=tf.int64))
        return [tf.convert_to_tensor(each, tf.int64) for each in result]  # 0 where there is no convolution

    work, held = graph.evaluate("costs", build, x)
    return int(work), int(held)


def _costs(ops: set[Any], count: Callable[[Tensor], Any]) -> tuple[Any, Any]:
    work = (count(op.outputs[0]) * _reach(op) for op in ops if op.type in CONVOLUTIONS)
    held = (count(out) * out.dtype.size for op in ops for out in op.outputs if _is_computed(out))
    return sum(work), sum(held)


def _reach(op: Any) -> int:  # noqa: ANN401 - TensorFlow's own types
    """Return how many multiplications of a convolution each number of its output takes."""
    channels = op.outputs[0].shape[-1 if op.get_attr("data_format") in (b"NHWC", b"NDHWC") else 1]
    return int(op.inputs[1].shape.num_elements() or 0) // int(channels or 1)


def _is_computed(tensor: Tensor) -> bool:
    """Return whether a tensor holds something new of every picture."""
    new = tensor.op.type == "Cast" or tensor.op.type not in {*PASSING, "Placeholder"}
    return new and (tensor.shape.rank or 0) > 1 and tensor.shape[0] is None


def _of_pixels(result: tuple[int, int], shape: tuple[int | None, ...], multiple: int) -> ModelCost:
    return ModelCost.of(result[0], HELD * result[1], shape[:-1], multiple)


@contextmanager
def reporting_errors(x: Array, shape: tuple[int | None, ...]) -> Iterator[None]:
    """Say in a sentence why a network of a shape could not be run on pictures (N, *size, C)."""
    with hinting(shape):
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            raise ModelError(
                f"there is not enough memory for images of shape {x.shape[1:]}: give smaller ones"
            ) from error
        except tf.errors.OpError as error:
            if "grouped convolutions" in str(error):
                raise ModelError(
                    "TensorFlow computes grouped convolutions on this processor only with oneDNN: start with the "
                    "environment variable TF_ENABLE_ONEDNN_OPTS=1"
                ) from error
            raise not_run(x.shape[1:], error) from error
