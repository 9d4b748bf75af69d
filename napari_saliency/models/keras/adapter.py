"""Keras models: opening them, reading off what they are, and answering for them."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import NEEDS, Array, Epsilon, ReluRule, Rescale, Rule, Targets
from napari_saliency.models.base import Model, Randomised, Tap, stages
from napari_saliency.models.describe import Facts, describe
from napari_saliency.models.error_messages import reason
from napari_saliency.models.info import Layer
from napari_saliency.models.keras.cost import measure_cost, reporting_errors
from napari_saliency.models.keras.folding import Folding
from napari_saliency.models.keras.graph import Graph
from napari_saliency.models.keras.network import KerasNetwork, TraceableNetwork
from napari_saliency.models.keras.randomise import Weights, drawn, own_weights, weighted_layers
from napari_saliency.models.keras.tracing import all_layers
from napari_saliency.models.layer_view import describe_layer_view, find_layer
from napari_saliency.models.probe import Declared, Evidence, Place, probe
from napari_saliency.models.settings import Settings
from napari_saliency.models.sidecar import all_settings, naming_the_file

if TYPE_CHECKING:
    from napari_saliency.models.cost import ModelCost
    from napari_saliency.models.keras.rules import TracedRule
    from napari_saliency.models.settings import Task
    from napari_saliency.models.sources import Source

# Layers whose output is another layer's, thinned out or moved: not what a class activation map is made of.
THINNING = (
    "Pooling",
    "Dropout",
    "Padding",
    "Crop",
    "Resizing",
    "Random",
    "Reshape",
    "Permute",
    "InputLayer",
    "Rescaling",
    "Normalization",
)
ROUNDED = (
    "The model takes whole numbers: pictures are rounded, and derivatives are those with respect to the numbers that "
    "it computes with."
)
NOT_THINNING = ("BatchNormalization", "LayerNormalization", "GroupNormalization")


class KerasModel(Model):
    """A Keras network: a classifier, a segmentation or a regression.

    Parameters
    ----------
    network : keras.Model
        In inference mode whatever its own setting.
    source : Source
        Where it came from.
    settings : Settings
        What the user says about it.
    own : Settings
        What its origin says about it, where the user says nothing.
    trained : mapping of str to str
        What each output was trained as, a task; that of "" for the only one.

    Raises
    ------
    ModelError
        If it does not take one picture and return one number for each class, or each class and place.
    """

    def __init__(
        self,
        network: Any,  # noqa: ANN401 - a keras.Model
        source: Source,
        settings: Settings,
        own: Settings | None = None,
        trained: Mapping[str, str] | None = None,
    ) -> None:
        self._source, self._origin, self.lock = source, own or Settings(), RLock()
        self._own = self._origin  # and, once it is known which output is explained, what that was trained as
        self._trained = trained or {}
        self._folding: Folding | None = Folding()
        self._others: dict[TracedRule | None, Graph] = {}  # by rule; None: as it is, with nothing folded
        self._kept: tuple[str, Array, Any] | None = None
        self._viewed_layer = ""
        self._settings = self._merged(settings)
        with naming_the_file(source.path, settings):
            self._raw, self._network = network, _as_network(network, self._settings)
        output = (self._network.outputs or ("",))[0]
        self._own = self._origin.over(Settings(task=self._trained.get(output)))
        self._settings = self._merged(settings)
        self._shape = self._network.picture.shape
        with ThreadPoolExecutor(1) as in_thread:
            # Of weights that Python builds a network for, the file tells but half.
            file = source.path if source.kind == "keras" else None
            fingerprint = in_thread.submit(self._network.fingerprint, file)
            stated = all_settings(source, settings)
            self._graph = self._trace(quantity=stated.task == "regression")
            cost = measure_cost(self._graph, self._shape)
            self._facts = self._probe(stated, cost, fingerprint.result())
        quantity = self._facts.activation == "quantity"
        if self._facts.implicit or quantity != (self._graph.activation == "quantity"):
            self._graph = self._trace(implicit=self._facts.implicit, quantity=quantity)
        with naming_the_file(source.path, settings):
            self.info = describe(source, self._settings, self._facts)

    def with_settings(self, settings: Settings) -> KerasModel:
        merged = self._merged(settings)
        built_by = ("input", "output", "task")
        if any(getattr(merged, name) != getattr(self._settings, name) for name in built_by):
            return KerasModel(self._raw, self._source, settings, self._origin, self._trained)
        twin = copy.copy(self)
        # What was kept is forgotten, as the same input may mean something else.
        twin._viewed_layer, twin._kept, twin._score_cache = "", None, None
        with naming_the_file(self._source.path, settings):
            twin.info = describe(self._source, merged, self._facts)
        return twin

    def view_layer(self, layer: str) -> KerasModel:
        whole = self.info.outer or self.info
        result, twin = find_layer(whole, layer), copy.copy(self)
        twin._viewed_layer, twin._kept, twin._score_cache = layer, None, None
        with self.lock:
            twin.info = describe_layer_view(whole, result, self._graph.view_layer(layer).layers)
        return twin

    def scores(self, x: Array) -> Array:
        with self.lock, reporting_errors(x, self._shape):
            return self._seen(self._graph).scores(x)

    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        if isinstance(rule, (Rescale, Epsilon)):
            return self._propagated(x, targets, rule)
        with self.lock, reporting_errors(x, self._shape):
            graph = self._ruled(rule) if rule else self._seen(self._graph)
            return graph.gradient(x, targets.weights, targets.score)

    def _propagated(self, x: Array, targets: Targets, rule: Rescale | Epsilon) -> tuple[Array, Array]:
        """Multipliers by a rule of which each operation knows something; see `gradient`."""
        self.check_rule(rule, targets)
        count, weights = len(x), targets.weights
        with self.lock, reporting_errors(x, self._shape):
            graph = self._seen(self._other(rule.needs))
            if isinstance(rule, Epsilon):
                return graph.gradient(x, weights, epsilon=rule.epsilon)
            both, apart = np.concatenate([x, rule.start]), np.concatenate([weights, -weights])
            values, multipliers = graph.gradient(both, apart)
        return values[:count] + values[count:], multipliers[:count]

    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        with self.lock, reporting_errors(x, self._shape):
            graph = self._seen(self._graph)
            if layer not in graph.layers:
                raise self.no_layer(layer)
            if layer in graph.folded_away:
                graph = self._seen(self._other(None))
            activations = self._activations(graph, x, layer)
            gradients = graph.layer_gradient(x, activations, targets.weights, targets.score, layer)
            return Tap(activations.numpy().astype(np.float32), gradients.astype(np.float32))

    def _seen(self, graph: Graph) -> Graph:
        """Return the graph, or its view of the layer that is looked at."""
        return graph.view_layer(self._viewed_layer) if self._viewed_layer else graph

    def cascade(self, steps: int, seed: int = 0) -> Generator[Randomised]:
        if "cascade" not in self.info.gives:
            raise self.no_cascade()
        with self.lock:
            graph = self._other(None)
            seen = self._seen(graph)
        layers = [
            layer
            for layer in weighted_layers(self._raw, graph.called)
            if any(map(seen.depends_on, own_weights(layer)))
        ]
        weights: Weights = {}
        wanted = stages(len(layers), steps)
        for done, layer in enumerate(reversed(layers), 1):
            weights |= drawn(layer, seed, done)
            if done in wanted:
                yield Randomised(
                    layer.name, done, len(layers), RandomKeras(self._unfolded(graph), dict(weights))
                )

    def _unfolded(self, graph: Graph) -> KerasModel:
        """Return the same model without folded weights, which are not read again when others change."""
        twin = copy.copy(self)
        twin._graph, twin._folding, twin._others = graph, None, {None: graph}
        twin._kept = twin._score_cache = None
        return twin

    def _activations(self, graph: Graph, x: Array, layer: str) -> Any:  # noqa: ANN401 - a tensor
        """Keep the last layer's output, so that another class costs only what follows the layer."""
        if self._kept is None or self._kept[0] != layer or not np.array_equal(self._kept[1], x):
            self._kept = layer, x.copy(), graph.activations(x, layer)
        return self._kept[2]

    def _ruled(self, rule: ReluRule) -> Graph:
        if not self._seen(self._graph).n_relus:
            raise self.no_relu(rule)
        return self._seen(self._other(rule))

    def _other(self, rule: TracedRule | None) -> Graph:
        """Trace the network in another way, once; with nothing folded where each layer's sums are asked for."""
        if rule not in self._others:
            self._others[rule] = self._trace(
                folded=rule not in (None, "epsilon"),
                rule=rule,
                implicit=self._facts.implicit,
                quantity=self._graph.activation == "quantity",
            )
        return self._others[rule]

    def _trace(self, *, folded: bool = True, **how: Any) -> Graph:  # noqa: ANN401 - Graph's own options
        try:
            recorded = partial(self._network.record, self._folding if folded else None, how.get("rule"))
            return Graph(recorded, self._shape, **how)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model could not be run on images of shape {self._shape}: {reason(error)}"
            ) from error

    def _merged(self, settings: Settings) -> Settings:
        """Merge what the user says with the sidecar files, then with what the origin says."""
        return all_settings(self._source, settings).over(self._own)

    def _probe(self, settings: Settings, cost: ModelCost, fingerprint: str) -> Facts:
        """Find out what the network returns; what it takes, it says."""
        has_weights = isinstance(self._network, KerasNetwork) and any(map(own_weights, all_layers(self._raw)))
        probed = ProbedGraph(self._graph, self._network, self._source, cost, has_weights, self._own.task)
        tried = tuple(size or 64 for size in self._shape)
        place = Place(self._shape, tried, cost.multiple, known=True)
        return probe(probed, place, settings, fingerprint).facts


class RandomKeras(Model):
    """A network with other weights, which it has during calls alone.

    Not every network can be copied: classes of one's own say nothing of how they were made. So there is one network,
    whose weights are others for the time of each call, under the lock that all its calls take.

    Parameters
    ----------
    model : KerasModel
        Of a graph in which nothing is folded, as folded weights are not read again.
    weights : Weights
        Those that are others.
    """

    def __init__(self, model: KerasModel, weights: Weights) -> None:
        self._model, self._weights, self.info = model, weights, model.info

    def scores(self, x: Array) -> Array:
        with self._exchanged():
            return self._model.scores(x)

    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        with self._exchanged():
            return self._model.gradient(x, targets, rule)

    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        with self._exchanged():
            return self._model.tap(x, targets, layer)

    def with_settings(self, settings: Settings) -> RandomKeras:
        return RandomKeras(self._model.with_settings(settings), self._weights)

    @contextmanager
    def _exchanged(self) -> Iterator[None]:
        with self._model.lock:
            own = [(variable, variable.numpy()) for variable, _ in self._weights.values()]
            try:
                for variable, values in self._weights.values():
                    variable.assign(values)
                yield
            finally:
                for variable, values in own:
                    variable.assign(values)


@dataclass(frozen=True, eq=False)
class ProbedGraph:
    """A traced network as the prober sees it: nearly all is read off its graph.

    Attributes
    ----------
    graph : Graph
        The network as it was traced.
    network : TraceableNetwork
        What was traced.
    source : Source
        Where it came from.
    cost : ModelCost
        What a pixel costs.
    has_weights : bool
        Whether there are any that can be exchanged: a SavedModel's are not known by their layers.
    trained : {"classification", "regression"}, optional
        What the output was trained as.
    """

    graph: Graph
    network: TraceableNetwork
    source: Source
    cost: ModelCost
    has_weights: bool
    trained: Task | None

    @property
    def declared(self) -> Declared:
        *sizes, channels = self.network.picture.shape
        return Declared(tuple(sizes), channels)

    def run(self, x: Array) -> Array:
        return self.graph.outputs(x)

    def examine(self, x: Array, *, quantity: bool) -> Evidence[ProbedGraph]:
        # Nothing is run: the graph shows all of it, and was traced for quantities where they are.
        graph, network = self.graph, self.network
        guess, sure = network.guess(self.source)
        layers = graph.layers.items()
        rules, lacking = graph.rules()
        facts = Facts(
            n_outputs=graph.n_outputs,
            space=graph.space,
            guess=guess,
            sure=sure,
            layers=tuple(
                Layer(name, tuple(size or 0 for size in shape[:-1]), shape[-1] or 0) for name, shape in layers
            ),
            thinned=frozenset(filter(self._is_thinned, graph.layers)),
            inputs=network.inputs,
            outputs=network.outputs,
            work=self.cost.work,
            memory=self.cost.memory,
            notes=(ROUNDED,) if network.picture.dtype.is_integer else (),
            gives=frozenset((*NEEDS, *rules, "cascade") if self.has_weights else (*NEEDS, *rules)),
            unruled=lacking,
        )
        activation = graph.activation if graph.has_logits else None
        is_linear = graph.recognised and not graph.has_logits
        return Evidence(self, facts, activation, is_linear, zeroed=network.zeroed, trained=self.trained)

    def _is_thinned(self, layer: str) -> bool:
        kind = self.network.kinds.get(layer.rpartition("/")[2].partition(":")[0], "")
        return kind not in NOT_THINNING and any(word in kind for word in THINNING)


def _as_network(network: Any, settings: Settings) -> TraceableNetwork:  # noqa: ANN401
    return network.chosen(settings) if hasattr(network, "chosen") else KerasNetwork(network, settings)
