"""Maps made from scores under many random masks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import Empty
from napari_saliency.methods._shared.layers import upsampled
from napari_saliency.methods._shared.masking import MaskedImages
from napari_saliency.methods._shared.running_stats import RunningMean
from napari_saliency.methods._shared.steps import chunks, prefetch
from napari_saliency.methods.registry import method
from napari_saliency.methods.sampling import Precision, Seed

if TYPE_CHECKING:
    from napari_saliency.models.base import Model


@method(
    "RISE",
    family="Perturbations",
    order=1,
    needs="scores",
    cite="Petsiuk et al. 2018, eq. 6",
    passes=lambda options, *_: options["samples"] + 2 * options["centred"],
    linear=True,
)
def rise(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    samples: Annotated[int, {"min": 2, "max": 20000}] = 4000,
    cells: Annotated[int, {"min": 0, "max": 64}] = 0,
    probability: Annotated[float, {"min": 0.05, "max": 0.95, "step": 0.05, "advanced": True}] = 0.5,
    fill: Empty = "black",
    centred: bool = True,
    precision: Precision = 0.0,
    seed: Seed = 0,
) -> Iterator[Estimate]:
    r"""Measure how much higher the score is when random masks leave a pixel visible; works for every model.

    Parameters
    ----------
    samples : int
        Masks, at most: each is one run of the model. The standard error falls with the square root of
        their number.
    cells : int
        Cells of a mask along each side; 0 for 7, in volumes 4. Nothing smaller is found, and more cells need
        more masks.
    probability : float
        Chance of a cell to be left visible.
    fill : {"black", "white", "mean", "blur"}, number or tuple of numbers
        What covers; black is the paper's product of picture and mask. A number from 0 (black) to
        255 (white) is a grey; several, as 124, 116, 104, are one for each channel.
    centred : bool
        Subtract what all pixels have in common, whatever the picture shows, and much of the error with it;
        otherwise the map is eq. 6 as it stands.

    Notes
    -----
    .. math:: M_p = \frac{1}{n \, \pi} \sum_{i=1}^{n} \big(S(x_{m_i}) - c\big) \big(m_{i,p} - \pi\big)

    where :math:`x_m` is the picture under mask :math:`m` and :math:`\pi` is ``probability``; this is the centred map.
    Eq. 6 has neither :math:`c` nor :math:`- \pi`: it is unbiased for the expected score given that the pixel is
    visible. It has a large constant part, the expected score over all masks, which also is most of its largest value
    and therefore of what the relative standard error is relative to; shown from 0 on, it hides where the map differs.
    The centred map's expectation is the uncentred one's less the expected score, whatever the constant :math:`c`; the
    mean of the whole and the empty picture's scores makes its error small.

    Masks are grids of cells enlarged bilinearly, to one cell more than the picture on each side (a cell
    has the side of the picture divided by ``cells``, rounded up), and shifted by up to one cell. All pictures of
    a batch get the same, so that none depends on its batch. Another class uses the cached scores.

    **When to use:** with any model, to find several objects of a class without choosing a window.

    **When not to use:** for small details, or when thousands of passes are too many: see the standard error.
    """
    grid = _Grid.of(x.shape[1:-1], cells, probability)
    masked = MaskedImages(model, x, fill, "rise", grid.cells, probability, seed)
    middle = np.mean(masked.ends(targets), axis=0) if centred else np.zeros(len(x), np.float32)
    expected = probability if centred else 0.0
    random, mean = np.random.default_rng(seed), RunningMean(precision)

    def masks_and_pictures() -> Iterator[tuple[int, int, Array, Array]]:
        for begin, stop in chunks(samples, len(x), model.info.together(x.shape[1:-1])):
            masks = np.stack([grid.mask(random) for _ in range(begin, stop)])[:, None]
            yield begin, stop, masks, masked.pictures((begin, stop), partial(np.asarray, masks))

    for begin, stop, masks, pictures in prefetch(masks_and_pictures()):
        values = masked.values((begin, stop), targets, pictures) - middle
        shares = (values / probability).reshape(*values.shape, *(1 for _ in grid.space))
        mean.add(shares * (masks - expected))
        yield mean.estimate(stop, samples)
        if mean.enough:
            return


class _Grid(NamedTuple):
    """Small random grids, and the interpolation that enlarges each axis."""

    space: tuple[int, ...]
    cells: tuple[int, ...]
    probability: float
    enlarging: tuple[Array, ...]  # of each axis: (rows of the enlarged grid, cells)

    @classmethod
    def of(cls, space: tuple[int, ...], cells: int, probability: float) -> _Grid:
        each = tuple(min(cells or (7 if len(space) == 2 else 4), side) for side in space)
        enlarging = tuple(_enlarging(side, count) for side, count in zip(space, each, strict=True))
        return cls(space, each, probability, enlarging)

    def mask(self, random: np.random.Generator) -> Array:
        """Draw one mask, (*space) float32 from 0 to 1."""
        result: Array = (random.random(self.cells) < self.probability).astype(np.float32)
        for side, rows in zip(self.space, self.enlarging, strict=True):
            edge = len(rows) // (rows.shape[1] + 1)
            shift = random.integers(edge + 1)
            # The axis that is enlarged comes first and goes last, so that after all of them the order is back.
            result = np.asarray(np.tensordot(result, rows[shift : shift + side], (0, 1)), np.float32)
        return result


def _enlarging(side: int, cells: int) -> Array:
    """Return weights of bilinear interpolation, ((cells + 1) · edge, cells), of cells with an edge in pixels."""
    size = (cells + 1) * -(-side // cells)
    return np.ascontiguousarray(upsampled(np.eye(cells, dtype=np.float32), (size,)).T)
