"""Where the layer of a map lies in the world: on its picture, however that is transformed; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_saliency.core.placement import Placement


class Source(Protocol):
    """What `compose` reads of the picture's layer; napari's own layers have it."""

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
    """Place a map's layer so that it lies on the picture, however that is transformed.

    Parameters
    ----------
    placement : Placement
        Where the map lies in the picture.
    source : napari layer
        The picture's.
    axes : tuple of int
        The source's axes that are the picture's y and x, or the volume's z, y and x.
    steps : iterable of (int, float)
        For stacks: other axes of the source, and the index along each of the plane that was
        explained; 0 along those not named.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units`` for a layer of as many axes as the
        source has, whose data has length 1 along all but ``axes``.
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
        "affine": np.array(source.affine.affine_matrix),  # the object itself would be shared
        "units": source.units,
    }


def _shear_matrix(shear: npt.NDArray[Any], ndim: int) -> npt.NDArray[Any]:
    if shear.ndim == 2:
        return shear
    matrix = np.eye(ndim)
    matrix[np.triu_indices(ndim, 1)] = shear
    return matrix


def stacked(place: dict[str, Any]) -> dict[str, Any]:
    """Give a layer's place a leading axis, along which the channels of a map are stepped through.

    Parameters
    ----------
    place : dict
        From `compose`.

    Returns
    -------
    dict
        The same for a layer of one axis more; the first channel lies at 0, the next one at 1.
    """
    shear = _bordered(_shear_matrix(place["shear"], len(place["scale"])))
    if place["shear"].ndim == 1:  # as napari gives it back
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
    """Leave a new first axis alone."""
    result = np.eye(len(matrix) + 1)
    result[1:, 1:] = matrix
    return result
