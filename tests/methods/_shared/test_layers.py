"""Maps of coarse layers in the picture's size, beside scikit-image's."""

import numpy as np
import pytest
from skimage.transform import resize

from napari_saliency.core.placement import Placement
from napari_saliency.methods._shared.layers import upsampled

SIZES = [((3, 4), (6, 8)), ((7, 7), (224, 224)), ((2, 5), (9, 5)), ((3, 3), (4, 11)), ((2, 3, 4), (5, 6, 4))]


def some(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("own", "space"), SIZES)
def test_it_is_bilinear_as_in_scikit_image(own, space):
    maps = some(3, *own)
    wanted = [resize(one, space, order=1, mode="edge", anti_aliasing=False) for one in maps]
    result = upsampled(maps, space)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, wanted, atol=1e-5)


@pytest.mark.parametrize(("own", "space"), SIZES)
def test_the_centres_of_the_places_lie_where_their_placement_says(own, space):
    """A map that says of each place where its centre lies says it of each pixel, too, between the centres."""
    box = (*(0.0 for _ in space), *map(float, space))
    placement = Placement.of_box(box, own)
    for axis, (step, start) in enumerate(zip(placement.scale, placement.translate, strict=True)):
        line = start + step * np.arange(own[axis])
        shape = [-1 if other == axis else 1 for other in range(len(own))]
        result = upsampled(np.broadcast_to(line.reshape(shape), own)[None].astype(np.float32), space)[0]
        pixels = np.clip(np.arange(space[axis]), line[0], line[-1])
        np.testing.assert_allclose(result, np.broadcast_to(pixels.reshape(shape), space), atol=1e-4)


def test_pitfall_class_activation_map_with_negatives_after_upsampling():
    maps = np.maximum(some(5, 4, 6), 0)
    result = upsampled(maps, (33, 50))
    assert result.min() >= 0
    assert result.max() <= maps.max() + 1e-6


def test_a_single_place_is_the_same_everywhere():
    assert (upsampled(np.full((1, 1, 1), 2.5, np.float32), (4, 7)) == 2.5).all()
