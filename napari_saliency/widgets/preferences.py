"""What outlives the panel: kept in the user's settings, and read by the next one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_saliency.methods import Method

MORE, ERRORS = "more", "errors"
"""Flags: whether options that are seldom changed are unfolded, and standard errors shown."""

_METHOD, _OPTIONS = "method", "options"


def settings() -> QSettings:
    """Open the user's settings of the panel."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-saliency", "panel")


def flag(name: str) -> bool:
    """Whether something was switched on; at first it is not."""
    return settings().value(name) in (True, "true")  # which of both depends on whether it was written yet


def set_flag(name: str, on: bool) -> None:
    """Remember whether something is switched on."""
    settings().setValue(name, on)


def remember_method(name: str, options: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember a method, and what was chosen of each one's options."""
    kept = settings()
    kept.setValue(_METHOD, name)
    kept.setValue(_OPTIONS, json.dumps(options))


def remembered_method(methods: Mapping[str, Method]) -> str | None:
    """Return the method, if it is one of these."""
    name = settings().value(_METHOD)
    return name if name in methods else None


def remembered_options(methods: Mapping[str, Method]) -> dict[str, dict[str, Any]]:
    """Return what was chosen of these methods' options, as far as they still exist and allow it."""
    try:
        kept = json.loads(settings().value(_OPTIONS) or "{}")
        each = {name: dict(options) for name, options in kept.items() if name in methods}
    except (TypeError, ValueError, AttributeError):  # somebody has edited the file
        return {}
    return {name: _allowed(methods[name], options) for name, options in each.items()}


def _allowed(method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that another version of the program may have kept, less what this one does not take."""
    result = {}
    for name, value in options.items():
        try:
            result[name] = method.complete({name: value})[name]
        except ValueError:
            continue
    return result
