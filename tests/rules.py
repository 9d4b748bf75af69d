"""Rescale and epsilon rule in numpy, of layers with a ReLU between each two; independent of what is tested.

A layer is a pair: from its input to its sums, and from its input and derivatives by its sums back to
derivatives by its input.
"""

import numpy as np

from napari_saliency.core.types import Epsilon


def multipliers(layers, x, weights, rule):
    """What the contributions should add up to (N,), and the multipliers, both float32."""
    start = None if isinstance(rule, Epsilon) else np.asarray(rule.start, np.float64)
    result = (
        shared(layers, x, weights, rule.epsilon) if start is None else rescaled(layers, x, weights, start)
    )
    ends = [sums(layers, one)[-1] for one in (x, start) if one is not None]
    score = [(weights * end).reshape(len(x), -1).sum(1) for end in ends]
    return (score[0] - (score[1] if len(score) > 1 else 0)).astype(np.float32), result.astype(np.float32)


def contributions(model, x, targets, rule):
    """What a model's multipliers make of pictures: the sum that they stand for, and one for each number."""
    value, result = model.gradient(x, targets, rule)
    return value, result * (x if isinstance(rule, Epsilon) else x - rule.start)


def sums(layers, x):
    """What each layer sums up."""
    result = []
    for forward, _ in layers:
        result.append(forward(np.maximum(result[-1], 0) if result else x))
    return result


def rescaled(layers, x, weights, start):
    """Shrikumar et al. 2017, eq. 7, 12 and 14: multipliers, chained, of the difference from the start."""
    here, there = sums(layers, x), sums(layers, start)
    multiplier = weights.astype(np.float64)
    for n in reversed(range(len(layers))):
        into = np.maximum(here[n - 1], 0) if n else x
        multiplier = layers[n][1](into, multiplier)
        if n:
            z, z0 = here[n - 1], there[n - 1]
            moved = z != z0
            slope = np.where(
                moved, (np.maximum(z, 0) - np.maximum(z0, 0)) / np.where(moved, z - z0, 1), z > 0
            )
            multiplier = multiplier * slope
    return multiplier


def shared(layers, x, weights, epsilon):
    """Bach et al. 2015, eq. 58: R_i = sum over j of x_i w_ij / (z_j + epsilon sign(z_j)) R_j; here R_i / x_i."""
    here = sums(layers, x)
    relevance = weights * here[-1]
    for n in reversed(range(len(layers))):
        into = np.maximum(here[n - 1], 0) if n else x
        sign = np.where(here[n] >= 0, 1, -1)
        share = layers[n][1](into, relevance / (here[n] + epsilon * sign))
        relevance = into * share
    return share
