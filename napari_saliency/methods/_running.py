"""Running means of samples, with how far they can be trusted; memory does not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_saliency._types import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency._types import Array

EVERY = 8
"""Samples after which it is asked whether a mean is precise enough.

Whatever the size of a call: so a picture takes as many beside others as alone.
"""

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
        self._counts, self._open = np.zeros(0), np.zeros(0, bool)
        self._first = np.zeros(0, np.float32)
        self._sums: list[Doubles] = []

    def add(self, samples: Array) -> None:
        """Take some samples, (M, N, ...) of N pictures."""
        if not self._count:
            self._begin(samples[0])
        while len(samples):
            group = samples[: EVERY - self._count % EVERY] if self._precision else samples
            samples = samples[len(group) :]
            self._count += len(group)
            self._counts += len(group) * self._open
            taken = self._each(self._open)
            for total, part in zip(self._sums, _power_sums(group - self._first, self.POWERS), strict=True):
                total += part * taken
            if self._precision and self._count >= self.FEWEST and self._count % EVERY == 0:
                self._open = self._open & (relative_error(self.values, self.stderr) > self._precision)

    def _begin(self, first: Array) -> None:
        self._counts, self._open = np.zeros(len(first)), np.ones(len(first), bool)
        self._first = first.copy()
        self._sums = [np.zeros(first.shape) for _ in range(self.POWERS)]

    def _each(self, numbers: npt.ArrayLike) -> Doubles:
        """One number for each picture, to be used with all of its values."""
        return np.reshape(np.asarray(numbers, np.float64), (-1, *[1] * (self._first.ndim - 1)))

    def _means(self) -> list[Doubles]:
        """Means of the powers of how far the samples lie from the first one."""
        share = 1 / self._each(self._counts)
        return [total * share for total in self._sums]

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
        """The mean, (N, ...) float32."""
        return _single(self._first + self._sums[0] / self._each(self._counts))

    @property
    def stderr(self) -> Array:
        """Standard error of the mean, (N, ...) float32; 0 after one sample, which tells nothing of it."""
        shift, square = self._means()[:2]
        return _single(np.sqrt(_variance(shift, square) / np.maximum(self._each(self._counts) - 1, 1)))

    def estimate(self, done: int, total: int) -> Estimate:
        """What there is so far, with how far it can be trusted; it is the last one if it is precise enough.

        After one sample nothing is known of its error, and there is none.
        """
        values, stderr = self.values, self.stderr
        if self._counts.min() < 2:  # one sample tells nothing of its error
            return Estimate(values, done, total, diagnostics={SAMPLES: self._counts.astype(np.float32)})
        figures = diagnostics(self._counts, values, stderr)
        return Estimate(values, done, done if self.enough else total, stderr, figures)


class RunningVariance(RunningMean):
    """Variance of the samples of each picture of a batch, unbiased, and its standard error."""

    POWERS = 4
    FEWEST = 32  # of fewer, fourth moments are too small: the error of 8 comes out a quarter too small

    @property
    def values(self) -> Array:
        """The variance, (N, ...) float32; 0 after one sample."""
        return _single(self._unbiased(*self._means()[:2]))

    @property
    def stderr(self) -> Array:
        """Standard error of the variance, (N, ...) float32, from the fourth moment."""
        shift, square, cube, fourth = self._means()
        counts = self._each(self._counts)
        central = fourth + shift * (shift * (6 * square - 3 * shift**2) - 4 * cube)
        ratio = (counts - 3) / np.maximum(counts - 1, 1)
        spread = central - self._unbiased(shift, square) ** 2 * ratio
        return _single(np.sqrt(np.maximum(spread, 0) / counts))

    def _unbiased(self, shift: Doubles, square: Doubles) -> Doubles:
        counts = self._each(self._counts)
        return _variance(shift, square) * (counts / np.maximum(counts - 1, 1))


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


def _single(values: Doubles) -> Array:
    """Single precision, in an array of its own."""
    return np.array(values, np.float32)


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
