"""Transforms that put a map's layer onto its image layer, however that is transformed. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_saliency.core.placement import Placement


class Source(Protocol):
    """Properties of the image layer that `compose` reads; napari's layers have them."""

    @property
    def scale(self) -> npt.NDArray[Any]: ...
    @property
    def translate(self) -> npt.NDArray[Any]: ...
    @property
    def rotate(self) -> npt.NDArray[Any]: ...
    @property
    def shear(self) -> npt.NDArray[Any]: ...
    @property
    def affine(self) -> Any: ...  # noqa: ANN401 - napari's Affine
    @property
    def units(self) -> Any: ...  # noqa: ANN401 - pint units


def compose(
    placement: Placement,
    source: Source,
    axes: tuple[int, ...] = (-2, -1),
    steps: Iterable[tuple[int, float]] = (),
) -> dict[str, Any]:
    """Compose a map's placement with the transforms of its image layer.

    Parameters
    ----------
    placement : Placement
        Position of the map in the image.
    source : napari layer
        The image layer.
    axes : tuple of int
        Axes of the source that are the image's y and x, or the volume's z, y and x.
    steps : iterable of (int, float)
        For stacks: other axes of the source, each with the index of the plane that was explained; axes
        not listed are at 0.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units`` for a layer with as many axes as the source,
        of length 1 along all but ``axes``.
    """
    scale, position = np.ones(len(source.scale)), np.zeros(len(source.scale))
    scale[list(axes)], position[list(axes)] = placement.scale, placement.translate
    for axis, index in steps:
        position[axis] = index
    # napari: world = affine · (rotate · shear · scale · data + translate)
    linear = source.rotate @ _shear_matrix(source.shear, len(scale)) @ np.diag(source.scale)
    return {
        "scale": source.scale * scale,
        "translate": source.translate + linear @ position,
        "rotate": np.array(source.rotate),
        "shear": np.array(source.shear),
        "affine": np.array(source.affine.affine_matrix),  # a copy: the layers must not share it
        "units": source.units,
    }


def _shear_matrix(shear: npt.NDArray[Any], ndim: int) -> npt.NDArray[Any]:
    """Return the shear as a matrix; napari stores its upper triangle alone if it has no other entries."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


def stacked(place: dict[str, Any]) -> dict[str, Any]:
    """Add a leading axis to a layer's transforms, for a map whose channels are kept apart.

    Parameters
    ----------
    place : dict
        From `compose`.

    Returns
    -------
    dict
        The same with one axis more, along which channel n lies at n.
    """
    shear = _bordered(_shear_matrix(place["shear"], len(place["scale"])))
    if place["shear"].ndim == 1:  # in the form in which napari stores it
        shear = shear[np.triu_indices(len(shear), 1)]
    return {
        "scale": np.insert(place["scale"], 0, 1.0),
        "translate": np.insert(place["translate"], 0, 0.0),
        "rotate": _bordered(place["rotate"]),
        "shear": shear,
        "affine": _bordered(place["affine"]),
        "units": ("pixel", *place["units"]),
    }


def _bordered(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Add a first row and column of the identity."""
    result = np.eye(len(matrix) + 1)
    result[1:, 1:] = matrix
    return result
