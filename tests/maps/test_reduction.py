import numpy as np
import pytest

from napari_saliency.maps.display import REDUCTIONS, SIGNS, Display
from napari_saliency.maps.reduction import limits, peak, reduce, reduce_error


def raw(channels=3):
    """Make a map in which every channel, and every reduction, has both signs."""
    return np.random.default_rng(0).normal(size=(7, 5, channels)).astype(np.float32)


ONE = {
    "max": lambda channels: max(channels, key=abs),
    "sum": sum,
    "mean": lambda channels: sum(channels) / len(channels),
}


SHOWN = {
    "absolute": abs,
    "positive": lambda value: max(value, 0),
    "negative": lambda value: max(-value, 0),
    "signed": lambda value: value,
}


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("reduction", ONE)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_reduced_before_signs_are_chosen(reduction, sign, channels):
    result = reduce(raw(channels), Display(reduction, sign))
    expected = [[SHOWN[sign](ONE[reduction](pixel.tolist())) for pixel in row] for row in raw(channels)]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("space", [(7, 5), (3, 7, 5)])
def test_channels_that_are_left_apart_are_a_stack(sign, space):
    values = np.random.default_rng(0).normal(size=(*space, 4)).astype(np.float32)
    result = reduce(values, Display("each", sign), len(space))
    assert result.shape == (4, *space)
    assert result.flags.c_contiguous
    for number, channel in enumerate(result):
        np.testing.assert_array_equal(channel, reduce(values[..., number], Display("max", sign), len(space)))
    high = np.percentile(np.abs(result), 90)
    assert limits([result], Display("each", clip=90))[1] == pytest.approx(high)  # of all channels together


@pytest.mark.parametrize("values", [raw(1), raw(1)[..., 0]])
def test_a_single_channel_is_no_stack(values):
    assert reduce(values, Display("each")).shape == (7, 5)


SAMPLES = np.random.default_rng(1).normal(size=(40, 7, 5, 3)).astype(np.float32) + raw()


def standard_error(samples):
    return samples.std(axis=0, ddof=1) / np.sqrt(len(samples))


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("reduction", ["sum", "mean", "norm"])
@pytest.mark.parametrize("together", [False, True])
def test_the_error_of_a_reduced_map_is_never_understated(reduction, sign, together):
    samples = np.repeat(SAMPLES[..., :1], 3, axis=-1) if together else SAMPLES
    display = Display(reduction, sign)
    result = reduce_error(standard_error(samples), samples.mean(axis=0), display)
    if reduction == "norm":  # how far the mean of all may be off, as a vector: never nearer in length
        exact = np.sqrt((samples.var(axis=0, ddof=1) / len(samples)).sum(axis=-1))
    else:
        exact = standard_error(ONE[reduction](np.moveaxis(samples, -1, 0)))
    assert (result >= exact * (1 - 1e-5)).all()
    if together:
        np.testing.assert_allclose(result, exact, rtol=1e-5)


@pytest.mark.parametrize("sign", SIGNS)
def test_the_error_of_the_largest_channel_is_its_own(sign):
    error = standard_error(SAMPLES)
    result = reduce_error(error, raw(), Display("max", sign))
    largest = [[max(range(3), key=lambda c: abs(raw()[i, j, c])) for j in range(5)] for i in range(7)]
    np.testing.assert_array_equal(result, [[error[i, j, largest[i][j]] for j in range(5)] for i in range(7)])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("values", [raw(), raw(1), raw()[..., 0]])
def test_an_error_has_the_shape_of_what_is_shown(reduction, values):
    display = Display(reduction, "signed")
    result = reduce_error(np.abs(values), values, display)
    assert result.shape == reduce(values, display).shape
    assert result.dtype == np.float32
    if reduction == "each" or values.shape[-1:] != (3,):
        np.testing.assert_array_equal(result, np.abs(reduce(values, display)))


@pytest.mark.parametrize("sign", SIGNS)
def test_the_norm_is_that_of_the_chosen_parts(sign):
    part = abs if sign == "signed" else SHOWN[sign]
    expected = [[np.hypot.reduce([part(v) for v in pixel]) for pixel in row] for row in raw()]
    np.testing.assert_allclose(reduce(raw(), Display("norm", sign)), expected, rtol=1e-5)
    assert not Display("norm", sign).diverging


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("sign", SIGNS)
def test_maps_without_channels_have_only_a_sign(reduction, sign):
    flat = raw()[..., 0]
    result = reduce(flat, Display(reduction, sign))
    shown = SHOWN["absolute" if (reduction, sign) == ("norm", "signed") else sign]
    np.testing.assert_allclose(result, [[shown(v) for v in row] for row in flat], rtol=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("values", [raw(), raw()[..., 0], raw(1)])
def test_the_raw_map_stays_as_it_is(reduction, sign, values):
    before = values.copy()
    reduced = reduce(values, Display(reduction, sign))
    assert not np.shares_memory(reduced, values)
    reduced += 1
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_units_are_kept(reduction):
    np.testing.assert_allclose(
        reduce(raw() * 1024, Display(reduction, "absolute")),
        reduce(raw(), Display(reduction, "absolute")) * 1024,
        rtol=1e-5,
    )


def test_limits_end_at_the_percentile_of_magnitudes():
    values = np.arange(-100, 901, dtype=np.float32).reshape(7, 143)
    assert limits([np.abs(values)], Display(clip=90)) == (0, pytest.approx(np.percentile(np.abs(values), 90)))
    low, high = limits([values], Display(sign="signed", clip=90))
    assert low == -high
    assert high == pytest.approx(np.percentile(np.abs(values), 90))
    assert limits([np.abs(values)], Display(clip=100)) == (0, 900)


def test_shared_limits_are_the_largest_of_all_maps():
    maps = [np.full((4, 4), value, np.float32) for value in (2, 5, 3)]
    assert limits(maps, Display()) == (0, 2)
    assert limits(maps, Display(contrast="shared")) == (0, 5)
    assert limits(maps, Display(contrast="shared", sign="signed")) == (-5, 5)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 4)),
        np.ones((4, 4)),
        -np.ones((4, 4)),
        np.full((4, 4), np.nan),
        np.full((4, 4), np.inf),
        np.full((4, 4), 1e-44),
        np.full((4, 4), 3e38),
        np.array([[np.nan, 1], [-np.inf, 2]]),
    ],
)
def test_limits_are_finite_and_never_empty(values, sign):
    low, high = limits([values.astype(np.float32)], Display(sign=sign))
    assert np.isfinite([low, high]).all()
    assert low < high
    assert np.float32(low) < np.float32(high)


def test_a_map_with_few_values_shows_them():
    values = np.zeros((100, 100), np.float32)
    values[3, 4] = -0.25
    assert peak(values, 99.5) == 0.25


def test_auto_is_the_largest_magnitude():
    np.testing.assert_array_equal(reduce(raw(), Display()), reduce(raw(), Display("max")))
