"""DeepLIFT's and LRP's rules on PyTorch networks: the maps of a numpy twin in every spelling, or refused."""

import re

import numpy as np
import pytest

from napari_saliency import Target, explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Epsilon, Rescale, Targets
from napari_saliency.models import Settings, load_model
from napari_saliency.models.sources import Source
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.torch import networks
from tests.rules import contributions

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn, functional = torch.nn, torch.nn.functional


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
        wanted = contributions(twin, x, targets, rule)
        for result, right in zip(contributions(model, x, targets, rule), wanted, strict=True):
            assert result.dtype == np.float32
            np.testing.assert_allclose(result, right, rtol=1e-3, atol=1e-5 * np.abs(right).max())


@pytest.mark.parametrize("relu", networks.RELUS(torch))
def test_pitfall_every_spelling_of_relu_gives_the_maps_of_numpy(twin, relu):
    """captum itself takes the plain gradient of F.relu, and refuses a module that is used twice."""
    net = networks.network(torch, networks.RELUS(torch)[relu], nn.Identity(), twin)
    assert_like_the_twin(opened(net), twin)


@pytest.mark.parametrize("end", networks.SOFTMAXES(torch))
def test_logits_are_explained_however_the_network_ends(twin, end):
    net = networks.network(torch, nn.ReLU(), networks.SOFTMAXES(torch)[end], twin)
    assert_like_the_twin(opened(net), twin)


def test_one_sigmoid_tells_two_classes_apart(twin):
    top = nn.Linear(4, 1), nn.Sigmoid()
    net = nn.Sequential(*networks.sequential(torch, twin, end=nn.Identity()), *top)
    model, x = opened(net), pictures(twin, 2)
    (classes, logits) = np.eye(2, dtype=np.float32), model.scores(x)
    for rule in both_rules(twin, x):
        (no, yes) = (contributions(model, x, Targets(classes[[k, k]]), rule) for k in (0, 1))
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


class Does(nn.Module):
    """What a function does, in a network of its own."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


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


RULED = {
    "weights that are made of others": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
    "maxima with their places": lambda: nn.Sequential(
        nn.MaxPool2d(2, return_indices=True), Does(lambda both: both[0])
    ),
    "another axis": lambda: Does(lambda x: torch.relu(x.mT).mT),
    "overwritten": lambda: Does(lambda x: overwritten(2 * x)),
    "maxima of a size": lambda: nn.AdaptiveMaxPool2d((3, 2)),
    "a mask of its own": lambda: Does(lambda x: x * (torch.ones_like(x).cumsum(2) > 3)),
    "a matrix for each place": lambda: nn.Linear(16, 5),
}
BODIES |= {name: lambda made=made: (nn.ReLU(), made(), nn.ReLU()) for name, made in RULED.items()}


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
    difference, values = contributions(model, x, targets, Rescale(start))
    wanted = [model.weigh(model.scores(each), targets) for each in (x, start)]
    np.testing.assert_allclose(difference, wanted[0] - wanted[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(values.sum((1, 2, 3)), difference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BODIES)
def test_as_epsilon_vanishes_relevance_is_gradient_times_input(name):
    """Ancona et al. 2018, proposition 1; captum's own hooks count sums and joined branches wrongly."""
    model, x = around(name)
    targets = targets_of(0, 3)
    _, gradient = model.gradient(x, targets)
    score, values = contributions(model, x, targets, Epsilon(1e-9))
    np.testing.assert_allclose(values, gradient * x, rtol=1e-3, atol=2e-5 * np.abs(values).max())
    np.testing.assert_allclose(score, model.weigh(model.scores(x), targets), rtol=1e-5)


AT_ZERO = {nn.Sigmoid: False, nn.Softplus: False, nn.Hardsigmoid: False, nn.LogSigmoid: False}
AT_ZERO |= dict.fromkeys((nn.Tanh, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.ReLU6, nn.Hardswish, nn.PReLU), True)


@pytest.mark.parametrize("layer", AT_ZERO)
def test_smooth_activations_are_for_deeplift_and_for_lrp_where_they_are_0_at_0(layer):
    """Both conserve: DeepLIFT the difference, LRP, but for biases, the score (Ancona et al. 2018, section 2)."""
    torch.manual_seed(0)
    model = opened(Around(layer()), (16, 18))
    x, targets = np.random.default_rng(1).normal(size=(1, 16, 18, 3)).astype(np.float32), targets_of(2)
    difference, values = contributions(model, x, targets, Rescale(np.zeros_like(x)))
    np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-4, atol=1e-6)
    if not AT_ZERO[layer]:
        with pytest.raises(ModelError, match=f"none is known for {layer.__name__}, which is not 0 at 0"):
            model.gradient(x, targets, Epsilon(0.01))
        return
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), layer(), nn.Flatten(), nn.Linear(896, 4, bias=False))
    score, values = contributions(opened(net.eval(), (16, 18)), x, targets, Epsilon(1e-9))
    np.testing.assert_allclose(values.sum(), score[0], rtol=1e-4)


def weighed(layer):
    """A convolution that does more than it does by itself."""
    layer.register_forward_hook(lambda module, inputs, output: output**2)
    return layer


def overwritten(x):
    x.add_(1)
    return x


def gated(x):
    """As blocks of squeeze and excitation do."""
    return x * x.mean((2, 3), keepdim=True).sigmoid()


def attending(x):
    tokens = x.flatten(2).transpose(1, 2)
    return (functional.scaled_dot_product_attention(tokens, tokens, tokens)).mT.reshape(x.shape)


REFUSED = {
    "LayerNorm": lambda: nn.LayerNorm([14, 16]),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "BatchNorm by the image's own statistics": lambda: nn.InstanceNorm2d(4),
    "Softmax": lambda: nn.Softmax(1),
    "Pow": lambda: weighed(nn.Conv2d(4, 4, 1)),
    "Reciprocal": lambda: Does(lambda x: 1 / (x + 9)),
    "Mul of two tensors that both depend on the image": lambda: Does(gated),
    "Mul of two tensors that both depend on the image, one and the same": lambda: Does(lambda x: x * x),
    "Bmm of two tensors that both depend on the image": lambda: Does(
        lambda x: torch.bmm(x.flatten(2), x.flatten(2).mT)[..., None]
    ),
    "Div of two tensors that both depend on the image": lambda: Does(lambda x: x / (torch.relu(x) + 1)),
    "Bmm of two tensors that both depend on the image, in attention": lambda: Does(attending),
    "Mul by what has no derivative": lambda: Does(lambda x: x * (x > 0)),
    "Mul by what has no derivative, cut off": lambda: Does(lambda x: x * x.detach().sigmoid()),
    "Index by what has no derivative": lambda: Does(lambda x: x[:, :, x[0, 0, :, 0].argsort()]),
    "Where": lambda: Does(lambda x: torch.where(x > 0, x, 0.1 * x)),
    "CopySlices": lambda: Does(lambda x: (torch.relu_(x[:, :2]), x)[1]),
    "code that takes another way for another image": lambda: Does(lambda x: x if x.sum() > 0 else -x),
}


@pytest.mark.parametrize("what", REFUSED)
def test_pitfall_what_no_rule_is_known_for_is_refused_by_its_name_and_never_something_else(what):
    model = opened(Around(REFUSED[what]()), (16, 18))
    assert not {"rescale", "epsilon"} & model.info.gives
    said = f"needs a rule for each operation, and none is known for {what.partition(',')[0]}"
    for method in ("deep_lift", "lrp"):
        with pytest.raises(ModelError, match=re.escape(said)):
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
    _, values = contributions(model, x, targets_of(2), Rescale(start))
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
        difference, values = contributions(model, x, targets_of(target), Rescale(start))
        assert abs(difference[0]) > 0.01
        np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-5)


def saved(net, folder, kind):
    """The network in a file, opened."""
    path, x = folder / f"net{kind}", torch.zeros(1, 3, *networks.SIZE)
    if kind == ".pt2":
        torch.export.save(torch.export.export(net.eval(), (x,)), path)
    else:
        torch.jit.save(
            torch.jit.trace(net.eval(), x) if kind == ".pt" else torch.jit.script(net.eval()), path
        )
    return load_model(path, size=networks.SIZE, channels=3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [".pt", ".pth", ".pt2"])
def test_graphs_in_files_are_explained_as_modules_are(twin, tmp_path, kind):
    """Traced, scripted and exported; the last takes one picture at a time."""
    assert_like_the_twin(saved(networks.sequential(torch, twin), tmp_path, kind), twin)


def test_a_channel_inside_is_explained_as_the_network_is_that_ends_there(twin):
    net = networks.sequential(torch, twin)
    whole = opened(net)
    layer = whole.info.layers[-1].name
    model, ending, x = whole.view_layer(layer), opened(net[:4], task="regression"), pictures(twin, 2)
    weights = np.zeros((2, *model.scores(x).shape[1:]), np.float32)
    weights[:, 1:, :2, 3] = 1
    assert {"rescale", "epsilon"} <= model.info.gives
    for rule in both_rules(twin, x):
        wanted = contributions(ending, x, Targets(weights), rule)
        assert np.abs(wanted[1]).max() > 1e-3
        for result, right in zip(contributions(model, x, Targets(weights), rule), wanted, strict=True):
            np.testing.assert_allclose(result, right, rtol=1e-5, atol=1e-7)


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
        contributions(model, x, targets_of(0, 1), rule)
    again = model.tap(x, targets_of(0, 1), model.info.layers[0].name)
    np.testing.assert_array_equal(first.gradients, again.gradients)
    assert [set(each.__dict__) for each in module.modules()] == kept
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_random_weights_are_explained_too(twin):
    model, x = opened(networks.sequential(torch, twin)), pictures(twin)
    rule = Rescale(np.zeros_like(x))
    own = contributions(model, x, targets_of(0), rule)[1]
    for stage in model.cascade(3):
        difference, values = contributions(stage.model, x, targets_of(0), rule)
        assert not np.allclose(values, own)
        np.testing.assert_allclose(values.sum(), difference[0], rtol=1e-3, atol=1e-5)


def test_a_region_of_a_segmentation(twin):
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1))
    torch.manual_seed(0)
    model, x = opened(net), pictures(twin, 2)
    weights = np.zeros((2, *model.scores(x).shape[1:]), np.float32)
    weights[:, 2:4, 3:6, 1] = 1 / 6
    difference, values = contributions(model, x, Targets(weights), Rescale(np.zeros_like(x)))
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
    difference, values = contributions(model, x, targets, Rescale(np.zeros_like(x)))
    np.testing.assert_allclose(values.sum((1, 2, 3, 4)), difference, rtol=1e-4, atol=1e-6)
    _, gradient = model.gradient(x, targets)
    np.testing.assert_allclose(
        contributions(model, x, targets, Epsilon(1e-9))[1], gradient * x, rtol=1e-3, atol=1e-6
    )
