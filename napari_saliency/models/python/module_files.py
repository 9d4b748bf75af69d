"""Files of a program: a module of the user's, the packages around it, and local modules that it imports.

Nothing of it is run to find that out. Covered are the files that are imported by name, in any of them, from the
folder in which the module (or the package that it belongs to) lies. Not covered: what is installed, Python's own
modules, folders elsewhere on the path, names that are put together while it runs (`importlib`, ``from package
import *``), and files that are read but not imported. Of a module that is installed itself, only it and the
packages around it are covered.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import ModuleSpec, PathFinder, all_suffixes
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_saliency.core.errors import ModelError, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Program:
    """A module and all files that are known to run when it is imported.

    Attributes
    ----------
    module : str
        As in ``package.module``.
    path : Path
        Its file.
    contents : mapping
        Bytes of each file, by the name of its module and its path without links.
    """

    module: str
    path: Path
    contents: Mapping[tuple[str, Path], bytes]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the module's name and all files."""
        digest = hashlib.sha256(self.module.encode())
        for (name, path), content in sorted(self.contents.items()):
            digest.update(f"\n{name} {path.name} {hashlib.sha256(content).hexdigest()}".encode())
        return digest.hexdigest()


def find_program(module: str) -> Program:
    """Find a module's file, and those that run with it.

    Raises
    ------
    ModelError
        If there is no such module, or it does not come from a file.
    """
    files = _files(module)
    own = files[-1][1]
    root = own.parents[module.count(".") + (own.stem == "__init__")]
    contents: dict[tuple[str, Path], bytes] = {}
    while files:
        name, path = files.pop()
        key = name, path.resolve()
        if key in contents:
            continue
        contents[key] = path.read_bytes()
        if path.suffix == ".py" and not _is_installed(root):
            for imported in _imports(contents[key], name, path.stem == "__init__"):
                files += [(imported, result) for result in _local_files(root, imported)]
    return Program(module, own, contents)


def _files(module: str) -> list[tuple[str, Path]]:
    """Return the names and files of the packages around a module, and its own last."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise ModelError(f"{quote(module)} is not a module name: write PACKAGE.MODULE")
    result = [(spec.name, _file(spec, module)) for spec in _specs(module)]
    if result[-1][1] is None:
        raise ModelError(f"{quote(module)} is a folder without a module of that name")
    return [(name, path) for name, path in result if path is not None]


def _specs(module: str) -> Iterator[ModuleSpec]:
    """Find a module without importing the packages around it, as `find_spec` would."""
    top, *inner = module.split(".")
    spec, name = _find_top(top), top
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            break
        yield spec
        name = f"{name}.{part}"
        spec = _find_inner(name, list(spec.submodule_search_locations))
    if spec is None or spec.name != module:
        raise ModelError(
            f"there is no module {quote(module)}: install it, or set PYTHONPATH to the folder that it lies in"
        )
    yield spec


def _find_inner(name: str, folders: list[str]) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, folders)
    except KeyError:  # a folder without __init__.py in one that has none either, which is not imported yet
        spec = ModuleSpec(name, None, is_package=True)
        paths = (Path(folder, name.rpartition(".")[2]) for folder in folders)
        spec.submodule_search_locations = [str(path) for path in paths if path.is_dir()]
        return spec


def _find_top(name: str) -> ModuleSpec | None:
    try:
        return find_spec(name)
    except ValueError:  # __main__, and modules that were put together by hand
        return getattr(sys.modules[name], "__spec__", None)


def _file(spec: ModuleSpec, module: str) -> Path | None:
    if spec.origin is None:  # a folder that is a package without a file
        return None
    path = Path(spec.origin)
    if not path.is_file():
        raise ModelError(f"{quote(module)} is a part of Python ({spec.origin}), not a model")
    return path


def _is_installed(root: Path) -> bool:
    own = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    return bool(INSTALLED & set(root.parts)) or any(root.is_relative_to(folder) for folder in own)


def _local_files(root: Path, module: str) -> list[Path]:
    """Find files in a folder that a module's name may stand for, whichever of them Python takes."""
    base = root.joinpath(*module.split("."))
    paths = [path for end in all_suffixes() for path in (Path(f"{base}{end}"), base / f"__init__{end}")]
    return [path for path in paths if path.is_file()]


@lru_cache(maxsize=4096)
def _imports(text: bytes, name: str, is_package: bool) -> frozenset[str]:
    """Return names of modules that a module may import, and of the packages around them."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()  # it does not run
    package = name.split(".") if is_package else name.split(".")[:-1]
    result = set[str]()
    for node in nodes:
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            result |= {".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return frozenset(".".join(f.split(".")[:n]) for f in result for n in range(1, f.count(".") + 2))
