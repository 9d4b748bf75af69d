"""Preparation of volumes: resizing along three axes, antialiasing, placement."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_saliency.core.preprocessing import InputSpec, Preprocessing
from napari_saliency.images import intensity
from napari_saliency.images.prepare import prepare
from tests.memory import most_memory

FITS = ("crop", "stretch", "pad")
RNG = np.random.default_rng(3)


def spec(shape, channels=1, preprocessing="unit", fit="stretch"):
    return InputSpec(shape, channels, Preprocessing.named(preprocessing), fit)


def dot(shape, centre, sigma):
    axes = np.meshgrid(*(np.arange(n) - c for n, c in zip(shape, centre, strict=True)), indexing="ij")
    return np.exp(-sum(axis**2 for axis in axes) / (2 * sigma**2))


def centre_of_mass(weights):
    axes = np.meshgrid(*map(np.arange, weights.shape), indexing="ij")
    return np.array([(weights * axis).sum() / weights.sum() for axis in axes])


def triangle(fine, coarse):
    """Compute the weights (coarse, fine) of an antialiased linear filter one by one."""
    weights, step = np.zeros((coarse, fine)), fine / coarse
    for i in range(coarse):
        for j in range(fine):
            weights[i, j] = max(0, 1 - abs((j + 0.5) - (i + 0.5) * step) / max(1, step))
        weights[i] /= weights[i].sum()
    return weights


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("model", [(32, 32, 32), (24, 48, 40)])
@pytest.mark.parametrize("shape", [(30, 90, 70), (64, 40, 100), (20, 20, 20)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_a_planted_dot_is_found_where_it_was_planted(shape, model, fit, kind):
    planted = np.array(shape) / 2 + [0.04, -0.17, 0.07] * np.array(min(shape))
    volume = (255 * dot(shape, planted, min(shape) / 16)).astype(kind)
    prepared = prepare(volume, spec(model, fit=fit))
    seen_at = centre_of_mass(prepared.x[..., 0])
    result = np.array(prepared.placement.translate) + seen_at * prepared.placement.scale
    # Well below half a voxel of the map, so that a corner taken for a centre would be noticed.
    assert np.all(np.abs(result - planted) / prepared.placement.scale < 0.1)


@pytest.mark.parametrize(
    ("fit", "model", "box"),
    [
        ("crop", (8, 8, 8), (0, 15, 25, 10, 25, 35)),
        ("crop", (4, 8, 12), (0, 10, 15, 10, 30, 45)),
        ("stretch", (8, 8, 8), (0, 0, 0, 10, 40, 60)),
        ("pad", (30, 30, 30), (-24, -10, 0, 36, 50, 60)),  # 12 black planes before it, 13 after
    ],
)
def test_the_model_input_covers_the_expected_box(fit, model, box):
    placement = prepare(np.zeros((10, 40, 60), np.uint8), spec(model, fit=fit)).placement
    edges = [
        (t - s / 2 + 0.5, t + (n - 0.5) * s + 0.5)
        for t, s, n in zip(placement.translate, placement.scale, model, strict=True)
    ]
    np.testing.assert_allclose(edges, [*zip(box[:3], box[3:], strict=True)], atol=1e-9)


@pytest.mark.parametrize("model", [(12, 16, 14), (5, 9, 9), (40, 50, 30)])
def test_resizing_is_an_antialiased_linear_filter_along_each_axis(model):
    volume = gaussian_filter(RNG.random((23, 31, 27)), 1).astype(np.float32)
    weights = [triangle(fine, coarse) for fine, coarse in zip(volume.shape, model, strict=True)]
    expected = np.einsum("zyx,az,by,cx->abc", volume, *weights)
    result = prepare(volume, spec(model), (0, 1)).x[..., 0]
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_planes_of_another_depth_alone_are_mixed_and_nothing_else():
    volume = RNG.integers(0, 255, (4, 6, 5), np.uint8)
    result = prepare(volume, spec((2, 6, 5), preprocessing="none")).x[..., 0]
    expected = np.einsum("zyx,az->ayx", volume, triangle(4, 2))
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "int16"])
def test_a_volume_of_the_models_size_passes_as_it_is(kind):
    volume = RNG.integers(0, 100, (4, 6, 5, 2)).astype(kind)
    prepared = prepare(volume, spec((4, 6, 5), 2, "none", "crop"))
    np.testing.assert_array_equal(prepared.x, volume)
    assert prepared.x.dtype == np.float32
    assert not np.shares_memory(prepared.x, volume)
    assert prepared.placement.scale == (1, 1, 1)


def test_the_values_of_a_volume_are_understood_once_not_plane_by_plane():
    volume = np.arange(2 * 3 * 4, dtype=np.int32).reshape(2, 3, 4) * 100
    prepared = prepare(volume, spec((2, 3, 4)))
    np.testing.assert_allclose(prepared.x[..., 0], volume / 2300, rtol=1e-6)
    assert any("0 to 2300" in phrase for phrase in prepared.description)


def test_voxels_that_are_no_numbers_are_counted():
    volume = RNG.random((3, 4, 5)).astype(np.float32)
    volume[1, 2, 3] = np.nan
    prepared = prepare(volume, spec((3, 4, 5)))
    assert prepared.x[1, 2, 3, 0] == 0
    assert any("1 of 60 pixels NaN" in phrase for phrase in prepared.description)


def test_what_was_done_is_said_and_the_middle_plane_shown():
    volume = RNG.integers(0, 255, (8, 20, 30), np.uint8)
    prepared = prepare(volume, spec((4, 20, 30)))
    assert prepared.description[:2] == ("8×20×30 grey, stretched to 4×20×30", "preview: middle plane")
    np.testing.assert_allclose(prepared.preview, np.repeat(255 * prepared.x[2], 3, -1), atol=0.51)


def test_bands_leave_no_seams(monkeypatch):
    volume = RNG.integers(0, 255, (9, 40, 30), np.uint8)
    whole = prepare(volume, spec((5, 33, 20))).x
    monkeypatch.setattr(intensity, "_BAND", 300)
    np.testing.assert_allclose(prepare(volume, spec((5, 33, 20))).x, whole, atol=1.01 / 255)


# Channels and shapes


@pytest.mark.parametrize(("given", "channels"), [(1, 3), (3, 1), (4, 3), (4, 1), (3, 3), (5, 5)])
def test_channels_are_brought_to_the_models(given, channels):
    volume = RNG.integers(0, 255, (3, 5, 4, given), np.uint8)
    planes = [prepare(plane, InputSpec((5, 4), channels)).x for plane in volume]
    np.testing.assert_array_equal(prepare(volume, InputSpec((3, 5, 4), channels)).x, planes)


def test_two_dyes_are_not_grey_with_alpha():
    with pytest.raises(ValueError, match="has 2 channels, but the model takes 1 to 4: select channels"):
        prepare(np.zeros((3, 5, 4, 2), np.uint8), spec((3, 5, 4)))


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3), (30, 40, 4), (2, 3, 4, 5, 1)])
def test_what_is_no_volume_is_refused_by_a_model_of_volumes(shape):
    with pytest.raises(ValueError, match=r"the model takes volumes, \(z, y, x\) or .*, not .*: give a stack"):
        prepare(np.zeros(shape, np.uint8), spec((8, 8, 8)))


def test_a_volume_is_refused_by_a_model_of_pictures():
    with pytest.raises(ValueError, match="give one plane"):
        prepare(np.zeros((2, 8, 8, 3), np.uint8), spec((8, 8), 3))
    with pytest.raises(ValueError, match=r"9 channels, .* takes 1 to 4: select channels"):
        prepare(np.zeros((12, 8, 9), np.uint8), spec((8, 8), 3))


def test_models_of_any_size_get_the_volume_as_it_is():
    assert prepare(np.zeros((7, 30, 20), np.uint8), spec((None, None, None))).x.shape == (7, 30, 20, 1)
    large = prepare(np.zeros((256, 256, 256), np.uint8), spec((None, None, None)))
    assert large.x.shape == (128, 128, 128, 1)
    assert large.description[0] == "256×256×256 grey, scaled to 128×128×128 (limit: 2.1 million pixels)"


def test_a_large_volume_takes_little_memory_beside_its_result():
    volume = np.zeros((200, 300, 300), np.float32)
    assert most_memory(lambda: prepare(volume, spec((32, 32, 32)), (0, 1))) < 8e6
