"""PyTorch networks with random weights in their upper layers."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_saliency.models.torch.autograd import Watch, listen, run
from napari_saliency.models.torch.network import by_name
from napari_saliency.models.torch.probe import as_tensor

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.models.torch.network import TorchNetwork

Named = tuple[str, Any]


def copied(network: TorchNetwork) -> TorchNetwork:
    """Make the same network with weights of its own."""
    module = copy.deepcopy(network.module)
    return replace(network, module=module, call=by_name(module))


def weighted_layers(network: TorchNetwork, x: Array, viewed_layer: str = "") -> list[Named]:
    """Return layers with weights of their own, and their names, in the order in which pictures come through them.

    Those that no picture comes through stand first; those that come after ``view_layer``, a layer, are left out.
    """
    result = [
        (name, part) for name, part in network.module.named_modules() if [*part.parameters(recurse=False)]
    ]
    order: dict[int, int] = {}
    watch, after = Watch(None, (viewed_layer,)), set[int]()

    def come(part: Any, _given: Any) -> None:  # noqa: ANN401 - PyTorch's
        if id(part) not in order and viewed_layer in watch.kept:
            after.add(id(part))
        order.setdefault(id(part), len(order))

    hooks = [part.register_forward_pre_hook(come) for _, part in result]
    try:
        with torch.no_grad(), listen(network.module, watch):
            run(network, as_tensor(network, x), watch)
    finally:
        for hook in hooks:
            hook.remove()
    before = [named for named in result if id(named[1]) not in after]
    return sorted(before, key=lambda named: order.get(id(named[1]), -1))


def redraw(layer: Any, seed: int) -> None:  # noqa: ANN401 - a Module
    """Draw a layer's weights anew: as it does itself, where it does, else its own in random order."""
    parameters = [*layer.parameters(recurse=False)]
    device = parameters[0].device
    with torch.random.fork_rng([] if device.type == "cpu" else [device]), torch.no_grad():
        torch.manual_seed(seed)
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if reset is not None:
            reset()
            return
        for parameter in parameters:
            order = torch.randperm(parameter.numel(), device=device)
            parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
