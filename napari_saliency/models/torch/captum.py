"""DeepLIFT and layer-wise relevance propagation, by captum."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Epsilon
from napari_saliency.models.torch.autograd import channels_last, single
from napari_saliency.models.torch.fx_steps import (
    ACTIVATIONS,
    RECTIFIERS,
    MaxPooling,
    Step,
    Unfollowed,
    steps_of,
)
from napari_saliency.models.torch.network import by_name

if TYPE_CHECKING:
    from napari_saliency.core.types import Rescale
    from napari_saliency.models.torch.network import TorchNetwork

Tensor = Any

NOTHING = 1e-9
"""captum's own epsilon: of steps that only pass values on, which Bach's rule is not meant for."""

LEFT_BEHIND = ("activations", "input", "output", "places")
"""What captum and `MaxPooling` leave in modules."""


def followed(
    network: TorchNetwork, x: Tensor, logits: Tensor, *, ended: bool
) -> tuple[TorchNetwork | None, str]:
    """Write a network out as steps that captum has rules for.

    Parameters
    ----------
    x : (N, H, W, C) or (N, Z, H, W, C) tensor
        Pictures to try it on.
    logits : (N, K) or (N, *space, K) tensor
        What the network says of them.
    ended : bool
        Whether a softmax or sigmoid comes after the logits.

    Returns
    -------
    Network or None, str
        Which computes the same logits. None if there is none, or captum is not installed, and what is needed
        then; "" for what is no network of modules.
    """
    if not network.listens or network.others:
        return None, ""
    if find_spec("captum") is None:
        return None, 'captum, which is not installed: pip install "napari-saliency[captum]"'
    try:
        result = as_steps(network, ended=ended)
        _check(result, x, logits)
    except Unfollowed as error:
        return None, f"a rule for each operation, and captum has none for {error}"
    return result, ""


def as_steps(network: TorchNetwork, *, ended: bool) -> TorchNetwork:
    """Write a network out as `steps_of` does; it raises what that does."""
    module = steps_of(network.module, ended=ended)
    return replace(network, module=module, call=by_name(module))


def _check(network: TorchNetwork, x: Tensor, logits: Tensor) -> None:
    try:
        with torch.no_grad():
            outputs = _outputs(network, _channels_first(x[:1]))
        wanted = logits[:1]
        same = outputs.shape == wanted.shape and torch.allclose(
            outputs, wanted, 1e-4, 1e-4 * float(wanted.abs().max())
        )
    except Exception as error:  # whatever it says of a step
        raise Unfollowed("what depends on more than its operations") from error
    finally:
        _tidy(network)
    if not same:
        raise Unfollowed("what is not seen of its operations")


class Weighed(nn.Module):
    """A network of steps whose outputs are summed up, each with a weight.

    Parameters
    ----------
    network : Network
        From `followed`.
    weights : (1, K) or (1, *space, K) tensor
        Of its outputs.
    relevance : bool
        Whether weights are to be multiplied by the outputs, and the sum to be 1: LRP multiplies by it
        what it finds.
    """

    def __init__(self, network: TorchNetwork, weights: Tensor, *, relevance: bool) -> None:
        super().__init__()
        self.steps = network.module
        self.sums: Tensor = None  # of what it was run on last
        self._network, self._weights, self._relevance = network, weights, relevance

    def forward(self, x: Tensor) -> Tensor:
        outputs = _outputs(self._network, x)
        sums = (self._weights * outputs).flatten(1).sum(1)
        self.sums = sums.detach()
        if not self._relevance:
            return sums
        here = outputs.detach()
        return (self._weights * here * (outputs - here)).flatten(1).sum(1) + 1


def propagate(
    network: TorchNetwork, ends: tuple[Tensor, Tensor | None], weights: Tensor, rule: Rescale | Epsilon
) -> tuple[Tensor, Tensor]:
    """Bring the score of one picture back to it by a rule.

    Parameters
    ----------
    network : Network
        From `followed`.
    ends : two of (1, H, W, C) or (1, Z, H, W, C) tensor
        The picture, and for `Rescale` the empty one, or None. One alone, as captum's hooks keep what each layer
        takes and gives.
    weights : (1, K) or (1, *space, K) tensor
        Derivatives of the score by the outputs.

    Returns
    -------
    (1,) tensor
        The outputs' sum by their weights; for `Rescale` less the empty picture's.
    (1, H, W, C) or (1, Z, H, W, C) tensor

    Raises
    ------
    ModelError
        If the network has a step that the rule is not made for.
    """
    x, start = ends
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # captum announces that it sets hooks
            if isinstance(rule, Epsilon):
                score, result = _lrp(network, _channels_first(x), weights, rule.epsilon)
            else:
                score, result = _deep_lift(network, _channels_first(x), _channels_first(start), weights)
    finally:
        _tidy(network)
    return score, channels_last(result.detach())


def _tidy(network: TorchNetwork) -> None:
    for module in network.module.modules():
        for name in LEFT_BEHIND:
            module.__dict__.pop(name, None)


def _deep_lift(network: TorchNetwork, x: Tensor, start: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    from captum.attr import DeepLift
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    SUPPORTED_NON_LINEAR[MaxPooling] = _rescale_maxima
    weighed = Weighed(network, weights, relevance=False)
    result = DeepLift(weighed).attribute(x, start)
    here, there = weighed.sums.split(1)  # captum runs both as one batch
    return here - there, result


def _rescale_maxima(
    module: MaxPooling, inputs: Tensor, outputs: Tensor, grad_input: Tensor, grad_output: Tensor, eps: float
) -> Tensor:
    """Bring back how maxima differ between the picture and the empty one, which each tensor holds in this order.

    As captum does, but for windows that overlap: the difference of two maxima is given to where the higher
    of them is, as a share of the difference there. A place may have shares of several windows.
    """
    here, there = outputs.chunk(2)
    highest, weights = torch.maximum(here, there), grad_output.chunk(2)[0]
    change = torch.sub(*inputs.chunk(2))
    shares = torch.zeros_like(change).flatten(2)
    for places, part in zip(module.places.chunk(2), (highest - there, here - highest), strict=True):
        shares.scatter_add_(2, places.flatten(2), (part * weights).flatten(2))
    # Both are multiplied alike, or what is the maximum in one of them alone would not add up.
    result = torch.where(change.abs() < eps, grad_input.chunk(2)[0], shares.reshape(change.shape) / change)
    return torch.cat([result, result])


def _lrp(network: TorchNetwork, x: Tensor, weights: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    for step in network.module.modules():
        if isinstance(step, ACTIVATIONS) and not isinstance(step, RECTIFIERS):
            kind = type(step).__name__
            raise ModelError(
                f"the epsilon rule is for networks of ReLUs, and this one has {kind}: choose DeepLIFT"
            )
        if not any(True for _ in step.children()):
            summing = isinstance(step, Step) and not step.moving
            step.rule = EpsilonRule(epsilon if summing else NOTHING)
    weighed = Weighed(network, weights, relevance=True)
    result = LRP(weighed).attribute(x)
    return weighed.sums, result


def _outputs(network: TorchNetwork, x: Tensor) -> Tensor:
    return channels_last(single(network(x), x.ndim).float())


def _channels_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1).clone(memory_format=torch.contiguous_format)
