"""Imports point one way, and opening the package costs nothing.

Every import counts for the order of the rooms and for circles, at the top of a module, inside a function or for type
checking only. What a module may load is asked of the imports that are carried out.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from napari_saliency.models.backends import BACKENDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "napari_saliency"


# A room may import itself and what stands before it; the package's root holds the lazy public names alone.
ROOMS = (
    "core", "maps", "images", "models", "methods", "checks", "api", "engine", "session", "viewer", "widgets", "app",
)  # fmt: skip

# Who may import these; everything else that is not Python's own, any module may.
_QT = "widgets.* app.demo"
CONFINED = {
    # Each framework in the folder of its adapter, and in the modules that look at its files before it does.
    **{
        package: f"models.{backend.name}.* models.safety.{backend.name}_*"
        for backend in BACKENDS.values()
        for package in backend.packages
    },
    "captum": "",
    **dict.fromkeys(("PyQt5", "PyQt6", "PySide6", "magicgui", "qtpy", "superqt"), _QT),
    "vispy": "",
    "napari": "viewer.* widgets.* app.demo app.cli app.show",
    "skimage": "app.samples viewer.regions methods._shared.*",
    "scipy": "methods._shared.* checks.values",
    "loky": "engine.process app.show",
    "typer": "app.cli",
    "PIL": "images.* app.* models.* viewer.* widgets.*",
    "platformdirs": "models.python.trust",
    "pydantic": "models.*",
    "yaml": "models.sidecar",
    "psygnal": "session.signals viewer.* widgets.*",
}
NOT_BEFORE_USE = {
    name
    for name in CONFINED
    if name not in {"PIL", "loky", "platformdirs", "psygnal", "pydantic", "skimage", "typer", "yaml"}
}
DISTRIBUTIONS = {"PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}


class Arrow(NamedTuple):
    module: str
    line: int
    imported: str
    runs: bool = True  # not for type checking only


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name inside it; ``models.__init__`` for a package."""
    paths = (path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts)
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imports_of(tree: ast.AST, *, runs: bool = True) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """All imports, and whether each is carried out; those for type checking only are not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from imports_of(ast.Module(node.body, []), runs=False)
            yield from imports_of(ast.Module(node.orelse, []), runs=runs)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node, runs
        else:
            yield from imports_of(node, runs=runs)


def imported_names(node: ast.Import | ast.ImportFrom, module: str) -> list[str]:
    """Absolute dotted names, as many as an import statement could mean: ``from a import b`` is ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    parents = ["napari_saliency", *module.split(".")][: -node.level] if node.level else []
    source = ".".join([*parents, *filter(None, [node.module])])
    return [f"{source}.{alias.name}" for alias in node.names]


def arrows_of(module: str, text: str) -> list[Arrow]:
    return [
        Arrow(module, node.lineno, name, runs)
        for node, runs in imports_of(ast.parse(text))
        for name in imported_names(node, module)
    ]


@pytest.fixture(scope="module")
def every_arrow() -> list[Arrow]:
    return [
        arrow for module, path in modules().items() for arrow in arrows_of(module, path.read_text("utf-8"))
    ]


@pytest.fixture(scope="module")
def arrows(every_arrow) -> list[Arrow]:
    """Imports that are carried out."""
    return [arrow for arrow in every_arrow if arrow.runs]


def matches(module: str, patterns: str) -> bool:
    return any(fnmatch(module, pattern) or fnmatch(f"{module}.", pattern) for pattern in patterns.split())


def room_of(module: str) -> str:
    return module.partition(".")[0]


def within_package(arrow: Arrow) -> str | None:
    """The part of an imported name that lies inside the package, None for others' names."""
    package, _, name = arrow.imported.partition(".")
    return name if package == "napari_saliency" else None


def wrong(arrows: list[Arrow]) -> list[str]:
    """Arrows that lead to a room further back, or to the package's root."""
    bad = []
    for arrow in arrows:
        name = within_package(arrow)
        if name is None:
            continue
        here, there = room_of(arrow.module), room_of(name)
        if there not in ROOMS or here not in ROOMS or ROOMS.index(there) > ROOMS.index(here):
            bad.append(f"{arrow.module}:{arrow.line} imports {arrow.imported}")
    return bad


def test_every_module_has_a_room():
    assert {room_of(module) for module in modules()} == {*ROOMS, "__init__"}


def test_rooms_import_only_what_stands_before_them(every_arrow):
    outside = [arrow for arrow in every_arrow if arrow.module != "__init__"]
    assert wrong(outside) == []


def circles(arrows: list[Arrow]) -> list[str]:
    """Modules that import themselves by way of others."""
    names = set(modules())
    graph: dict[str, set[str]] = {name: set() for name in names}
    for arrow in arrows:
        target = within_package(arrow) or ""
        graph[arrow.module] |= names & {target, target.rpartition(".")[0]}
    reached = {name: set(targets) for name, targets in graph.items()}
    for middle in names:
        for targets in reached.values():
            if middle in targets:
                targets |= reached[middle]
    return sorted(name for name, targets in reached.items() if name in targets)


def test_no_module_imports_itself_by_way_of_others(every_arrow):
    assert circles(every_arrow) == []


def test_a_circle_is_found():
    one, other = "core.types", "core.placement"
    there = Arrow(one, 1, f"napari_saliency.{other}.share")
    back = Arrow(other, 1, f"napari_saliency.{one}", runs=False)
    assert circles([there]) == []
    assert circles([there, back]) == [other, one]


@pytest.mark.parametrize(
    "statement",
    [
        "from napari_saliency.engine.process import step",
        "from napari_saliency import engine",
        "import napari_saliency.engine.process",
        "def f():\n    from napari_saliency.api import explain",
        "from ..session.session import Inspection",
        "from napari_saliency import explain",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from napari_saliency import engine",
    ],
)
def test_an_arrow_the_other_way_is_found(statement):
    assert len(wrong(arrows_of("methods.gradients", statement))) == 1


def test_imports_for_type_checking_count_as_not_carried_out():
    (arrow,) = arrows_of("methods.gradients", "if TYPE_CHECKING:\n    from napari_saliency import engine")
    assert wrong([arrow])
    assert not arrow.runs


def test_frameworks_qt_and_others_stay_where_they_belong(arrows):
    outside = [
        f"{arrow.module}:{arrow.line} imports {arrow.imported}"
        for arrow in arrows
        if not matches(arrow.module, CONFINED.get(arrow.imported.partition(".")[0], "*"))
    ]
    assert outside == []


def test_a_users_module_is_imported_in_one_place_alone():
    """Besides, only what the package names itself: public names, adapters, methods, and the engine's frameworks."""
    text = {"import_module", "__import__", "exec_module", "runpy", "exec", "eval", "compile"}
    named = {
        module
        for module, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Name) and node.id in text)
        or (isinstance(node, ast.Attribute) and node.attr in text - {"eval", "compile"})
    }
    assert named == {
        "__init__",
        "engine.process",
        "methods.registry",
        "models.backends",
        "models.python.trust",
    }


def test_methods_and_checks_know_nothing_but_numpy(arrows):
    """But for what cuts pictures into pieces, or measures how far a place is from one."""
    others = {
        arrow.imported.partition(".")[0]
        for arrow in arrows
        if arrow.module not in ("methods._shared.segmentation", "checks.values")
        and matches(arrow.module, "core.* maps.* images.intensity methods.* checks.*")
    }
    assert others - sys.stdlib_module_names <= {"numpy", "napari_saliency"}


def test_dependencies_are_what_is_imported(arrows):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [
        *project["dependencies"],
        *(r for backend in BACKENDS.values() if backend.extra for r in extras[backend.extra]),
    ]
    declared = {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}
    tops = (
        {arrow.imported.partition(".")[0] for arrow in arrows} - sys.stdlib_module_names - {"napari_saliency"}
    )
    assert {DISTRIBUTIONS.get(top, top) for top in tops} == declared


def test_import_takes_under_half_a_second(fresh_interpreter):
    code = "import time; import napari_saliency; print(time.process_time())"
    # Processor time, and the best of three: what else the machine does is not measured.
    assert min(float(fresh_interpreter(code)[0]) for _ in range(3)) < 0.5


LOADED = "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"


def modules_without_a_window() -> str:
    frameworks = " ".join(CONFINED[package] for backend in BACKENDS.values() for package in backend.packages)
    elsewhere = f"*__init__ {frameworks} {_QT} {CONFINED['napari']}"
    return ", ".join(f"napari_saliency.{name}" for name in modules() if not matches(name, elsewhere))


@pytest.mark.parametrize(
    "statement",
    ["import napari_saliency", "from napari_saliency import *", f"import {modules_without_a_window()}"],
    ids=["package", "public names", "all modules but Qt's and the frameworks'"],
)
def test_import_loads_no_framework_no_qt_and_no_napari(fresh_interpreter, statement):
    assert not NOT_BEFORE_USE & set(fresh_interpreter(statement + LOADED))


def test_command_line_answers_without_napari_or_a_framework(fresh_interpreter):
    assert not NOT_BEFORE_USE & set(fresh_interpreter("import napari_saliency.app.cli" + LOADED))


def test_public_names_are_listed_and_others_refused():
    import napari_saliency

    assert set(napari_saliency.__all__) <= set(dir(napari_saliency))
    assert all(getattr(napari_saliency, name) is not None for name in napari_saliency.__all__)
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        napari_saliency.explian  # noqa: B018 - the access is what is tested
