"""Rules for ReLUs of PyTorch networks, however the ReLUs were written."""

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Targets
from napari_saliency.models import load_model
from tests.analytic import Convolutional, pictures, targets_of
from tests.models.comparing import RULES, assert_rules_differ, assert_same_answers
from tests.models.torch import networks
from tests.models.torch.opening import FORMS, RELU6S, built, opened, quiet, saved

pytestmark = pytest.mark.framework

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("relu", RELU6S.values(), ids=RELU6S)
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient_on_relu6(saturated, relu):
    model = built(saturated, relu)
    assert_same_answers(model, saturated, ["logit"], [None, *RULES])
    assert_rules_differ(model, saturated)


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


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_guided_backprop_changes_the_network(forms, twin, form):
    x, targets, model = pictures(twin, 2), targets_of(0, 1), forms[form]
    scores, plain = model.scores(x), model.gradient(x, targets)[1]
    for rule in RULES:
        value, _ = model.gradient(x, targets, rule)
        np.testing.assert_allclose(value, scores[[0, 1], [0, 1]], rtol=1e-5)
        np.testing.assert_array_equal(model.scores(x), scores)
        np.testing.assert_array_equal(model.gradient(x, targets)[1], plain)
