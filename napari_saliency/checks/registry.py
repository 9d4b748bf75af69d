"""The registry of checks, and the plan of those that can be afforded.

`plan` counts runs of the model before anything is run, and leaves out what is hopeless; `budget` stops what then takes
too long. No check sees a map that is not finite, nor one that is the same everywhere unless it can judge that.
"""

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
from napari_saliency.core.errors import quote
from napari_saliency.methods.describe import Description, describe
from napari_saliency.methods.options import Option, complete, options_of
from napari_saliency.methods.registry import sort_in_place

if TYPE_CHECKING:
    from napari_saliency.checks.finding import Subject
    from napari_saliency.core.types import Needs
    from napari_saliency.models import ModelInfo

Function = Callable[..., "Iterator[Finding]"]

MOST_SECONDS = 30
"""Most seconds that a check may take unless it is asked for by name; `budget` measures them."""

MOST_RUNS, MOST_WORK = 20_000, 4e12
"""The same, estimated in advance: pictures that the model is run on, and their multiplications. A processor takes about
`MOST_SECONDS` for the second, and for the first with the smallest of networks."""

EMPTY = "The map is zero everywhere, so there is nothing to check."
FLAT = "The map has the same value everywhere, so it says nothing about any place."

FAMILIES = ("The map's numbers", "Randomisation", "Perturbation", "Stability", "Other")
"""Families of checks, in the order in which they are run and shown: those that cost nothing first, then those that can
refute a map."""

_CHECKS: dict[str, Check] = {}


class Cost(NamedTuple):
    """Cost of a check: single runs of the model, and maps that are computed again."""

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
        ``function(subject, **options)`` yields `Finding`s; for a map that cannot be judged, that finding alone.
    cite : str
        Paper and section.
    cost : callable
        Its `Cost`, by its options.
    needs : str
        Call of the model that it uses besides scores and those of the map's method; None for none.
    options : tuple of Option
        Its keyword options.
    region : bool
        Whether it needs a region that the map ought to point at.
    family : str
        One of `FAMILIES`.
    """

    id: str
    title: str
    function: Function
    cite: str
    cost: Callable[[Mapping[str, Any]], Cost]
    needs: Needs | None
    options: tuple[Option, ...]
    region: bool = False
    family: str = "Other"

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options with their values; see `methods.Method.complete`."""
        return complete(self.id, self.options, options)

    def runs(self, map_runs: int) -> int:
        """Return how often the model is run with the default options, if a map takes ``map_runs``."""
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
    family: str = "Other",
) -> Callable[[Function], Function]:
    """Register a function as a check; its name becomes the id.

    Parameters
    ----------
    title, cite, cost, needs, region, family
        See `Check`.
    flat : bool
        Whether it can judge a constant map, too.

    Raises
    ------
    ValueError
        If the id is taken, the family is unknown, or an option has no default.
    """
    if family not in FAMILIES:
        raise ValueError(f"family={quote(family)} is not one of {', '.join(map(repr, FAMILIES))}")

    def register(function: Function) -> Function:
        name = function.__name__
        if name in _CHECKS:
            raise ValueError(f"a check {quote(name)} is registered already")
        guarded, options = _guarded(function, flat), options_of(function)
        _CHECKS[name] = Check(name, title, guarded, cite, cost, needs, options, region, family)
        sort_in_place(_CHECKS, lambda each: FAMILIES.index(each.family))
        return guarded

    return register


def _guarded(function: Function, flat: bool) -> Function:
    """Keep maps from a check that it cannot judge: they differ from every other map, which would count as good."""

    @wraps(function)
    def judged(subject: Subject, **options: object) -> Iterator[Finding]:
        if why := _nothing_to_judge(subject, flat):
            yield Finding(1, 1).judged("not applicable", why)
        else:
            yield from function(subject, **options)

    return judged


def _nothing_to_judge(subject: Subject, flat: bool) -> str:
    """Return why a map cannot be judged; "" if it can."""
    if not np.isfinite(subject.values).all():
        return "The map has values that are not finite numbers, so it cannot be checked."
    if flat or np.ptp(subject.values, axis=tuple(range(len(subject.space)))).any():
        return ""
    return FLAT if subject.values.any() else EMPTY


class Plan(NamedTuple):
    """The checks that are run unless asked otherwise, in order, and why the others are left out, by id."""

    run: tuple[str, ...]
    left_out: Mapping[str, str]


def plan(info: ModelInfo, space: tuple[int, ...], map_runs: int) -> Plan:
    """Choose the checks that can be afforded, as far as can be estimated in advance.

    Parameters
    ----------
    info : ModelInfo
        The model.
    space : tuple of int
        Size of its input.
    map_runs : int
        Approximate runs of the model for the map: `Explanation.total`.
    """
    most = MOST_RUNS
    if info.work:
        most = min(most, int(MOST_WORK / (info.work * math.prod(space))))
    left_out = {}
    for result in CHECKS.values():
        runs = result.runs(map_runs)
        if result.needs and result.needs not in info.gives:
            left_out[result.id] = (
                f"{info.name} does not give access to its weights, so they cannot be randomised."
            )
        elif runs > most:
            left_out[result.id] = (
                f"It would run the model about {runs:,} times; a check that is not chosen by name may run it {most:,}."
            )
    return Plan(tuple(name for name in CHECKS if name not in left_out), left_out)


def find_check(name: str) -> Check:
    """Look a check up by its id; ValueError lists what there is."""
    if name not in tuple(CHECKS):  # a tuple, as the name may be unhashable
        raise ValueError(f"check {quote(name)} is not one of {', '.join(CHECKS)}")
    return CHECKS[name]


def describe_checks() -> tuple[Description, ...]:
    """Describe all checks, in the order in which they are run and shown."""
    return tuple(map(describe, CHECKS.values()))
