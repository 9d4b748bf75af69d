"""Who may run: modules of Python are programs, and run only after somebody's yes.

Nothing else in this package imports what it does not know. A yes holds for the files as they are: it is
kept with their hash, so a changed file asks again. To find the files, nothing of them is run.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from napari_saliency._types import ModelError, UntrustedError
from napari_saliency.models._beside import settings_beside
from napari_saliency.models._sources import Source, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def needs_trust(source: str | Path, *, custom: str | None = None) -> bool:
    """Whether opening a model would run a program that nobody has said yes to.

    Parameters
    ----------
    source : str or Path
        As for `load_model`.
    custom : str, optional
        As for `load_model`; what stands beside the model's file, otherwise.

    Raises
    ------
    ModelError
        If there is no such model, or no such module.
    """
    module = _module(parse(source), custom)
    return module is not None and not _is_trusted(module)


def program(source: str | Path, *, custom: str | None = None) -> Path | None:
    """Return the file of the program that opening a model runs; None if it runs none. As for `needs_trust`."""
    module = _module(parse(source), custom)
    return None if module is None else _files(module)[-1]


def trust(source: str | Path, *, custom: str | None = None) -> None:
    """Say yes to the program that opening a model runs, and remember it until its files change.

    Parameters
    ----------
    source, custom
        As for `needs_trust`.

    Raises
    ------
    ModelError
        If there is no such model, or no such module.
    OSError
        If the yes cannot be written down.
    """
    module = _module(parse(source), custom)
    if module is None:
        return
    known = {**_remembered(), _digest(module): str(_files(module)[-1])}
    path = trusted_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def import_trusted(module: str, source: Source, *, trust: bool = False) -> ModuleType:
    """Import a module of the user's, which runs it, after somebody's yes.

    Parameters
    ----------
    module : str
        As in ``package.module``.
    source : Source
        What is opened, for the message.
    trust : bool
        Whether the module may run, remembered or not.

    Raises
    ------
    UntrustedError
        If nobody has said that the module may run; the message names its file.
    ModelError
        If there is no such module, or it fails.
    """
    if not (trust or _is_trusted(module)):
        raise _untrusted(module, source)
    try:
        return import_module(module)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise ModelError(f"the module {module} cannot be imported ({said})") from error


def trusted_path() -> Path:
    """Where the yeses are kept: the file of each program, by its hash."""
    return user_config_path("napari-saliency", appauthor=False) / "trusted.json"


def _module(source: Source, custom: str | None) -> str | None:
    """Name of the module that opening a source runs; None where it runs none."""
    if source.kind == "python":
        return source.module
    if source.kind == "keras" and source.path is not None:
        return custom or settings_beside(source.path).custom
    return None


def _untrusted(module: str, source: Source) -> UntrustedError:
    call = repr(str(source)) if source.kind == "python" else f"{str(source)!r}, custom={module!r}"
    program = str(_files(module)[-1])
    return UntrustedError(
        f"opening {source.name} runs the program {program} on your machine: if you know it, "
        f"say yes with load_model(..., trust=True), or once and for all with models.trust({call})",
        program,
    )


def _is_trusted(module: str) -> bool:
    return _digest(module) in _remembered()


def _remembered() -> dict[str, str]:
    try:
        content = json.loads(trusted_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # nothing that can be read is no yes
    return content if isinstance(content, dict) else {}


def _digest(module: str) -> str:
    """SHA-256 over the module's name and all files that importing it runs by itself."""
    digest = hashlib.sha256(module.encode())
    for path in _files(module):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _files(module: str) -> list[Path]:
    """The files of a module and of the packages around it, the module's own last."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise ModelError(f"{module!r} is no name of a module: write PACKAGE.MODULE")
    *around, own = (_file(spec, module) for spec in _specs(module))
    if own is None:
        raise ModelError(f"{module!r} is a folder without a module of that name")
    return [*filter(None, around), own]


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
