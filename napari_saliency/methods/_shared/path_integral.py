"""Integrals of gradients along a path from a baseline to the picture, and their completeness.

A path method gives `integrate` a `Path`, and gets the completeness gap with its map. Guided integrated gradients stands
alone, as it chooses its path while it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_saliency.core.types import Array, Estimate, Targets
from napari_saliency.methods._shared.steps import chunks, prefetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency.models.base import Model

Rule = Literal["trapezoid", "gauss_legendre"]
"""Quadrature rule of an integral."""

GAP = "completeness gap"
RELATIVE_GAP = f"relative {GAP}"

FAR = 0.05
"""Relative completeness gap beyond which a map says that its contributions do not add up."""

Indices = npt.NDArray[np.intp]
Doubles = npt.NDArray[np.float64]


class Path(NamedTuple):
    """A path from a baseline to the picture, cut into S steps.

    Attributes
    ----------
    parts : sequence of (M,) int
        Steps taken together, in the order in which they are taken.
    shares : (S,) float64
        The share of the path that each step stands for; they add up to 1.
    ends : (int, int)
        The steps at the baseline and at the picture.
    at : callable
        From M steps to their pictures and to the moves that they stand for, both (M, N, *space, C).
    """

    parts: Sequence[Indices]
    shares: Doubles
    ends: tuple[int, int]
    at: Callable[[Indices], tuple[Array, Array]]


def integrate(model: Model, targets: Targets, path: Path) -> Iterator[Estimate]:
    """Add up gradient times step; steps not taken yet are taken to be like those that are.

    Parameters
    ----------
    targets : Targets
        One for each of N pictures.
    path : Path
        Of the same pictures.

    Yields
    ------
    Estimate
        Values (N, *space, C); the last one with the completeness gap.
    """
    total = np.zeros(1)  # of double precision, as many are added
    share, done, ends = 0.0, 0, dict[int, Array]()
    for chosen, (pictures, moves) in prefetch((chosen, path.at(chosen)) for chosen in path.parts):
        values, gradients = model.gradient(
            pictures.reshape(-1, *pictures.shape[2:]), targets.repeat(len(chosen))
        )
        rows = zip(chosen.tolist(), values.reshape(len(chosen), -1), strict=True)
        ends.update((step, value) for step, value in rows if step in path.ends)
        total = total + np.einsum("m...,m...->...", gradients.reshape(moves.shape), moves)
        share, done = share + path.shares[chosen].sum(), done + len(chosen)
        so_far = np.asarray(total / share, np.float32)
        known = done == len(path.shares)
        gap = completeness(so_far, ends[path.ends[1]] - ends[path.ends[0]]) if known else {}
        yield Estimate(so_far, done, len(path.shares), diagnostics=gap)


def completeness(values: Array, difference: Array | Doubles) -> Mapping[str, Array]:
    """Return by how much maps (N, ...) miss a difference of scores (N,), as it is and as a share of it."""
    gap = values.sum(axis=tuple(range(1, values.ndim)), dtype=np.float64) - difference
    scale = np.maximum(np.abs(difference), np.finfo(np.float32).tiny)
    return {
        GAP: gap.astype(np.float32),
        RELATIVE_GAP: (np.abs(gap) / scale).astype(np.float32),
    }


def incomplete(gaps: Mapping[str, Array], why: str) -> list[tuple[str, ...]]:
    """Return for each of N maps the sentence that must be read with it if it is far from adding up."""
    given = "The contributions miss the score's difference by {:.0%}: {}"
    return [(given.format(gap, why),) if gap > FAR else () for gap in gaps[RELATIVE_GAP]]


def difference(estimate: Estimate) -> Array:
    """Return the score minus the baseline's, (N,): what the maps of a finished estimate should add up to."""
    values = estimate.values
    result = values.sum(axis=tuple(range(1, values.ndim)), dtype=np.float64) - estimate.diagnostics[GAP]
    return np.asarray(result, np.float32)


def straight(model: Model, x: Array, start: Array, steps: int, rule: Rule) -> Path:
    """Make the straight path from a baseline, that of integrated gradients.

    Parameters
    ----------
    x, start : (N, *space, C) float32
        Its end and its start.
    steps : int
        Gradients that the rule takes; Gauss–Legendre's has none at the ends, where two more are needed for the
        scores.
    """
    places, shares = _nodes(steps, rule)
    whole = x - start

    def at(chosen: Indices) -> tuple[Array, Array]:
        pictures = start + np.multiply.outer(places[chosen].astype(np.float32), whole)
        return pictures, np.multiply.outer(shares[chosen].astype(np.float32), whole)

    ranges = chunks(len(places), len(x), model.info.together(x.shape[1:-1]))
    parts = [np.arange(*one) for one in ranges]
    return Path(parts, shares, (int(places.argmin()), int(places.argmax())), at)


def _nodes(steps: int, rule: Rule) -> tuple[Doubles, Doubles]:
    """Return places from 0 to 1 and their weights, in an order that covers the whole path early."""
    order = spread_out(steps)
    if rule == "trapezoid":
        return np.linspace(0, 1, steps)[order], even(steps)[order]
    roots, weights = np.polynomial.legendre.leggauss(steps)
    return np.array([*(roots[order] + 1) / 2, 0, 1]), np.array([*weights[order] / 2, 0, 0])


def even(steps: int) -> Doubles:
    """Return the ``steps`` weights of the trapezoid rule; they add up to 1."""
    shares = np.full(steps, 1 / (steps - 1))
    shares[[0, -1]] /= 2
    return shares


def spread_out(count: int) -> Indices:
    """Order 0..count-1 by van der Corput's sequence, the two ends first."""
    bits = max(1, (count - 1).bit_length())

    def rank(number: int) -> tuple[bool, int]:
        return 0 < number < count - 1, number if number in (0, count - 1) else int(
            f"{number:0{bits}b}"[::-1], 2
        )

    return np.array(sorted(range(count), key=rank), np.intp)
