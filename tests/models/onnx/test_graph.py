"""What an ONNX graph takes: orders of axes, sizes, channels and kinds of numbers."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from tests.models.onnx import networks
from tests.models.onnx.building import FLOAT, POOLED, assert_same_scores, pooled

pytestmark = pytest.mark.framework

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", None, 1, 2, 4])
def test_the_order_of_axes_is_found_and_any_batch_is_run(opened, twin, layout, batch):
    model = opened(networks.network(onnx, twin, layout=layout, batch=batch))
    assert model.info.input.description == "13×9 RGB"
    assert "size" not in model.info.questions
    assert_same_scores(model, twin)


def test_a_graph_that_takes_one_picture_inside_is_run_one_by_one(opened, twin):
    b = networks.Builder(onnx)
    z = b("Reshape", networks.body(b, twin, "x"), np.array([1, networks.CLASSES]))
    assert_same_scores(opened(b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), z)), twin)


def linear(sizes, names=("N", None, None, None, None)):
    """A graph that shows nothing of its axes but their sizes and names."""
    b = networks.Builder(onnx)
    weights = np.random.default_rng(0).normal(size=(int(np.prod(sizes)), 2)).astype(np.float32)
    dims = [name or size for name, size in zip(names, (1, *sizes), strict=False)]
    return b.model(("x", FLOAT, dims), b("MatMul", b("Flatten", "x"), weights)), weights


@pytest.mark.parametrize(
    ("sizes", "names", "size", "layout"),
    [
        ((3, 8, 6), ("N", None, None, None), (8, 6, 3), "NCHW"),
        ((8, 6, 3), ("N", None, None, None), (8, 6, 3), "NHWC"),
        ((1, 8, 6), ("N", None, None, None), (8, 6, 1), "NCHW"),
        ((8, 6, 4), ("N", None, None, None), (8, 6, 4), "NHWC"),
        ((3, 8, 4), ("N", "channels", None, None), (8, 4, 3), "NCHW"),
        ((3, 8, 4), ("N", None, "W", None), (3, 8, 4), "NHWC"),
        ((3, 8, 4), ("N", None, None, "Width"), (8, 4, 3), "NCHW"),
        ((3, 5, 8, 6), ("N", None, None, None, None), (5, 8, 6, 3), "NCHW"),
        ((5, 8, 6, 1), ("N", None, None, None, None), (5, 8, 6, 1), "NHWC"),
        ((3, 5, 8, 4), ("N", "Depth", None, None, None), (3, 5, 8, 4), "NHWC"),
        ((3, 5, 8, 4), ("N", None, "z", "y", "x"), (5, 8, 4, 3), "NCHW"),
    ],
)
def test_the_order_of_axes_is_read_off_sizes_and_names(opened, sizes, names, size, layout):
    graph, weights = linear(sizes, names)
    model = opened(graph, size=size[:-1], channels=size[-1])
    spec = model.info.input
    assert (*spec.shape, spec.channels) == size
    x = np.random.default_rng(1).random((3, *size), np.float32)
    flat = (x if layout == "NHWC" else np.moveaxis(x, -1, 1)).reshape(3, -1)
    np.testing.assert_allclose(model.scores(x), flat @ weights, rtol=1e-4, atol=1e-5)


def test_an_order_of_axes_that_nothing_shows_is_asked_for(opened):
    graph, weights = linear((3, 6, 4))
    guessed = opened(graph)
    assert "size" in guessed.info.questions
    assert any("Input size is a guess" in note for note in guessed.info.notes)
    for size, layout in (((6, 4), "NCHW"), ((3, 6), "NHWC")):
        model = guessed.with_settings(Settings(size=size))
        assert "size" not in model.info.questions
        assert model.info.input.shape == size
        x = np.random.default_rng(1).random((2, *size, model.info.input.channels), np.float32)
        flat = (x if layout == "NHWC" else x.transpose(0, 3, 1, 2)).reshape(2, -1)
        np.testing.assert_allclose(model.scores(x), flat @ weights, rtol=1e-4, atol=1e-5)


def test_a_convolution_shows_that_channels_come_second(opened):
    """Although three columns look like channels."""
    assert opened(pooled(("x", FLOAT, ["N", 3, 40, 3]))).info.input.description == "3×40 RGB"


def test_a_size_that_is_not_fixed_is_the_pictures_or_given(opened):
    model = opened(pooled())
    assert model.info.input.description == "any size RGB"
    assert model.info.questions == ("preprocessing", "labels")
    assert any(note.startswith("It takes images of any size") for note in model.info.notes)
    for other in (model.with_settings(Settings(size=(20, 30))), opened(pooled(), size=(20, 30))):
        assert other.info.input.description == "30×20 RGB"
        assert "size" not in other.info.questions
        assert other.scores(np.zeros((2, 20, 30, 3), np.float32)).shape == (2, 2)


def test_a_side_that_is_fixed_is_kept(opened):
    assert opened(pooled(("x", FLOAT, ["N", 3, 48, "w"]))).info.input.description == "48×48 RGB"
    assert (
        opened(pooled(("x", FLOAT, ["N", 3, 48, "w"])), size=(48, 60)).info.input.description == "60×48 RGB"
    )


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_are_those_of_the_first_convolution(opened, channels):
    model = opened(pooled(("x", FLOAT, ["N", "c", "h", "w"]), channels))
    assert model.info.input.channels == channels


def test_a_size_that_contradicts_the_graph_is_told(opened, twin):
    with pytest.raises(ModelError, match="pictures of 13×10 pixels are asked for; the model takes 13×9"):
        opened(networks.network(onnx, twin), size=(10, 13))
    with pytest.raises(ModelError, match="pictures of 1 channels are asked for; the model takes 3"):
        opened(networks.network(onnx, twin)).with_settings(Settings(channels=1))


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE"])
def test_numbers_are_given_as_the_graph_wants_them(opened, twin, kind):
    b, code = networks.Builder(onnx), onnx.TensorProto.DataType.Value(kind)
    half = kind == "FLOAT16"  # onnxruntime has no convolutions in float64
    entry = "x" if half else b("Cast", "x", to=FLOAT)
    z = networks.body(b, twin, entry, dtype=np.float16 if half else np.float32)
    model = opened(b.model(("x", code, ["N", 3, *networks.SIZE]), b("Softmax", z)))
    assert model.info.logits
    assert_same_scores(model, twin, 3e-2 if half else 1e-4)


@pytest.mark.parametrize("kind", ["UINT8", "INT32"])
def test_a_graph_of_whole_numbers_takes_the_pixels(opened, twin, kind):
    b, code = networks.Builder(onnx), onnx.TensorProto.DataType.Value(kind)
    z = networks.body(b, twin, b("Div", b("Cast", "x", to=FLOAT), networks.f(255)))
    graph = b.model(("x", code, ["N", 3, *networks.SIZE]), z)
    model = opened(graph)
    assert model.info.input.preprocessing.name == "none"
    assert model.info.questions == ("labels",)
    x = np.random.default_rng(0).integers(0, 256, (3, *twin.shape)).astype(np.float32)
    np.testing.assert_allclose(model.scores(x + 0.3), twin.scores(x / 255), atol=1e-4)
    with pytest.raises(ModelError, match=r"takes integers .*preprocessing 'unit' .*use 'none'"):
        opened(graph, preprocessing="unit")


def test_values_beyond_the_type_are_cut_off(opened):
    b = networks.Builder(onnx)
    mean = b("GlobalAveragePool", b("Cast", "x", to=FLOAT))
    model = opened(b.model(("x", onnx.TensorProto.UINT8, ["N", 2, 4, 6]), b("Flatten", mean)))
    x = np.array([300, -20], np.float32) * np.ones((1, 4, 6, 1), np.float32)
    np.testing.assert_allclose(model.scores(x), [[255, 0]])


def test_pitfall_channels_last_confused_with_channels_first_or_width_and_height_swapped(opened):
    b = networks.Builder(onnx)
    kernel = np.zeros((2, 3, 3, 3), np.float32)
    kernel[0, 0] = 1
    peak = b("GlobalMaxPool", b("Conv", "x", kernel, pads=[1] * 4))
    model = opened(b.model(POOLED, b("Flatten", peak)), size=(160, 224))
    x = np.random.default_rng(0).uniform(0, 0.3, (1, 160, 224, 3)).astype(np.float32)
    x[:, 30:42, 170:182, 0] = 1
    *_, last = METHODS["occlusion"].function(
        model, x, Targets(networks.f([1, 0])), window=20, stride=10, fill="black"
    )
    y, x = np.unravel_index(last.values[0].argmax(), last.values.shape[1:])
    assert (30 <= y < 42, 170 <= x < 182) == (True, True)
