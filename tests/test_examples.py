"""Each example runs, on small networks or random weights, and stays short."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import chelsea

from napari_saliency.core.target_text import resolve

pytestmark = pytest.mark.framework
EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
RANDOM = "keras:MobileNetV2?weights=none"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("examples") / "cat.png"
    Image.fromarray(chelsea()).save(path)
    return str(path)


def main_of(name):
    return runpy.run_path(str(next(path for path in EXAMPLES if path.stem == name)))["main"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_a_title_and_at_most_14_lines(path):
    _, docstring, code = path.read_text("utf-8").split('"""', 2)
    title, underline, *_ = docstring.splitlines()
    assert underline == "=" * len(title)
    assert len([line for line in code.splitlines() if line.strip()]) <= 14


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.stem.startswith("plot_")], ids=lambda path: path.stem
)
def test_an_example_of_the_gallery_runs_as_it_is(path, monkeypatch, capsys):
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")
    names = runpy.run_path(str(path))
    if "figure" in names:
        assert all(ax.images for ax in names["figure"].axes)
    else:
        output = capsys.readouterr().out
        assert [output.count(f"\n{mark} ") for mark in "+−"] == [4, 2]
    plt.close("all")


def test_vgg16_gradient(photo):
    explanation = main_of("vgg16_gradient")(photo, RANDOM)
    assert explanation.values.shape == (224, 224, 3)
    assert explanation.target.index == explanation.prediction.top(1)[0].index


def test_densenet201_window(photo):
    explanation, (low, high) = main_of("densenet201_window")(photo, "bundled:photos")
    assert explanation.label == "cat"
    assert 0 < low < high < np.abs(explanation.values.sum(axis=-1)).max()


def test_mnist_cifar10_rules(tmp_path):
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 13:16] = 255
    Image.fromarray(digit).save(tmp_path / "one.png")
    plain, guided, rectified = main_of("mnist_cifar10_rules")(str(tmp_path / "one.png"))
    assert plain.label == "1"
    assert not np.allclose(plain.values, guided.values)
    assert not np.allclose(guided.values, rectified.values)
    assert plain.target.score == "logit"


TINY = """
import torch

def build():
    pool = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(torch.nn.Conv2d(3, 6, 5), torch.nn.ReLU(), *pool)
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A module that builds a small network in PyTorch, and a file of its weights."""
    torch = pytest.importorskip("torch")
    (tmp_path / "tiny_network.py").write_text(TINY, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import tiny_network

    torch.save(tiny_network.build().state_dict(), tmp_path / "tiny.pth")
    return str(tmp_path / "tiny.pth"), "tiny_network:build"


def test_densenet201_torch(photo, tiny):
    explanation = main_of("densenet201_torch")(photo, *tiny)
    assert explanation.values.shape == (224, 224, 3)
    assert explanation.values.any()


def test_cs231n_saliency_maps(photo, tiny):
    maps = main_of("cs231n_saliency_maps")(photo, "2", *tiny)
    assert maps.shape == (1, 224, 224)
    assert maps.min() >= 0 < maps.max()


@pytest.mark.parametrize("index", ["281", "954"])
def test_vgg16_grad_cam(photo, index):
    explanation = main_of("vgg16_grad_cam")(photo, index, RANDOM)
    assert explanation.target.index == int(index)
    assert explanation.values.shape == (7, 7)


def test_weighted_losses(photo):
    explanation = main_of("weighted_losses")(photo, RANDOM)
    assert explanation.label == "class 281 + 0.5 · class 282 − class 285"
    assert resolve("class 281 + 0.5 class 282 - class 285", explanation.prediction) == explanation.target
    scores = explanation.prediction.logits
    assert explanation.score == pytest.approx(float(scores[281] + scores[282] / 2 - scores[285]), abs=1e-6)


def test_inner_channel(photo):
    explanation = main_of("inner_channel")(photo, "block_12_project", RANDOM)
    strongest = explanation.prediction.logits.argmax()
    assert explanation.label == f"block_12_project[{strongest}] ↑"
    assert explanation.values.shape == (224, 224, 3)


def test_activation_maximization(photo):
    explanation = main_of("activation_maximization")(photo, "class 1", RANDOM, 3)
    assert explanation.name == "class 1 · Activation maximization"
    assert explanation.picture.shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("modifier", "method"), [(None, "gradient"), ("guided", "guided_backprop"), ("relu", "deconvnet")]
)
def test_keras_vis(photo, modifier, method):
    saliency, picture = main_of("keras_vis")(photo, "3", "bundled:photos", modifier, 3)
    assert saliency.label == picture.label == "dog"
    assert saliency.method == method
    assert picture.picture.shape == (96, 96, 3)


def test_tf_explain(photo):
    *seven, smooth = main_of("tf_explain")(photo, "2", "bundled:photos")
    assert len({explanation.method for explanation in seven}) == 7
    assert all(explanation.label == "cat" and explanation.values.any() for explanation in seven)
    assert (smooth.method, smooth.options["of"]) == ("smoothgrad", "grad_cam")
    assert smooth.values.shape == seven[-1].values.shape
    assert smooth.stderr.any()


def test_check_a_map(photo):
    """What Adebayo et al. 2018 found, in one call."""
    main = main_of("check_a_map")
    guided, cam = (main(photo, method=method).findings for method in ("guided_backprop", "grad_cam"))
    assert guided["class_randomisation"].level == "bad"
    assert guided["model_randomisation"].level in ("doubtful", "bad")
    assert {cam[name].level for name in ("class_randomisation", "model_randomisation", "deletion")} == {
        "good"
    }
