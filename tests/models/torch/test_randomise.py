"""Random weights in a PyTorch network: from the top down, nothing else, and never in the network itself."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings, load_model
from napari_saliency.models.sources import Source
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.comparing import RULES, assert_answers_differ
from tests.models.torch import networks

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture
def twin():
    return Convolutional()


def opened(net):
    from napari_saliency.models.torch.adapter import open_module

    return open_module(net, Source("python", "net"), Settings(size=networks.SIZE, channels=3))


@pytest.fixture
def model(twin):
    return opened(networks.sequential(torch, twin))


class Mixed(torch.nn.Module):
    """Layers that are defined in another order than they are used; one is used twice, one not at all."""

    def __init__(self):
        super().__init__()
        self.top = torch.nn.Linear(4, 4)
        self.shared = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.first = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.unused = torch.nn.Linear(2, 2)
        self.scale = Scale()

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.shared(self.scale(self.shared(x))))
        return torch.softmax(self.top(x.mean((2, 3))), 1)


class Scale(torch.nn.Module):
    """Says not how its weights are drawn."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.arange(4.0).reshape(1, 4, 1, 1))

    def forward(self, x):
        return x * self.factor


def weights(module):
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def test_pitfall_randomisation_check_re_initialises_everything_at_step_one(model):
    """Quantus on Keras makes all layers random at step one."""
    own = weights(model._network.module)
    names = [*own]
    for stage in model.cascade(3):
        now = weights(stage.model._network.module)
        lowest = {1: 4, 2: 2, 3: 0}[stage.done]  # from which array on weights may be others
        assert all(np.array_equal(now[name], own[name]) for name in names[:lowest])
        assert not np.array_equal(now[names[lowest]], own[names[lowest]])
    assert (stage.done, stage.total) == (3, 3)


def test_the_model_itself_answers_as_before_wherever_it_is_stopped(model, twin):
    x, targets = pictures(twin, 2), targets_of(0, 1)
    scores, gradient = model.scores(x), model.gradient(x, targets)[1]
    own = weights(model._network.module)
    for taken in range(4):
        running = model.cascade(3)
        for _, stage in zip(range(taken), running, strict=False):
            assert not np.allclose(stage.model.scores(x), scores)
            np.testing.assert_array_equal(model.scores(x), scores)
        running.close()
        np.testing.assert_array_equal(model.scores(x), scores)
        np.testing.assert_array_equal(model.gradient(x, targets)[1], gradient)
    for name, value in weights(model._network.module).items():
        np.testing.assert_array_equal(value, own[name])


def test_a_network_that_a_user_has_built_is_left_as_it_is(twin):
    net = networks.sequential(torch, twin)
    own = weights(net)
    assert len([*opened(net).cascade(3)]) == 3
    for name, value in weights(net).items():
        np.testing.assert_array_equal(value, own[name])


def test_it_answers_as_a_network_that_has_these_weights(twin):
    model, x = opened(Mixed()), pictures(twin, 2)
    for stage in model.cascade(9):
        other = Mixed()
        other.load_state_dict(stage.model._network.module.state_dict())  # copies
        fresh, targets = opened(other), targets_of(0, 1)
        np.testing.assert_array_equal(stage.model.scores(x), fresh.scores(x))
        for rule in (None, *RULES):
            mine, its = (one.gradient(x, targets, rule)[1] for one in (stage.model, fresh))
            np.testing.assert_array_equal(mine, its)
        mine, its = (one.tap(x, targets, model.info.cam_layer) for one in (stage.model, fresh))
        np.testing.assert_array_equal(mine.gradients, its.gradients)


def test_layers_come_from_the_top_as_pictures_come_through_them():
    layers = [stage.layer for stage in opened(Mixed()).cascade(9)]
    assert layers == ["top", "scale", "shared", "norm", "first", "unused"]


@pytest.mark.parametrize(
    ("viewed_layer", "wanted"),
    [
        ("shared", ["shared", "norm", "first", "unused"]),
        ("norm", ["norm", "first", "unused"]),
        ("first", ["first", "unused"]),
    ],
)
def test_inside_a_layer_those_that_come_after_it_are_left_out(twin, viewed_layer, wanted):
    net = Mixed()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.5)  # so that what a layer draws is something else
    model, x = opened(net).view_layer(viewed_layer), pictures(twin)
    own = model.scores(x)
    for stage, name in zip(model.cascade(9), wanted, strict=True):
        assert (stage.layer, stage.total) == (name, len(wanted))
        assert not np.allclose(stage.model.scores(x), own)


def test_few_steps_are_spread_from_one_layer_to_all():
    assert [stage.done for stage in opened(Mixed()).cascade(3)] == [1, 4, 6]


def test_layers_draw_their_weights_as_they_do_or_mix_them():
    net = Mixed()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(5)
        net.norm.running_var.fill_(9)
    *_, last = opened(net).cascade(9)
    result = weights(last.model._network.module)
    assert (result["norm.weight"] == 1).all()
    assert (result["norm.running_var"] == 1).all()
    assert 0 < np.abs(result["first.weight"]).max() <= 27**-0.5  # Kaiming's uniform, as PyTorch draws it
    assert sorted(result["scale.factor"].ravel()) == [5, 6, 7, 8]


def test_the_same_seed_draws_the_same_weights_and_leaves_chance_as_it_was(model, twin):
    x = pictures(twin)
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    result = [[stage.model.scores(x) for stage in model.cascade(3, seed)] for seed in (4, 4, 5)]
    assert torch.equal(torch.rand(3), wanted)
    np.testing.assert_array_equal(result[0], result[1])
    assert not np.allclose(result[0], result[2])


def test_a_random_network_gives_all_that_methods_ask_for_and_it_is_another(model, twin):
    *_, stage = model.cascade(2, seed=3)
    assert_answers_differ(model, stage.model, twin)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("form", ["scripted", "exported"])
def test_a_saved_network_keeps_its_weights_to_itself(twin, form, tmp_path):
    net, example = networks.sequential(torch, twin).eval(), torch.zeros(2, 3, *networks.SIZE)
    if form == "exported":
        path = tmp_path / "net.pt2"
        torch.export.save(torch.export.export(net, (example,)), path)
    else:
        path = tmp_path / "net.pt"
        torch.jit.save(torch.jit.script(net), path)
    model = load_model(path, size=networks.SIZE)
    assert "cascade" not in model.info.gives
    with pytest.raises(ModelError, match="keeps its weights to itself"):
        next(model.cascade(3))
