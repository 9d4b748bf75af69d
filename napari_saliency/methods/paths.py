"""Maps that add up what happens on the way from an empty picture to this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import GREYS, Baseline, blurred, empty_picture, noise_picture
from napari_saliency.methods._shared.chunks import chunks
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
from napari_saliency.methods.registry import method
from napari_saliency.methods.sampling import Precision, Seed

if TYPE_CHECKING:
    from napari_saliency.models.base import Model

Start = Annotated[Literal[Baseline, "random"] | float | tuple[float, ...], GREYS]


def _passes(options: Mapping[str, Any], *_: object) -> int:
    """Of each baseline as many as there are steps; Gauss and Legendre's have none at the ends."""
    baselines = options["samples"] if options["baseline"] == "random" else 1
    return int(baselines * (options["steps"] + 2 * (options["rule"] == "gauss_legendre")))


@method(
    "Integrated gradients",
    needs="gradient",
    cite="Sundararajan et al. 2017, eq. 1",
    passes=_passes,
    contributes=True,
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
    """What each pixel contributes to the score, compared with an empty picture.

    Parameters
    ----------
    steps : int
        Gradients along the way; more of them make the completeness gap smaller.
    baseline : {"black", "white", "mean", "blur", "random"}, number or tuple of numbers
        The empty picture. Pixels that look like it get nothing, whatever they mean to the model; the mean
        over many random ones spares no pixel. A number from 0 (black) to 255 (white) is a grey; several, as
        124, 116, 104, are one for each channel.
    rule : {"trapezoid", "gauss_legendre"}
        How the integral is made of the gradients. Gauss and Legendre's needs fewer of them where the score
        changes smoothly; on networks of ReLUs, which do not, there is little between the two.
    samples : int
        Random baselines, at most: as many ways of ``steps`` gradients each. Of no other baseline.

    Notes
    -----
    The contributions of all pixels add up to the score minus the empty picture's score; by how much
    they do not is reported as the completeness gap. The steps are taken in an order that covers the whole
    way early, so that the map sharpens evenly.

    A random baseline is noise: each value is drawn from 0 to 255 alike, before preprocessing (Sturmfels
    et al. 2020, "uniform"). The mean of the maps over baselines is called expected gradients (Erion et al.
    2021), whose authors draw pictures of the training data, which are not at hand here; its completeness
    gap is that to the score minus the mean of the baselines' scores. Every picture of a batch gets the same
    noise, so that it does not depend on its company.
    """
    if baseline != "random":
        start = empty_picture(model, x, baseline)
        yield from integrate(model, targets, straight(model, x, start, steps, rule))
        return
    random = np.random.default_rng(seed)
    ways = (straight(model, x, noise_picture(model, x, random), steps, rule) for _ in range(samples))
    yield from _averaged(model, targets, ways, RunningMean(precision), samples)


def _averaged(
    model: Model, targets: Targets, ways: Iterator[Path], running: RunningMean, samples: int
) -> Iterator[Estimate]:
    """Mean of the maps of several ways, and of the differences of scores that they should add up to."""
    counts = differences = np.zeros(len(targets.weights))
    gap: Mapping[str, Array] = {}
    for number, way in enumerate(ways):
        for part in integrate(model, targets, way):
            done = number * part.total + part.done
            if part.done == part.total:
                running.add(part.values[None])
                taken = running.counts - counts  # 0 of pictures that are precise enough
                differences = differences + taken * difference(part)
                counts = counts + taken
                gap = completeness(running.values, differences / counts)
            elif not number:  # there is nothing to show yet but what is not finished
                yield Estimate(part.values, done, samples * part.total)
                continue
            mean = running.estimate(done, samples * part.total)
            yield replace(mean, diagnostics={**mean.diagnostics, **gap})
        if running.enough:
            return


@method(
    "Blur integrated gradients",
    needs="gradient",
    cite="Xu et al. 2020",
    passes=lambda options, *_: options["steps"],
    contributes=True,
)
def blur_ig(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    steps: Annotated[int, {"min": 8, "max": 512}] = 64,
    blur: Annotated[float, {"min": 0.01, "max": 1.0, "step": 0.01}] = 0.2,
) -> Iterator[Estimate]:
    """What each pixel contributes to the score while the picture comes out of a blur.

    Parameters
    ----------
    steps : int
        Gradients along the way; more of them make the completeness gap smaller.
    blur : float
        Standard deviation of the strongest blur, as a share of the picture's longer side.

    Notes
    -----
    Integrated gradients along the way of pictures that are blurred less and less: nothing is compared with
    a colour that the model may not know. Whatever is left of the picture in the strongest blur, its mean
    colours, gets nothing. The integral is the trapezoid rule's over the pictures themselves, exact for
    models that are linear or quadratic, and not the sum over standard deviations of the authors' code; both
    become the same as the steps become small. The steps are even in the root of the standard deviation, as
    most of a picture is lost in the first pixels of blur. At the edge the blur takes what is
    inside the picture, no black. The contributions add up to the score minus that of the strongest blur.
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
