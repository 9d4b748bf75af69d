"""Weighted least squares of samples that come one after the other; memory does not grow with their number."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_saliency.methods._running import Doubles

TINY = 1e-10
"""Of the normal equations' mean diagonal: what keeps directions finite that no sample has tried yet."""

FREE = 1e-4
"""A coefficient with this much freedom, of 1, is of such a direction; one that samples have tried has hardly any."""


class Solution(NamedTuple):
    """What the samples so far say.

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
    With X the design, W the weights and A = XᵀWX + ridge, the coefficients are A⁻¹XᵀWy. Their standard errors are
    the square roots of the diagonal of s² A⁻¹ (XᵀW²X) A⁻¹: the residuals are taken to have one variance, whatever
    their weights, and s² is the residuals' weighted mean square times n / (n − K). They say how far another
    draw of samples would lead elsewhere, not how far a penalty does. They are known once there are more samples
    than coefficients, and these leave no choice.
    """

    def __init__(self, ridge: Doubles) -> None:
        count = len(ridge)
        self._ridge, self._samples = ridge, 0
        self._normal, self._square = np.zeros((count, count)), np.zeros((count, count))
        self._right = np.zeros(count)
        self._weight, self._sum, self._sum_of_squares = 0.0, 0.0, 0.0

    def add(self, design: Doubles, responses: Doubles, weights: Doubles) -> None:
        """Take M samples: (M, K), (M,) and (M,)."""
        weighed = design * weights[:, None]
        self._samples += len(design)
        self._normal += weighed.T @ design
        self._square += weighed.T @ weighed
        self._right += weighed.T @ responses
        self._weight += float(weights.sum())
        self._sum += float(weights @ responses)
        self._sum_of_squares += float(weights @ responses**2)

    def solve(self) -> Solution:
        """Coefficients of the samples so far, and how far they can be trusted."""
        # No pseudo-inverse: eigenvalues take a hundred times as long where a network wants the processor too.
        normal = self._normal + self._ridge
        normal += TINY * np.diag(self._normal).mean() * np.eye(len(normal))
        found = np.asarray(np.linalg.solve(normal, self._right), np.float64)
        fitted = float(found @ (2 * self._right - self._normal @ found))
        residual = max(self._sum_of_squares - fitted, 0.0)
        spread = self._sum_of_squares - self._sum**2 / self._weight if self._samples else 0.0
        explained = 1 - residual / spread if spread > TINY * self._sum_of_squares else 1.0
        return Solution(found, self._errors(found, normal, residual), explained)

    def _errors(self, found: Doubles, normal: Doubles, residual: float) -> Doubles:
        unknown, spare = np.full(len(found), np.inf), self._samples - len(found)
        if spare <= 0:
            return unknown
        inverse = np.linalg.inv(normal)
        if np.diag(inverse).max() * np.diag(self._normal).mean() * TINY > FREE:
            return unknown
        variance = residual / self._weight * self._samples / spare
        return np.asarray(np.sqrt(variance * np.sum(inverse @ self._square * inverse, axis=1)))
