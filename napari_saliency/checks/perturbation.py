"""Checks that the model uses what the map shows: pixels are inserted, or deleted, in the map's order."""

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
from napari_saliency.methods._shared.steps import chunks
from napari_saliency.methods.options import PerChannel

CLEAR = 0.1
"""Share of the range from the empty picture's score to the whole one's by which the map's area must differ from a
random order's. Random orders differ from each other by one or two hundredths."""

ROOM = 0.2
"""Share of that range that random orders must leave for a better one: with less, even a perfect map could hardly be
clearly better. Many networks fail as soon as a few pixels are missing anywhere."""

FLAT = 0.1
"""Change of the score, as a share of its largest value, below which nothing can be told: networks are as sure about
many a blurred picture, and then the curves show noise."""

Steps = Annotated[
    int, {"min": 4, "max": 256, "tooltip": "Number of equal shares of its area that the picture is cut into."}
]
Orders = Annotated[
    int, {"min": 2, "max": 64, "tooltip": "Random orders of the pixels that the map's is compared with."}
]
Measure = Annotated[
    Literal["probability", "logit"],
    {"tooltip": "The target's score that is plotted; for quantities always their own."},
]
Seed = Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Of the random orders."}]


Fill = Annotated[
    Literal["own", "black", "white", "mean", "blur"] | float | tuple[float, ...],
    PerChannel(),
    GREYS
    | {
        "tooltip": 'What replaces missing pixels. "own" is the baseline of the map\'s method; if it has none, the mean '
        "for deletion and the blurred picture for insertion. "
        "A number from 0 (black) to 255 (white) is a grey; several are one for each channel."
    },
]


class _Curves(NamedTuple):
    """Parameters of the curves."""

    inserting: bool
    fill: Fill  # in the end an `Empty`
    steps: int
    orders: int
    score: Measure
    seed: int


def _cost(options: Mapping[str, Any]) -> Cost:
    return Cost(runs=(options["orders"] + 1) * (options["steps"] + 1))


@check("Deletion", family="Perturbation", cite="Petsiuk et al. 2018, section 3.3", cost=_cost)
def deletion(
    subject: Subject,
    *,
    fill: Fill = "own",
    steps: Steps = 28,
    orders: Orders = 4,
    score: Measure = "probability",
    seed: Seed = 0,
) -> Iterator[Finding]:
    r"""Delete pixels in the map's order: the score should fall sooner than in random orders.

    Notes
    -----
    .. math:: A = \int_0^1 S\big(x_{\text{first share } t \text{ replaced}}\big) \, dt, \qquad
        \text{gain} = \frac{A_{\text{random}} - A_{\text{map}}}{S(x) - S(\text{empty})}

    A map that is coarser than the picture is interpolated between its pixels' centres. Pixels of equal
    value come in random order; padding stays as it is. The model was not trained on pictures with holes: a part of what
    is measured is how it reacts to them, which is why random orders are measured, too.

    **When to use:** to see whether the model needs the pixels that the map ranks first.

    **When not to use:** with a fill that the model takes for something, or where every few missing pixels make it
    fail: then random orders do as well.
    """
    yield from _along(subject, _Curves(False, fill, steps, orders, score, seed))


@check("Insertion", family="Perturbation", cite="Petsiuk et al. 2018, section 3.3", cost=_cost)
def insertion(
    subject: Subject,
    *,
    fill: Fill = "own",
    steps: Steps = 28,
    orders: Orders = 4,
    score: Measure = "probability",
    seed: Seed = 0,
) -> Iterator[Finding]:
    r"""Insert pixels into an empty picture in the map's order: the score should rise sooner than in random orders.

    Notes
    -----
    .. math:: A = \int_0^1 S\big(\text{empty}_{\text{first share } t \text{ of } x}\big) \, dt, \qquad
        \text{gain} = \frac{A_{\text{map}} - A_{\text{random}}}{S(x) - S(\text{empty})}

    See `deletion`.

    **When to use:** to see whether the pixels that the map ranks first are enough for the model.

    **When not to use:** where the empty picture scores as high as the whole one: then the fill tells nothing.
    """
    yield from _along(subject, _Curves(True, fill, steps, orders, score, seed))


def _along(subject: Subject, how: _Curves) -> Iterator[Finding]:
    values, note = relevance(subject)
    ranks = _ranks(on_grid(values, subject.space)[subject.visible(subject.space)], how)
    how = how._replace(fill=_fill(subject, how))
    empty = empty_picture(subject.model, subject.x, cast("Empty", how.fill))
    stages = [(order, step) for order in range(how.orders + 1) for step in range(how.steps + 1)]
    result = np.full((how.orders + 1, how.steps + 1), np.nan)
    notes = (
        note,
        f"Pixels {'are inserted into' if how.inserting else 'are replaced by'}: {_in_words(how.fill)}.",
    )
    for begin, stop in chunks(len(stages), 1, subject.model.info.together(subject.space)):
        result.ravel()[begin:stop] = _measured(subject, empty, ranks, stages[begin:stop], how)
        so_far = Finding(stop, len(stages), curves=_drawn(result, _number(subject, how)), notes=notes)
        if stop < len(stages):
            yield so_far
    yield _judged(so_far, result, how)


def _fill(subject: Subject, how: _Curves) -> Fill:
    """Return what "own" stands for: contributions relative to black say nothing about another fill."""
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
    """Return each pixel's rank, (1 + orders, pixels): by the map, then at random."""
    random = np.random.default_rng(how.seed)
    orders = [np.lexsort((random.random(values.size), -values))]
    orders += [random.permutation(values.size) for _ in range(how.orders)]
    return np.argsort(orders, axis=1)


def _measured(
    subject: Subject, empty: Array, ranks: np.ndarray[Any, Any], stages: list[tuple[int, int]], how: _Curves
) -> Array:
    """Return the score of each stage, an order and its number of steps."""
    model, count = subject.model, ranks.shape[1]
    pictures, gone = subject.x.repeat(len(stages), axis=0), np.zeros(subject.space, bool)
    visible = subject.visible(subject.space)  # padding has no rank
    for picture, (order, step) in zip(pictures, stages, strict=True):
        gone[visible] = (ranks[order] < round(step * count / how.steps)) != how.inserting
        picture[gone] = empty[0][gone]
    drawn: Score = "probability" if _number(subject, how) == "probability" else "logit"
    targets = Targets(subject.targets.weights, drawn)
    return model.weigh(model.scores(pictures), targets.repeat(len(stages)))


def _number(subject: Subject, how: _Curves) -> str:
    """Return the axis label of the target's score; a quantity that should decrease has its sign turned."""
    return "score" if subject.model.info.activation == "quantity" else how.score


def _drawn(result: np.ndarray[Any, np.dtype[np.float64]], number: str) -> tuple[Curve, ...]:
    """Make the map's curve and the mean of the random ones, as far as they are known."""
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
        text = f"The score is about as high without the picture (fill: {fill}), so try another fill."
        return replace(so_far, figures=figures).judged("not applicable", text)
    ended = replace(so_far, figures=figures | {"gain": float(gain / way)})
    better = (areas[0] > others if how.inserting else areas[0] < others).all()
    numbers = f"fill: {fill}; area {area:.2g}, at random {random:.2g}\u00a0±\u00a0{spread:.1g}"
    verb = "rises" if how.inserting else "falls"
    if gain >= CLEAR * way and better:
        return ended.judged("good", f"The score {verb} sooner than in random orders ({numbers}).")
    if room < ROOM * way:
        text = (
            f"The score {verb} at once whichever pixels come first ({numbers}), so this fill tells nothing here: "
            "try another."
        )
        return ended.judged("not applicable", text)
    if gain > 0:
        return ended.judged("doubtful", f"The score {verb} hardly sooner than in random orders ({numbers}).")
    return ended.judged(
        "bad",
        f"Random pixels matter as much as those that the map shows, so the model does not rely on these ({numbers}).",
    )
