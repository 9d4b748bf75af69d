"""Opening Keras models: files of every age, and the applications that come with Keras."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency._types import ModelError
from napari_saliency.models._beside import settings_beside
from napari_saliency.models._keras import KerasModel
from napari_saliency.models._keras_backend import keras
from napari_saliency.models._keras_damage import (
    check_archive,
    check_hdf5,
    check_weights,
    damaged,
    first_line,
)
from napari_saliency.models._keras_legacy import readable
from napari_saliency.models._keras_savedmodel import SavedModel
from napari_saliency.models._settings import Settings

if TYPE_CHECKING:
    from napari_saliency.models._sources import Source

IMAGENET_CLASSES = 1000

# What Keras says of files that it does not open, and what that means.
REASONS = (
    (
        "arbitrary code execution",
        "it has a Lambda layer, and a Lambda layer is a program that would run on your machine; "
        "save the model with that layer written as a registered class",
    ),
    (
        r"(?:Could not locate \w+|Unknown \w+:) '?(?:\w+>)?(\w+)",
        "it uses {}, which is not Keras' own: name the module that registers it with "
        "keras.saving.register_keras_serializable, as in custom='package.module'",
    ),
    ("No model config found", "it holds weights alone: save the whole model with model.save('NAME.keras')"),
)


def open_source(source: Source, settings: Settings) -> KerasModel:
    """Open a file or an application of Keras.

    Raises
    ------
    ModelError
        If it cannot be opened; the message says why and what to do. The name is left to the caller.
    """
    if source.path is None:
        network = _open_application(source)
        own = Settings() if settings.labels else _application_settings(source, network)
        return KerasModel(network, source, settings, own)
    whole = settings.over(settings_beside(source.path))
    whole.resolve()  # which refuses numbers that it would divide by
    custom = whole.custom
    try:
        if custom:
            import_custom(custom)
        return KerasModel(_open_file(source.path), source, settings)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(damaged(error)) from error


def import_custom(module: str) -> None:
    """Import the module that registers a model's own classes; this runs it, and nothing else here runs code.

    Raises
    ------
    ModelError
        If it cannot be imported.
    """
    try:
        importlib.import_module(module)
    except Exception as error:
        raise ModelError(
            f"its classes' module {module!r} could not be imported ({first_line(error)[:150]})"
        ) from error


def _open_file(path: Path) -> Any:  # noqa: ANN401 - a keras.Model
    if path.is_dir():
        return SavedModel(path)
    try:
        if path.suffix.lower() == ".keras":
            check_archive(path)
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        check_hdf5(path)
        with readable(path) as file:
            network = keras.saving.load_model(file, compile=False, safe_mode=True)
        check_weights(network)
        return network
    except ModelError:
        raise
    except Exception as error:
        found = ((re.search(pattern, str(error)), reason) for pattern, reason in REASONS)
        known = next((reason.format(*match.groups()) for match, reason in found if match), "")
        raise ModelError(known or damaged(error)) from error


def _open_application(source: Source) -> Any:  # noqa: ANN401 - a keras.Model
    build: Callable[..., Any] = getattr(keras.applications, source.name)
    if source.weights == "none":
        return build(weights=None)
    try:
        if source.weights == "imagenet":
            return build(weights="imagenet")
        network = build(weights=None)
        network.load_weights(Path(source.weights).expanduser())
    except Exception as error:
        raise ModelError(
            f"weights of {source.name} could not be had ({first_line(error)}); "
            f"with a file of them, open keras:{source.name}?weights=FILE"
        ) from error
    return network


def _application_settings(source: Source, network: Any) -> Settings:  # noqa: ANN401 - a keras.Model
    """Class names of an application that was trained, as far as is known, on ImageNet."""
    if source.weights == "none" or network.output_shape[-1] != IMAGENET_CLASSES:
        return Settings()
    try:
        return Settings(labels=_imagenet_labels())
    except Exception as error:  # noqa: BLE001 - Keras' downloads raise nothing more special
        return Settings(
            note=f"Class names could not be had ({first_line(error)}): classes go by their numbers."
        )


def _imagenet_labels() -> tuple[str, ...]:
    """Names of ImageNet's classes, through Keras' own download and cache."""
    falling = np.linspace(1, 0, IMAGENET_CLASSES)[None]  # so that the order is that of the classes
    (rows,) = keras.applications.imagenet_utils.decode_predictions(falling, top=IMAGENET_CLASSES)
    return tuple(name.replace("_", " ") for _, name, _ in rows)
