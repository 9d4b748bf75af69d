"""The PyTorch adapter: every way to write and to save a network gives the maps of its numpy twin."""

import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.models import Settings, load_model
from napari_saliency.models.settings import SettingError
from napari_saliency.models.sources import Source
from tests.analytic import LABELS, Convolutional, pictures, targets_of
from tests.few import EVERYWHERE
from tests.models.comparing import (
    FEW,
    answer,
    assert_log_probabilities_stand_in,
    assert_same_answers,
    assert_same_map,
)
from tests.models.torch import networks

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
# What PyTorch says of itself when it saves TorchScript and graphs.
quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning",
    "ignore:Converting a tensor to a Python boolean",
)
RELUS, RELU6S = networks.RELUS(torch), networks.RELU6S(torch)
ENDS = networks.SOFTMAXES(torch) | networks.LINEAR(torch)
RULES = ("guided", "deconvnet")


@pytest.fixture(scope="module")
def saturated():
    """A twin some of whose ReLUs reach 6."""
    twin = Convolutional(ceiling=6)
    for array in (*twin.kernels, *twin.biases):
        array *= 4
    return twin


def opened(net, **settings):
    from napari_saliency.models.torch.adapter import open_module

    return open_module(net, Source("python", "net"), Settings(**{"size": networks.SIZE} | settings))


def built(twin, relu=RELUS["F.relu"], end=ENDS["nn.Softmax"], **settings):
    return opened(networks.network(torch, relu, end, twin), **settings)


def saved(net, form, folder):
    """Save a network in a form; return the file."""
    example, net = torch.zeros(2, 3, *networks.SIZE), net.eval()
    if form == "exported":
        program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
        torch.export.save(program, folder / "net.pt2")
        return folder / "net.pt2"
    scripted = torch.jit.trace(net, example) if form == "traced" else torch.jit.script(net)
    torch.jit.save(scripted, folder / "net.pt")
    return folder / "net.pt"


# Ways to end -------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_pitfall_logits_wanted_softmax_gradient_delivered_in_any_spelling(twin, end):
    model = built(twin, end=end)
    assert model.info.logits
    assert model.info.activation == "softmax"
    assert_same_answers(model, twin)


@pytest.mark.parametrize("end", networks.SIGMOIDS(torch).values(), ids=networks.SIGMOIDS(torch))
def test_logits_are_found_however_the_sigmoid_is_spelled(end):
    twin = Convolutional(activation="sigmoid")
    model = built(twin, end=end)
    assert model.info.logits
    assert model.info.activation == "sigmoid"
    assert_same_answers(model, twin)


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


# Ways to spell a ReLU, and to save a network -----------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient(twin, relu, rule):
    model = built(twin, relu)
    assert_same_answers(model, twin, ["logit"], [None, rule])
    x, targets = pictures(twin), targets_of(0)
    plain = model.gradient(x, targets)[1]
    assert np.abs(plain - model.gradient(x, targets, rule)[1]).max() > 0.1 * np.abs(plain).max()


@pytest.mark.parametrize("relu", RELU6S.values(), ids=RELU6S)
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient_on_relu6(saturated, relu):
    model = built(saturated, relu)
    assert_same_answers(model, saturated, ["logit"], [None, *RULES])
    x, targets = pictures(saturated), targets_of(0)
    plain, *others = (model.gradient(x, targets, rule)[1] for rule in (None, *RULES))
    for other in others:
        assert np.abs(plain - other).max() > 0.1 * np.abs(plain).max()


@pytest.mark.parametrize("relu", RELU6S.values(), ids=RELU6S)
def test_pitfall_guided_backprop_changes_the_network_in_a_saturated_relu6(saturated, relu):
    """All units are beyond 6, or closed: nothing comes through them; deconvnet does not ask."""
    model = built(saturated, relu)
    x, targets = np.float32(1e6) * pictures(saturated), targets_of(0)
    first = saturated.before_relus(x)[0]
    assert ((first > 6) | (first < 0)).all()
    assert (first > 6).any()
    for rule, any_left in ((None, False), ("guided", False), ("deconvnet", True)):
        assert model.gradient(x, targets, rule)[1].any() == any_left


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


FORMS = ("module", "scripted", "traced", "exported")


@pytest.fixture(scope="module")
def forms(twin, tmp_path_factory):
    """The same network in all forms."""
    net = networks.sequential(torch, twin)
    folders = {form: tmp_path_factory.mktemp(form) for form in FORMS[1:]}
    with warnings.catch_warnings(action="ignore"):
        files = {form: load_model(saved(net, form, at), size=networks.SIZE) for form, at in folders.items()}
    return {"module": opened(networks.sequential(torch, twin))} | files


@quiet
@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("form", FORMS)
def test_every_method_gives_the_map_of_the_numpy_twin_in_every_form(forms, twin, form, name):
    model = forms[form].with_settings(Settings(preprocessing="none", size=networks.SIZE))
    for score in SCORES:
        x, targets = pictures(twin, 2), targets_of(3, 1, score=score)
        assert_same_map(answer(name, model, x, targets), answer(name, twin, x, targets))


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
    for name in ("grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "score_cam", "activations"):
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


# Rules that do not apply -------------------------------------------------------------------------


class Hand(torch.nn.Module):
    """Activations spelled by ReLUs."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        functional = torch.nn.functional
        if self.name == "PReLU by hand":
            return x.relu() - 0.3 * (-x).relu()
        gate = functional.relu6(x + 3, inplace="in place" in self.name) / 6
        return gate if "sigmoid" in self.name else x * gate


OTHERS = {
    "nn.PReLU": torch.nn.PReLU(),
    "nn.LeakyReLU": torch.nn.LeakyReLU(0.3),
    "nn.Hardswish": torch.nn.Hardswish(),
    "nn.Hardsigmoid": torch.nn.Hardsigmoid(),
    "nn.Hardtanh": torch.nn.Hardtanh(),
    "nn.GELU": torch.nn.GELU(),
    **{name: Hand(name) for name in ("PReLU by hand", "hard sigmoid", "hard swish", "hard swish, in place")},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", OTHERS)
def test_a_rule_leaves_other_activations_alone(name, rule):
    nn = torch.nn
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3)
    body = nn.Sequential(first, OTHERS[name], second)
    x = pictures(Convolutional())
    weights = Targets(np.eye(3, dtype=np.float32)[[1]])
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    without = opened(nn.Sequential(body, pool))
    with pytest.raises(
        ModelError, match=f"net has no ReLU, so {rule} backpropagation would be the plain gradient"
    ):
        without.gradient(x, weights, rule)

    result = opened(nn.Sequential(body, nn.ReLU(), pool)).gradient(x, weights, rule)[1]
    leaf = torch.tensor(x).permute(0, 3, 1, 2).requires_grad_()  # one ReLU before the mean: the rule by hand
    z = body(leaf)
    passed = torch.zeros_like(z)
    passed[:, 1] = 1 / (z.shape[2] * z.shape[3])
    (wanted,) = torch.autograd.grad(z, leaf, passed * (z > 0) if rule == "guided" else passed)
    np.testing.assert_allclose(result, wanted.permute(0, 2, 3, 1), atol=1e-6)


@quiet
@pytest.mark.parametrize("form", FORMS[1:])
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient_without_a_relu(twin, form, tmp_path):
    net = networks.sequential(torch, twin, torch.nn.LeakyReLU(0.3))
    model = load_model(saved(net, form, tmp_path), size=networks.SIZE)
    assert_same_answers(model, Convolutional(slope=0.3))
    with pytest.raises(ModelError, match="net has no ReLU, so guided"):
        model.gradient(pictures(twin), targets_of(0), "guided")


def test_relus_beside_the_way_to_the_classes_do_not_count(twin):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = networks.sequential(torch, twin, torch.nn.Tanh())

        def forward(self, x):
            self.unused = x.relu()
            return self.net(x)

    with pytest.raises(ModelError, match="has no ReLU"):
        opened(Net()).gradient(pictures(twin), targets_of(0), "guided")


# The network stays as it is ----------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_guided_backprop_changes_the_network(forms, twin, form):
    x, targets, model = pictures(twin, 2), targets_of(0, 1), forms[form]
    scores, plain = model.scores(x), model.gradient(x, targets)[1]
    for rule in RULES:
        value, _ = model.gradient(x, targets, rule)
        np.testing.assert_allclose(value, scores[[0, 1], [0, 1]], rtol=1e-5)
        np.testing.assert_array_equal(model.scores(x), scores)
        np.testing.assert_array_equal(model.gradient(x, targets)[1], plain)


@pytest.fixture
def training():
    """A network as it is in training: with chance and company in its answers."""
    nn = torch.nn
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
    net = nn.Sequential(body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    net(torch.randn(8, 3, *networks.SIZE) * 2 + 1)
    return net.train()


def in_inference(net, x):
    before = net.training
    with torch.no_grad():
        outputs = net.eval()(torch.tensor(x).permute(0, 3, 1, 2)).numpy()
    net.train(before)
    return outputs


def test_pitfall_train_mode_left_on(training, twin):
    x = pictures(twin, 3)
    wanted = in_inference(training, x)
    before = {name: value.clone() for name, value in training.state_dict().items()}
    model = opened(training)
    np.testing.assert_allclose(model.scores(x), wanted, atol=1e-6)
    for name in EVERYWHERE:
        maps = [answer(name, model, x, targets_of(0, 1, 2)) for _ in range(2)]
        np.testing.assert_array_equal(*maps)
    assert training.training
    assert all(p.requires_grad and p.grad is None for p in training.parameters())
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())


def test_weights_are_not_copied(training):
    model = opened(training)
    mine = dict(model._network.module.named_parameters())
    assert all(p.data_ptr() == mine[name].data_ptr() for name, p in training.named_parameters())


@quiet
def test_pitfall_train_mode_left_on_in_an_exported_graph(training, twin, tmp_path):
    x = pictures(twin, 3)
    wanted = in_inference(training, x)
    example = torch.zeros(4, 3, *networks.SIZE)
    program = torch.export.export(training.train(), (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "net.pt2")
    np.testing.assert_allclose(load_model(tmp_path / "net.pt2").scores(x), wanted, atol=1e-6)


@quiet
def test_pitfall_train_mode_left_on_in_a_scripted_network(training, twin, tmp_path):
    x = pictures(twin, 3)
    torch.jit.save(torch.jit.script(training.train()), tmp_path / "net.pt")
    model = load_model(tmp_path / "net.pt", size=networks.SIZE)
    np.testing.assert_allclose(model.scores(x), in_inference(training, x), atol=1e-6)


@quiet
def test_pitfall_train_mode_left_on_in_a_traced_network(training, tmp_path):
    traced = torch.jit.trace(training, torch.zeros(4, 3, *networks.SIZE), check_trace=False)
    torch.jit.save(traced, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"saved in training mode; call model\.eval\(\) before"):
        load_model(tmp_path / "net.pt", size=networks.SIZE)


@quiet
def test_a_graph_exported_for_one_picture_takes_many(twin, tmp_path):
    net = networks.sequential(torch, twin).eval()
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, *networks.SIZE),)), tmp_path / "net.pt2")
    model = load_model(tmp_path / "net.pt2")
    assert_same_answers(model, twin, rules=[None, "guided"])
    x, targets = pictures(twin, 3), targets_of(0, 1, 2)
    assert_same_map(model.tap(x, targets, "2/relu").gradients, twin.tap(x, targets, "rectified").gradients)


def test_a_batch_gives_what_its_pictures_give_alone(training, twin):
    model, x, targets = opened(training), pictures(twin, 5), targets_of(0, 1, 2, 3, 0)
    for name in EVERYWHERE:
        together = answer(name, model, x, targets)
        weights = targets.weights
        alone = [answer(name, model, x[n : n + 1], Targets(weights[n : n + 1])) for n in range(5)]
        assert_same_map(together, np.concatenate(alone), 1e-5)


def test_half_precision_gives_maps_in_single(twin):
    model = opened(networks.sequential(torch, twin).to(torch.bfloat16))
    x, targets = pictures(twin, 2), targets_of(0, 1)
    assert_same_map(model.gradient(x, targets)[1], twin.gradient(x, targets)[1], 0.05)


@quiet
@pytest.mark.parametrize("kind", ["half", "double"])
def test_an_exported_graph_of_another_precision_opens(twin, kind, tmp_path):
    net = getattr(networks.sequential(torch, twin).eval(), kind)()
    example = torch.zeros(2, 3, *networks.SIZE, dtype=next(net.parameters()).dtype)
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / "net.pt2")
    model = load_model(tmp_path / "net.pt2")
    x = pictures(twin, 2)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), rtol=2e-2, atol=2e-2)
    targets = targets_of(0, 1)
    for result, wanted in zip(model.gradient(x, targets), twin.gradient(x, targets), strict=True):
        assert result.dtype == np.float32
        assert_same_map(result, wanted, share=3e-2)


@pytest.fixture
def hurried():
    """Let threads interrupt each other as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_two_threads_corrupt_each_others_maps(forms, twin, hurried, form):
    """Another rule, another class, another picture and another layer at the same time."""
    model = forms[form].with_settings(Settings(preprocessing="none", size=networks.SIZE))
    x = pictures(twin, 4)
    names = [name for name in EVERYWHERE if name not in FEW]
    jobs = [(name, n, (n + shift) % len(LABELS)) for shift in range(4) for n in range(4) for name in names]
    wanted = {(name, n, i): answer(name, twin, x[n : n + 1], targets_of(i)) for name, n, i in jobs}

    def run(job):
        name, n, index = job
        return job, answer(name, model, x[n : n + 1], targets_of(index))

    with ThreadPoolExecutor(8) as pool:
        for job, values in pool.map(run, jobs * 2):
            # Of a single picture and class a map may be empty: all of a method's tell what is large.
            largest = max(np.abs(values).max() for (name, *_), values in wanted.items() if name == job[0])
            np.testing.assert_allclose(values, wanted[job], rtol=0, atol=1e-4 * largest)


# What a model says of itself ---------------------------------------------------------------------


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


# Files -------------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("form", ["scripted", "exported"])
def test_damaged_files_give_one_sentence(twin, form, tmp_path):
    path = saved(networks.sequential(torch, twin), form, tmp_path)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for share in (0, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ModelError, match=r"^net\.pt2? could not be opened: [^\n]+$"):
            load_model(path, size=networks.SIZE)
    for _ in range(15):
        spoiled = bytearray(whole)
        for place in random.integers(0, len(whole), 20):
            spoiled[place] ^= 255
        path.write_bytes(spoiled)
        sentence = ""
        try:  # some places matter to nobody
            load_model(path, size=networks.SIZE)
        except ModelError as error:
            sentence = str(error)
        assert "\n" not in sentence


@quiet
def test_what_stands_beside_the_file_counts_and_is_named_where_it_does_not_fit(twin, tmp_path):
    path = saved(networks.sequential(torch, twin), "scripted", tmp_path)
    names = "\n".join(LABELS)
    (tmp_path / "labels.txt").write_text(names, "utf-8")
    Settings(size=networks.SIZE, preprocessing="unit").write_sidecar(path)
    model = load_model(path)
    assert (model.info.labels, model.info.questions) == (LABELS, ())
    (tmp_path / "labels.txt").write_text("cat\ndog", "utf-8")
    reason = "2 class names are given for a model with 4 classes: it needs one for each"
    said = f"{reason}; labels.txt beside the model says so: correct or delete it"
    with pytest.raises(SettingError) as raised:
        model.with_settings(Settings())
    assert str(raised.value) == said
    with pytest.raises(ModelError) as raised:
        load_model(path)
    assert str(raised.value) == f"net.pt could not be opened: {said}"
    (tmp_path / "labels.txt").write_text(names, "utf-8")
    for values in ({"size": (3, 3)}, {"size": networks.SIZE, "layer": "none"}):
        Settings(**values).write_sidecar(path)
        with pytest.raises(ModelError, match=r"; net\.saliency\.json beside the model says so"):
            load_model(path)
        with pytest.raises(ModelError) as raised:
            load_model(path, **values)
        assert "saliency.json" not in str(raised.value)


def test_without_pytorch_a_sentence_names_the_extra(fresh_interpreter, tmp_path):
    code = """
import sys
sys.modules["torch"] = None
from napari_saliency import ModelError, load_model
try:
    load_model(sys.argv[1])
except ModelError as error:
    print(error)
"""
    (tmp_path / "net.pt2").touch()
    assert "pip install 'napari-saliency[torch]'" in " ".join(
        fresh_interpreter(code, str(tmp_path / "net.pt2"))
    )


def test_a_model_of_keras_is_opened_without_pytorch(fresh_interpreter):
    code = "import sys, napari_saliency as n; n.load_model('bundled:digits'); print('torch' in sys.modules)"
    assert fresh_interpreter(code)[-1] == "False"


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
