"""DeepLIFT and LRP as methods: what they report beside the map. Rules are tested where there are networks."""

import numpy as np
import pytest

from napari_saliency import explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Epsilon, Rescale
from napari_saliency.methods import METHODS
from napari_saliency.methods._shared.baselines import empty_picture
from napari_saliency.methods.propagation import LOST
from tests.analytic import Convolutional, Linear, pictures, targets_of
from tests.rules import contributions


class Lossy(Convolutional):
    """A network whose rules lose a part of the score, as those of max pooling do."""

    kept = 1.0

    def gradient(self, x, targets, rule=None):
        difference, multipliers = super().gradient(x, targets, rule)
        return difference, multipliers * np.float32(self.kept)


def answer(name, model, x, targets, **options):
    method = METHODS[name]
    (estimate,) = method.function(model, x, targets, **method.complete(options))
    return estimate


@pytest.mark.parametrize("baseline", ["black", "white", "mean", "blur"])
def test_deep_lift_adds_up_to_the_difference_from_the_empty_picture(baseline):
    model = Convolutional()
    x, targets = pictures(model, 3), targets_of(0, 2, 3)
    result = answer("deep_lift", model, x, targets, baseline=baseline)
    start = empty_picture(model, x, baseline).astype(np.float32)
    difference = model.value(x, targets) - model.value(start, targets)
    np.testing.assert_allclose(result.values.sum((1, 2, 3)), difference, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(result.values, contributions(model, x, targets, Rescale(start))[1])
    assert [*result.notes] == [(), (), ()]


def test_a_pixel_like_the_empty_picture_gets_nothing_of_deep_lift():
    model = Convolutional()
    x = pictures(model)
    x[:, 2:5, 3:6] = empty_picture(model, x, "black")[:, 2:5, 3:6]
    values = answer("deep_lift", model, x, targets_of(1)).values
    assert not values[:, 2:5, 3:6].any()
    assert values.any()


@pytest.mark.parametrize(("kept", "said"), [(1.0, False), (0.96, False), (0.9, True)])
def test_deep_lift_says_how_much_of_the_score_its_map_misses(kept, said):
    model = Lossy()
    model.kept = kept
    result = answer("deep_lift", model, pictures(model), targets_of(1))
    (note,) = result.notes
    assert bool(note) == said
    assert said == ("10%" in "".join(note))


def test_lrp_reports_what_biases_and_epsilon_took():
    model = Convolutional()
    x, targets = pictures(model, 2), targets_of(0, 1)
    for epsilon in (0.001, 1.0):
        result = answer("lrp", model, x, targets, epsilon=epsilon)
        np.testing.assert_array_equal(result.values, contributions(model, x, targets, Epsilon(epsilon))[1])
        lost = model.value(x, targets) - result.values.sum((1, 2, 3))
        np.testing.assert_allclose(result.diagnostics[LOST], lost, rtol=1e-4, atol=1e-5)


def test_a_larger_epsilon_leaves_less():
    model = Convolutional()
    sizes = [
        np.abs(answer("lrp", model, pictures(model), targets_of(1), epsilon=epsilon).values).sum()
        for epsilon in (0.001, 0.1, 10.0)
    ]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_model_of_another_kind_says_what_is_missing(name, wrapped):
    method = {"method": "smoothgrad", "of": name} if wrapped else {"method": name}
    said = f"{METHODS[method['method']].title} needs a network whose operations are visible, and linear shows none"
    with pytest.raises(ModelError, match=said):
        explain(Linear(), np.zeros((6, 8, 3), np.uint8), 0, **method)
