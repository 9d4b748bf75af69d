"""Normal noise as the methods draw it, derived again: Box and Muller's transform in complex numbers, float64."""

import numpy as np


def noise(seed, samples, shape):
    """Copies one after the other, (samples, *shape)."""
    random, size = np.random.default_rng(seed), int(np.prod(shape))
    result = []
    for _ in range(samples):
        one, other = random.random((2, (size + 1) // 2), np.float32).astype(np.float64)
        points = np.sqrt(-2 * np.log(1 - one)) * np.exp(2j * np.pi * other)
        result.append(np.append(points.real, points.imag)[:size].reshape(shape))
    return np.array(result)
