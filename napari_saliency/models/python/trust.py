"""Trust: modules of Python are programs, and run only after somebody's yes.

Nothing else in this package imports what it does not know. A yes holds for the files as they are: it is
kept with their hash, so a changed file asks again, and what runs is what was hashed, never cached bytecode.
Which files those are, and which are not covered, is said in `module_files`.
"""

from __future__ import annotations

import json
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path

from napari_saliency.core.errors import ModelError, UntrustedError
from napari_saliency.models.python.approved_import import ApprovedFinder
from napari_saliency.models.python.module_files import find_program
from napari_saliency.models.sidecar import sidecar_settings
from napari_saliency.models.sources import Source, parse

if TYPE_CHECKING:
    from types import ModuleType

    from napari_saliency.models.python.module_files import Program

_APPROVED = ApprovedFinder()


def needs_trust(source: str | Path, *, custom: str | None = None) -> bool:
    """Return whether opening a model would run a program that nobody has said yes to.

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
    program = _program(source, custom)
    return program is not None and program.digest not in _remembered()


def program(source: str | Path, *, custom: str | None = None) -> Path | None:
    """Return the file of the program that opening a model runs; None if it runs none. As for `needs_trust`."""
    result = _program(source, custom)
    return None if result is None else result.path


def program_version(source: str | Path, *, custom: str | None = None) -> str:
    """Return what changes whenever the program that opening a model runs does. As for `needs_trust`."""
    result = _program(source, custom)
    return "" if result is None else result.digest


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
    program = _program(source, custom)
    if program is None:
        return
    known = {**_remembered(), program.digest: str(program.path)}
    path = trusted_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def import_trusted(module: str, source: Source, *, trust: bool = False) -> ModuleType:
    """Import a module of the user's, which runs it, after somebody's yes; anew if it has changed since.

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
    program = find_program(module)
    if not (trust or program.digest in _remembered()):
        raise _untrusted(program, source)
    invalidate_caches()
    try:
        with _APPROVED.running(program):
            return import_module(module)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise ModelError(
            f"the module {module} ends Python when it is imported ({_quoted(error)}): "
            "what it does as a program belongs under if __name__ == '__main__'"
        ) from error
    except BaseException as error:
        raise ModelError(f"the module {module} cannot be imported ({_quoted(error)})") from error


def _quoted(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def trusted_path() -> Path:
    """Return where the yeses are kept: the file of each program, by its hash."""
    return user_config_path("napari-saliency", appauthor=False) / "trusted.json"


def _program(source: str | Path, custom: str | None) -> Program | None:
    module = _module(parse(source), custom)
    return None if module is None else find_program(module)


def _module(source: Source, custom: str | None) -> str | None:
    """Return the name of the module that opening a source runs; None where it runs none."""
    if source.kind == "python":
        return source.module
    if source.kind == "keras" and source.path is not None:
        return custom or sidecar_settings(source.path).custom
    return None


def _untrusted(program: Program, source: Source) -> UntrustedError:
    own = f", custom={program.module!r}"
    call = f"{str(source)!r}{'' if source.kind == 'python' else own}"
    return UntrustedError(
        f"opening {source.name} runs the program {program.path} on your machine: if you know it, "
        f"say yes with trust=True in load_model, or once and for all with models.trust({call})",
        str(program.path),
    )


def _remembered() -> dict[str, str]:
    try:
        content = json.loads(trusted_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # what cannot be read is not a yes
    return content if isinstance(content, dict) else {}
