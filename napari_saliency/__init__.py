"""Saliency maps of image classifiers, in napari and in Python.

Every public name is imported when it is first used: opening napari costs nothing more, and a
framework is imported when a model is opened, never before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_saliency._check import Report, check
    from napari_saliency._display import Display
    from napari_saliency._explain import explain, explain_batch
    from napari_saliency._explanation import Explanation
    from napari_saliency._show import show
    from napari_saliency._types import ModelError, Target, UntrustedError
    from napari_saliency.methods import METHODS
    from napari_saliency.metrics import CHECKS
    from napari_saliency.models import load_model

    __version__: str

__all__ = [
    "CHECKS",
    "METHODS",
    "Display",
    "Explanation",
    "ModelError",
    "Report",
    "Target",
    "UntrustedError",
    "__version__",
    "check",
    "explain",
    "explain_batch",
    "load_model",
    "show",
]

_HOMES = {
    "CHECKS": "metrics",
    "METHODS": "methods",
    "Display": "_display",
    "Explanation": "_explanation",
    "ModelError": "_types",
    "Report": "_check",
    "Target": "_types",
    "UntrustedError": "_types",
    "check": "_check",
    "explain": "_explain",
    "explain_batch": "_explain",
    "load_model": "models",
    "show": "_show",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, and keep it."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("napari-saliency")
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted({*globals(), *__all__})
