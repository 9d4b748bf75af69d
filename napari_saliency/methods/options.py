"""Options of methods and checks, read off a function's signature and docstring.

An option is a keyword argument. Its annotation says what it takes, in magicgui's keys where these exist::

    steps: Annotated[int, {"min": 8, "max": 512}] = 64
    rule: Literal["trapezoid", "gauss_legendre"] = "trapezoid"
    window: Annotated[int | tuple[int, ...], {"min": 0, "max": 1024, "min_text": "automatic"}] = 0
    layer: Annotated[str, LayerChoice(), {"tooltip": "The layer to look at."}] = ""

A tuple beside a number means that several numbers are taken as well as one; a `Literal` beside a number lists the
words that stand for one. How many numbers fit a picture is for the method to say, which knows the picture.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from napari_saliency.core.errors import quote

NUMBERS: Mapping[type, type] = {int: Integral, float: Real}
"""Numbers that are as good as Python's own, numpy's among them."""

KEYS = frozenset({"min", "max", "step", "min_text", "advanced"})
"""Keys of an annotation's dictionary that are fields of `Option`; "tooltip" becomes its help."""


@dataclass(frozen=True)
class LayerChoice:
    """Mark an option that names a layer of the model at hand; "" stands for the usual one."""


@dataclass(frozen=True)
class MethodChoice:
    """Mark an option that names another method.

    Attributes
    ----------
    names : callable
        Returns the ids that may be chosen; called when a value is checked, as methods may be registered later.
    """

    names: Callable[[], tuple[str, ...]]


@dataclass(frozen=True)
class PerChannel:
    """Mark an option that takes one number for all channels of the picture, or one for each."""


Choices = tuple[Any, ...] | LayerChoice | MethodChoice


@dataclass(frozen=True)
class Option:
    """One keyword option of a method or a check.

    Attributes
    ----------
    name : str
        The parameter's name.
    type : type
        int, float, bool or str. Where words stand beside numbers, as in ``Literal["mean"] | float``, the
        numbers' type; the words are the choices.
    default : object
        The value when nothing is chosen.
    help : str
        The annotation's "tooltip", where several methods share it, or the parameter's text in the docstring.
    choices : tuple, LayerChoice or MethodChoice
        The words that are taken, or where they come from; () if any value is.
    several : bool
        Whether several numbers are taken as well as one, as of ``int | tuple[int, ...]``.
    per_channel : bool
        Whether several numbers are one for each channel; see `PerChannel`.
    min, max, step : number, optional
        The range of a number, and what a click changes it by.
    min_text : str
        Word that stands for the smallest number, as "automatic".
    advanced : bool
        Whether it is seldom changed, so that the panel folds it away.
    """

    name: str
    type: type
    default: Any
    help: str = ""
    choices: Choices = ()
    several: bool = False
    per_channel: bool = False
    min: float | None = None
    max: float | None = None
    step: float | None = None
    min_text: str = ""
    advanced: bool = False

    @property
    def keywords(self) -> tuple[str, ...]:
        """Words that are taken beside numbers."""
        return self.choices if self.type in NUMBERS and isinstance(self.choices, tuple) else ()

    @property
    def limits(self) -> tuple[float, float] | None:
        """The range of a number; None if it has none."""
        return None if self.min is None or self.max is None else (self.min, self.max)

    def check(self, value: Any) -> None:  # noqa: ANN401 - whatever the caller passed
        """Raise ValueError unless ``value`` is allowed."""
        choices = self.choices.names() if isinstance(self.choices, MethodChoice) else self.choices
        if isinstance(choices, tuple) and choices and (self.type is str or isinstance(value, str)):
            if value not in choices:
                numbers = ", nor a number" if self.keywords else ""
                listed = ", ".join(map(repr, choices))
                raise ValueError(f"{self.name}={quote(value)} is not one of {listed}{numbers}")
            return
        several = self.several and isinstance(value, (tuple, list))
        if several and not value:
            raise ValueError(f"{self.name}={quote(value)} holds no number")
        for one in value if several else (value,):
            self._check_one(one, value)

    def convert(self, value: Any) -> Any:  # noqa: ANN401 - whatever the caller passed
        """Return an allowed value in Python's own types; hashable."""
        if isinstance(value, str):
            return str(value)
        return tuple(map(self.type, value)) if isinstance(value, (tuple, list)) else self.type(value)

    def _check_one(self, one: Any, value: Any) -> None:  # noqa: ANN401 - whatever the caller passed
        """Raise ValueError, which names the whole value, unless one of its numbers is allowed."""
        # Python counts bool among the whole numbers.
        fits = isinstance(one, NUMBERS.get(self.type, self.type)) and isinstance(one, bool) == (
            self.type is bool
        )
        if not fits:
            more = ", or several of it" if self.several else ""
            raise ValueError(f"{self.name}={quote(value)} must be of type {self.type.__name__}{more}")
        low, high = self.limits or (-math.inf, math.inf)
        if self.limits is not None and not low <= one <= high:
            raise ValueError(f"{self.name}={quote(value)} must lie between {low} and {high}")


def complete(name: str, known: tuple[Option, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options with their values: those given, the defaults for the others.

    Parameters
    ----------
    name : str
        Id of the method or the check, for the error.
    known : tuple of Option
        What it takes.
    given : mapping
        Option name → value.

    Raises
    ------
    ValueError
        If an option does not exist or its value is not allowed.
    """
    by_name = {option.name: option for option in known}
    for option, value in given.items():
        if option not in by_name:
            raise ValueError(f"{name} has no option {quote(option)}; it has {', '.join(by_name) or 'none'}")
        by_name[option].check(value)
    return {option: each.convert(given.get(option, each.default)) for option, each in by_name.items()}


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
    texts = _parameter_texts(inspect.getdoc(function) or "")
    for parameter in parameters:
        if parameter.default is parameter.empty:
            raise ValueError(f"option {quote(parameter.name)} of {quote(function.__name__)} needs a default")
    return tuple(_option(p.name, p.default, hints[p.name], texts.get(p.name, "")) for p in parameters)


def _option(name: str, default: object, hint: Any, text: str) -> Option:  # noqa: ANN401 - any annotation
    """Make an option of a parameter's name, default, annotation and text."""
    keys: dict[str, Any] = {}
    choices: Choices = ()
    per_channel = several = False
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, LayerChoice | MethodChoice):
            choices = mark
        elif isinstance(mark, PerChannel):
            per_channel = True
        else:
            keys |= mark
    kind, plain = str, hint.__origin__ if hasattr(hint, "__metadata__") else hint
    for part in get_args(plain) if get_origin(plain) in (Union, UnionType) else (plain,):
        if get_origin(part) is Literal:
            choices = get_args(part)
        elif get_origin(part) is tuple:
            several = True
        else:
            kind = part
    text = keys.pop("tooltip", "") or text
    if unknown := keys.keys() - KEYS:
        raise ValueError(f"option {quote(name)} has keys that nothing reads: {', '.join(sorted(unknown))}")
    return Option(name, kind, default, text, choices, several, per_channel, **keys)


def _parameter_texts(docstring: str) -> dict[str, str]:
    """Return the texts of a numpydoc Parameters section, by name."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", docstring, re.DOTALL | re.MULTILINE)
    entries = re.findall(
        r"^(\w+) :[^\n]*\n((?:[ ]+[^\n]*\n?|\n)+)", section[1] if section else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for name, text in entries}
