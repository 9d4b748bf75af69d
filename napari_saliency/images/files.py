"""Reading of images: files, Pillow's images and anything like an array; numpy and Pillow only."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from napari_saliency.images.intensity import Pixels, bands

AnyImage = Pixels | str | Path | Image.Image
"""An image in any form that `as_pixels` accepts."""

# Pillow's decoders raise nearly anything for damaged files.
_DAMAGED: tuple[type[Exception], ...] = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError)
_DAMAGED += (ArithmeticError, RuntimeError, struct.error)


def as_pixels(image: AnyImage) -> Pixels:
    """Convert an array, a path (see `load_image`) or a Pillow image to an array."""
    if isinstance(image, (str, Path)):
        return load_image(image)
    if isinstance(image, Image.Image):
        return _pixels(ImageOps.exif_transpose(image))
    return np.asarray(image)


def load_image(path: str | Path) -> Pixels:
    """Read an image file and apply its EXIF orientation.

    Parameters
    ----------
    path : str or Path
        Any format that Pillow reads; for animations the first frame.

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
        If the file is not an image, is damaged, or has more than 179 million pixels.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, which are welcome, and of odd metadata, which is not used.
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                ImageOps.exif_transpose(picture, in_place=True)
                return _pixels(picture)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except UnidentifiedImageError:
        raise ValueError(
            f"{path} is not an image in a format that Pillow can read: convert it to PNG or TIFF"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path} has more than 179 million pixels: crop or downscale it") from None
    except _DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"{path} cannot be read as an image: {reason}") from error


def _pixels(picture: Image.Image) -> Pixels:
    """Convert band by band, so that no call holds the interpreter's lock for long."""
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
    transparent = mode.casefold() in ("la", "pa", "rgba") or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if transparent else "RGB"))
