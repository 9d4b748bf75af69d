"""Explanation methods: one function each, registered by `method`.

A method sees a `Model`, a batch of preprocessed pictures ``x`` (N, H, W, C), or volumes (N, Z, H, W, C),
one target for each (`Targets`) and its own keyword options, and yields `Estimate`s; the last one is the
answer. That one shape gives progress, cancelling and a map that sharpens while it is computed to every method alike.
The panel, the command line and the documentation are made from its signature and docstring.
"""

# The order in which they are shown.
from napari_saliency.methods import (  # isort: skip
    gradients, sampling, paths, guided_ig, xrai, propagation, cam, score_cam, activations, occlusion, rise, superpixels,
    maximization
)  # fmt: skip
from napari_saliency.methods._shared.running_stats import RELATIVE_ERROR, SAMPLES
from napari_saliency.methods.registry import METHODS, Method, Option, method, wrappable

__all__ = [
    "METHODS",
    "RELATIVE_ERROR",
    "SAMPLES",
    "Method",
    "Option",
    "activations",
    "cam",
    "gradients",
    "guided_ig",
    "maximization",
    "method",
    "occlusion",
    "paths",
    "propagation",
    "rise",
    "sampling",
    "score_cam",
    "superpixels",
    "wrappable",
    "xrai",
]
