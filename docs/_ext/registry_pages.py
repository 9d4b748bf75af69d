"""Pages made from the program: one for each method, one of all checks, the reference, and the table of model files.

They are written into ``docs/generated``, ``docs/methods`` and ``docs/reference``, where git ignores them, before Sphinx
looks for pages. All that they say is
read off the registries, signatures and docstrings, so that a new method is documented by being written.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

import napari_saliency
from napari_saliency import models
from napari_saliency.checks import CHECKS
from napari_saliency.methods import METHODS
from napari_saliency.methods.describe import describe

if TYPE_CHECKING:
    from docutils.nodes import Element, Node, system_message
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from napari_saliency.checks import Check
    from napari_saliency.methods import Method
    from napari_saliency.methods.describe import OptionDescription

HERE = Path(__file__).parents[1]
REPOSITORY = "https://github.com/napari-saliency/napari-saliency"
OWN_SECTIONS = ("Parameters", "Returns", "Yields", "Raises")
"""Sections of a docstring that a method's page shows in a form of its own, or not at all."""

NEEDS = {
    "scores": "scores alone, so it works for every model",
    "gradient": "gradients",
    "tap": "gradients, and a layer whose output has places",
    **dict.fromkeys(("rescale", "epsilon"), "a network each of whose operations has a rule"),
}
"""Requirements of methods on a model, in readers' words."""

SHOWS = {"map": "a map", "stack": "a stack of maps, one for each channel", "picture": "a picture of its own"}

CONTRACTS = {
    "Targets, predictions and estimates": "core.types",
    "Places and regions": "core.placement",
    "Errors": "core.errors",
    "Models": "models.base",
    "What is known of a model": "models.info",
    "Settings of a model": "models.settings",
    "Preprocessing": "core.preprocessing",
    "Adapters": "models.backends",
    "Methods": "methods.registry",
    "Options of methods and checks": "methods.options",
    "Checks": "checks.registry",
    "Findings of a check": "checks.finding",
}
"""Modules whose public classes and functions are what methods, checks and adapters are written against."""


def sections_of(docstring: str) -> dict[str, str]:
    """Split a numpydoc docstring: "" holds the summary and what follows it, then come the sections by title."""
    parts = re.split(r"^([A-Z][^\n]*)\n-{3,}\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return {"": parts[0].strip()} | {
        title.strip(): text.strip() for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def as_rst(text: str) -> str:
    """Escape what numpy's shapes and plain formulas share with reStructuredText: ``(*space, K)``, ``|x|``, `Name`s."""
    paragraphs = re.split(r"(\n\s*\n)", text)
    return "".join(part if re.match(r"\s|\.\. ", part) else _escaped(part) for part in paragraphs)


def _escaped(paragraph: str) -> str:
    plain_and_code = re.split(r"(`+[^`]*`+(?:s\b)?)", paragraph)
    for number, part in enumerate(plain_and_code):
        if number % 2:
            plain_and_code[number] = re.sub(r"(?<=`)s$", r"\\ s", part)
        else:
            part = re.sub(r"(?<![*\w])\*(\w+)(?=[,)])", r"\\*\1", part)
            plain_and_code[number] = re.sub(r"\|(\w+)\|", r"\\|\1\\|", part)
    return "".join(plain_and_code)


def escape_docstring(_: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Apply `as_rst` to what autodoc reads, line by line so that numpydoc's sections stay as they are."""
    lines[:] = [_escaped(line) for line in lines]


def skip_fields(_: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of named tuples, which the section of attributes describes."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def heading(text: str, underline: str) -> str:
    """Underline a title."""
    return f"{text}\n{underline * (len(text) + 2)}\n"


def _row(*cells: str) -> str:
    """Write a row of a list-table."""
    first, *rest = cells
    return "\n".join([f"   * - {first}", *(f"     - {cell}" for cell in rest)])


def options_table(options: Iterable[OptionDescription]) -> str:
    """List options with defaults, values and explanations."""
    rows = [
        _row(f"``{option.name}``", f"``{option.default}``", option.takes, as_rst(option.help))
        for option in options
    ]
    if not rows:
        return ""
    head = ".. list-table::\n   :header-rows: 1\n   :widths: 14 12 30 44\n\n"
    return head + "\n".join([_row("Option", "Default", "Values", "Meaning"), *rows]) + "\n"


def described(docstring: str, level: str = "") -> Iterable[str]:
    """Turn what a docstring says beyond its summary into sections of a page; without a level, into paragraphs."""
    sections = sections_of(docstring)
    _, _, more = sections.pop("").partition("\n\n")
    if more:
        yield as_rst(more) + "\n"
    for title, text in sections.items():
        if title in OWN_SECTIONS:
            continue
        if level:
            yield heading("Formula and notes" if title == "Notes" and ".. math::" in text else title, level)
        elif title != "Notes":
            yield f".. rubric:: {title}\n"
        yield as_rst(text) + "\n"


def method_page(method: Method) -> str:
    """Write the page of one method."""
    docstring = inspect.getdoc(method.function) or ""
    facts = [
        ("Paper", method.cite),
        ("Needs", NEEDS.get(method.needs, method.needs)),
        ("Gives", SHOWS[method.shows]),
    ]
    if method.shares(method.complete({})):
        facts.append(("Values", "contributions: they add up to the score, as far as the method promises it"))
    parts = [
        f".. _method-{method.id}:\n",
        heading(method.title, "="),
        f"**{method.summary}**\n",
        _tile(method),
        "\n".join(f":{name}: {text}" for name, text in facts) + "\n",
        _usage(method),
        *described(docstring, "-"),
    ]
    if method.options:
        parts += [heading("Options", "-"), options_table(describe(method).options)]
    return "\n".join(parts)


def _tile(method: Method) -> str:
    if not (HERE / f"_static/gallery/{method.id}.png").exists():
        return ""
    alt = f"{method.title} of a photo of a cat, explained for the class cat"
    return f".. image:: /_static/gallery/{method.id}.png\n   :alt: {alt}\n   :class: tile\n   :align: right\n"


def _usage(method: Method) -> str:
    call = f'explain(model, "photo.jpg", method="{method.id}")'
    return f".. code-block:: python\n\n   {call}\n"


def methods_page() -> str:
    """Write the table of all methods."""
    rows = [
        _row(
            f":ref:`{method.title} <method-{method.id}>`",
            f"``{method.id}``",
            method.summary.rstrip("."),
            method.cite,
        )
        for method in METHODS.values()
    ]
    head = ".. list-table::\n   :header-rows: 1\n   :widths: 18 18 40 24\n\n"
    table = head + "\n".join([_row("Method", "Id", "What it shows", "Paper"), *rows])
    pages = "\n".join(f"   /methods/{name}" for name in METHODS)
    return f"{table}\n\n.. toctree::\n   :hidden:\n\n{pages}\n"


def models_page() -> str:
    """Write the table of what opens, from the table of adapters."""
    rows = [tuple(form) for backend in models.BACKENDS.values() for form in backend.formats]
    lines = ["| You have | It opens as | It gives |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {have} | {source} | {gives} |" for have, source, gives in rows)]) + "\n"


def check_section(check: Check) -> str:
    """Write what the page of checks says of one."""
    parts = [
        f".. _check-{check.id}:\n",
        heading(check.title, "-"),
        f"**{check.summary}**\n",
        f":Id: ``{check.id}``\n:Paper: {check.cite}\n"
        + (":Needs: a region where the map ought to point\n" if check.region else "")
        + (":Needs: weights that can be made random\n" if check.needs == "cascade" else ""),
        *described(inspect.getdoc(check.function) or ""),
    ]
    if check.options:
        parts.append(options_table(describe(check).options))
    return "\n".join(parts)


def contract_names(module: str) -> list[str]:
    """Names of the classes that a module of the package defines, in its order, and of the decorators that register."""
    loaded = importlib.import_module(f"napari_saliency.{module}")
    return [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or (inspect.isfunction(value) and name in ("method", "check")))
        and value.__module__ == loaded.__name__
    ]


def documented(module: str, name: str) -> str:
    """Write the directive that documents a class or function."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        return f".. autoclass:: {module}.{name}\n   :members:\n"
    return f".. autofunction:: {module}.{name}\n"


def api_page() -> str:
    """Write the reference of the public names."""
    names = [name for name in napari_saliency.__all__ if callable(getattr(napari_saliency, name))]
    functions = [name for name in names if not inspect.isclass(getattr(napari_saliency, name))]
    parts = [
        heading("napari_saliency", "="),
        "All public names, imported from the package itself. Each is imported when it is first used.\n",
        *(
            documented("napari_saliency", name)
            for name in [*functions, *(n for n in names if n not in functions)]
        ),
    ]
    data = {"METHODS": ("methods", "Method"), "CHECKS": ("checks", "Check")}
    for name, (noun, contract) in data.items():
        parts.append(
            f".. py:data:: napari_saliency.{name}\n\n   All {noun} by id, in the order in which the panel shows them: "
            f"a read-only mapping of str to `{contract}`.\n"
        )
    return "\n".join(parts)


def contracts_page() -> str:
    """Write the reference of what methods, checks and adapters are written against."""
    parts = [
        heading("Contracts", "="),
        "What methods, checks and adapters are written against. These classes are stable in what they mean; the\n"
        "modules that they lie in are not public, and may move.\n",
    ]
    for title, module in CONTRACTS.items():
        if find_spec(f"napari_saliency.{module}") is None:
            continue
        parts += [heading(title, "-"), f"In ``napari_saliency.{module}``.\n"]
        parts += [documented(f"napari_saliency.{module}", name) for name in contract_names(module)]
    return "\n".join(parts)


def pages() -> Mapping[str, str]:
    """Write all pages: reStructuredText by file name."""
    return {
        "generated/methods.rst.inc": methods_page(),
        "generated/models.md.inc": models_page(),
        "generated/checks.rst.inc": "\n".join(check_section(check) for check in CHECKS.values()),
        "reference/api.rst": api_page(),
        "reference/contracts.rst": contracts_page(),
        **{f"methods/{method.id}.rst": method_page(method) for method in METHODS.values()},
    }


def write_pages(_: Sphinx | None = None, folder: Path = HERE) -> None:
    """Write pages that have changed, and remove those of methods that are gone."""
    wanted = {folder / name: text for name, text in pages().items()}
    for path in (folder / "methods").glob("*.rst"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def link_to_repository(_: Sphinx, page: str, source: list[str]) -> None:
    """Turn links that leave the folder of the documents into links to the repository."""
    source[0] = re.sub(
        r"\]\((?:\.\./)+(napari_saliency/|tools/|examples/)", rf"]({REPOSITORY}/blob/main/\1", source[0]
    )


def use_tiles(_: Sphinx) -> None:
    """Give each example that makes no picture the tile of the first method that it names, in place of a blank."""
    for path in (HERE.parent / "examples").glob("*.py"):
        images = HERE / "examples" / "images"
        if (images / f"sphx_glr_{path.stem}_001.png").exists():
            continue
        named = [name for name in re.findall(r'"(\w+)"', path.read_text("utf-8")) if name in METHODS]
        tile = HERE / "_static" / "gallery" / f"{(named or ['gradient'])[0]}.png"
        if tile.exists():
            shutil.copy(tile, images / "thumb" / f"sphx_glr_{path.stem}_thumb.png")


class RunFirst:
    """Sort key of the examples' gallery: those that are run, with their pictures, come first."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, name: str) -> tuple[bool, str]:
        """Return the key of a file."""
        return (not name.startswith("plot_"), name)


class SaliencyRole(SphinxRole):
    """Link to what has this name in the documentation; show it as code where nothing has."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        """Make a reference that `resolve` follows."""
        reference = addnodes.pending_xref(
            self.rawtext,
            nodes.literal(self.rawtext, self.text, classes=["xref", "py"]),
            refdomain="py",
            reftype="saliency",
            reftarget=self.text.rstrip("()"),
            refwarn=False,
        )
        self.set_source_info(reference)
        return [reference], []


def resolve(app: Sphinx, env: BuildEnvironment, node: Element, contnode: Element) -> Element | None:
    """Follow a name that Python's rules do not find: the one documented object whose name ends with it, or none.

    Types of numpy and others stay plain text. A link that names this package and leads nowhere stays an error.
    """
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"]
    objects = env.domains.python_domain.objects
    found = [name for name in objects if name == target or name.endswith(f".{target}")]
    shortest = min(found, key=len, default=None)
    if shortest is not None:
        entry = objects[shortest]
        return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode)
    return None if target.startswith("napari_saliency.") else contnode


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.add_role("saliency", SaliencyRole())
    app.connect("builder-inited", write_pages)
    app.connect("builder-inited", use_tiles, priority=900)  # after the examples were run, at 500
    app.connect("source-read", link_to_repository)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-process-docstring", escape_docstring, priority=400)  # before numpydoc, at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
