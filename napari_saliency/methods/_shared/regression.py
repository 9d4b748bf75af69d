"""Weighted least squares with samples that come one after the other.

The normal equations are kept as running sums and solved; their pseudo-inverse is never taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_saliency.methods._shared.running_stats import Doubles

if TYPE_CHECKING:
    from napari_saliency.core.types import Array

TINY = 1e-10
"""Share of the normal equations' mean diagonal that keeps directions finite which no sample has tried yet."""

FREE = 1e-4
"""Freedom, of 1, from which on a coefficient belongs to such a direction; samples leave hardly any to the others."""


class Solution(NamedTuple):
    """The solution of the samples so far.

    Attributes
    ----------
    coefficients : (K,) float64
        The shortest ones where the samples leave a choice, but for rounding.
    stderr : (K,) float64
        Their standard errors; infinite as long as nothing is known of them.
    r_squared : float
        Share of the responses' weighted variance that the regression explains.
    """

    coefficients: Doubles
    stderr: Doubles
    r_squared: float


class Regression:
    """Running normal equations, in double precision.

    Parameters
    ----------
    ridge : (K, K) float
        Penalty on the products of the K coefficients; a diagonal matrix for one on their squares.

    Notes
    -----
    With X the design, W the weights and A = XᵀWX + ridge, the coefficients are A⁻¹XᵀWy. With e = y − X·coefficients and
    h the diagonal of WXA⁻¹Xᵀ, their standard errors are the square roots of the diagonal of
    A⁻¹ (XᵀW diag(e / (1 − h))² WX) A⁻¹: HC3 of MacKinnon and White 1985. The residuals need not have one variance;
    where superpixels interact they have not, and errors that take them to are too small by up to a third. HC3 is rather
    too large: by some per cent of many samples, by half of four samples for each coefficient. They say how far
    another draw of samples would lead elsewhere, not how far a penalty does, and are known once there are more
    samples than coefficients, these leave no choice, and none of them hangs on one sample alone.

    The coefficients need the sums alone. For the errors the samples are kept, 4 bytes for each and coefficient: some
    hundred kilobytes usually, 16 megabytes of 20000 samples of 200 superpixels.
    """

    def __init__(self, ridge: Doubles) -> None:
        count = len(ridge)
        self._ridge, self._samples = ridge, 0
        self._taken: list[tuple[Array, Doubles, Doubles]] = []
        self._normal, self._right = np.zeros((count, count)), np.zeros(count)
        self._weight, self._sum, self._sum_of_squares = 0.0, 0.0, 0.0

    def add(self, design: Doubles, responses: Doubles, weights: Doubles) -> None:
        """Add M samples: (M, K), (M,) and (M,)."""
        weighed = design * weights[:, None]
        self._samples += len(design)
        self._taken.append((design.astype(np.float32), responses, weights))
        self._normal += weighed.T @ design
        self._right += weighed.T @ responses
        self._weight += float(weights.sum())
        self._sum += float(weights @ responses)
        self._sum_of_squares += float(weights @ responses**2)

    def solve(self) -> Solution:
        """Return the coefficients of the samples so far with their standard errors."""
        # No pseudo-inverse: eigenvalues take a hundred times as long where a network wants the processor too.
        normal = self._normal + self._ridge
        normal += TINY * np.diag(self._normal).mean() * np.eye(len(normal))
        result = np.asarray(np.linalg.solve(normal, self._right), np.float64)
        fitted = float(result @ (2 * self._right - self._normal @ result))
        residual = max(self._sum_of_squares - fitted, 0.0)
        spread = self._sum_of_squares - self._sum**2 / self._weight if self._samples else 0.0
        explained = 1 - residual / spread if spread > TINY * self._sum_of_squares else 1.0
        return Solution(result, self._errors(result, normal), explained)

    def _errors(self, result: Doubles, normal: Doubles) -> Doubles:
        unknown = np.full(len(result), np.inf)
        if self._samples <= len(result):
            return unknown
        inverse = np.linalg.inv(normal)
        if np.diag(inverse).max() * np.diag(self._normal).mean() * TINY > FREE:
            return unknown
        self._taken = [self._joined()]
        design, responses, weights = self._taken[0]
        moving = design @ inverse * weights[:, None]
        spared = 1 - np.einsum("nk,nk->n", moving, design)
        if spared.min() < FREE:
            return unknown
        # By how much the coefficients would move without each sample.
        each = moving * ((responses - design @ result) / spared)[:, None]
        return np.asarray(np.sqrt(np.square(each).sum(axis=0)))

    def _joined(self) -> tuple[Array, Doubles, Doubles]:
        design, responses, weights = (np.concatenate(each) for each in zip(*self._taken, strict=True))
        return design, responses, weights
