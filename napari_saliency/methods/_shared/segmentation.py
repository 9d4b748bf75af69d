"""Cutting a picture into pieces that belong together: superpixels, and regions at several scales.

The pieces depend on the picture alone. Those cut last are kept by its content, so that another class, score, model or
check cuts nothing again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import wraps
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from napari_saliency.core.types import Array

Labels = npt.NDArray[np.integer[Any]]
Cut = Callable[..., Labels]

MOST_BYTES = 64 << 20
"""Most bytes of labels that a function keeps; the oldest go first."""

COMPACTNESS, SIGMA = 0.3, 1
"""Parameters of SLIC: evenness of the pieces, for values from 0 to 1, and a blur in pixels, without which noise ends up
in one piece."""

ROUNDS = 7
"""Iterations of SLIC: pieces explain as much of the colours' variance as after ten (.80 in ten photos; 5: .78)."""

SCALES = (1200, 500, 250, 150, 100, 50)
"""Scales of Felzenszwalb and Huttenlocher's segmentation, the coarsest first.

These and the next numbers are those of XRAI's authors, for pictures of 224×224. They follow a picture's
size: scales and counts of pixels its area, the others its side.
"""

SIDE = 224
BLUR = 0.8  # standard deviation, before segmenting
SMALLEST = 150  # pixels of a segment
EDGE = 5  # pixels by which segments are widened, as attributions lie on edges
SLIVER = 50  # pixels; a segment that would add fewer of them is left out


def memoized(cut: Cut) -> Cut:
    """Cache the latest results of a function that cuts pictures into pieces.

    Parameters
    ----------
    cut : callable
        ``cut(picture, *options)`` returns labels of the pixels, which depend on nothing else.

    Returns
    -------
    callable
        The same; its labels are read-only.
    """
    cache: dict[tuple[Hashable, ...], Labels] = {}
    lock = Lock()

    @wraps(cut)
    def once(picture: Array, *options: Hashable) -> Labels:
        key = (sha256(picture.tobytes()).digest(), picture.shape, *options)
        with lock:
            if key not in cache:
                cache[key] = cut(picture, *options)
                cache[key].flags.writeable = False
                while len(cache) > 1 and sum(labels.nbytes for labels in cache.values()) > MOST_BYTES:
                    del cache[next(iter(cache))]
            return cache[key]

    return once


@memoized
def segment(picture: Array, segments: int) -> Labels:
    """Cut a picture or volume into superpixels by SLIC (Achanta et al. 2012); nothing about it is random.

    Parameters
    ----------
    picture : (*space, C) float32
        Before preprocessing, so that models which preprocess otherwise get the same pieces. Colours are
        compared as they are, whatever they stand for.
    segments : int
        How many are asked for; SLIC starts from an even grid, and small pieces join their neighbours.

    Returns
    -------
    (*space) int
        0 to K-1; each of them occurs. Read-only: those of the last pictures are kept.
    """
    from skimage.segmentation import slic  # takes a second to import

    labels = slic(
        picture.astype(np.float64),  # what it is fastest with
        n_segments=segments,
        compactness=COMPACTNESS,
        max_num_iter=ROUNDS,
        sigma=SIGMA,
        start_label=0,
        convert2lab=False,
        channel_axis=-1,
    )
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def segments(picture: Array, scale: float) -> csr_array:
    """Cut a picture into segments at one scale, each widened over its edges, so that they overlap.

    Parameters
    ----------
    picture : (h, w, C) float32
        Of any range: its smallest value counts as -1, its largest as 1.
    scale : float
        One of `SCALES`: the larger, the larger the segments.

    Returns
    -------
    (K, h·w) sparse bool
        Which of the pixels lie in which segment.
    """
    from scipy import ndimage, sparse  # slow to import, and only regions need it

    labels = _cut(picture, scale)
    margin = EDGE * _area(picture.shape) ** 0.5
    numbers = np.arange(labels.size).reshape(labels.shape)
    members = []
    for label, where in enumerate(ndimage.find_objects(labels + 1)):
        around = tuple(slice(max(0, int(s.start - margin)), int(s.stop + margin) + 1) for s in where)
        wide = ndimage.distance_transform_edt(labels[around] != label) <= margin
        members.append(numbers[around][wide])
    ends = np.cumsum([0, *map(len, members)])
    result = np.ones(ends[-1], bool), np.concatenate(members), ends
    return sparse.csr_array(result, shape=(len(members), labels.size))


@memoized
def _cut(picture: Array, scale: float) -> Labels:
    """Cut a picture into segments (h, w) that do not overlap, 0 to K-1."""
    from skimage.segmentation import felzenszwalb  # takes two seconds to import

    area = _area(picture.shape)
    low, high = picture.min(), picture.max()
    even = 2 * (picture - low) / max(high - low, np.finfo(np.float32).tiny) - 1
    with warnings.catch_warnings():  # of more than three channels, which may well be meant
        warnings.filterwarnings("ignore", "Got image with third dimension", RuntimeWarning)
        labels = felzenszwalb(even, scale * area, BLUR * area**0.5, max(1, round(SMALLEST * area)))
    return np.asarray(labels, np.int32)


def best_regions(attribution: Array, members: Sequence[csr_array]) -> Labels:
    """Cut a picture into the regions that an attribution makes most of: XRAI's algorithm 1.

    Of all segments the one with the largest gain is taken, then the next. The gain is the mean attribution of those
    of its pixels that are in none taken before: they are a region.

    Parameters
    ----------
    attribution : (h, w) float
    members : sequence of (K, h·w) sparse bool
        From `segments`, for one scale each.

    Returns
    -------
    (h, w) int
        Number of the region that each pixel is in; the last are those that no segment is left for.
    """
    from scipy import sparse

    each = sparse.vstack(members, "csr")
    of_pixels = each.tocsc()
    flat = attribution.ravel().astype(np.float64)
    least = max(1.0, SLIVER * _area(attribution.shape))
    regions, count = np.full(flat.size, -1), 0
    areas, sums = each @ np.ones(flat.size), each @ flat
    while (enough := areas >= least).any():
        # Areas and sums are those that each segment would still add; they are updated, never computed anew.
        best = np.where(enough, sums / np.maximum(areas, 1), -np.inf).argmax()
        pixels = each.indices[slice(*each.indptr[best : best + 2])]
        won = pixels[regions[pixels] < 0]
        regions[won], count = count, count + 1
        begins, ends = of_pixels.indptr[won], of_pixels.indptr[won + 1]
        times = ends - begins  # how many segments each pixel is in
        # All ranges begins..ends in one index: repeated offsets plus a running count.
        losers = of_pixels.indices[np.repeat(ends - times.cumsum(), times) + np.arange(times.sum())]
        areas = areas - np.bincount(losers, minlength=areas.size)
        sums = sums - np.bincount(losers, np.repeat(flat[won], times), sums.size)
    return np.where(regions < 0, count, regions).reshape(attribution.shape)


def mean_in_each(attribution: Array, regions: Labels) -> Array:
    """Give every pixel the mean attribution of its region; both (h, w)."""
    labels = regions.ravel()
    areas = np.bincount(labels)
    sums = np.bincount(labels, attribution.ravel())
    return np.asarray((sums / np.maximum(areas, 1))[regions], np.float32)


def _area(shape: tuple[int, ...]) -> float:
    """Return a picture's area as a multiple of the one that the numbers are meant for."""
    return shape[0] * shape[1] / SIDE**2
