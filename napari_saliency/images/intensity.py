"""What of a picture's values is black and what is white; numpy only.

Large pictures are read in bands of rows: memory stays small, and no call holds the interpreter's
lock for long, since this runs in a thread beside the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

Pixels = np.ndarray[Any, np.dtype[Any]]
Range = tuple[float, float]

_BAND = 16_000_000  # bytes at once: neighbours share few rows, and the allocator keeps blocks of this size
_HUGE = 1e38  # as good as infinite: differences of smaller values still fit into float32

VOID = "no value is a finite number"


def bands(rows: int, bytes_per_row: float) -> Iterator[slice]:
    """Cut rows into bands of about 16 MB."""
    step = max(1, int(_BAND / bytes_per_row))
    for first in range(0, rows, step):
        yield slice(first, min(rows, first + step))


class DataRange(NamedTuple):
    """Smallest and largest finite value, and how many pixels have others."""

    low: float
    high: float
    nans: int = 0
    infinite: int = 0
    void: bool = False  # without any finite value

    @classmethod
    def of(cls, picture: Pixels) -> DataRange:
        """Measure a picture (h, w, C) or volume (z, y, x, C); of one without finite values both are 0."""
        low, high, nans, infinite = math.inf, -math.inf, 0, 0
        is_float = picture.dtype.kind == "f"
        wide = np.result_type(picture.dtype, np.float32) if is_float else picture.dtype
        for rows in bands(picture.shape[0], picture[0].nbytes):
            block = np.asarray(picture[rows], wide)
            with np.errstate(invalid="ignore"):  # some processors flag a NaN that min() meets
                least, most = float(block.min()), float(block.max())
            if not (least >= -_HUGE and most <= _HUGE):
                finite, missing = np.abs(block) <= _HUGE, np.isnan(block)
                nans += int(np.count_nonzero(missing.any(axis=-1)))
                infinite += int(np.count_nonzero((~finite & ~missing).any(axis=-1)))
                least = float(block.min(where=finite, initial=np.inf))
                most = float(block.max(where=finite, initial=-np.inf))
            low, high = min(low, least), max(high, most)
        return cls(low, high, nans, infinite) if low <= high else cls(0, 0, nans, infinite, void=True)

    @property
    def natural(self) -> Range:
        """What is black and what is white, if nothing else is known."""
        if self.low >= 0 and self.high <= 1:
            return 0, 1
        return (0, 255) if self.low >= 0 and self.high <= 255 else (self.low, self.high)

    @property
    def flawless(self) -> bool:
        """Whether all values are finite."""
        return not (self.nans or self.infinite)


@dataclass(frozen=True)
class IntensityRange:
    """Brings values ``low`` .. ``high`` of a picture to 0 .. 255.

    Attributes
    ----------
    low, high : float
        In the picture's values.
    bounds : (float, float), optional
        Values are clipped to these first.
    nan : float
        What NaN are taken as, in the picture's values; used with ``bounds`` only.
    untouched : bool
        Values are the model's own, not 0 to 255.
    description : tuple of str
        The same in short sentences.
    flaws : tuple of str
        What of the picture is no number, in short sentences.
    """

    low: float = 0
    high: float = 255
    bounds: Range | None = None
    nan: float = 0
    untouched: bool = False
    description: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()

    def __call__(self, band: Pixels) -> Pixels:
        """Return uint8 where whole numbers 0 to 255 are meant, else new float32."""
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
    """Decide how a picture's values become 0 to 255.

    Parameters
    ----------
    picture : (h, w, C) or (z, y, x, C) array
        Without alpha.
    value_range : (float, float), optional
        Black and white, where known.
    as_they_are : bool
        Whether floats are the model's own values, unless ``value_range`` is given.

    Raises
    ------
    ValueError
        If ``value_range`` is empty or not finite.
    """
    is_float = picture.dtype.kind == "f"
    if value_range is not None:
        low, high = _checked(value_range)
        extent = DataRange.of(picture) if is_float else DataRange(low, high)
        return _described(picture, extent, IntensityRange(low, high, (low, high), low))
    if picture.dtype == np.uint8:
        return IntensityRange()
    if picture.dtype == bool:
        return IntensityRange(description=("True taken as white",))
    extent = DataRange.of(picture)
    if is_float and as_they_are:
        return _untouched(picture, extent)
    whole = not is_float and extent.low >= 0 and extent.high <= 255
    low, high = (0, 255) if whole else extent.natural
    bounds = None if extent.flawless else (low, high)
    return _described(picture, extent, IntensityRange(low, high, bounds, low))


def _checked(value_range: Range) -> Range:
    low, high = map(float, value_range)
    if not -_HUGE <= low < high <= _HUGE:
        raise ValueError(f"value_range {value_range!r} must be two finite numbers, the smaller first")
    return low, high


def _untouched(picture: Pixels, extent: DataRange) -> IntensityRange:
    bounds = None if extent.flawless else (extent.low, extent.high)
    nan = min(0.0, extent.low)
    return _described(picture, extent, IntensityRange(0, 255, bounds, nan, untouched=True))


def _described(picture: Pixels, extent: DataRange, intensity_range: IntensityRange) -> IntensityRange:
    """Say the same in words."""
    flaws = tuple(
        _flaws(picture, extent, f"{intensity_range.nan:g}" if intensity_range.untouched else "black")
    )
    return replace(intensity_range, description=(_description(intensity_range, extent),), flaws=flaws)


def _description(intensity_range: IntensityRange, extent: DataRange) -> str:
    low, high = intensity_range.low, intensity_range.high
    if extent.void:
        return VOID
    if intensity_range.untouched:
        return f"values {extent.low:g} to {extent.high:g} taken as they are"
    if low == high:
        return f"all values are {low:g}, taken as black"
    if (low, high) == (0, 255):
        return "values 0 to 255 as they are"
    return f"values {low:g} to {high:g} taken as black to white"


def _flaws(picture: Pixels, extent: DataRange, black: str) -> Iterator[str]:
    of = f"of {math.prod(picture.shape[:-1])} pixels"
    if extent.nans:
        yield f"{extent.nans} {of} NaN, taken as {black}"
    if extent.infinite:
        yield f"{extent.infinite} {of} infinite, taken as the smallest or largest value"


def display_range(image: Pixels, contrast_limits: Range) -> Range | None:
    """Tell what is black and what is white in a layer of the viewer.

    Parameters
    ----------
    image : (h, w), (h, w, C), (z, y, x) or (z, y, x, C) array
        The layer's visible plane, or a volume.
    contrast_limits : (float, float)
        The layer's own.

    Returns
    -------
    (float, float) or None
        For `prepare`. None for bool and uint8, which mean the same everywhere; (0, 1) or (0, 255)
        for floats within these; the layer's contrast limits for all others.
    """
    if image.dtype in (np.dtype(bool), np.dtype(np.uint8)) or not image.size:
        return None
    if image.dtype.kind == "f":
        extent = DataRange.of(np.atleast_3d(image))
        if extent.low >= 0 and extent.high <= 255:
            return extent.natural
    low, high = map(float, contrast_limits)
    return (low, high) if low < high else None
