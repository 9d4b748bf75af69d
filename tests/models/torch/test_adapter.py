"""The PyTorch adapter: every way to write and to save a network gives the maps of its numpy twin."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings, load_model
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.comparing import (
    RULES,
    answer,
    assert_log_probabilities_stand_in,
    assert_rules_differ,
    assert_same_answers,
    assert_same_map,
    assert_same_primitives,
)
from tests.models.torch import networks
from tests.models.torch.opening import ENDS, FORMS, RELU6S, RELUS, built, opened, quiet, saved

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("end", networks.HIDDEN(torch).values(), ids=networks.HIDDEN(torch))
def test_where_logits_cannot_be_had_log_probabilities_stand_in_and_a_note_says_so(twin, end):
    model = built(twin, end=end)
    assert_log_probabilities_stand_in(model, twin)


ONE = {
    "sigmoid": torch.nn.Sigmoid(),
    "linear": torch.nn.Identity(),
    "by hand": lambda x: 1 / (1 + (-x).exp()),
}


@pytest.mark.parametrize("end", ONE.values(), ids=ONE)
def test_one_output_tells_two_classes_apart(end):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.top = torch.nn.Linear(24, 1)

        def forward(self, x):
            return end(self.top(x.flatten(1)))

    net = Net()
    model = opened(net, size=(4, 6), channels=1, labels=("ill",))
    assert model.info.activation == "sigmoid"
    assert model.info.labels == ("not ill", "ill")
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 1)).astype(np.float32)
    weights = net.top.weight.detach().numpy()
    p = 1 / (1 + np.exp(-(x.reshape(2, -1) @ weights.T + net.top.bias.detach().numpy())))
    np.testing.assert_allclose(
        [row.probabilities for row in model.predict(x)], np.hstack([1 - p, p]), rtol=1e-4
    )
    slope = (p * (1 - p))[..., None, None] * weights.reshape(4, 6, 1)
    for index, sign in enumerate((-1, 1)):
        targets = Targets(np.eye(2, dtype=np.float32)[[index, index]], "probability")
        np.testing.assert_allclose(model.gradient(x, targets)[1], sign * slope, rtol=1e-3)


@quiet
@pytest.mark.parametrize("relu", {**RELUS, **RELU6S}.values(), ids=[*RELUS, *RELU6S])
@pytest.mark.parametrize("form", ["traced", "exported"])
def test_a_saved_network_gives_the_maps_of_its_twin_in_every_spelling(
    twin, saturated, relu, form, tmp_path, request
):
    twin = saturated if "6" in request.node.callspec.id else twin
    net = networks.network(torch, relu, torch.nn.Softmax(1), twin)
    assert_same_answers(
        load_model(saved(net, form, tmp_path), size=networks.SIZE), twin, ["logit"], [None, *RULES]
    )


@quiet
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("form", ["traced", "exported"])
def test_pitfall_logits_wanted_softmax_gradient_delivered_by_a_saved_network(twin, end, form, tmp_path):
    net = networks.network(torch, RELUS["nn.ReLU"], end, twin)
    model = load_model(saved(net, form, tmp_path), size=networks.SIZE)
    assert model.info.logits
    assert_same_answers(model, twin)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_answers_as_the_numpy_twin(forms, twin, form):
    model = forms[form]
    assert_same_primitives(model, twin, model.info.cam_layer)
    assert_rules_differ(model, twin)


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_listed_in_the_order_of_computation(forms, form):
    named = {
        "module": ["0", "1", "2", "3"],
        "scripted": ["0", "0/relu", "2", "2/relu"],
        "traced": ["0", "0/relu", "2", "2/relu"],
        "exported": ["0", "0/relu", "2", "2/relu"],
    }[form]
    info = forms[form].info
    shapes = [((7, 11), 5), ((7, 11), 5), ((3, 5), 6), ((3, 5), 6)]
    assert info.layers == tuple((name, *shape) for name, shape in zip(named, shapes, strict=True))
    assert info.cam_layer == named[-1]


@pytest.mark.parametrize("form", FORMS)
def test_every_layer_is_tapped_before_what_overwrites_it(forms, twin, form):
    x, targets = pictures(twin, 2), targets_of(0, 1)
    model = forms[form]
    for layer, wanted in zip(model.info.layers[2:], ("linear", "rectified"), strict=True):
        oracle = twin.tap(x, targets, wanted)
        for _ in range(2):  # the second time from what was kept
            result = model.tap(x, targets, layer.name)
            assert_same_map(result.activations, oracle.activations)
            assert_same_map(result.gradients, oracle.gradients)


@pytest.mark.parametrize("form", FORMS)
def test_another_class_at_a_layer_does_not_run_the_network_again(forms, twin, form, monkeypatch):
    """By whichever method; Score-CAM needs to have run itself, once."""
    from napari_saliency.models.torch import adapter as torch_adapter

    x, model = (
        pictures(twin, 2),
        forms[form].with_settings(Settings(preprocessing="none", size=networks.SIZE)),
    )
    for name in ("grad_cam", "score_cam"):
        answer(name, model, x, targets_of(0, 1))
    monkeypatch.setattr(torch_adapter, "start", None)
    monkeypatch.setattr(torch_adapter, "forward", None)
    for name in (m.id for m in METHODS.values() if m.needs == "tap" and m.layout == "places"):
        assert_same_map(answer(name, model, x, targets_of(3, 1)), answer(name, twin, x, targets_of(3, 1)))


def test_a_layer_that_is_none_is_told(forms, twin):
    with pytest.raises(ModelError, match="'5' is not a layer of net"):
        forms["module"].tap(pictures(twin), targets_of(0), "5")
    with pytest.raises(ModelError, match=r"no layer 'x' with space; it has 0, 1, 2, 3"):
        opened(networks.sequential(torch, twin), layer="x")


def test_a_block_goes_by_its_own_name_and_its_last_layers_too(twin):
    nn, net = torch.nn, networks.sequential(torch, twin)
    net = nn.Sequential(nn.Sequential(net[:2], net[2:4], nn.MaxPool2d(2)), nn.Flatten(), nn.Linear(12, 4))
    model = opened(net)
    assert [layer.name for layer in model.info.layers] == ["0.0.0", "0.0", "0.1.2", "0.1", "0"]
    assert model.info.cam_layer == "0.1"  # "0" ends in a pooling
    x, targets = pictures(twin, 2), targets_of(0, 1)
    assert_same_map(*(model.tap(x, targets, name).activations for name in ("0.1", "0.1.3")))


def test_what_cannot_be_known_is_asked_and_said(twin):
    info = opened(networks.sequential(torch, twin)).info
    assert info.questions == ("preprocessing", "labels")
    assert info.input.preprocessing.name == "torch"
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    info = opened(net, size=None).info
    assert (*info.input.shape, info.input.channels) == (None, None, 1)
    assert info.questions == ("preprocessing", "labels")
    assert any(note.startswith("It takes images of any size") for note in info.notes)
    assert not opened(net, size=(8, 8), preprocessing="unit", labels=("a", "b")).info.questions


def test_a_size_that_the_network_takes_is_tried(twin):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2 * 30 * 30, 4))
    info = opened(net, size=None).info
    assert info.input.description == "32×32 RGB"
    assert info.questions == ("size", "preprocessing", "labels")
    assert "Input size is a guess (32×32): say what the model was trained on." in info.notes
    with pytest.raises(ModelError, match=r"could not be run on images of shape .*say the size"):
        opened(networks.sequential(torch, twin), size=None)


def test_the_size_can_be_said_later(twin):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    model = opened(net, size=None)
    twin = model.with_settings(Settings(size=(20, 30)))
    assert twin.info.layers[0][1:] == ((18, 28), 4)
    assert model.info.input.description == "any size RGB"
    assert model.info.layers[0][1:] == ((0, 0), 4)
    assert twin.info.fingerprint == model.info.fingerprint


def test_the_fingerprint_is_that_of_weights_and_architecture(twin):
    prints = [
        opened(networks.sequential(torch, t)).info.fingerprint for t in (twin, twin, Convolutional(seed=1))
    ]
    prints.append(built(twin).info.fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_pitfall_channels_last_confused_with_channels_first_or_width_and_height_swapped(twin):
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1, 3, bias=False), torch.nn.ReLU(), torch.nn.AdaptiveMaxPool2d(1)
    )
    net = torch.nn.Sequential(net, torch.nn.Flatten(), torch.nn.Linear(1, 2))
    with torch.no_grad():
        net[0][0].weight[:] = torch.tensor([1.0, 0, 0])[None, :, None, None] / 9
    model = opened(net, size=(160, 224))
    x = np.random.default_rng(0).uniform(0, 0.3, size=(1, 160, 224, 3)).astype(np.float32)
    x[:, 30:42, 170:182, 0] = 1
    values = np.abs(model.gradient(x, Targets(np.array([[1, 0]], np.float32)))[1])[0]
    y, x = np.unravel_index(np.argmax(values.sum(-1)), values.shape[:2])
    assert (30 <= y < 42, 170 <= x < 182) == (True, True)
    assert values[..., 1:].max() == 0


class Odd(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.convolution = function, torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.function(self.convolution(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.mean(3), r"output of shape \(1, 4, 7\) is neither a classifier's"),
        (lambda x: (x.argmax(), None), r"output \(tuple\) is neither a classifier's"),
        (lambda x: x.mean((2, 3)).detach(), "no derivative here"),
        (lambda x: 1 / 0, "could not be run on images of shape .*division by zero"),
        (lambda x: torch.rand(len(x), 4) + x.mean((2, 3)), "saved in training mode"),
    ],
)
def test_what_is_no_classifier_is_told(function, message):
    with pytest.raises(ModelError, match=message):
        opened(Odd(function))


IMPLICIT = [("nn.ReLU", "nn.Softmax"), ("F.relu", "F.softmax"), ("clamp(min=0)", "Linear")]

IMPLICIT += [("torch.relu", "log of softmax"), ("Tensor.relu_", "nn.LogSoftmax")]


@pytest.mark.parametrize(("relu", "end"), IMPLICIT)
def test_gradients_are_finite_differences(twin, relu, end):
    """In float64, where a small step is small; along random directions."""
    net = networks.network(torch, RELUS[relu], torch.nn.Identity(), twin).double().eval()
    x = pictures(twin, 1).astype(np.float64)
    _, gradient = built(twin, RELUS[relu], ENDS[end]).gradient(pictures(twin, 1), targets_of(2))
    random = np.random.default_rng(0)
    for _ in range(5):
        step = random.normal(size=x.shape) * 1e-6
        with torch.no_grad():
            above, below = (net(torch.tensor(x + s).permute(0, 3, 1, 2))[0, 2].item() for s in (step, -step))
        np.testing.assert_allclose((gradient * step).sum(), (above - below) / 2, rtol=1e-3, atol=1e-9)


def test_what_a_picture_costs_is_read_off_a_pass():
    from napari_saliency.models.torch.probe import HELD

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    net.append(torch.nn.Linear(4 * 18 * 28, 2))
    info = opened(net, size=(20, 30)).info
    numbers = 2 * 4 * 18 * 28 + 2 + 2  # a convolution, its ReLU, two classes, and their derivatives' start
    assert info.work == 3 * 3 * 3 * 4 * 18 * 28 / (20 * 30)
    assert info.memory == pytest.approx(HELD * 4 * numbers / (20 * 30), rel=0.01)
