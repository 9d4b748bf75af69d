"""Explanation methods: one function each, registered by `method`.

A method sees a `Model`, a batch of preprocessed pictures ``x`` (N, H, W, C), or volumes (N, Z, H, W, C), one target for
each (`Targets`) and its own keyword options, and yields `Estimate`s; the last one is the answer. From that one shape
every method has progress, cancelling, and a map that sharpens while it is computed. The panel, the command line and
the documentation are made from its signature and docstring.

Every module of this folder is imported, so a new method needs no mention anywhere else. In a docstring's Notes the
first ``.. math::`` is the method's formula, and two paragraphs say when to use it and when not; see
`describe_methods`.
"""

from napari_saliency.methods._shared.running_stats import RELATIVE_ERROR, SAMPLES
from napari_saliency.methods.describe import Description, describe_methods
from napari_saliency.methods.options import LayerChoice, MethodChoice, Option, PerChannel
from napari_saliency.methods.registry import FAMILIES, METHODS, Method, import_modules, method, wrappable

import_modules(__name__, __path__)

__all__ = [
    "FAMILIES",
    "METHODS",
    "RELATIVE_ERROR",
    "SAMPLES",
    "Description",
    "LayerChoice",
    "Method",
    "MethodChoice",
    "Option",
    "PerChannel",
    "describe_methods",
    "method",
    "wrappable",
]
