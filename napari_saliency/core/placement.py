"""Positions of maps in images, and regions of images; numpy only.

Pixel coordinates follow napari: the centre of the first pixel is at 0, so an image of height ``h`` covers
``-0.5 .. h - 0.5``. Images have two spatial axes, (y, x), volumes have three, (z, y, x); "image" and "pixel"
also stand for volumes and their voxels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Contains = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.bool_]]
"""Function from points (P, n) in image pixels to whether each lies in a region, (P,)."""


@dataclass(frozen=True)
class Placement:
    """Position of a map's pixels in image pixels.

    Attributes
    ----------
    scale : tuple of float
        Image pixels per map pixel, along each spatial axis.
    translate : tuple of float
        Image coordinates of the centre of the map's first pixel.
    """

    scale: tuple[float, ...]
    translate: tuple[float, ...]

    @classmethod
    def of_box(cls, box: tuple[float, ...], shape: tuple[int, ...]) -> Self:
        """Place a map of ``shape`` so that it fills ``box``.

        Parameters
        ----------
        box : (top, left, bottom, right), or (front, top, left, back, bottom, right)
            Edges in image pixels, where 0 is the *outer edge* of the first pixel (so the whole image
            is ``(0, 0, h, w)``); edges may lie outside the image.
        shape : tuple of int
            Shape of the map, without channels.
        """
        starts, stops = box[: len(shape)], box[len(shape) :]
        scale = tuple((stop - start) / n for start, stop, n in zip(starts, stops, shape, strict=True))
        return cls(scale, tuple(start + s / 2 - 0.5 for start, s in zip(starts, scale, strict=True)))

    def coarser(self, fine: tuple[int, ...], coarse: tuple[int, ...]) -> Self:
        """Place a map of shape ``coarse`` so that it covers what a map of shape ``fine`` covers here."""
        ratio = [f / c for f, c in zip(fine, coarse, strict=True)]
        scale = tuple(s * r for s, r in zip(self.scale, ratio, strict=True))
        places = zip(self.translate, self.scale, ratio, strict=True)
        return type(self)(scale, tuple(t + s * (r - 1) / 2 for t, s, r in places))

    def finer(self, factor: Sequence[float]) -> Self:
        """Convert from pixels of a coarse image to those of an image ``factor`` times as fine, along each axis."""
        scale = tuple(s * f for s, f in zip(self.scale, factor, strict=True))
        # A coarse pixel covers several fine ones; its centre is the mean of theirs.
        return type(self)(
            scale, tuple(t * f + (f - 1) / 2 for t, f in zip(self.translate, factor, strict=True))
        )


@dataclass(frozen=True)
class Drawn:
    """A region as currently drawn.

    Attributes
    ----------
    key : hashable
        Equal keys mean equal regions.
    contains : callable
        Maps points (P, n) in image pixels to whether each lies in the region; may read from a slow disk.
    empty : bool
        True if the region is known to contain no point.
    """

    key: Hashable
    contains: Contains
    empty: bool = False


@dataclass(frozen=True)
class Region:
    """Part of an image, on the pixel grid of the model input; hashable, as part of a target.

    Attributes
    ----------
    shape : tuple of int
        Shape of the model input, without channels.
    bits : bytes
        A mask, packed by `numpy.packbits`: one bit per pixel.
    """

    shape: tuple[int, ...]
    bits: bytes

    @classmethod
    def where(
        cls, contains: Contains, placement: Placement, shape: tuple[int, ...], picture: Region | None = None
    ) -> Self:
        """Collect the pixels of the model input whose centres a region contains.

        Parameters
        ----------
        contains : callable
            Takes points (P, n) in image pixels, returns (P,) bool.
        placement : Placement
            Position of the model input in the image.
        shape : (H, W) or (Z, H, W)
            Shape of the model input.
        picture : Region, optional
            The part of the model input that shows the image; padding does not count.

        Raises
        ------
        ValueError
            If the region contains no pixel of the model input.
        """
        lines = [
            start + step * np.arange(size)
            for size, step, start in zip(shape, placement.scale, placement.translate, strict=True)
        ]
        result = contains(np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(shape)))
        if picture:
            result = result & picture.mask.ravel()
        if not result.any():
            raise ValueError(
                "the region is empty within the part of the image that the model sees: draw another one"
            )
        return cls(shape, np.packbits(result).tobytes())

    @classmethod
    def of_mask(cls, mask: npt.NDArray[np.bool_], placement: Placement, shape: tuple[int, ...]) -> Self:
        """Sample a mask of the image's shape at the pixels of the model input; see `where`."""
        return cls.where(lambda points: at_points(mask, points) > 0, placement, shape)

    @property
    def size(self) -> int:
        """Number of pixels in the region."""
        return sum(byte.bit_count() for byte in self.bits)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The region as a mask, (*shape) bool."""
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=math.prod(self.shape))
        return bits.reshape(self.shape).astype(bool)

    def share(self, space: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Compute the share of the region in each position of an output, (*space) float32, of sum 1."""
        share = self.mask.astype(np.float64)
        for axis, (fine, coarse) in enumerate(zip(self.shape, space, strict=True)):
            share = np.moveaxis(np.tensordot(_overlaps(fine, coarse), share, (1, axis)), 0, axis)
        return np.asarray(share / share.sum(), np.float32)


def at_points(values: npt.NDArray[Any], points: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Return the value of the pixel that each point (P, n) lies in; 0 outside."""
    nearest = np.floor(points + 0.5).astype(int)
    within = ((nearest >= 0) & (nearest < values.shape)).all(axis=1)
    result = np.zeros(len(points), values.dtype)
    result[within] = values[tuple(nearest[within].T)]
    return result


def _overlaps(fine: int, coarse: int) -> npt.NDArray[np.float64]:
    """Compute the length that each of ``coarse`` and each of ``fine`` pixels of one extent share, (coarse, fine)."""
    edges, wide = np.arange(fine + 1), np.arange(coarse + 1) * fine / coarse
    low, high = np.maximum(edges[:-1], wide[:-1, None]), np.minimum(edges[1:], wide[1:, None])
    return np.asarray(np.maximum(high - low, 0), np.float64)


def share(region: Region | None, space: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return the weight of each position of an output, (*space) float32, of sum 1; equal without a region."""
    return region.share(space) if region else np.full(space, 1 / math.prod(space), np.float32)


def format_size(shape: Sequence[int | None]) -> str:
    """Format a size: width×height of images, z×y×x of volumes (the order of their arrays)."""
    if not any(shape):
        return "any size"
    return "×".join(str(n or "any") for n in (shape[::-1] if len(shape) == 2 else shape))
