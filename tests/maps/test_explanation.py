"""Explanations as layers, and the layers that `show` opens."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer

from napari_saliency import Display
from napari_saliency.app.show import layers
from napari_saliency.core.placement import Placement
from napari_saliency.core.types import Prediction, Target
from napari_saliency.maps.explanation import Explanation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def explanation():
    values = np.random.default_rng(0).normal(size=(6, 8, 3)).astype(np.float32)
    return Explanation(
        values=values,
        placement=Placement((2, 2.5), (1.5, 10)),
        target=Target.of_class(1),
        label="tabby",
        score=3.0,
        method="gradient",
        title="Gradient",
        options={},
        prediction=Prediction(
            np.float32([0, 1]), np.float32([0.3, 0.7]), np.log(np.float32([0.3, 0.7])), ("dog", "tabby")
        ),
        done=1,
        total=1,
        stderr=None,
        diagnostics={},
        notes=(),
        provenance={},
    )


def test_a_layer_has_the_classical_map_in_its_place(explanation):
    layer = Layer.create(*explanation.to_layer())
    np.testing.assert_array_equal(layer.data, np.abs(explanation.values).max(-1))
    assert layer.name == "tabby · Gradient"
    np.testing.assert_allclose(layer.data_to_world((0, 0)), (1.5, 10))
    np.testing.assert_allclose(layer.data_to_world((1, 1)), (3.5, 12.5))
    assert layer.metadata["saliency"] is explanation


def test_a_layer_shows_signs_symmetric_about_0(explanation):
    data, attributes, _ = explanation.to_layer(Display(reduction="sum", sign="signed"))
    np.testing.assert_allclose(data, explanation.values.sum(-1), rtol=1e-6)
    low, high = attributes["contrast_limits"]
    assert low == -high < 0


def test_the_error_is_a_layer_that_can_be_compared_with_its_map(explanation):
    sampled = replace(explanation, stderr=np.abs(explanation.values) / 4)
    layer, error = Layer.create(*sampled.to_layer()), Layer.create(*sampled.to_layer(error=True))
    np.testing.assert_allclose(error.data, layer.data / 4)
    assert error.name == "tabby · Gradient · standard error"
    assert error.contrast_limits == layer.contrast_limits
    assert (layer.colormap.name, error.colormap.name) == ("saliency heat", "saliency error cyan")
    np.testing.assert_array_equal(error.extent.world, layer.extent.world)
    with pytest.raises(ValueError, match="Gradient did not sample"):
        explanation.to_layer(error=True)


@pytest.mark.parametrize("shows", ["map", "stack"])
def test_channels_are_apart_where_that_is_what_a_method_shows_or_where_it_is_wanted(explanation, shows):
    made = replace(explanation, shows=shows)
    apart = Layer.create(*made.to_layer(Display("each")))
    assert apart.data.shape == (3, 6, 8)
    np.testing.assert_allclose(apart.data_to_world((2, 1, 1)), (2, 3.5, 12.5))
    assert Layer.create(*made.to_layer()).ndim == (3 if shows == "stack" else 2)


def test_shown_are_the_picture_and_the_maps_the_last_one_visible(explanation):
    picture = np.zeros((20, 30, 3), np.uint8)
    shown = layers(picture, (explanation, explanation), None, {"opacity": 0.8, "colormap": "jet"})
    made = [Layer.create(*layer) for layer in shown]
    assert [layer.visible for layer in made] == [True, False, True]
    assert made[0].rgb
    assert (made[2].opacity, made[2].colormap.name) == (0.8, "jet")
