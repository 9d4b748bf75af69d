"""Maps averaged over noisy copies of the picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency._types import Array, Estimate, Targets
from napari_saliency.methods._chunks import chunks
from napari_saliency.methods._registry import method

if TYPE_CHECKING:
    from napari_saliency.models._base import Model


@method("SmoothGrad", needs="gradient", cite="Smilkov et al. 2017, section 2")
def smoothgrad(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    samples: Annotated[int, {"min": 2, "max": 1000}] = 50,
    noise: Annotated[float, {"min": 0.0, "max": 1.0, "step": 0.01}] = 0.15,
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1}] = 0,
) -> Iterator[Estimate]:
    """Mean gradient over noisy copies of the picture: the map without its speckle.

    Parameters
    ----------
    samples : int
        Noisy copies. The standard error falls with the square root of their number.
    noise : float
        Standard deviation of the noise, as a share of the picture's range of values. The paper
        finds 0.1 to 0.2 best.
    seed : int
        Of the random numbers: the same seed gives the same map.

    Notes
    -----
    The mean of the signed gradients, as in the paper's formula. Every picture of a batch gets the
    same noise, so that it does not depend on its company.
    """
    spread = noise * np.ptp(x, axis=tuple(range(1, x.ndim)), keepdims=True)
    random = np.random.default_rng(seed)
    mean, squares = np.zeros(x.shape), np.zeros(x.shape)
    for start, stop in chunks(samples, len(x), model.info.together(x.shape[1:-1])):
        normal = random.standard_normal((stop - start, 1, *x.shape[1:]), np.float32)
        noisy = (x + spread * normal).reshape(-1, *x.shape[1:])
        _, gradients = model.gradient(noisy, targets.repeat(stop - start))
        for g in gradients.reshape(-1, *x.shape):  # Welford's running mean and sum of squared deviations
            start += 1
            deviation = g - mean
            mean += deviation / start
            squares += deviation * (g - mean)
        stderr = np.sqrt(squares / max(stop - 1, 1) / stop)
        yield Estimate(mean.astype(np.float32), stop, samples, stderr.astype(np.float32))
