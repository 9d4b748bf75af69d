"""Where things lie: maps in pictures, and the regions of pictures that are looked at; numpy only.

Laws
----
Pixel coordinates follow napari: the centre of the first pixel is at 0, so a picture of height ``h``
covers ``-0.5 .. h - 0.5``. Pictures have two axes of space, (y, x), and volumes three, (z, y, x); their
voxels are called pixels here, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Contains = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]]
"""Says of points (P, n) in a picture's pixels which of them lie in a region, (P,)."""


@dataclass(frozen=True)
class Placement:
    """Where a map's pixels lie in the picture's pixels.

    Attributes
    ----------
    scale : tuple of float
        Picture pixels per map pixel, along each axis of space.
    translate : tuple of float
        Picture coordinates of the centre of the map's first pixel.
    """

    scale: tuple[float, ...]
    translate: tuple[float, ...]

    @classmethod
    def of_box(cls, box: tuple[float, ...], shape: tuple[int, ...]) -> Self:
        """Place a map of ``shape`` so that it fills ``box``.

        Parameters
        ----------
        box : (top, left, bottom, right), or (front, top, left, back, bottom, right)
            Edges in picture pixels, where 0 is the *outer edge* of the first pixel (so the
            whole picture is ``(0, 0, h, w)``); edges may lie outside of the picture.
        shape : tuple of int
            The map's, without channels.
        """
        starts, stops = box[: len(shape)], box[len(shape) :]
        scale = tuple((stop - start) / n for start, stop, n in zip(starts, stops, shape, strict=True))
        return cls(scale, tuple(start + s / 2 - 0.5 for start, s in zip(starts, scale, strict=True)))

    def coarser(self, fine: tuple[int, ...], coarse: tuple[int, ...]) -> Self:
        """Place a map of shape ``coarse`` that covers what one of shape ``fine`` here covers."""
        ratio = [f / c for f, c in zip(fine, coarse, strict=True)]
        scale = tuple(s * r for s, r in zip(self.scale, ratio, strict=True))
        places = zip(self.translate, self.scale, ratio, strict=True)
        return type(self)(scale, tuple(t + s * (r - 1) / 2 for t, s, r in places))

    def finer(self, factor: Sequence[float]) -> Self:
        """Express a placement in a coarse picture's pixels in those of one ``factor`` times as fine."""
        scale = tuple(s * f for s, f in zip(self.scale, factor, strict=True))
        # A coarse pixel covers several fine ones: its centre lies between theirs.
        return type(self)(
            scale, tuple(t * f + (f - 1) / 2 for t, f in zip(self.translate, factor, strict=True))
        )


@dataclass(frozen=True)
class Drawn:
    """A region as it is drawn now.

    Attributes
    ----------
    key : hashable
        Equal keys mean equal regions.
    contains : callable
        Says which points (P, n) of the picture lie in it; may read from a slow disk.
    empty : bool
        Whether it is known that none does.
    """

    key: Hashable
    contains: Contains
    empty: bool = False


@dataclass(frozen=True)
class Region:
    """Part of a picture, on the grid of the model's input; hashable, so that a target can have one.

    Attributes
    ----------
    shape : tuple of int
        Of the model's input, without its channels.
    bits : bytes
        One bit for each pixel, packed: whether it lies inside.
    """

    shape: tuple[int, ...]
    bits: bytes

    @classmethod
    def where(
        cls, contains: Contains, placement: Placement, shape: tuple[int, ...], picture: Region | None = None
    ) -> Self:
        """Ask of each pixel of the model's input whether it lies inside.

        Parameters
        ----------
        contains : callable
            Takes points (P, n) in picture pixels, returns (P,) bool.
        placement : Placement
            Where the model's input lies in the picture.
        shape : (H, W) or (Z, H, W)
            Of the model's input.
        picture : Region, optional
            The part of it that shows the picture; what is drawn beside it does not count.

        Raises
        ------
        ValueError
            If none does.
        """
        lines = [
            start + step * np.arange(size)
            for size, step, start in zip(shape, placement.scale, placement.translate, strict=True)
        ]
        result = contains(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(shape)))
        if picture:
            result = result & picture.mask.ravel()
        if not result.any():
            raise ValueError("the region is empty, as far as the model sees the picture: draw another one")
        return cls(shape, np.packbits(result).tobytes())

    @classmethod
    def of_mask(cls, mask: npt.NDArray[np.bool_], placement: Placement, shape: tuple[int, ...]) -> Self:
        """Take what of a mask, as large as the picture, the model sees; see `where`."""
        return cls.where(lambda points: at_points(mask, points) > 0, placement, shape)

    @property
    def size(self) -> int:
        """How many pixels lie inside."""
        return sum(byte.bit_count() for byte in self.bits)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which pixels lie inside, (*shape) bool."""
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=math.prod(self.shape))
        return bits.reshape(self.shape).astype(bool)

    def share(self, space: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """How much of the region lies in each place of an output, (*space) float32, of sum 1."""
        share = self.mask.astype(np.float64)
        for axis, (fine, coarse) in enumerate(zip(self.shape, space, strict=True)):
            share = np.moveaxis(np.tensordot(_overlaps(fine, coarse), share, (1, axis)), 0, axis)
        return np.asarray(share / share.sum(), np.float32)


def at_points(values: npt.NDArray[Any], points: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Value of the pixel that each point (P, n) lies in; 0 outside."""
    nearest = np.floor(points + 0.5).astype(int)
    within = ((nearest >= 0) & (nearest < values.shape)).all(axis=1)
    result = np.zeros(len(points), values.dtype)
    result[within] = values[tuple(nearest[within].T)]
    return result


def _overlaps(fine: int, coarse: int) -> npt.NDArray[np.float64]:
    """How much of each of ``fine`` pixels lies in each of ``coarse`` ones that cover the same, (coarse, fine)."""
    edges, wide = np.arange(fine + 1), np.arange(coarse + 1) * fine / coarse
    low, high = np.maximum(edges[:-1], wide[:-1, None]), np.minimum(edges[1:], wide[1:, None])
    return np.asarray(np.maximum(high - low, 0), np.float64)


def share(region: Region | None, space: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """How much each place of an output counts, (*space) float32, of sum 1."""
    return region.share(space) if region else np.full(space, 1 / math.prod(space), np.float32)


def sized(shape: Sequence[int | None]) -> str:
    """A size as people read it: width×height of pictures, z×y×x of volumes, as arrays of them have it."""
    if not any(shape):
        return "any size"
    return "×".join(str(n or "any") for n in (shape[::-1] if len(shape) == 2 else shape))
