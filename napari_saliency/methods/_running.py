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
"""Samples after which it is asked whether a mean is precise enough; also the fewest of them.

Whatever the size of a call: so a picture takes as many beside others as alone.
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
        """Take some samples, (M, N, ...) of N pictures."""
        if not self._count:
            self._begin(samples.shape[1:])
        while len(samples):
            group = samples[: EVERY - self._count % EVERY] if self._precision else samples
            samples = samples[len(group) :]
            self._count += len(group)
            self._merge(group, len(group) * self._open)
            if self._precision and self._count % EVERY == 0:
                self._open = self._open & (relative_error(self.values, self.stderr) > self._precision)

    def _begin(self, shape: tuple[int, ...]) -> None:
        self._counts, self._open = np.zeros(shape[0]), np.ones(shape[0], bool)
        self._mean, self._squares = np.zeros(shape), np.zeros(shape)

    def _merge(self, group: Array, added: Doubles) -> None:
        """Join the sums of some samples with those of all before (Chan, Golub and LeVeque 1983, eq. 2.1).

        Parameters
        ----------
        group : (M, N, ...) float32
            The samples.
        added : (N,)
            How many of them each picture takes: M or none.
        """
        mean, (squares,) = _centred_sums(group, 2)
        old, new = self._each(self._counts), self._each(added)
        apart = mean - self._mean
        self._squares += squares * (new > 0) + apart**2 * (old * new / (old + new))
        self._mean += apart * (new / (old + new))
        self._counts += added

    def _each(self, numbers: npt.ArrayLike) -> Doubles:
        """One number for each picture, to be used with all of its values."""
        return np.reshape(np.asarray(numbers, np.float64), (-1, *[1] * (self._mean.ndim - 1)))

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
        return _single(self._mean)

    @property
    def stderr(self) -> Array:
        """Standard error of the mean, (N, ...) float32; 0 after one sample, which tells nothing of it."""
        counts = self._each(self._counts)
        return _single(np.sqrt(self._squares * (1 / (np.maximum(counts - 1, 1) * counts))))

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

    def _begin(self, shape: tuple[int, ...]) -> None:
        super()._begin(shape)
        self._cubes, self._fourths = np.zeros(shape), np.zeros(shape)

    def _merge(self, group: Array, added: Doubles) -> None:
        """The same of the third and fourth powers of the deviations (Pébay 2008, eq. 1.5 and 1.6)."""
        mean, (squares, cubes, fourths) = _centred_sums(group, 4)
        taken = self._each(added) > 0
        old, new = self._each(self._counts), self._each(added)
        both = old + new
        apart = mean - self._mean
        unlike = apart * (old * new / both)  # all counts first: they are few, and the sums are large
        self._fourths += fourths * taken + apart * (
            squares * apart * (6 * old**2 * taken / both**2)
            + self._squares * apart * (6 * new**2 / both**2)
            + unlike * apart**2 * ((old**2 - old * new + new**2) / both**2)
            + cubes * (4 * old * taken / both)
            - self._cubes * (4 * new / both)
        )
        self._cubes += cubes * taken + apart * (
            unlike * apart * ((old - new) / both)
            + squares * (3 * old * taken / both)
            - self._squares * (3 * new / both)
        )
        super()._merge(group, added)

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


def _centred_sums(group: Array, powers: int) -> tuple[Doubles, list[Array]]:
    """Mean of some samples, and sums of the 2nd, 3rd, ... powers of what they deviate from it."""
    mean = group.mean(axis=0, dtype=np.float64)
    deviations = group - mean.astype(np.float32)
    power = np.square(deviations)
    sums = [power.sum(axis=0)]
    for _ in range(2, powers):
        power *= deviations
        sums.append(power.sum(axis=0))
    return mean, sums


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
