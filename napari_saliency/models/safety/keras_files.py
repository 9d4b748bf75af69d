"""Keras' files: whether one is whole, what its name says, and holds no program.

Archives carry a checksum of each member; HDF5 files carry none, so that of damaged weights only those can be
found, by the adapter, that are not finite numbers. What a configuration may name is checked by `check_config`,
once the classes are registered that a user trusts.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

from napari_saliency.core.errors import ModelError
from napari_saliency.models.error_messages import reason
from napari_saliency.models.safety.archives import HARMLESS, MOST_EXPANSION, check_sizes

HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""

# Of an archive, Keras reads these into memory whole.
MOST_TEXT = 100_000_000

# Weights below these bytes are read into memory to be looked through.
FITS = 500_000_000

DEEPEST = 32
"""Objects of a configuration within each other: with each, Keras takes longer."""

NOT_REGISTERED = (
    "it uses {}, which is not Keras' own: name the module that registers it with "
    "keras.saving.register_keras_serializable, as in custom='package.module'"
)
# Where Keras has functions of numbers; others of its functions read, write and fetch files.
COMPUTING = re.compile(
    r"builtins|keras\.(src\.)?(activations|constraints|initializers|losses|metrics|ops|random|regularizers)(\..*)?"
)


def check(path: Path) -> None:
    """Look through a ``.keras`` archive, an HDF5 file, or the folder of a SavedModel.

    Raises
    ------
    ModelError
        If it is damaged, or made to do harm.
    """
    if path.is_dir():
        from napari_saliency.models.safety.keras_savedmodel import check_folder  # imports TensorFlow

        check_folder(path)
        return
    try:
        (check_archive if path.suffix.lower() == ".keras" else check_hdf5)(path)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(damaged(error)) from error


def check_archive(path: Path) -> None:
    """Check what a ``.keras`` file says of itself, then its checksums.

    Raises
    ------
    ModelError
        If it is not an archive, or was made to do harm.
    """
    if not zipfile.is_zipfile(path):
        raise _part(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise ModelError(
                f"it holds {str(name)[:60]!r}, which would leave its folder: nothing of it was read"
            )
        if name.suffix == ".json" and member.file_size > MOST_TEXT:
            raise ModelError(
                f"{str(name)[:60]!r} within it claims {member.file_size / 1e9:.1f} GB: nothing of it was read"
            )
    check_sizes(path)
    with zipfile.ZipFile(path) as archive:
        _check_content(archive)


def _check_content(archive: zipfile.ZipFile) -> None:
    """Check the members' checksums, then what arrays they claim to hold."""
    part = archive.testzip()
    if part:
        raise ModelError(f"{part[:60]!r} within it is damaged: copy it or save the model again")
    for member in archive.infolist():
        if member.filename.endswith(".h5"):
            # To look around within an archive, Python reads it again from the start each time.
            fits = member.file_size < FITS
            with (
                io.BytesIO(archive.read(member)) if fits else archive.open(member) as content,
                h5py.File(content, "r") as opened,
            ):
                _check_arrays(opened, member.file_size)


def check_hdf5(path: Path) -> None:
    """Check that an HDF5 file is one, and that its arrays are no larger than it can hold.

    Raises
    ------
    ModelError
        If it is not.
    """
    with path.open("rb") as file:
        if file.read(len(HDF5)) != HDF5:
            raise _part(path)
    with h5py.File(path, "r") as opened:
        _check_arrays(opened, path.stat().st_size)


def _check_arrays(file: h5py.File, held: int) -> None:
    """Check that the arrays of a file claim no more than can be made of the bytes that it holds."""
    sizes: list[int] = []
    file.visititems(lambda _, item: sizes.append(_size(item)))
    if sum(sizes) > max(HARMLESS, MOST_EXPANSION * held):
        raise ModelError(
            f"its weights claim {sum(sizes) / 1e9:.1f} GB: it is damaged, so save the model again"
        )


def check_config(config: object, is_registered: Callable[[str], bool]) -> None:
    """Refuse classes that Keras would look for by importing their module, and functions that do not compute.

    Also refused are layers so deep within each other that Keras would read them for hours. What the whole model
    was trained with is not made, so it may name anything.

    Parameters
    ----------
    config : object
        Of a model, as JSON holds it.
    is_registered : callable
        Whether a class or function of a name is known to Keras, as those are that a trusted module registers.

    Raises
    ------
    ModelError
        If it names a program.
    """
    made = {k: v for k, v in config.items() if k != "compile_config"} if isinstance(config, dict) else config
    if _depth(made) > DEEPEST:
        raise ModelError(f"its layers are nested more than {DEEPEST} deep: no network is built so")
    for result in _objects(made):
        package = str(result.get("module") or "keras").partition(".")[0]
        name = str(
            result.get("config") if result.get("class_name") == "function" else result.get("class_name")
        )
        known = any(is_registered(str(key)) for key in (result.get("registered_name"), name))
        if package not in ("keras", "builtins") and not known:
            raise ModelError(NOT_REGISTERED.format(name))
        is_function = result.get("class_name") == "function" and not known
        if is_function and not COMPUTING.fullmatch(str(result["module"])):
            raise ModelError(f"it calls {result['module']}.{name}, which does more than compute")


def _depth(config: object) -> int:
    """Count how deep the objects of a configuration lie within each other."""
    inner = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    return max(map(_depth, inner), default=0) + (isinstance(config, dict) and "class_name" in config)


def _objects(config: object) -> Iterator[dict[str, Any]]:
    """Yield all objects in a configuration, also those that models within it were trained with: Keras makes them."""
    if isinstance(config, dict):
        if "module" in config and "class_name" in config:
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)


def _size(item: h5py.Group | h5py.Dataset) -> int:
    return prod(item.shape or ()) * int(item.dtype.itemsize) if isinstance(item, h5py.Dataset) else 0


def damaged(error: BaseException) -> str:
    """Say that a file could not be read, as far as it is known why."""
    return f"it is damaged, or not a model of Keras ({reason(error)[:150]}): save the model again"


def _part(path: Path) -> ModelError:
    return ModelError(
        f"it is not a valid {path.suffix[:12]} file (possibly truncated): copy it or save the model again"
    )
