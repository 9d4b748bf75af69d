"""Max-sensitivity: a loop over the same noise, and bounds that are known."""

import numpy as np
import pytest

from tests.analytic import Convolutional, Linear, Quadratic
from tests.checks.subjects import last, subject


def test_the_gradient_of_a_linear_model_does_not_change():
    result = last("max_sensitivity", subject(Linear()))
    assert result.figures == {"max-sensitivity": 0, "mean sensitivity": 0}
    assert (result.level, result.total) == ("good", 300)


def test_of_a_quadratic_model_it_is_the_curvature_times_the_noise():
    model = Quadratic()
    about = subject(model)
    result = last("max_sensitivity", about, radius=0.1, samples=5, seed=3)
    random = np.random.default_rng(3)
    reach = 0.1 * (about.x.max() - about.x.min())
    changes = []
    for _ in range(5):
        noise = random.uniform(-reach, reach, about.x.shape)
        changes.append(np.linalg.norm(model.curvature[..., 0] * noise[0]) / np.linalg.norm(about.values))
    assert result.figures["max-sensitivity"] == pytest.approx(max(changes), rel=1e-4)
    assert result.figures["mean sensitivity"] == pytest.approx(np.mean(changes), rel=1e-4)


def test_a_larger_radius_finds_larger_changes():
    small, large = (
        last("max_sensitivity", subject(Convolutional()), radius=radius).figures["max-sensitivity"]
        for radius in (0.01, 0.3)
    )
    assert 0 < small < large


def test_more_samples_never_find_less():
    few, many = (
        last("max_sensitivity", subject(Convolutional()), samples=samples).figures["max-sensitivity"]
        for samples in (3, 12)
    )
    assert few <= many


@pytest.mark.parametrize(("wanted", "level"), [(0.4, "good"), (0.8, "doubtful"), (1.2, "bad")])
def test_the_verdict_follows_the_largest_change(wanted, level):
    """A quadratic model's gradient is made anything at this picture; how it changes is its curvature's matter."""
    model = Quadratic()
    x = subject(model).x[0]

    def measured(size):
        model.weights[..., 0] = size - model.curvature[..., 0] * x
        return last("max_sensitivity", subject(model))

    result = measured(measured(1.0).figures["max-sensitivity"] / wanted)
    assert result.figures["max-sensitivity"] == pytest.approx(wanted, rel=1e-3)
    assert result.level == level


def test_an_empty_map_cannot_change():
    result = last("max_sensitivity", subject(Linear(), values=np.zeros((6, 8, 3))))
    assert result.level == "not applicable"
    assert "zero everywhere" in result.verdict
