"""SqueezeNet 1.1 gives in PyTorch and in Keras the same maps."""

import numpy as np
import pytest

from napari_saliency import _image
from napari_saliency._types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import load_model
from tests.few import EVERYWHERE, few
from tests.test_models.torch_networks import squeezenet as build

pytestmark = [pytest.mark.framework, pytest.mark.data]

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
# Of the pictures that integrated gradients looks at, some lie so near to where a ReLU opens that rounding decides;
# the gradients there differ by per cents. With these steps none does.
FEW = few(samples=3) | {
    "smoothgrad": {"samples": 3, "seed": 4},
    "integrated_gradients": {"steps": 9},
    "occlusion": {"window": 56},
}


def factory():
    """What a user's module would hold."""
    return build(torch)


@pytest.fixture(scope="module")
def in_torch(data_folder):
    weights = data_folder / "imagenet" / "squeezenet1_1.pth"
    source = f"python:tests.test_models.test_torch_real:factory?weights={weights}"
    return load_model(source, trust=True, preprocessing="caffe", size=(224, 224))


@pytest.fixture(scope="module")
def x(squeezenet, chelsea):
    return _image.prepare(chelsea, squeezenet.info.input).x[None]


def targets_of(*classes, score="logit"):
    return Targets(np.eye(1000, dtype=np.float32)[list(classes)], score)


def answer(name, model, x, targets):
    *_, last = METHODS[name].function(model, x, targets, **FEW.get(name, {}))
    return last.values


def error(found, wanted):
    """Largest difference, as a share of the largest value."""
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def test_the_same_network_says_the_same(in_torch, squeezenet, x):
    np.testing.assert_allclose(*(m.predict(x)[0].probabilities for m in (in_torch, squeezenet)), atol=1e-5)
    assert in_torch.info.cam_layer == "classifier.2"


# Not those whose every step follows from the one before: a ReLU that rounding opens changes all that comes after.
STEPWISE = ["guided_ig", "activation_maximization"]
EVERY = [(name, "logit") for name in EVERYWHERE if name not in STEPWISE]
SCORED = ["gradient", "gradient_x_input", "smoothgrad", "integrated_gradients", "grad_cam", "guided_backprop",
          "deconvnet", "occlusion"]  # fmt: skip
OTHERS = [(name, score) for name in SCORED for score in SCORES[1:]]
# They look at many pictures: somewhere rounding opens a ReLU, and float32 gives no more than this.
UNSTEADY = ["blur_ig", "xrai"]


@pytest.mark.parametrize(("name", "score"), EVERY + OTHERS)
def test_every_method_gives_the_map_that_keras_gives(in_torch, squeezenet, x, name, score):
    targets = targets_of(285, score=score)
    found, wanted = (answer(name, model, x, targets) for model in (in_torch, squeezenet))
    if name in UNSTEADY:
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.999
    else:
        assert error(found, wanted) <= 1e-4


def test_weights_of_another_network_are_told(data_folder):
    weights = data_folder / "cifar10" / "resnet20.pth"
    with pytest.raises(Exception, match=r"resnet20\.pth holds the weights of another network: Error"):
        load_model(f"python:tests.test_models.test_torch_real:factory?weights={weights}", trust=True)


def test_a_file_of_weights_says_how_it_is_opened(data_folder):
    weights = data_folder / "imagenet" / "squeezenet1_1.pth"
    with pytest.raises(
        Exception, match=r"holds weights alone: open python:PACKAGE\.MODULE:FACTORY\?weights="
    ):
        load_model(weights)


@pytest.mark.parametrize("order", ["torch tensorflow", "tensorflow torch"])
def test_both_frameworks_live_in_one_process(fresh_interpreter, order):
    code = """
import sys
from importlib import import_module
for name in sys.argv[1].split(): import_module(name)
import tensorflow as tf, torch
print(tf.nn.conv2d(tf.ones((1, 9, 9, 3)), tf.ones((3, 3, 3, 2)), 1, "SAME").numpy().sum())
print(torch.nn.functional.conv2d(torch.ones(1, 3, 9, 9), torch.ones(2, 3, 3, 3)).sum().item())
"""
    assert fresh_interpreter(code, order) == ["3750.0", "2646.0"]
