"""Models: `load_model`, and the contract that each framework's adapter fulfils."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_saliency._types import ModelError
from napari_saliency.models._base import InputSpec, Layer, Model, ModelInfo, Tap, probabilities
from napari_saliency.models._settings import Scaling, Settings, read_labels, settings_path
from napari_saliency.models._sources import catalogue, parse, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_saliency._types import Fit
    from napari_saliency.models._sources import Source

__all__ = [
    "InputSpec",
    "Layer",
    "Model",
    "ModelInfo",
    "Scaling",
    "Settings",
    "Tap",
    "catalogue",
    "load_model",
    "open_model",
    "parse",
    "probabilities",
    "read_labels",
    "settings_path",
]


def load_model(
    source: str | Path,
    *,
    preprocessing: str | Scaling | None = None,
    fit: Fit | None = None,
    labels: Sequence[str] | str | Path | None = None,
    layer: str | None = None,
    **more: str | None,
) -> Model:
    """Open a classifier.

    Parameters
    ----------
    source : str or Path
        A ``.keras`` or ``.h5`` file, or the folder of a SavedModel; ``keras:NAME`` for a classifier of
        ``keras.applications``, with ``?weights=FILE`` or ``?weights=none``; or ``bundled:NAME``.
    preprocessing : str or Scaling, optional
        What the model was trained with: ``none`` (values 0..255 as they are), ``unit`` (0..1), ``tf``
        (-1..1), ``caffe``, ``torch``, or divisor, mean and deviation.
    fit : {"crop", "stretch", "pad"}, optional
        How pictures are brought to the model's size.
    labels : sequence of str, or str or Path, optional
        Names of the classes, or a file of them.
    layer : str, optional
        The layer that class activation maps are made of.
    **more
        ``input``, ``output``, ``others`` and ``custom``; see `Settings`.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If it cannot be opened, or is not a classifier of pictures.
    ValueError
        If an option is not allowed.

    Notes
    -----
    What is not given is read from ``NAME.saliency.json`` beside the file, then off the model.
    """
    names = read_labels(Path(labels)) if isinstance(labels, (str, Path)) else labels
    settings = Settings(
        preprocessing=preprocessing,
        fit=fit,
        labels=None if names is None else tuple(names),
        layer=layer,
        **more,
    )
    parsed = parse(source)
    try:
        return _open(parsed, settings)
    except ModelError as error:
        if parsed.path is None:
            raise  # it names the application
        raise ModelError(f"{shown(parsed.path)} could not be opened: {error}") from error


def open_model(source: str | Path, settings: Settings) -> Model:
    """Open a classifier; `load_model` with its options in one object, and errors that leave out the name."""
    return _open(parse(source), settings)


def _open(parsed: Source, settings: Settings) -> Model:
    from napari_saliency.models import (
        _keras_files,  # the framework is imported when a model is opened, not before
    )

    return _keras_files.open_source(parsed, settings)
