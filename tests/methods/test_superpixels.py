"""LIME and Kernel SHAP, against numpy's least squares, Shapley values by their definition, and their axioms."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from napari_saliency.api.explain import explain
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS, superpixels
from napari_saliency.methods._shared.segmentation import segment
from napari_saliency.methods._shared.surrogates import Lime, Sampling, Shapley
from napari_saliency.models import score_cache
from tests.analytic import LABELS, Convolutional, Dense, Linear, Quadratic, Spatial, pictures, targets_of

BOTH = ("lime", "kernel_shap")
both = pytest.mark.parametrize("name", BOTH)


def last(name, model, x, targets, **options):
    *_, estimate = METHODS[name].function(model, x, targets, **options)
    return estimate


def labels_of(model, picture, segments):
    return segment(model.info.input.preprocessing.inverse(picture), segments)


def value_of(model, picture, labels, target, coalition):
    """Value of one picture of which a coalition of superpixels is left, the others filled with the mean."""
    mean = picture.mean(tuple(range(labels.ndim)))
    left = np.where(np.isin(labels, np.flatnonzero(coalition))[..., None], picture, mean)
    return model.value(left[None].astype(np.float64), target)[0]


def values_of(model, picture, labels, target, coalitions):
    return np.array([value_of(model, picture, labels, target, each) for each in coalitions])


@pytest.fixture
def grid(monkeypatch):
    """Superpixels that are given: some rows of blocks, so that what is true of them is known."""

    def use(shape, rows, columns):
        ys, xs = np.indices(shape)
        labels = ys * rows // shape[0] * columns + xs * columns // shape[1]
        monkeypatch.setattr(superpixels, "segment", lambda picture, segments: labels)
        return labels

    return use


# Superpixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(24, 36, 3), (24, 36, 1), (8, 12, 10, 2)])
def test_superpixels_are_connected_pieces_about_as_many_as_are_asked_for_and_always_the_same(shape):
    from skimage.measure import label

    picture = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    labels = segment(picture, 12)
    assert labels.shape == shape[:-1]
    assert set(labels.ravel()) == set(range(labels.max() + 1))
    assert 6 <= labels.max() + 1 <= 24
    assert label(labels + 1, connectivity=1).max() == labels.max() + 1
    np.testing.assert_array_equal(labels, segment(picture, 12))


def test_superpixels_follow_edges_and_a_picture_of_one_colour_has_some_too():
    picture = np.zeros((20, 30, 3), np.float32)
    picture[:, 13:] = 255
    labels = segment(picture, 8)
    assert not set(labels[:, :12].ravel()) & set(labels[:, 14:].ravel())
    assert segment(0 * picture, 8).max() > 2


@both
def test_superpixels_are_those_of_the_picture_whatever_the_models_preprocessing(name):
    """So a preprocessing that the weights undo gives the same map."""
    image = pictures(Linear((12, 16, 3)), 1) * 40 + 128
    maps = []
    for preprocessing in (PREPROCESSINGS["none"], PREPROCESSINGS["caffe"]):
        model = Linear((12, 16, 3))
        if preprocessing.bgr:
            model.weights = model.weights[:, :, ::-1]
        model.info = replace(model.info, input=replace(model.info.input, preprocessing=preprocessing))
        maps.append(last(name, model, preprocessing(image), targets_of(1), segments=8, samples=60).values)
    np.testing.assert_allclose(*maps, rtol=1e-3, atol=1e-3 * np.abs(maps[0]).max())


# LIME --------------------------------------------------------------------------------------------


def explicit_lime(model, picture, labels, target, options):
    """Eq. 1 and 2: rows times the root of their weight; the ridge is a row for each superpixel."""
    samples, width, ridge, seed = options
    count = labels.max() + 1
    coalitions = np.random.default_rng(seed).random((samples, count)) < 0.5
    values = values_of(model, picture, labels, target, coalitions)
    cosine = coalitions.sum(1) / np.sqrt(np.maximum(coalitions.sum(1), 1) * count)
    weights = np.exp(-((1 - cosine) ** 2) / width**2)
    rows = np.column_stack([coalitions, np.ones(samples)]) * np.sqrt(weights)[:, None]
    penalty = np.sqrt(ridge) * np.eye(count, count + 1)
    wanted = np.concatenate([values * np.sqrt(weights), np.zeros(count)])
    result = np.linalg.lstsq(np.concatenate([rows, penalty]), wanted, rcond=None)[0]
    predicted = coalitions @ result[:-1] + result[-1]
    mean = np.average(values, weights=weights)
    unexplained = weights @ (values - predicted) ** 2 / (weights @ (values - mean) ** 2)
    return result[:-1], 1 - unexplained


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("width", "ridge", "samples"), [(0.25, 1.0, 60), (0.5, 0.0, 100), (0.15, 0.1, 9)])
def test_lime_is_the_weighted_least_squares_fit(score, width, ridge, samples):
    model = Convolutional()
    x, weights = pictures(model, 2), np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32)
    options = {"segments": 8, "samples": samples, "kernel_width": width, "ridge": ridge, "seed": 4}
    result = last("lime", model, x, Targets(weights, score), **options)
    for n in range(2):
        labels, target = labels_of(model, x[n], 8), Targets(weights[n : n + 1], score)
        wanted, r_squared = explicit_lime(model, x[n], labels, target, (samples, width, ridge, 4))
        np.testing.assert_allclose(
            result.values[n], wanted[labels], rtol=1e-3, atol=1e-4 * np.abs(wanted).max()
        )
        assert result.diagnostics["R²"][n] == pytest.approx(r_squared, abs=1e-3)
        assert result.diagnostics["superpixels"][n] == labels.max() + 1


def test_lime_of_a_volume_is_the_same_fit():
    model = Quadratic((4, 6, 7, 2))
    x = pictures(model)
    result = last("lime", model, x, targets_of(1), segments=6, samples=50)
    labels = labels_of(model, x[0], 6)
    wanted, _ = explicit_lime(model, x[0], labels, targets_of(1), (50, 0.25, 1.0, 0))
    np.testing.assert_allclose(result.values[0], wanted[labels], rtol=1e-3, atol=1e-5)


@both
def test_a_linear_model_gives_each_superpixel_what_its_pixels_contribute(name):
    model = Linear((12, 16, 3))
    x = pictures(model)
    options = {"segments": 30, "samples": 300, **({"ridge": 0.0} if name == "lime" else {})}
    result = last(name, model, x, targets_of(2), **options)
    labels = labels_of(model, x[0], 30)
    pixels = (model.weights[..., 2] * (x[0] - x[0].mean((0, 1)))).sum(-1)
    wanted = np.bincount(labels.ravel(), pixels.ravel())
    np.testing.assert_allclose(result.values[0], wanted[labels], rtol=1e-3, atol=1e-5)
    assert result.diagnostics["relative standard error"][0] < 1e-4


# Kernel SHAP -------------------------------------------------------------------------------------


def shapley_values(model, picture, labels, target):
    """The definition: mean gain over all orders in which superpixels may be uncovered."""
    count = labels.max() + 1
    coalitions = list(product((False, True), repeat=count))
    known = dict(zip(coalitions, values_of(model, picture, labels, target, coalitions), strict=True))
    result, orders = np.zeros(count), list(permutations(range(count)))
    for order in orders:
        left = [False] * count
        for superpixel in order:
            before = known[tuple(left)]
            left[superpixel] = True
            result[superpixel] += (known[tuple(left)] - before) / len(orders)
    return result


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (1, 1), (1, 2), (1, 7)])
def test_kernel_shap_of_few_superpixels_is_their_shapley_values(score, rows, columns, grid):
    model = Convolutional()
    labels = grid((9, 13), rows, columns)
    x, weights = pictures(model, 2), np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32)
    result = last("kernel_shap", model, x, Targets(weights, score))
    for n in range(2):
        wanted = shapley_values(model, x[n], labels, Targets(weights[n : n + 1], score))
        np.testing.assert_allclose(
            result.values[n], wanted[labels], rtol=1e-3, atol=1e-4 * np.abs(wanted).max()
        )
    assert not result.stderr.any()
    assert sum(size for _, size in model.calls) == 2 * max(4, 2 ** (rows * columns))


def test_sampled_values_tend_to_the_shapley_values_and_the_error_tells_how_far_they_are(grid):
    model = Convolutional()
    labels = grid((9, 13), 2, 3)
    x = pictures(model)
    wanted, off = shapley_values(model, x[0], labels, targets_of(0, score="probability")), []
    for seed in range(30):
        result = last(
            "kernel_shap", model, x, targets_of(0, score="probability"), samples=60, seed=seed, segments=6
        )
        off.append((result.values[0] - wanted[labels]) / result.stderr[0])
    assert np.abs(off).max() < 4.5
    assert 0.5 < np.mean(np.square(off)) < 1.8


def test_sampled_values_are_the_constrained_least_squares_fit_of_both_halves_of_each_pair():
    """All coalitions with the weight one, and the two ends with a weight beyond all others."""
    model = Convolutional()
    x, target = pictures(model), targets_of(3, score="log_probability")
    drawn, draw = [], superpixels.Shapley.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(superpixels.Shapley, "draw", lambda self, n: drawn.append(draw(self, n)) or drawn[-1])
        result = last("kernel_shap", model, x, target, segments=20, samples=100)
    labels, coalitions = labels_of(model, x[0], 20), np.concatenate(drawn)
    np.testing.assert_array_equal(coalitions[::2], ~coalitions[1::2])
    assert len(coalitions) == 100
    count = labels.max() + 1
    ends = np.array([[False] * count, [True] * count])
    values = values_of(model, x[0], labels, target, np.concatenate([coalitions, ends]))
    weights = np.array([1.0] * 100 + [1e9] * 2)
    rows = np.column_stack([np.concatenate([coalitions, ends]), np.ones(102)]) * np.sqrt(weights)[:, None]
    wanted = np.linalg.lstsq(rows, values * np.sqrt(weights), rcond=None)[0][:-1]
    np.testing.assert_allclose(result.values[0], wanted[labels], rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_coalitions_are_drawn_as_often_as_the_kernel_weighs_them():
    count = 5
    fit = superpixels.Shapley(np.arange(count), superpixels.Sampling(20, 0.0, 0), 1.0)
    assert not fit.exact
    drawn = fit.draw(20000)
    sizes = np.bincount(drawn.sum(1), minlength=count + 1) / len(drawn)
    kernel = np.array([0] + [1 / (s * (count - s)) for s in range(1, count)] + [0])
    np.testing.assert_allclose(sizes, kernel / kernel.sum(), atol=0.01)
    np.testing.assert_allclose(drawn.mean(0), 0.5, atol=0.01)
    ones = drawn[drawn.sum(1) == 2]
    np.testing.assert_allclose(ones.mean(0), 2 / count, atol=0.02)


@pytest.mark.parametrize("samples", [50, 2048])
def test_values_add_up_to_the_gain_at_any_time(samples):
    model = Convolutional()
    x, targets = pictures(model, 2), targets_of(0, 1, score="probability")
    ends = [model.value(each.astype(float), targets) for each in (x, x * 0 + x.mean((1, 2), keepdims=True))]
    for estimate in METHODS["kernel_shap"].function(model, x, targets, segments=10, samples=samples):
        for n in range(2):
            labels = labels_of(model, x[n], 10)
            values = [estimate.values[n][labels == k][0] for k in range(labels.max() + 1)]
            assert np.sum(values) == pytest.approx(ends[0][n] - ends[1][n], abs=1e-5)
    assert np.abs(estimate.diagnostics["completeness gap"]).max() < 1e-5
    assert np.abs(estimate.diagnostics["relative completeness gap"]).max() < 1e-4


def test_superpixels_that_do_the_same_get_the_same(grid):
    model = Convolutional((9, 14, 3))
    labels = grid((9, 14), 1, 2)
    x = pictures(model)
    twin = Mirrored(model)
    result = last(
        "kernel_shap", twin, np.concatenate([x[:, :, :7], x[:, :, 6::-1]], 2), targets_of(0)
    ).values[0]
    assert result[labels == 0][0] == pytest.approx(result[labels == 1][0], rel=1e-5)
    assert result[0, 0] != 0


class Mirrored(Convolutional):
    """A model that says of a picture what it says of its mirror image."""

    def __init__(self, model):
        self.__dict__.update(model.__dict__)

    def logits(self, x):
        return super().logits(x) + super().logits(x[:, :, ::-1])


@both
@pytest.mark.parametrize("samples", [64, 2000])
def test_superpixels_that_the_model_does_not_look_at_get_nothing(name, samples, grid):
    labels = grid((6, 8), 2, 4)
    model = Quadratic()
    model.weights[:, 4:] = model.curvature[:, 4:] = 0
    x = pictures(model)
    options = {"ridge": 0.0} if name == "lime" else {}
    result = last(name, model, x, targets_of(1), samples=samples, **options)
    unseen = np.isin(labels, [2, 3, 6, 7])
    assert np.abs(result.values[0][unseen]).max() < 1e-5
    assert np.abs(result.values[0][~unseen]).min() > 1e-3


def test_exact_values_beside_a_picture_that_has_to_be_sampled():
    """A picture with a stripe has fewer superpixels here than one of noise."""
    model = Convolutional((12, 12, 3))
    x = pictures(model, 2)
    x[0], x[0, :, :3] = 0, 1
    counts = [labels_of(model, each, 4).max() + 1 for each in x]
    few, many = np.argsort(counts)
    samples = 2 ** int(counts[many]) - 4
    assert counts[few] < counts[many]
    together = last("kernel_shap", model, x, targets_of(0, 1), segments=4, samples=samples)
    assert not together.stderr[few].any()
    assert together.stderr[many].any()
    assert together.done == together.total == samples
    for n in range(2):
        alone = last("kernel_shap", model, x[n : n + 1], targets_of(n), segments=4, samples=samples)
        np.testing.assert_allclose(together.values[n], alone.values[0], rtol=1e-4, atol=1e-6)
        assert together.diagnostics["samples"][n] == alone.diagnostics["samples"][0]


# Errors ------------------------------------------------------------------------------------------


@both
def test_the_standard_error_is_the_scatter_of_many_runs(name, grid):
    model = Convolutional()
    labels = grid((9, 13), 3, 4)
    x, targets = pictures(model), targets_of(1, score="probability")
    runs = [last(name, model, x, targets, samples=120, seed=seed) for seed in range(150)]
    scatter = np.std([run.values for run in runs], axis=0, ddof=1)
    said = np.sqrt(np.mean([run.stderr**2 for run in runs], axis=0))
    assert 0.8 < np.sqrt((scatter**2).mean() / (said**2).mean()) < 1.25
    each = (scatter / said)[0].ravel()[np.unique(labels, return_index=True)[1]]
    assert each.min() > 0.6
    assert each.max() < 1.6


@pytest.mark.parametrize(("kind", "more"), [(Shapley, (5.0,)), (Lime, (0.25, 1.0))])
def test_the_standard_error_is_the_scatter_where_superpixels_interact(kind, more):
    """A score of three of them together: errors that take the residuals to be alike are 13 to 38 % too small."""
    result, labels = [], np.arange(20)[None]
    for seed in range(150):
        sampling = Sampling(500, 0.0, seed)
        fit = kind(labels, sampling, *more)
        coalitions = fit.draw(500 // fit.together)
        fit.add(coalitions, 5 * coalitions[:, :3].all(axis=1).astype(np.float32))
        result.append(fit.solve())
    scatter = np.std([values for values, _, _ in result], axis=0, ddof=1)
    said = np.sqrt(np.mean([errors**2 for _, errors, _ in result], axis=0))
    assert 0.95 < np.sqrt((said**2).mean() / (scatter**2).mean()) < 1.15
    assert (said / scatter).min() > 0.8


@both
def test_until_there_are_more_samples_than_superpixels_nothing_is_known(name):
    model = Linear((12, 16, 3))
    options = {"precision": 0.5, **({"ridge": 0.0} if name == "lime" else {})}
    estimates = METHODS[name].function(model, pictures(model), targets_of(0), **options)
    first = next(estimates)
    np.testing.assert_allclose(first.diagnostics["relative standard error"], 1, rtol=1e-5)
    *_, end = estimates
    assert end.done >= 2 * end.diagnostics["superpixels"][0]
    assert end.diagnostics["relative standard error"][0] < 1e-3  # of a linear model


# Another class -----------------------------------------------------------------------------------


@both
def test_other_classes_and_scores_run_the_model_zero_times(name):
    model, options = Spatial(), {"samples": 40, "segments": 12}
    x = pictures(model, 2)
    last(name, model, x, targets_of(0, 1), **options)
    known = len(model.calls)
    for index, score in product(range(len(LABELS)), SCORES):
        result = last(name, model, x, targets_of(index, index, score=score), **options).values
        assert len(model.calls) == known
        fresh = last(name, Spatial(), x, targets_of(index, index, score=score), **options).values
        np.testing.assert_array_equal(result, fresh)


@both
def test_a_class_that_needs_more_samples_runs_only_those(name):
    options = {"samples": 3000, "segments": 12, "precision": 0.02}
    x = pictures(Convolutional())
    asked = [targets_of(index, score="probability") for index in range(len(LABELS))]
    ends = 2 if name == "kernel_shap" else 0
    counts = [last(name, Convolutional(), x, target, **options).done for target in asked]
    few, many = np.argmin(counts), np.argmax(counts)
    assert counts[few] < counts[many]
    model = Convolutional()
    for index in (few, many):
        result = last(name, model, x, asked[index], **options)
        assert sum(size for _, size in model.calls) == counts[index] + ends
    np.testing.assert_array_equal(
        result.values, last(name, Convolutional(), x, asked[many], **options).values
    )


@pytest.mark.parametrize("name", ["rise", *BOTH])
def test_through_the_one_door_another_class_costs_the_prediction_alone(name):
    model = Spatial()
    model.info = replace(model.info, gives=frozenset({"scores"}))
    picture, options = pictures(model)[0], {"samples": 40}
    explain(model, picture, 0, name, **options)
    known = len(model.calls)
    assert explain(model, picture, 1, name, **options).stderr.shape == (6, 8)
    assert model.calls[known:] == [("scores", 1)]
    assert {call for call, _ in model.calls} == {"scores"}


def test_another_kernel_or_ridge_runs_the_model_zero_times():
    model = Spatial()
    x = pictures(model)
    last("lime", model, x, targets_of(0), samples=40)
    known = len(model.calls)
    for change in ({"kernel_width": 0.5}, {"ridge": 3.0}):
        result = last("lime", model, x, targets_of(0), samples=40, **change)
        np.testing.assert_array_equal(
            result.values, last("lime", Spatial(), x, targets_of(0), samples=40, **change).values
        )
    assert len(model.calls) == known


@both
@pytest.mark.parametrize("change", [{"segments": 6}, {"fill": "white"}, {"seed": 1}])
def test_what_is_asked_otherwise_runs_anew(name, change):
    model, options = Spatial(), {"samples": 40, "segments": 12}
    x = pictures(model)
    last(name, model, x, targets_of(0), **options)
    known = len(model.calls)
    result = last(name, model, x, targets_of(0), **{**options, **change})
    assert len(model.calls) > known
    fresh = last(name, Spatial(), x, targets_of(0), **{**options, **change})
    np.testing.assert_array_equal(result.values, fresh.values)


@both
def test_outputs_with_space_that_would_fill_the_memory_run_again(name, monkeypatch):
    monkeypatch.setattr(score_cache, "MOST_BYTES", 100)
    model = Dense()
    x, weights = pictures(model), np.zeros((1, 3, 4, len(LABELS)), np.float32)
    weights[0, 1, 2, 3] = 1
    maps = [last(name, model, x, Targets(weights), samples=30, segments=12).values for _ in range(2)]
    np.testing.assert_array_equal(*maps)
    assert maps[0].any()
    assert sum(size for _, size in model.calls) >= 60


# Cost --------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("batch", [1, 3])
def test_no_call_is_larger_than_the_model_wants(name, batch):
    model = Spatial(batch=batch)
    x = pictures(model)
    result = last(name, model, x, targets_of(0), samples=40, segments=12)
    assert max(size for _, size in model.calls) <= batch
    whole = last(name, Spatial(batch=64), x, targets_of(0), samples=40, segments=12)
    np.testing.assert_allclose(result.values, whole.values, rtol=1e-4, atol=1e-6)
