"""Saliency maps of image classifiers, in napari and in Python.

Every public name is imported when it is first used: opening napari costs nothing more, and a
framework is imported when a model is opened, never before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_saliency.api.check import Report, check
    from napari_saliency.api.explain import explain, explain_batch
    from napari_saliency.app.show import show
    from napari_saliency.checks import CHECKS
    from napari_saliency.core.errors import ModelError, UntrustedError
    from napari_saliency.core.types import Target
    from napari_saliency.maps.display import Display
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.methods import METHODS
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
    "CHECKS": "checks",
    "METHODS": "methods",
    "Display": "maps.display",
    "Explanation": "maps.explanation",
    "ModelError": "core.errors",
    "Report": "api.check",
    "Target": "core.types",
    "UntrustedError": "core.errors",
    "check": "api.check",
    "explain": "api.explain",
    "explain_batch": "api.explain",
    "load_model": "models",
    "show": "app.show",
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
