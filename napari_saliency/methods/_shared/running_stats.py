"""Running means of samples with their standard errors.

Sums about the first sample are kept in place of the samples, so memory does not grow with their number. A picture that
is precise enough takes no more samples, and takes as many in a batch as alone.
"""

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
"""Samples after which a mean is checked for being precise enough.

The number does not follow the size of a call, so that a picture takes as many samples in a batch as alone.
"""

PART = 2**14
"""Values of a picture that are added together: few enough to stay in the processor's cache."""

SAMPLES, RELATIVE_ERROR = "samples", "relative standard error"
"""Names of the diagnostics that every sampling method gives."""

Doubles = npt.NDArray[np.float64]  # sums of many samples need them


class RunningMean:
    """Mean of the samples of each picture of a batch, and its standard error.

    Sums are kept of the powers of each sample's distance from the first one, so that no digits are lost when the
    moments about the mean are made of them (Chan, Golub and LeVeque 1983, section 3: shifted data).

    Parameters
    ----------
    precision : float
        A picture takes no more samples once its `relative_error` is at most this; 0 takes all of them.
    """

    POWERS = 2
    FEWEST = EVERY
    """Fewest samples whose standard error is believed."""

    def __init__(self, precision: float = 0.0) -> None:
        self._precision = precision
        self._count = 0
        self._start(np.zeros((0, 1), np.float32))

    def _start(self, first: Array) -> None:
        self._shape: tuple[int, ...] = first.shape
        self._counts, self._open = np.zeros(len(first)), np.ones(len(first), bool)
        self._first: Array = first.reshape(len(first), math.prod(first.shape[1:])).copy()
        self._sums: list[Doubles] = [np.zeros(self._first.shape) for _ in range(self.POWERS)]
        self._parts = [slice(start, start + PART) for start in range(0, self._first.shape[1], PART)]

    def add(self, samples: Array) -> None:
        """Add some samples, (M, N, ...) of N pictures."""
        if not self._count:
            self._start(samples[0])
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
                self._open = self._open & (relative_error(*self._estimated()) > self._precision)

    @property
    def started(self) -> bool:
        """True if there are samples."""
        return self._count > 0

    @property
    def counts(self) -> Doubles:
        """Samples that each picture has taken, (N,)."""
        return self._counts.copy()

    @property
    def enough(self) -> bool:
        """True if all pictures are as precise as asked."""
        return bool(self._count) and not self._open.any()

    @property
    def values(self) -> Array:
        """The estimates, (N, ...) float32."""
        return self._estimated()[0]

    @property
    def stderr(self) -> Array:
        """Their standard errors, (N, ...) float32; 0 after one sample, which tells nothing of it."""
        return self._estimated()[1]

    def _estimated(self) -> tuple[Array, Array]:
        """Compute the estimates and their standard errors."""
        values, stderr = np.empty_like(self._first), np.empty_like(self._first)
        counts = self._counts[:, None]
        for part in self._parts:
            means = [total[:, part] / counts for total in self._sums]
            values[:, part], stderr[:, part] = self._moments(self._first[:, part], counts, *means)
        return values.reshape(self._shape), stderr.reshape(self._shape)

    @staticmethod
    def _moments(first: Array, counts: Doubles, *means: Doubles) -> tuple[Doubles, Doubles]:
        """Compute both from the first sample and the mean powers of the distances from it."""
        shift, square = means
        return first + shift, np.sqrt(_variance(shift, square) / np.maximum(counts - 1, 1))

    def estimate(self, done: int, total: int) -> Estimate:
        """Return the estimate so far with its standard error; it is the last one if it is precise enough.

        After one sample nothing is known of the error, and there is none.
        """
        values, stderr = self._estimated()
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
        """Compute the variance, 0 after one sample, and its standard error, from the fourth moment."""
        shift, square, cube, fourth = means
        less_one = np.maximum(counts - 1, 1)
        variance = _variance(shift, square) * (counts / less_one)
        central = fourth + shift * (shift * (6 * square - 3 * shift**2) - 4 * cube)
        spread = central - variance**2 * ((counts - 3) / less_one)
        return variance, np.sqrt(np.maximum(spread, 0) / counts)


def _power_sums(deviations: Array, powers: int) -> list[Array]:
    """Return the sums over samples (M, N, ...) of their first two, or four, powers, each (N, ...)."""
    if powers == 2:
        return [deviations.sum(axis=0), _dot(deviations, deviations)]
    squares = np.square(deviations)
    return [deviations.sum(axis=0), squares.sum(axis=0), _dot(squares, deviations), _dot(squares, squares)]


def _dot(one: Array, other: Array) -> Array:
    """Return the sums over samples of products, without an array of all products."""
    return np.asarray(np.einsum("m...,m...->...", one, other))


def _variance(shift: Doubles, square: Doubles) -> Doubles:
    """Return the mean square distance from the mean, given the mean and mean square distance from a sample."""
    return np.maximum(square - shift**2, 0)  # but for rounding it is never less


def relative_error(values: Array, stderr: Array) -> Array:
    """Return the root mean square of maps' standard errors as a share of the largest magnitude, (N,), or 0."""
    axes = tuple(range(1, values.ndim))
    largest = np.abs(values).max(axis=axes)
    error = np.sqrt(np.square(stderr, dtype=np.float64).mean(axis=axes))
    return np.asarray(np.divide(error, largest, out=np.zeros_like(error), where=largest > 0), np.float32)


def diagnostics(samples: npt.ArrayLike, values: Array, stderr: Array) -> Mapping[str, Array]:
    """Return the diagnostics of every sampling method: samples taken, and relative standard error."""
    counts = np.broadcast_to(np.asarray(samples, np.float32), len(values))
    return {SAMPLES: counts, RELATIVE_ERROR: relative_error(values, stderr)}
