"""Intensity range of an image: the values that are black and white; numpy only.

Large images are read in bands of rows: this takes little memory, and no call holds the interpreter's lock
for long, which would freeze the window while this runs in a thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_saliency.core.errors import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

Pixels = np.ndarray[Any, np.dtype[Any]]
Range = tuple[float, float]

_BAND = 16_000_000  # bytes: neighbouring bands share few rows, and the allocator reuses blocks of this size
_HUGE = 1e38  # treated as infinite: differences of smaller values still fit into float32


def bands(rows: int, bytes_per_row: float) -> Iterator[slice]:
    """Split rows into bands of about 16 MB."""
    step = max(1, int(_BAND / bytes_per_row))
    for first in range(0, rows, step):
        yield slice(first, min(rows, first + step))


class DataRange(NamedTuple):
    """Range of the finite values of an image, and the number of pixels with others.

    Attributes
    ----------
    low, high : float
        Smallest and largest finite value; 0 if there are none.
    nans, infinite : int
        Number of pixels with a NaN, and with an infinite value, in any channel.
    empty : bool
        True if no value is finite.
    """

    low: float
    high: float
    nans: int = 0
    infinite: int = 0
    empty: bool = False

    @classmethod
    def of(cls, picture: Pixels) -> DataRange:
        """Measure an image (h, w, C) or volume (z, y, x, C)."""
        low, high, nans, infinite = math.inf, -math.inf, 0, 0
        is_float = picture.dtype.kind == "f"
        wide = np.result_type(picture.dtype, np.float32) if is_float else picture.dtype
        for rows in bands(picture.shape[0], picture[0].nbytes):
            block = np.asarray(picture[rows], wide)
            with np.errstate(invalid="ignore"):  # on some processors min() of a NaN sets a flag
                least, most = float(block.min()), float(block.max())
            if not (least >= -_HUGE and most <= _HUGE):
                finite, missing = np.abs(block) <= _HUGE, np.isnan(block)
                nans += int(np.count_nonzero(missing.any(axis=-1)))
                infinite += int(np.count_nonzero((~finite & ~missing).any(axis=-1)))
                least = float(block.min(where=finite, initial=np.inf))
                most = float(block.max(where=finite, initial=-np.inf))
            low, high = min(low, least), max(high, most)
        return cls(low, high, nans, infinite) if low <= high else cls(0, 0, nans, infinite, empty=True)

    @property
    def black_and_white(self) -> Range:
        """Values of black and white to assume: 0 and 1, 0 and 255, or the range itself."""
        if self.low >= 0 and self.high <= 1:
            return 0, 1
        return (0, 255) if self.low >= 0 and self.high <= 255 else (self.low, self.high)

    @property
    def finite(self) -> bool:
        """True if all values are finite."""
        return not (self.nans or self.infinite)


@dataclass(frozen=True)
class IntensityRange:
    """Linear map of an image's values ``low`` .. ``high`` to 0 .. 255; call it to apply it.

    Attributes
    ----------
    low, high : float
        Image values of black and white.
    bounds : (float, float), optional
        Image values are first clipped to these.
    nan : float
        Image value that replaces NaN; used only if ``bounds`` is given.
    untouched : bool
        True if the image's values are model inputs already, and are not scaled.
    description : tuple of str
        Short phrases for the user about the range.
    flaws : tuple of str
        Short phrases for the user about NaN and infinite values.
    """

    low: float = 0
    high: float = 255
    bounds: Range | None = None
    nan: float = 0
    untouched: bool = False
    description: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()

    def __call__(self, band: Pixels) -> Pixels:
        """Convert a band of rows: to uint8 if its values are integers 0 to 255, else to a new float32 array."""
        if band.dtype == bool and self.bounds is None:
            return np.asarray(band * np.uint8(255))
        kept = (self.low, self.high) == (0, 255)
        if kept and band.dtype.kind in "ui" and (self.bounds is None or band.dtype == np.uint8):
            return band.astype(np.uint8, copy=False)
        values = band.astype(np.result_type(band.dtype, np.float32))
        if self.bounds:
            np.clip(values, *self.bounds, out=values)
            np.nan_to_num(values, copy=False, nan=self.nan)
        if not kept:
            values -= self.low
            values /= (self.high - self.low) or 1
            values *= 255
        return values.astype(np.float32, copy=False)


def find_intensity_range(picture: Pixels, value_range: Range | None, as_they_are: bool) -> IntensityRange:
    """Choose how an image's values are mapped to 0 to 255.

    Parameters
    ----------
    picture : (h, w, C) or (z, y, x, C) array
        Without alpha.
    value_range : (float, float), optional
        Values of black and white, if known.
    as_they_are : bool
        If true and ``value_range`` is not given, floats are model inputs already and are not scaled.

    Raises
    ------
    ValueError
        If ``value_range`` is not finite, or its first value is not the smaller one.
    """
    is_float = picture.dtype.kind == "f"
    if value_range is not None:
        low, high = _check_range(value_range)
        data_range = DataRange.of(picture) if is_float else DataRange(low, high)
        return _describe(picture, data_range, IntensityRange(low, high, (low, high), low))
    if picture.dtype == np.uint8:
        return IntensityRange()
    if picture.dtype == bool:
        return IntensityRange(description=("True is white, False is black",))
    data_range = DataRange.of(picture)
    if is_float and as_they_are:
        return _untouched(picture, data_range)
    whole = not is_float and data_range.low >= 0 and data_range.high <= 255
    low, high = (0, 255) if whole else data_range.black_and_white
    bounds = None if data_range.finite else (low, high)
    return _describe(picture, data_range, IntensityRange(low, high, bounds, low))


def _check_range(value_range: Range) -> Range:
    low, high = map(float, value_range)
    if not -_HUGE <= low < high <= _HUGE:
        raise ValueError(
            f"value_range {quote(value_range)} must be two finite numbers, the smaller one first"
        )
    return low, high


def _untouched(picture: Pixels, data_range: DataRange) -> IntensityRange:
    bounds = None if data_range.finite else (data_range.low, data_range.high)
    nan = min(0.0, data_range.low)
    return _describe(picture, data_range, IntensityRange(0, 255, bounds, nan, untouched=True))


def _describe(picture: Pixels, data_range: DataRange, intensity_range: IntensityRange) -> IntensityRange:
    """Fill in the phrases for the user."""
    flaws = tuple(
        _flaws(picture, data_range, f"{intensity_range.nan:g}" if intensity_range.untouched else "black")
    )
    return replace(intensity_range, description=(_description(intensity_range, data_range),), flaws=flaws)


def _description(intensity_range: IntensityRange, data_range: DataRange) -> str:
    low, high = intensity_range.low, intensity_range.high
    if data_range.empty:
        return "no value is a finite number"
    if intensity_range.untouched:
        return f"values {data_range.low:g} to {data_range.high:g} passed to the model unchanged"
    if low == high:
        return f"all values are {low:g}, mapped to black"
    if (low, high) == (0, 255):
        return "values 0 to 255 unchanged"
    return f"values {low:g} to {high:g} mapped from black to white"


def _flaws(picture: Pixels, data_range: DataRange, black: str) -> Iterator[str]:
    pixels = f"of {math.prod(picture.shape[:-1])} pixels"
    if data_range.nans:
        yield f"{data_range.nans} {pixels} NaN, replaced by {black}"
    if data_range.infinite:
        yield f"{data_range.infinite} {pixels} infinite, clipped to the smallest or largest value"


def display_range(image: Pixels, contrast_limits: Range) -> Range | None:
    """Find the values of black and white in an image layer.

    Parameters
    ----------
    image : (h, w), (h, w, C), (z, y, x) or (z, y, x, C) array
        The layer's visible plane, or a volume.
    contrast_limits : (float, float)
        The layer's.

    Returns
    -------
    (float, float) or None
        The ``value_range`` of `prepare`: None for bool and uint8, whose range is known; (0, 1) or (0, 255)
        for floats within these; the layer's contrast limits for all others.
    """
    if image.dtype in (np.dtype(bool), np.dtype(np.uint8)) or not image.size:
        return None
    if image.dtype.kind == "f":
        data_range = DataRange.of(np.atleast_3d(image))
        if data_range.low >= 0 and data_range.high <= 255:
            return data_range.black_and_white
    low, high = map(float, contrast_limits)
    return (low, high) if low < high else None
