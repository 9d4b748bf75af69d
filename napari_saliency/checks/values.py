"""Checks of the map's own numbers, which do not run the model."""

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
"""Gaps, relative to the difference of scores. Within the first, the paper calls the integral good (section 5)."""

NOISE = 0.45
"""Gini index below which a map is as even as noise: normal noise has √2 − 1 = .41, uniform noise .33."""

CONCENTRATED, EVEN = 2.0, 1.05
"""Multiples of its share of the area that a region must hold of the map: to contain it, and to be favoured at all."""

NO_REGION = "No region was given: draw one in a Labels or Shapes layer and choose it."
WHOLE = "The region is the whole picture, so every map lies in it."
AGAINST = "The map has no positive value, so nothing in it speaks for the target."


@check(
    "Completeness gap",
    family="The map's numbers",
    cite="Sundararajan et al. 2017, proposition 1",
    flat=True,
)
def completeness_gap(subject: Subject) -> Iterator[Finding]:
    r"""Check that the contributions add up to the score, as the method promises.

    Notes
    -----
    .. math:: \frac{\big|\sum_i M_i - (S(x) - S(x'))\big|}{|S(x) - S(x')|}

    as the method itself has reported it; :math:`x'` is the baseline.

    **When to use:** for methods that promise completeness, to see whether enough steps were taken.

    **When not to use:** to judge whether a map is right: the sum says nothing about the places.
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
        yield finding.judged("good", f"The contributions add up to the score within {text}.")
    else:
        level: Level = "doubtful" if gap <= FAR else "bad"
        yield finding.judged(
            level, f"The contributions miss the change of the score by {gap:.0%}: take more steps."
        )


@check("Sparseness", family="The map's numbers", cite="Chalasani et al. 2020, section 5")
def sparseness(subject: Subject) -> Iterator[Finding]:
    r"""Check that the map points somewhere, not everywhere: the Gini index of its magnitudes.

    Notes
    -----
    .. math:: G = 1 - 2 \sum_{k=1}^{n} \frac{|M|_{(k)}}{\|M\|_1} \cdot \frac{n - k + \tfrac{1}{2}}{n}

    with magnitudes :math:`|M|_{(1)} \le \dots \le |M|_{(n)}`: 0 if all are equal, 1 if a single one is not zero.

    **When to use:** to notice maps that are as even as noise.

    **When not to use:** to compare methods of different resolution: coarse maps are smoother by design.
    """
    sizes = magnitude(subject.values, len(subject.space))
    index = gini(sizes[subject.visible(sizes.shape)])
    finding = Finding(1, 1, {"Gini index": index})
    if index < NOISE:
        yield finding.judged("doubtful", f"The map is as evenly spread as noise (Gini index {index:.2f}).")
    else:
        yield finding.judged("good", f"The map is concentrated on some places (Gini index {index:.2f}).")


@check(
    "Mass in the region",
    family="The map's numbers",
    cite="Kohlbrenner et al. 2020, section 4.1",
    region=True,
)
def mass(subject: Subject) -> Iterator[Finding]:
    r"""Measure how much of the map lies in the region, compared with the region's share of the area.

    Notes
    -----
    .. math:: \frac{\sum_{p \in R} \max(0, M_p)}{\sum_p \max(0, M_p)}

    and the same for magnitudes; the first is judged. A pixel of a coarse map that lies partly inside counts by that
    part. Padding around the picture is not part of the area.

    **When to use:** where it is known what the model ought to look at.

    **When not to use:** as proof of what the model uses: a map may lie in the region and be wrong.
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
        outside = result["mass beside the picture"] = 1 - _share(
            positive, _inside(subject.picture, values.shape)
        )
        text += f", {outside:.0%} in the padding around it"
    finding = Finding(1, 1, result, notes=(note,))
    if area == 1:
        yield finding.judged("not applicable", WHOLE)
    elif result["mass"] >= min(CONCENTRATED * area, (1 + area) / 2):
        yield finding.judged("good", f"The map lies in the region: {text}.")
    elif result["mass"] > EVEN * area:
        yield finding.judged("doubtful", f"The map favours the region slightly: {text}.")
    else:
        yield finding.judged("bad", f"The map lies elsewhere: {text}.")


def _inside(region: Region, space: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return how much of each pixel of a map of this size lies in a region, 0 to 1."""
    fine_in_one = math.prod(region.shape) / math.prod(space)
    return region.share(space).astype(np.float64) * region.size / fine_in_one


def _share(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    inside: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> float:
    return float((values * inside).sum() / values.sum(dtype=np.float64))


@check("Pointing game", family="The map's numbers", cite="Zhang et al. 2018, section 4.2", region=True)
def pointing_game(
    subject: Subject,
    *,
    tolerance: Annotated[float, {"min": 0.0, "max": 1.0, "step": 0.01}] = 0.03,
) -> Iterator[Finding]:
    r"""Check that the map's highest point lies in the region.

    Parameters
    ----------
    tolerance : float
        Distance from the region that is tolerated, as a share of the picture's longer side; 0.03 are the paper's
        15 pixels in pictures of 500.

    Notes
    -----
    .. math:: d\big(\arg\max_p M_p, R\big) \le \text{tolerance}

    The map is interpolated onto the picture between its pixels' centres; of several highest points the one nearest to
    the region counts. A map coarser than the picture locates points to half of its pixels, which are tolerated, too.

    **When to use:** where it is known what the model ought to look at, and one point is enough.

    **When not to use:** for maps with several maxima: only the highest point counts.
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
    """Return the distance of the nearest of a map's highest points from a region on the same grid; 0 inside it."""
    from scipy import ndimage  # slow to import, and only regions need it

    return float(ndimage.distance_transform_edt(~region.mask)[fine == fine.max()].min())


def _half_a_pixel(coarse: tuple[int, ...], space: tuple[int, ...]) -> float:
    """Return half the width of a map's pixel, in the picture's pixels; 0 for maps of the picture's size."""
    widest = max(fine / wide for fine, wide in zip(space, coarse, strict=True))
    return widest / 2 if widest > 1 else 0.0
