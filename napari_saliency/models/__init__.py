"""Models: `load_model`, and the contract that each framework's adapter fulfils."""

from __future__ import annotations

from napari_saliency.core.preprocessing import InputSpec
from napari_saliency.models.backends import (
    BACKENDS,
    Backend,
    dialog_filter,
    endings,
    find_backend,
    model_folder,
)
from napari_saliency.models.base import Model, Randomised, Tap
from napari_saliency.models.info import Layer, ModelInfo
from napari_saliency.models.load_model import load_model, open_model
from napari_saliency.models.probabilities import as_score, probabilities
from napari_saliency.models.python.trust import needs_trust, program, program_version, trust
from napari_saliency.models.settings import Scaling, Settings, read_labels, sidecar_path
from napari_saliency.models.sources import catalogue, parse

__all__ = [
    "BACKENDS",
    "Backend",
    "InputSpec",
    "Layer",
    "Model",
    "ModelInfo",
    "Randomised",
    "Scaling",
    "Settings",
    "Tap",
    "as_score",
    "catalogue",
    "dialog_filter",
    "endings",
    "find_backend",
    "load_model",
    "model_folder",
    "needs_trust",
    "open_model",
    "parse",
    "probabilities",
    "program",
    "program_version",
    "read_labels",
    "sidecar_path",
    "trust",
]
