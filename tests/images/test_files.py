import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from napari_saliency.images.files import as_pixels, load_image

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
