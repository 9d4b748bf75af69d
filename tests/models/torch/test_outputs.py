"""PyTorch networks whose output has space, and regressions; and functions of both kinds."""

import numpy as np
import pytest

from napari_saliency import explain, load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings
from napari_saliency.models.sources import Source

pytestmark = pytest.mark.framework

SHAPE = (8, 12, 3)


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def region():
    mask = np.zeros(SHAPE[:2], bool)
    mask[2:5, 3:9] = True
    return mask


def unet(torch, end, classes=3):
    nn = torch.nn

    class Unet(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fine = nn.Conv2d(3, 6, 3, padding=1)
            self.coarse = nn.Conv2d(6, 8, 3, padding=1)
            self.up = nn.ConvTranspose2d(8, 6, 2, 2)
            self.head = nn.Conv2d(12, classes, 1)

        def logits(self, x):
            fine = torch.relu(self.fine(x))
            coarse = torch.relu(self.coarse(nn.functional.max_pool2d(fine, 2)))
            return self.head(torch.cat([torch.relu(self.up(coarse)), fine], 1))

        def forward(self, x):
            return end(torch, self.logits(x))

    return Unet().eval()


def opened(torch, network, **settings):
    from napari_saliency.models.torch.adapter import open_module

    settings = Settings(**{"size": SHAPE[:2], "preprocessing": "none", **settings})
    return open_module(network, Source("python", "net"), settings)


ENDS = {
    "logits": lambda torch, z: z,
    "softmax": lambda torch, z: z.softmax(1),
    "log_softmax": lambda torch, z: torch.nn.functional.log_softmax(z, dim=1),
    "in a dictionary": lambda torch, z: {"out": z, "aux": z[:, :1]},
}


def by_autograd(torch, network, picture, score, mask, index, activation="softmax"):
    x = torch.tensor(picture).permute(2, 0, 1)[None].requires_grad_()
    z = network.logits(x)[0]
    functions = {
        ("softmax", "probability"): lambda z: z.softmax(0),
        ("softmax", "log_probability"): lambda z: z.log_softmax(0),
        ("sigmoid", "probability"): torch.sigmoid,
        ("sigmoid", "log_probability"): torch.nn.functional.logsigmoid,
    }
    value = functions.get((activation, score), lambda z: z)(z)[index][torch.tensor(mask)].mean()
    (gradient,) = torch.autograd.grad(value, x)
    return float(value.detach()), gradient[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
@pytest.mark.parametrize("end", ENDS)
def test_a_class_inside_a_region(torch, picture, region, end, score):
    network = unet(torch, ENDS[end])
    model = opened(torch, network)
    assert (model.info.space, model.info.activation, model.info.logits) == (SHAPE[:2], "softmax", True)
    result = explain(model, picture, 2, score=score, region=region)
    value, gradient = by_autograd(torch, network, picture, score, region, 2)
    assert result.score == pytest.approx(value, abs=1e-5)
    np.testing.assert_allclose(result.values, gradient, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("score", ["logit", "probability"])
def test_one_sigmoid_is_two_classes_at_each_place(torch, picture, region, score):
    network = unet(torch, lambda torch, z: torch.sigmoid(z), classes=1)
    model = opened(torch, network, labels=("cell",))
    result = explain(model, picture, "cell", score=score, region=region)
    value, gradient = by_autograd(torch, network, picture, score, region, 0, "sigmoid")
    assert result.score == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(result.values, gradient, atol=1e-5 * np.abs(gradient).max())


def test_a_softmax_over_places_is_not_one_over_classes(torch, picture, region):
    network = unet(torch, lambda torch, z: z.flatten(2).softmax(-1).reshape(z.shape))
    model = opened(torch, network)
    x = torch.tensor(picture).permute(2, 0, 1)[None]
    outputs = network(x)[0].permute(1, 2, 0).detach().numpy()
    np.testing.assert_allclose(
        np.log(outputs / (1 - outputs)), model.scores(picture[None])[0], atol=1e-4
    )  # each is one of its own: a probability that nobody knows the logit of


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of TorchScript itself
def test_torchscript_answers_the_same(torch, tmp_path, picture, region):
    network = unet(torch, ENDS["softmax"])
    with torch.no_grad():
        torch.jit.trace(network, torch.zeros(2, 3, *SHAPE[:2])).save(tmp_path / "net.pt")
    model = load_model(tmp_path / "net.pt", size=SHAPE[:2], preprocessing="none")
    twin = opened(torch, network)
    for method in ("gradient", "guided_backprop"):
        one, other = (explain(m, picture, 1, method, region=region).values for m in (model, twin))
        np.testing.assert_allclose(one, other, atol=1e-6 * np.abs(other).max())


def test_the_narrowest_layer_is_looked_at(torch, picture, region):
    network = unet(torch, ENDS["softmax"])
    model = opened(torch, network)
    assert model.info.cam_layer == "coarse"
    result = explain(model, picture, 1, "grad_cam", region=region)
    x = torch.tensor(picture).permute(2, 0, 1)[None]
    fine = torch.relu(network.fine(x))
    coarse = network.coarse(torch.nn.functional.max_pool2d(fine, 2)).detach().requires_grad_()
    z = network.head(torch.cat([torch.relu(network.up(torch.relu(coarse))), fine], 1))
    (gradient,) = torch.autograd.grad(z[0, 1][torch.tensor(region)].mean(), coarse)
    weights = gradient.mean((2, 3), keepdim=True)
    expected = (weights * coarse).sum(1).clamp(min=0)[0].detach().numpy()
    np.testing.assert_allclose(result.values, expected, atol=1e-5 * max(expected.max(), 1e-3))


def test_a_regression_takes_outputs_as_they_are(torch, picture, region):
    network = unet(torch, lambda torch, z: torch.sigmoid(z), classes=1)
    model = opened(torch, network, task="regression")
    assert (model.info.activation, model.info.labels) == ("quantity", ("value",))
    result = explain(model, picture, "decrease", region=region)
    value, gradient = by_autograd(torch, network, picture, "probability", region, 0, "sigmoid")
    assert result.score == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(result.values, -gradient, atol=1e-5 * np.abs(gradient).max())
    assert model.with_settings(Settings(size=SHAPE[:2])).info.activation == "sigmoid"


def test_one_linear_unit_asks_what_it_is(torch):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(SHAPE)), 1))
    info = opened(torch, network).info
    assert "task" in info.questions
    assert info.activation == "sigmoid"


def test_detectors_get_a_sentence(torch):
    class Detector(torch.nn.Module):
        def forward(self, x):
            return [{"boxes": x}]

    with pytest.raises(ModelError, match="detectors and models of sequences cannot be explained"):
        opened(torch, Detector())


# Functions -----------------------------------------------------------------------------------------


def dense_function(kernel, *, sigmoid=False):
    """Each place's classes from its own colours: in closed form."""

    def function(x):
        z = x @ kernel
        return np.exp(-np.logaddexp(0, -z)) if sigmoid else z

    function.gradient = lambda x, weights: (
        (weights * function(x)).sum((1, 2, 3)),
        (weights * (function(x) * (1 - function(x)) if sigmoid else 1)) @ kernel.T,
    )
    return function


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_functions_may_answer_for_each_place(picture, region, score, sigmoid):
    from napari_saliency.models.python.function import CallableModel

    kernel = np.random.default_rng(3).normal(size=(3, 1 if sigmoid else 4))
    settings = Settings(size=SHAPE[:2], preprocessing="none")
    model = CallableModel(dense_function(kernel, sigmoid=sigmoid), Source("python", "net"), settings)
    assert model.info.space == SHAPE[:2]
    result = explain(model, picture, 1, score=score, region=region)
    z = picture.astype(np.float64) @ kernel
    if sigmoid:
        p = 1 / (1 + np.exp(-z))
        slopes = p * (1 - p) if score == "probability" else np.ones_like(p)
    else:
        p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
        own = np.eye(4)[1]
        slopes = p[..., 1:2] * (own - p) if score == "probability" else np.broadcast_to(own, p.shape)
    expected = (slopes @ kernel.T) * region[..., None] / region.sum()
    np.testing.assert_allclose(result.values, expected, atol=1e-5 * np.abs(expected).max())


def test_functions_may_be_regressions(picture):
    from napari_saliency.models.python.function import CallableModel

    kernel = np.random.default_rng(3).uniform(0, 0.3, size=(3, 1))
    settings = Settings(size=SHAPE[:2], preprocessing="none", task="regression")
    model = CallableModel(dense_function(kernel), Source("python", "net"), settings)
    result = explain(model, picture, "increase")
    np.testing.assert_allclose(result.values, np.broadcast_to(kernel[:, 0], SHAPE) / 96, rtol=1e-5)
