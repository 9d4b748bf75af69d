"""What the map's own numbers tell; none of these runs the model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_saliency.checks.finding import Finding, Level, Subject
from napari_saliency.checks.maps import gini, magnitude, on_grid, relevance
from napari_saliency.checks.registry import check

if TYPE_CHECKING:
    from napari_saliency.core.placement import Region
    from napari_saliency.core.types import Array

CLOSE, FAR = 0.05, 0.2
"""Gaps, relative to the difference of scores. Within the first the paper calls the integral good (section 5)."""

NOISE = 0.45
"""Gini index below which a map is spread as evenly as noise: normal noise has √2 − 1 = .41, uniform .33."""

CONCENTRATED, EVEN = 2.0, 1.05
"""Times its share of the area that a region must hold of the map: to be where it lies, and to be favoured at all."""

NO_REGION = "No region was given: draw one in a Labels or Shapes layer and choose it."
WHOLE = "The region is the whole picture, which every map lies in."
AGAINST = "Nothing in the map speaks for the target: no value of it is positive."


@check("Completeness gap", cite="Sundararajan et al. 2017, proposition 1", flat=True)
def completeness_gap(subject: Subject) -> Iterator[Finding]:
    """Whether the contributions add up to the score, as the method promises.

    Notes
    -----
    By how much the map's sum misses the score less the empty picture's, relative to that difference; as the
    method itself has reported it.
    """
    gap = subject.diagnostics.get("relative completeness gap")
    if gap is None:
        yield Finding(1, 1).judged(
            "not applicable", "The method does not promise that its values add up to the score."
        )
        return
    finding = Finding(1, 1, {"gap": float(gap)})
    if gap <= CLOSE:
        text = f"{gap:.1%}" if gap >= 0.001 else "less than 0.1%"
        yield finding.judged("good", f"The contributions add up to the score, but for {text}.")
    else:
        level: Level = "doubtful" if gap <= FAR else "bad"
        yield finding.judged(
            level, f"The contributions miss the change of the score by {gap:.0%}: take more steps."
        )


@check("Sparseness", cite="Chalasani et al. 2020, section 5")
def sparseness(subject: Subject) -> Iterator[Finding]:
    """Whether the map points anywhere, or at everything: the Gini index of its magnitudes."""
    sizes = magnitude(subject.values, len(subject.space))
    index = gini(sizes[subject.visible(sizes.shape)])
    finding = Finding(1, 1, {"Gini index": index})
    if index < NOISE:
        yield finding.judged("doubtful", f"The map is spread as evenly as noise (Gini index {index:.2f}).")
    else:
        yield finding.judged("good", f"The map is concentrated on some places (Gini index {index:.2f}).")


@check("Mass in the region", cite="Kohlbrenner et al. 2020, section 4.1", region=True)
def mass(subject: Subject) -> Iterator[Finding]:
    """How much of the map lies in the region, compared with the region's share of the area.

    Notes
    -----
    The share of the positive values' sum, and of the magnitudes'. A pixel of a coarse map that lies partly
    inside counts by that part. Judged is that of what counts, as in the figure "mass". Where there is black around
    the picture, that is no part of the area.
    """
    region = subject.region
    values, note = relevance(subject)
    if region is None or values.max() <= 0:
        yield Finding(1, 1).judged("not applicable", NO_REGION if region is None else AGAINST)
        return
    inside, area = _inside(region, values.shape), region.size / subject.size
    positive = np.maximum(values, 0)
    result = {
        "mass": _share(positive, inside),
        "mass of magnitudes": _share(magnitude(subject.values, values.ndim), inside),
        "area": area,
    }
    text = f"{result['mass']:.0%} of the map in {area:.0%} of the picture"
    if subject.picture:
        beside = result["mass beside the picture"] = 1 - _share(
            positive, _inside(subject.picture, values.shape)
        )
        text += f", {beside:.0%} in the black around it"
    finding = Finding(1, 1, result, notes=(note,))
    if area == 1:
        yield finding.judged("not applicable", WHOLE)
    elif result["mass"] >= min(CONCENTRATED * area, (1 + area) / 2):
        yield finding.judged("good", f"The map lies in the region: {text}.")
    elif result["mass"] > EVEN * area:
        yield finding.judged("doubtful", f"The map favours the region a little: {text}.")
    else:
        yield finding.judged("bad", f"The map lies elsewhere: {text}.")


def _inside(region: Region, space: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """How much of each pixel of a map of a size lies in a region, 0 to 1."""
    fine_in_one = math.prod(region.shape) / math.prod(space)
    return region.share(space).astype(np.float64) * region.size / fine_in_one


def _share(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    inside: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    return float((values * inside).sum() / values.sum(dtype=np.float64))


@check("Pointing game", cite="Zhang et al. 2018, section 4.2", region=True)
def pointing_game(
    subject: Subject,
    *,
    tolerance: Annotated[float, {"min": 0.0, "max": 1.0, "step": 0.01}] = 0.03,
) -> Iterator[Finding]:
    """Whether the map's highest point lies in the region.

    Parameters
    ----------
    tolerance : float
        How far from the region it may lie, as a share of the picture's longer side; 0.03 are the paper's 15
        pixels in pictures of 500.

    Notes
    -----
    The highest point of the map laid over the picture, interpolated between its pixels' centres; of several
    the one that is nearest to the region. A map that is coarser than the picture tells places no better
    than to half of its pixels, so they are tolerated, too.
    """
    region = subject.region
    values, note = relevance(subject)
    if region is None or values.max() <= 0:
        yield Finding(1, 1).judged("not applicable", NO_REGION if region is None else AGAINST)
        return
    away = _distance(region, on_grid(values, subject.space))
    finding = Finding(1, 1, {"distance": away}, notes=(note,))
    if region.size == subject.size:
        yield finding.judged("not applicable", WHOLE)
    elif away <= tolerance * max(subject.space) + _half_a_pixel(values.shape, subject.space):
        where = "lies in the region" if not away else f"lies {away:.0f} pixels beside the region"
        yield finding.judged("good", f"The map's highest point {where}.")
    else:
        yield finding.judged("bad", f"The map's highest point lies {away:.0f} pixels away from the region.")


def _distance(region: Region, fine: Array) -> float:
    """How far the nearest of a map's highest points lies from a region on the same grid; 0 inside of it."""
    from scipy import ndimage  # nobody shall wait for it who has no region

    return float(ndimage.distance_transform_edt(~region.mask)[fine == fine.max()].min())


def _half_a_pixel(coarse: tuple[int, ...], space: tuple[int, ...]) -> float:
    """Half the width of a map's pixel, in the picture's; 0 of maps of the picture's size."""
    widest = max(fine / wide for fine, wide in zip(space, coarse, strict=True))
    return widest / 2 if widest > 1 else 0.0
