"""SmoothGrad, its squares and variance, of any method: against a plain loop."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Estimate
from napari_saliency.methods import METHODS, registry, wrappable
from napari_saliency.methods.sampling import normal
from tests.analytic import Linear, Quadratic, Spatial, pictures, targets_of
from tests.noise import noise

smoothgrad = METHODS["smoothgrad"].function


def loop(model, x, targets, samples, share=0.15, seed=0):
    """Gradients at noisy copies of one picture, one after the other."""
    spread = share * (x.max() - x.min())
    noisy = (x + spread * noise(seed, samples, x.shape)).astype(np.float32)
    return np.array([model.gradient(copy, targets)[1][0] for copy in noisy], np.float64)


@pytest.mark.parametrize("samples", [2, 3, 8, 21])
def test_it_is_the_mean_of_the_signed_gradients_and_its_standard_error(samples):
    model = Spatial()
    x, targets = pictures(model), targets_of(2)
    *_, estimate = smoothgrad(model, x, targets, samples=samples, noise=0.2, seed=5)
    gradients = loop(model, x, targets, samples, share=0.2, seed=5)
    np.testing.assert_allclose(estimate.values[0], gradients.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        estimate.stderr[0], gradients.std(0, ddof=1) / samples**0.5, rtol=1e-4, atol=1e-5
    )


def maps_of(of, model, x, targets, samples, share=0.15, seed=0):
    """The same with the maps of another method, each picture on its own."""
    spread = share * (x.max() - x.min())
    result = []
    for number, copy in enumerate((x + spread * noise(seed, samples, x.shape)).astype(np.float32)):
        options = METHODS[of].complete({})
        if "seed" in options:
            options["seed"] = int(np.random.default_rng((seed, number)).integers(2**31))
        *_, last = METHODS[of].function(model, copy, targets, **options)
        result.append(last.values[0])
    return np.array(result, np.float64)


@pytest.fixture
def few_samples_inside(monkeypatch):
    """A method inside another runs with its defaults, which are thousands of masks for some."""
    for name, result in METHODS.items():
        fewer = [replace(o, default=20) if o.name == "samples" else o for o in result.options]
        monkeypatch.setitem(registry._METHODS, name, replace(result, options=tuple(fewer)))


@pytest.mark.usefixtures("few_samples_inside")
@pytest.mark.parametrize("of", wrappable())
def test_pitfall_smoothgrad_means_different_things(of):
    model = Spatial()
    x, targets = pictures(model), targets_of(1)
    maps = maps_of(of, model, x, targets, 5, seed=3)
    wanted = {
        ("smoothgrad", False): maps.mean(0),
        ("smoothgrad", True): np.abs(maps).mean(0),
        ("smoothgrad_squared", False): (maps**2).mean(0),
        ("vargrad", False): maps.var(0, ddof=1),
    }
    for (name, absolute), values in wanted.items():
        options = {"absolute": True} if absolute else {}
        *_, estimate = METHODS[name].function(model, x, targets, of=of, samples=5, seed=3, **options)
        assert (estimate.done, estimate.total) == (estimate.total, estimate.done)
        np.testing.assert_allclose(estimate.values[0], values, rtol=1e-3, atol=1e-5 * np.abs(values).max())


def test_it_shows_something_and_counts_while_a_long_method_inside_is_under_way():
    model = Spatial(batch=4)
    estimates = list(smoothgrad(model, pictures(model), targets_of(0), of="integrated_gradients", samples=4))
    done = [estimate.done for estimate in estimates]
    assert done == sorted(set(done))
    assert len(done) > 4 * 4
    assert done[-1] == estimates[-1].total == 4 * 64
    assert all(estimate.values.any() for estimate in estimates)


def test_the_layer_is_that_of_the_class_activation_map_inside():
    model = Spatial()
    x, targets = pictures(model), targets_of(0)
    with pytest.raises(ModelError, match="nonsense"):
        list(smoothgrad(model, x, targets, of="grad_cam", layer="nonsense"))


def test_a_layer_where_none_is_looked_at_is_told():
    model = Spatial()
    x, targets = pictures(model), targets_of(0)
    for name in ("smoothgrad", "smoothgrad_squared", "vargrad"):
        running = METHODS[name].function(model, x, targets, layer="blocks")
        with pytest.raises(
            ValueError, match=r"layer='blocks' has no effect: Gradient \(gradient\) does not look at a layer"
        ):
            next(running)


def test_a_method_that_wraps_others_cannot_be_wrapped():
    assert not {"smoothgrad", "smoothgrad_squared", "vargrad"} & set(wrappable())
    with pytest.raises(ValueError, match="of='smoothgrad' is not one of 'gradient'"):
        METHODS["smoothgrad"].complete({"of": "smoothgrad"})


def test_the_standard_error_of_a_variance_is_the_scatter_of_many_runs():
    model = Quadratic((2, 2, 1))
    x, targets = pictures(model), targets_of(0)
    runs = [
        list(METHODS["vargrad"].function(model, x, targets, samples=40, seed=seed))[-1] for seed in range(400)
    ]
    scatter = np.std([run.values for run in runs], axis=0, ddof=1)
    np.testing.assert_allclose(scatter, np.mean([run.stderr for run in runs], axis=0), rtol=0.15)


def test_every_estimate_is_the_mean_of_the_samples_so_far():
    model = Spatial(batch=4)
    x, targets = pictures(model), targets_of(0)
    gradients = loop(model, x, targets, 11)
    for estimate in smoothgrad(model, x, targets, samples=11):
        np.testing.assert_allclose(
            estimate.values[0], gradients[: estimate.done].mean(0), rtol=1e-4, atol=1e-5
        )


def test_the_first_estimate_comes_early():
    model = Spatial()
    first = next(smoothgrad(model, pictures(model), targets_of(0)))
    assert first.done <= 2
    assert (first.stderr > 0).any()


def test_without_noise_it_is_the_gradient():
    model = Spatial()
    x, targets = pictures(model), targets_of(0)
    *_, estimate = smoothgrad(model, x, targets, samples=5, noise=0.0)
    np.testing.assert_allclose(estimate.values, model.gradient(x, targets)[1], rtol=1e-6)
    assert not estimate.stderr.any()


def test_noise_is_a_share_of_each_pictures_own_range():
    model = Quadratic()
    x = pictures(model, 2)
    x[1] *= 100
    *_, estimate = smoothgrad(model, x, targets_of(0, 0), samples=400)
    # The derivative is weights + curvature · x: its spread is the noise's times the curvature.
    spread = 0.15 * np.ptp(x, axis=(1, 2, 3)) / 20
    ratio = estimate.stderr.mean((1, 2, 3)) / np.abs(model.curvature[..., 0]).mean()
    np.testing.assert_allclose(ratio, spread, rtol=0.05)


def test_the_standard_error_is_that_of_the_mean():
    """Of many runs with other seeds, the means scatter as the standard error says."""
    model = Quadratic((2, 2, 1))
    x, targets = pictures(model), targets_of(0)
    runs = [list(smoothgrad(model, x, targets, samples=16, seed=seed))[-1] for seed in range(300)]
    scatter = np.std([run.values for run in runs], axis=0, ddof=1)
    np.testing.assert_allclose(scatter, np.mean([run.stderr for run in runs], axis=0), rtol=0.15)


@pytest.mark.usefixtures("few_samples_inside")
@pytest.mark.parametrize("of", ["rise", "lime", "kernel_shap"])
def test_the_standard_error_counts_the_chance_of_the_method_inside(of):
    """Without noise there is no other: the means of many runs scatter by what each says."""
    model = Linear((4, 4, 1))
    x, targets = pictures(model), targets_of(0)
    runs = [
        list(smoothgrad(model, x, targets, of=of, samples=8, noise=0.0, seed=seed))[-1] for seed in range(40)
    ]
    scatter = np.std([run.values for run in runs], axis=0, ddof=1)
    said = np.sqrt(np.mean([run.stderr**2 for run in runs], axis=0))
    assert scatter.min() > 0
    assert np.mean(said) == pytest.approx(np.mean(scatter), rel=0.2)


@pytest.mark.usefixtures("few_samples_inside")
@pytest.mark.parametrize("of", ["rise", "lime", "kernel_shap"])
def test_pictures_do_not_depend_on_their_company_whatever_the_method_inside_draws(of):
    model = Spatial()
    x = pictures(model, 2)
    *_, both = smoothgrad(model, x, targets_of(0, 1), of=of, samples=4)
    for n in range(2):
        *_, alone = smoothgrad(model, x[n : n + 1], targets_of(n), of=of, samples=4)
        np.testing.assert_allclose(both.values[n], alone.values[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(both.stderr[n], alone.stderr[0], rtol=1e-3, atol=1e-5)


def noted(model, x, targets):
    """Takes three steps of the second copy on; says something of each picture, once or again."""
    total = 2 + (x[0, 0, 0, 0] > 0)
    for done in range(1, total):
        yield Estimate(x, done, total)
    text = [("always", f"of {int(weights.argmax())}") for weights in targets.weights]
    yield Estimate(x, total, total, notes=text)


@pytest.mark.parametrize("name", ["smoothgrad", "smoothgrad_squared", "vargrad"])
def test_what_the_method_inside_says_is_passed_on_once(name, monkeypatch):
    result = registry.Method("noted", "Noted", noted, "scores", "nobody", ())
    monkeypatch.setitem(registry._METHODS, "noted", result)
    model = Spatial()
    *_, last = METHODS[name].function(model, pictures(model, 2), targets_of(2, 3), of="noted", samples=5)
    assert last.notes == [("always", "of 2"), ("always", "of 3")]


def test_progress_ends_where_it_said_although_noise_changes_how_long_the_method_inside_takes(monkeypatch):
    result = registry.Method("noted", "Noted", noted, "scores", "nobody", ())
    monkeypatch.setitem(registry._METHODS, "noted", result)
    model = Spatial(batch=1)
    estimates = list(smoothgrad(model, pictures(model), targets_of(0), of="noted", samples=9, noise=1.0))
    done = [estimate.done for estimate in estimates]
    assert done == sorted(set(done))
    assert {estimate.total for estimate in estimates} == {done[-1]}


@pytest.mark.parametrize("of", ["occlusion", "integrated_gradients"])
def test_a_variance_is_one_from_the_first_picture_on(of):
    model = Spatial()
    x, targets = pictures(model), targets_of(0)
    estimates = list(METHODS["vargrad"].function(model, x, targets, of=of, samples=6))
    assert len(estimates) > 6
    assert all((estimate.values >= 0).all() for estimate in estimates)


def test_a_picture_of_one_value_has_no_range_and_its_map_is_the_gradient():
    model = Spatial()
    x, targets = np.ones((1, *model.shape), np.float32), targets_of(0)
    *_, estimate = smoothgrad(model, x, targets, samples=4)
    np.testing.assert_allclose(estimate.values, model.gradient(x, targets)[1], rtol=1e-6)


# Noise: standard normal, independent, and the same for the same seed.


@pytest.mark.parametrize("shape", [(1,), (4, 6, 3), (5, 7, 3)])
def test_noise_is_box_and_mullers_transform(shape):
    random = np.random.default_rng(3)
    result = [normal(random, shape) for _ in range(4)]
    assert {each.dtype for each in result} == {np.dtype(np.float32)}
    np.testing.assert_allclose(result, noise(3, 4, shape), rtol=1e-5, atol=1e-6)


def test_noise_is_normal_and_what_is_drawn_in_pairs_is_independent():
    drawn = normal(np.random.default_rng(0), (200_000,))
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    first, second = drawn[:100_000], drawn[100_000:]
    for power in (1, 2):
        assert abs(stats.spearmanr(first**power, second**power).statistic) < 0.01


def test_noise_is_finite_at_the_ends_of_the_uniform_numbers():
    class Ends:
        def random(self, shape, dtype):
            return np.array([[0, 1 - 2**-24], [0, 1 - 2**-24]], dtype)

    drawn = normal(Ends(), (4,))
    assert np.isfinite(drawn).all()
    assert np.abs(drawn).max() == pytest.approx(np.sqrt(2 * 24 * np.log(2)), rel=1e-3)


def test_of_a_linear_model_it_is_the_weight():
    model = Linear()
    x = pictures(model)
    *_, estimate = smoothgrad(model, x, targets_of(2), samples=20)
    np.testing.assert_allclose(estimate.values[0], model.weights[..., 2], rtol=1e-5, atol=2e-6)
