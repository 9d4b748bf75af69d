"""Open a classifier: `load_model`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_saliency.core.errors import ModelError, ModelTimeoutError, UntrustedError
from napari_saliency.models.backends import BACKENDS
from napari_saliency.models.safety import check
from napari_saliency.models.settings import Scaling, Settings, read_labels
from napari_saliency.models.sources import display_path, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_saliency.core.types import Fit
    from napari_saliency.models.base import Model
    from napari_saliency.models.sources import Source


def load_model(
    source: str | Path,
    *,
    preprocessing: str | Scaling | None = None,
    fit: Fit | None = None,
    labels: Sequence[str] | str | Path | None = None,
    layer: str | None = None,
    size: tuple[int, ...] | None = None,
    channels: int | None = None,
    custom: str | None = None,
    trust: bool = False,
    **io_selection: str | None,
) -> Model:
    """Open a classifier.

    Parameters
    ----------
    source : str or Path
        A ``.keras`` or ``.h5`` file, or the folder of a SavedModel; PyTorch's ``.pt2``, or TorchScript; an
        ``.onnx`` file; ``keras:NAME`` for a classifier of ``keras.applications``, with ``?weights=FILE`` or
        ``?weights=none``; ``bundled:NAME``; or ``python:MODULE:NAME`` for a network or what builds one,
        with ``?weights=FILE``, or for a function (N, H, W, C) → (N, K), or of volumes (N, Z, H, W, C).
    preprocessing : str or Scaling, optional
        What the model was trained with: ``none`` (values 0..255 as they are), ``unit`` (0..1), ``tf``
        (-1..1), ``caffe``, ``torch``, or divisor, mean and deviation.
    fit : {"crop", "stretch", "pad"}, optional
        How pictures are brought to the model's size.
    labels : sequence of str, or str or Path, optional
        Names of the classes, or a file of them.
    layer : str, optional
        The layer that class activation maps are made of.
    size : (height, width) or (z, y, x), optional
        Of the pictures or volumes that the model takes, for models that do not say, or take any.
    channels : int, optional
        1 grey, 3 RGB, for models that do not say.
    custom : str, optional
        Module that registers the model's own classes with Keras, as in ``package.module``.
    trust : bool
        Your yes to run the module that ``python:`` or ``custom`` names, for this call; `models.trust`
        remembers one.
    **io_selection
        ``input`` and ``output``, for models that have several, and ``task``; see `Settings`.

    Returns
    -------
    Model

    Raises
    ------
    UntrustedError
        If a module would run that nobody has said yes to.
    ModelError
        If it cannot be opened, or is not a classifier of pictures. If it does not come to an end, an
        `ModelTimeoutError`: it may go on in the background until Python ends.
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
        size=size,
        channels=channels,
        custom=custom,
        **io_selection,
    )
    parsed = parse(source)
    try:
        return _open(parsed, settings, trust=trust)
    except UntrustedError:
        raise
    except ModelError as error:
        if parsed.path is None or parsed.kind == "python":
            raise  # it names what it is about
        kind = ModelTimeoutError if isinstance(error, ModelTimeoutError) else ModelError
        raise kind(f"{display_path(parsed.path)} could not be opened: {error}") from error


def open_model(source: str | Path, settings: Settings, *, trust: bool = False) -> Model:
    """Open a classifier; `load_model` with its options in one object, and errors that leave out the name."""
    return _open(parse(source), settings, trust=trust)


def _open(parsed: Source, settings: Settings, *, trust: bool) -> Model:
    try:
        backend = BACKENDS[parsed.kind]
        adapter = backend.adapter()
        # Weights of what Python builds are looked through once it is known whose they are.
        checked = check(parsed.path, backend.name) if parsed.path and backend.opens_files else None
        opened: Model = adapter.open_source(parsed, settings, trust=trust, checked=checked)
    except (MemoryError, RecursionError) as error:
        raise ModelError("there is not enough memory for it here: it is too large or too deep") from error
    return opened
