"""ONNX graphs that several test files open."""

import numpy as np
import pytest

from tests.analytic import pictures
from tests.models.onnx import networks

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FLOAT = onnx.TensorProto.FLOAT

POOLED = ("x", FLOAT, ["N", 3, "height", "width"])


def pooled(entry=POOLED, channels=3, **notes):
    """A graph for any size: a convolution, the mean of its places, two classes."""
    b = networks.Builder(onnx)
    weights = np.random.default_rng(0).normal(size=(2, channels, 3, 3)).astype(np.float32)
    x = entry[0]
    return b.model(entry, b("Flatten", b("GlobalAveragePool", b("Conv", x, weights))), **notes)


def assert_same_scores(model, twin, atol=1e-4):
    x = pictures(twin, 5)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=atol)
    assert model.scores(x).dtype == np.float32


NAMES = {
    "names": "{0: 'tabby cat', 1: 'Egyptian cat', 2: 'zebra', 3: 'bear'}",
    "classes": '["tabby cat", "Egyptian cat", "zebra", "bear"]',
    "class_names": "tabby cat, Egyptian cat, zebra, bear",
    "labels": "tabby cat\nEgyptian cat\nzebra\nbear\n",
    "id2label": '{"2": "zebra", "1": "Egyptian cat", "0": "tabby cat", "3": "bear"}',
}
