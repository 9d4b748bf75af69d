"""Maps averaged over noisy copies of the picture: wrappers around any other method.

Adding noise and averaging removes speckle, which differs from pixel to pixel, and keeps what whole neighbourhoods
share. Four averages are in use, and they are not the same map: the mean of the signed maps (SmoothGrad), of their
magnitudes, of their squares, and the variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np

from napari_saliency.core.errors import quote
from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.running_stats import RunningMean, RunningVariance
from napari_saliency.methods._shared.steps import Progress, chunks, prefetch
from napari_saliency.methods.options import LayerChoice, MethodChoice
from napari_saliency.methods.registry import METHODS, method, wrappable

if TYPE_CHECKING:
    from napari_saliency.models import ModelInfo
    from napari_saliency.models.base import Model

Of = Annotated[
    str,
    MethodChoice(wrappable),
    {"tooltip": "The method whose maps are averaged; in the paper, the gradient."},
]
Samples = Annotated[
    int,
    {
        "min": 2,
        "max": 1000,
        "tooltip": "Noisy copies, at most. The standard error falls with the square root of their number.",
    },
]
Noise = Annotated[
    float,
    {
        "min": 0.0,
        "max": 1.0,
        "step": 0.01,
        "tooltip": "Standard deviation of the noise, as a share of the picture's range of values. "
        "SmoothGrad's paper finds 0.1 to 0.2 best.",
    },
]
Precision = Annotated[
    float,
    {
        "min": 0.0,
        "max": 0.5,
        "step": 0.005,
        "min_text": "off",
        "advanced": True,
        "tooltip": "Stop as soon as the relative standard error is this small; 0 takes all samples.",
    },
]
Layer = Annotated[
    str,
    LayerChoice(),
    {"advanced": True, "tooltip": "If a class activation map is averaged, the layer to look at."},
]
Seed = Annotated[
    int,
    {
        "min": 0,
        "max": 2**31 - 1,
        "advanced": True,
        "tooltip": "Of the random numbers: the same seed gives the same map.",
    },
]


Each = Callable[[Array], Array]


class _Noisy(NamedTuple):
    """Noisy copies, and the method that explains each."""

    of: str
    samples: int
    noise: float
    seed: int
    layer: str


def _passes(options: Mapping[str, Any], info: ModelInfo, space: tuple[int, ...]) -> int:
    inner, part = METHODS[options["of"]], _options(options["of"], options["layer"])
    return int(options["samples"]) * inner.passes(part, info, space)


@method(
    "SmoothGrad",
    family="Averages over noise",
    needs="gradient",
    cite="Smilkov et al. 2017, section 2",
    passes=_passes,
    contributes=True,
    linear=True,
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
    r"""Average the maps of noisy copies of the picture: the map without its speckle.

    Parameters
    ----------
    absolute : bool
        Average magnitudes: how strongly a pixel matters, for or against the class.

    Notes
    -----
    .. math:: M = \frac{1}{n} \sum_{i=1}^{n} m(x + \varepsilon_i), \qquad \varepsilon_i \sim N(0, \sigma^2)

    where :math:`m` is the map of the method inside: the mean of the signed maps, as in the paper's formula. Every
    picture of a batch gets the same noise, so that its map does not depend on the batch. A method that itself draws
    at random (RISE, LIME, Kernel SHAP) draws other numbers for each copy, so that the standard error includes its
    own.

    **When to use:** to make a noisy map readable, above all the gradient's.

    **When not to use:** where fine detail or exact contributions matter: the map is that of blurred evidence, and
    costs as many maps as there are samples.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningMean(precision), each=np.abs if absolute else None)


@method(
    "SmoothGrad squared",
    family="Averages over noise",
    needs="gradient",
    cite="Hooker et al. 2019, section 3.1",
    passes=_passes,
    degree=2,
    even=True,
)
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
    r"""Average the squared maps of noisy copies: how strongly a pixel matters, for or against the class.

    Notes
    -----
    .. math:: M = \frac{1}{n} \sum_{i=1}^{n} m(x + \varepsilon_i)^2, \qquad \varepsilon_i \sim N(0, \sigma^2)

    Never negative, and in the square of the map's units. It is the variance that `vargrad` estimates plus the square
    of SmoothGrad's mean.

    **When to use:** to rank pixels by how much they matter: in the paper's benchmark the ranking beats SmoothGrad's.

    **When not to use:** to tell evidence for a class from evidence against it: signs are lost.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningMean(precision), each=np.square)


@method(
    "VarGrad",
    family="Averages over noise",
    needs="gradient",
    cite="Adebayo et al. 2018, section 2.1",
    passes=_passes,
    degree=2,
    even=True,
)
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
    r"""Compute the variance of the maps of noisy copies: where the explanation itself is unsteady.

    Notes
    -----
    .. math:: M = \frac{1}{n - 1} \sum_{i=1}^{n} \big(m(x + \varepsilon_i) - \bar m\big)^2

    Unbiased, and so 0 until there are two samples. Never negative, in the square of the map's units. If the method
    inside draws at random, its own scatter is included.

    **When to use:** to see where a map cannot be trusted to hold still, or to rank pixels without their signs.

    **When not to use:** to tell evidence for a class from evidence against it: signs are lost.
    """
    noisy = _Noisy(of, samples, noise, seed, layer)
    yield from _averaged(model, x, targets, noisy, RunningVariance(precision))


def _averaged(
    model: Model, x: Array, targets: Targets, noisy: _Noisy, average: RunningMean, *, each: Each | None = None
) -> Iterator[Estimate]:
    """Run a method on noisy copies, and yield what its maps, or a function of each, average to so far."""
    inner, progress = METHODS[noisy.of], Progress(noisy.samples)
    notes = [dict[str, None]() for _ in x]  # dictionaries, as sets have no order
    for pictures, options in prefetch(_copies(model, x, noisy)):
        copies = len(pictures) // len(x)
        step = progress.sub(copies)
        for part in inner.function(model, pictures, targets.repeat(copies), **options):
            moved, finished = step.update(part.done, part.total), part.done == part.total
            if not (moved or finished):
                continue
            maps = part.values.reshape(copies, len(x), *part.values.shape[1:])
            maps = each(maps) if each else maps
            if finished:
                average.add(maps)
                for number, sentences in enumerate(part.notes):
                    notes[number % len(x)].update(dict.fromkeys(sentences))
            if average.started:
                so_far = average.estimate(progress.done, progress.total)
                yield replace(so_far, notes=[tuple(each) for each in notes])
            else:  # there is nothing to show yet but an unfinished map
                unfinished = type(average)()
                unfinished.add(maps)
                yield Estimate(unfinished.values, progress.done, progress.total)
        if average.enough:
            return


def _copies(model: Model, x: Array, noisy: _Noisy) -> Iterator[tuple[Array, Mapping[str, Any]]]:
    """Make noisy copies of all pictures, one copy of all after the other, and the options to explain them with.

    A method that draws at random itself gets one copy at a time, with a seed made of the wrapper's and the copy's
    number: with the same random numbers the maps would share an error that their scatter does not show.
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
        yield pictures.reshape(-1, *x.shape[1:]), options | own if "seed" in options else options


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw independent standard normal numbers, two from two uniform ones (Box and Muller 1958).

    Logarithms, roots and sines are computed many at once, which takes less than half of the time of NumPy's own method;
    that draws one number after the other, and takes a tenth as long as the gradient of a small network.

    Parameters
    ----------
    random : numpy.random.Generator
    shape : tuple of int

    Returns
    -------
    (*shape) float32
        Of magnitudes up to 5.8, as the uniform numbers have 24 bits.
    """
    size = math.prod(shape)
    distance, turn = random.random((2, -(-size // 2)), np.float32)
    radius, angle = np.sqrt(-2 * np.log1p(-distance)), np.float32(2 * np.pi) * turn
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size].reshape(shape)


def _options(of: str, layer: str) -> dict[str, Any]:
    """Return the options of the method inside: its defaults, but for the layer."""
    inner = METHODS[of]
    if layer and not inner.looks:
        raise ValueError(
            f"layer={quote(layer)} has no effect: {inner.title} ({of}) does not look at a layer; leave it empty"
        )
    return inner.complete({"layer": layer} if inner.looks else {})
