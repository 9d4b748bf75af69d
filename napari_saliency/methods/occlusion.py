"""Maps made by covering parts of the picture: they need nothing of a model but its scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import gcd, prod
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from napari_saliency._types import Array, Estimate, Targets
from napari_saliency.methods._baselines import Baseline, empty_picture
from napari_saliency.methods._beforehand import beforehand
from napari_saliency.methods._chunks import chunks
from napari_saliency.methods._registry import method

if TYPE_CHECKING:
    from napari_saliency.models import ModelInfo
    from napari_saliency.models._base import Model

Window = tuple[slice, ...]


def _passes(options: Mapping[str, Any], _: ModelInfo, space: tuple[int, ...]) -> int:
    """One for the whole picture, and one for each window."""
    return 1 + prod(map(len, _starts(space, *_sides(space, options["window"], options["stride"]))))


@method("Occlusion", needs="scores", cite="Zeiler and Fergus 2014, section 4.2", passes=_passes)
def occlusion(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    window: Annotated[int, {"min": 0, "max": 1024, "least": "automatic"}] = 0,
    stride: Annotated[int, {"min": 0, "max": 1024, "least": "automatic"}] = 0,
    fill: Baseline = "mean",
) -> Iterator[Estimate]:
    """How far the score falls when a part of the picture is covered; works for every model.

    Parameters
    ----------
    window : int
        Side of what is covered, in pixels that the model gets; 0 for an eighth of the picture's
        shortest side, of a volume a quarter. It is cut where the picture is smaller.
    stride : int
        Pixels from one window to the next, at most ``window``; 0 for half of it.
    fill : {"black", "white", "mean", "blur"}
        What covers. Parts that look like it get nothing, whatever they mean to the model.

    Notes
    -----
    A pixel's value is the mean, over all windows that cover it, of the score of the whole picture minus
    the score with that window covered: positive where the pixel speaks for the class. (The paper shows
    the covered score itself, at the middle of each window.) Windows stand every ``stride`` pixels from
    the first on, and one more at the far edge, so every pixel is covered. Until the first window
    that covers a pixel has been tried its value is 0; a coarse grid of windows is tried first.
    """
    space = x.shape[1:-1]
    windows = _windows(space, *_sides(space, window, stride))
    empty = empty_picture(model, x, fill)
    run = model.recall(x, "occlusion", window, stride, fill)
    before = model.weigh(run.scores((), partial(model.scores, x)), targets)
    falls, times = np.zeros(x.shape[:-1]), np.zeros(space)
    steps = chunks(len(windows), len(x), model.info.together(space))
    made = ((step, run.needed(step, partial(_covered, x, empty, windows[slice(*step)]))) for step in steps)
    for (begin, stop), pictures in beforehand(made):
        some = windows[begin:stop]
        scores = run.scores((begin, stop), partial(model.scores, pictures))
        values = model.weigh(scores, targets.repeat(len(some))).reshape(len(some), len(x))
        for where, value in zip(some, values, strict=True):
            falls[:, *where] += np.reshape(before - value, (-1, *(1 for _ in where)))
            times[where] += 1
        yield Estimate((falls / np.maximum(times, 1)).astype(np.float32), stop, len(windows))


def _sides(space: tuple[int, ...], window: int, stride: int) -> tuple[int, int]:
    """A window's side and stride, chosen by the picture's size where they are 0."""
    window = window or max(1, min(space) // (8 if len(space) == 2 else 4))
    return window, stride or max(1, window // 2)


def _starts(space: tuple[int, ...], window: int, stride: int) -> list[list[int]]:
    """Where windows begin along each axis; the last one ends at the far edge."""
    return [[*range(0, max(side - window, 0), stride), max(side - window, 0)] for side in space]


def _windows(space: tuple[int, ...], window: int, stride: int) -> list[Window]:
    """All places of a window, those of coarse grids first.

    Raises
    ------
    ValueError
        If there would be pixels between the windows.
    """
    if stride > window:
        raise ValueError(
            f"stride={stride} is more than window={window}: pixels between the windows would never be covered"
        )
    sizes, starts = [min(window, side) for side in space], _starts(space, window, stride)
    grid = list(product(*(range(len(some)) for some in starts)))
    grid.sort(key=lambda place: -min(gcd(number, 1 << 30) for number in place))
    return [
        tuple(slice(some[i], some[i] + size) for some, size, i in zip(starts, sizes, place, strict=True))
        for place in grid
    ]


def _covered(x: Array, empty: Array, windows: Sequence[Window]) -> Array:
    """Pictures (M·N, *space, C): all N with the first of M windows covered, then with the second."""
    covered = np.repeat(x[None], len(windows), axis=0)
    for pictures, where in zip(covered, windows, strict=True):
        pictures[:, *where] = empty[:, *where]
    return covered.reshape(-1, *x.shape[1:])
