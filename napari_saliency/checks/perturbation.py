"""That the model uses what the map says: pixels are put in, or taken away, in the map's order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, cast

import numpy as np

from napari_saliency.checks.finding import Curve, Finding, Subject
from napari_saliency.checks.maps import on_grid, relevance, trapezoid
from napari_saliency.checks.registry import Cost, check
from napari_saliency.core.types import Array, Score, Targets
from napari_saliency.methods import METHODS
from napari_saliency.methods._shared.baselines import GREYS, Empty, empty_picture
from napari_saliency.methods._shared.chunks import chunks

CLEAR = 0.1
"""Share of the way from the empty picture's score to the whole one's by which the map's area must differ
from a random order's. Random orders differ among each other by one or two hundredths."""

ROOM = 0.2
"""Share of that way that random orders must leave for being better: of less, even a perfect map could hardly
take a clear part. Many networks fail as soon as a few pixels are missing anywhere."""

FLAT = 0.1
"""Change of the score, as a share of its largest value, below which there is no way to go: networks are as sure of
many a blurred picture, and then the curves show noise."""

Steps = Annotated[
    int, {"min": 4, "max": 256, "help": "Into how many equal shares of the area the picture is cut."}
]
Orders = Annotated[
    int, {"min": 2, "max": 64, "help": "Random orders of the pixels that the map's is compared with."}
]
Measure = Annotated[
    Literal["probability", "logit"],
    {"help": "Which number of the target is drawn; of quantities always theirs."},
]
Seed = Annotated[int, {"min": 0, "max": 2**31 - 1, "help": "Of the random orders."}]


Fill = Annotated[
    Literal["own", "black", "white", "mean", "blur"] | float | tuple[float, ...],
    GREYS
    | {
        "help": "What stands where pixels are missing. A method that compares with an empty picture has one of its "
        "own; of the others it is the mean where pixels are taken away, the blurred picture where they are put in. "
        "A number from 0 (black) to 255 (white) is a grey; several are one for each channel."
    },
]


class _Curves(NamedTuple):
    """How pictures on the way are made."""

    inserting: bool
    fill: Fill  # in the end an `Empty`
    steps: int
    orders: int
    score: Measure
    seed: int


def _cost(options: Mapping[str, Any]) -> Cost:
    return Cost(runs=(options["orders"] + 1) * (options["steps"] + 1))


@check("Deletion", cite="Petsiuk et al. 2018, section 3.3", cost=_cost)
def deletion(
    subject: Subject,
    *,
    fill: Fill = "own",
    steps: Steps = 28,
    orders: Orders = 4,
    score: Measure = "probability",
    seed: Seed = 0,
) -> Iterator[Finding]:
    """Take pixels away in the map's order: the score should fall sooner than in random orders.

    Notes
    -----
    A map that is coarser than the picture is interpolated between its pixels' centres. Pixels of equal
    value come in random order; black around the picture stays as it is. A picture with holes is none that
    the model was trained on: a part of what is measured is how it takes that, which is why random orders
    stand beside.
    """
    yield from _along(subject, _Curves(False, fill, steps, orders, score, seed))


@check("Insertion", cite="Petsiuk et al. 2018, section 3.3", cost=_cost)
def insertion(
    subject: Subject,
    *,
    fill: Fill = "own",
    steps: Steps = 28,
    orders: Orders = 4,
    score: Measure = "probability",
    seed: Seed = 0,
) -> Iterator[Finding]:
    """Put pixels into an empty picture in the map's order: the score should rise sooner than in random orders.

    Notes
    -----
    See `deletion`.
    """
    yield from _along(subject, _Curves(True, fill, steps, orders, score, seed))


def _along(subject: Subject, how: _Curves) -> Iterator[Finding]:
    values, note = relevance(subject)
    ranks = _ranks(on_grid(values, subject.space)[subject.visible(subject.space)], how)
    how = how._replace(fill=_fill(subject, how))
    empty = empty_picture(subject.model, subject.x, cast("Empty", how.fill))
    stages = [(order, step) for order in range(how.orders + 1) for step in range(how.steps + 1)]
    result = np.full((how.orders + 1, how.steps + 1), np.nan)
    notes = (note, f"Pixels {'are put into' if how.inserting else 'give way to'}: {_in_words(how.fill)}.")
    for begin, stop in chunks(len(stages), 1, subject.model.info.together(subject.space)):
        result.ravel()[begin:stop] = _measured(subject, empty, ranks, stages[begin:stop], how)
        so_far = Finding(stop, len(stages), curves=_drawn(result, _number(subject, how)), notes=notes)
        if stop < len(stages):
            yield so_far
    yield _judged(so_far, result, how)


def _fill(subject: Subject, how: _Curves) -> Fill:
    """What "own" stands for: contributions compared with black say nothing of what replaces pixels otherwise."""
    if how.fill != "own":
        return how.fill
    own = METHODS[subject.method].empty(subject.options)
    if own is None or own == "random":
        return "blur" if how.inserting else "mean"
    return cast("Fill", own)


def _in_words(fill: Fill) -> str:
    if isinstance(fill, str):
        return fill
    if isinstance(fill, tuple):
        return ", ".join(f"{number:g}" for number in fill)
    return f"grey {fill:g}"


def _ranks(values: Array, how: _Curves) -> np.ndarray[Any, np.dtype[np.intp]]:
    """When each pixel's turn comes, (1 + orders, pixels): by the map, then at random."""
    random = np.random.default_rng(how.seed)
    orders = [np.lexsort((random.random(values.size), -values))]
    orders += [random.permutation(values.size) for _ in range(how.orders)]
    return np.argsort(orders, axis=1)


def _measured(
    subject: Subject, empty: Array, ranks: np.ndarray[Any, Any], stages: list[tuple[int, int]], how: _Curves
) -> Array:
    """Score of each stage: of an order, after so many steps."""
    model, count = subject.model, ranks.shape[1]
    pictures, gone = subject.x.repeat(len(stages), axis=0), np.zeros(subject.space, bool)
    visible = subject.visible(subject.space)  # what lies around the picture has no turn
    for picture, (order, step) in zip(pictures, stages, strict=True):
        gone[visible] = (ranks[order] < round(step * count / how.steps)) != how.inserting
        picture[gone] = empty[0][gone]
    drawn: Score = "probability" if _number(subject, how) == "probability" else "logit"
    targets = Targets(subject.targets.weights, drawn)
    return model.weigh(model.scores(pictures), targets.repeat(len(stages)))


def _number(subject: Subject, how: _Curves) -> str:
    """Name what is drawn of the target; of one that decreases it is the quantity with its sign turned."""
    return "score" if subject.model.info.activation == "quantity" else how.score


def _drawn(result: np.ndarray[Any, np.dtype[np.float64]], number: str) -> tuple[Curve, ...]:
    """The map's curve and the mean of the random ones, as far as they go."""
    line = partial(Curve, across="share of pixels", up=number)
    shares = np.linspace(0, 1, result.shape[1], dtype=np.float32)
    known = ~np.isnan(result[0])
    curves = [line("map", shares[known], result[0, known].astype(np.float32))]
    complete = result[1:][~np.isnan(result[1:]).any(axis=1)]
    if len(complete):
        mean, spread = complete.mean(0).astype(np.float32), complete.std(0).astype(np.float32)
        curves.append(line("random order", shares, mean, spread))
    return tuple(curves)


def _judged(so_far: Finding, result: np.ndarray[Any, np.dtype[np.float64]], how: _Curves) -> Finding:
    areas = trapezoid(result)
    area, others = float(areas[0]), areas[1:]
    random, spread = float(others.mean()), float(others.std(ddof=1))
    whole, empty = (result[0, -1], result[0, 0]) if how.inserting else (result[0, 0], result[0, -1])
    gain, room = (area - random, whole - random) if how.inserting else (random - area, random - empty)
    way, fill = whole - empty, _in_words(how.fill)
    figures = {"area": area, "random area": random, "random spread": spread}
    if way <= FLAT * np.abs(result).max():
        text = f"The score is about as high without the picture (fill: {fill}): this fill tells nothing here."
        return replace(so_far, figures=figures).judged("not applicable", text)
    ended = replace(so_far, figures=figures | {"gain": float(gain / way)})
    better = (areas[0] > others if how.inserting else areas[0] < others).all()
    numbers = f"fill: {fill}; area {area:.2g}, at random {random:.2g}\u00a0±\u00a0{spread:.1g}"
    verb = "rises" if how.inserting else "falls"
    if gain >= CLEAR * way and better:
        return ended.judged("good", f"The score {verb} sooner than at random ({numbers}).")
    if room < ROOM * way:
        text = (
            f"The score {verb} at once whichever pixels come first ({numbers}): this fill tells nothing here."
        )
        return ended.judged("not applicable", text)
    if gain > 0:
        return ended.judged("doubtful", f"The score {verb} hardly sooner than at random ({numbers}).")
    return ended.judged(
        "bad",
        f"Random pixels do as much as those that the map shows: the model does not use these ({numbers}).",
    )
