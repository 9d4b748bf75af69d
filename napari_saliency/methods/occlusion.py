"""Maps made by covering parts of the picture: they need only a model's scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import gcd, prod
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.baselines import Empty, empty_picture
from napari_saliency.methods._shared.steps import chunks, prefetch
from napari_saliency.methods.registry import method

if TYPE_CHECKING:
    from napari_saliency.models import ModelInfo
    from napari_saliency.models.base import Model

Window = tuple[slice, ...]
Sides = tuple[int, ...]
Pixels = Annotated[int | Sides, {"min": 0, "max": 1024, "min_text": "automatic"}]


def _passes(options: Mapping[str, Any], _: ModelInfo, space: tuple[int, ...]) -> int:
    """Count one for the whole picture, and one for each window."""
    return 1 + prod(map(len, _starts(space, *_sides(space, options["window"], options["stride"]))))


@method(
    "Occlusion",
    family="Perturbations",
    needs="scores",
    cite="Zeiler and Fergus 2014, section 4.2",
    passes=_passes,
    linear=True,
)
def occlusion(
    model: Model,
    x: Array,
    targets: Targets,
    *,
    window: Pixels = 0,
    stride: Pixels = 0,
    fill: Empty = "mean",
) -> Iterator[Estimate]:
    r"""Measure how far the score falls when a part of the picture is covered; works for every model.

    Parameters
    ----------
    window : int or tuple of int
        Side of the window, in pixels of the model's input; 0 for an eighth of the picture's shortest side, in
        volumes a quarter. It is cut where the picture is smaller. Several numbers, as 4, 16, 16, are one for
        each axis: z, y, x.
    stride : int or tuple of int
        Pixels from one window to the next, at most ``window``; 0 for half of it. Several numbers are one for
        each axis.
    fill : {"black", "white", "mean", "blur"}, number or tuple of numbers
        What covers. Parts that look like it get nothing, whatever they mean to the model. A number from 0
        (black) to 255 (white) is a grey; several, as 124, 116, 104, are one for each channel.

    Notes
    -----
    .. math:: M_p = \frac{1}{|W_p|} \sum_{w \in W_p} \big(S(x) - S(x_w)\big)

    where :math:`W_p` are the windows that cover pixel :math:`p`, and :math:`x_w` is the picture with window :math:`w`
    covered: positive where the pixel speaks for the class. (The paper shows
    the covered score itself, at the middle of each window.) Windows stand every ``stride`` pixels from
    the first on, and one more at the far edge, so every pixel is covered. Until the first window
    that covers a pixel has been tried its value is 0; a coarse grid of windows is tried first.

    **When to use:** with any model, for a map that is easy to explain: this much of the score is lost without this
    part.

    **When not to use:** for evidence that is spread over several places, none of which the score needs alone.
    """
    space = x.shape[1:-1]
    sides, apart = _sides(space, window, stride)
    windows = _windows(space, sides, apart)
    empty = empty_picture(model, x, fill)
    run = model.score_cache(x, "occlusion", sides, apart, fill)
    before = model.weigh(run.scores((), partial(model.scores, x)), targets)
    falls, times = np.zeros(x.shape[:-1]), np.zeros(space)
    steps = chunks(len(windows), len(x), model.info.together(space))
    made = ((step, run.needed(step, partial(_cover, x, empty, windows[slice(*step)]))) for step in steps)
    for (begin, stop), pictures in prefetch(made):
        some = windows[begin:stop]
        scores = run.scores((begin, stop), partial(model.scores, pictures))
        values = model.weigh(scores, targets.repeat(len(some))).reshape(len(some), len(x))
        for where, value in zip(some, values, strict=True):
            falls[:, *where] += np.reshape(before - value, (-1, *(1 for _ in where)))
            times[where] += 1
        yield Estimate((falls / np.maximum(times, 1)).astype(np.float32), stop, len(windows))


def _sides(space: Sides, window: int | Sides, stride: int | Sides) -> tuple[Sides, Sides]:
    """Return a window's sides and strides along each axis, chosen by the picture's size where they are 0.

    Raises
    ------
    ValueError
        If there are not as many as axes, or there would be pixels between the windows.
    """
    usual = max(1, min(space) // (8 if len(space) == 2 else 4))
    sides = tuple(side or usual for side in _for_each_axis("window", window, space))
    given = _for_each_axis("stride", stride, space)
    strides = tuple(step or max(1, side // 2) for step, side in zip(given, sides, strict=True))
    for side, step in zip(sides, strides, strict=True):
        if step > side:
            raise ValueError(
                f"stride={step} is more than window={side}: pixels between the windows would never be covered"
            )
    return sides, strides


def _for_each_axis(name: str, numbers: int | Sides, space: Sides) -> Sides:
    if not isinstance(numbers, tuple):
        return (numbers,) * len(space)
    if len(numbers) != len(space):
        axes = ", ".join("zyx"[-len(space) :])
        raise ValueError(
            f"{name} takes one number, or one for each of the picture's {len(space)} axes ({axes}), "
            f"not {len(numbers)}"
        )
    return numbers


def _starts(space: Sides, sides: Sides, strides: Sides) -> list[list[int]]:
    """Return where windows begin along each axis; the last one ends at the far edge."""
    ends = [max(size - side, 0) for size, side in zip(space, sides, strict=True)]
    return [[*range(0, end, step), end] for end, step in zip(ends, strides, strict=True)]


def _windows(space: Sides, sides: Sides, strides: Sides) -> list[Window]:
    """Return all places of a window, those of coarse grids first."""
    sizes, starts = [*map(min, sides, space)], _starts(space, sides, strides)
    grid = list(product(*(range(len(some)) for some in starts)))
    grid.sort(key=lambda place: -min(gcd(number, 1 << 30) for number in place))
    return [
        tuple(slice(some[i], some[i] + size) for some, size, i in zip(starts, sizes, place, strict=True))
        for place in grid
    ]


def _cover(x: Array, empty: Array, windows: Sequence[Window]) -> Array:
    """Make pictures (M·N, *space, C): all N with the first of M windows covered, then with the second."""
    masked = np.repeat(x[None], len(windows), axis=0)
    for pictures, where in zip(masked, windows, strict=True):
        pictures[:, *where] = empty[:, *where]
    return masked.reshape(-1, *x.shape[1:])
