"""Checks of a map: that it depends on the model, that the model uses what it shows, that it is stable.

One function each, registered by `check`. A check sees a `Subject`, the map with all that it was made of, and its own
keyword options, and yields `Finding`s; the last one has a verdict. Every threshold of a verdict stands beside it with
its reason. `napari_saliency.check` runs them.

Every module of this folder is imported, so a new check needs no mention anywhere else.
"""

from napari_saliency.checks.budget import TooLongError, affordable
from napari_saliency.checks.finding import Curve, Finding, Level, Subject
from napari_saliency.checks.registry import (
    CHECKS,
    MOST_SECONDS,
    Check,
    Cost,
    Plan,
    check,
    describe_checks,
    find_check,
    plan,
)
from napari_saliency.methods.registry import import_modules

import_modules(__name__, __path__)

__all__ = [
    "CHECKS",
    "MOST_SECONDS",
    "Check",
    "Cost",
    "Curve",
    "Finding",
    "Level",
    "Plan",
    "Subject",
    "TooLongError",
    "affordable",
    "check",
    "describe_checks",
    "find_check",
    "plan",
]
