"""Keras models: opening them, reading off what they are, and answering for them."""

from __future__ import annotations

import copy
import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from napari_saliency._preprocessing import PREPROCESSINGS, Preprocessing
from napari_saliency._types import Array, Ending, ModelError, Rule, Targets
from napari_saliency.models._base import InputSpec, Layer, Model, ModelInfo, Question, Tap
from napari_saliency.models._keras_damage import first_line
from napari_saliency.models._keras_folding import Folding
from napari_saliency.models._keras_graph import Graph
from napari_saliency.models._keras_recording import all_layers, record
from napari_saliency.models._settings import Settings
from napari_saliency.models._sources import Source, family

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
        self._network, self._source, self._own, self._lock = network, source, own or Settings(), RLock()
        self._folding = Folding()
        self._others: dict[Rule | None, Graph] = {}  # by rule; None: as it is, with nothing folded
        self._kept: tuple[str, Array, Any] | None = None
        self._shape = _picture_shape(network)
        with ThreadPoolExecutor(1) as beside:
            fingerprint = beside.submit(_fingerprint, network, source.path)
            self._graph = self._trace()
            self._spelled = self._settle()
            self._fingerprint = fingerprint.result()
        self.info = self._describe(settings)

    def with_settings(self, settings: Settings) -> KerasModel:
        twin = copy.copy(self)
        twin.info = self._describe(settings)
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
            return Graph(
                partial(record, self._network, self._folding if folded else None), self._shape, **how
            )
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

    def _describe(self, settings: Settings) -> ModelInfo:
        if self._source.path:
            settings = settings.over(Settings.beside(self._source.path))
        settings = settings.over(self._own)
        guess, sure = _guess_preprocessing(self._network, self._source)
        n_classes = self._graph.n_classes
        labels = _labels(settings, self._graph.n_outputs, n_classes)
        preprocessing = settings.resolve() or PREPROCESSINGS[guess]
        questions: list[Question] = [] if sure or settings.preprocessing else ["preprocessing"]
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
            cam_layer=_cam_layer(settings.layer, layers, self._kinds),
            questions=tuple(questions),
            notes=tuple(_notes(settings, guess if questions[:1] == ["preprocessing"] else "", self._spelled)),
            fingerprint=self._fingerprint,
            batch=max(1, min(MOST_PICTURES, BEST_WORK // max(self._graph.work, 1))),
        )

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """Class name of each layer by its own name."""
        return {layer.name: type(layer).__name__ for layer in all_layers(self._network)}


def _picture_shape(network: Any) -> tuple[int | None, int | None, int]:  # noqa: ANN401 - Keras has no types
    built = (network.get_build_config() or {}).get("input_shape")  # subclassed models know no other shape
    shape = getattr(network, "input_shape", built)
    if shape is None:
        raise ModelError("the model does not say what it takes: call it once on a picture, then save it")
    if isinstance(shape, dict):
        shape = list(shape.values())
    if isinstance(shape[0], (tuple, list)):
        if len(shape) != 1:
            raise ModelError(f"the model takes {len(shape)} inputs; only models of one picture open here")
        shape = shape[0]
    if any(getattr(layer, "data_format", "") == "channels_first" for layer in all_layers(network)):
        raise ModelError("the model takes the channels first; only those that take them last open here")
    if len(shape) != 4 or not shape[3]:
        raise ModelError(
            f"the model takes inputs of shape {tuple(shape)}; a picture's is (pictures, height, width, channels)"
        )
    return shape[1], shape[2], shape[3]


def _fingerprint(network: Any, path: Path | None) -> str:  # noqa: ANN401 - Keras has no types
    """SHA-256 over architecture and weights; of a .keras file as they stand there, which takes no time."""
    digest = hashlib.sha256()
    if path is not None and path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as archive:
            for name in sorted({*archive.namelist()} - {"metadata.json"}):  # which holds the date
                with archive.open(name) as part:
                    while block := part.read(1 << 20):
                        digest.update(block)
    else:
        digest.update(network.to_json().encode() if hasattr(network, "to_json") else b"")
        for variable in network.variables:
            digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def _guess_preprocessing(network: Any, source: Source) -> tuple[str, bool]:  # noqa: ANN401
    """Preprocessing, and whether it can be known: scaled inside, or by the application's name."""
    if source.kind == "keras":
        return family(source.name) or "none", True
    for layer in all_layers(network):
        if type(layer).__name__ == "Rescaling":
            return ("unit" if np.max(layer.scale) > 0.1 else "none"), True
        if type(layer).__name__ == "Normalization":
            return ("unit" if np.max(np.abs(layer.mean)) <= 1 else "none"), True
    names = [network.name, *(layer.name for layer in network.layers)]
    return next((mode for mode in map(family, names) if mode), "unit"), False


def _fitting(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Refuse a preprocessing made for other channels than the model's."""
    given = {len(preprocessing.mean), len(preprocessing.std), 3 if preprocessing.bgr else 1}
    if given - {1, channels}:
        raise ModelError(
            f"preprocessing {preprocessing.name!r} is for {max(given)} channels; the model has {channels}"
        )
    return preprocessing


def _cam_layer(chosen: str | None, layers: Sequence[Layer], kinds: dict[str, str]) -> str:
    """The last layer with space that is not a mere thinning out of another one."""
    if chosen:
        if chosen not in {layer.name for layer in layers}:
            raise ModelError(
                f"the model has no layer {chosen!r} with space; it has {', '.join(x.name for x in layers)}"
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
        raise ModelError(f"{len(labels)} class names are given for a model with {n_classes} classes")
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
