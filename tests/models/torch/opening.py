"""PyTorch networks of a numpy twin: written, saved and opened in every way."""

import pytest

from napari_saliency.models import Settings
from napari_saliency.models.sources import Source
from tests.models.torch import networks

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


FORMS = ("module", "scripted", "traced", "exported")
