"""DeepLIFT and LRP of architectures that people use: the maps of another derivation, of captum, of each other."""

from importlib.util import find_spec

import numpy as np
import pytest

from napari_saliency.core.types import Epsilon, Rescale, Targets
from napari_saliency.models import Settings
from napari_saliency.models.sources import Source
from tests.models import architectures
from tests.rules import contributions

pytestmark = pytest.mark.framework
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

RANDOM = np.random.default_rng(4)
X, START = RANDOM.normal(size=(2, 2, *architectures.SIZE, 3)).astype(np.float32)
WEIGHTS = RANDOM.normal(size=(2, architectures.CLASSES)).astype(np.float32)
RULES = {"rescale": Rescale(START), "epsilon": Epsilon(0.01), "much epsilon": Epsilon(1.0)}
CLOSE = 2e-5
"""Of the largest value: what float32 leaves of float64."""

every_architecture = pytest.mark.parametrize("name", architectures.ARCHITECTURES)
every_rule = pytest.mark.parametrize("rule", RULES)


def opened(name):
    from napari_saliency.models.torch.adapter import open_module

    settings = Settings(size=architectures.SIZE, channels=3, preprocessing="none")
    return open_module(architectures.in_torch(torch, name), Source("python", "net"), settings)


@pytest.fixture(scope="module")
def keras_model(request, keras):
    from napari_saliency.models.keras.adapter import KerasModel

    network = architectures.in_keras(keras, torch, request.param)
    return request.param, KerasModel(network, Source("keras", "net"), Settings(preprocessing="none"))


def far(result, wanted):
    """Largest difference, as a share of the largest value."""
    assert np.abs(wanted).max() > 0
    return np.abs(result - wanted).max() / np.abs(wanted).max()


def derived(name, rule):
    return architectures.multipliers(torch, architectures.in_torch(torch, name), X, rule, WEIGHTS)


@every_rule
@every_architecture
def test_pytorch_gives_the_multipliers_that_are_derived_layer_by_layer(name, rule):
    _, result = opened(name).gradient(X, Targets(WEIGHTS), RULES[rule])
    assert far(result, derived(name, RULES[rule])) <= CLOSE


@pytest.mark.parametrize("keras_model", architectures.ARCHITECTURES, indirect=True)
@every_rule
def test_keras_gives_them_of_the_same_weights(keras_model, rule):
    name, model = keras_model
    _, result = model.gradient(X, Targets(WEIGHTS), RULES[rule])
    assert far(result, derived(name, RULES[rule])) <= CLOSE


def captums(name, rule):
    """What captum makes of the class with the largest index, of networks that it has rules for."""
    from captum.attr import LRP, DeepLift
    from captum.attr._utils.lrp_rules import EpsilonRule

    network, target = architectures.in_torch(torch, name), architectures.CLASSES - 1
    x, start = (torch.tensor(np.moveaxis(each, -1, 1).copy()) for each in (X, START))
    if isinstance(rule, Rescale):
        return DeepLift(network).attribute(x, start, target=target)
    for part in network.modules():
        if not any(True for _ in part.children()):
            sums = [*part.parameters()] or isinstance(part, torch.nn.AvgPool2d)
            part.rule = EpsilonRule(rule.epsilon if sums else 1e-9)
    return LRP(network).attribute(x, target=target)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("captum") is None, reason="captum is not installed")
@pytest.mark.parametrize(
    ("name", "rule"), [("ResNet", "rescale"), ("DenseNet", "rescale"), ("VGG", "rescale"), ("VGG", "epsilon")]
)
def test_captum_gives_the_same_contributions_where_it_has_rules(name, rule, monkeypatch):
    """Of LRP it has none for sums of branches, and its own DeepLIFT of max pooling does not add up: none here."""
    averaged = [
        ("average", *step[1:]) if step[0] == "max" else step for step in architectures.ARCHITECTURES[name]
    ]
    monkeypatch.setitem(architectures.ARCHITECTURES, name, averaged)
    wanted = np.moveaxis(captums(name, RULES[rule]).detach().numpy(), 1, -1)
    targets = Targets(np.eye(architectures.CLASSES, dtype=np.float32)[[-1, -1]])
    _, result = contributions(opened(name), X, targets, RULES[rule])
    assert far(result, wanted) <= CLOSE
