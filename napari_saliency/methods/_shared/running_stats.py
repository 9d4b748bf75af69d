"""Running means of samples, with how far they can be trusted; memory does not grow with their number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_saliency.core.types import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency.core.types import Array

EVERY = 8
"""Samples after which it is asked whether a mean is precise enough.

Whatever the size of a call: so a picture takes as many beside others as alone.
"""

PART = 2**14
"""Values of a picture that are counted together: few enough that nothing leaves the processor's cache on the way."""

SAMPLES, RELATIVE_ERROR = "samples", "relative standard error"
"""Names of what every method that samples says of its map."""

Doubles = npt.NDArray[np.float64]  # sums of many samples need them


class RunningMean:
    """Mean of the samples of each picture of a batch, and its standard error.

    What is added up are powers of how far samples lie from the first one, which is among them, so that nothing is
    lost when the moments about the mean are made of the sums (Chan, Golub and LeVeque 1983, section 3: shifted data).

    Parameters
    ----------
    precision : float
        A picture whose `relative_error` is not larger takes no more samples; 0 for all that come.
    """

    POWERS = 2
    FEWEST = EVERY
    """Samples without which its standard error is not believed."""

    def __init__(self, precision: float = 0.0) -> None:
        self._precision = precision
        self._count = 0
        self._begin(np.zeros((0, 1), np.float32))

    def _begin(self, first: Array) -> None:
        self._shape: tuple[int, ...] = first.shape
        self._counts, self._open = np.zeros(len(first)), np.ones(len(first), bool)
        self._first: Array = first.reshape(len(first), math.prod(first.shape[1:])).copy()
        self._sums: list[Doubles] = [np.zeros(self._first.shape) for _ in range(self.POWERS)]
        self._parts = [slice(start, start + PART) for start in range(0, self._first.shape[1], PART)]

    def add(self, samples: Array) -> None:
        """Take some samples, (M, N, ...) of N pictures."""
        if not self._count:
            self._begin(samples[0])
        samples = samples.reshape(*samples.shape[:2], -1)
        while len(samples):
            group = samples[: EVERY - self._count % EVERY] if self._precision else samples
            samples = samples[len(group) :]
            self._count += len(group)
            self._counts += len(group) * self._open
            taken = self._open[:, None].astype(np.float32)
            for part in self._parts:
                powers = _power_sums(group[..., part] - self._first[:, part], self.POWERS)
                for total, power in zip(self._sums, powers, strict=True):
                    total[:, part] += power * taken
            if self._precision and self._count >= self.FEWEST and self._count % EVERY == 0:
                self._open = self._open & (relative_error(*self._found()) > self._precision)

    @property
    def counts(self) -> Doubles:
        """How many samples each picture has taken, (N,)."""
        return self._counts.copy()

    @property
    def enough(self) -> bool:
        """Whether all pictures are as precise as was asked."""
        return bool(self._count) and not self._open.any()

    @property
    def values(self) -> Array:
        """What is estimated, (N, ...) float32."""
        return self._found()[0]

    @property
    def stderr(self) -> Array:
        """Its standard error, (N, ...) float32; 0 after one sample, which tells nothing of it."""
        return self._found()[1]

    def _found(self) -> tuple[Array, Array]:
        """What is estimated, and its standard error."""
        values, stderr = np.empty_like(self._first), np.empty_like(self._first)
        counts = self._counts[:, None]
        for part in self._parts:
            means = [total[:, part] / counts for total in self._sums]
            values[:, part], stderr[:, part] = self._moments(self._first[:, part], counts, *means)
        return values.reshape(self._shape), stderr.reshape(self._shape)

    @staticmethod
    def _moments(first: Array, counts: Doubles, *means: Doubles) -> tuple[Doubles, Doubles]:
        """What is estimated, and its standard error, of the means of the powers of distances from the first sample."""
        shift, square = means
        return first + shift, np.sqrt(_variance(shift, square) / np.maximum(counts - 1, 1))

    def estimate(self, done: int, total: int) -> Estimate:
        """What there is so far, with how far it can be trusted; it is the last one if it is precise enough.

        After one sample nothing is known of its error, and there is none.
        """
        values, stderr = self._found()
        if self._counts.min() < 2:  # one sample tells nothing of its error
            return Estimate(values, done, total, diagnostics={SAMPLES: self._counts.astype(np.float32)})
        figures = diagnostics(self._counts, values, stderr)
        return Estimate(values, done, done if self.enough else total, stderr, figures)


class RunningVariance(RunningMean):
    """Variance of the samples of each picture of a batch, unbiased, and its standard error."""

    POWERS = 4
    FEWEST = 32  # of fewer, fourth moments are too small: the error of 8 comes out a quarter too small

    @staticmethod
    def _moments(first: Array, counts: Doubles, *means: Doubles) -> tuple[Doubles, Doubles]:
        """The variance, 0 after one sample, and its standard error, from the fourth moment."""
        shift, square, cube, fourth = means
        less_one = np.maximum(counts - 1, 1)
        variance = _variance(shift, square) * (counts / less_one)
        central = fourth + shift * (shift * (6 * square - 3 * shift**2) - 4 * cube)
        spread = central - variance**2 * ((counts - 3) / less_one)
        return variance, np.sqrt(np.maximum(spread, 0) / counts)


def _power_sums(deviations: Array, powers: int) -> list[Array]:
    """Sums over samples (M, N, ...) of their first, second, ... power, each (N, ...): two of them, or four."""
    if powers == 2:
        return [deviations.sum(axis=0), _dot(deviations, deviations)]
    squares = np.square(deviations)
    return [deviations.sum(axis=0), squares.sum(axis=0), _dot(squares, deviations), _dot(squares, squares)]


def _dot(one: Array, other: Array) -> Array:
    """Sums over samples of products, with no array of all of them."""
    return np.asarray(np.einsum("m...,m...->...", one, other))


def _variance(shift: Doubles, square: Doubles) -> Doubles:
    """Mean square distance from the mean, of the mean distance and mean square distance from a sample."""
    return np.maximum(square - shift**2, 0)  # but for rounding it is never less


def relative_error(values: Array, stderr: Array) -> Array:
    """Root mean square of a map's standard errors as a share of its largest magnitude, (N,); 0 of empty maps."""
    axes = tuple(range(1, values.ndim))
    largest = np.abs(values).max(axis=axes)
    error = np.sqrt(np.square(stderr, dtype=np.float64).mean(axis=axes))
    return np.asarray(np.divide(error, largest, out=np.zeros_like(error), where=largest > 0), np.float32)


def diagnostics(samples: npt.ArrayLike, values: Array, stderr: Array) -> Mapping[str, Array]:
    """What every method that samples says of its map: the samples taken and the relative standard error."""
    counts = np.broadcast_to(np.asarray(samples, np.float32), len(values))
    return {SAMPLES: counts, RELATIVE_ERROR: relative_error(values, stderr)}
