"""Surrogates: simple models of how the score depends on a picture's superpixels, fitted to the model's scores."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_saliency.methods._shared.regression import Regression
from napari_saliency.methods._shared.running_stats import EVERY, RELATIVE_ERROR, diagnostics

if TYPE_CHECKING:
    from napari_saliency.core.types import Array
    from napari_saliency.methods._shared.running_stats import Doubles
    from napari_saliency.methods._shared.segmentation import Labels

Coalitions = npt.NDArray[np.bool_]


class Sampling(NamedTuple):
    """The most samples, the relative standard error that ends them early (0: none does), and the random seed."""

    samples: int
    precision: float
    seed: int


class Surrogate(ABC):
    """A fit to the values of one picture's coalitions: superpixels that are left while the others are covered.

    Samples are counted one by one, and precision is checked after every `EVERY` of them, so that a picture's map does
    not depend on its batch.

    Parameters
    ----------
    labels : (*space) int
        Superpixel of each pixel, 0 to K-1.
    sampling : Sampling
        Its samples are the most that are taken.
    """

    together = 1
    """Coalitions of one sample."""
    exact = False
    """True if the samples are all coalitions there are."""

    def __init__(self, labels: Labels, sampling: Sampling) -> None:
        self.labels, self.count = labels, int(labels.max()) + 1
        self.samples = sampling.samples // self.together
        self._random, self._precision = np.random.default_rng(sampling.seed), sampling.precision
        self._taken, self._precise = 0, False

    @abstractmethod
    def draw(self, samples: int) -> Coalitions:
        """Draw the next coalitions, (samples · `together`, K)."""

    @abstractmethod
    def _take(self, coalitions: Coalitions, values: Doubles) -> None:
        """Add some samples to the fit."""

    @abstractmethod
    def solve(self) -> tuple[Doubles, Doubles, Mapping[str, float]]:
        """Return the superpixels' values (K,), their standard errors (K,), and diagnostics."""

    def add(self, coalitions: Coalitions, values: Array) -> None:
        """Add the values (M,) of M coalitions from `draw`, as far as they are needed."""
        start = 0
        while start < len(values) and not self.enough:
            # Only up to the next test of precision, so that its result does not depend on the size of calls.
            samples = min(EVERY - self._taken % EVERY, self.samples - self._taken)
            part = slice(start, start + samples * self.together)
            self._take(coalitions[part], values[part].astype(np.float64))
            self._taken += len(values[part]) // self.together
            start = part.stop
            self._precise = self._is_precise()

    def _is_precise(self) -> bool:
        if not self._precision or self._taken % EVERY or self._taken < 2 * self.count:
            return False
        return self.estimate()[2][RELATIVE_ERROR] <= self._precision

    @property
    def enough(self) -> bool:
        """True if it needs no more samples."""
        return self._precise or self._taken >= self.samples

    def estimate(self) -> tuple[Array, Array, Mapping[str, float]]:
        """Return values and standard errors painted on the superpixels, each (*space) float32, and all diagnostics.

        Errors not known yet are as large as the largest value.
        """
        result, errors, figures = self.solve()
        errors = np.where(np.isfinite(errors), errors, np.abs(result).max())
        values, stderr = (each.astype(np.float32)[self.labels] for each in (result, errors))
        trust = diagnostics(self._taken * self.together, values[None], stderr[None])
        plain = {name: float(each[0]) for name, each in trust.items()}
        return values, stderr, {**plain, "superpixels": float(self.count), **figures}


class Lime(Surrogate):
    """A linear model with an intercept, of coalitions that are drawn evenly and weighed by their nearness.

    Parameters
    ----------
    width : float
        Of the kernel, in cosine distances.
    ridge : float
        Penalty on the squares of the superpixels' coefficients.
    """

    def __init__(self, labels: Labels, sampling: Sampling, width: float, ridge: float) -> None:
        super().__init__(labels, sampling)
        self._width, self._regression = width, Regression(np.diag([0.0] + [ridge] * self.count))

    def draw(self, samples: int) -> Coalitions:
        """Draw each superpixel with probability ½."""
        return self._random.random((samples, self.count)) < 0.5

    def _take(self, coalitions: Coalitions, values: Doubles) -> None:
        distance = 1 - np.sqrt(coalitions.mean(axis=1))  # cosine, from the whole picture
        design = np.insert(coalitions.astype(np.float64), 0, 1, axis=1)
        self._regression.add(design, values, np.exp(-((distance / self._width) ** 2)))

    def solve(self) -> tuple[Doubles, Doubles, Mapping[str, float]]:
        """Return the coefficients, and how much of the values' variance they explain."""
        solution = self._regression.solve()
        return solution.coefficients[1:], solution.stderr[1:], {"R²": solution.r_squared}


class Shapley(Surrogate):
    """Shapley values, as the regression of theorem 2 with their sum held.

    A sample is a coalition and its complement, which have the same weight. Of their values only half the
    difference matters; the regression of it on ±½ for each superpixel needs no intercept. The sum is split
    evenly, and what is fitted is how far each superpixel departs from that. If all coalitions are fewer than
    the samples, each is taken once, and the values are exact.

    Parameters
    ----------
    gain : float
        Value of the whole picture minus that of the empty one: what is to be shared out.
    """

    together = 2

    def __init__(self, labels: Labels, sampling: Sampling, gain: float) -> None:
        super().__init__(labels, sampling)
        # What is fitted has no sum, which a penalty on the sum says without changing anything else.
        self._gain, self._regression = gain, Regression(np.ones((self.count, self.count)))
        pairs = 2 ** (self.count - 1) - 1
        self.exact = pairs <= self.samples
        if self.exact:
            self.samples = pairs
            self._codes = 1 + self._random.permutation(pairs)

    def draw(self, samples: int) -> Coalitions:
        """Draw pairs by the kernel's weights; or the next of all, and after them the whole picture."""
        first = self._next(samples) if self.exact else self._drawn(samples)
        return np.stack([first, ~first], axis=1).reshape(-1, self.count)

    def _next(self, samples: int) -> Coalitions:
        codes, self._codes = np.split(self._codes, [samples])
        # A coalition is the bits of its number. The last bit is never set: those sets are the complements.
        result = (codes[:, None] >> np.arange(self.count)) & 1 == 1
        return np.concatenate([result, np.ones((samples - len(result), self.count), bool)])

    def _drawn(self, samples: int) -> Coalitions:
        """Draw a size by the kernel's weights, then any coalition of that size."""
        sizes = np.arange(1, self.count)
        # The kernel's weight of a coalition times the number of coalitions of its size, but for a factor.
        shares = np.cumsum(1 / (sizes * (self.count - sizes)))
        random = self._random.random((samples, self.count + 1))
        size = 1 + np.searchsorted(shares[:-1] / shares[-1], random[:, :1])
        return random[:, 1:].argsort(axis=1).argsort(axis=1) < size  # ranks: a random order, cut at the size

    def _take(self, coalitions: Coalitions, values: Doubles) -> None:
        first = coalitions[::2]
        signs = first - 0.5
        half = (values[::2] - values[1::2]) / 2 - self._gain / self.count * signs.sum(axis=1)
        self._regression.add(signs - signs.mean(axis=1, keepdims=True), half, self._weights(first))

    def _weights(self, coalitions: Coalitions) -> Doubles:
        if not self.exact:  # they were drawn by their weights
            return np.ones(len(coalitions))
        count, sizes = self.count, coalitions.sum(axis=1).tolist()
        return np.array([(count - 1) / (math.comb(count, s) * s * (count - s)) for s in sizes])

    def solve(self) -> tuple[Doubles, Doubles, Mapping[str, float]]:
        """Return the values, whose errors vanish with the coalitions that are left, and what their sum lacks."""
        solution = self._regression.solve()
        values = self._gain / self.count + solution.coefficients
        gap = values.astype(np.float32).sum(dtype=np.float64) - self._gain
        relative = abs(gap) / max(abs(self._gain), np.finfo(np.float32).tiny)
        left = self.samples - self._taken if self.exact else math.inf
        stderr = solution.stderr * math.sqrt(min(left / max(self.samples, 1), 1)) if left else 0 * values
        figures = {"completeness gap": gap, "relative completeness gap": relative}
        return values, stderr, figures
