"""Whether a file is whole and what its name says, asked before anything else reads it.

Archives carry a checksum of each member; HDF5 files carry none, so that of damaged weights only those
can be found that are no finite numbers.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.models.error_messages import reason
from napari_saliency.models.keras import keras
from napari_saliency.models.safety.archives import HARMLESS, MOST_EXPANSION, check_sizes

HDF5 = b"\x89HDF\r\n\x1a\n"
"""What HDF5 files begin with."""

# Of an archive, Keras reads these into memory whole.
MOST_TEXT = 100_000_000

# Weights below these bytes are read into memory to be looked through.
FITS = 500_000_000


def check_archive(path: Path) -> None:
    """Check what a ``.keras`` file says of itself, then its checksums.

    Raises
    ------
    ModelError
        If it is no archive, or one that is made to do harm.
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


@contextmanager
def few_weights(path: Path) -> Iterator[None]:
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


def check_weights(network: Any) -> None:  # noqa: ANN401 - a keras.Model
    """Check that weights without a checksum are finite numbers.

    Raises
    ------
    ModelError
        If they are not.
    """
    for variable in network.variables:
        value = variable.numpy()
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise ModelError(
                f"its weights {variable.path[:60]!r} are no finite numbers: save the model again"
            )


def _size(item: h5py.Group | h5py.Dataset) -> int:
    return prod(item.shape or ()) * int(item.dtype.itemsize) if isinstance(item, h5py.Dataset) else 0


def damaged(error: BaseException) -> str:
    """Say that a file could not be read, as far as it is known why."""
    return f"it is damaged, or not a model of Keras ({reason(error)[:150]}): save the model again"


def _part(path: Path) -> ModelError:
    return ModelError(
        f"it is no {path.suffix[:12]} file, or only a part of one: copy it or save the model again"
    )
