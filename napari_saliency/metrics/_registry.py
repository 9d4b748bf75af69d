"""The registry of checks, and which of them can be afforded."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_saliency.methods._registry import Option, completed, options_of

if TYPE_CHECKING:
    from napari_saliency._types import Needs
    from napari_saliency.metrics._finding import Finding
    from napari_saliency.models import ModelInfo

Function = Callable[..., "Iterator[Finding]"]

MOST_RUNS, MOST_WORK = 2000, 4e12
"""What one check may take without being asked for by name: pictures that the model is run on, and their
multiplications. A processor takes about half a minute for either."""

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
        ``function(subject, **options)`` yields `Finding`s.
    cite : str
        Paper and section.
    cost : callable
        What it takes, by its options.
    needs : str
        What it asks of a model besides scores, and besides what the map's method needs; "" for nothing.
    options : tuple of Option
        Its keyword options.
    """

    id: str
    title: str
    function: Function
    cite: str
    cost: Callable[[Mapping[str, Any]], Cost]
    needs: Needs | None
    options: tuple[Option, ...]

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
) -> Callable[[Function], Function]:
    """Register a function as a check; its name becomes the id.

    Raises
    ------
    ValueError
        If the id is taken, or an option has no default.
    """

    def register(function: Function) -> Function:
        name = function.__name__
        if name in _CHECKS:
            raise ValueError(f"a check {name!r} is registered already")
        _CHECKS[name] = Check(name, title, function, cite, cost, needs, options_of(function))
        return function

    return register


class Plan(NamedTuple):
    """Which checks are run unasked, in order, and why the others are left out, by id."""

    run: tuple[str, ...]
    left_out: Mapping[str, str]


def plan(info: ModelInfo, space: tuple[int, ...], map_runs: int) -> Plan:
    """Choose the checks that can be afforded.

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
    for found in CHECKS.values():
        runs = found.runs(map_runs)
        if found.needs and found.needs not in info.gives:
            left_out[found.id] = f"{info.name} keeps its weights to itself: they cannot be made random."
        elif runs > most:
            left_out[found.id] = (
                f"It would run the model about {runs} times, more than the {most} that are run unasked."
            )
    return Plan(tuple(name for name in CHECKS if name not in left_out), left_out)


def find_check(name: str) -> Check:
    """Look a check up by its id; ValueError lists what there is."""
    if name not in CHECKS:
        raise ValueError(f"check {name!r} is not one of {', '.join(CHECKS)}")
    return CHECKS[name]
