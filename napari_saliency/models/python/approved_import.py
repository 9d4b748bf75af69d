"""Runs what somebody said yes to, and nothing that merely lies beside it.

Python prefers a module's cached bytecode, which need not be made of its text, and reads a text again
that may have changed since the yes. Approved modules are made of the very bytes that the yes was for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    from napari_saliency.models.python.module_files import Program


class ApprovedLoader(SourceFileLoader):
    """Makes a module of bytes at hand."""

    def __init__(self, name: str, path: str, content: bytes, ran: dict[str, bytes]) -> None:
        super().__init__(name, path)
        self._content, self._ran = content, ran

    def get_code(self, fullname: str) -> CodeType:
        """Compile the bytes; no bytecode is read or written."""
        self._ran[fullname] = self._content
        code: CodeType = self.source_to_code(self._content, self.path)
        return code


class ApprovedFinder(MetaPathFinder):
    """Finds modules that were approved; all others are left to Python."""

    def __init__(self) -> None:
        self._approved: dict[str, dict[Path, bytes]] = {}
        self._ran: dict[str, bytes] = {}
        self._running = False

    @contextmanager
    def running(self, program: Program) -> Iterator[None]:
        """Let a program run, anew if anything of it has run in another version."""
        self._approve(program)
        before, self._running = self._running, True
        try:
            yield
        finally:
            self._running = before

    def _approve(self, program: Program) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        changed = False
        for (name, path), content in program.contents.items():
            self._approved.setdefault(name, {})[path] = content
            if name in sys.modules and path.suffix == ".py":  # imported by somebody else: as it is now
                changed |= self._ran.setdefault(name, content) != content
        if changed:
            for name, _ in program.contents:
                sys.modules.pop(name, None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python does; None if it is not approved."""
        approved = self._approved.get(fullname)
        if approved is None:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
            return None
        content = approved.get(Path(spec.origin).resolve())
        if content is None or not (self._running or Path(spec.origin).read_bytes() == content):
            return None  # edited and imported again, by whoever else runs in this process
        spec.loader = ApprovedLoader(fullname, spec.origin, content, self._ran)
        return spec
