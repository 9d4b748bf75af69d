"""The openly licensed photographs on which ``bundled:photos`` is trained."""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = (
    "airplane",
    "carton",
    "cat",
    "dog",
    "flower",
    "fruit or vegetable",
    "motorbike",
    "shirt",
    "trousers",
)
# On shop shelves apples and tomatoes look alike.
_MERGED = {"fruit": "fruit or vegetable", "vegetable": "fruit or vegetable"}


@dataclass(frozen=True)
class Pack:
    """Photographs, their labels and their sources.

    Attributes
    ----------
    pictures : array of uint8
        Shape (n, 128, 128, 3), RGB, 0..255.
    labels : array of int
        Shape (n,), indices into `LABELS`.
    test : array of bool
        Shape (n,), true for the test split.
    names : list of str
        ``source:path`` of each.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    test: NDArray[np.bool_]
    names: list[str]


def read(folder: Path) -> Pack:
    """Decode the whole pack (about 430 MB in memory).

    Parameters
    ----------
    folder : Path
        Folder that holds ``photos_open10.npz``.

    Returns
    -------
    Pack
        All photographs, classes fruit and vegetable merged.
    """
    with np.load(folder / "photos_open10.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    classes = [_MERGED.get(str(c), str(c)) for c in arrays["classes"]]
    index = np.array([LABELS.index(c) for c in classes])
    jpeg, offset = arrays["jpeg"], arrays["offset"]
    pictures = np.stack([_decoded(jpeg[a:b]) for a, b in pairwise(offset)])
    return Pack(pictures, index[arrays["label"]], arrays["test"], [str(n) for n in arrays["name"]])


def _decoded(jpeg: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(jpeg.tobytes())).convert("RGB"), np.uint8)


def resized(picture: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Cut the central square of a picture and resize it, bilinear with antialiasing.

    Parameters
    ----------
    picture : array of uint8
        Shape (h, w, 3), 0..255.
    size : int
        Side of the result.

    Returns
    -------
    array of float32
        Shape (size, size, 3), 0..255.
    """
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    # Pillow's bilinear filter is antialiased: its support grows with the reduction.
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR), np.float32)


def write_credits(pack: Pack, path: Path) -> None:
    """List the Flickr numbers of all flower photographs, by which their photographers are credited.

    Parameters
    ----------
    pack : Pack
        The pack.
    path : Path
        Markdown file to write.
    """
    names = [Path(n).name for n in pack.names if n.startswith("tf_flowers:")]
    numbers = sorted({name.split("_")[0] for name in names}, key=int)
    text = (
        "# Credits of the flower photographs\n\n"
        f"`bundled:photos` was trained and tested on {len(numbers)} flower photographs that their makers\n"
        "published on Flickr under CC BY 2.0 (TensorFlow flower_photos). Each is named by its Flickr\n"
        "number; the page `https://www.flickr.com/photo.gne?id=NUMBER` names its photographer.\n\n"
    )
    path.write_text(text + textwrap.fill(" ".join(numbers), 110) + "\n", encoding="utf-8")
