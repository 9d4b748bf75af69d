"""Sizes that the members of an archive claim, checked before anything reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from napari_saliency.core.errors import ModelError

# What claims to be larger than this many times what the file holds of it, and than this many bytes, is made to
# fill a memory: weights are numbers without a pattern, and hardly get smaller.
MOST_EXPANSION, HARMLESS = 50, 50_000_000


def check_sizes(path: Path) -> None:
    """Check that the parts of an archive, one by one and together, claim no more than can be made of the file.

    Raises
    ------
    ModelError
        If they do.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        if member.file_size > max(HARMLESS, MOST_EXPANSION * member.compress_size):
            raise ModelError(
                f"{member.filename[:60]!r} within it claims {member.file_size / 1e9:.1f} GB: nothing of it was read"
            )
    held, most = path.stat().st_size, max(HARMLESS, MOST_EXPANSION * path.stat().st_size)
    if sum(m.compress_size for m in members) > held or sum(m.file_size for m in members) > most:
        raise ModelError("its parts claim more than the file holds: nothing of it was read")
