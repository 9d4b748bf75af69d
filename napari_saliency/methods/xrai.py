"""Maps of regions: which parts of the picture, as wholes, speak for the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import empty_picture
from napari_saliency.methods._shared.path_integral import completeness, difference, integrate, straight
from napari_saliency.methods._shared.segmentation import SCALES, best_regions, mean_in_each, segments
from napari_saliency.methods._shared.steps import prefetch
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from napari_saliency.methods._shared.segmentation import Labels
    from napari_saliency.models.base import Model


@method(
    "XRAI",
    family="Paths",
    order=2,
    needs="gradient",
    cite="Kapishnikov et al. 2019, algorithm 1",
    passes=lambda options, *_: 2 * options["steps"],
    layout="pixels",
)
def xrai(
    model: Model, x: Array, targets: Targets, *, steps: Annotated[int, {"min": 8, "max": 512}] = 64
) -> Iterator[Estimate]:
    r"""Rank regions of the picture by their contribution to the score: integrated gradients without speckle.

    Parameters
    ----------
    steps : int
        Gradients for each of the two baselines, black and white.

    Notes
    -----
    .. math:: M_p = \frac{1}{|R_p|} \sum_{q \in R_p} \sum_c a_{q,c}

    where :math:`a` are integrated gradients, and :math:`R_p` is the region of pixel :math:`p`. The picture is cut into
    overlapping segments at six scales. The segment whose pixels contribute most, in the
    mean, is the first region, and so on with what is left. What is segmented is the picture with preprocessing
    undone. The attribution is the mean of the integrated gradients from black and from white, and that of a pixel the
    sum over its channels (the authors' code takes the largest), so that the map adds up to the score minus the mean
    of those of black and white; by how much it misses that is the completeness gap. Segments are those of the
    authors' code, with its numbers: of Felzenszwalb and Huttenlocher 2004, widened over their edges. They are cut
    while the model runs: the first picture has regions of one pixel, the next ones those of the first scale, the last
    one those of all scales.

    **When to use:** to see whole objects rather than points, for a class that has clear outlines.

    **When not to use:** on volumes, which it refuses, or where single pixels matter: every pixel has its region's
    value.

    Raises
    ------
    ModelError
        If the model takes volumes.
    """
    if x.ndim != 4:
        raise ModelError(
            f"XRAI looks for regions of pictures, and {model.info.name} takes volumes: choose integrated gradients"
        )
    pictures = model.info.input.preprocessing.inverse(x)
    attributions = _attributions(model, x, targets, steps)
    result = next(attributions)
    total = result.total + len(SCALES)
    yield Estimate(result.values, result.done, total)
    members: list[list[csr_array]] = [[] for _ in pictures]
    cuts = prefetch([segments(picture, scale) for picture in pictures] for scale in SCALES)
    for attributed, cut in zip_longest(attributions, cuts):
        result = attributed or result
        for some, new in zip(members, cut or (), strict=bool(cut)):
            some.append(new)
        done = result.done + len(members[0])
        if len(members[0]) == 1 or done == total:  # it takes as long as a gradient
            regions = list(map(best_regions, result.values, members))
        yield Estimate(_means(result.values, regions), done, total, diagnostics=result.diagnostics)


def _attributions(model: Model, x: Array, targets: Targets, steps: int) -> Iterator[Estimate]:
    """Average the integrated gradients from black and from white, (N, h, w), with the completeness gap.

    The first estimate is of black alone, so that something shows at once.
    """
    starts = (empty_picture(model, x, "black"), empty_picture(model, x, "white"))
    blacks, whites = (
        integrate(model, targets, straight(model, x, start, steps, "trapezoid")) for start in starts
    )
    early = next(blacks)
    yield Estimate(early.values.sum(axis=-1), early.done, 2 * early.total)
    for black, white in zip(chain([early], blacks), whites, strict=True):
        values = ((black.values + white.values) / 2).sum(axis=-1)
        done, total = black.done + white.done, black.total + white.total
        gap = completeness(values, (difference(black) + difference(white)) / 2) if done == total else {}
        yield Estimate(values, done, total, diagnostics=gap)


def _means(attributions: Array, regions: Sequence[Labels]) -> Array:
    return np.stack(list(map(mean_in_each, attributions, regions)))
