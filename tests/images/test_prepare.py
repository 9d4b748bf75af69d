import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image

from napari_saliency.core.preprocessing import Preprocessing
from napari_saliency.images import intensity, resize
from napari_saliency.images.prepare import as_pixels, load_image, prepare
from napari_saliency.models.info import InputSpec

FITS = ("crop", "stretch", "pad")


def spec(height=8, width=8, channels=3, preprocessing="unit", fit="crop"):
    return InputSpec((height, width), channels, Preprocessing.named(preprocessing), fit)


def values(image, channels=1, value_range=None):
    """The 0 to 255 values that a picture is taken as, nothing resized."""
    height, width = np.shape(image)[:2]
    prepared = prepare(image, spec(height, width, channels), value_range)
    return prepared.x * 255


@pytest.fixture(scope="module")
def chelsea():
    return load_image(Path(skimage.__file__).parent / "data" / "chelsea.png")


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


def test_preprocessing_is_applied_after_fitting(chelsea):
    plain = prepare(chelsea, spec(50, 50, preprocessing="none"))
    caffe = prepare(chelsea, spec(50, 50, preprocessing="caffe"))
    expected = plain.x[..., ::-1] - np.float32([103.939, 116.779, 123.68])
    np.testing.assert_allclose(caffe.x, expected, atol=1e-4)
    np.testing.assert_array_equal(caffe.preview, plain.preview)


def colours(channels, kind=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (6, 5, channels)).astype(kind)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1)])
def test_grey_is_repeated(shape):
    picture = colours(1).reshape(shape)
    result = values(picture, 3)
    np.testing.assert_allclose(result, np.repeat(picture.reshape(6, 5, 1), 3, axis=2), atol=1e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_colours_become_grey_as_in_pillow(kind):
    picture = colours(3)
    expected = np.asarray(Image.fromarray(picture).convert("L"))
    np.testing.assert_allclose(values(picture.astype(kind), 1)[..., 0], expected, atol=0.51)


@pytest.mark.parametrize(("given", "wanted"), [(4, 3), (2, 1), (4, 1), (2, 3)])
def test_alpha_is_dropped_and_said_unless_it_says_nothing(given, wanted):
    picture = colours(given)
    plain = prepare(picture[..., :-1], spec(6, 5, wanted))
    prepared = prepare(picture, spec(6, 5, wanted))
    np.testing.assert_array_equal(prepared.x, plain.x)
    assert "alpha ignored" in prepared.description
    picture[..., -1] = 255
    assert "alpha ignored" not in prepare(picture, spec(6, 5, wanted)).description


def test_alpha_does_not_count_as_a_value():
    picture = np.stack([np.full((3, 3), v, np.uint16) for v in (10, 10, 300, 65535)], axis=-1)
    picture[0, 0] = 10, 10, 10, 0
    np.testing.assert_allclose(values(picture, 3)[1, 1], [0, 0, 255])


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_as_many_channels_as_the_model_has_are_taken_as_they_are(channels):
    picture = colours(channels, np.float32)
    prepared = prepare(picture, spec(6, 5, channels))
    np.testing.assert_allclose(prepared.x * 255, picture, atol=1e-4)
    expected = picture[..., :1] if channels == 2 else picture[..., :3]
    np.testing.assert_array_equal(prepared.preview, np.broadcast_to(expected, (6, 5, 3)))
    assert "alpha ignored" not in prepared.description


def test_seen_of_a_grey_model_is_grey():
    prepared = prepare(colours(1)[..., 0], spec(6, 5, 1))
    assert prepared.preview.dtype == np.uint8
    np.testing.assert_array_equal(prepared.preview, np.repeat(colours(1), 3, axis=2))


@pytest.mark.parametrize(
    ("picture", "channels", "named"),
    [
        (np.zeros((4, 4), complex), 3, "complex128 .* bool, int or float"),
        (np.array([["a"]]), 3, "dtype <U1"),
        (np.array([[None]]), 3, "dtype object"),
        (np.zeros(4), 3, r"not \(4,\)"),
        (np.zeros((2, 4, 4, 3)), 3, r"not \(2, 4, 4, 3\): give one plane"),
        (np.float32(3), 3, r"not \(\)"),
        (np.zeros((0, 4, 3)), 3, r"\(0, 4, 3\) is empty"),
        (np.zeros((4, 4, 0)), 3, r"\(4, 4, 0\) is empty"),
        (np.zeros((3, 40, 60)), 3, r"\(3, 40, 60\) has 60 channels, .* takes 1 to 4: .* last axis"),
        (np.zeros((4, 4, 3)), 5, "3 channels, but the model takes 5"),
        (np.zeros((4, 4)), 4, "1 channels, but the model takes 4"),
    ],
)
def test_what_is_no_picture_is_refused(picture, channels, named):
    with pytest.raises(ValueError, match=named):
        prepare(picture, spec(8, 8, channels))


def test_preprocessing_for_other_channels_is_refused():
    with pytest.raises(ValueError, match=r"'torch' is for 3 channels, .* model takes 1"):
        prepare(np.zeros((4, 4)), spec(8, 8, 1, "torch"))


def test_fitting_is_told_in_words():
    def description(shape, model, fit):
        return prepare(np.zeros(shape, np.uint8), spec(*model, fit=fit)).description[0]

    assert (
        description((240, 320, 3), (224, 224), "crop")
        == "320×240 RGB, centre 240×240 cropped, scaled to 224×224"
    )
    assert description((240, 240, 4), (224, 224), "crop") == "240×240 RGBA, scaled to 224×224"
    assert description((224, 224), (224, 224), "crop") == "224×224 grey"
    assert description((240, 320, 3), (224, 224), "stretch") == "320×240 RGB, stretched to 224×224"
    assert (
        description((240, 480, 3), (100, 100), "pad")
        == "480×240 RGB, scaled to 100×50, black around it to 100×100"
    )


TURNED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNED)
def test_photos_are_turned_as_the_camera_was(tmp_path, orientation):
    stored = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(stored).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "photo.png"), TURNED[orientation](stored))


RED, BLUE = (250, 10, 20), (10, 20, 250)


def two_colours(mode):
    picture = Image.new("RGB", (3, 2), RED)
    picture.putpixel((2, 1), BLUE)
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_bytes_are_read_as_they_are(tmp_path, mode):
    two_colours(mode).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, np.asarray(two_colours(mode)))


def test_palettes_become_colours(tmp_path):
    picture = two_colours("RGB").quantize(2)
    picture.save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded.shape == (2, 3, 3)
    np.testing.assert_array_equal([loaded[0, 0], loaded[1, 2]], [RED, BLUE])
    picture.save(tmp_path / "b.png", transparency=picture.getpixel((0, 0)))
    loaded = load_image(tmp_path / "b.png")
    np.testing.assert_array_equal([loaded[0, 0], loaded[1, 2]], [(*RED, 0), (*BLUE, 255)])


def test_cmyk_becomes_colours(tmp_path):
    two_colours("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif")[0, 0], RED)


def test_one_bit_becomes_bytes(tmp_path):
    bits = np.array([[True, False, True], [False, False, True]])
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), bits * np.uint8(255))


def test_grey_with_alpha_keeps_both(tmp_path):
    Image.new("LA", (3, 2), (90, 40)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), np.full((2, 3, 4), (90, 90, 90, 40)))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_stay(tmp_path, suffix):
    stored = np.array([[0, 1, 256], [4095, 40000, 65535]], np.uint16)
    Image.fromarray(stored).save(tmp_path / f"a.{suffix}")
    loaded = load_image(str(tmp_path / f"a.{suffix}"))
    assert loaded.dtype == np.uint16
    np.testing.assert_array_equal(loaded, stored)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_wider_numbers_stay(tmp_path, kind):
    stored = np.array([[-3, 1], [70000, 5]], kind)
    Image.fromarray(stored).save(tmp_path / "a.tif")
    loaded = load_image(tmp_path / "a.tif")
    assert loaded.dtype == kind
    np.testing.assert_array_equal(loaded, stored)


def test_a_large_file_is_read_whole_and_without_a_warning(tmp_path):
    picture = Image.new("1", (9500, 9500))
    picture.putpixel((9000, 9400), 1)
    picture.save(tmp_path / "a.bmp")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = load_image(tmp_path / "a.bmp")
    assert not caught
    assert loaded.shape == (9500, 9500)
    assert loaded[9400, 9000] == 255
    assert loaded[9400].sum() == 255


def png_without_pixels(width, height):
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    start = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + header + zlib.crc32(header).to_bytes(4)
    return start + (100).to_bytes(4) + b"IDAT"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a picture", "not an image .* PNG or TIFF"),
        (b"", "not an image"),
        (png_without_pixels(30_000, 30_000), "more than 179 million pixels: crop or downscale"),
        (png_without_pixels(30, 30), "cannot be read"),
    ],
)
def test_files_that_are_no_pictures_are_named(tmp_path, content, reason):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"photo.png .*{reason}"):
        load_image(path)


def test_truncated_files_are_named(tmp_path, chelsea):
    path = tmp_path / "photo.jpg"
    Image.fromarray(chelsea).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"photo\.jpg .*truncated"):
        load_image(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.png does not exist"):
        load_image(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match=f"{tmp_path.name} .*: Is a directory"):
        load_image(tmp_path)


@pytest.mark.parametrize("mode", ["P", "L", "RGBA", "CMYK"])
def test_pillows_own_pictures_are_read_as_their_files_are(mode, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)).convert(mode)
    path = tmp_path / "picture.tif"
    picture.save(path)
    np.testing.assert_array_equal(as_pixels(picture), load_image(path))
