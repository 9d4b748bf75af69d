"""Maps averaged over noisy copies of the picture: wrappers of any other method.

Adding noise and averaging takes away what is different a pixel further on, the speckle, and leaves what
is there all around. Four averages are in use, and they are not the same map: the mean of the signed maps
(SmoothGrad), of their magnitudes, of their squares, and the variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from napari_saliency._types import Array, Estimate, Targets
from napari_saliency.methods._chunks import chunks
from napari_saliency.methods._registry import METHODS, method
from napari_saliency.methods._running import RunningMean, RunningVariance

if TYPE_CHECKING:
    from napari_saliency.models._base import Model

Of = Annotated[
    str, {"choices": "methods", "help": "The method whose maps are averaged; the paper's is the gradient."}
]
Samples = Annotated[
    int,
    {
        "min": 2,
        "max": 1000,
        "help": "Noisy copies, at most. The standard error falls with the square root of their number.",
    },
]
Noise = Annotated[
    float,
    {
        "min": 0.0,
        "max": 1.0,
        "step": 0.01,
        "help": "Standard deviation of the noise, as a share of the picture's range of values. "
        "SmoothGrad's paper finds 0.1 to 0.2 best.",
    },
]
Precision = Annotated[
    float,
    {
        "min": 0.0,
        "max": 0.5,
        "step": 0.005,
        "least": "off",
        "advanced": True,
        "help": "Stop as soon as the relative standard error is this small; 0 takes all samples.",
    },
]
Layer = Annotated[
    str,
    {
        "choices": "layers",
        "advanced": True,
        "help": "Of a class activation map inside: the layer that is looked at.",
    },
]
Seed = Annotated[
    int,
    {
        "min": 0,
        "max": 2**31 - 1,
        "advanced": True,
        "help": "Of the random numbers: the same seed gives the same map.",
    },
]


Each = Callable[[Array], Array]


class _Noisy(NamedTuple):
    """Noisy copies, and what is made of each."""

    of: str
    samples: int
    noise: float
    seed: int
    layer: str


@method("SmoothGrad", needs="gradient", cite="Smilkov et al. 2017, section 2")
def smoothgrad(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    of: Of = "gradient",
    samples: Samples = 50,
    noise: Noise = 0.15,
    precision: Precision = 0.0,
    layer: Layer = "",
    absolute: Annotated[bool, {"advanced": True}] = False,
    seed: Seed = 0,
) -> Iterator[Estimate]:
    """Mean map over noisy copies of the picture: the map without its speckle.

    Parameters
    ----------
    absolute : bool
        Average magnitudes: how strongly a pixel matters, for or against the class.

    Notes
    -----
    The mean of the signed maps, as in the paper's formula. Every picture of a batch gets the
    same noise, so that it does not depend on its company.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningMean(precision), each=np.abs if absolute else None)


@method("SmoothGrad squared", needs="gradient", cite="Hooker et al. 2019, section 3.1")
def smoothgrad_squared(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    of: Of = "gradient",
    samples: Samples = 50,
    noise: Noise = 0.15,
    precision: Precision = 0.0,
    layer: Layer = "",
    seed: Seed = 0,
) -> Iterator[Estimate]:
    """Mean of the squared maps over noisy copies: how strongly a pixel matters, for or against the class.

    Notes
    -----
    Never negative, and in the square of the map's units. It is the variance of `vargrad` plus the square
    of SmoothGrad's mean.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningMean(precision), each=np.square)


@method("VarGrad", needs="gradient", cite="Adebayo et al. 2018, section 2.1")
def vargrad(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    of: Of = "gradient",
    samples: Samples = 50,
    noise: Noise = 0.15,
    precision: Precision = 0.0,
    layer: Layer = "",
    seed: Seed = 0,
) -> Iterator[Estimate]:
    """Variance of the maps of noisy copies: where the explanation itself is unsteady.

    Notes
    -----
    Unbiased (divided by the number of samples less one). Never negative, in the square of the map's units.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningVariance(precision))


def _averaged(
    model: Model, x: Array, targets: Targets, noisy: _Noisy, running: RunningMean, *, each: Each | None = None
) -> Iterator[Estimate]:
    """Run a method on noisy copies, and yield what has been made of its maps, or of a function of each, so far."""
    inner = METHODS[noisy.of]
    if noisy.layer and not inner.looks:
        raise ValueError(f"layer={noisy.layer!r} is of no use: {inner.title} ({noisy.of}) looks at no layer")
    options = inner.complete({"layer": noisy.layer} if inner.looks else {})
    spread = noisy.noise * np.ptp(x, axis=tuple(range(1, x.ndim)), keepdims=True)
    random = np.random.default_rng(noisy.seed)
    for start, stop in chunks(noisy.samples, len(x), model.info.together(x.shape[1:-1])):
        copies = stop - start
        normal = random.standard_normal((copies, 1, *x.shape[1:]), np.float32)
        pictures = spread * normal
        pictures += x
        pictures = pictures.reshape(-1, *x.shape[1:])
        for inside in inner.function(model, pictures, targets.repeat(copies), **options):
            done = start * inside.total + copies * inside.done
            maps = inside.values.reshape(copies, len(x), *inside.values.shape[1:])
            maps = each(maps) if each else maps
            if inside.done == inside.total:
                running.add(maps)
            elif not start:  # there is nothing to show yet but what is not finished
                yield Estimate(maps.mean(axis=0), done, noisy.samples * inside.total)
                continue
            yield running.estimate(done, noisy.samples * inside.total)
        if running.enough:
            return
