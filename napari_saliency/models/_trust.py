"""Who may run: modules of Python are programs, and run only after somebody's yes.

A yes holds for the files as they are: it is kept with their hash, so a changed file asks again. To
find the files, nothing of them is run.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from napari_saliency._types import ModelError, UntrustedError
from napari_saliency.models._sources import Source, parse

if TYPE_CHECKING:
    from collections.abc import Iterator


def needs_trust(source: str | Path) -> bool:
    """Whether opening a model would run a program that nobody has said yes to.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    parsed = parse(source)
    return parsed.kind == "python" and _digest(parsed) not in _remembered()


def trust(source: str | Path) -> None:
    """Say yes to the program that opening a model runs, and remember it until its files change.

    Raises
    ------
    ModelError
        If there is no such model.
    OSError
        If the yes cannot be written down.
    """
    parsed = parse(source)
    if parsed.kind != "python":
        return
    known = {**_remembered(), _digest(parsed): str(_files(parsed)[-1])}
    path = trusted_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_trusted(source: Source) -> None:
    """Raise UntrustedError if opening a model would run a program that nobody has said yes to."""
    if source.kind != "python" or _digest(source) in _remembered():
        return
    raise UntrustedError(
        f"opening {source.name} runs the program {_files(source)[-1]} on your machine: if you know it, "
        f"say yes with load_model(..., trust=True), or once and for all with models.trust({str(source)!r})"
    )


def trusted_path() -> Path:
    """Where the yeses are kept: what was trusted, by its hash."""
    return user_config_path("napari-saliency", appauthor=False) / "trusted.json"


def _remembered() -> dict[str, str]:
    try:
        content = json.loads(trusted_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # nothing that can be read is no yes
    return content if isinstance(content, dict) else {}


def _digest(source: Source) -> str:
    """SHA-256 over the module's name and all files that importing it runs by itself."""
    digest = hashlib.sha256(source.module.encode())
    for path in _files(source):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(source: Source) -> list[Path]:
    """The files of a module and of the packages around it, the module's own last."""
    return [path for spec in _specs(source.module) if (path := _file(spec, source.module))]


def _specs(module: str) -> Iterator[ModuleSpec]:
    """Find a module without importing the packages around it, as `find_spec` would."""
    top, *inner = module.split(".")
    spec, name = _find_top(top), top
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            break
        yield spec
        name = f"{name}.{part}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    if spec is None or spec.name != module:
        raise ModelError(
            f"there is no module {module!r}: install it, or set PYTHONPATH to the folder that it lies in"
        )
    yield spec


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
        raise ModelError(f"{module!r} is a part of Python ({spec.origin}), and no model")
    return path
