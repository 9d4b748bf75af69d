"""Where things lie: maps in pictures, and the regions of pictures that are looked at; numpy only.

Laws
----
Pixel coordinates follow napari: the centre of the first pixel is at 0, so a picture of height ``h``
covers ``-0.5 .. h - 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Inside = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]]
"""Says of points (P, 2) in a picture's pixels which of them lie in a region, (P,)."""


@dataclass(frozen=True)
class Placement:
    """Where a map's pixels lie in the picture's pixels.

    Attributes
    ----------
    scale : (float, float)
        Picture pixels per map pixel, along y and x.
    translate : (float, float)
        Picture coordinates (y, x) of the centre of the map's first pixel.
    """

    scale: tuple[float, float]
    translate: tuple[float, float]

    @classmethod
    def of_box(cls, box: tuple[float, float, float, float], shape: tuple[int, int]) -> Self:
        """Place a map of ``shape`` (h, w) so that it fills ``box``.

        Parameters
        ----------
        box : (top, left, bottom, right)
            Edges in picture pixels, where 0 is the *outer edge* of the first pixel (so the
            whole picture is ``(0, 0, h, w)``); edges may lie outside of the picture.
        shape : (int, int)
            The map's height and width.
        """
        top, left, bottom, right = box
        scale = ((bottom - top) / shape[0], (right - left) / shape[1])
        return cls(scale, (top + scale[0] / 2 - 0.5, left + scale[1] / 2 - 0.5))

    def coarser(self, fine: tuple[int, int], coarse: tuple[int, int]) -> Self:
        """Place a ``coarse`` (h, w) map that covers what a ``fine`` one here covers."""
        ratio = (fine[0] / coarse[0], fine[1] / coarse[1])
        scale = (self.scale[0] * ratio[0], self.scale[1] * ratio[1])
        shift = [t + s * (r - 1) / 2 for t, s, r in zip(self.translate, self.scale, ratio, strict=True)]
        return type(self)(scale, (shift[0], shift[1]))


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
    def where(cls, inside: Inside, placement: Placement, shape: tuple[int, ...]) -> Self:
        """Ask of each pixel of the model's input whether it lies inside.

        Parameters
        ----------
        inside : callable
            Takes points (P, 2) in picture pixels, returns (P,) bool.
        placement : Placement
            Where the model's input lies in the picture.
        shape : (H, W)
            Of the model's input.

        Raises
        ------
        ValueError
            If none does.
        """
        lines = [
            start + step * np.arange(size)
            for size, step, start in zip(shape, placement.scale, placement.translate, strict=True)
        ]
        found = inside(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(shape)))
        if not found.any():
            raise ValueError("the region is empty, as far as the model sees the picture: draw another one")
        return cls(shape, np.packbits(found).tobytes())

    @classmethod
    def of_mask(cls, mask: npt.NDArray[np.bool_], placement: Placement, shape: tuple[int, ...]) -> Self:
        """Take what of a mask (h, w) in the picture's pixels the model sees; see `where`."""
        return cls.where(lambda points: at_points(mask, points) > 0, placement, shape)

    @classmethod
    def of_picture(
        cls, picture: tuple[int, ...], placement: Placement, shape: tuple[int, ...]
    ) -> Self | None:
        """Leave out what lies beside a picture (h, w) that was padded; None where nothing does."""
        high = np.array(picture) - 0.5
        found = cls.where(
            lambda points: np.asarray(((points > -0.5) & (points < high)).all(axis=1)), placement, shape
        )
        return None if found.size == math.prod(shape) else found

    @property
    def size(self) -> int:
        """How many pixels lie inside."""
        return sum(byte.bit_count() for byte in self.bits)

    def share(self, space: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """How much of the region lies in each place of an output, (*space) float32, of sum 1."""
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=math.prod(self.shape))
        share = bits.reshape(self.shape).astype(np.float64)
        for axis, (fine, coarse) in enumerate(zip(self.shape, space, strict=True)):
            share = np.moveaxis(np.tensordot(_overlaps(fine, coarse), share, (1, axis)), 0, axis)
        return np.asarray(share / share.sum(), np.float32)


def at_points(values: npt.NDArray[Any], points: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Value of the pixel that each point (P, 2) lies in; 0 outside."""
    nearest = np.floor(points + 0.5).astype(int)
    within = ((nearest >= 0) & (nearest < values.shape)).all(axis=1)
    found = np.zeros(len(points), values.dtype)
    found[within] = values[tuple(nearest[within].T)]
    return found


def _overlaps(fine: int, coarse: int) -> npt.NDArray[np.float64]:
    """How much of each of ``fine`` pixels lies in each of ``coarse`` ones that cover the same, (coarse, fine)."""
    edges, wide = np.arange(fine + 1), np.arange(coarse + 1) * fine / coarse
    low, high = np.maximum(edges[:-1], wide[:-1, None]), np.minimum(edges[1:], wide[1:, None])
    return np.asarray(np.maximum(high - low, 0), np.float64)


def share(region: Region | None, space: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """How much each place of an output counts, (*space) float32, of sum 1."""
    return region.share(space) if region else np.full(space, 1 / math.prod(space), np.float32)
