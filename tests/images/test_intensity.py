import re

import numpy as np
import pytest

from napari_saliency.core.preprocessing import InputSpec, Preprocessing
from napari_saliency.images.prepare import display_range, prepare


def prepared_as_it_is(picture, channels=1, preprocessing="unit", value_range=None):
    """Prepare an image without resizing it."""
    spec = InputSpec(picture.shape[:2], channels, Preprocessing.named(preprocessing))
    return prepare(picture, spec, value_range)


def values(picture, value_range=None):
    """Return the values, 0 to 255, to which those of a grey image are mapped."""
    return prepared_as_it_is(picture, 1, "unit", value_range).x[..., 0] * 255


BYTES = np.array([[0, 1, 128, 255]])


@pytest.mark.parametrize(
    ("picture", "value_range", "expected"),
    [
        (BYTES.astype(np.uint8), None, BYTES),
        (BYTES.astype(np.int32), None, BYTES),
        (BYTES.astype(np.float64), None, BYTES),
        (BYTES.astype(np.float32) / 255, None, BYTES),
        (np.array([[False, True]]), None, [[0, 255]]),
        (np.array([[0, 1]], np.uint16), None, [[0, 1]]),
        (np.array([[100, 200, 300]], np.uint16), None, [[0, 127.5, 255]]),
        (np.array([[-128, 127]], np.int8), None, [[0, 255]]),
        (np.array([[-(2**63), 2**63 - 1]], np.int64), None, [[0, 255]]),
        (np.array([[-1.0, 0.0, 1.0]]), None, [[0, 127.5, 255]]),
        (np.array([[0.0, 1e-42]], np.float32), (0, 1e-42), [[0, 255]]),
        (np.full((2, 2), 1000, np.uint16), None, np.zeros((2, 2))),
        (np.array([[0, 100, 200]], np.uint8), (50, 150), [[0, 127.5, 255]]),
        (np.array([[0, 300]], np.uint16), (0, 255), [[0, 255]]),
        (np.array([[False, True]]), (0, 1), [[0, 255]]),
        (np.array([[0, 4095, 2047.5]], np.float32), (0, 4095), [[0, 255, 127.5]]),
    ],
)
def test_values_become_0_to_255(picture, value_range, expected):
    np.testing.assert_allclose(values(picture, value_range), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("picture", "value_range", "expected"),
    [
        ([0, 0.5, np.nan, np.inf, -np.inf], None, [0, 127.5, 0, 255, 0]),
        ([0, 100, np.nan, np.inf, -np.inf], None, [0, 100, 0, 255, 0]),
        ([-1, 3, np.nan, np.inf, -np.inf], None, [0, 255, 0, 255, 0]),
        ([-1, 3, np.nan, np.inf, -np.inf], (1, 5), [0, 127.5, 0, 255, 0]),
        ([-1, 3, 1e300, 1, 1], None, [0, 255, 255, 127.5, 127.5]),
        ([np.nan, np.nan, np.inf, np.nan, np.nan], None, [0, 0, 255, 0, 0]),
    ],
)
def test_nan_are_black_and_infinite_values_clipped(picture, value_range, expected):
    for kind in ("float64", "float32") if max(picture) < 1e300 or np.isinf(max(picture)) else ("float64",):
        result = values(np.array([picture], kind), value_range)[0]
        np.testing.assert_allclose(result, expected, atol=1e-3)


def test_untouched_floats_are_finite_too():
    picture = np.array([[-3, np.nan, np.inf, 7]], np.float32)
    prepared = prepared_as_it_is(picture, 1, "none")
    np.testing.assert_array_equal(prepared.x[0, :, 0], [-3, -3, 7, 7])
    picture = np.array([[3, np.nan]], np.float16)
    np.testing.assert_array_equal(prepared_as_it_is(picture, 1, "none").x[0, :, 0], [3, 0])


def test_the_given_range_goes_before_untouched_floats():
    x = prepared_as_it_is(np.array([[0, 0.5, 1]], np.float32), 1, "none", (0, 1)).x
    np.testing.assert_allclose(x[0, :, 0], [0, 127.5, 255])


@pytest.mark.parametrize(
    ("picture", "preprocessing", "named"),
    [
        (np.zeros((2, 2), np.uint8), "unit", ()),
        (np.array([[0, 4095]], np.uint16), "unit", ("0 to 4095 .*black.*white",)),
        (np.array([[7, 7]], np.float32) * 100, "unit", ("all .*700.*black",)),
        (np.array([[0, 0.5]]), "unit", ("0 to 1 .*black.*white",)),
        (np.array([[0, 9.5]]), "unit", ("0 to 255 unchanged",)),
        (np.array([[-1, 1.5]]), "none", ("-1 to 1.5 .*unchanged",)),
        (np.full((1, 3), np.nan), "unit", ("no value is .*finite", "3 of 3 pixels NaN.*black")),
        (np.full((1, 3), np.nan), "none", ("no value is .*finite", "3 of 3 pixels NaN.* 0$")),
        (
            np.array([[np.nan, np.inf, 0, 1]]),
            "unit",
            (
                "0 to 1 .*black.*white",
                "1 of 4 pixels NaN.*black",
                "1 of 4 pixels infinite.*smallest or largest",
            ),
        ),
    ],
)
def test_the_description_names_the_range_and_values_that_are_not_finite(picture, preprocessing, named):
    description = prepared_as_it_is(picture, 1, preprocessing).description[1:]
    assert len(description) == len(named)
    for phrase, pattern in zip(description, named, strict=True):
        assert re.search(pattern, phrase), phrase


@pytest.mark.parametrize("wrong", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_an_empty_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"value_range .* two finite numbers"):
        prepared_as_it_is(np.zeros((4, 4), np.uint8), value_range=wrong)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.array([[0, 255]], np.uint8), None),
        (np.array([[True, False]]), None),
        (np.array([[0, 0.3]]), (0, 1)),
        (np.array([[0, np.nan, 0.3]], np.float32), (0, 1)),
        (np.array([[0, 1.5]]), (0, 255)),
        (np.array([[[0, 1.5, 200.0]]]), (0, 255)),
        (np.array([[0, 256.0]]), (10, 90)),
        (np.array([[-0.1, 0.5]]), (10, 90)),
        (np.array([[0, 1]], np.uint16), (10, 90)),
    ],
)
def test_layers_mean_what_they_show(picture, expected):
    assert display_range(picture, (10, 90)) == expected


def test_empty_contrast_limits_are_not_used():
    assert display_range(np.array([[0, 1]], np.uint16), (5, 5)) is None
