"""SqueezeNet 1.1 gives in PyTorch and in Keras the same answers, and so the same maps.

Each method runs on the Keras network; PyTorch is asked whatever the method has asked, and the method then makes
its map of PyTorch's answers. Where float32 rounding opens a ReLU, a gradient jumps by per cents in either
framework: that is only let pass where the derivative in float64 jumps as far between pictures that are the same
but for a millionth.
"""

import numpy as np
import pytest

from napari_saliency.core.types import Targets
from napari_saliency.images import prepare
from napari_saliency.methods import METHODS
from napari_saliency.models import Model, Settings, load_model
from napari_saliency.models.sources import Source
from tests.few import EVERYWHERE, few, with_scores
from tests.models.torch.networks import squeezenet as build

pytestmark = [pytest.mark.framework, pytest.mark.data]

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
LAYERS = {"conv10": "classifier.2", "fire2_squeeze1x1": "features.3.squeeze_activation"}
"""Keras' name of a layer → PyTorch's."""

# Steps, blur and noise for which, where this was written, no ReLU is opened by rounding.
NOISE = {"samples": 3, "seed": 4}
FEW = few(samples=3) | {
    **dict.fromkeys(("smoothgrad", "smoothgrad_squared", "vargrad"), NOISE),
    "integrated_gradients": {"steps": 9},
    "blur_ig": {"steps": 8, "blur": 0.05},
    "xrai": {"steps": 5},
    "guided_ig": {"steps": 4},
    "activation_maximization": {"steps": 3},
    "score_cam": {"layer": "fire2_squeeze1x1"},
    "occlusion": {"window": 112},
}
CLOSE = 1e-4
"""Of the largest value."""


class Asking(Model):
    """A model that remembers what it was asked, and its answers."""

    def __init__(self, model):
        self.model, self.info, self.asked = model, model.info, []

    def scores(self, x):
        return self._ask("scores", x)

    def gradient(self, x, targets, rule=None):
        return self._ask("gradient", x, targets, rule)

    def tap(self, x, targets, layer):
        return self._ask("tap", x, targets, layer)

    def with_settings(self, settings):
        raise NotImplementedError

    def _ask(self, call, x, *more):
        answer = getattr(self.model, call)(x, *more)
        self.asked.append(((call, x.copy(), *more), answer))
        return answer


class Answering(Asking):
    """A model that gives answers which are there already, to the same questions."""

    def __init__(self, info, asked):
        self.info, self.left = info, iter(asked)

    def _ask(self, call, x, *more):
        (known, picture, *_), answer = next(self.left)
        assert call == known
        np.testing.assert_allclose(x, picture, atol=1e-4)  # Score-CAM's follow from the answers before
        return answer


class Doubled(torch.nn.Module):
    """A network in float64 that takes and gives float32."""

    def __init__(self, network):
        super().__init__()
        self.network = network.double()

    def float(self):
        return self

    def forward(self, x):
        return self.network(x.double()).float()


def factory():
    """What a user's module would hold."""
    return build(torch)


@pytest.fixture(scope="module")
def weights(data_folder):
    return data_folder / "imagenet" / "squeezenet1_1.pth"


@pytest.fixture(scope="module")
def in_torch(weights):
    source = f"python:tests.models.torch.test_real:factory?weights={weights}"
    return load_model(source, trust=True, preprocessing="caffe", size=(224, 224))


@pytest.fixture(scope="module")
def exact(weights):
    from napari_saliency.models.torch.adapter import open_module

    network = build(torch)
    network.load_state_dict(torch.load(weights))
    return open_module(Doubled(network), Source("python", "net"), Settings(size=(224, 224)))


@pytest.fixture(scope="module")
def x(squeezenet, chelsea):
    return prepare.prepare(chelsea, squeezenet.info.input).x[None]


def targets_of(*classes, score="logit"):
    return Targets(np.eye(1000, dtype=np.float32)[list(classes)], score)


def error(result, wanted):
    """Largest difference, as a share of the largest value."""
    return np.abs(result - wanted).max() / max(np.abs(wanted).max(), np.finfo(np.float32).tiny)


def parts(question, answer):
    """Each picture's part of an answer, as (number of the array, number of the picture, part)."""
    arrays = answer if question[0] != "scores" else (answer,)
    return [(a, n, part) for a, array in enumerate(arrays) for n, part in enumerate(array)]


def answered(model, question):
    call, x, *more = question
    if call == "tap":
        more[-1] = LAYERS[more[-1]]
    return getattr(model, call)(x, *more)


def jump(exact, question, n):
    """How far a gradient in float64 changes with the seventh digit of the n-th picture, where one is asked for."""
    call, pictures, targets, *rule = question
    assert call == "gradient"  # scores and the last layer's gradients do not jump
    x, target = pictures[n : n + 1], Targets(targets.weights[n : n + 1], targets.score)
    moves = np.random.default_rng(0).uniform(-1e-6, 1e-6, (4, *x.shape[1:]))
    moved = (x + np.abs(x).max() * moves).astype(np.float32)
    _, (here,) = exact.gradient(x, target, *rule)
    _, there = exact.gradient(moved, target.repeat(len(moved)), *rule)
    return max(error(one, here) for one in there)


def apart(question, result, wanted):
    """Pictures (array, number) of which two answers differ, and how far."""
    both = zip(parts(question, result), parts(question, wanted), strict=True)
    errors = {(a, n): error(one, other) for (a, n, one), (_, _, other) in both}
    return {place: result for place, result in errors.items() if result > CLOSE}


@pytest.mark.parametrize(("name", "score"), with_scores(EVERYWHERE))
def test_pytorch_answers_what_a_method_asks_as_keras_does(in_torch, squeezenet, exact, x, name, score):
    run, targets, options = METHODS[name].function, targets_of(285, score=score), FEW.get(name, {})
    asking = Asking(squeezenet)
    *_, wanted = run(asking, x, targets, **options)
    answers = [(question, answered(in_torch, question)) for question, _ in asking.asked]
    jumps = 0
    for (question, result), (_, known) in zip(answers, asking.asked, strict=True):
        for (array, n), far in apart(question, result, known).items():
            assert array == 1  # the gradients: scores do not jump
            assert far <= 2 * jump(exact, question, n)
            jumps += 1
    # How many do depends on the processor's rounding; not all.
    assert jumps < sum(len(question[1]) for question, _ in answers)
    # Where each step follows from the answers before, those are compared; guided integrated gradients goes elsewhere
    # after a jump, too.
    if METHODS[name].shows != "picture" and not (jumps and name == "guided_ig"):
        *_, result = run(Answering(squeezenet.info, answers), x, targets, **options)
        assert jumps or error(result.values, wanted.values) <= CLOSE


@pytest.mark.parametrize("name", ["gradient", "guided_backprop"])
def test_pytorch_and_keras_are_as_near_to_float64(in_torch, squeezenet, exact, x, name):
    maps = (list(METHODS[name].function(m, x, targets_of(285)))[-1].values for m in (in_torch, squeezenet))
    *_, wanted = METHODS[name].function(exact, x, targets_of(285))
    assert max(error(result, wanted.values) for result in maps) <= 1e-5


def test_the_same_network_says_the_same(in_torch, squeezenet, x):
    np.testing.assert_allclose(*(m.predict(x)[0].probabilities for m in (in_torch, squeezenet)), atol=1e-5)
    assert in_torch.info.cam_layer == LAYERS[squeezenet.info.cam_layer]


def test_weights_of_another_network_are_told(data_folder):
    weights = data_folder / "cifar10" / "resnet20.pth"
    with pytest.raises(Exception, match=r"resnet20\.pth holds the weights of another network: Error"):
        load_model(f"python:tests.models.torch.test_real:factory?weights={weights}", trust=True)


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


@pytest.mark.parametrize("order", ["torch.files keras.files", "keras.files torch.files"])
def test_triton_is_kept_out_where_tensorflow_is(fresh_interpreter, order, tmp_path):
    """Builds of PyTorch for GPUs bring it, and it would crash the process; here another one stands in."""
    (tmp_path / "triton.py").write_text("import os; os._exit(139)")
    code = """
import sys
from importlib import import_module
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]: import_module(f"napari_saliency.models.{name}")
import torch._dynamo
print("triton" in sys.modules, sys.modules["triton"])
"""
    assert fresh_interpreter(code, str(tmp_path), *order.split()) == ["True", "None"]
