"""Descriptions of methods and checks as plain data, from which tables and pages are generated."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from napari_saliency.methods.options import LayerChoice, MethodChoice
from napari_saliency.methods.registry import METHODS

if TYPE_CHECKING:
    from napari_saliency.methods.options import Option


class Entry(Protocol):
    """Common attributes of registered methods and checks."""

    @property
    def id(self) -> str: ...  # noqa: D102 - see `Description`
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def family(self) -> str: ...  # noqa: D102
    @property
    def summary(self) -> str: ...  # noqa: D102
    @property
    def cite(self) -> str: ...  # noqa: D102
    @property
    def needs(self) -> str | None: ...  # noqa: D102
    @property
    def options(self) -> tuple[Option, ...]: ...  # noqa: D102
    @property
    def function(self) -> Callable[..., Any]: ...  # noqa: D102


@dataclass(frozen=True)
class OptionDescription:
    """An option, in words.

    Attributes
    ----------
    name : str
        The parameter's name.
    default : str
        The default as Python writes it.
    takes : str
        The values that it takes, as ``"8 to 512"``.
    help : str
        What it does.
    advanced : bool
        Whether the panel folds it away.
    """

    name: str
    default: str
    takes: str
    help: str
    advanced: bool


@dataclass(frozen=True)
class Description:
    """A method, or a check, for tables and pages.

    Attributes
    ----------
    id, title, family, summary, cite : str
        As at the decorator and in the docstring's first line.
    needs : str
        The call of the model that it uses besides scores; "" for none.
    options : tuple of OptionDescription
        Its keyword options.
    formula : str
        LaTeX, of the first ``.. math::`` in the docstring's Notes; "" if there is none.
    use, avoid : str
        When to use it and when not; "" where the docstring's Notes do not say.
    """

    id: str
    title: str
    family: str
    summary: str
    cite: str
    needs: str
    options: tuple[OptionDescription, ...]
    formula: str
    use: str
    avoid: str


def describe_methods() -> tuple[Description, ...]:
    """Describe all methods, in the order in which they are shown."""
    return tuple(map(describe, METHODS.values()))


def describe(entry: Entry) -> Description:
    """Describe a registered method or check."""
    notes = _notes(inspect.getdoc(entry.function) or "")
    return Description(
        id=entry.id,
        title=entry.title,
        family=entry.family,
        summary=entry.summary,
        cite=entry.cite,
        needs=entry.needs or "",
        options=tuple(map(_describe_option, entry.options)),
        formula=_formula(notes),
        use=_paragraph(notes, "When to use"),
        avoid=_paragraph(notes, "When not to use"),
    )


def _describe_option(option: Option) -> OptionDescription:
    return OptionDescription(option.name, repr(option.default), _takes(option), option.help, option.advanced)


def _takes(option: Option) -> str:
    """Write down the values that an option takes."""
    if isinstance(option.choices, LayerChoice):
        return "a layer of the model"
    if isinstance(option.choices, MethodChoice):
        return "a method"
    parts = [repr(choice) for choice in option.choices]
    if option.limits is not None:
        low, high = option.limits
        several = ", one or several" if option.several else ""
        parts.append(f"{low:g} to {high:g}{several}" if option.type is float else f"{low} to {high}{several}")
    elif option.type is bool:
        parts.append("True or False")
    return ", ".join(parts)


def _notes(docstring: str) -> str:
    """Return the Notes section of a numpydoc docstring."""
    section: Mapping[str, str] = dict(
        re.findall(r"^(\w+)\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", docstring, re.M | re.S)
    )
    return section.get("Notes", "")


def _formula(notes: str) -> str:
    """Return the first formula in LaTeX: what follows ``.. math::`` up to an empty line."""
    match = re.search(r"^\.\. math::\s*(.+?)(?:\n\s*\n|\Z)", notes, re.M | re.S)
    return " ".join(match[1].split()) if match else ""


def _paragraph(notes: str, heading: str) -> str:
    """Return the paragraph that begins with a heading in bold."""
    match = re.search(rf"^\*\*{heading}:\*\*\s*(.+?)(?:\n\s*\n|\Z)", notes, re.M | re.S)
    return " ".join(match[1].split()) if match else ""
