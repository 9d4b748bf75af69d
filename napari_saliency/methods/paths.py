"""Maps that add up gradients along a path from a baseline to the picture: contributions that sum to the score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import GREYS, Baseline, blurred, empty_picture, noise_picture
from napari_saliency.methods._shared.path_integral import (
    Indices,
    Path,
    Rule,
    completeness,
    difference,
    even,
    integrate,
    spread_out,
    straight,
)
from napari_saliency.methods._shared.running_stats import RunningMean
from napari_saliency.methods._shared.steps import Progress, chunks
from napari_saliency.methods.options import PerChannel
from napari_saliency.methods.registry import method
from napari_saliency.methods.sampling import Precision, Seed

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

Start = Annotated[Literal[Baseline, "random"] | float | tuple[float, ...], PerChannel(), GREYS]


def _passes(options: Mapping[str, Any], *_: object) -> int:
    """Count the steps of each baseline, and the two ends that Gauss–Legendre's rule leaves out."""
    baselines = options["samples"] if options["baseline"] == "random" else 1
    return int(baselines * (options["steps"] + 2 * (options["rule"] == "gauss_legendre")))


@method(
    "Integrated gradients",
    family="Paths",
    needs="gradient",
    cite="Sundararajan et al. 2017, eq. 1",
    passes=_passes,
    contributes=True,
    linear=True,
    sampling_options={"baseline": "random"},
)
def integrated_gradients(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    steps: Annotated[int, {"min": 8, "max": 512}] = 64,
    baseline: Start = "black",
    rule: Rule = "trapezoid",
    samples: Annotated[int, {"min": 2, "max": 1000}] = 10,
    precision: Precision = 0.0,
    seed: Seed = 0,
) -> Iterator[Estimate]:
    r"""Show what each pixel contributes to the score, compared with a baseline picture.

    Parameters
    ----------
    steps : int
        Gradients along the path; more of them make the completeness gap smaller.
    baseline : {"black", "white", "mean", "blur", "random"}, number or tuple of numbers
        The baseline. Pixels that look like it get nothing, whatever they mean to the model; the mean over many
        random ones spares no pixel. A number from 0 (black) to 255 (white) is a grey; several, as 124, 116, 104,
        are one for each channel.
    rule : {"trapezoid", "gauss_legendre"}
        Quadrature rule. Gauss–Legendre needs fewer gradients where the score changes smoothly; on networks of
        ReLUs, where it does not, there is little between the two.
    samples : int
        Random baselines, at most: one path of ``steps`` gradients for each. No other baseline uses it.

    Notes
    -----
    .. math:: M = (x - x') \odot \int_0^1 \frac{\partial S}{\partial x}\big(x' + \alpha (x - x')\big) \, d\alpha

    where :math:`x'` is the baseline. The contributions of all pixels add up to the score minus the baseline's; by how
    much they miss it is reported as the completeness gap. The steps are taken in an order that covers the whole
    path early, so that the map sharpens evenly.

    A random baseline is noise: each value is drawn evenly from 0 to 255, before preprocessing (Sturmfels
    et al. 2020, "uniform"). The mean of the maps over baselines is called expected gradients (Erion et al.
    2021), whose authors draw pictures from the training data, which are not at hand here; its completeness
    gap is that to the score minus the mean of the baselines' scores. Every picture of a batch gets the same
    noise, so that its map does not depend on the batch.

    **When to use:** for signed contributions that add up to the score, pixel by pixel.

    **When not to use:** with a baseline whose colour matters in the picture (black on dark pictures): such pixels get
    nothing; or where speckle hides the shape: XRAI shows regions.
    """
    if baseline != "random":
        start = empty_picture(model, x, baseline)
        yield from integrate(model, targets, straight(model, x, start, steps, rule))
        return
    random = np.random.default_rng(seed)
    paths = (straight(model, x, noise_picture(model, x, random), steps, rule) for _ in range(samples))
    yield from _averaged(model, targets, paths, RunningMean(precision), samples)


def _averaged(
    model: Model, targets: Targets, paths: Iterator[Path], mean: RunningMean, samples: int
) -> Iterator[Estimate]:
    """Average the maps of several paths, and the differences of scores that they should add up to."""
    progress, differences = Progress(samples), np.zeros(len(targets.weights))
    gap: Mapping[str, Array] = {}
    for path in paths:
        step = progress.sub()
        for part in integrate(model, targets, path):
            step.update(part.done, part.total)
            if part.done == part.total:
                before = mean.counts if mean.started else 0
                mean.add(part.values[None])
                # Pictures that are precise enough take no more samples, and so no more differences.
                differences = differences + (mean.counts - before) * difference(part)
                gap = completeness(mean.values, differences / mean.counts)
            if mean.started:
                so_far = mean.estimate(progress.done, progress.total)
                yield replace(so_far, diagnostics={**so_far.diagnostics, **gap})
            else:  # there is nothing to show yet but an unfinished map
                yield Estimate(part.values, progress.done, progress.total)
        if mean.enough:
            return


@method(
    "Blur integrated gradients",
    family="Paths",
    needs="gradient",
    cite="Xu et al. 2020",
    passes=lambda options, *_: options["steps"],
    contributes=True,
    linear=True,
)
def blur_ig(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    steps: Annotated[int, {"min": 8, "max": 512}] = 64,
    blur: Annotated[float, {"min": 0.01, "max": 1.0, "step": 0.01}] = 0.2,
) -> Iterator[Estimate]:
    r"""Show what each pixel contributes to the score as the picture emerges from a blur.

    Parameters
    ----------
    steps : int
        Gradients along the path; more of them make the completeness gap smaller.
    blur : float
        Standard deviation of the strongest blur, as a share of the picture's longer side.

    Notes
    -----
    .. math:: M = \int_{\sigma_{\max}}^{0} \frac{\partial S}{\partial x}(x_\sigma) \odot
        \frac{\partial x_\sigma}{\partial \sigma} \, d\sigma

    where :math:`x_\sigma` is the picture blurred by a Gaussian of that standard deviation: integrated gradients along
    pictures that are blurred less and less, so nothing is compared with a colour that the model may not know.
    Whatever survives the strongest blur, the mean colours, gets nothing. The integral is the trapezoid rule's over the
    pictures themselves, exact for models that are linear or quadratic, and not the sum over standard deviations of the
    authors' code; both become the same as the steps become small. The steps are even in the root of the standard
    deviation, as most of a picture is lost in the first pixels of blur. At the edge the blur takes what is
    inside the picture, not black. The contributions add up to the score minus that of the strongest blur.

    **When to use:** for signed contributions where no baseline colour is neutral, as in pictures with textures.

    **When not to use:** where flat areas and mean colours matter to the class: they get nothing.
    """
    sigmas = blur * max(x.shape[1:-1]) * np.linspace(1, 0, steps) ** 2

    def at(chosen: Indices) -> tuple[Array, Array]:
        around = np.clip(np.arange(chosen[0] - 1, chosen[-1] + 2), 0, steps - 1)
        pictures = blurred(x, *sigmas[around])
        return pictures[1:-1], (pictures[2:] - pictures[:-2]) / np.float32(2)

    # Neighbours are taken together, as they are each other's step.
    parts = [np.arange(*one) for one in chunks(steps, len(x), model.info.together(x.shape[1:-1]))]
    parts = [parts[number] for number in spread_out(len(parts))]
    yield from integrate(model, targets, Path(parts, even(steps), (0, steps - 1), at))
