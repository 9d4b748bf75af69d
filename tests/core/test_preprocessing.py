import numpy as np
import pytest

from napari_saliency.core.preprocessing import PREPROCESSINGS, InputSpec, Preprocessing

PIXEL = (255.0, 51.0, 0.0)  # red, green, blue

# What keras.applications' preprocess_input makes of it in each mode, worked out from its documentation.
EXPECTED = {
    "none": PIXEL,
    "unit": (1.0, 0.2, 0.0),
    "tf": (1.0, -0.6, -1.0),
    "caffe": (0 - 103.939, 51 - 116.779, 255 - 123.68),
    "torch": ((1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0 - 0.406) / 0.225),
}


def picture():
    return np.random.default_rng(0).uniform(0, 255, (2, 5, 4, 3)).astype(np.float32)


def test_all_are_tried():
    assert EXPECTED.keys() == PREPROCESSINGS.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_named_ones_are_those_of_keras(name):
    image = np.full((4, 5, 3), PIXEL, np.float32)
    x = Preprocessing.named(name)(image)
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    np.testing.assert_allclose(x, np.broadcast_to(EXPECTED[name], x.shape), atol=2e-5)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_inverse_brings_the_picture_back(name):
    preprocessing = Preprocessing.named(name)
    back = preprocessing.inverse(preprocessing(picture()))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, picture(), atol=1e-3)


def test_one_number_serves_all_channels():
    own = Preprocessing("mine", 2.0, (10.0,), (5.0,))
    np.testing.assert_allclose(own(picture()), (picture() / 2 - 10) / 5, rtol=1e-5)
    np.testing.assert_allclose(own(picture()[..., :1]), (picture()[..., :1] / 2 - 10) / 5, rtol=1e-5)


def test_none_leaves_every_bit():
    image = np.array([[[np.float32(0.1), 1e30, -0.0]]], np.float32)
    assert Preprocessing.named("none")(image).tobytes() == image.tobytes()


def test_mean_and_deviation_are_in_the_models_own_order():
    own = Preprocessing("mine", mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0), bgr=True)
    np.testing.assert_allclose(own(np.array([[[30.0, 20.0, 10.0]]], np.float32))[0, 0], [9, 9, 27 / 4])


@pytest.mark.parametrize("wrong", [{"divisor": 0.0}, {"std": (1.0, 0.0, 1.0)}])
def test_division_by_zero_is_refused(wrong):
    with pytest.raises(ValueError, match="'mine' would divide by zero"):
        Preprocessing("mine", **wrong)


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="'vgg' is not one of none, unit, tf, caffe, torch"):
        Preprocessing.named("vgg")


def test_a_description_gives_the_formula():
    assert all(Preprocessing.named(name).description for name in PREPROCESSINGS)
    assert Preprocessing("mine", 255, (0.5, 0.25), (2,)).description == "(values / 255 - 0.5 0.25) / 2"


@pytest.mark.parametrize(
    ("spec", "description"),
    [
        (InputSpec((224, 224), 3), "224×224 RGB"),
        (InputSpec((28, 56), 1), "56×28 grey"),  # width first, as sizes of images are given
        (InputSpec((None, None), 3), "any size RGB"),
        (InputSpec((None, 40), 3), "40×any RGB"),
        (InputSpec((16, 224, 160), 1), "16×224×160 (z×y×x) grey"),  # in the order of the array
        (InputSpec((None, None, None), 1), "any size (z×y×x) grey"),
        (InputSpec((64, 64), 5), "64×64 5 channels"),
    ],
)
def test_the_description_of_an_input_gives_size_and_channels(spec, description):
    assert spec.description == description
