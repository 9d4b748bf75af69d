"""ONNX files whose output has space, and regressions."""

import numpy as np
import pytest

from napari_saliency import explain, load_model
from napari_saliency.models import Settings
from tests.models.onnx import networks

pytestmark = pytest.mark.framework

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SIZE, CLASSES = (6, 9), 4
KERNEL = np.random.default_rng(4).normal(size=(3, 3, 3, CLASSES))
ENDS = {
    "logits": lambda b, z: z,
    "Softmax": lambda b, z: b("Softmax", z, axis=1),
    "LogSoftmax": lambda b, z: b("LogSoftmax", z, axis=1),
    "classes last and back": lambda b, z: b(
        "Transpose", b("Softmax", b("Transpose", z, perm=[0, 2, 3, 1]), axis=-1), perm=[0, 3, 1, 2]
    ),
}


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(0, 1, (2, *SIZE, 3)).astype(np.float32)


def dense(end, layout="NCHW", classes=CLASSES):
    """A convolution, and an end; classes at every place."""
    b = networks.Builder(onnx)
    entry = "x" if layout == "NCHW" else b("Transpose", "x", perm=[0, 3, 1, 2])
    weights = np.ascontiguousarray(KERNEL[..., :classes].transpose(3, 2, 0, 1).astype(np.float32))
    output = end(b, b("Conv", entry, weights, pads=[1] * 4))
    if layout == "NHWC":
        output = b("Transpose", output, perm=[0, 2, 3, 1])
    return b.model(("x", onnx.TensorProto.FLOAT, networks.sizes(layout, size=SIZE)), output)


def logits_of(x, classes=CLASSES):
    """What the convolution computes, in numpy."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return np.einsum("nhwcyx,yxck->nhwk", windows, KERNEL[..., :classes])


@pytest.fixture
def opened(tmp_path):
    def opened(model, **options):
        onnx.save(model, tmp_path / "net.onnx")
        return load_model(tmp_path / "net.onnx", preprocessing="none", **options)

    return opened


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("end", ENDS)
def test_classes_of_each_place(opened, x, end, layout):
    model = opened(dense(ENDS[end], layout))
    assert (model.info.space, model.info.activation, model.info.logits) == (SIZE, "softmax", True)
    np.testing.assert_allclose(model.scores(x), logits_of(x), atol=1e-4)


def test_one_sigmoid_is_two_classes_at_each_place(opened, x):
    model = opened(dense(lambda b, z: b("Sigmoid", z), classes=1), labels=["cell"])
    assert model.info.labels == ("not cell", "cell")
    z = logits_of(x, 1)
    np.testing.assert_allclose(model.scores(x), np.concatenate([-z, z], -1), atol=1e-4)


def test_occlusion_explains_a_region(opened, x):
    model = opened(dense(ENDS["Softmax"]))
    region = np.zeros(SIZE, bool)
    region[1:3, 2:5] = True
    result = explain(model, x[0], 1, "occlusion", region=region, window=1, stride=1, fill="black")
    whole = logits_of(x[:1])[0, ..., 1][region].mean()
    for place in np.ndindex(SIZE):
        covered = x[:1].copy()
        covered[0][place] = 0
        expected = whole - logits_of(covered)[0, ..., 1][region].mean()
        assert result.values[place] == pytest.approx(expected, abs=1e-4)


def test_a_regression_takes_outputs_as_they_are(opened, x):
    model = opened(dense(lambda b, z: b("Sigmoid", z), classes=1), task="regression")
    assert (model.info.activation, model.info.labels) == ("quantity", ("value",))
    np.testing.assert_allclose(model.scores(x), 1 / (1 + np.exp(-logits_of(x, 1))), atol=1e-5)
    assert model.with_settings(Settings(preprocessing="none")).info.activation == "sigmoid"
