"""Opening Keras models: files of every age, and the applications that come with Keras."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.models.error_messages import reason
from napari_saliency.models.keras import keras
from napari_saliency.models.keras.adapter import KerasModel
from napari_saliency.models.keras.legacy import read_config, read_training, readable
from napari_saliency.models.keras.savedmodel import SavedModel
from napari_saliency.models.probe import SIDES
from napari_saliency.models.python.trust import import_trusted
from napari_saliency.models.safety import Checked, check
from napari_saliency.models.safety.archives import HARMLESS, MOST_EXPANSION
from napari_saliency.models.safety.keras_files import NOT_REGISTERED, check_config, damaged
from napari_saliency.models.settings import Settings
from napari_saliency.models.sidecar import all_settings
from napari_saliency.models.sources import display_path
from napari_saliency.models.timeout import with_timeout

if TYPE_CHECKING:
    from napari_saliency.models.sources import Source

IMAGENET_CLASSES = 1000

# Losses that tell what a model's outputs are, without capitals and underscores.
LOSSES = {
    "regression": (
        *("mse", "meansquarederror", "mae", "meanabsoluteerror", "mape", "meanabsolutepercentageerror"),
        *("msle", "meansquaredlogarithmicerror", "huber", "logcosh", "poisson"),
    ),
    "classification": (
        *("binarycrossentropy", "categoricalcrossentropy", "sparsecategoricalcrossentropy", "hinge"),
        *("binaryfocalcrossentropy", "categoricalfocalcrossentropy", "dice", "tversky", "squaredhinge"),
    ),
}
# What Keras says of files that it does not open, and what that means.
REASONS = (
    (
        "arbitrary code execution",
        "it has a Lambda layer, and a Lambda layer is a program that would run on your machine; "
        "save the model with that layer written as a registered class",
    ),
    (
        r"(?:Could not locate \w+|Unknown \w+:) '?(?:\w+>)?(\w+)",
        NOT_REGISTERED,
    ),
    ("No model config found", "it holds weights alone: save the whole model with model.save('NAME.keras')"),
)


def open_source(
    source: Source, settings: Settings, *, trust: bool = False, checked: Checked | None = None
) -> KerasModel:
    """Open a file or an application of Keras.

    Parameters
    ----------
    trust : bool
        Whether the module of the model's own classes may run, remembered or not.
    checked : Checked, optional
        The file, which was looked through.

    Raises
    ------
    UntrustedError
        If nobody has said that this module may run.
    ModelError
        If it cannot be opened; the message says why and what to do. The name is left to the caller.
    """
    if source.path is None:
        network = _open_application(source)
        own = Settings() if settings.labels else _application_settings(source, network)
        return KerasModel(network, source, settings, own)
    custom = all_settings(source, settings).custom
    if custom:  # what it registers, Keras finds
        import_trusted(custom, source, trust=trust)
    try:
        network = _open_file(source.path)
        model = partial(KerasModel, network, source, settings, trained=_trained_as(source.path))
        return _tried(model, network) if isinstance(network, SavedModel) else model()
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(damaged(error)) from error


def _tried(model: Callable[[], KerasModel], network: SavedModel) -> KerasModel:
    """Open a SavedModel, and run it once if it may not come to an end."""

    def opened() -> KerasModel:
        made = model()
        sizes = made.info.input.shape
        shape = [size or SIDES[len(sizes)] for size in sizes]
        if network.loops:
            with suppress(ModelError):  # whatever else is wrong is told with a picture
                made.scores(np.zeros((1, *shape, made.info.input.channels), np.float32))
        return made

    return with_timeout(opened, loops=network.loops)


def open_network(network: Any, source: Source, settings: Settings) -> KerasModel:  # noqa: ANN401 - a keras.Model
    """Open a network that Python has built, with weights from a file if the source names one.

    Raises
    ------
    ModelError
        If the file is damaged, or holds the weights of another network.
    """
    if source.path is not None:
        try:
            _load_weights(network, source.path)
        except Exception as error:
            raise ModelError(
                f"{display_path(source.path)} does not hold the weights of {source.name}: {reason(error)}"
            ) from error
    return KerasModel(network, source, settings)


def _open_file(path: Path) -> Any:  # noqa: ANN401 - a keras.Model
    if path.is_dir():
        return SavedModel(path)
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                check_config(json.loads(archive.read("config.json")), _is_registered)
            with _few_weights(path):
                return keras.saving.load_model(path, compile=False, safe_mode=True)
        with readable(path) as file, _few_weights(path):
            check_config(read_config(file), _is_registered)
            network = keras.saving.load_model(file, compile=False, safe_mode=True)
        _check_weights(network)
        return network
    except ModelError:
        raise
    except Exception as error:
        result = ((re.search(pattern, str(error)), reason) for pattern, reason in REASONS)
        known = next((reason.format(*match.groups()) for match, reason in result if match), "")
        raise ModelError(known or damaged(error)) from error


def _trained_as(path: Path) -> dict[str, str]:
    """Read what each output was trained as, classes or quantities, off its loss."""
    if path.is_dir():
        return {}
    if path.suffix.lower() == ".keras":
        with zipfile.ZipFile(path) as archive:
            training = json.loads(archive.read("config.json")).get("compile_config")
    else:
        training = read_training(path)
    losses = (training or {}).get("loss")
    by_output = losses if isinstance(losses, dict) and "class_name" not in losses else {"": losses}
    tasks = {str(output): _task(loss) for output, loss in by_output.items()}
    return {output: task for output, task in tasks.items() if task}


def _task(loss: object) -> str | None:
    """Tell what a loss is for, given its name, or a description with a class or a function's name."""
    if isinstance(loss, dict):
        inner = loss.get("config")
        loss = inner if isinstance(inner, str) else loss.get("class_name")
    name = re.sub(r"[^a-z]", "", str(loss).lower())
    return next((task for task, losses in LOSSES.items() if name in losses), None)


def _load_weights(network: Any, path: Path) -> None:  # noqa: ANN401 - a keras.Model
    """Load weights into a network, out of a file that is checked like a model's."""
    check(path, "keras")
    network.load_weights(path)
    _check_weights(network)


def _is_registered(name: str) -> bool:
    return bool(keras.saving.get_registered_object(name))


@contextmanager
def _few_weights(path: Path) -> Iterator[None]:
    """Refuse layers that ask for more numbers than a file can hold, which TensorFlow would make before it is read.

    Raises
    ------
    ModelError
        If they do.
    """
    make, left = keras.layers.Layer.add_weight, max(HARMLESS, MOST_EXPANSION * path.stat().st_size)

    def add_weight(layer: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as Keras has it
        nonlocal left
        size = 4 * prod(each or 1 for each in (args[0] if args else options.get("shape")) or ())
        left -= size
        if left < 0:
            raise ModelError(
                f"a layer of it asks for {size / 1e9:,.1f} GB, which the file cannot hold: it is damaged"
            )
        return make(layer, *args, **options)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = make


def _check_weights(network: Any) -> None:  # noqa: ANN401 - a keras.Model
    """Check that weights without a checksum are finite numbers.

    Raises
    ------
    ModelError
        If they are not.
    """
    for variable in network.variables:
        value = variable.numpy()
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise ModelError(f"its weights {variable.path[:60]!r} are not finite: save the model again")


def _open_application(source: Source) -> Any:  # noqa: ANN401 - a keras.Model
    build: Callable[..., Any] = getattr(keras.applications, source.name)
    if source.weights == "none":
        return build(weights=None)
    try:
        if source.weights == "imagenet":
            return build(weights="imagenet")
        network = build(weights=None)
        _load_weights(network, Path(source.weights).expanduser())
    except Exception as error:
        raise ModelError(
            f"weights of {source.name} could not be loaded ({reason(error)}); "
            f"with a file of them, open keras:{source.name}?weights=FILE"
        ) from error
    return network


def _application_settings(source: Source, network: Any) -> Settings:  # noqa: ANN401 - a keras.Model
    """Return class names of an application that was trained, as far as is known, on ImageNet."""
    if source.weights == "none" or network.output_shape[-1] != IMAGENET_CLASSES:
        return Settings()
    try:
        return Settings(labels=_imagenet_labels())
    except Exception as error:  # noqa: BLE001 - Keras' downloads raise nothing more special
        return Settings(
            note=f"Class names could not be loaded ({reason(error)}): classes go by their numbers."
        )


def _imagenet_labels() -> tuple[str, ...]:
    """Return the names of ImageNet's classes, through Keras' own download and cache."""
    falling = np.linspace(1, 0, IMAGENET_CLASSES)[None]  # so that the order is that of the classes
    (rows,) = keras.applications.imagenet_utils.decode_predictions(falling, top=IMAGENET_CLASSES)
    return tuple(name.replace("_", " ") for _, name, _ in rows)
