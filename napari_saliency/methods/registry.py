"""The registry of methods: `method` registers one, `METHODS` holds all of them.

Everything about a method stands at its decorator and in its docstring, where the panel, the documentation and the
contract tests read it. So a new method is its module, which is found by itself, and its test. The contract tests hold
`Method.passes` against a model that counts. A wrapper needs of a model what the method inside needs.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack

from napari_saliency.core.errors import quote
from napari_saliency.methods._shared.baselines import check_colour
from napari_saliency.methods.options import LayerChoice, MethodChoice, Option, complete, options_of

if TYPE_CHECKING:
    from napari_saliency.core.types import Estimate, Needs, Shows
    from napari_saliency.models import ModelInfo

Function = Callable[..., "Iterator[Estimate]"]

Passes = Callable[[Mapping[str, Any], "ModelInfo", tuple[int, ...]], int]
"""Passes of the model, forward or back, for one picture: by options, model, and the picture's size."""

Layout = Literal["channels", "pixels", "places"]
"""Unit that a map has one value for: a channel of a pixel, a pixel, or a place of a layer."""

FAMILIES = (
    "Gradients",
    "Averages over noise",
    "Paths",
    "Propagation rules",
    "Class activation maps",
    "Perturbations",
    "Synthetic pictures",
    "Other",
)
"""Families of methods, in the order in which they are shown."""

LAYOUTS: Mapping[str, Layout] = {"scores": "pixels", "tap": "places"}
"""Usual layout of the maps made by a call of the model; of all other calls "channels"."""

Entry = TypeVar("Entry")

_METHODS: dict[str, Method] = {}


class Declared(TypedDict, total=False):
    """Facts that a method may declare besides its title, call and paper; see the fields of `Method`."""

    family: str
    order: int
    shows: Shows
    passes: Passes
    contributes: bool
    linear: bool
    degree: int | None
    even: bool
    targeted: bool
    layout: Layout
    needs_relu: bool
    logits_only: bool
    sampling_options: Mapping[str, Any]


@dataclass(frozen=True)
class Method:
    """A registered method.

    Attributes
    ----------
    id : str
        The function's name, as used in Python and on the command line.
    title : str
        As the user reads it.
    function : callable
        ``function(model, x, targets, **options)`` yields `Estimate`s.
    needs : {"scores", "gradient", "tap", "rescale", "epsilon"}
        The model's call or rule that it uses; a wrapper uses those of the method that it wraps.
    cite : str
        Paper and equation.
    options : tuple of Option
        Its keyword options.
    family : str
        One of `FAMILIES`, which are shown one after the other.
    order : int
        Place of its module among those of a family that has several.
    shows : {"map", "stack", "picture"}
        Kind of its values; see `Shows`.
    passes : callable
        ``passes(options, info, space)``: about how often the model is run for one picture, at most.
    contributes : bool
        Whether its values are shares of the score, for and against by their signs; of a wrapper, whether it leaves
        them so.
    linear : bool
        Whether the map of a weighted sum of targets is the weighted sum of their maps.
    degree : int, optional
        Power of the target's weights with which the map grows; 0 if it does not, None if by no power.
    even : bool
        Whether the target's negative has the same map.
    targeted : bool
        Whether the target has a part in the map at all.
    layout : {"channels", "pixels", "places"}
        Unit that its map has one value for; unless declared, that of its call in `LAYOUTS`.
    needs_relu : bool
        Whether it refuses a network without a ReLU.
    logits_only : bool
        Whether it refuses scores other than logits.
    sampling_options : mapping
        Options that make it draw at random, if it does so with some alone.
    """

    id: str
    title: str
    function: Function
    needs: Needs
    cite: str
    options: tuple[Option, ...]
    family: str = "Other"
    order: int = 0
    shows: Shows = "map"
    passes: Passes = lambda *_: 1
    contributes: bool = False
    linear: bool = False
    degree: int | None = 1
    even: bool = False
    targeted: bool = True
    layout: Layout = "channels"
    needs_relu: bool = False
    logits_only: bool = False
    sampling_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def wraps(self) -> bool:
        """True if an option names another method."""
        return any(isinstance(option.choices, MethodChoice) for option in self.options)

    @property
    def looks(self) -> bool:
        """True if an option names a layer of the model."""
        return any(isinstance(option.choices, LayerChoice) for option in self.options)

    @property
    def sampled(self) -> bool:
        """True if it makes a map of random samples, with a standard error."""
        return self.shows == "map" and any(option.name == "seed" for option in self.options)

    def needed(self, options: Mapping[str, Any]) -> frozenset[Needs]:
        """Return the model's calls that it uses with some options: its own, or those of the method that it wraps."""
        return frozenset(wrapped.needs for wrapped in self._wrapped(options)) or frozenset({self.needs})

    def shares(self, options: Mapping[str, Any]) -> bool:
        """Return whether its values are shares of the score with some options."""
        wrapped = all(wrapped.contributes for wrapped in self._wrapped(options))
        return self.contributes and wrapped and not options.get("absolute")

    def empty(self, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - see `baselines.Empty`
        """Return the empty picture of some options, or of the method that it wraps; None if it has none."""
        wrapped = [(method, method.complete({})) for method in self._wrapped(options)]
        for method, given in [(self, options), *wrapped]:
            for option in method.options:
                if option.per_channel:
                    return given[option.name]
        return None

    def _wrapped(self, options: Mapping[str, Any]) -> list[Method]:
        return [METHODS[options[o.name]] for o in self.options if isinstance(o.choices, MethodChoice)]

    def possible(self, gives: frozenset[Needs]) -> bool:
        """Return whether a model that gives these calls can answer it, maybe with another method inside."""
        return (
            any(METHODS[name].needs in gives for name in wrappable()) if self.wraps else self.needs in gives
        )

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options with their values: those given, the defaults for the others.

        Raises
        ------
        ValueError
            If an option does not exist or its value is not allowed.
        """
        return complete(self.id, self.options, options)

    def check_colours(self, options: Mapping[str, Any], channels: int) -> None:
        """Raise ValueError if a colour does not have one number for each of a model's channels.

        As the method itself does when it is run.
        """
        for option in self.options:
            if option.per_channel:
                check_colour(options.get(option.name), channels)


METHODS: Mapping[str, Method] = MappingProxyType(_METHODS)
"""All methods by id, in the order in which the panel shows them."""


def wrappable() -> tuple[str, ...]:
    """Return the ids of the methods that another one can wrap: those that make maps, and wrap none themselves."""
    return tuple(name for name, result in METHODS.items() if result.shows == "map" and not result.wraps)


def method(
    title: str, *, needs: Needs, cite: str, **declared: Unpack[Declared]
) -> Callable[[Function], Function]:
    """Register a function as a method; its name becomes the id.

    Parameters
    ----------
    title, needs, cite
        See `Method`.
    **declared
        Whatever else differs from the defaults of `Method`.

    Raises
    ------
    ValueError
        If the id is taken, the family is unknown, or an option has no default.
    """
    family = declared.get("family", "Other")
    declared = {"layout": LAYOUTS.get(needs, "channels"), **declared}
    if family not in FAMILIES:
        raise ValueError(f"family={quote(family)} is not one of {', '.join(map(repr, FAMILIES))}")

    def register(function: Function) -> Function:
        name = function.__name__
        if name in _METHODS:
            raise ValueError(f"a method {quote(name)} is registered already")
        _METHODS[name] = Method(name, title, function, needs, cite, options_of(function), **declared)
        sort_in_place(_METHODS, lambda each: (FAMILIES.index(each.family), each.order))
        return function

    return register


def sort_in_place(registry: dict[str, Entry], key: Callable[[Entry], Any]) -> None:
    """Bring a registry, which others hold already, into the order of a key; equals stay as they were registered."""
    for name, entry in sorted(registry.items(), key=lambda item: key(item[1])):
        del registry[name]
        registry[name] = entry


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every public module of a package, so that what it registers is known.

    Parameters
    ----------
    package : str
        Its full name.
    path : iterable of str
        Its folders, as in ``__path__``.
    """
    for module in pkgutil.iter_modules(path):
        if not module.name.startswith("_"):
            import_module(f"{package}.{module.name}")
