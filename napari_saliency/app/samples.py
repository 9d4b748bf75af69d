"""Sample images in napari's menu File ▸ Open Sample; they work offline."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parents[1] / "sample_data"
MASK = "_mask.png"

LayerData = tuple[npt.NDArray[np.uint8], dict[str, Any], str]


def cat() -> list[LayerData]:
    """Open a photo of a cat, RGB uint8 (300, 451, 3): scikit-image's Chelsea, public domain."""
    import skimage.data  # cheap; `chelsea()` would import image readers, which blocks the window for a second

    with as_file(files(skimage.data) / "chelsea.png") as path:
        return [(_pixels(path), {"name": "cat", "rgb": True}, "image")]


def digits() -> list[LayerData]:
    """Open digits that look handwritten, grey uint8 (20, 28, 28), two of each from 0 to 9."""
    with np.load(FOLDER / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    return [(images, {"name": "digits", "metadata": {"labels": labels.tolist()}}, "image")]


def watermark() -> list[LayerData]:
    """Open drawn shapes, RGB uint8 (N, 64, 64, 3), and masks of the marks on some of them, labels (N, 64, 64)."""
    paths = sorted(path for path in (FOLDER / "watermark").glob("*.png") if not path.name.endswith(MASK))
    pictures = np.stack([_pixels(path) for path in paths])
    masks = np.stack([_mask(path) for path in paths])
    names = {"pictures": [path.stem for path in paths]}
    return [
        (pictures, {"name": "watermark", "rgb": True, "metadata": names}, "image"),
        (masks, {"name": "mark", "opacity": 0.5, "visible": False, "metadata": names}, "labels"),
    ]


def _mask(path: Path) -> npt.NDArray[np.uint8]:
    """Read the mask of an image's mark, (h, w): 1 on the mark; all 0 if the image has none."""
    mask = path.with_name(path.stem + MASK)
    if not mask.exists():
        return np.zeros(_pixels(path).shape[:2], np.uint8)
    return (_pixels(mask) > 0).astype(np.uint8)


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    from PIL import Image  # imported late: not all samples need it

    with Image.open(path) as file:
        return np.array(file)
