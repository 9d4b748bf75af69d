"""The region of a picture that is explained: what is drawn over it in a Labels or Shapes layer."""

from __future__ import annotations

import zlib
from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Shapes
from skimage.measure import points_in_poly

from napari_saliency.core.placement import Drawn, at_points

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_saliency.core.placement import Contains
    from napari_saliency.viewer.source_layer import Plane

Points = npt.NDArray[np.float64]
Drawing: TypeAlias = Labels | Shapes

WITH_AREA = ("rectangle", "polygon", "ellipse")
"""Shapes that have an inside."""


class Hits(NamedTuple):
    """A test for points in a drawing, a key of what the test depends on, and True if it is known to hold nowhere."""

    contains: Contains
    content: Hashable
    empty: bool = False


def is_drawing(layer: object) -> bool:
    """Return whether a region can be drawn in a layer."""
    return isinstance(layer, Drawing)


def drawn(layer: Drawing, source: Image, plane: Plane, point: tuple[float, ...]) -> Drawn:
    """Return the region that is now drawn over a plane of a picture's layer.

    In a Labels layer, the region is the selected label or, where nothing has that label, everything painted. In a
    Shapes layer, it is every shape with an area. In a volume, Labels apply to each voxel; Shapes are flat and extend
    through the whole volume.

    Parameters
    ----------
    point : tuple of float
        Position of the viewer's sliders in world coordinates, for axes that the picture does not have.
    """
    corner, along = _into(layer, source, plane, point)
    axes = _spread(along, len(along))
    others = {axis: round(corner[axis]) for axis in range(layer.ndim) if axis not in axes}
    hits = (_labels if isinstance(layer, Labels) else _shapes)(layer, axes, others)

    def contains(points: Points) -> npt.NDArray[np.bool_]:
        return hits.contains((corner + points @ along)[:, axes])

    key = layer.unique_id, hits.content, corner.tobytes(), along.tobytes()
    return Drawn(key, contains, hits.empty)


def _into(layer: Drawing, source: Image, plane: Plane, point: tuple[float, ...]) -> tuple[Points, Points]:
    """Return the drawing's coordinates of the picture's first pixel, and of one step along each axis (n, ndim)."""
    factors = source.downsample_factors[plane.level] if source.multiscale else np.ones(source.ndim)

    def preview(*place: float) -> Points:
        position = np.zeros(source.ndim)
        for axis, step in plane.steps:
            position[axis] = step
        for axis, value in zip(plane.axes, place, strict=True):
            position[axis] = value * factors[axis] + (factors[axis] - 1) / 2
        world = np.array(source.data_to_world(position))
        # napari lines up the last axes of all layers.
        missing = max(0, layer.ndim - len(world))
        there = np.concatenate([np.asarray(point)[-layer.ndim :][:missing], world[-layer.ndim :]])
        return np.asarray(layer.world_to_data(there), np.float64)

    steps = np.eye(len(plane.axes))
    corner = preview(*np.zeros(len(steps)))
    return corner, np.stack([preview(*step) - corner for step in steps])


def _spread(along: Points, count: int) -> list[int]:
    """Return the axes of the drawing along which the picture extends most."""
    reach = np.abs(along).max(axis=0)
    return sorted(np.argsort(reach, kind="stable")[-count:].tolist())


def _labels(layer: Labels, axes: list[int], others: dict[int, int]) -> Hits:
    """Test points in a Labels layer; lazy arrays are not read until the test is used."""
    data = layer.data[0] if layer.multiscale else layer.data
    if any(not 0 <= index < data.shape[axis] for axis, index in others.items()):
        return Hits(_nowhere, None, empty=True)
    index, selected = tuple(others.get(axis, slice(None)) for axis in range(data.ndim)), layer.selected_label

    def painted() -> npt.NDArray[np.bool_]:
        values = np.asarray(data[index])
        chosen = values == selected
        return np.asarray(chosen if chosen.any() else values > 0)

    if not isinstance(data, np.ndarray):
        return Hits(
            lambda points: at_points(painted(), points), (id(data), tuple(sorted(others.items())), selected)
        )
    now = painted()
    return Hits(lambda points: at_points(now, points), zlib.crc32(np.packbits(now).data), empty=not now.any())


def _shapes(layer: Shapes, axes: list[int], others: dict[int, int]) -> Hits:
    here = [
        (kind, corners[:, axes].copy())
        for kind, corners in zip(layer.shape_type, layer.data, strict=True)
        if kind in WITH_AREA and all((np.round(corners[:, axis]) == at).all() for axis, at in others.items())
    ]
    tests = [partial(_in_shape, kind, corners) for kind, corners in here]
    content = tuple((kind, corners.tobytes()) for kind, corners in here)
    return Hits(
        lambda points: np.any([_nowhere(points), *(test(points) for test in tests)], axis=0),
        content,
        empty=not tests,
    )


def _in_shape(kind: str, corners: Points, points: Points) -> npt.NDArray[np.bool_]:
    """Test points in a shape; in a volume, it extends through all planes along the axis normal to it."""
    own = _spread(corners - corners.mean(axis=0), 2)
    return (_in_ellipse if kind == "ellipse" else _in_polygon)(corners[:, own], points[:, own])


def _in_polygon(corners: Points, points: Points) -> npt.NDArray[np.bool_]:
    return np.asarray(points_in_poly(points, corners), bool)


def _in_ellipse(corners: Points, points: Points) -> npt.NDArray[np.bool_]:
    """Test points in the ellipse within a rectangle, given by its corners (4, 2), which may be turned."""
    axes = np.stack([corners[1] - corners[0], corners[3] - corners[0]]) / 2
    if abs(np.linalg.det(axes)) < 1e-12:
        return _nowhere(points)
    within = np.linalg.solve(axes.T, (points - corners.mean(axis=0)).T)
    return np.asarray((within**2).sum(axis=0) <= 1, bool)


def _nowhere(points: Points) -> npt.NDArray[np.bool_]:
    return np.zeros(len(points), bool)
