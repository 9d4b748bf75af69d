"""Maps averaged over noisy copies of the picture: wrappers of any other method.

Adding noise and averaging takes away what is different a pixel further on, the speckle, and leaves what
is there all around. Four averages are in use, and they are not the same map: the mean of the signed maps
(SmoothGrad), of their magnitudes, of their squares, and the variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.chunks import chunks
from napari_saliency.methods._shared.noise import normal
from napari_saliency.methods._shared.prefetch import prefetch
from napari_saliency.methods._shared.running_stats import RunningMean, RunningVariance
from napari_saliency.methods.registry import METHODS, method

if TYPE_CHECKING:
    from napari_saliency.models import ModelInfo
    from napari_saliency.models.base import Model

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


def _passes(options: Mapping[str, Any], info: ModelInfo, space: tuple[int, ...]) -> int:
    inner, part = METHODS[options["of"]], _options(options["of"], options["layer"])
    return int(options["samples"]) * inner.passes(part, info, space)


@method(
    "SmoothGrad", needs="gradient", cite="Smilkov et al. 2017, section 2", passes=_passes, contributes=True
)
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
    same noise, so that it does not depend on its company. A method that itself draws at random (RISE, LIME, Kernel
    SHAP) draws other numbers for each copy, so that the standard error counts its chance, too.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningMean(precision), each=np.abs if absolute else None)


@method("SmoothGrad squared", needs="gradient", cite="Hooker et al. 2019, section 3.1", passes=_passes)
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


@method("VarGrad", needs="gradient", cite="Adebayo et al. 2018, section 2.1", passes=_passes)
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
    Unbiased (divided by the number of samples less one), and so 0 until there are two. Never negative, in the
    square of the map's units. Of a method that itself draws at random its own scatter is counted, too.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningVariance(precision))


def _averaged(
    model: Model, x: Array, targets: Targets, noisy: _Noisy, running: RunningMean, *, each: Each | None = None
) -> Iterator[Estimate]:
    """Run a method on noisy copies, and yield what has been made of its maps, or of a function of each, so far."""
    inner, done, unit, given = METHODS[noisy.of], 0, 0, [dict[str, None]() for _ in x]
    for start, pictures, options in prefetch(_copies(model, x, noisy)):
        copies = len(pictures) // len(x)
        for part in inner.function(model, pictures, targets.repeat(copies), **options):
            unit = unit or part.total  # of the first, where noise changes it: progress ends where it said
            before, done = done, start * unit + copies * unit * part.done // part.total
            maps = part.values.reshape(copies, len(x), *part.values.shape[1:])
            maps = each(maps) if each else maps
            if part.done == part.total:
                running.add(maps)
                for number, sentences in enumerate(part.notes):
                    given[number % len(x)].update(dict.fromkeys(sentences))
            elif done == before:
                continue
            elif not start:  # there is nothing to show yet but what is not finished
                unfinished = type(running)()
                unfinished.add(maps)
                yield Estimate(unfinished.values, done, noisy.samples * unit)
                continue
            notes = [tuple(each) for each in given]
            yield replace(running.estimate(done, noisy.samples * unit), notes=notes)
        if running.enough:
            return


def _copies(model: Model, x: Array, noisy: _Noisy) -> Iterator[tuple[int, Array, Mapping[str, Any]]]:
    """Number of the first of some noisy copies of all pictures, the copies one after the other, and how they are run.

    A method that draws at random itself gets one copy at a time, each with other numbers: alike they would share
    an error that the copies' scatter does not show.
    """
    options = _options(noisy.of, noisy.layer)
    spread = noisy.noise * np.ptp(x, axis=tuple(range(1, x.ndim)), keepdims=True)
    random = np.random.default_rng(noisy.seed)
    together = 1 if "seed" in options else model.info.together(x.shape[1:-1])
    for start, stop in chunks(noisy.samples, len(x), together):
        draws = np.stack([normal(random, (1, *x.shape[1:])) for _ in range(start, stop)])
        pictures = np.multiply(draws, spread, out=draws if len(x) == 1 else None)
        pictures += x
        own = {"seed": int(np.random.default_rng((noisy.seed, start)).integers(2**31))}
        yield start, pictures.reshape(-1, *x.shape[1:]), options | own if "seed" in options else options


def _options(of: str, layer: str) -> dict[str, Any]:
    """Options of the method inside: its defaults, but for the layer."""
    inner = METHODS[of]
    if layer and not inner.looks:
        raise ValueError(f"layer={layer!r} is of no use: {inner.title} ({of}) looks at no layer")
    return inner.complete({"layer": layer} if inner.looks else {})
