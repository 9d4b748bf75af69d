"""Whether a file is whole and what its name says, asked before anything else reads it.

Archives carry a checksum of each member; HDF5 files carry none, so that of damaged weights only those
can be found that are no finite numbers.
"""

from __future__ import annotations

import io
import zipfile
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from napari_saliency._types import ModelError
from napari_saliency.models._base import first_line

HDF5 = b"\x89HDF\r\n\x1a\n"
"""What HDF5 files begin with."""

# A member or array that claims to be larger than this many times what the file holds of it, and than this many
# bytes, is made to fill a memory: weights are numbers without a pattern, and hardly get smaller.
MOST_EXPANSION, HARMLESS = 50, 50_000_000

# Of an archive, Keras reads these into memory whole.
MOST_TEXT = 100_000_000

# Weights below these bytes are read into memory to be looked through.
FITS = 500_000_000

# How layers call their widths, and more than any has.
WIDTHS, WIDEST = ("units", "filters", "input_dim", "output_dim", "key_dim", "num_heads"), 10_000_000


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
        expanded = member.file_size > max(HARMLESS, MOST_EXPANSION * member.compress_size)
        if expanded or (name.suffix == ".json" and member.file_size > MOST_TEXT):
            raise ModelError(
                f"{str(name)[:60]!r} within it claims {member.file_size / 1e9:.1f} GB: nothing of it was read"
            )
    if sum(member.compress_size for member in members) > path.stat().st_size:
        raise ModelError("its parts claim more than the file holds: nothing of it was read")
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


def check_widths(layer: object) -> None:
    """Refuse a layer that asks for more than any memory holds, which TensorFlow would try for ten seconds.

    Raises
    ------
    ModelError
        If it does.
    """
    sizes = [layer.get(name) for name in WIDTHS] if isinstance(layer, dict) else []
    widest = max((size for size in sizes if isinstance(size, int)), default=0)
    if widest > WIDEST:
        raise ModelError(f"a layer of it is {widest:,} wide, for which there is no memory: it is damaged")


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
    return f"it is damaged, or not a model of Keras ({first_line(error)[:150]}): save the model again"


def _part(path: Path) -> ModelError:
    return ModelError(
        f"it is no {path.suffix[:12]} file, or only a part of one: copy it or save the model again"
    )
