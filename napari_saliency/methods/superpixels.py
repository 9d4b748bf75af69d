"""Maps of superpixels, made by covering some of them: they need only a model's scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import Empty
from napari_saliency.methods._shared.masking import MaskedImages
from napari_saliency.methods._shared.segmentation import segment
from napari_saliency.methods._shared.steps import chunks, prefetch
from napari_saliency.methods._shared.surrogates import Lime, Sampling, Shapley, Surrogate
from napari_saliency.methods.registry import method
from napari_saliency.methods.sampling import Precision, Seed

if TYPE_CHECKING:
    from napari_saliency.methods._shared.segmentation import Labels
    from napari_saliency.methods._shared.surrogates import Coalitions
    from napari_saliency.models.base import Model

Segments = Annotated[
    int,
    {
        "min": 2,
        "max": 200,
        "tooltip": "Superpixels asked for; SLIC makes about as many. Nothing smaller is found, and more of "
        "them need more samples.",
    },
]
Samples = Annotated[
    int,
    {
        "min": 2,
        "max": 20000,
        "tooltip": "Pictures with some superpixels covered, at most: each is one run of the model. The standard error "
        "falls with the square root of their number.",
    },
]
Fill = Annotated[
    Empty,
    {
        "tooltip": "What covers. Superpixels that look like it get nothing, whatever they mean to the model. A number "
        "from 0 (black) to 255 (white) is a grey; several, as 124, 116, 104, are one for each channel."
    },
]


@method(
    "LIME",
    family="Perturbations",
    order=2,
    needs="scores",
    cite="Ribeiro et al. 2016, eq. 1 and 2",
    passes=lambda options, *_: options["samples"],
    linear=True,
)
def lime(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    segments: Segments = 50,
    samples: Samples = 1000,
    kernel_width: Annotated[float, {"min": 0.1, "max": 10.0, "step": 0.05, "advanced": True}] = 0.25,
    ridge: Annotated[float, {"min": 0.0, "max": 1000.0, "advanced": True}] = 1.0,
    fill: Fill = "mean",
    precision: Precision = 0.0,
    seed: Seed = 0,
) -> Iterator[Estimate]:
    r"""Estimate what each superpixel adds to the score near this picture, by a linear model; works for every model.

    Parameters
    ----------
    kernel_width : float
        Width of the neighbourhood: coalitions at this cosine distance from the whole picture count 1/e of it.
    ridge : float
        Penalty on the squares of the superpixels' values, as in the authors' program; it counts less the more
        samples there are. 0 for plain least squares.

    Notes
    -----
    .. math:: M = \arg\min_w \min_b \sum_z e^{-d(z)^2 / \tau^2} \big(S(x_z) - b - w \cdot z\big)^2
        + \lambda \, \|w\|^2

    where :math:`z` says which superpixels are left, each with probability ½, :math:`x_z` is the picture with the others
    covered, :math:`d` the cosine distance between what is left and all, :math:`\tau` the kernel width and
    :math:`\lambda` the ridge (eq. 2). The coefficients are painted on their superpixels. The paper's Ω, the
    complexity, is the ridge: all superpixels are shown, and none is left out for brevity. The standard errors
    are those of the regression, see `Regression`; R² tells how much of the scores' variance the linear model
    explains: where it is small, no linear model is true of this picture.

    **When to use:** with any model, to rank a picture's pieces by what they add near this picture.

    **When not to use:** where R² is small, or where pieces matter only together; or where the values must add up:
    Kernel SHAP's do.
    """
    superpixels = _superpixels(model, x, segments)
    masked = MaskedImages(model, x, fill, "lime", segments, seed)
    sampling = Sampling(samples, precision, seed)
    fits = [Lime(labels, sampling, kernel_width, ridge) for labels in superpixels]
    yield from _fitted(masked, targets, fits, model.info.together(x.shape[1:-1]))


@method(
    "Kernel SHAP",
    family="Perturbations",
    order=2,
    needs="scores",
    cite="Lundberg and Lee 2017, theorem 2",
    passes=lambda options, *_: 2 + min(options["samples"] // 2 * 2, 2 ** options["segments"] - 2),
    linear=True,
)
def kernel_shap(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    segments: Segments = 50,
    samples: Samples = 2048,
    fill: Fill = "mean",
    precision: Precision = 0.0,
    seed: Seed = 0,
) -> Iterator[Estimate]:
    r"""Estimate each superpixel's Shapley value, its fair share of the score; works for every model.

    Notes
    -----
    .. math:: M_i = \sum_{T \not\ni i} \frac{|T|! \, (K - |T| - 1)!}{K!} \big(S(x_{T \cup i}) - S(x_T)\big)

    where :math:`x_T` is the picture with all of its :math:`K` superpixels covered but those in :math:`T`: the mean,
    over all orders in which superpixels could be uncovered, of what the score gains by uncovering this one. It is the
    solution of a weighted regression on coalitions (theorem 2), and painted on all of the superpixel's pixels. The
    superpixels' values add up to the score of the picture minus that of the covered one exactly, at any time: the
    completeness gap is rounding. With few superpixels, where all coalitions are not more than ``samples`` (11
    superpixels by default), all are taken and the values are exact; else pairs of a coalition and its complement are
    drawn by the kernel's weights. The standard errors are those of the regression, see `Regression`.

    **When to use:** with any model, for shares of the score that add up and share interactions fairly.

    **When not to use:** with many superpixels and few samples: see the standard error.
    """
    masked = MaskedImages(model, x, fill, "kernel_shap", segments, seed)
    superpixels = _superpixels(model, x, segments)
    gains = np.subtract(*masked.ends(targets), dtype=np.float64)
    sampling = Sampling(samples, precision, seed)
    fits = [Shapley(labels, sampling, float(gain)) for labels, gain in zip(superpixels, gains, strict=True)]
    yield from _fitted(masked, targets, fits, model.info.together(x.shape[1:-1]))


def _superpixels(model: Model, x: Array, segments: int) -> Iterator[Labels]:
    """Cut each picture into superpixels; the model may run meanwhile."""
    pictures = model.info.input.preprocessing.inverse(x)
    return prefetch(segment(picture, segments) for picture in pictures)


def _fitted(
    masked: MaskedImages, targets: Targets, fits: Sequence[Surrogate], together: int
) -> Iterator[Estimate]:
    """Draw samples of all pictures together, for each as many as it needs."""
    of = fits[0].together
    total = max(1, *(fit.samples for fit in fits))
    exact = tuple(fit.exact for fit in fits)

    def coalitions_and_pictures() -> Iterator[tuple[int, int, Sequence[Coalitions], Array]]:
        for begin, stop in chunks(total, len(fits) * of, together, first=2 // of):
            coalitions = [fit.draw(stop - begin) for fit in fits]
            pictures = masked.pictures((begin, stop, exact), partial(_masks, fits, coalitions))
            yield begin, stop, coalitions, pictures

    for begin, stop, drawings, pictures in prefetch(coalitions_and_pictures()):
        values = masked.values((begin, stop, exact), targets, pictures)
        for fit, coalitions, each in zip(fits, drawings, values.T, strict=True):
            fit.add(coalitions, each)
        enough = all(fit.enough for fit in fits)
        yield _estimate(fits, stop * of, (stop if enough else total) * of)
        if enough:
            return


def _masks(fits: Sequence[Surrogate], drawn: Sequence[Coalitions]) -> Array:
    """Make masks (M, N, *space) of M coalitions of each of N pictures."""
    # To clip is faster than to check, and there is nothing to clip.
    each = [
        coalitions.astype(np.float32).take(fit.labels, axis=1, mode="clip")
        for fit, coalitions in zip(fits, drawn, strict=True)
    ]
    return np.stack(each, axis=1)


def _estimate(fits: Sequence[Surrogate], done: int, total: int) -> Estimate:
    values, errors, figures = zip(*(fit.estimate() for fit in fits), strict=True)
    diagnostics = {name: np.array([each[name] for each in figures], np.float32) for name in figures[0]}
    return Estimate(np.stack(values), done, total, np.stack(errors), diagnostics)
