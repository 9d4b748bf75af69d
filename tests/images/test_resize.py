import numpy as np
import pytest
from PIL import Image

from napari_saliency.core.preprocessing import InputSpec, Preprocessing
from napari_saliency.images import intensity, resize
from napari_saliency.images.prepare import prepare

FITS = ("crop", "stretch", "pad")


def spec(height=8, width=8, channels=3, preprocessing="unit", fit="crop"):
    return InputSpec((height, width), channels, Preprocessing.named(preprocessing), fit)


def dot(shape, centre, sigma):
    y, x = (np.arange(n) - c for n, c in zip(shape, centre, strict=True))
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))


def centre_of_mass(weights):
    total = weights.sum()
    rows, columns = (np.arange(n) for n in weights.shape)
    return np.array([weights.sum(1) @ rows / total, weights.sum(0) @ columns / total])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("model", [(224, 224), (160, 224), (224, 160), (32, 28)])
@pytest.mark.parametrize("shape", [(300, 451), (451, 300), (90, 500), (100, 60), (1800, 1400)])
def test_a_planted_dot_is_found_where_it_was_planted(shape, model, fit):
    planted = np.array(shape) / 2 + [0.11, -0.17] * np.array(min(shape))
    picture = np.uint8(255 * dot(shape, planted, min(shape) / 15))
    prepared = prepare(picture, spec(*model, channels=1, fit=fit))
    seen_at = centre_of_mass(prepared.x[..., 0])
    result = np.array(prepared.placement.translate) + seen_at * prepared.placement.scale
    # Well below half a pixel of the map, so that a corner taken for a centre would be noticed.
    assert np.all(np.abs(result - planted) / prepared.placement.scale < 0.1)


@pytest.mark.parametrize(
    ("fit", "shape", "model", "box"),
    [
        ("crop", (300, 451), (224, 224), (0, 75, 300, 375)),
        ("crop", (451, 300), (224, 224), (75, 0, 375, 300)),
        ("crop", (300, 451), (160, 224), (0, 15, 300, 435)),
        ("stretch", (300, 451), (160, 224), (0, 0, 300, 451)),
        ("pad", (300, 600), (100, 100), (-150, 0, 450, 600)),
        ("pad", (10, 20), (8, 8), (-5, 0, 15, 20)),
    ],
)
def test_the_model_input_covers_the_expected_box(fit, shape, model, box):
    placement = prepare(np.zeros(shape, np.uint8), spec(*model, channels=1, fit=fit)).placement
    top, left, bottom, right = box
    edges = [
        (t - s / 2 + 0.5, t + (n - 0.5) * s + 0.5)
        for t, s, n in zip(placement.translate, placement.scale, model, strict=True)
    ]
    np.testing.assert_allclose(edges, [(top, bottom), (left, right)], atol=1e-9)


@pytest.mark.parametrize(
    ("fit", "shape", "model"),
    [
        ("pad", (300, 600), (100, 100)),
        ("pad", (9, 4), (8, 8)),
        ("pad", (20, 20), (8, 8)),
        ("crop", (30, 60), (9, 9)),
        ("stretch", (30, 60), (9, 9)),
    ],
)
def test_the_part_that_shows_the_picture_is_what_has_its_centres_in_it(fit, shape, model):
    prepared = prepare(np.full(shape, 255, np.uint8), spec(*model, channels=1, fit=fit))
    lines = [
        t + s * np.arange(n)
        for t, s, n in zip(prepared.placement.translate, prepared.placement.scale, model, strict=True)
    ]
    inside = [(line > -0.5) & (line < size - 0.5) for line, size in zip(lines, shape, strict=True)]
    wanted = np.logical_and.outer(*inside)
    assert (prepared.picture is None) == wanted.all()
    if prepared.picture:
        np.testing.assert_array_equal(prepared.picture.mask, wanted)
        np.testing.assert_array_equal(prepared.x[..., 0] == 1, wanted)


def test_what_is_padded_is_black_and_centred():
    x = prepare(np.full((10, 20, 3), 255, np.uint8), spec(20, 20, fit="pad")).x
    np.testing.assert_array_equal(x[5:15], 1)
    np.testing.assert_array_equal(x[:5], 0)
    np.testing.assert_array_equal(x[15:], 0)


def test_bytes_come_out_as_pillow_resizes_them(chelsea):
    usual = Image.fromarray(chelsea).crop((75, 0, 375, 300)).resize((224, 224), Image.Resampling.BILINEAR)
    prepared = prepare(chelsea, spec(224, 224, preprocessing="none"))
    assert np.abs(prepared.x - np.asarray(usual, np.float32)).max() < 0.51
    np.testing.assert_array_equal(prepared.preview, usual)


def test_strong_reduction_stays_close_to_pillows_slow_way(chelsea):
    slow = Image.fromarray(chelsea).resize((28, 18), Image.Resampling.BILINEAR)
    off = np.abs(prepare(chelsea, spec(18, 28, preprocessing="none", fit="stretch")).x - np.asarray(slow))
    assert off.max() <= 2
    assert off.mean() < 0.4


@pytest.mark.parametrize("fit", FITS)
def test_bands_leave_no_seams(chelsea, fit, monkeypatch):
    whole = {kind: prepare(chelsea.astype(kind), spec(99, 70, fit=fit)).x for kind in ("uint8", "float32")}
    monkeypatch.setattr(intensity, "_BAND", 30_000)
    for kind, expected in whole.items():
        banded = prepare(chelsea.astype(kind), spec(99, 70, fit=fit)).x
        np.testing.assert_allclose(banded, expected, atol=1.01 / 255 if kind == "uint8" else 1e-5)


@pytest.mark.parametrize("kind", ["uint16", "int64", "float16", "float32", "float64", ">u2", ">f4"])
def test_the_type_of_numbers_does_not_matter(chelsea, kind):
    expected = prepare(chelsea, spec(60, 80)).x
    np.testing.assert_allclose(prepare(chelsea.astype(kind), spec(60, 80)).x, expected, atol=1.01 / 255)


@pytest.mark.parametrize("fit", FITS)
def test_floats_for_a_model_without_preprocessing_pass_untouched(fit):
    picture = np.random.default_rng(0).normal(scale=300, size=(32, 40, 3)).astype(np.float32)
    prepared = prepare(picture, spec(32, 40, preprocessing="none", fit=fit))
    assert prepared.x.tobytes() == picture.tobytes()
    assert prepared.x.dtype == np.float32
    assert not np.shares_memory(prepared.x, picture)
    assert prepared.preview.min() == 0
    assert prepared.preview.max() == 255


def test_the_picture_is_never_shared_or_changed(chelsea):
    for picture in (chelsea[:32, :32], chelsea[:32, :32] / np.float32(255)):
        before = picture.copy()
        prepared = prepare(picture, spec(32, 32))
        assert not np.shares_memory(prepared.x, picture)
        assert not np.shares_memory(prepared.preview, picture)
        np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 300), (300, 1, 3), (2, 3)])
@pytest.mark.parametrize("fit", FITS)
def test_tiny_and_thin_pictures(shape, fit):
    prepared = prepare(np.full(shape, 200, np.uint8), spec(20, 24, fit=fit))
    assert prepared.x.shape == (20, 24, 3)
    np.testing.assert_allclose(prepared.x.max(), 200 / 255, rtol=1e-6)


def test_a_huge_picture():
    picture = np.zeros((10_000, 10_000, 3), np.uint8)
    picture[2000:3000, 7000:8000] = 255, 0, 51
    prepared = prepare(picture, spec(100, 100))
    np.testing.assert_allclose(prepared.x[25, 75], [1, 0, 0.2], atol=1e-6)
    assert np.argwhere(prepared.preview[..., 0] > 200).min(0).tolist() == [20, 70]
    assert np.argwhere(prepared.preview[..., 0] > 200).max(0).tolist() == [29, 79]


def test_models_of_any_size_get_the_picture_as_it_is(chelsea):
    prepared = prepare(chelsea, spec(None, None, preprocessing="none"))
    np.testing.assert_array_equal(prepared.x, chelsea)
    assert prepared.description == ("451×300 RGB",)


def test_models_of_any_size_get_large_pictures_smaller(monkeypatch):
    monkeypatch.setattr(resize, "MOST_PIXELS", 128_000)
    prepared = prepare(np.zeros((500, 4096), np.uint8), spec(None, None, 1))
    assert prepared.x.shape == (125, 1024, 1)
    assert prepared.placement.scale == (4.0, 4.0)
    assert prepared.description[0] == "4096×500 grey, scaled to 1024×125 (limit: 0.1 million pixels)"


def test_models_may_fix_one_side():
    assert prepare(np.zeros((50, 80), np.uint8), spec(None, 40, 1, fit="stretch")).x.shape == (50, 40, 1)
