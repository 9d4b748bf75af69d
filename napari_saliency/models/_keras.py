"""Keras models: opening them, reading off what they are, and answering for them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency._preprocessing import PREPROCESSINGS, Preprocessing
from napari_saliency._types import Array, Ending, ModelError, Rule, Targets
from napari_saliency.models._base import InputSpec, Layer, Model, ModelInfo, Question, Tap
from napari_saliency.models._beside import naming_the_file, settings_beside
from napari_saliency.models._keras_damage import first_line
from napari_saliency.models._keras_folding import Folding
from napari_saliency.models._keras_graph import Graph
from napari_saliency.models._keras_network import KerasNetwork, Network
from napari_saliency.models._settings import SettingError, Settings

if TYPE_CHECKING:
    from napari_saliency.models._sources import Source

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
NOT_THINNING = ("BatchNormalization", "LayerNormalization", "GroupNormalization")

# Batches beyond these get no better: pictures, and multiplications of all their forward passes.
MOST_PICTURES, BEST_WORK = 8, 12_000_000_000


class KerasModel(Model):
    """A Keras classifier.

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

    Raises
    ------
    ModelError
        If it does not take one picture and return one number for each class.
    """

    def __init__(self, network: Any, source: Source, settings: Settings, own: Settings | None = None) -> None:  # noqa: ANN401
        self._source, self._own, self._lock = source, own or Settings(), RLock()
        self._folding = Folding()
        self._others: dict[Rule | None, Graph] = {}  # by rule; None: as it is, with nothing folded
        self._kept: tuple[str, Array, Any] | None = None
        self._settings = self._merged(settings)
        with naming_the_file(source.path, settings):
            self._raw, self._network = network, _as_network(network, self._settings)
        self._shape = self._network.picture.shape
        with ThreadPoolExecutor(1) as beside:
            fingerprint = beside.submit(self._network.fingerprint, source.path)
            self._graph = self._trace()
            self._spelled = self._settle()
            self._fingerprint = fingerprint.result()
        with naming_the_file(source.path, settings):
            self.info = self._describe(self._settings)

    def with_settings(self, settings: Settings) -> KerasModel:
        merged = self._merged(settings)
        if any(
            getattr(merged, name) != getattr(self._settings, name) for name in ("input", "output", "others")
        ):
            return KerasModel(self._raw, self._source, settings, self._own)
        twin = copy.copy(self)
        with naming_the_file(self._source.path, settings):
            twin.info = self._describe(merged)
        return twin

    def scores(self, x: Array) -> Array:
        with self._lock:
            return self._graph.scores(x)

    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        with self._lock:
            graph = self._ruled(rule) if rule else self._graph
            return graph.gradient(x, targets.weights, targets.score)

    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        with self._lock:
            if layer not in self._graph.layers:
                raise ModelError(
                    f"{layer!r} is not a layer of {self.info.name} that a class activation map can be made of"
                )
            graph = self._other(None) if layer in self._graph.folded_away else self._graph
            activations = self._activations(graph, x, layer)
            gradients = graph.layer_gradient(x, activations, targets.weights, targets.score, layer)
            return Tap(activations.numpy().astype(np.float32), gradients.astype(np.float32))

    def _activations(self, graph: Graph, x: Array, layer: str) -> Any:  # noqa: ANN401 - a tensor
        """Keep the last layer's output, so that another class costs only what follows the layer."""
        if self._kept is None or self._kept[0] != layer or not np.array_equal(self._kept[1], x):
            self._kept = layer, x.copy(), graph.activations(x, layer)
        return self._kept[2]

    def _ruled(self, rule: Rule) -> Graph:
        if not self._graph.n_relus:
            raise ModelError(
                f"{self.info.name} has no ReLU, so {rule} backpropagation would be the plain gradient: use that"
            )
        return self._other(rule)

    def _other(self, rule: Rule | None) -> Graph:
        """Trace the network in another way, once."""
        if rule not in self._others:
            self._others[rule] = self._trace(folded=rule is not None, rule=rule, spelled=self._spelled)
        return self._others[rule]

    def _trace(self, *, folded: bool = True, **how: Any) -> Graph:  # noqa: ANN401 - Graph's own options
        try:
            recorded = partial(self._network.record, self._folding if folded else None, how.get("rule"))
            return Graph(recorded, self._shape, **how)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model could not be run on pictures of shape {self._shape}: {first_line(error)}"
            ) from error

    def _settle(self) -> Ending | None:
        """Tell logits from probabilities whose softmax or sigmoid was spelled by hand; None for logits."""
        if self._graph.settled:
            return None
        shape = [size or 64 for size in self._shape]
        picture = np.random.default_rng(0).random((1, *shape), np.float32)
        # Some so large that what is not squashed leaves 0..1; a softmax may overflow there, and says nothing then.
        scales = (1, -1, 30, -30, 1000, -1000)
        values = np.concatenate([self._graph.outputs(scale * picture) for scale in scales])
        values = values[np.isfinite(values).all(-1)]
        if not len(values) or values.min() < 0 or values.max() > 1 + 1e-3:
            return None
        spelled: Ending = "sigmoid"
        if values.shape[-1] > 1 and np.allclose(values.sum(-1), 1, atol=1e-3):
            spelled = "softmax"
        self._graph = self._trace(spelled=spelled)
        return spelled

    def _merged(self, settings: Settings) -> Settings:
        """What the user says, then what stands beside the file, then what the origin says."""
        if self._source.path:
            settings = settings.over(settings_beside(self._source.path))
        return settings.over(self._own)

    def _describe(self, settings: Settings) -> ModelInfo:
        guess, sure = self._network.guess(self._source)
        n_classes = self._graph.n_classes
        labels = _labels(settings, self._graph.n_outputs, n_classes)
        preprocessing = settings.resolve() or PREPROCESSINGS[guess]
        questions: list[Question] = [] if sure or settings.preprocessing else ["preprocessing"]
        questions += ["output"] if self._network.outputs else []
        questions += [] if settings.labels or self._source.kind == "keras" else ["labels"]
        height, width, channels = self._shape
        layers = tuple(Layer(name, *_sizes(shape)) for name, shape in self._graph.layers.items())
        return ModelInfo(
            source=str(self._source),
            name=self._source.name,
            input=InputSpec(
                height, width, channels, _fitting(preprocessing, channels), settings.fit or "crop"
            ),
            labels=labels,
            ending=self._graph.ending,
            logits=self._spelled != "softmax",
            layers=layers,
            cam_layer=_cam_layer(settings.layer, layers, self._network.kinds),
            questions=tuple(questions),
            notes=(
                *_notes(settings, guess if questions[:1] == ["preprocessing"] else "", self._spelled),
                *self._ports(),
            ),
            outputs=self._network.outputs,
            fingerprint=self._fingerprint,
            batch=max(1, min(MOST_PICTURES, BEST_WORK // max(self._graph.work, 1))),
        )

    def _ports(self) -> Iterator[str]:
        """Sentences on what goes in and comes out."""
        if self._network.outputs:
            yield (
                f"The model has the outputs {', '.join(self._network.outputs)}, and nobody said which one is meant: "
                f"this is {self._network.output}. Choose with output=NAME, or beside the file."
            )
        if self._network.picture.dtype.is_integer:
            yield (
                "The model takes whole numbers: pictures are rounded, and derivatives are those by the "
                "numbers it computes with."
            )


def _as_network(network: Any, settings: Settings) -> Network:  # noqa: ANN401
    return network.chosen(settings) if hasattr(network, "chosen") else KerasNetwork(network, settings)


def _fitting(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Refuse a preprocessing made for other channels than the model's."""
    given = {len(preprocessing.mean), len(preprocessing.std), 3 if preprocessing.bgr else 1}
    if given - {1, channels}:
        raise SettingError(
            "preprocessing",
            f"preprocessing {preprocessing.name!r} is for {max(given)} channels; the model has {channels}",
        )
    return preprocessing


def _cam_layer(chosen: str | None, layers: Sequence[Layer], kinds: dict[str, str]) -> str:
    """The last layer with space that is not a mere thinning out of another one."""
    if chosen:
        if chosen not in {layer.name for layer in layers}:
            raise SettingError(
                "layer",
                f"the model has no layer {chosen!r} with space; it has {', '.join(x.name for x in layers)}",
            )
        return chosen
    for layer in reversed(layers):
        kind = kinds.get(layer.name.rpartition("/")[2].partition(":")[0], "")
        if kind in NOT_THINNING or not any(word in kind for word in THINNING):
            return layer.name
    return ""


def _sizes(shape: tuple[int | None, int | None, int]) -> tuple[int, int, int]:
    """Sizes with 0 for those that depend on the picture."""
    return shape[0] or 0, shape[1] or 0, shape[2]


def _labels(settings: Settings, n_outputs: int, n_classes: int) -> tuple[str, ...]:
    """Name the classes; of a single output, one name is that of the class it is high for."""
    labels = settings.labels or tuple(f"class {i}" for i in range(n_classes))
    if len(labels) == n_outputs == 1 < n_classes:
        return f"not {labels[0]}", labels[0]
    if len(labels) != n_classes:
        raise SettingError(
            "labels",
            f"{len(labels)} class names are given for a model with {n_classes} classes: it needs one for each",
        )
    return labels


def _notes(settings: Settings, guess: str, spelled: Ending | None) -> Iterator[str]:
    if settings.note:
        yield settings.note
    if guess:
        yield f"Preprocessing is a guess ({guess}): say what the model was trained with."
    if spelled == "softmax":
        yield "The scores before the softmax cannot be had; log-probabilities stand in for logits."
    if spelled == "sigmoid":
        yield "Logits are computed back from the probabilities: they are inexact where those are nearly 0 or 1."
