"""PyTorch models: answering for modules, TorchScript and exported graphs, all in the same way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_saliency.core.types import Epsilon, Rescale
from napari_saliency.models.base import Model, Randomised, Tap, stages
from napari_saliency.models.describe import describe
from napari_saliency.models.error_messages import hinting
from napari_saliency.models.layer_view import describe_layer_view, find_layer
from napari_saliency.models.probe import parts
from napari_saliency.models.sidecar import all_settings, naming_the_file
from napari_saliency.models.timeout import with_timeout
from napari_saliency.models.torch.autograd import Pass, channels_last, logarithms, weigh
from napari_saliency.models.torch.files import as_network, open_file, with_weights
from napari_saliency.models.torch.probe import (
    as_tensor,
    channels_of,
    fingerprint,
    forward,
    probe_torch,
    start,
)
from napari_saliency.models.torch.randomise import copied, redraw, weighted_layers
from napari_saliency.models.torch.rules import Recorder, Reference, Relevance, Rescaling, apply

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, Rule, Targets
    from napari_saliency.models.safety import Checked
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.sources import Source
    from napari_saliency.models.torch.network import TorchNetwork

Tensor = Any


class Kept(NamedTuple):
    """The last pass in which a layer was looked at: another class costs only what follows the layer."""

    layer: str
    x: Array
    done: Pass


class TorchModel(Model):
    """A PyTorch network: a classifier, a segmentation or a regression.

    Parameters
    ----------
    network : TorchNetwork
        Takes (N, C, H, W) or (N, C, Z, H, W) and returns (N, K), or (N, K, *space).
    source : Source
        Where it came from.
    settings : Settings
        What the user says about it.

    Raises
    ------
    ModelError
        If it does not take one picture and return one number for each class, or each class and place.
    """

    def __init__(self, network: TorchNetwork, source: Source, settings: Settings) -> None:
        self._network, self._source, self._lock = network, source, RLock()
        self._kept: Kept | None = None
        self._viewed_layer = ""
        self._fingerprint = fingerprint(network)
        self._applied: tuple[object, ...] = ()
        self._read(settings)

    def with_settings(self, settings: Settings) -> TorchModel:
        twin = copy.copy(self)
        twin._kept, twin._score_cache, twin._viewed_layer = None, None, ""
        twin._read(settings)
        return twin

    def view_layer(self, layer: str) -> TorchModel:
        whole = self.info.outer or self.info
        result, twin = find_layer(whole, layer), copy.copy(self)
        twin._viewed_layer, twin._kept, twin._score_cache = layer, None, None
        names = [one.name for one in whole.layers]
        twin.info = describe_layer_view(whole, result, names[: names.index(layer)])
        return twin

    def scores(self, x: Array) -> Array:
        with self._lock, hinting(self.info.input.shape):
            return _joined(self._scores(part)[:count] for part, count in parts(x, self._probe.batch))

    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        def answer(part: Array, weights: Array) -> tuple[Array, Array]:
            done = self._start(part)
            if relus and not done.apply(relus):
                raise self.no_relu(relus)
            value, cotangents = self._weigh(done, weights, targets)
            return value, _array(done.derivative(cotangents))

        if isinstance(rule, (Rescale, Epsilon)):
            return self._propagated(x, targets, rule)
        relus = rule
        with self._lock, hinting(self.info.input.shape):
            return self._in_parts(answer, x, targets)

    def _propagated(self, x: Array, targets: Targets, rule: Rescale | Epsilon) -> tuple[Array, Array]:
        """Multipliers by a rule of which each operation knows something; see `gradient`."""
        self.check_rule(rule, targets)

        def answer(part: Array, weights: Array, start: Array | None = None) -> tuple[Array, Array]:
            reference = Reference()
            if start is not None:
                nothing, _ = self._weigh(self._start(start, Recorder(reference)), weights, targets)
            take = Relevance(rule.epsilon) if isinstance(rule, Epsilon) else Rescaling(reference)
            recorder = Recorder(take)
            done = self._start(part, recorder)
            apply(done, recorder)
            value, cotangents = self._weigh(done, weights, targets)
            multipliers = _array(done.derivative(cotangents))
            return value if start is None else value - nothing, multipliers

        with self._lock, hinting(self.info.input.shape):
            return self._in_parts(answer, x, targets, *([rule.start] if isinstance(rule, Rescale) else []))

    def _start(self, part: Array, recorder: Recorder | None = None) -> Pass:
        """Run the network so that derivatives can be taken."""
        network = recorder.on(self._running) if recorder else self._running
        return start(network, part, raw=self._is_quantity, viewed_layer=self._viewed_layer)

    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        known = {one.name for one in self.info.layers} if self._viewed_layer else self._probe.facts.names
        if layer not in known:
            raise self.no_layer(layer)

        def answer(part: Array, weights: Array) -> tuple[Array, Array]:
            done = self._looking_at(layer, part)
            _, cotangents = self._weigh(done, weights, targets)
            gradients = done.derivative(cotangents, done.watch.layers[layer].edge)
            return _channels_last(done.watch.kept[layer]), _channels_last(gradients)

        with self._lock, hinting(self.info.input.shape):
            return Tap(*self._in_parts(answer, x, targets))

    def cascade(self, steps: int, seed: int = 0) -> Generator[Randomised]:
        if "cascade" not in self.info.gives:
            raise self.no_cascade()
        with self._lock:
            network = copied(self._running)
        shape = [size or 64 for size in self._probe.facts.shape]
        pictures = np.zeros((self._probe.batch or 1, *shape), np.float32)
        layers = weighted_layers(network, pictures, self._viewed_layer)
        wanted = stages(len(layers), steps)
        for done, (name, layer) in enumerate(reversed(layers), 1):
            redraw(layer, seed + done)
            if done in wanted:
                yield Randomised(name, done, len(layers), self._with_network(network))

    def _with_network(self, network: TorchNetwork) -> TorchModel:
        twin = copy.copy(self)
        probed = replace(self._probe.network, network=network)
        twin._network, twin._probe = network, self._probe._replace(network=probed)
        twin._lock, twin._kept, twin._score_cache = RLock(), None, None
        return twin

    def _read(self, settings: Settings) -> None:
        """Describe the model; find out again what it takes if that is said now, or said no longer."""
        whole = all_settings(self._source, settings)
        given = whole.size, whole.channels, whole.task, whole.input, whole.output
        with naming_the_file(self._source.path, settings):
            if given != self._applied:
                with self._lock:
                    found_out = partial(probe_torch, self._network, whole, self._fingerprint)
                    self._probe = with_timeout(found_out, loops=self._network.loops)
                    self._applied = given
            self.info = describe(self._source, whole, self._probe.facts)

    @property
    def _running(self) -> TorchNetwork:
        """The network with the input and the output that are meant."""
        return self._probe.network.network

    @property
    def _is_quantity(self) -> bool:
        """Return whether the outputs are quantities, to be taken as they are."""
        return self._probe.facts.activation == "quantity"

    def _scores(self, part: Array) -> Array:
        if self._viewed_layer:
            return _array(channels_of(self._running, part, self._viewed_layer))
        return _array(self._as_logits(forward(self._running, part, self._probe.network.which)))

    def _weigh(self, done: Pass, weights: Array, targets: Targets) -> tuple[Array, Tensor]:
        """Return the value of each target, and the derivatives with respect to what the pass ends in."""
        score = targets.score
        value, cotangents = weigh(
            done.logits, as_tensor(self._network, weights), score, self.info.activation, self._as_logits
        )
        return _array(value), cotangents

    def _as_logits(self, outputs: Tensor) -> Tensor:
        facts = self._probe.facts
        if self._viewed_layer:
            return outputs
        if facts.implicit:
            outputs = logarithms(outputs, facts.implicit)
        # One output tells two classes apart.
        return outputs if facts.n_outputs == facts.n_classes else outputs * outputs.new_tensor([[-1.0, 1.0]])

    def _looking_at(self, layer: str, part: Array) -> Pass:
        if self._kept is None or self._kept.layer != layer or not np.array_equal(self._kept.x, part):
            self._kept = None  # its memory is wanted for the next one
            raw = self._is_quantity
            done = start(self._running, part, layer, raw=raw, viewed_layer=self._viewed_layer)
            self._kept = Kept(layer, part.copy(), done)
        return self._kept.done

    def _in_parts(
        self, answer: Callable[..., tuple[Array, Array]], x: Array, targets: Targets, *more: Array
    ) -> tuple[Array, Array]:
        """Ask of so many pictures at once as the network takes, of each with its rows of all the rest."""
        rest = [[part for part, _ in parts(rows, self._probe.batch)] for rows in (targets.weights, *more)]
        result = [
            [array[:count] for array in answer(part, *rows)]
            for (part, count), *rows in zip(parts(x, self._probe.batch), *rest, strict=True)
        ]
        first, second = zip(*result, strict=True)
        return _joined(first), _joined(second)


def open_source(
    source: Source, settings: Settings, *, trust: bool = False, checked: Checked | None = None
) -> TorchModel:
    """Open a file of PyTorch's that was looked through; programs are refused, so nobody need trust it.

    Raises
    ------
    ModelError
        If it cannot be opened; the message says why and what to do. The name is left to the caller.
    """
    assert checked is not None
    return TorchModel(open_file(checked), source, settings)


def open_module(module: Any, source: Source, settings: Settings) -> TorchModel:  # noqa: ANN401 - a Module
    """Open a network that Python has built, with weights from a file if the source names one."""
    network = as_network(module)
    if source.path is not None:
        with_weights(network, source.path)
    return TorchModel(network, source, settings)


def _channels_last(tensor: Tensor) -> Array:
    return np.ascontiguousarray(_array(channels_last(tensor)))


def _array(tensor: Tensor) -> Array:
    return tensor.detach().float().cpu().numpy()  # type: ignore[no-any-return]


def _joined(parts: Any) -> Array:  # noqa: ANN401 - arrays, or an iterator of them
    return np.concatenate([*parts])
