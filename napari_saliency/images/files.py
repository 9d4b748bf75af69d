"""Picture files, and whatever else a user calls a picture, as arrays; numpy and Pillow only."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from napari_saliency.images.intensity import Pixels, bands

AnyImage = Pixels | str | Path | Image.Image
"""A picture as users have it."""

# What Pillow's decoders raise for damaged files.
_DAMAGED: tuple[type[Exception], ...] = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError)
_DAMAGED += (ArithmeticError, RuntimeError, struct.error)


def as_pixels(image: AnyImage) -> Pixels:
    """Take a picture as what it is: an array, the path of a file (see `load_image`), or Pillow's own."""
    if isinstance(image, (str, Path)):
        return load_image(image)
    if isinstance(image, Image.Image):
        return _pixels(ImageOps.exif_transpose(image))
    return np.asarray(image)


def load_image(path: str | Path) -> Pixels:
    """Read a picture file, turned as its EXIF orientation says.

    Parameters
    ----------
    path : str or Path
        Any format that Pillow reads; of animations the first frame.

    Returns
    -------
    (h, w), (h, w, 3) or (h, w, 4) array
        Grey, RGB or RGBA, uint8; uint16 for 16-bit grey; int32 or float32 for grey files of that
        type. Palettes and CMYK become RGB, or RGBA where they have transparency; grey with alpha
        becomes RGBA.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no picture, is damaged, or has more than 179 million pixels.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Large pictures are welcome, and oddities of their metadata do not matter here.
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                ImageOps.exif_transpose(picture, in_place=True)
                return _pixels(picture)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not a picture in a format that can be read") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than 179 million pixels: make it smaller first") from None
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{path} cannot be read as a picture: {reason}") from error


def _pixels(picture: Image.Image) -> Pixels:
    corner = _converted(picture.crop((0, 0, 1, 1)))
    pixels = np.empty((picture.height, picture.width, *corner.shape[2:]), corner.dtype)
    for rows in bands(picture.height, picture.width * 4):
        pixels[rows] = _converted(picture.crop((0, rows.start, picture.width, rows.stop)))
    if pixels.dtype == np.int32 and pixels.min() >= 0 and pixels.max() < 2**16:
        return pixels.astype(np.uint16)  # Pillow holds 16-bit files of some formats as int32
    return pixels


def _converted(picture: Image.Image) -> Pixels:
    mode = picture.mode
    if mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    if mode in ("L", "RGB", "RGBA", "I", "F"):
        return np.asarray(picture)
    if mode == "1":
        return np.asarray(picture.convert("L"))
    clear = mode.casefold() in ("la", "pa", "rgba") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if clear else "RGB"))
