"""Choices that outlive the panel: kept in the user's settings and read by the next panel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency.methods import Method

MORE, ERRORS = "more", "errors"
"""Flags: advanced options are unfolded, standard errors are shown."""

_METHOD, _OPTIONS = "method", "options"


def settings() -> QSettings:
    """Open the user's settings of the panel."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-saliency", "panel")


def flag(name: str) -> bool:
    """Return a flag; False if it was never set."""
    return settings().value(name) in (True, "true")  # a string once the file was written and read again


def set_flag(name: str, on: bool) -> None:
    """Remember a flag."""
    settings().setValue(name, on)


def remember_method(name: str, options: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember a method, and the options chosen for each method."""
    kept = settings()
    kept.setValue(_METHOD, name)
    kept.setValue(_OPTIONS, json.dumps(options))


def remembered_method(methods: Mapping[str, Method]) -> str | None:
    """Return the remembered method if it is among these, else None."""
    name = settings().value(_METHOD)
    return name if name in methods else None


def remembered_options(methods: Mapping[str, Method]) -> dict[str, dict[str, Any]]:
    """Return the remembered options of these methods, as far as they are still valid."""
    try:
        kept = json.loads(settings().value(_OPTIONS) or "{}")
        each = {name: dict(options) for name, options in kept.items() if name in methods}
    except (TypeError, ValueError, AttributeError):  # somebody has edited the file
        return {}
    return {name: _allowed(methods[name], options) for name, options in each.items()}


def _allowed(method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are valid; another version of the program may have remembered others."""
    result = {}
    for name, value in options.items():
        try:
            result[name] = method.complete({name: value})[name]
        except ValueError:
            continue
    return result
