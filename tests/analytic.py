"""Classifiers whose every derivative is known in closed form; numpy only.

They fulfil the whole contract of `Model`, so that methods, the one door and the inspection can be
tried without a framework. They compute in float64 and answer in float32. `calls` counts pictures of
each call, so that a test can see what was run.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Epsilon, OutputActivation, Prediction, Rescale, Targets
from napari_saliency.models import InputSpec, Layer, Model, ModelInfo, Randomised, Settings, Tap
from napari_saliency.models.base import stages
from tests import rules
from tests.convolution import convolve, deconvolve

LABELS = ("tabby cat", "Egyptian cat", "zebra", "bear")


class Analytic(Model):
    """A classifier given by its logits and the pull-back through them; the scores follow.

    Parameters
    ----------
    shape : (H, W, C) or (Z, H, W, C)
        Of a picture.
    seed : int
        Of the random weights.
    """

    layers: tuple[Layer, ...] = ()

    def __init__(
        self,
        shape: tuple[int, ...] = (6, 8, 3),
        *,
        seed: int = 0,
        batch: int = 8,
        activation: OutputActivation = "softmax",
    ) -> None:
        self.shape = shape
        self.random = np.random.default_rng(seed)
        self.calls: list[tuple[str, int]] = []
        self.info = ModelInfo(
            source=f"analytic:{type(self).__name__}",
            name=type(self).__name__.lower(),
            input=InputSpec(shape[:-1], shape[-1]),
            labels=LABELS,
            activation=activation,
            layers=self.layers,
            cam_layer=self.layers[-1].name if self.layers else "",
            fingerprint=f"{type(self).__name__}-{seed}",
            batch=batch,
        )

    def normal(self, *shape):
        """Random weights for logits of about 1 on pictures of about 1."""
        return self.random.normal(size=shape) / np.prod(shape[:-1]) ** 0.5

    @abstractmethod
    def logits(self, x):
        """Logits (N, K), in the precision of ``x``."""

    @abstractmethod
    def pull_back(self, x, cotangents, rule=None):
        """Bring derivatives by the logits (N, K) back to derivatives by the pictures."""

    def scores(self, x):
        self.calls.append(("scores", len(x)))
        return self.logits(x.astype(np.float64)).astype(np.float32)

    def gradient(self, x, targets, rule=None):
        wide, propagated = x.astype(np.float64), isinstance(rule, (Rescale, Epsilon))
        self.calls.append((rule.needs if propagated else "gradient", len(x)))
        if propagated:  # by `tests.rules`, of models that are `layers_with_relus`
            self.check_rule(rule, targets)
            return rules.multipliers(self.layers_with_relus(), wide, targets.weights, rule)
        gradients = self.pull_back(wide, self.cotangents(wide, targets), rule)
        return self.value(wide, targets).astype(np.float32), gradients.astype(np.float32)

    def tap(self, x, targets, layer):
        raise ModelError(f"{self.info.name} has no layer {layer!r}")

    def with_settings(self, settings: Settings):
        return self

    def value(self, x, targets: Targets):
        """Weighted scores, (N,), in the precision of ``x``."""
        logits = self.logits(x)
        if targets.score != "logit":
            exclusive = self.info.activation == "softmax"
            others = (
                np.logaddexp.reduce(logits, axis=-1, keepdims=True) if exclusive else np.logaddexp(0, logits)
            )
            logits = logits - others
        scores = np.exp(logits) if targets.score == "probability" else logits
        return (targets.weights * scores).sum(axis=tuple(range(1, scores.ndim)))

    def cotangents(self, x, targets: Targets):
        """Derivatives (N, K) of the weighted scores by the logits."""
        weights, logits = targets.weights.astype(np.float64), self.logits(x)
        if targets.score == "logit":
            return weights
        if self.info.activation == "sigmoid":
            p = 1 / (1 + np.exp(-logits))
            return weights * (1 - p) * (p if targets.score == "probability" else 1)
        p = softmax(logits)
        if targets.score == "probability":
            return p * (weights - (weights * p).sum(axis=-1, keepdims=True))
        return weights - p * weights.sum(axis=-1, keepdims=True)


class Linear(Analytic):
    """``logits = x·W + b``."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.weights = self.normal(*self.shape, len(LABELS))
        self.bias = self.normal(len(LABELS))

    def logits(self, x):
        return np.tensordot(x, self.weights, x.ndim - 1) + self.bias

    def pull_back(self, x, cotangents, rule=None):
        _refuse(self, rule)
        return np.einsum("nk,...k->n...", cotangents, self.weights)


class Quadratic(Analytic):
    """``logits = x·W + x²·D / 2``."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.weights = self.normal(*self.shape, len(LABELS))
        self.curvature = self.normal(*self.shape, len(LABELS))

    def logits(self, x):
        axes = x.ndim - 1
        return np.tensordot(x, self.weights, axes) + np.tensordot(x**2 / 2, self.curvature, axes)

    def pull_back(self, x, cotangents, rule=None):
        _refuse(self, rule)
        flat = np.einsum("nk,...k->n...", cotangents, self.weights)
        return flat + np.einsum("nk,...k->n...", cotangents, self.curvature) * x


class Anything(Analytic):
    """Takes pictures of any size; the classes' scores are means of the channels, weighed."""

    def __init__(self, **kwargs):
        super().__init__((None, None, 3), **kwargs)
        self.weights = self.random.normal(size=(3, len(LABELS)))

    def logits(self, x):
        return x.mean(axis=(1, 2)) @ self.weights

    def pull_back(self, x, cotangents, rule=None):
        _refuse(self, rule)
        pixels = x.shape[1] * x.shape[2]
        return np.broadcast_to((cotangents @ self.weights.T)[:, None, None] / pixels, x.shape)


class Dense(Analytic):
    """An output with space: the classes of each 2×2 block, ``logits = sum of block · kernel + bias``."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        height, width, channels = self.shape
        self.info = replace(self.info, space=(height // 2, width // 2))
        self.kernel, self.bias = self.normal(2, 2, channels, len(LABELS)), self.normal(len(LABELS))

    def logits(self, x):
        height, width, channels = self.shape
        blocks = x.reshape(-1, height // 2, 2, width // 2, 2, channels)
        return np.einsum("nhywxc,yxck->nhwk", blocks, self.kernel) + self.bias

    def pull_back(self, x, cotangents, rule=None):
        _refuse(self, rule)
        return np.einsum("nhwk,yxck->nhywxc", cotangents, self.kernel).reshape(x.shape)


class Spatial(Analytic):
    """One layer with space: ``activations = relu(2×2 blocks of x · kernel + bias)``, then a dense layer."""

    features = 5

    def __init__(self, shape: tuple[int, int, int] = (6, 8, 3), **kwargs) -> None:
        height, width, channels = shape
        self.layers = (Layer("blocks", (height // 2, width // 2), self.features),)
        super().__init__(shape, **kwargs)
        self.kernel = self.normal(2, 2, channels, self.features)
        self.bias = self.normal(self.features)
        self.head = self.normal(height // 2, width // 2, self.features, len(LABELS))
        self.info = replace(self.info, gives=self.info.gives | {"rescale", "epsilon"})

    def layers_with_relus(self):
        return [
            (self.before_relu, lambda x, g: np.einsum("nhwf,yxcf->nhywxc", g, self.kernel).reshape(x.shape)),
            (
                lambda h: np.einsum("nhwf,hwfk->nk", h, self.head),
                lambda h, g: np.einsum("nk,hwfk->nhwf", g, self.head),
            ),
        ]

    def before_relu(self, x):
        height, width, channels = self.shape
        blocks = x.reshape(-1, height // 2, 2, width // 2, 2, channels)
        return np.einsum("nhywxc,yxcf->nhwf", blocks, self.kernel) + self.bias

    def logits(self, x):
        return np.einsum("nhwf,hwfk->nk", np.maximum(self.before_relu(x), 0), self.head)

    def pull_back(self, x, cotangents, rule=None):
        above = np.einsum("nk,hwfk->nhwf", cotangents, self.head)
        if rule in ("guided", "deconvnet"):
            above = np.maximum(above, 0)
        if rule != "deconvnet":
            above = above * (self.before_relu(x) > 0)
        return np.einsum("nhwf,yxcf->nhywxc", above, self.kernel).reshape(x.shape)

    def tap(self, x, targets, layer):
        if layer != "blocks":
            raise ModelError(f"{self.info.name} has no layer {layer!r}")
        self.calls.append(("tap", len(x)))
        wide = x.astype(np.float64)
        gradients = np.einsum("nk,hwfk->nhwf", self.cotangents(wide, targets), self.head)
        return Tap(np.maximum(self.before_relu(wide), 0).astype(np.float32), gradients.astype(np.float32))

    def with_settings(self, settings: Settings):
        twin = Spatial.__new__(Spatial)
        twin.__dict__.update(self.__dict__)
        twin.info = replace(self.info, labels=settings.labels or self.info.labels)
        return twin


class Convolutional(Analytic):
    """Two convolutions (3×3, or 3×3×3; the second with stride 2), each with a ReLU, then a dense layer.

    Parameters
    ----------
    ceiling : float
        Where the ReLUs end: 6 for ReLU6.
    slope : float
        Of the ReLUs below 0.
    """

    def __init__(self, shape=(9, 13, 3), *, ceiling: float = np.inf, slope: float = 0.0, **kwargs) -> None:
        space, channels = tuple((side - 2 - 1) // 2 for side in shape[:-1]), 6
        self.layers = (
            Layer("linear", space, channels),
            Layer("rectified", space, channels),
        )
        super().__init__(shape, **kwargs)
        self.info = replace(self.info, gives=self.info.gives | {"cascade", "rescale", "epsilon"})
        self.ceiling, self.slope = ceiling, slope
        edges = [3] * len(space)
        self.kernels = [self.normal(*edges, shape[-1], 5), self.normal(*edges, 5, channels)]
        self.biases = [self.normal(5) / 4, self.normal(channels) / 4]
        features = np.prod(space) * channels
        self.head, self.bias = self.normal(features, len(LABELS)), self.normal(len(LABELS))

    def cascade(self, steps, seed=0):
        """Make the head, then the second, then the first convolution random, as Keras and PyTorch do."""
        random = np.random.default_rng(seed)
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__, kernels=list(self.kernels), biases=list(self.biases))
        wanted = stages(3, steps)
        for done, name in enumerate(("head", "second", "first"), 1):
            if name == "head":
                twin.head = random.permutation(self.head.ravel()).reshape(self.head.shape)
            else:
                kernel = self.kernels[3 - done]
                twin.kernels[3 - done] = random.permutation(kernel.ravel()).reshape(kernel.shape)
            if done in wanted:
                yield Randomised(name, done, 3, twin)

    def layers_with_relus(self):
        def convolution(n):
            return (
                lambda x: convolve(x, self.kernels[n], n + 1) + self.biases[n],
                lambda x, g: deconvolve(g, self.kernels[n], n + 1, x.shape),
            )

        dense = (
            lambda h: h.reshape(len(h), -1) @ self.head + self.bias,
            lambda h, g: (g @ self.head.T).reshape(h.shape),
        )
        return [convolution(0), convolution(1), dense]

    @property
    def arrays(self):
        """The weights, in the order of the layers."""
        return [self.kernels[0], self.biases[0], self.kernels[1], self.biases[1], self.head, self.bias]

    def relu(self, z):
        return np.minimum(np.where(z > 0, z, self.slope * z), self.ceiling)

    def before_relus(self, x):
        """What goes into the two ReLUs."""
        first = convolve(x, self.kernels[0], 1) + self.biases[0]
        return first, convolve(self.relu(first), self.kernels[1], 2) + self.biases[1]

    def logits(self, x):
        return self.relu(self.before_relus(x)[1]).reshape(len(x), -1) @ self.head + self.bias

    def through_relu(self, gradients, z, rule=None):
        """Bring derivatives back through a ReLU, by its derivative or by a rule."""
        if rule is not None:
            gradients = np.maximum(gradients, 0)
        if rule == "deconvnet":
            return gradients
        return gradients * np.where(z > 0, z < self.ceiling, self.slope)

    def pull_back(self, x, cotangents, rule=None):
        first, second = self.before_relus(x)
        gradients = self.through_relu((cotangents @ self.head.T).reshape(second.shape), second, rule)
        gradients = self.through_relu(deconvolve(gradients, self.kernels[1], 2, first.shape), first, rule)
        return deconvolve(gradients, self.kernels[0], 1, x.shape)

    def tap(self, x, targets, layer):
        wide = x.astype(np.float64)
        z = self.before_relus(wide)[1]
        gradients = (self.cotangents(wide, targets) @ self.head.T).reshape(z.shape)
        if layer == "rectified":
            return Tap(self.relu(z).astype(np.float32), gradients.astype(np.float32))
        return Tap(z.astype(np.float32), self.through_relu(gradients, z).astype(np.float32))


class ConvolutionalLayerView(Analytic):
    """The second ReLU of a `Convolutional`, or what goes into it, in place of its classes."""

    def __init__(self, outer: Convolutional, layer: str) -> None:
        super().__init__(outer.shape, activation="quantity")
        self.outer, self.layer = outer, layer
        space, channels = outer.layers[-1].shape, outer.layers[-1].channels
        labels = tuple(f"{layer}[{n}]" for n in range(channels))
        self.layers = (Layer("first", tuple(side - 2 for side in outer.shape[:-1]), 5),)
        self.info = replace(
            self.info, labels=labels, space=space, viewed_layer=layer, layers=self.layers, cam_layer="first"
        )

    def logits(self, x):
        second = self.outer.before_relus(x)[1]
        return self.outer.relu(second) if self.layer == "rectified" else second

    def back_to_first(self, x, cotangents, rule=None):
        first, second = self.outer.before_relus(x)
        if self.layer == "rectified":
            cotangents = self.outer.through_relu(cotangents, second, rule)
        return deconvolve(cotangents, self.outer.kernels[1], 2, first.shape)

    def pull_back(self, x, cotangents, rule=None):
        first = self.outer.before_relus(x)[0]
        gradients = self.outer.through_relu(self.back_to_first(x, cotangents, rule), first, rule)
        return deconvolve(gradients, self.outer.kernels[0], 1, x.shape)

    def tap(self, x, targets, layer):
        wide = x.astype(np.float64)
        gradients = self.back_to_first(wide, self.cotangents(wide, targets))
        first = self.outer.relu(self.outer.before_relus(wide)[0])
        return Tap(first.astype(np.float32), gradients.astype(np.float32))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def pictures(model: Analytic, count: int = 1, seed: int = 1):
    """Random model inputs (count, H, W, C), with both signs."""
    return np.random.default_rng(seed).normal(size=(count, *model.shape)).astype(np.float32)


def targets_of(*classes: int, score="logit") -> Targets:
    """One class for each picture."""
    return Targets(np.eye(len(LABELS), dtype=np.float32)[list(classes)], score)


def prediction_of(*logits: float) -> Prediction:
    """A prediction of four classes."""
    values = np.array(logits, np.float32)
    return Prediction(values, softmax(values), np.log(softmax(values)), LABELS)


def _refuse(model: Analytic, rule) -> None:
    if rule is not None:
        raise ModelError(f"{model.info.name} has no ReLU for {rule} backpropagation")
