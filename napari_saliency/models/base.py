"""The contract that every framework's adapter fulfils."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.core.placement import share
from napari_saliency.core.types import Array, Prediction
from napari_saliency.models.cost import check_memory
from napari_saliency.models.layer_view import no_channels
from napari_saliency.models.probabilities import as_score, log_probabilities, probabilities
from napari_saliency.models.score_cache import ScoreCache

if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Sequence

    from napari_saliency.core.placement import Region
    from napari_saliency.core.types import Epsilon, ReluRule, Rescale, Rule, Targets
    from napari_saliency.models.info import ModelInfo
    from napari_saliency.models.settings import Settings


def no_classifier(output: str, dense: str = "(pictures, height, width, classes)") -> str:
    """Say that an output is none that can be explained.

    Parameters
    ----------
    output : str
        As in ``of shape (8, 20, 6)``.
    dense : str
        Shape of a segmentation's.
    """
    return (
        f"the model's output {output} is neither a classifier's, which is (pictures, classes), nor a "
        f"segmentation's, {dense}: detectors and models of sequences cannot be explained"
    )


class Tap(NamedTuple):
    """A layer's output and the score's gradient with respect to it, each (N, h, w, C) or (N, z, y, x, C)."""

    activations: Array
    gradients: Array


class Randomised(NamedTuple):
    """A network with random weights in its upper layers.

    Attributes
    ----------
    layer : str
        The lowest of them.
    done, total : int
        How many layers are random, of all that have weights.
    model : Model
        Good until the next one is asked for: one copy of the network serves them all.
    """

    layer: str
    done: int
    total: int
    model: Model


def stages(count: int, steps: int) -> list[int]:
    """Return how many of ``count`` layers are random at each of some steps, from one to all."""
    return sorted({round(share) for share in np.linspace(1, count, min(steps, count)).tolist()})


class Model(ABC):
    """A classifier. Pictures are (N, H, W, C) float32, volumes (N, Z, H, W, C), already preprocessed.

    All gradients in this project come out of `gradient` and `tap`: classes, contrasts and other
    weightings differ only in ``targets.weights``, probability and logit only in ``targets.score``.
    Instances may be called from several threads; calls then run one after the other.
    """

    info: ModelInfo
    _score_cache: ScoreCache | None = None

    @abstractmethod
    def scores(self, x: Array) -> Array:
        """Return logits (N, K), or (N, *space, K); log-probabilities where ``info.logits`` is False."""

    @abstractmethod
    def gradient(self, x: Array, targets: Targets, rule: Rule | None = None) -> tuple[Array, Array]:
        """Return the value of each target and its derivative with respect to each picture.

        Parameters
        ----------
        x : (N, H, W, C) float32
            Preprocessed pictures.
        targets : Targets
            N rows of weights, of the scores' shape.
        rule : {"guided", "deconvnet"}, Rescale or Epsilon, optional
            How gradients pass nonlinearities; without it, by the derivative.

        Returns
        -------
        (N,) float32, (N, H, W, C) float32
            With `Rescale`, the value is less that of the reference image. `Rescale` and `Epsilon` give
            multipliers: times ``x - start``, or times ``x``, they are what each number contributes to the value.

        Raises
        ------
        ModelError
            If ``rule`` is given and the network has no ReLU that it could apply to; for `Rescale` and `Epsilon`,
            if ``info.gives`` does not name them, or another score than the logit is asked for.
        """

    @abstractmethod
    def tap(self, x: Array, targets: Targets, layer: str) -> Tap:
        """Return a layer's output and the derivative of each target with respect to it.

        Raises
        ------
        ModelError
            If the layer is not one of ``info.layers``.
        """

    @abstractmethod
    def with_settings(self, settings: Settings) -> Model:
        """Return the same network described by other settings, without loading it again."""

    def view_layer(self, layer: str) -> Model:
        """Look into a layer: the same network, which answers with that layer's channels, nothing loaded again.

        All that explains a class explains a channel then: its mean over the layer's places, or over those
        of a region, so that one place is a unit.

        Parameters
        ----------
        layer : str
            One of ``info.layers``; of an ONNX file the name of any tensor.

        Returns
        -------
        Model
            Its ``info`` has the layer's channels for labels, as in ``block5_conv3[12]``, which are quantities,
            and the layer's places for ``space``.

        Raises
        ------
        ModelError
            If the layer cannot be looked at.
        """
        raise no_channels(self.info, layer, ())

    def cascade(self, steps: int, seed: int = 0) -> Generator[Randomised]:
        """Make the weights of a copy random, layer after layer from the output down (Adebayo et al. 2018).

        Parameters
        ----------
        steps : int
            How many of these networks to give, spread evenly from one random layer to all of them; all, if
            there are fewer layers.
        seed : int
            Of the random numbers.

        Yields
        ------
        Randomised
            Layers below those that are random have the model's own weights, bit for bit; those that come after the
            layer that was looked into are none of them. A layer's weights are drawn by its own initialisers,
            where they are known; the others are its own in random order.

        Raises
        ------
        ModelError
            If the weights cannot be changed: ``info.gives`` has no ``"cascade"``.

        Notes
        -----
        The model itself is left as it is, wherever this is stopped. Ask each of these networks before the next
        is taken: they may share their weights.
        """
        raise self.no_cascade()

    def no_cascade(self) -> ModelError:
        """Return the error that `cascade` raises."""
        return ModelError(f"{self.info.name} keeps its weights to itself, so they cannot be made random")

    def no_layer(self, layer: str) -> ModelError:
        """Return the error that `tap` raises."""
        return ModelError(
            f"{quote(layer)} is not a layer of {self.info.name} that a class activation map can be made of"
        )

    def check_rule(self, rule: Rescale | Epsilon, targets: Targets) -> None:
        """Raise ModelError if `gradient` has no such rule for this network, or for the score that is asked for."""
        if rule.needs not in self.info.gives:
            raise ModelError(f"the {rule.needs} rule {self.info.lacks(rule.needs)}")
        if targets.score != "logit":
            raise ModelError(
                f"the {rule.needs} rule explains logits: choose the logit, not the {targets.score}"
            )

    def no_relu(self, rule: ReluRule) -> ModelError:
        """Return the error that `gradient` raises."""
        return ModelError(
            f"{self.info.name} has no ReLU, so {rule} backpropagation would be the plain gradient: use that"
        )

    def predict(self, x: Array, regions: Sequence[Region | None] | None = None) -> list[Prediction]:
        """Predict each picture of ``x``, or, if the output has space, a region of each."""
        check_memory(self.info, x.shape)
        scores = self.scores(x)
        return [self.prediction(*one) for one in zip(scores, regions or [None] * len(scores), strict=True)]

    def try_size(self) -> None:
        """Run an empty picture of the size that the user said.

        Raises
        ------
        ModelError
            If the network cannot be run on such pictures, or memory would not suffice.
        """
        shape = (1, *(side or 1 for side in self.info.input.shape), self.info.input.channels)
        check_memory(self.info, shape)
        self.scores(np.zeros(shape, np.float32))

    def prediction(self, logits: Array, region: Region | None = None) -> Prediction:
        """Name and weigh the logits (K,), or (*space, K), of one picture.

        Raises
        ------
        ModelError
            If they are not numbers.
        ValueError
            If a region is given although the output has no space.
        """
        largest = float(logits.max())  # NaN where any is; some may be -inf, as the logarithm of 0
        if not math.isfinite(largest):
            raise ModelError(
                f"the model's scores of this picture are not finite numbers ({largest}): its weights are "
                f"damaged, or preprocessing {quote(self.info.input.preprocessing.name)} does not fit it; "
                "save the model again, or choose the preprocessing that it was trained with"
            )
        space, activation = logits.shape[:-1], self.info.activation
        if region and not space:
            raise ValueError(
                f"{self.info.name} gives one answer for the whole picture: leave the region out, which is for "
                "models whose output has space"
            )
        score, p, log_p = logits, probabilities(logits, activation), log_probabilities(logits, activation)
        if space:
            counts = share(region, space)
            score, p, log_p = (np.tensordot(counts, each, len(space)) for each in (score, p, log_p))
        return Prediction(score, p, log_p, self.info.labels, space, channels=bool(self.info.viewed_layer))

    def weigh(self, scores: Array, targets: Targets) -> Array:
        """Return the value (N,) of each target, given what `scores` has returned."""
        result = as_score(scores, targets.score, self.info.activation)
        return np.asarray((targets.weights * result).sum(axis=tuple(range(1, result.ndim))), np.float32)

    def score_cache(self, x: Array, *question: Hashable) -> ScoreCache:
        """Return the cache of scores that a method has asked for, of pictures ``x`` and the options in ``question``.

        Those of the last question are kept, so that another class of it runs the model zero times.
        """
        if self._score_cache is None or not self._score_cache.answers(x, question):
            self._score_cache = ScoreCache(x, question)
        return self._score_cache
