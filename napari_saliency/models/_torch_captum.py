"""DeepLIFT and layer-wise relevance propagation, by captum."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_saliency._types import Epsilon, ModelError
from napari_saliency.models._torch_network import by_name
from napari_saliency.models._torch_pass import channels_last, single
from napari_saliency.models._torch_steps import (
    MAX_POOLS,
    RECTIFIERS,
    WEIGHTED,
    Apart,
    Squeezed,
    Step,
    Unfollowed,
    Windows,
    steps_of,
)

if TYPE_CHECKING:
    from napari_saliency._types import Rescale
    from napari_saliency.models._torch_network import Network

Tensor = Any

NEARLY_NOTHING = 1e-9
"""captum's own epsilon: of steps that only pass values on, which Bach's rule is not meant for."""

LEFT_BEHIND = ("activations", "input", "input_ref", "output")
"""What captum leaves in modules."""


def followed(network: Network, x: Tensor, logits: Tensor, *, ended: bool) -> Network | None:
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
    Network or None
        Which computes the same logits. None if there is none, or captum is not installed.
    """
    if find_spec("captum") is None or not network.listens or network.others:
        return None
    try:
        module = steps_of(network.module, ended=ended)
        found = replace(network, module=module, call=by_name(module))
        outputs = _tried(found, x)
    except Unfollowed:
        return None
    if outputs.shape != logits.shape:
        return None
    return found if torch.allclose(outputs, logits, 1e-4, 1e-4 * float(logits.abs().max())) else None


def _tried(network: Network, x: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            return _answer(network, x)
    except Exception as error:
        raise Unfollowed("what is no tensor") from error


class Weighed(nn.Module):
    """A network of steps whose outputs are summed up, each with a weight.

    Parameters
    ----------
    network : Network
        From `followed`.
    weights : (1, K) or (1, *space, K) tensor
        Of its outputs.
    one : (1, K) or (1, *space, K) tensor, optional
        Outputs that are taken for 0, so that the sum is 1: LRP multiplies by the sum what it finds.
    """

    def __init__(self, network: Network, weights: Tensor, one: Tensor | None = None) -> None:
        super().__init__()
        self.steps = network.module
        self._network, self._weights, self._one = network, weights, one

    def forward(self, x: Tensor) -> Tensor:
        output = channels_last(single(self._network(x), x.ndim).float())
        if self._one is not None:
            output = output - self._one
        return (self._weights * output).flatten(1).sum(1) + (self._one is not None)


def propagate(network: Network, ends: list[Tensor], weights: Tensor, rule: Rescale | Epsilon) -> Tensor:
    """Bring the score of one picture back to it by a rule.

    Parameters
    ----------
    network : Network
        From `followed`.
    ends : list of (1, H, W, C) or (1, Z, H, W, C) tensor
        The picture, and for `Rescale` the empty one. One alone, as captum's rule of max pooling mixes the
        pictures of a batch.
    weights : (1, K) or (1, *space, K) tensor
        Derivatives of the score by the outputs.

    Returns
    -------
    (1, H, W, C) or (1, Z, H, W, C) tensor

    Raises
    ------
    ModelError
        If the network has a step that the rule is not made for.
    """
    try:
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")  # captum announces that it sets hooks
            if isinstance(rule, Epsilon):
                return _lrp(network, ends[0], weights, rule.epsilon)
            x, start = ends
            return _deep_lift(network, x, start, weights)
    finally:
        for module in network.module.modules():
            for name in LEFT_BEHIND:
                module.__dict__.pop(name, None)


def _deep_lift(network: Network, x: Tensor, start: Tensor, weights: Tensor) -> Tensor:
    from captum.attr import DeepLift

    found = DeepLift(Weighed(network, weights)).attribute(_channels_first(x), _channels_first(start))
    return channels_last(found.detach())


def _lrp(network: Network, x: Tensor, weights: Tensor, epsilon: float) -> Tensor:
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    for step in _leaves(network.module):
        step.rule = EpsilonRule(_epsilon(step, epsilon))
    with torch.no_grad():
        logits = _answer(network, x)
    found = LRP(Weighed(network, weights * logits, logits)).attribute(_channels_first(x))
    return channels_last(found.detach())


def _leaves(module: Any) -> list[Any]:  # noqa: ANN401 - Modules
    return [step for step in module.modules() if not any(True for _ in step.children())]


def _epsilon(step: Any, epsilon: float) -> float:  # noqa: ANN401 - a Module
    """What is added to a step's outputs; none but sums are to lose anything."""
    if isinstance(step, WEIGHTED) or (isinstance(step, Step) and not step.moving):
        return epsilon
    if isinstance(step, (*RECTIFIERS, *MAX_POOLS, Apart, Squeezed, Step, Windows)):
        return NEARLY_NOTHING
    raise ModelError(
        f"the epsilon rule is for networks of ReLUs, and this one has {type(step).__name__}: choose DeepLIFT"
    )


def _answer(network: Network, x: Tensor) -> Tensor:
    return channels_last(single(network(_channels_first(x)), x.ndim).float())


def _channels_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1).clone(memory_format=torch.contiguous_format)
