"""XRAI, against its algorithm 1 with masks and a loop over all of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from skimage.morphology import isotropic_dilation
from skimage.segmentation import felzenszwalb

from napari_saliency.core.errors import ModelError
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.methods import METHODS
from napari_saliency.methods._shared.segmentation import best_regions, mean_in_each, segments
from tests.analytic import Linear, Quadratic, pictures, targets_of

xrai = METHODS["xrai"].function
SHAPE = (96, 112, 3)


def last(model, x, targets, **options):
    *_, estimate = xrai(model, x, targets, **options)
    return estimate


def scene(shape=SHAPE, seed=0):
    """A picture (1, h, w, C) of 0..255 with things in it: blocks of colours, a disc, noise."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (4, 5, shape[-1]))
    rows, columns = np.indices(shape[:2])
    image = coarse[rows * 4 // shape[0], columns * 5 // shape[1]]
    image[(rows - shape[0] / 2) ** 2 + (columns - shape[1] / 2) ** 2 < shape[0] ** 2 / 16] = 200
    return (image + random.normal(0, 6, shape)).clip(0, 255).astype(np.float32)[None]


def attribution_of(model, x, index, black, white):
    """Integrated gradients of a quadratic model in closed form: the mean of those from black and from white."""
    weights, curvature = model.weights[..., index], model.curvature[..., index]
    maps = [(x - start) * (weights + curvature * (x + start) / 2) for start in (black, white)]
    return np.mean(maps, axis=0)[0].sum(-1)


def by_hand(image, attribution):
    """Algorithm 1; the numbers are those of the authors' code, for 224×224."""
    area = image.shape[0] * image.shape[1] / 224**2
    image = 2 * (image - image.min()) / (image.max() - image.min()) - 1
    masks = []
    for scale in (50, 100, 150, 250, 500, 1200):
        labels = felzenszwalb(
            image, scale=scale * area, sigma=0.8 * area**0.5, min_size=round(150 * area), channel_axis=-1
        )
        masks += [isotropic_dilation(labels == k, 5 * area**0.5) for k in range(labels.max() + 1)]
    values, taken = np.zeros(attribution.shape), np.zeros(attribution.shape, bool)
    while True:
        left = [mask & ~taken for mask in masks]
        gains = [attribution[new].mean() if new.sum() >= 50 * area else -np.inf for new in left]
        best = int(np.argmax(gains))
        if gains[best] == -np.inf:
            break
        values[left[best]], taken = gains[best], taken | masks[best]
    if not taken.all():
        values[~taken] = attribution[~taken].mean()
    return values


@pytest.fixture(scope="module")
def model():
    return Quadratic(SHAPE)


@pytest.mark.parametrize("index", [0, 2])
def test_it_is_algorithm_1(model, index):
    x = scene()
    result = last(model, x, targets_of(index), steps=8).values
    wanted = by_hand(x[0], attribution_of(model, x, index, 0, 255))
    np.testing.assert_allclose(result[0], wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())
    assert 10 < len(np.unique(result)) < 200


@pytest.mark.parametrize("name", ["tf", "caffe", "torch"])
def test_the_picture_is_cut_before_preprocessing_and_black_is_its_black(name):
    model = Quadratic(SHAPE)
    model.info = replace(model.info, input=replace(model.info.input, preprocessing=PREPROCESSINGS[name]))
    image = scene()
    x, black, white = (PREPROCESSINGS[name](some) for some in (image, 0 * image, 0 * image + 255))
    result = last(model, x, targets_of(1), steps=8).values
    wanted = by_hand(image[0], attribution_of(model, x, 1, black, white))
    difference = np.abs(result[0] - wanted) > 1e-3 * np.abs(wanted).max()
    assert difference.mean() < 0.05  # undoing preprocessing rounds, which may move a segment's edge


def test_the_map_adds_up_to_the_score_minus_the_mean_of_black_and_white(model):
    x, targets = np.concatenate([scene(), scene(seed=1)]), targets_of(0, 3)
    result = last(model, x, targets, steps=16)
    before = [model.value(np.full_like(x, grey, np.float64), targets) for grey in (0, 255)]
    wanted = model.value(x.astype(np.float64), targets) - np.mean(before, axis=0)
    np.testing.assert_allclose(result.values.sum((1, 2), dtype=np.float64), wanted, rtol=1e-4)
    assert (result.diagnostics["relative completeness gap"] < 1e-4).all()


def test_the_gap_that_is_reported_is_the_gap(model):
    x, targets = scene() / 255 - 0.5, targets_of(0, score="probability")
    model = Quadratic(SHAPE, seed=4)
    model.weights, model.curvature = model.weights * 20, model.curvature / 100
    model.info = replace(model.info, input=replace(model.info.input, preprocessing=PREPROCESSINGS["unit"]))
    result = last(model, x, targets, steps=8)
    before = [model.value(np.full_like(x, grey, np.float64), targets) for grey in (0, 1)]
    wanted = model.value(x.astype(np.float64), targets) - np.mean(before, axis=0)
    gap = result.values.sum(dtype=np.float64) - wanted[0]
    np.testing.assert_allclose(result.diagnostics["completeness gap"], gap, rtol=1e-2, atol=1e-5)
    assert abs(gap) > 1e-4  # otherwise this shows nothing


def test_scales_come_in_one_after_the_other_and_then_steps(model):
    x, targets = scene(), targets_of(0)
    estimates = list(xrai(model, x, targets, steps=16))
    result = [e.done for e in estimates]
    assert result == [2, 5, 22, 35, 36, 37, 38]  # black; white and a scale; both; both; scales alone
    assert estimates[-1].done == estimates[-1].total == 2 * 16 + 6
    first, *coarse, whole = (len(np.unique(e.values)) for e in estimates)
    assert max(coarse[:2]) < whole < first  # of one pixel each, before they are known
    assert not any(e.diagnostics for e in estimates[:3])
    assert estimates[-1].diagnostics


@pytest.mark.parametrize("steps", [8, 100])
def test_there_may_be_fewer_steps_than_scales_or_more(model, steps):
    *_, result = xrai(model, scene(), targets_of(0), steps=steps)
    assert result.done == result.total == 2 * steps + 6


def test_a_patch_that_speaks_for_the_class_is_the_first_region():
    model = Linear(SHAPE)
    model.weights[:] = 0
    model.weights[30:50, 60:90, :, 0] = 1
    image = np.full((1, *SHAPE), 60, np.float32)
    image[:, 30:50, 60:90] = 220
    result = last(model, image, targets_of(0), steps=8).values[0]
    assert result[32:48, 62:88].min() > 10 * result[:20].max()
    assert result[40, 75] == result.max()


def test_a_picture_of_one_colour_is_one_region(model):
    result = last(model, np.full((1, *SHAPE), 9, np.float32), targets_of(0), steps=8).values
    np.testing.assert_allclose(result, result.mean(), rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_pictures_may_have_any_number_of_channels(channels):
    model = Linear((24, 32, channels))
    result = last(model, scene((24, 32, channels)), targets_of(0), steps=8).values
    assert result.shape == (1, 24, 32)
    assert len(np.unique(result)) > 3


def test_regions_are_ranked_by_what_they_add():
    """Three stripes and one segment over the first two, which gains less than the best of them alone."""
    attribution = np.repeat([[3.0, 1.0, -1.0]], 4, axis=0)
    stripes = np.stack([np.broadcast_to(np.arange(3) == k, (4, 3)).ravel() for k in range(3)])
    wide = (np.arange(3) < 2)[None].repeat(4, axis=0).ravel()[None]
    regions = best_regions(attribution, [csr_array(wide), csr_array(stripes)])
    np.testing.assert_array_equal(regions, np.repeat([[0, 1, 2]], 4, axis=0))
    np.testing.assert_array_equal(mean_in_each(attribution, regions), attribution)
    only_wide = best_regions(attribution, [csr_array(wide)])
    np.testing.assert_array_equal(mean_in_each(attribution, only_wide), np.repeat([[2, 2, -1]], 4, axis=0))


def test_segments_cover_the_picture_and_overlap():
    image = scene()[0]
    members = segments(image, 250)
    assert members.shape[1] == SHAPE[0] * SHAPE[1]
    counts = np.asarray(members.sum(axis=0)).ravel()
    assert counts.min() == 1
    assert 1.1 < counts.mean() < 4


def test_volumes_are_refused():
    model = Linear((4, 5, 6, 2))
    with pytest.raises(ModelError, match="linear takes volumes: choose integrated gradients"):
        list(xrai(model, pictures(model), targets_of(0)))
