"""Logits, the probabilities that are made of them, and the way back where a network gives those alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_saliency.core.types import Array, OutputActivation, Score
    from napari_saliency.models.describe import Facts

SMALLEST, SMALLEST_REST = 1e-35, 2.0**-24
"""Stand-ins for a probability of 0, and for 1 minus a probability of 1, under a logarithm.

Numbers of single precision cannot be told apart nearer to 1.
"""


def log_probabilities(logits: Array, activation: OutputActivation) -> Array:
    """Return logarithms of `probabilities`, exact where those are nearly 0."""
    if activation == "quantity":
        return np.full_like(logits, np.nan)
    if activation == "sigmoid":
        return np.asarray(-np.logaddexp(0, -logits), np.float32)
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True), np.float32)


def as_score(logits: Array, score: Score, activation: OutputActivation) -> Array:
    """Return logits (..., K) as the numbers that a target weighs: as they are, or (log-)probabilities."""
    if score == "logit":
        return logits
    if score == "probability":
        return probabilities(logits, activation)
    return log_probabilities(logits, activation)


def probabilities(logits: Array, activation: OutputActivation) -> Array:
    """Softmax over the last axis, or sigmoid of each; log-probabilities give the same softmax. NaN of quantities."""
    if activation == "quantity":
        return np.full_like(logits, np.nan)
    if activation == "sigmoid":
        return np.asarray(0.5 * (1 + np.tanh(logits / 2)), np.float32)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def as_logits(outputs: Array, facts: Facts) -> Array:
    """Return logits of what a network returns, or what stands in for them; one output makes two classes."""
    if facts.implicit:
        some = np.clip(outputs, SMALLEST, 1)
        rest = np.log(np.maximum(1 - some, SMALLEST_REST)) if facts.implicit == "sigmoid" else 0
        outputs = np.asarray(np.log(some) - rest, np.float32)
    return np.concatenate([-outputs, outputs], -1) if facts.n_classes > facts.n_outputs else outputs
