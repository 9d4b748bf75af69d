"""Spellings × primitives, and frameworks × methods: always what the numpy twin gives.

The twin's derivatives are written down in closed form, in float64 (`tests.analytic`). A method is numpy over five
calls of a model. So whether a network's spelling matters is proven on the calls: every way of ending and every
spelling of ReLU, which take turns, has the twin's scores, gradients for each score and by every rule, and activations.
Whether a framework matters is proven once for each method and each score, on the framework's plainest network.
"""

from itertools import cycle, islice

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES
from napari_saliency.methods import METHODS
from napari_saliency.models import Scaling, Settings, load_model
from napari_saliency.models.sources import Source
from tests.analytic import Convolutional, pictures, targets_of
from tests.few import RULED, few
from tests.models.comparing import (
    RULES,
    assert_rules_differ,
    assert_same_answers,
    assert_same_map,
    assert_same_tap,
)
from tests.models.keras import networks
from tests.models.onnx import networks as onnx_networks
from tests.models.torch import networks as torch_networks

pytestmark = pytest.mark.framework

FEW = few(samples=3) | {"occlusion": {"window": 4}}
NAMED = Settings(preprocessing="none", size=networks.PICTURE[:2])


def keras_model(relu, end, twin, _folder):
    from napari_saliency.models.keras import keras
    from napari_saliency.models.keras.adapter import KerasModel

    network = networks.functional(keras, networks.RELUS[relu], {**keras_ends()}[end])
    return KerasModel(networks.with_weights(network, twin.arrays), Source("keras", "net"), NAMED)


def keras_ends():
    return networks.SOFTMAXES | networks.LINEAR | networks.SIGMOIDS


def torch_model(relu, end, twin, _folder):
    torch = pytest.importorskip("torch")
    from napari_saliency.models.torch.adapter import open_module

    ends = torch_networks.SOFTMAXES(torch) | torch_networks.LINEAR(torch) | torch_networks.SIGMOIDS(torch)
    network = torch_networks.network(torch, torch_networks.RELUS(torch)[relu], ends[end], twin)
    return open_module(network, Source("python", "net"), NAMED)


def onnx_model(_relu, end, twin, folder):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ends = onnx_networks.SOFTMAXES | onnx_networks.LINEAR | onnx_networks.SIGMOIDS
    onnx.save(onnx_networks.network(onnx, twin, ends[end]), folder / "net.onnx")
    return load_model(folder / "net.onnx", preprocessing="none")


def function_model(_relu, _end, twin, _folder):
    from napari_saliency.models.python.function import CallableModel

    def function(x):
        return twin.logits(x.astype(np.float64))

    function.gradient = lambda x, weights: (
        (weights * function(x)).sum(-1),
        twin.pull_back(x.astype(np.float64), weights.astype(np.float64)),
    )
    return CallableModel(function, Source("python", "net"), NAMED)


def turns(framework, ends, relus):
    """Every end and every spelling, each with one of the other, which take turns."""
    count = max(len(ends), len(relus))
    pairs = zip(islice(cycle(ends), count), islice(cycle(relus), count), strict=True)
    return [pytest.param((framework, *pair), id=f"{framework}: {', '.join(pair)}") for pair in pairs]


def torch_spellings():
    """Names alone, so that collecting the tests needs no PyTorch."""
    from unittest.mock import MagicMock

    fake = MagicMock()
    ends = torch_networks.SOFTMAXES(fake) | torch_networks.LINEAR(fake) | torch_networks.SIGMOIDS(fake)
    return list(ends), list(torch_networks.RELUS(fake))


BUILD = {"keras": keras_model, "torch": torch_model, "onnx": onnx_model, "function": function_model}
SPELLED = [
    *turns("keras", list(keras_ends()), list(networks.RELUS)),
    *turns("torch", *torch_spellings()),
]
FIRST = [
    pytest.param((framework, end, relu), id=framework)
    for framework, end, relu in (
        ("keras", "Dense(softmax)", "layers.ReLU"),
        ("torch", "nn.Softmax", "nn.ReLU(inplace)"),
        ("onnx", "Softmax", "Relu"),
        ("function", "logits", "any"),
    )
]


@pytest.fixture(scope="module")
def pair(request, tmp_path_factory):
    """A model and its twin."""
    framework, end, relu = request.param
    twin = Convolutional(activation="sigmoid" if "igmoid" in end or end in networks.SIGMOIDS else "softmax")
    return BUILD[framework](relu, end, twin, tmp_path_factory.mktemp("matrix")), twin


@pytest.mark.parametrize("pair", SPELLED, indirect=True)
def test_pitfall_logits_wanted_softmax_gradient_delivered_in_any_spelling(pair):
    model, twin = pair
    assert model.info.logits
    assert model.info.activation == twin.info.activation
    assert_same_answers(model, twin)


@pytest.mark.parametrize("pair", SPELLED, indirect=True)
def test_pitfall_guided_backprop_silently_equal_to_the_plain_gradient_in_any_spelling(pair):
    model, twin = pair
    assert_same_answers(model, twin, ["logit"], RULES)
    assert_rules_differ(model, twin)


@pytest.mark.parametrize("pair", SPELLED, indirect=True)
def test_a_layer_is_tapped_in_any_spelling(pair):
    model, twin = pair
    assert_same_tap(model, twin, *last_layer(model, twin))


@pytest.mark.parametrize("pair", FIRST, indirect=True)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_the_map_of_the_numpy_twin(pair, name):
    model, twin = pair
    x, method = pictures(twin, 2), METHODS[name]
    if method.needs not in model.info.gives:
        with pytest.raises(ModelError):
            list(method.function(model, x, targets_of(3, 1)))
        return
    if method.needs_relu and not model.info.layers:
        with pytest.raises(ModelError, match="no ReLU"):
            answer(method, model, x, targets_of(3, 1))
        return
    for score in ("logit",) if name in RULED else SCORES:
        targets = targets_of(3, 1, score=score)
        result, wanted = answer(method, model, x, targets), answer(method, twin, x, targets)
        assert_same_map(result, wanted, 2e-4)


@pytest.mark.parametrize("pair", FIRST, indirect=True)
@pytest.mark.parametrize("name", ["occlusion", "kernel_shap"])
def test_scores_that_were_kept_are_not_those_of_another_preprocessing(pair, name):
    """A grey picture is the same input whichever way its channels are turned, but red is not the same fill."""
    model, twin = pair
    x, method = np.repeat(pictures(twin)[..., :1], 3, axis=-1), METHODS[name]
    turned = [
        NAMED.model_copy(update={"preprocessing": Scaling(divisor=255, bgr=bgr)}) for bgr in (False, True)
    ]
    options = {**FEW[name], "fill": (255.0, 0.0, 0.0)}

    def values(model):
        return list(method.function(model, x, targets_of(3), **options))[-1].values

    wanted = values(model.with_settings(turned[1]))
    rgb = model.with_settings(turned[0])
    assert not np.allclose(values(rgb), wanted)
    np.testing.assert_array_equal(values(rgb.with_settings(turned[1])), wanted)


def last_layer(model, twin):
    """The layer that class activation maps are made of, and the twin's name of it: its ReLU may be no layer."""
    cam, x, targets = model.info.cam_layer, pictures(twin), targets_of(0)
    return cam, "linear" if (model.tap(x, targets, cam).activations < 0).any() else "rectified"


def answer(method, model, x, targets):
    *_, last = method.function(model, x, targets, **FEW.get(method.id, {}))
    return last.values
