"""Checks of a map: that it depends on the model, that the model uses what it shows, that it holds still.

One function each, registered by `check`. A check sees a `Subject`, the map with all that it was made of, and its
own keyword options, and yields `Finding`s; the last one has a verdict. Every threshold of a verdict
stands beside it with its reason. `napari_saliency.check` runs them.
"""

# The order in which they are run and shown: what costs nothing first, then what can refute a map.
from napari_saliency.checks import values, randomisation, perturbation, stability  # isort: skip
from napari_saliency.checks.budget import TooLongError, affordable
from napari_saliency.checks.finding import Curve, Finding, Level, Subject
from napari_saliency.checks.registry import CHECKS, MOST_SECONDS, Check, Cost, Plan, check, find_check, plan

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
    "find_check",
    "perturbation",
    "plan",
    "randomisation",
    "stability",
    "values",
]
