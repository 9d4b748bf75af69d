"""Occlusion, against a plain loop, a linear model in closed form and its axioms."""

import re
from collections import deque
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from napari_saliency.api.explain import explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.preprocessing import PREPROCESSINGS
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.methods import occlusion as module
from napari_saliency.models import Model, score_cache
from tests.analytic import LABELS, Linear, Quadratic, Spatial, pictures, targets_of
from tests.memory import most_memory

occlusion = METHODS["occlusion"].function
FILLS = ("black", "white", "mean", "blur")


def last(model, x, targets, **options):
    *_, estimate = occlusion(model, x, targets, **options)
    return estimate.values


def occlusion_options(**given):
    return METHODS["occlusion"].complete(given)


def starts(side, window, stride):
    """First pixels of the windows along one side, the last of which ends where the side ends."""
    result, window = [0], min(window, side)
    while result[-1] + window < side:
        result.append(min(result[-1] + stride, side - window))
    return result


def empty(model, picture, fill):
    if fill == "mean":
        return np.broadcast_to(picture.mean(tuple(range(picture.ndim - 1))), picture.shape)
    if fill == "blur":
        return blurred(picture)
    grey = np.empty((1, *picture.shape), np.float32)
    grey[...] = {"black": 0, "white": 255}.get(fill, fill)
    return model.info.input.preprocessing(grey)[0]


def blurred(picture):
    """Weighted mean of all pixels, for one pixel after the other."""
    height, width, _ = picture.shape
    sigma = max(height, width) / 20
    rows, columns = np.mgrid[:height, :width]
    result = np.zeros_like(picture)
    for y, x in product(range(height), range(width)):
        weights = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))
        result[y, x] = np.tensordot(weights, picture, 2) / weights.sum()
    return result


def loop(model, picture, weights, score, options):
    """One window after the other, one pixel after the other."""
    window, stride, fill = options
    space = picture.shape[:-1]
    window, stride = (n if isinstance(n, tuple) else (n,) * len(space) for n in (window, stride))
    targets = Targets(weights[None], score)
    whole, cover = model.value(picture[None].astype(np.float64), targets)[0], empty(model, picture, fill)
    falls = {place: [] for place in product(*map(range, space))}
    for corner in product(*map(starts, space, window, stride)):
        masked = picture.copy()
        viewed_layer = [
            place
            for place in falls
            if all(first <= n < first + side for n, first, side in zip(place, corner, window, strict=True))
        ]
        for place in viewed_layer:
            masked[place] = cover[place]
        fall = whole - model.value(masked[None].astype(np.float64), targets)[0]
        for place in viewed_layer:
            falls[place].append(fall)
    assert all(falls.values()), "a pixel that no window covers"
    return np.reshape([np.mean(fall) for fall in falls.values()], space)


def preprocessed(model, name):
    spec = replace(model.info.input, preprocessing=PREPROCESSINGS[name])
    model.info = replace(model.info, input=spec)
    return model


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("window", "stride"), [(1, 1), (2, 1), (2, 2), (3, 2), (4, 3), (5, 5), (7, 4), (99, 9)]
)
def test_it_is_the_mean_fall_of_the_score_over_all_windows_that_cover_a_pixel(window, stride, score):
    model = Spatial()
    x, weights = pictures(model, 2), np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32)
    result = last(model, x, Targets(weights, score), window=window, stride=stride)
    wanted = [loop(model, *pair, score, (window, stride, "mean")) for pair in zip(x, weights, strict=True)]
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("score", SCORES)
def test_probabilities_are_those_of_the_models_ending(activation, score):
    model = Spatial(activation=activation)
    x, weights = pictures(model), np.array([[1, 0, 0.5, 0]], np.float32)
    wanted = loop(model, x[0], weights[0], score, (2, 1, "mean"))
    np.testing.assert_allclose(
        last(model, x, Targets(weights, score), window=2, stride=1)[0], wanted, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["none", "tf", "caffe"])
@pytest.mark.parametrize("fill", FILLS)
def test_pitfall_baseline_black_in_preprocessed_space(fill, name):
    model = preprocessed(Spatial((12, 20, 3)), name)
    x, weights = pictures(model) * 50, np.eye(4, dtype=np.float32)[:1]
    wanted = loop(model, x[0], weights[0], "logit", (5, 3, fill))
    result = last(model, x, Targets(weights), window=5, stride=3, fill=fill)[0]
    np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("shape", "window", "stride", "fill"),
    [
        ((6, 8, 3), (2, 5), (1, 3), 124.0),
        ((6, 8, 3), (1, 8), 1, (124.0, 116.5, 104.0)),
        ((6, 8, 3), 3, (3, 2), 0.0),
        ((6, 8, 3), (9, 2), (5, 2), "mean"),
        ((4, 5, 6, 2), (1, 2, 3), (1, 2, 2), (30.0, 200.0)),
        ((4, 5, 6, 2), (2, 5, 4), (2, 3, 1), 64.0),
        ((4, 5, 6, 2), (4, 1, 2), 1, "mean"),
    ],
)
def test_windows_and_strides_have_a_side_for_each_axis_and_a_fill_any_number(
    shape, window, stride, fill, score
):
    model = preprocessed(Quadratic(shape), "unit")
    x, weights = pictures(model, 2), np.array([[1, 0, 0, 0], [0, 2, -1, 0]], np.float32)
    options = occlusion_options(window=window, stride=stride, fill=fill)
    result = last(model, x, Targets(weights, score), **options)
    wanted = [loop(model, *pair, score, (window, stride, fill)) for pair in zip(x, weights, strict=True)]
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_a_number_is_a_grey_of_the_picture_before_preprocessing_in_its_order_of_channels(name):
    model = preprocessed(Spatial(), name)
    x = pictures(model)
    x[:, :3] = PREPROCESSINGS[name](np.broadcast_to(np.float32([124, 116, 104]), (1, 3, 8, 3)))
    result = last(model, x, targets_of(0), window=3, stride=3, fill=(124.0, 116.0, 104.0))[0]
    assert not result[:3].any()
    assert result[3:].all()


@pytest.mark.parametrize(("number", "fill"), [(0, "black"), (255, "white"), ((255, 255, 255), "white")])
def test_black_and_white_are_numbers_too(number, fill):
    model = preprocessed(Spatial(), "caffe")
    result = [last(model, pictures(model), targets_of(0), window=2, fill=one) for one in (number, fill)]
    np.testing.assert_array_equal(*result)


@pytest.mark.parametrize(
    ("shape", "given", "meant"),
    [
        ((32, 40, 1), {"window": (0, 9)}, {"window": (4, 9), "stride": (2, 4)}),
        ((32, 40, 1), {"window": (8, 6), "stride": (0, 5)}, {"window": (8, 6), "stride": (4, 5)}),
        ((8, 9, 12, 1), {"window": (0, 4, 6)}, {"window": (2, 4, 6), "stride": (1, 2, 3)}),
        ((32, 40, 1), {"window": 8}, {"window": (8, 8), "stride": (4, 4)}),
    ],
)
def test_what_is_automatic_may_be_so_along_one_axis(shape, given, meant):
    model = Linear(shape)
    x = pictures(model)
    result, passes = last(model, x, targets_of(0), **given), sum(size for _, size in model.calls)
    np.testing.assert_array_equal(result, last(Linear(shape), x, targets_of(0), **meant))
    reported = METHODS["occlusion"].passes(occlusion_options(**given), model.info, shape[:-1])
    assert reported == passes


@pytest.mark.parametrize("option", ["window", "stride"])
@pytest.mark.parametrize(
    ("shape", "numbers", "axes"),
    [
        ((6, 8, 3), (1, 2, 2), "2 axes (y, x)"),
        ((6, 8, 3), (2,), "2 axes (y, x)"),
        ((4, 5, 6, 2), (2, 2), "3 axes (z, y, x)"),
    ],
)
def test_a_wrong_number_of_axes_is_told(option, shape, numbers, axes):
    model = Linear(shape)
    said = f"{option} takes one number, or one for each of the picture's {axes}, not {len(numbers)}"
    message = f"^{re.escape(said)}$"
    with pytest.raises(ValueError, match=message):
        last(model, pictures(model), targets_of(0), **{option: numbers})
    with pytest.raises(ValueError, match=message):
        METHODS["occlusion"].passes(occlusion_options(**{option: numbers}), model.info, shape[:-1])


@pytest.mark.parametrize(("shape", "says"), [((6, 8, 3), "3 channels"), ((6, 8, 1), "1 channel:")])
def test_a_wrong_number_of_channels_is_told(shape, says):
    model = Linear(shape)
    message = rf"the colour 1, 2 has 2 numbers, but the model takes {says}"
    with pytest.raises(ValueError, match=message):
        last(model, pictures(model), targets_of(0), fill=(1, 2))


def test_through_the_one_door_lists_and_numbers_of_numpy_are_good():
    model = Spatial()
    picture = pictures(model)[0]
    wanted = explain(model, picture, 0, "occlusion", window=(2, 4), stride=(1, 2), fill=(1, 2, 3.5))
    known = len(model.calls)
    given = {"window": [2, np.int64(4)], "stride": [1, 2], "fill": [1, np.float32(2), 3.5]}
    result = explain(model, picture, 1, "occlusion", **given)
    assert model.calls[known:] == [("scores", 1)]  # the prediction
    assert result.options == wanted.options
    assert result.options == {"window": (2, 4), "stride": (1, 2), "fill": (1.0, 2.0, 3.5)}


def test_a_linear_model_in_closed_form():
    """Windows that do not overlap: what their pixels contribute, compared with black."""
    model = Linear()
    x = pictures(model)
    contributions = (model.weights[..., 2] * x[0]).sum(-1)
    blocks = contributions.reshape(3, 2, 4, 2).sum((1, 3)).repeat(2, 0).repeat(2, 1)
    result = last(model, x, targets_of(2), window=2, stride=2, fill="black")
    np.testing.assert_allclose(result[0], blocks, rtol=1e-4, atol=1e-5)
    single = last(model, x, targets_of(2), window=1, stride=1, fill="black")
    np.testing.assert_allclose(single[0], contributions, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(50, 50), (50, 25), (50, 33), (7, 3), (300, 9)])
def test_pitfall_occlusion_margin_never_covered_overlaps_summed(window, stride):
    """Where all pixels contribute 1, every window takes away as many as it has, however they overlap or end."""
    model = Linear((224, 100, 1))
    model.weights[:] = 1
    x = np.ones((1, *model.shape), np.float32)
    result = last(model, x, targets_of(0), window=window, stride=stride, fill="black")[0]
    np.testing.assert_allclose(result, min(window, 224) * min(window, 100), rtol=1e-4)


def test_pitfall_occlusion_margin_never_covered_overlaps_summed_in_closed_form():
    """Each pixel contributes its row's number: a window the sum of its rows', a pixel the mean over its windows."""
    model = Linear((11, 7, 1))
    model.weights[:] = np.arange(11)[:, None, None, None]
    x = np.ones((1, *model.shape), np.float32)
    result = last(model, x, targets_of(0), window=4, stride=3, fill="black")[0]
    tops = np.array([0, 3, 6, 7])
    sums = 4 * (4 * tops + 6)  # of 4×4 pixels of rows top .. top + 3
    wanted = [sums[(tops <= row) & (row < tops + 4)].mean() for row in range(11)]
    np.testing.assert_allclose(result, np.repeat(np.reshape(wanted, (-1, 1)), 7, axis=1), rtol=1e-5)


@pytest.mark.parametrize("fill", FILLS)
def test_pixels_that_the_model_does_not_look_at_get_nothing(fill):
    model = Quadratic()
    model.weights[:, 4:] = model.curvature[:, 4:] = 0
    result = last(model, pictures(model), targets_of(1), window=2, stride=1, fill=fill)[0]
    assert not result[:, 5:].any()  # column 4 is covered together with column 3
    assert result[:, :4].all()


def test_parts_that_look_like_what_covers_them_get_nothing():
    model = Spatial()
    x = pictures(model)
    x[:, :3] = 0
    result = last(model, x, targets_of(0), window=3, stride=3, fill="black")[0]
    assert not result[:3].any()
    assert result[3:].all()


class Volumes(Model):
    """``logits = x·W`` of pictures with three dimensions in space."""

    def __init__(self):
        self.info = Linear().info
        self.weights = np.random.default_rng(0).normal(size=(4, 5, 6, 2, 4))

    def scores(self, x):
        return np.tensordot(x, self.weights, 4).astype(np.float32)

    def gradient(self, x, targets, rule=None):
        raise ModelError

    tap = with_settings = gradient


def test_space_may_have_any_number_of_dimensions():
    model = Volumes()
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 6, 2)).astype(np.float32)
    result = last(model, x, targets_of(3, 0), window=1, stride=1, fill="black")
    wanted = np.stack([(x[n] * model.weights[..., k]).sum(-1) for n, k in ((0, 3), (1, 0))])
    np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5)
    assert last(model, x, targets_of(3, 0), window=2, fill="blur").shape == (2, 4, 5, 6)


def test_by_itself_a_window_is_an_eighth_of_the_shorter_side_and_moves_by_half_of_it():
    model = Linear((32, 40, 1))
    x = pictures(model)
    np.testing.assert_array_equal(
        last(model, x, targets_of(0)), last(model, x, targets_of(0), window=4, stride=2)
    )


def test_an_answer_so_far_is_the_mean_over_the_windows_so_far():
    model = Linear()
    x = pictures(model)
    first, *_ = occlusion(model, x, targets_of(0), window=2, stride=2, fill="black")
    assert (first.done, first.total) == (2, 12)
    contributions = (model.weights[..., 0] * x[0]).sum(-1)
    known = first.values[0] != 0
    assert known.sum() == 8  # two windows of 2 × 2
    blocks = contributions.reshape(3, 2, 4, 2).sum((1, 3)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(first.values[0][known], blocks[known], rtol=1e-4, atol=1e-5)


def test_the_whole_picture_is_covered_early():
    """By a quarter of the windows, if they overlap by half."""
    model = Linear((64, 64, 1))
    estimates = list(occlusion(model, pictures(model), targets_of(0), window=8, stride=4))
    early = next(e for e in estimates if e.done > e.total / 2)
    assert early.values.all()


def test_steps_between_windows_that_leave_pixels_out_are_refused():
    model = Linear()
    message = "stride=3 is more than window=2: pixels between the windows"
    for window, stride in ((2, 3), ((6, 2), 3), ((2, 6), (3, 1))):
        with pytest.raises(ValueError, match=message):
            next(occlusion(model, pictures(model), targets_of(0), window=window, stride=stride))


def test_a_window_with_a_planted_mark_stands_where_the_mark_is():
    model = Linear((16, 24, 1))
    model.weights[:] = 0
    model.weights[4:6, 18:20] = 1  # what the network has learnt
    result = last(model, np.ones((1, 16, 24, 1), np.float32), targets_of(0), window=2, stride=1, fill="black")
    assert np.unravel_index(result[0].argmax(), result[0].shape) in {(4, 18), (4, 19), (5, 18), (5, 19)}
    assert not result[0, :3].any()
    assert not result[0, :, :17].any()


# Another class -----------------------------------------------------------------------------------


def test_another_class_and_score_of_the_same_picture_run_the_model_zero_times():
    model = Spatial()
    x, options = pictures(model), {"window": 2, "stride": 1}
    last(model, x, targets_of(0), **options)
    known = len(model.calls)
    for index, score in product(range(len(LABELS)), SCORES):
        result = last(model, x.copy(), targets_of(index, score=score), **options)
        wanted = loop(model, x[0], np.eye(4, dtype=np.float32)[index], score, (2, 1, "mean"))
        np.testing.assert_allclose(result[0], wanted, rtol=1e-4, atol=1e-5)
    assert len(model.calls) == known


@pytest.mark.parametrize("change", ["picture", "window", "stride", "fill", "side"])
def test_what_is_asked_otherwise_runs_anew(change):
    model = Spatial()
    x, options = pictures(model), {"window": 3, "stride": 2}
    last(model, x, targets_of(0), **options)
    known = len(model.calls)
    if change == "picture":
        x = x + 1
    else:
        changes = {"window": 4, "stride": 1, "fill": "white", "side": (4, 3)}
        options["window" if change == "side" else change] = changes[change]
    result = last(model, x, targets_of(0), **options)
    assert len(model.calls) > known
    np.testing.assert_array_equal(result, last(Spatial(), x, targets_of(0), **options))


def test_a_run_that_was_left_goes_on_where_it_was():
    model = Spatial(batch=2)
    x = pictures(model)
    started = occlusion(model, x, targets_of(0), window=2, stride=1)
    for _ in range(5):
        next(started)
    other = last(model, x, targets_of(1), window=2, stride=1)
    *_, end = started  # two at the same time do not disturb each other
    assert sum(size for _, size in model.calls) == 1 + 5 * 7
    np.testing.assert_array_equal(other, last(Spatial(), x, targets_of(1), window=2, stride=1))
    np.testing.assert_array_equal(end.values, last(Spatial(), x, targets_of(0), window=2, stride=1))


def test_through_the_one_door_another_class_costs_the_prediction_alone():
    model = Spatial()
    picture = pictures(model)[0]
    explain(model, picture, 0, "occlusion")
    known = len(model.calls)
    explain(model, picture, 1, "occlusion")
    assert model.calls[known:] == [("scores", 1)]


def test_scores_that_would_fill_the_memory_are_not_kept(monkeypatch):
    monkeypatch.setattr(score_cache, "MOST_BYTES", 100)
    model = Spatial()
    x = pictures(model)
    result = last(model, x, targets_of(0), window=2, stride=1)
    known = len(model.calls)
    np.testing.assert_array_equal(last(model, x, targets_of(0), window=2, stride=1), result)
    assert len(model.calls) > known + 2


def test_pitfall_out_of_memory_by_default(one_thread):
    model = Linear((64, 64, 3))
    x, peaks = pictures(model), []
    for stride in (8, 1):
        running = occlusion(model, x, targets_of(0), window=8, stride=stride)
        peaks.append(most_memory(lambda running=running: deque(running, maxlen=0)))
    assert len(module._windows((64, 64), (8, 8), (1, 1))) == 57**2
    assert peaks[1] < 2 * peaks[0]
