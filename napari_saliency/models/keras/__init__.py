"""Adapter for Keras on TensorFlow; the only folder that imports them. Who needs Keras takes it from here."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # before Keras is imported, and above its own settings

import keras

from napari_saliency.core.errors import ModelError
from napari_saliency.models.backends import keep_triton_out

if keras.backend.backend() != "tensorflow":
    raise ModelError(f"Keras runs on {keras.backend.backend()} here: start with KERAS_BACKEND=tensorflow")

keep_triton_out()

__all__ = ["keras"]
