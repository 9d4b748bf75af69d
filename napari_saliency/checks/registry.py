"""The registry of checks, and which of them can be afforded."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_saliency.checks.finding import Finding
from napari_saliency.methods.registry import Option, completed, options_of

if TYPE_CHECKING:
    from napari_saliency.checks.finding import Subject
    from napari_saliency.core.types import Needs
    from napari_saliency.models import ModelInfo

Function = Callable[..., "Iterator[Finding]"]

MOST_SECONDS = 30
"""How long one check may take without being asked for by name; `_pace` measures it."""

MOST_RUNS, MOST_WORK = 20_000, 4e12
"""The same, foretold: pictures that the model is run on, and their multiplications. A processor takes about
`MOST_SECONDS` for the second; for the first it takes them with the smallest of networks."""

EMPTY = "The map is empty: there is nothing to look at."
FLAT = "The map is the same everywhere: it says nothing of any place."

_CHECKS: dict[str, Check] = {}


class Cost(NamedTuple):
    """What a check takes: single runs of the model, and maps that are made anew."""

    runs: int = 0
    maps: int = 0


FREE = Cost()


@dataclass(frozen=True)
class Check:
    """A registered check.

    Attributes
    ----------
    id : str
        The function's name.
    title : str
        As the user reads it.
    function : callable
        ``function(subject, **options)`` yields `Finding`s; of a map of which there is nothing to judge that alone.
    cite : str
        Paper and section.
    cost : callable
        What it takes, by its options.
    needs : str
        What it asks of a model besides scores, and besides what the map's method needs; "" for nothing.
    options : tuple of Option
        Its keyword options.
    region : bool
        Whether it asks where the map ought to point.
    """

    id: str
    title: str
    function: Function
    cite: str
    cost: Callable[[Mapping[str, Any]], Cost]
    needs: Needs | None
    options: tuple[Option, ...]
    region: bool = False

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options with their values; see `methods.Method.complete`."""
        return completed(self.id, self.options, options)

    def runs(self, map_runs: int) -> int:
        """How often the model is run, with the usual options, if a map takes so many runs."""
        cost = self.cost(self.complete({}))
        return cost.runs + cost.maps * map_runs


CHECKS: Mapping[str, Check] = MappingProxyType(_CHECKS)
"""All checks by id, in the order in which they are run and shown."""


def check(
    title: str,
    *,
    cite: str,
    cost: Callable[[Mapping[str, Any]], Cost] = lambda _: FREE,
    needs: Needs | None = None,
    flat: bool = False,
    region: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as a check; its name becomes the id.

    Parameters
    ----------
    title, cite, cost, needs, region
        See `Check`.
    flat : bool
        Whether it can judge a map that is the same everywhere, too.

    Raises
    ------
    ValueError
        If the id is taken, or an option has no default.
    """

    def register(function: Function) -> Function:
        name = function.__name__
        if name in _CHECKS:
            raise ValueError(f"a check {name!r} is registered already")
        guarded, options = _guarded(function, flat), options_of(function)
        _CHECKS[name] = Check(name, title, guarded, cite, cost, needs, options, region)
        return guarded

    return register


def _guarded(function: Function, flat: bool) -> Function:
    """Keep maps from a check that it cannot judge: to it they would be like no other map, which sounds good."""

    @wraps(function)
    def judged(subject: Subject, **options: object) -> Iterator[Finding]:
        if why := _nothing_to_judge(subject, flat):
            yield Finding(1, 1).judged("not applicable", why)
        else:
            yield from function(subject, **options)

    return judged


def _nothing_to_judge(subject: Subject, flat: bool) -> str:
    """Why a map cannot be judged; nothing if it can."""
    if not np.isfinite(subject.values).all():
        return "The map has values that are not finite numbers: it cannot be judged."
    if flat or np.ptp(subject.values, axis=tuple(range(len(subject.space)))).any():
        return ""
    return FLAT if subject.values.any() else EMPTY


class Plan(NamedTuple):
    """Which checks are run unasked, in order, and why the others are left out, by id."""

    run: tuple[str, ...]
    left_out: Mapping[str, str]


def plan(info: ModelInfo, space: tuple[int, ...], map_runs: int) -> Plan:
    """Choose the checks that can be afforded, as far as can be said beforehand.

    Parameters
    ----------
    info : ModelInfo
        The model.
    space : tuple of int
        Size of the picture that it gets.
    map_runs : int
        About how often the model was run for the map, as `Explanation.total` tells.
    """
    most = MOST_RUNS
    if info.work:
        most = min(most, int(MOST_WORK / (info.work * math.prod(space))))
    left_out = {}
    for result in CHECKS.values():
        runs = result.runs(map_runs)
        if result.needs and result.needs not in info.gives:
            left_out[result.id] = f"{info.name} keeps its weights to itself: they cannot be made random."
        elif runs > most:
            left_out[result.id] = (
                f"It would run the model about {runs:,} times, more than the {most:,} that are run unasked."
            )
    return Plan(tuple(name for name in CHECKS if name not in left_out), left_out)


def find_check(name: str) -> Check:
    """Look a check up by its id; ValueError lists what there is."""
    if name not in tuple(CHECKS):  # what cannot be hashed neither
        raise ValueError(f"check {name!r} is not one of {', '.join(CHECKS)}")
    return CHECKS[name]
