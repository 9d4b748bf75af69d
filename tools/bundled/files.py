"""Paths of the bundled files, and functions that write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

PACKAGE = Path(__file__).resolve().parents[2] / "napari_saliency"
BUNDLED = PACKAGE / "bundled"
SAMPLES = PACKAGE / "sample_data"


@dataclass(frozen=True)
class Settings:
    """Settings of a model that its file does not contain.

    Attributes
    ----------
    labels : tuple of str
        Human-readable class names, in the order of the outputs.
    note : str
        One or two plain sentences shown in the panel.
    fit : str
        How a picture is brought to the model's size: "crop", "stretch" or "pad".
    """

    labels: tuple[str, ...]
    note: str
    fit: str = "crop"


def save(model: Any, name: str, settings: Settings) -> Path:
    """Write a model and its settings into the package.

    Parameters
    ----------
    model : keras.Model
        Uncompiled, from pictures 0..255 to probabilities.
    name : str
        Name without the ``bundled:`` prefix.
    settings : Settings
        Labels, fit and note.

    Returns
    -------
    Path
        The model's file.
    """
    BUNDLED.mkdir(parents=True, exist_ok=True)
    path = BUNDLED / f"{name}.keras"
    model.save(path, include_optimizer=False)
    text = {
        "labels": list(settings.labels),
        "preprocessing": "none",
        "fit": settings.fit,
        "note": settings.note,
    }
    path.with_suffix(".saliency.json").write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    return path


def load(name: str) -> Any:
    """Read a bundled model back from its file.

    Parameters
    ----------
    name : str
        Name without the ``bundled:`` prefix.

    Returns
    -------
    keras.Model
        The model.
    """
    return keras.models.load_model(BUNDLED / f"{name}.keras", compile=False)
