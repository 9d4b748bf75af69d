"""The registry of methods and what can be read off a method's signature."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from napari_saliency.methods._shared.baselines import check_colour

if TYPE_CHECKING:
    from napari_saliency.core.types import Estimate, Needs, Shows
    from napari_saliency.models import ModelInfo

Function = Callable[..., "Iterator[Estimate]"]

Passes = Callable[[Mapping[str, Any], "ModelInfo", tuple[int, ...]], int]
"""How often the model is run, forward or back, for one picture: by options, model, and the picture's size."""

NUMBERS: Mapping[type, type] = {int: Integral, float: Real}
"""Numbers that are as good as Python's own, numpy's among them."""

_METHODS: dict[str, Method] = {}


@dataclass(frozen=True)
class Option:
    """One keyword option of a method.

    Attributes
    ----------
    name : str
        The parameter's name.
    type : type
        int, float, bool or str. Where words stand beside numbers, as in ``Literal["mean"] | float``, the
        numbers' type; the words are the "choices".
    default : object
        The value when nothing is chosen.
    constraints : mapping
        From ``Annotated``: "min", "max", "step", "choices"; ``choices="layers"`` stands for the
        layers of the model at hand, ``choices="methods"`` for those methods that others can wrap.
        "least" are words for the least value, as ``automatic``; "advanced" marks what is seldom changed;
        ``each="channels"`` what may have one number for each channel.
    help : str
        From ``Annotated``, where several methods share it, or the parameter's text in the docstring.
    several : bool
        Whether several numbers are taken as well as one, as of ``int | tuple[int, ...]``. How many there must
        be is for the method to say, which knows the picture.
    """

    name: str
    type: type
    default: Any
    constraints: Mapping[str, Any]
    help: str
    several: bool = False

    @property
    def advanced(self) -> bool:
        """Whether it is seldom changed, so that the panel folds it away."""
        return bool(self.constraints.get("advanced"))

    @property
    def keywords(self) -> tuple[str, ...]:
        """What is taken beside numbers."""
        return tuple(self.constraints.get("choices", ())) if self.type in NUMBERS else ()

    def check(self, value: Any) -> None:  # noqa: ANN401 - whatever the caller passed
        """Raise ValueError unless ``value`` is allowed."""
        choices = self.constraints.get("choices")
        if choices == "methods":
            choices = wrappable()
        if isinstance(choices, (tuple, list)) and (self.type is str or isinstance(value, str)):
            if value not in choices:
                numbers = ", nor a number" if self.keywords else ""
                listed = ", ".join(map(repr, choices))
                raise ValueError(f"{self.name}={value!r} is not one of {listed}{numbers}")
            return
        several = self.several and isinstance(value, (tuple, list))
        if several and not value:
            raise ValueError(f"{self.name}={value!r} holds no number")
        for one in value if several else (value,):
            self._check_one(one, value)

    def taken(self, value: Any) -> Any:  # noqa: ANN401 - whatever the caller passed
        """Return an allowed value in Python's own types; hashable."""
        if isinstance(value, str):
            return str(value)
        return tuple(map(self.type, value)) if isinstance(value, (tuple, list)) else self.type(value)

    def _check_one(self, one: Any, value: Any) -> None:  # noqa: ANN401 - whatever the caller passed
        """Raise ValueError, which names the whole value, unless one of its numbers is allowed."""
        low, high = self.constraints.get("min", one), self.constraints.get("max", one)
        is_bool = isinstance(one, bool)  # which Python counts among the whole numbers
        if not isinstance(one, NUMBERS.get(self.type, self.type)) or is_bool != (self.type is bool):
            more = ", or several of it" if self.several else ""
            raise ValueError(f"{self.name}={value!r} must be of type {self.type.__name__}{more}")
        if not low <= one <= high:
            raise ValueError(f"{self.name}={value!r} must lie between {low} and {high}")


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
    needs : {"scores", "gradient", "tap", "propagate"}
        Which of the model's calls it uses; of a wrapper those of the method that it wraps unless told otherwise.
    cite : str
        Paper and equation.
    options : tuple of Option
        Its keyword options.
    shows : {"map", "stack", "picture"}
        What its values are; see `Shows`.
    passes : callable
        ``passes(options, info, space)``: about how often the model is run for one picture, at most.
    contributes : bool
        Whether its values are shares of the score, for and against by their signs; of a wrapper, whether it leaves
        them so.
    """

    id: str
    title: str
    function: Function
    needs: Needs
    cite: str
    options: tuple[Option, ...]
    shows: Shows = "map"
    passes: Passes = lambda *_: 1
    contributes: bool = False

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def wraps(self) -> bool:
        """Whether an option names another method."""
        return any(option.constraints.get("choices") == "methods" for option in self.options)

    @property
    def looks(self) -> bool:
        """Whether an option names a layer of the model."""
        return any(option.constraints.get("choices") == "layers" for option in self.options)

    def needed(self, options: Mapping[str, Any]) -> frozenset[Needs]:
        """Which of the model's calls it uses with some options: its own, or those of the method that it wraps."""
        return frozenset(wrapped.needs for wrapped in self._wrapped(options)) or frozenset({self.needs})

    def shares(self, options: Mapping[str, Any]) -> bool:
        """Whether its values are shares of the score with some options."""
        wrapped = all(wrapped.contributes for wrapped in self._wrapped(options))
        return self.contributes and wrapped and not options.get("absolute")

    def empty(self, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - see `_baselines.Empty`
        """What it takes for an empty picture with some options, or the method that it wraps; None if nothing."""
        wrapped = [(method, method.complete({})) for method in self._wrapped(options)]
        for method, given in [(self, options), *wrapped]:
            for option in method.options:
                if option.name in ("baseline", "fill"):
                    return given[option.name]
        return None

    def _wrapped(self, options: Mapping[str, Any]) -> list[Method]:
        return [METHODS[options[o.name]] for o in self.options if o.constraints.get("choices") == "methods"]

    def possible(self, gives: frozenset[Needs]) -> bool:
        """Whether a model that gives these calls can answer it, maybe with another method inside."""
        return (
            any(METHODS[name].needs in gives for name in wrappable()) if self.wraps else self.needs in gives
        )

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options with their values: those given, the defaults for the others.

        Raises
        ------
        ValueError
            If an option does not exist or its value is not allowed.
        """
        return completed(self.id, self.options, options)

    def check_colours(self, options: Mapping[str, Any], channels: int) -> None:
        """Raise ValueError if a colour does not have one number for each of a model's channels.

        As the method itself does when it is run.
        """
        for option in self.options:
            if option.constraints.get("each") == "channels":
                check_colour(options.get(option.name), channels)


def completed(name: str, known: tuple[Option, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of what is called ``name``, those that are given among them; see `Method.complete`."""
    by_name = {option.name: option for option in known}
    for option, value in given.items():
        if option not in by_name:
            raise ValueError(f"{name} has no option {option!r}; it has {', '.join(by_name) or 'none'}")
        by_name[option].check(value)
    return {option: result.taken(given.get(option, result.default)) for option, result in by_name.items()}


METHODS: Mapping[str, Method] = MappingProxyType(_METHODS)
"""All methods by id, in the order in which the panel shows them."""


def wrappable() -> tuple[str, ...]:
    """Ids of the methods that another one can wrap: those that make maps, and wrap none themselves."""
    return tuple(name for name, result in METHODS.items() if result.shows == "map" and not result.wraps)


def method(
    title: str,
    *,
    needs: Needs,
    cite: str,
    shows: Shows = "map",
    passes: Passes = lambda *_: 1,
    contributes: bool = False,
) -> Callable[[Function], Function]:
    """Register a function as a method; its name becomes the id.

    Raises
    ------
    ValueError
        If the id is taken, or an option has no default.
    """

    def register(function: Function) -> Function:
        name = function.__name__
        if name in _METHODS:
            raise ValueError(f"a method {name!r} is registered already")
        options = options_of(function)
        _METHODS[name] = Method(name, title, function, needs, cite, options, shows, passes, contributes)
        return function

    return register


def options_of(function: Callable[..., Any]) -> tuple[Option, ...]:
    """Read the keyword options off a function's signature and docstring.

    Raises
    ------
    ValueError
        If one has no default.
    """
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    # Only the options' annotations: the others name types that are imported for the type checker alone.
    annotations = SimpleNamespace(__annotations__={p.name: p.annotation for p in parameters})
    hints = get_type_hints(annotations, function.__globals__, include_extras=True)
    helps = _parameter_texts(inspect.getdoc(function) or "")
    result = []
    for parameter in parameters:
        if parameter.default is parameter.empty:
            raise ValueError(f"option {parameter.name!r} of {function.__name__!r} needs a default")
        name = parameter.name
        kind, several, constraints = _annotation(hints[name])
        help_text = constraints.pop("help", "") or helps.get(name, "")
        read_only = MappingProxyType(constraints)
        result.append(Option(name, kind, parameter.default, read_only, help_text, several))
    return tuple(result)


def _annotation(hint: Any) -> tuple[type, bool, dict[str, Any]]:  # noqa: ANN401 - any annotation
    """Split ``Annotated[type, {...}]``, ``Literal`` and unions into a plain type, "several" and constraints."""
    constraints: dict[str, Any] = {}
    if hasattr(hint, "__metadata__"):
        for more in hint.__metadata__:
            constraints |= more
        hint = hint.__origin__
    kind, several = str, False
    for part in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if get_origin(part) is Literal:
            constraints["choices"] = get_args(part)
        elif get_origin(part) is tuple:
            several = True
        else:
            kind = part
    return kind, several, constraints


def _parameter_texts(docstring: str) -> dict[str, str]:
    """Texts of a numpydoc Parameters section, by name."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    entries = re.findall(
        r"^(\w+) :[^\n]*\n((?:[ ]+[^\n]*\n?|\n)+)", section[1] if section else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for name, text in entries}
