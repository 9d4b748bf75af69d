import numpy as np
import pytest

from napari_saliency.maps.colormaps import colormap, error_colormap
from napari_saliency.maps.display import COLORMAPS, Display
from napari_saliency.maps.reduction import appearance, limits, reduce


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
    """Where both are opaque: colours 20 apart in CIELAB differ at a glance, 2 apart only side by side."""
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


@pytest.mark.parametrize("name", COLORMAPS)
@pytest.mark.parametrize("sign", ["absolute", "signed"])
def test_napari_shows_the_colours(image_layer, name, sign):
    display = Display(sign=sign, colormap=name)
    values = np.random.default_rng(0).normal(size=(7, 5, 3)).astype(np.float32)
    reduced = reduce(values, display)
    layer = image_layer(reduced, **appearance([reduced], display))
    expected = colormap(display)
    assert layer.colormap.name == expected["name"]
    np.testing.assert_allclose(layer.colormap.map(expected["controls"]), expected["colors"], atol=1e-5)
    np.testing.assert_allclose(layer.colormap.map([np.nan])[0, 3], 0)
    np.testing.assert_allclose(layer.contrast_limits, limits([reduced], display))
    assert layer.blending == "translucent"
