"""PyTorch networks that several test files open."""

import sys
import warnings

import pytest

from napari_saliency.models import load_model
from tests.analytic import Convolutional
from tests.models.torch import networks


@pytest.fixture(scope="module")
def saturated():
    """A twin some of whose ReLUs reach 6."""
    twin = Convolutional(ceiling=6)
    for array in (*twin.kernels, *twin.biases):
        array *= 4
    return twin


@pytest.fixture(scope="module")
def forms(twin, tmp_path_factory):
    """The same network in all forms."""
    import torch

    from tests.models.torch.opening import FORMS, opened, saved

    net = networks.sequential(torch, twin)
    folders = {form: tmp_path_factory.mktemp(form) for form in FORMS[1:]}
    with warnings.catch_warnings(action="ignore"):
        files = {form: load_model(saved(net, form, at), size=networks.SIZE) for form, at in folders.items()}
    return {"module": opened(networks.sequential(torch, twin))} | files


@pytest.fixture
def training():
    """A network as it is in training: with chance and company in its answers."""
    import torch

    nn = torch.nn
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5))
    net = nn.Sequential(body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    net(torch.randn(8, 3, *networks.SIZE) * 2 + 1)
    return net.train()


@pytest.fixture
def hurried():
    """Let threads interrupt each other as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
