"""Running means of samples, with how far they can be trusted; memory does not grow with their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency._types import Array

EVERY = 8
"""Samples after which it is asked whether a mean is precise enough; also the fewest of them.

They are counted one by one, whatever the size of a call: a picture's map does not depend on its company.
"""

SAMPLES, RELATIVE_ERROR = "samples", "relative standard error"
"""Names of what every method that samples says of its map."""

Doubles = npt.NDArray[np.float64]  # sums of many samples need them


class RunningMean:
    """Mean of the samples of each picture of a batch, and its standard error.

    Parameters
    ----------
    precision : float
        A picture whose `relative_error` is not larger takes no more samples; 0 for all that come.
    """

    def __init__(self, precision: float = 0.0) -> None:
        self._precision = precision
        self._count = 0
        self._counts, self._open = np.zeros(0), np.zeros(0, bool)
        self._mean = self._squares = np.zeros(0)

    def add(self, samples: Array) -> None:
        """Take some samples, (M, N, ...) of N pictures, one after the other."""
        if not self._count:
            self._begin(samples.shape[1:])
        for sample in samples:
            self._count += 1
            self._counts += self._open
            self._take(sample)
            if self._precision and self._count % EVERY == 0:
                self._open = self._open & (relative_error(self.values, self.stderr) > self._precision)

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._counts, self._open = np.zeros(shape[0]), np.ones(shape[0], bool)
        self._mean, self._squares = np.zeros(shape), np.zeros(shape)

    def _take(self, sample: Array) -> None:
        """Welford's running mean and sum of squared deviations."""
        deviation = (sample - self._mean) * self._each(self._open)
        self._mean += deviation / self._each(self._counts)
        self._squares += deviation * (sample - self._mean)

    def _each(self, numbers: npt.ArrayLike) -> Doubles:
        """One number for each picture, to be used with all of its values."""
        return np.reshape(np.asarray(numbers, np.float64), (-1, *[1] * (self._mean.ndim - 1)))

    @property
    def enough(self) -> bool:
        """Whether all pictures are as precise as was asked."""
        return bool(self._count) and not self._open.any()

    @property
    def values(self) -> Array:
        """The mean, (N, ...) float32."""
        return _single(self._mean)

    @property
    def stderr(self) -> Array:
        """Standard error of the mean, (N, ...) float32; 0 after one sample, which tells nothing of it."""
        counts = self._each(self._counts)
        return _single(np.sqrt(self._squares / np.maximum(counts - 1, 1) / counts))

    @property
    def diagnostics(self) -> Mapping[str, Array]:
        """How many samples each picture has taken, and its relative standard error, each (N,)."""
        return diagnostics(self._counts, self.values, self.stderr)


class RunningVariance(RunningMean):
    """Variance of the samples of each picture of a batch, unbiased, and its standard error."""

    def _begin(self, shape: tuple[int, ...]) -> None:
        super()._begin(shape)
        self._cubes, self._fourths = np.zeros(shape), np.zeros(shape)

    def _take(self, sample: Array) -> None:
        """Running sums of the deviations' powers (Pébay 2008, eq. 1.6), then those of the mean."""
        counts = self._each(self._counts)
        deviation = (sample - self._mean) * self._each(self._open)
        share = deviation / counts
        change = deviation * share * (counts - 1)
        self._fourths += change * share**2 * (counts**2 - 3 * counts + 3)
        self._fourths += 6 * share**2 * self._squares - 4 * share * self._cubes
        self._cubes += change * share * (counts - 2) - 3 * share * self._squares
        super()._take(sample)

    @property
    def values(self) -> Array:
        """The variance, (N, ...) float32; 0 after one sample."""
        return _single(self._squares / np.maximum(self._each(self._counts) - 1, 1))

    @property
    def stderr(self) -> Array:
        """Standard error of the variance, (N, ...) float32, from the fourth moment."""
        counts = self._each(self._counts)
        variance = self._squares / np.maximum(counts - 1, 1)
        spread = self._fourths / counts - variance**2 * (counts - 3) / np.maximum(counts - 1, 1)
        return _single(np.sqrt(np.maximum(spread, 0) / counts))


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
