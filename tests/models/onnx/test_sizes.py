"""ONNX graphs whose sizes are free: what is found out when they are opened."""

import numpy as np
import pytest

from napari_saliency import explain, explain_batch, load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.images.prepare import prepare
from napari_saliency.models import Settings
from tests.models.onnx import networks

pytestmark = pytest.mark.framework

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FLOAT = onnx.TensorProto.FLOAT
FREE = {2: ["N", 3, "h", "w"], 3: ["N", 3, "d", "h", "w"]}


@pytest.fixture
def opened(tmp_path):
    def opened(model, **options):
        onnx.save(model, tmp_path / "net.onnx")
        return load_model(tmp_path / "net.onnx", **{"preprocessing": "none"} | options)

    return opened


def kernels(*shape):
    return np.random.default_rng(len(shape)).normal(0, 0.3, shape).astype(np.float32)


def halving(times, axes=2, dense=True, end="Softmax"):
    """Halves a picture some times, doubles it again, and joins what has the same size: a U-Net."""
    b, kept, x = networks.Builder(onnx), [], "x"
    twos, ones = [2] * axes, [1] * (2 * axes)
    for n in range(times):
        x = b("Relu", b("Conv", x, kernels(4, 4 if n else 3, *[3] * axes), pads=ones))
        kept.append(x)
        x = b("MaxPool", x, kernel_shape=twos, strides=twos)
    for n, other in enumerate(reversed(kept)):
        x = b("Conv", x, kernels(4, 8 if n else 4, *[3] * axes), pads=ones)
        x = b("Resize", x, "", networks.f(1, 1, *twos), mode="nearest")
        x = b("Concat", x, other, axis=1)
    x = b("Conv", x, kernels(3, 8, *[1] * axes))
    z = x if dense else b("Flatten", b("GlobalAveragePool", x))
    return b.model(("x", FLOAT, FREE[axes]), b(end, z, axis=1) if end else z)


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("dense", [False, True])
def test_what_sizes_must_be_multiples_of_is_found_and_kept_to(opened, times, dense):
    model = opened(halving(times, dense=dense))
    assert model.info.input.description == "any size RGB"
    assert model.info.input.multiple == 2**times
    assert model.info.space == ((None, None) if dense else ())
    assert "size" not in model.info.questions
    assert model.info.logits
    picture = np.random.default_rng(0).integers(0, 255, (101, 70, 3), np.uint8)
    x = prepare(picture, model.info.input).x
    assert x.shape == (101 // 2**times * 2**times, 70 // 2**times * 2**times, 3)
    assert model.scores(x[None]).shape == (1, *(x.shape[:2] if dense else ()), 3)
    assert explain(model, picture, 1, "occlusion", window=32, stride=32).complete


def test_volumes_of_any_size_are_taken_in_multiples_too(opened):
    model = opened(halving(2, axes=3))
    assert model.info.input.description == "any size (z×y×x) RGB"
    assert (model.info.input.multiple, model.info.space) == (4, (None, None, None))
    assert model.scores(np.zeros((2, 8, 20, 12, 3), np.float32)).shape == (2, 8, 20, 12, 3)


KERNEL = np.random.default_rng(4).normal(size=(3, 3, 3, 4))


def dense(end):
    b = networks.Builder(onnx)
    weights = np.ascontiguousarray(KERNEL.transpose(3, 2, 0, 1).astype(np.float32))
    z = b("Conv", "x", weights, pads=[1] * 4)
    return b.model(("x", FLOAT, FREE[2]), b(end, z, axis=1) if end else z)


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax", ""])
@pytest.mark.parametrize("size", [(6, 9), (31, 17)])
def test_scores_at_any_size_are_those_of_numpy(opened, end, size):
    model = opened(dense(end))
    x = np.random.default_rng(0).uniform(0, 1, (2, *size, 3)).astype(np.float32)
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    assert model.info.logits
    np.testing.assert_allclose(model.scores(x), np.einsum("nhwcyx,yxck->nhwk", windows, KERNEL), atol=1e-4)


def pooled():
    b = networks.Builder(onnx)
    return b.model(
        ("x", FLOAT, FREE[2]), b("Flatten", b("GlobalAveragePool", b("Conv", "x", kernels(2, 3, 3, 3))))
    )


def test_a_classifier_of_any_size_is_given_the_pictures_own(opened):
    model = opened(pooled())
    assert model.info.input.multiple == 1
    assert any("say which in Settings" in note for note in model.info.notes)
    pictures = [np.full((*size, 3), 9, np.uint8) for size in ((37, 50), (37, 50), (80, 21))]
    result = explain_batch(model, pictures, 0, "occlusion", window=1, stride=1, fill="black")
    assert [one.values.shape for one in result] == [(37, 50), (37, 50), (80, 21)]
    # Of a plain picture a pixel far from the edges counts by all weights, shared among all places.
    weights = kernels(2, 3, 3, 3)[0].sum() * 9
    for one, (h, w) in zip(result, ((37, 50), (37, 50), (80, 21)), strict=True):
        inner = one.values[2:-2, 2:-2]
        np.testing.assert_allclose(inner, weights / ((h - 2) * (w - 2)), rtol=1e-2, atol=1e-5)


def test_a_size_that_is_said_counts(opened):
    free = opened(pooled())
    for model in (free.with_settings(Settings(size=(20, 30))), opened(pooled(), size=(20, 30))):
        assert model.info.input.description == "30×20 RGB"
        assert not any("any size" in note for note in model.info.notes)
        assert model.with_settings(Settings()).info.input.description == "any size RGB"


@pytest.mark.parametrize("side", [32, 96, 128, 224])
def test_free_sizes_of_which_one_alone_works_are_guessed_and_asked_for(opened, side):
    b = networks.Builder(onnx)
    flat = b("Flatten", b("Conv", "x", kernels(1, 3, 3, 3)))
    model = opened(b.model(("x", FLOAT, FREE[2]), b("MatMul", flat, kernels((side - 2) ** 2, 4))))
    assert model.info.input.shape == (side, side)
    assert "size" in model.info.questions


def test_costs_are_those_of_the_formula_whatever_the_size(opened):
    from napari_saliency.models.onnx.cost import HELD

    b = networks.Builder(onnx)
    x = b("Relu", b("Conv", "x", kernels(5, 3, 3, 3), pads=[1] * 4))
    graph = b.model(("x", FLOAT, FREE[2]), b("Flatten", b("GlobalAveragePool", x)))
    for model in (opened(graph), opened(graph, size=(64, 40))):
        assert model.info.work == 3 * 3 * 3 * 5  # for each pixel the whole kernel
        assert model.info.memory == pytest.approx(HELD * 4 * 2 * 5, rel=0.01)  # a convolution, and its ReLU


def test_weights_that_nodes_hold_cost_no_memory(opened):
    b = networks.Builder(onnx)
    weights = onnx.numpy_helper.from_array(kernels(5, 3, 9, 9))
    x = b("Conv", "x", b("Constant", value=weights), pads=[4] * 4)
    info = opened(b.model(("x", FLOAT, FREE[2]), b("Flatten", b("GlobalAveragePool", x)))).info
    assert info.work == 9 * 9 * 3 * 5
    assert info.memory == pytest.approx(0.4 * 4 * 5, rel=0.01)


def test_what_memory_would_not_suffice_for_is_refused_before_it_runs(opened, monkeypatch):
    from napari_saliency.models import cost

    model = opened(halving(1))
    monkeypatch.setattr(cost.psutil, "virtual_memory", lambda: type("", (), {"available": 20_000_000}))
    with pytest.raises(
        ModelError, match="give a smaller picture or a part of it, or open the model with size="
    ):
        model.predict(np.zeros((1, 1000, 1000, 3), np.float32))
    model.predict(np.zeros((1, 64, 64, 3), np.float32))


def test_a_picture_that_does_not_fit_is_told_with_what_to_do(opened):
    model = opened(halving(2))
    with pytest.raises(ModelError, match=r"could not be run on images of .*as size=\(256, 384\)$"):
        model.scores(np.zeros((1, 37, 50, 3), np.float32))


def test_a_size_that_was_said_is_taken_back(opened):
    model = opened(halving(1), size=(64, 48))
    assert (model.info.input.shape, model.info.sized) == ((64, 48), True)
    assert model.with_settings(Settings(size=())).info.input.shape == (None, None)


def test_a_picture_that_is_too_small_is_told_so(opened):
    b = networks.Builder(onnx)
    x = b("Relu", b("Conv", "x", kernels(4, 3, 5, 5)))
    x = b("Conv", b("MaxPool", x, kernel_shape=[3, 3], strides=[3, 3]), kernels(3, 4, 3, 3))
    net = b.model(("x", FLOAT, FREE[2]), b("Flatten", b("GlobalAveragePool", x)))
    model = opened(net)
    for size in ((3, 60), (8, 9)):
        with pytest.raises(
            ModelError, match=f"^a picture of {size[1]}×{size[0]} pixels is too small.*larger one"
        ):
            model.scores(np.zeros((1, *size, 3), np.float32))
    with pytest.raises(ModelError, match="a picture of 9×8 pixels is too small for this model"):
        model.with_settings(Settings(size=(8, 9))).try_size()
