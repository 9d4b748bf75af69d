"""Any function of pictures as a model: its scores, and, where it brings them, its derivatives."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.core.types import Epsilon, Rescale
from napari_saliency.models.base import Model, Tap, no_classifier
from napari_saliency.models.describe import Facts, describe
from napari_saliency.models.probabilities import SMALLEST, SMALLEST_REST, as_logits, probabilities
from napari_saliency.models.probe import Declared, Evidence, find_place, parts, probe

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, Needs, OutputActivation, Rule, Score, Targets
    from napari_saliency.models.settings import Settings
    from napari_saliency.models.sources import Source


class CallableModel(Model):
    """A function of pictures.

    Parameters
    ----------
    function : callable
        Takes (N, *size, C) float32, where size is (H, W) or (Z, H, W), returns (N, K) or (N, *space, K). Its
        attribute ``gradient``, if there is one, takes the same and weights of the outputs' shape, and
        returns the weighted outputs (N,) and their derivatives (N, *size, C).
    source : Source
        Where it came from.
    settings : Settings
        What the user says about it.

    Raises
    ------
    ModelError
        If it does not return one number for each class, or each class and place.

    Notes
    -----
    Outputs that are not negative and have the sum 1 are probabilities, whose logits nobody can see;
    all others are taken for logits.
    """

    def __init__(self, function: Callable[[Array], Any], source: Source, settings: Settings) -> None:
        self._function, self._source, self._lock = function, source, RLock()
        self._gradient = getattr(function, "gradient", None)
        self._read(settings)

    def with_settings(self, settings: Settings) -> CallableModel:
        twin = copy.copy(self)
        twin._score_cache = None  # the same outputs may mean something else
        twin._read(settings)
        return twin

    def scores(self, x: Array) -> Array:
        with self._lock:
            outputs = np.concatenate([self._outputs(part)[:count] for part, count in parts(x, self._batch)])
        return as_logits(outputs, self._facts)

    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        if self._gradient is None:
            raise ModelError(
                f"{self.info.name} is a function without derivatives, so it can only be run forward: choose a "
                "method that needs scores alone, or give the function an attribute 'gradient'"
            )
        if isinstance(rule, (Rescale, Epsilon)):
            self.check_rule(rule, targets)
        elif rule:
            raise ModelError(f"{self.info.name} shows no ReLU, so there is no {rule} backpropagation of it")
        weights = (rows for rows, _ in parts(targets.weights, self._batch))
        with self._lock:
            results = [
                [rows[:count] for rows in self._derive(part, own, targets.score)]
                for (part, count), own in zip(parts(x, self._batch), weights, strict=True)
            ]
        values, gradients = zip(*results, strict=True)
        return np.concatenate(values), np.concatenate(gradients)

    def _derive(self, x: Array, weights: Array, score: Score) -> tuple[Array, Array]:
        """Return weighted scores and their derivatives, of as many pictures as the function takes at once."""
        assert self._gradient is not None
        outputs = self._outputs(x)
        logits = as_logits(outputs, self._facts)
        value, slopes = _weigh(logits, weights, score, self.info.activation)
        _, gradients = self._gradient(x, self._back(outputs, slopes))
        result = np.asarray(gradients, np.float32)
        if result.shape != x.shape:
            raise ModelError(f"the gradient of {self.info.name} has the shape {result.shape}, not {x.shape}")
        return np.asarray(value, np.float32), result

    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        raise ModelError(
            f"{self.info.name} is a function, whose layers cannot be seen: {quote(layer)} is not one of them"
        )

    @property
    def declared(self) -> Declared:
        """See `Probed`: nothing is known of a function before it is called."""
        return Declared((None, None))

    def run(self, x: Array) -> Array:
        """See `Probed`."""
        return self._outputs(x)

    def examine(self, x: Array, *, quantity: bool) -> Evidence[CallableModel]:
        """See `Probed`; that a function always answers alike is left to its author."""
        outputs = self._outputs(x)
        gives: tuple[Needs, ...] = ("scores", "gradient") if self._gradient else ("scores",)
        return Evidence(
            self, Facts(n_outputs=outputs.shape[-1], space=outputs.shape[1:-1], gives=frozenset(gives))
        )

    def _read(self, settings: Settings) -> None:
        result = probe(*find_place([self], settings), settings, _fingerprint(self._function))
        self._facts, self._batch = result.facts, result.batch
        self.info = describe(self._source, settings, self._facts)

    def _outputs(self, x: Array) -> Array:
        try:
            outputs = np.asarray(self._function(x), np.float32)
        except (Exception, SystemExit) as error:
            given = f"{type(error).__name__}: {error}"
            raise ModelError(
                f"{self._source.name} could not be run on images of shape {x.shape[1:]}: {given}"
            ) from error
        if outputs.ndim not in (2, x.ndim) or len(outputs) != len(x):
            raise ModelError(no_classifier(f"of shape {outputs.shape} for {len(x)} pictures"))
        return outputs

    def _back(self, outputs: Array, slopes: Array) -> Array:
        """Bring derivatives by the logits back to the function's outputs."""
        implicit = self._facts.implicit
        if self._facts.n_classes > self._facts.n_outputs:
            slopes = slopes[..., 1:] - slopes[..., :1]
        if implicit:
            some = np.clip(outputs, SMALLEST, 1)
            slopes = slopes / (some if implicit == "softmax" else some * np.maximum(1 - some, SMALLEST_REST))
        return np.asarray(slopes, np.float32)


def _weigh(logits: Array, weights: Array, score: Score, activation: OutputActivation) -> tuple[Array, Array]:
    """Weighted scores (N,), and their derivatives by the logits."""
    axes = tuple(range(1, logits.ndim))
    if score == "logit":
        return (weights * logits).sum(axes), weights
    p, alone = probabilities(logits, activation), activation == "sigmoid"
    if score == "probability":
        mean = p * weights if alone else (p * weights).sum(-1, keepdims=True)
        return (weights * p).sum(axes), p * (weights - mean)
    others = np.logaddexp(0, logits) if alone else np.logaddexp.reduce(logits, -1, keepdims=True)
    total = weights if alone else weights.sum(-1, keepdims=True)
    value: Array = (weights * (logits - others)).sum(axes)
    return value, weights - p * total


def _fingerprint(function: Callable[..., Any]) -> str:
    """SHA-256 over the function's text; what it calls is not seen."""
    try:
        text = inspect.getsource(function)
    except (OSError, TypeError):
        text = repr(type(function))
    return hashlib.sha256(text.encode()).hexdigest()
