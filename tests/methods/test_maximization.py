"""Pictures that raise a score, against a loop in numpy and against what is known of the best picture."""

from dataclasses import replace

import numpy as np
import pytest

from napari_saliency import explain
from napari_saliency.core.preprocessing import Preprocessing
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS, wrappable
from napari_saliency.methods.maximization import NOTHING
from tests.analytic import Convolutional, Linear, Quadratic, targets_of

FREE = {"smoothness": 0.0, "decay": 0.0, "jitter": 0}
SCALED = Preprocessing("own", 255.0, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), bgr=True)


def scaled(kind, **more):
    """A model whose numbers are not those of pictures."""
    model = kind(**more)
    model.info = replace(model.info, input=replace(model.info.input, preprocessing=SCALED))
    return model


def photo(model, count=1):
    return SCALED(np.random.default_rng(5).integers(0, 256, (count, *model.shape)).astype(np.float32))


def run(model, x, targets, **options):
    chosen = METHODS["activation_maximization"]
    return [*chosen.function(model, x, targets, **chosen.complete(options))]


def loop(model, x, targets, steps, rate, smoothness, decay, jitter, seed):
    """The same, pixel by pixel, in shares of black to white."""
    random = np.random.default_rng(seed)
    height, width, _ = model.shape
    share = np.clip(0.5 + 0.05 * random.standard_normal((1, *model.shape), np.float32)[0], 0, 1)
    for step in range(steps):
        down, right = random.integers(-jitter, jitter, 2, endpoint=True)
        moved = np.empty_like(share)
        for i in range(height):
            for j in range(width):
                moved[(i + down) % height, (j + right) % width] = share[i, j]
        _, slopes = model.gradient(_as_bgr(moved)[None], targets)
        slopes = slopes[0] / SCALED.std  # by the share: in the model's order of channels
        slopes /= (slopes**2).mean() ** 0.5
        new = share.copy()
        for i in range(height):
            for j in range(width):
                pull = -decay * (share[i, j] - 0.5)
                for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    if 0 <= k < height and 0 <= m < width:
                        pull = pull + smoothness * (share[k, m] - share[i, j])
                new[i, j] += (
                    rate * (1 - step / steps) * (slopes[(i + down) % height, (j + right) % width] + pull)
                )
        share = np.clip(new, 0, 1)
    return _as_bgr(share)


def _as_bgr(share):
    """Shares of black to white, in the model's order, as the model's numbers."""
    return ((share - SCALED.mean) / SCALED.std).astype(np.float32)


@pytest.mark.parametrize("score", SCORES)
def test_the_picture_is_that_of_a_loop(score):
    model = scaled(Convolutional)
    options = {"steps": 9, "rate": 0.05, "smoothness": 0.7, "decay": 0.2, "jitter": 3, "seed": 4}
    targets = targets_of(2, score=score)
    result = run(model, photo(model), targets, **options)[-1]
    np.testing.assert_allclose(result.values[0], loop(model, photo(model), targets, **options), atol=1e-4)
    reached = model.weigh(model.scores(result.values), targets)
    np.testing.assert_array_equal(result.diagnostics["score reached"], reached)


@pytest.mark.parametrize("start", ["noise", "picture"])
def test_of_a_linear_model_the_best_picture_is_black_and_white(start):
    """Without regularisers every pixel goes to the end that its weight points to."""
    model = scaled(Linear)
    result = run(model, photo(model), targets_of(1), start=start, rate=0.08, steps=2000, **FREE)[-1].values[0]
    share = result * SCALED.std + SCALED.mean
    weight = model.weights[..., 1]
    clear = np.abs(weight) > 0.05 * np.abs(weight).max()  # others hardly move
    np.testing.assert_allclose(share[clear], weight[clear] > 0, atol=1e-5)


def test_of_a_quadratic_model_the_best_picture_is_where_it_is_level():
    model = scaled(Quadratic)
    inner = model.random.uniform(0.2, 0.8, model.shape)  # the best share of black to white
    model.curvature = -np.ones_like(model.curvature)
    model.weights = np.repeat(_as_bgr(inner)[..., None], 4, -1).astype(np.float64)
    result = run(model, photo(model), targets_of(0), rate=0.02, steps=2000, **FREE)[-1].values[0]
    np.testing.assert_allclose(result * SCALED.std + SCALED.mean, inner, atol=0.02)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("start", ["noise", "picture"])
def test_the_score_is_raised_a_lot(score, start):
    model = scaled(Convolutional)
    x, targets = photo(model, 2), targets_of(3, 0, score=score)
    before = model.weigh(model.scores(x), targets)
    estimates = run(model, x, targets, start=start, steps=60, **FREE)
    assert (estimates[-1].diagnostics["score reached"] > before).all()
    shares = estimates[-1].values * SCALED.std + SCALED.mean
    assert shares.min() >= -1e-5
    assert shares.max() <= 1 + 1e-5


def test_a_contrast_and_any_weighting_are_looked_for():
    model = scaled(Convolutional)
    x, weights = photo(model), np.array([[1, -1, 0.5, 0]], np.float32)
    reached = run(model, x, Targets(weights), steps=60, **FREE)[-1].diagnostics["score reached"]
    others = [run(model, x, targets_of(k), steps=60, **FREE)[-1].values for k in range(4)]
    assert all(reached > model.weigh(model.scores(one), Targets(weights)) for one in others)


@pytest.mark.parametrize("option", ["smoothness", "decay"])
def test_a_regulariser_does_what_it_is_for(option):
    model = scaled(Convolutional)
    rough, even = (
        run(
            model,
            photo(model),
            targets_of(1),
            **{"steps": 60, "smoothness": 0.0, "decay": 0.0, option: weight},
        )[-1]
        for weight in (0.0, 1.0)
    )
    measure = {
        "smoothness": lambda u: (np.diff(u, axis=1) ** 2).sum() + (np.diff(u, axis=2) ** 2).sum(),
        "decay": lambda u: ((u - 0.5) ** 2).sum(),
    }[option]
    shares = [one.values * SCALED.std + SCALED.mean for one in (rough, even)]
    assert measure(shares[1]) < 0.8 * measure(shares[0])


def test_the_picture_at_hand_matters_only_if_it_is_begun_with():
    model = scaled(Convolutional)
    x = photo(model, 2)
    for start, alike in (("noise", True), ("picture", False)):
        values = run(model, x, targets_of(1, 1), start=start, steps=5)[-1].values
        assert np.array_equal(*values) == alike


def test_a_score_without_a_slope_leaves_grey_and_says_so():
    model = scaled(Linear)
    model.weights[:] = 0
    result = run(model, photo(model), targets_of(1), steps=5, jitter=0)[-1]
    assert result.notes == [(NOTHING,)]
    assert np.abs(result.values * SCALED.std + SCALED.mean - 0.5).max() < 0.25


def test_it_is_a_picture_and_no_map_that_others_could_wrap():
    model = scaled(Convolutional)
    image = np.random.default_rng(1).integers(0, 256, model.shape).astype(np.uint8)
    result = explain(model, image, 2, "activation_maximization", steps=6)
    raw = run(model, SCALED(image.astype(np.float32))[None], targets_of(2), steps=6)[-1].values[0]
    np.testing.assert_allclose(result.values, SCALED.inverse(raw))
    assert result.shows == "picture"
    data, attributes, kind = result.to_layer()
    assert (data.shape, data.dtype, kind) == (model.shape, np.uint8, "image")
    np.testing.assert_array_equal(data, np.rint(result.values))
    assert attributes["rgb"]
    assert attributes["name"] == "zebra · Activation maximization"
    assert "activation_maximization" not in wrappable()


def test_a_grey_picture_has_no_axis_for_its_colour():
    model = Linear((6, 8, 1))
    result = explain(model, np.zeros((6, 8), np.uint8), 2, "activation_maximization", steps=2)
    data, attributes, _ = result.to_layer()
    assert data.shape == (6, 8)
    assert not attributes["rgb"]


def test_volumes_have_pictures_too():
    model = Linear((4, 5, 6, 1))
    x = np.zeros((1, 4, 5, 6, 1), np.float32)
    result = run(model, x, targets_of(1), steps=400, rate=0.08, **FREE)
    assert result[-1].values.shape == x.shape
    right = (result[-1].values[0] > 127) == (model.weights[..., 1] > 0)
    assert right.mean() > 0.95
