import warnings

import numpy as np
import pytest

from napari_saliency.core.placement import Placement
from napari_saliency.maps.colormaps import colormap, error_colormap
from napari_saliency.maps.reduction import (
    COLORMAPS,
    REDUCTIONS,
    SIGNS,
    Display,
    appearance,
    limits,
    peak,
    reduce,
    reduce_error,
)
from napari_saliency.maps.transforms import compose, stacked


def raw(channels=3):
    """A map in which every channel, and every reduction, has both signs."""
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


def test_what_is_natural_follows_from_what_a_method_shows():
    assert Display().of("map") == Display("max")
    assert Display(sign="signed").of("stack") == Display("each", "signed")
    assert Display("sum").of("stack") == Display("sum")
    np.testing.assert_array_equal(reduce(raw(), Display()), reduce(raw(), Display("max")))


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


@pytest.mark.parametrize("name", COLORMAPS)
def test_colours_are_transparent_at_0_and_opaque_at_the_top(name):
    alpha = colormap(Display(colormap=name))["colors"][:, 3]
    assert alpha[0] == 0
    assert alpha[-1] == 1
    assert np.all(np.diff(alpha) >= 0)
    assert np.abs(np.diff(alpha, 2)).max() < 0.001  # no edges, which would look like structure


@pytest.mark.parametrize("name", COLORMAPS)
def test_weak_noise_does_not_veil_the_picture(name):
    colours = colormap(Display(colormap=name))
    assert np.interp(0.1, colours["controls"], colours["colors"][:, 3]) < 0.06
    assert np.interp(0.5, colours["controls"], colours["colors"][:, 3]) > 0.5


@pytest.mark.parametrize("name", COLORMAPS)
def test_signed_colours_are_symmetric_about_transparent_0(name):
    colours = colormap(Display(sign="signed", colormap=name))
    middle = len(colours["controls"]) // 2
    assert colours["controls"][middle] == 0.5
    assert colours["colors"][middle, 3] == 0
    np.testing.assert_allclose(colours["colors"][:, 3], colours["colors"][::-1, 3], atol=1e-6)
    negative, positive = colours["colors"][0, :3], colours["colors"][-1, :3]
    assert np.abs(negative - positive).max() > 0.3


def test_defaults_suit_what_is_shown():
    assert colormap(Display())["name"] == "saliency heat"
    assert colormap(Display(sign="signed"))["name"] == "saliency diverging ±"
    assert colormap(Display("norm", "signed"))["name"] == "saliency heat"


def test_different_colours_have_different_names():
    made = [colormap(Display(sign=sign, colormap=n)) for n in COLORMAPS for sign in ("absolute", "signed")]
    assert len({colours["name"] for colours in made}) == len(made)


@pytest.mark.parametrize("name", COLORMAPS)
@pytest.mark.parametrize("sign", ["absolute", "signed"])
def test_an_errors_colours_are_far_from_those_of_its_map(name, sign):
    """Wherever both cover the picture: 20 in CIELAB is told apart at a glance, 2 side by side."""
    from skimage.color import rgb2lab

    display = Display(sign=sign, colormap=name)
    shown = colormap(display)
    error = error_colormap(display, shown["name"])
    dense = [rgb2lab(made["colors"][made["colors"][:, 3] > 0.5][None, :, :3])[0] for made in (shown, error)]
    assert np.linalg.norm(dense[0][:, None] - dense[1], axis=-1).min() > 20


@pytest.mark.parametrize("name", COLORMAPS)
def test_an_errors_colours_are_transparent_at_0_and_alike_on_both_sides_of_it(name):
    display = Display(sign="signed", colormap=name)
    colours = error_colormap(display, "saliency " + name)["colors"]
    np.testing.assert_allclose(colours, colours[::-1], atol=1e-6)
    assert colours[64, 3] == 0
    assert colours[0, 3] == colours[-1, 3] == 1
    one_sided = error_colormap(Display(colormap=name), "saliency " + name)["colors"]
    assert (one_sided[0, 3], one_sided[-1, 3]) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"reduction": "min"}, "reduction 'min' is not one of auto, max, sum, mean, norm, each"),
        ({"sign": "both"}, "sign 'both' is not one of"),
        ({"contrast": "all"}, "contrast 'all' is not one of per class, shared"),
        ({"colormap": "viridis"}, "colormap 'viridis' is not one of None, heat"),
        ({"clip": 101}, "clip 101 must be a percentile between 50 and 100"),
        ({"clip": float("nan")}, "clip nan"),
    ],
)
def test_choices_that_do_not_exist_are_refused(wrong, named):
    with pytest.raises(ValueError, match=named):
        Display(**wrong)


@pytest.fixture(scope="module")
def image_layer():
    """napari's Image layer; it needs no window."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # napari's own imports
        from napari.layers import Image

    def make(data, **options):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Non-orthogonal slicing")
            return Image(data, **options)

    return make


@pytest.mark.parametrize("name", COLORMAPS)
@pytest.mark.parametrize("sign", ["absolute", "signed"])
def test_napari_shows_the_colours(image_layer, name, sign):
    display = Display(sign=sign, colormap=name)
    reduced = reduce(raw(), display)
    layer = image_layer(reduced, **appearance([reduced], display))
    expected = colormap(display)
    assert layer.colormap.name == expected["name"]
    np.testing.assert_allclose(layer.colormap.map(expected["controls"]), expected["colors"], atol=1e-5)
    np.testing.assert_allclose(layer.colormap.map([np.nan])[0, 3], 0)
    np.testing.assert_allclose(layer.contrast_limits, limits([reduced], display))
    assert layer.blending == "translucent"


AFFINE = np.array([[0.9, 0.2, 5], [-0.1, 1.1, -3], [0, 0, 1]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": (2, 0.5), "translate": (10, -20)},
        {"scale": (-2, 3), "rotate": 30},
        {"scale": (2, 3), "shear": [0.4]},
        {"scale": (2, 3), "shear": np.array([[1, 0], [0.4, 1]]), "rotate": 15},
        {"scale": (2, 3), "translate": (7, 1), "rotate": 110, "shear": [-0.3], "affine": AFFINE},
    ],
)
def test_a_map_lies_on_its_picture_however_that_is_transformed(image_layer, options):
    source = image_layer(np.zeros((40, 60)), units="um", **options)
    placement = Placement((40 / 7, 60 / 9), (2.25, -3.5))
    layer = image_layer(np.zeros((7, 9)), **compose(placement, source))
    for pixel in ((0, 0), (6, 8), (2, 5)):
        in_picture = np.array(placement.translate) + np.array(placement.scale) * pixel
        np.testing.assert_allclose(layer.data_to_world(pixel), source.data_to_world(in_picture), atol=1e-6)
    assert layer.units == source.units
    assert layer.affine is not source.affine  # napari would change both at once


@pytest.mark.parametrize(("axes", "steps"), [((1, 2), [(0, 3)]), ((0, 2), [(1, 4)]), ((-2, -1), [])])
def test_a_map_is_pinned_to_its_plane_of_a_stack(image_layer, axes, steps):
    source = image_layer(
        np.zeros((6, 40, 60)),
        scale=(5, 2, 3),
        translate=(1, 2, 3),
        rotate=(10, 20, 30),
        shear=(0.1, 0.2, 0.3),
    )
    placement = Placement((2.5, 4), (1, 2))
    data = np.zeros([1 if axis in dict(steps) else 8 for axis in range(3)])
    layer = image_layer(data, **compose(placement, source, axes, steps))
    in_picture = np.zeros(3)
    in_picture[list(axes)] = [1 + 2.5 * 4, 2 + 4 * 6]
    pixel = np.zeros(3)
    pixel[list(axes)] = [4, 6]
    for axis, index in steps:
        in_picture[axis] = index
    np.testing.assert_allclose(layer.data_to_world(pixel), source.data_to_world(in_picture), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": (-2, 3), "rotate": 30, "units": "um"},
        {"scale": (2, 3), "shear": [0.4], "translate": (7, 1)},
        {"scale": (2, 3), "shear": np.array([[1, 0], [0.4, 1]]), "affine": AFFINE},
    ],
)
def test_each_channel_of_a_stack_lies_on_the_picture(image_layer, options):
    source = image_layer(np.zeros((40, 60)), **options)
    place = compose(Placement((40 / 7, 60 / 9), (2.25, -3.5)), source)
    flat, deep = image_layer(np.zeros((7, 9)), **place), image_layer(np.zeros((5, 7, 9)), **stacked(place))
    for channel in (0, 4):
        for pixel in ((0, 0), (6, 8), (2, 5)):
            result = deep.data_to_world((channel, *pixel))
            np.testing.assert_allclose(result, (channel, *flat.data_to_world(pixel)), atol=1e-6)
    assert deep.units[1:] == source.units
    kept = {name: getattr(deep, name) for name in ("scale", "translate", "rotate", "shear", "units")}
    for name, value in kept.items():
        assert np.array_equal(value, stacked(place)[name]), name  # so that nothing is set again
