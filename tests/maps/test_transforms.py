import numpy as np
import pytest

from napari_saliency.core.placement import Placement
from napari_saliency.maps.transforms import compose, stacked

AFFINE = np.array([[0.9, 0.2, 5], [-0.1, 1.1, -3], [0, 0, 1]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": (2, 0.5), "translate": (10, -20)},
        {"scale": (-2, 3), "rotate": 30},
        {"scale": (2, 3), "shear": [0.4]},
        {"scale": (2, 3), "shear": np.array([[1, 0], [0.4, 1]]), "rotate": 15},
        {"scale": (2, 3), "translate": (7, 1), "rotate": 110, "shear": [-0.3], "affine": AFFINE},
    ],
)
def test_a_map_lies_on_its_picture_however_that_is_transformed(image_layer, options):
    source = image_layer(np.zeros((40, 60)), units="um", **options)
    placement = Placement((40 / 7, 60 / 9), (2.25, -3.5))
    layer = image_layer(np.zeros((7, 9)), **compose(placement, source))
    for pixel in ((0, 0), (6, 8), (2, 5)):
        in_picture = np.array(placement.translate) + np.array(placement.scale) * pixel
        np.testing.assert_allclose(layer.data_to_world(pixel), source.data_to_world(in_picture), atol=1e-6)
    assert layer.units == source.units
    assert layer.affine is not source.affine  # napari would change both at once


@pytest.mark.parametrize(("axes", "steps"), [((1, 2), [(0, 3)]), ((0, 2), [(1, 4)]), ((-2, -1), [])])
def test_a_map_is_pinned_to_its_plane_of_a_stack(image_layer, axes, steps):
    source = image_layer(
        np.zeros((6, 40, 60)),
        scale=(5, 2, 3),
        translate=(1, 2, 3),
        rotate=(10, 20, 30),
        shear=(0.1, 0.2, 0.3),
    )
    placement = Placement((2.5, 4), (1, 2))
    data = np.zeros([1 if axis in dict(steps) else 8 for axis in range(3)])
    layer = image_layer(data, **compose(placement, source, axes, steps))
    in_picture = np.zeros(3)
    in_picture[list(axes)] = [1 + 2.5 * 4, 2 + 4 * 6]
    pixel = np.zeros(3)
    pixel[list(axes)] = [4, 6]
    for axis, index in steps:
        in_picture[axis] = index
    np.testing.assert_allclose(layer.data_to_world(pixel), source.data_to_world(in_picture), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": (-2, 3), "rotate": 30, "units": "um"},
        {"scale": (2, 3), "shear": [0.4], "translate": (7, 1)},
        {"scale": (2, 3), "shear": np.array([[1, 0], [0.4, 1]]), "affine": AFFINE},
    ],
)
def test_each_channel_of_a_stack_lies_on_the_picture(image_layer, options):
    source = image_layer(np.zeros((40, 60)), **options)
    place = compose(Placement((40 / 7, 60 / 9), (2.25, -3.5)), source)
    flat, deep = image_layer(np.zeros((7, 9)), **place), image_layer(np.zeros((5, 7, 9)), **stacked(place))
    for channel in (0, 4):
        for pixel in ((0, 0), (6, 8), (2, 5)):
            result = deep.data_to_world((channel, *pixel))
            np.testing.assert_allclose(result, (channel, *flat.data_to_world(pixel)), atol=1e-6)
    assert deep.units[1:] == source.units
    kept = {name: getattr(deep, name) for name in ("scale", "translate", "rotate", "shear", "units")}
    for name, value in kept.items():
        assert np.array_equal(value, stacked(place)[name]), name  # so that nothing is set again
