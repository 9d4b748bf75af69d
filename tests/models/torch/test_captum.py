"""captum's rules on PyTorch networks: equal to a derivation in numpy, in every spelling, or refused."""

import re
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest

from napari_saliency import Target, explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Epsilon, Rescale, Targets
from napari_saliency.models import Settings, load_model
from napari_saliency.models.sources import Source
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.torch import networks

pytestmark = [
    pytest.mark.framework,
    pytest.mark.skipif(find_spec("captum") is None, reason="captum is not installed"),
]

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn, functional = torch.nn, torch.nn.functional

FOLLOWED = [
    "nn.ReLU",
    "nn.ReLU(inplace)",
    "F.relu",
    "F.relu(inplace)",
    "F.relu_",
    "torch.relu",
    "Tensor.relu",
]
FOLLOWED += ["Tensor.relu_", "in a module"]
ENDS = ["nn.Softmax", "nn.LogSoftmax", "F.softmax", "Tensor.softmax", "softmax, Dropout", "in a module"]


def opened(net, size=networks.SIZE, **said):
    from napari_saliency.models.torch.adapter import open_module

    return open_module(net, Source("python", "net"), Settings(size=size, channels=3, **said))


@pytest.fixture
def twin():
    return Convolutional()


def both_rules(twin, x):
    start = np.random.default_rng(5).normal(size=x.shape).astype(np.float32)
    return Rescale(start), Epsilon(0.05)


def assert_like_the_twin(model, twin):
    x = pictures(twin, 3)
    targets = Targets(np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32))
    for rule in both_rules(twin, x):
        wanted = twin.propagate(x, targets, rule)
        for result, right in zip(model.propagate(x, targets, rule), wanted, strict=True):
            assert result.dtype == np.float32
            np.testing.assert_allclose(result, right, rtol=1e-3, atol=1e-5 * np.abs(right).max())


@pytest.mark.parametrize("relu", FOLLOWED)
def test_pitfall_every_spelling_of_relu_gives_the_maps_of_numpy(twin, relu):
    """captum itself takes the plain gradient of F.relu, and refuses a module that is used twice."""
    net = networks.network(torch, networks.RELUS(torch)[relu], nn.Identity(), twin)
    assert_like_the_twin(opened(net), twin)


@pytest.mark.parametrize("end", ENDS)
def test_logits_are_explained_however_the_network_ends(twin, end):
    net = networks.network(torch, nn.ReLU(), networks.SOFTMAXES(torch)[end], twin)
    assert_like_the_twin(opened(net), twin)


def test_one_sigmoid_tells_two_classes_apart(twin):
    top = nn.Linear(4, 1), nn.Sigmoid()
    net = nn.Sequential(*networks.sequential(torch, twin, end=nn.Identity()), *top)
    model, x = opened(net), pictures(twin, 2)
    (classes, logits) = np.eye(2, dtype=np.float32), model.scores(x)
    for rule in both_rules(twin, x):
        (no, yes) = (model.propagate(x, Targets(classes[[k, k]]), rule) for k in (0, 1))
        assert np.abs(yes[1]).max() > 1e-3
        for one, other in zip(no, yes, strict=True):
            np.testing.assert_allclose(one, -other, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(yes[0], logits[:, 1], rtol=1e-5)


class Residual(nn.Module):
    """What comes in goes on beside the ReLU, too; or the ReLU is used twice."""

    def __init__(self, before):
        super().__init__()
        self.one, self.norm, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.relu, self.before = nn.ReLU(inplace=True), before

    def forward(self, x):
        if self.before:
            return x + self.two(functional.relu(self.norm(self.one(torch.relu(x)))))
        y = self.two(self.relu(self.norm(self.one(x))))
        y += x
        return self.relu(y)


class Joined(nn.Module):
    """A convolution beside what comes in, or beside its maximum in windows that overlap."""

    def __init__(self, pool=None):
        super().__init__()
        self.side, self.pool = nn.Conv2d(4, 3, 1), pool or nn.Identity()

    def forward(self, x):
        return torch.cat([self.pool(x), functional.relu(self.side(x))], 1)


class Around(nn.Module):
    """Shifts and scales the picture, and ends in means and a linear layer."""

    def __init__(self, *body):
        super().__init__()
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 0.1))
        self.stem, self.body, self.top = nn.Conv2d(3, 4, 3), nn.Sequential(*body), nn.LazyLinear(4)
        self.eval()(torch.zeros(1, 3, 16, 18))

    def forward(self, x):
        x = self.body(self.stem((x - self.mean) / 0.5)).mean((2, 3))
        return self.top(functional.dropout(x.view(x.size(0), -1), 0.5, self.training))


BODIES = {
    "residual": lambda: (Residual(False), Residual(False)),
    "residual before": lambda: (Residual(True), Residual(True)),
    "joined": lambda: (Joined(),),
    "pooled": lambda: (nn.ReLU(), nn.MaxPool2d(2)),
    "pooled, overlapping": lambda: (nn.MaxPool2d(3, 2, 1), nn.ReLU()),
    "pooled, to the last": lambda: (nn.MaxPool2d(3, 2, ceil_mode=True), nn.LeakyReLU(0.2)),
    "pooled, dilated": lambda: (nn.MaxPool2d(2, 2, dilation=2), nn.MaxPool2d(2, 1)),
    "pooled by a function": lambda: (
        Does(lambda x: functional.max_pool2d(functional.leaky_relu(x, 0.1), 3, 1)),
    ),
    "inception": lambda: (nn.ReLU(), Joined(nn.MaxPool2d(3, 1, 1))),
}


DONE = {  # what goes in: (N, 4, 14, 16)
    "transposed": lambda: nn.ConvTranspose2d(4, 3, 3, 2),
    "normalised": lambda: nn.BatchNorm2d(4),
    "averaged": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "averaged to a size": lambda: nn.AdaptiveAvgPool2d((5, 3)),
    "enlarged": lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"),
    "enlarged by a function": lambda: Does(lambda x: functional.interpolate(x, size=(9, x.shape[-1] * 2))),
    "shuffled": lambda: nn.Sequential(nn.PixelShuffle(2), nn.ZeroPad2d(1)),
    "shuffled channels": lambda: nn.Sequential(nn.ChannelShuffle(2), nn.Identity()),
    "flat and back": lambda: nn.Sequential(nn.Flatten(), nn.Unflatten(1, (4, 14, 16)), nn.Dropout(0.5)),
    "twice the same": lambda: Does(lambda x: torch.cat([x, x, 2 * x], 1) - torch.cat([x + x] * 3, 1) / 3),
    "taken from": lambda: Does(lambda x: torch.add(-(3 - x), x, alpha=2)),
    "taken apart": lambda: Does(lambda x: torch.stack([x[:, :2], x[:, 2:].neg()]).sum(0) * 1.5),
    "moved": lambda: Does(lambda x: x.permute(0, 2, 3, 1).contiguous().movedim(-1, 1).transpose(2, 3)),
    "a scale of its own": lambda: Scaled(),
    "in place": lambda: Does(lambda x: x.clone().mul_(2).add_(1).div_(3)),
    "averaged by functions": lambda: Does(
        lambda x: functional.avg_pool2d(x, 2) + functional.adaptive_avg_pool2d(x, 1).expand(-1, -1, 7, 8)
    ),
}
BODIES |= {name: lambda done=done: (nn.ReLU(), done(), nn.ReLU()) for name, done in DONE.items()}


class Scaled(nn.Module):
    """Weights that no layer of PyTorch's knows."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(4, 1, 1)), nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, x):
        return x * torch.exp(self.scale) - self.shift


def around(name):
    torch.manual_seed(0)
    model = opened(Around(*BODIES[name]()), (16, 18))
    assert model.info.unruled == ""
    return model, np.random.default_rng(1).normal(size=(2, 16, 18, 3)).astype(np.float32)


@pytest.mark.parametrize("name", BODIES)
def test_contributions_add_up_to_the_difference_of_the_models_own_scores(name):
    model, x = around(name)
    start, targets = np.roll(x, 1, 0) / 2, targets_of(0, 3)
    difference, values = model.propagate(x, targets, Rescale(start))
    wanted = [model.weigh(model.scores(each), targets) for each in (x, start)]
    np.testing.assert_allclose(difference, wanted[0] - wanted[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values.sum((1, 2, 3)), difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BODIES)
def test_as_epsilon_vanishes_relevance_is_gradient_times_input(name):
    """Ancona et al. 2018, proposition 1; captum's own hooks count sums and joined branches wrongly."""
    model, x = around(name)
    targets = targets_of(0, 3)
    _, gradient = model.gradient(x, targets)
    score, values = model.propagate(x, targets, Epsilon(1e-9))
    np.testing.assert_allclose(values, gradient * x, rtol=1e-3, atol=2e-5 * np.abs(values).max())
    np.testing.assert_allclose(score, model.weigh(model.scores(x), targets), rtol=1e-5)


@pytest.mark.parametrize("layer", [nn.Sigmoid, nn.Tanh, nn.ELU, nn.Softplus])
def test_smooth_activations_are_for_deeplift_alone(layer):
    torch.manual_seed(0)
    model = opened(Around(layer()), (16, 18))
    x, targets = np.random.default_rng(1).normal(size=(1, 16, 18, 3)).astype(np.float32), targets_of(2)
    difference, values = model.propagate(x, targets, Rescale(np.zeros_like(x)))
    np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(ModelError, match=f"networks of ReLUs, and this one has {layer.__name__}"):
        model.propagate(x, targets, Epsilon(0.01))


class Does(nn.Module):
    """What a function does, in a network of its own."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def weighed(layer):
    """A convolution that does more than it does by itself."""
    layer.register_forward_hook(lambda module, inputs, output: output**2)
    return layer


REFUSED = {
    "GELU": nn.GELU,
    "ReLU6": nn.ReLU6,
    "LayerNorm": lambda: nn.LayerNorm([14, 16]),
    "MaxPool2d": lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True), Does(lambda both: both[0])),
    "ParametrizedConv2d": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
    "mul": lambda: Does(lambda x: x * x.mean((2, 3), keepdim=True)),
    "truediv": lambda: Does(lambda x: 1 / (x + 9)),
    "getattr": lambda: Does(lambda x: torch.relu(x.mT).mT),
    "relu6": lambda: Does(functional.relu6),
    "code that torch.fx cannot follow": lambda: Does(lambda x: x if x.sum() > 0 else -x),
    "what is not seen of its operations": lambda: weighed(nn.Conv2d(4, 4, 1)),
    "what is not seen of its operations, in place": lambda: Does(lambda x: (x.add_(1), x)[1]),
}


@pytest.mark.filterwarnings("ignore:.*use of `x.mT`.*:UserWarning")
@pytest.mark.parametrize("what", REFUSED)
def test_pitfall_what_no_rule_is_known_for_is_refused_by_its_name_and_never_something_else(what):
    model = opened(Around(REFUSED[what]()), (16, 18))
    assert "propagate" not in model.info.gives
    said = f"needs a rule for each operation, and captum has none for {what.partition(',')[0]}: choose"
    for method in ("deep_lift", "lrp"):
        with pytest.raises(ModelError, match=said):
            explain(model, np.zeros((16, 18, 3), np.uint8), 0, method)


def test_pitfall_max_pooling_in_windows_that_overlap():
    """captum's own rule counts what two windows share once; here against a loop over windows."""
    torch.manual_seed(0)
    model = opened(nn.Sequential(nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(3 * 3 * 4, 4)).eval(), (7, 9))
    x, start = np.random.default_rng(1).normal(size=(2, 1, 7, 9, 3)).astype(np.float32)
    top = model._network.module[2].weight.detach().numpy()[2].reshape(3, 3, 4)
    wanted = np.zeros_like(x[0])
    for channel, i, j in np.ndindex(top.shape):
        viewed_layer = np.s_[2 * i : 2 * i + 3, 2 * j : 2 * j + 3, channel]
        here, there = x[0][viewed_layer], start[0][viewed_layer]
        most = max(here.max(), there.max())
        wanted[viewed_layer][here == here.max()] += top[channel, i, j] * (most - there.max())
        wanted[viewed_layer][there == there.max()] += top[channel, i, j] * (here.max() - most)
    _, values = model.propagate(x, targets_of(2), Rescale(start))
    np.testing.assert_allclose(values[0], wanted, atol=1e-5)


def test_maxima_that_have_not_changed_keep_the_sum():
    """What the second pooling sees ties, 2 + 1 = 1 + 2, and is its maximum in one of the two pictures alone."""
    net = nn.Sequential(
        nn.MaxPool2d(1), nn.Conv2d(3, 3, 1, bias=False), nn.MaxPool2d((1, 2)), nn.Conv2d(3, 4, 1)
    )
    torch.manual_seed(0)
    with torch.no_grad():
        net[1].weight[:] = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1]])[..., None, None]
    model = opened(nn.Sequential(*net, nn.Flatten()).eval(), (1, 2))
    x = np.float32([[[[2, 1, 0], [1, 0, 0]]]])
    start = np.float32([[[[1, 2, 0], [5, 0, 0]]]])
    for target in range(4):
        difference, values = model.propagate(x, targets_of(target), Rescale(start))
        assert abs(difference[0]) > 0.01
        np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-5)


def test_networks_are_opened_while_another_answers(twin):
    """torch.fx stands in for the calls of all modules while it traces one network, in every thread."""
    model, x = opened(networks.sequential(torch, twin)), pictures(twin, 2)
    wanted = model.scores(x)
    with ThreadPoolExecutor() as pool:
        opening = [pool.submit(around, name) for name in (*BODIES, *BODIES)]
        while not all(one.done() for one in opening):
            np.testing.assert_array_equal(model.scores(x), wanted)
    assert all("propagate" in one.result()[0].info.gives for one in opening)


def test_files_of_graphs_and_layers_inside_are_refused(twin, tmp_path):
    net = networks.sequential(torch, twin)
    torch.export.save(
        torch.export.export(net.eval(), (torch.zeros(1, 3, *networks.SIZE),)), tmp_path / "net.pt2"
    )
    assert "propagate" not in load_model(tmp_path / "net.pt2").info.gives
    model = opened(net)
    assert "propagate" in model.info.gives
    viewed_layer = model.view_layer(model.info.layers[0].name)
    with pytest.raises(ModelError, match="needs the answer of net, not 0 inside it"):
        viewed_layer.propagate(pictures(twin), targets_of(0), Epsilon(0.01))


def test_without_captum_it_is_asked_for(twin, monkeypatch):
    from napari_saliency.models.torch import captum

    monkeypatch.setattr(captum, "find_spec", lambda name: None)
    model = opened(networks.sequential(torch, twin))
    said = 'DeepLIFT needs captum, which is not installed: pip install "napari-saliency.captum.": choose Gradient'
    with pytest.raises(ModelError, match=said):
        explain(model, np.zeros((*networks.SIZE, 3), np.uint8), 0, "deep_lift")


@pytest.mark.parametrize("score", ["probability", "log_probability"])
def test_only_logits_are_explained(twin, score):
    model = opened(networks.sequential(torch, twin))
    for method in ("deep_lift", "lrp"):
        with pytest.raises(ModelError, match=re.escape(f"choose the logit, not the {score}")):
            explain(model, np.zeros((*networks.SIZE, 3), np.uint8), Target.of_class(1, score), method)


def test_the_network_is_left_as_it_is_and_a_layer_looked_at_before_stays_good(twin):
    net = networks.sequential(torch, twin)
    model, x = opened(net), pictures(twin, 2)
    module = model._network.module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    kept = [set(each.__dict__) for each in module.modules()]
    first = model.tap(x, targets_of(0, 1), model.info.layers[0].name)
    for rule in both_rules(twin, x):
        model.propagate(x, targets_of(0, 1), rule)
    again = model.tap(x, targets_of(0, 1), model.info.layers[0].name)
    np.testing.assert_array_equal(first.gradients, again.gradients)
    assert [set(each.__dict__) for each in module.modules()] == kept
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_nothing_is_left_in_the_steps_by_opening_or_explaining():
    model, x = around("inception")
    for _ in range(2):
        left = {name for step in model._probe.steps.module.modules() for name in step.__dict__}
        assert not left & {"activations", "input", "output", "places"}
        model.propagate(x, targets_of(0, 3), Rescale(np.zeros_like(x)))


def test_random_weights_are_explained_too(twin):
    model, x = opened(networks.sequential(torch, twin)), pictures(twin)
    rule = Rescale(np.zeros_like(x))
    own = model.propagate(x, targets_of(0), rule)[1]
    for stage in model.cascade(3):
        difference, values = stage.model.propagate(x, targets_of(0), rule)
        assert not np.allclose(values, own)
        np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-3, atol=1e-5)


def test_a_region_of_a_segmentation(twin):
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1))
    torch.manual_seed(0)
    model, x = opened(net), pictures(twin, 2)
    weights = np.zeros((2, *model.scores(x).shape[1:]), np.float32)
    weights[:, 2:4, 3:6, 1] = 1 / 6
    difference, values = model.propagate(x, Targets(weights), Rescale(np.zeros_like(x)))
    np.testing.assert_allclose(values.sum((1, 2, 3)), difference, rtol=1e-4, atol=1e-6)
    assert not values[:, 6:].any()
    assert values[:, 2:4, 3:6].any()


def test_volumes():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv3d(1, 4, 3), nn.ReLU(), nn.MaxPool3d(2), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    from napari_saliency.models.torch.adapter import open_module

    model = open_module(net, Source("python", "net"), Settings(size=(6, 8, 8), channels=1))
    x = np.random.default_rng(1).normal(size=(2, 6, 8, 8, 1)).astype(np.float32)
    targets = Targets(np.eye(3, dtype=np.float32)[[0, 2]])
    difference, values = model.propagate(x, targets, Rescale(np.zeros_like(x)))
    np.testing.assert_allclose(values.sum((1, 2, 3, 4)), difference, rtol=1e-4, atol=1e-6)
    _, gradient = model.gradient(x, targets)
    np.testing.assert_allclose(
        model.propagate(x, targets, Epsilon(1e-9))[1], gradient * x, rtol=1e-3, atol=1e-6
    )
