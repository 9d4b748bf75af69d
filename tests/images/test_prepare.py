import numpy as np
import pytest
from PIL import Image

from napari_saliency.core.preprocessing import InputSpec, Preprocessing
from napari_saliency.images.prepare import prepare


def spec(height=8, width=8, channels=3, preprocessing="unit", fit="crop"):
    return InputSpec((height, width), channels, Preprocessing.named(preprocessing), fit)


def values(image, channels=1, value_range=None):
    """Return the values, 0 to 255, to which those of an image are mapped, without resizing it."""
    height, width = np.shape(image)[:2]
    prepared = prepare(image, spec(height, width, channels), value_range)
    return prepared.x * 255


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
