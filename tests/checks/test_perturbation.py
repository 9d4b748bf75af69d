"""Insertion and deletion: derived a second time, and exact on a linear model."""

import numpy as np
import pytest

from napari_saliency.checks import Finding
from napari_saliency.checks.perturbation import _Curves, _judged
from napari_saliency.methods._shared.baselines import empty_picture
from napari_saliency.models import probabilities
from tests.analytic import Convolutional, Linear, pictures
from tests.checks.subjects import last, part, run, subject

BOTH = pytest.mark.parametrize("name", ["insertion", "deletion"])
STEPS = 12


def contributions(model, fill, index=0):
    """What each pixel adds to a linear model's logit, compared with an empty picture."""
    x = pictures(model)
    return ((x - empty_picture(model, x, fill))[0] * model.weights[..., index]).sum(-1)


def exact(model, fill, values, name, index=0):
    """The curve of a linear model's logit, from its pixels' contributions alone."""
    given = contributions(model, fill, index).ravel()
    order = np.argsort(-values.ravel(), kind="stable")
    full = float(model.logits(pictures(model).astype(np.float64))[0, index])
    counts = [round(step * given.size / STEPS) for step in range(STEPS + 1)]
    gone = np.array([given[order[:count]].sum() for count in counts])
    return full - gone if name == "deletion" else full - given.sum() + gone


@BOTH
@pytest.mark.parametrize("fill", ["black", "white", "mean", "blur"])
def test_the_curve_of_a_linear_model_is_the_sum_of_what_was_moved(name, fill):
    model = Linear()
    values = contributions(model, fill)
    result = last(name, subject(model, "occlusion", values=values), fill=fill, steps=STEPS, score="logit")
    np.testing.assert_allclose(result.curves[0].y, exact(model, fill, values, name), atol=2e-4)
    np.testing.assert_allclose(result.curves[0].x, np.arange(STEPS + 1) / STEPS, rtol=1e-6)


@BOTH
def test_black_around_the_picture_has_no_turn(name):
    """A linear model's curve goes through the picture's pixels alone, and leaves the others as they are."""
    model, (picture, mask) = Linear(), part(np.s_[2:4], Linear().shape[:-1])
    values = contributions(model, "white")
    about = subject(model, "occlusion", values=values, picture=picture)
    result = last(name, about, fill="white", steps=8, score="logit")
    full = float(model.logits(pictures(model).astype(np.float64))[0, 0])
    order = np.sort(values[mask])[::-1]
    gone = np.array([order[: round(step * mask.sum() / 8)].sum() for step in range(9)])
    wanted = full - gone if name == "deletion" else full - order.sum() + gone
    np.testing.assert_allclose(result.curves[0].y, wanted, atol=2e-4)
    assert result.curves[1].y[[0, -1]] == pytest.approx(wanted[[0, -1]], abs=2e-4)


@BOTH
def test_no_order_is_better_than_that_of_the_contributions_and_none_worse_than_its_opposite(name):
    model = Linear()
    values = contributions(model, "mean")
    best, worst = (
        last(name, subject(model, "occlusion", values=v), fill="mean", steps=STEPS, score="logit")
        for v in (values, -values)
    )
    random = np.random.default_rng(1)
    others = [
        last(
            name,
            subject(model, "occlusion", values=random.permutation(values.ravel()).reshape(values.shape)),
            fill="mean",
            steps=STEPS,
            score="logit",
        ).figures["area"]
        for _ in range(5)
    ]
    ends = sorted((best.figures["area"], worst.figures["area"]))
    assert ends[0] < min(others)
    assert max(others) < ends[1]
    assert (best.figures["area"] > worst.figures["area"]) == (name == "insertion")


def planted(sign=1):
    """A linear model that sees one corner, and a picture whose contributions all speak for class 0."""
    model = Linear((12, 12, 1))
    model.weights[:] = 0
    x = pictures(model)
    model.weights[:4, :4, :, 0] = (x - empty_picture(model, x, "mean"))[0, :4, :4]
    model.bias[:] = 0
    values = np.zeros((12, 12))
    values[:4, :4] = sign
    return model, values


@BOTH
def test_a_map_of_what_the_model_sees_is_good_and_of_what_it_does_not_see_bad(name):
    model, values = planted()
    right = last(name, subject(model, "occlusion", values=values), fill="mean", score="logit", steps=STEPS)
    assert right.level == "good"
    assert right.figures["gain"] > 0.3
    wrong = last(name, subject(model, "occlusion", values=-values), fill="mean", score="logit", steps=STEPS)
    assert wrong.level == "bad"
    assert "the model does not rely on these (fill: mean; " in wrong.verdict


@BOTH
def test_a_picture_that_scores_no_more_than_an_empty_one_cannot_be_judged(name):
    model = Linear()
    model.weights[:] = 0
    result = last(name, subject(model, "occlusion", values=np.arange(48).reshape(6, 8)))
    assert result.level == "not applicable"
    assert "(fill: " in result.verdict
    assert "try another fill" in result.verdict


@pytest.mark.parametrize(
    ("inserting", "mine", "random", "level"),
    [
        (False, [1, 0, 0], [1, 0.6, 0], "good"),
        (False, [1, 0.55, 0], [1, 0.6, 0], "doubtful"),
        (False, [1, 0.7, 0], [1, 0.6, 0], "bad"),
        (False, [1, 0, 0, 0, 0, 0, 0], [1, 0.1, 0, 0, 0, 0, 0], "not applicable"),
        (False, [0, 0.5, 0.7], [0, 0.5, 1], "not applicable"),
        (False, [1, 0.91, 0.91], [1, 1, 0.91], "not applicable"),
        (True, [0.985, 1, 1], [0.985, 0.99, 1], "not applicable"),
        (True, [0, 1, 1], [0, 0.4, 1], "good"),
        (True, [0, 0.45, 1], [0, 0.4, 1], "doubtful"),
        (True, [0, 0.3, 1], [0, 0.4, 1], "bad"),
        (True, [0, 0.9, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1], "not applicable"),
    ],
)
def test_the_verdict_follows_the_gain_and_the_room_for_it(inserting, mine, random, level):
    result = np.array([mine, random, random], float)
    how = _Curves(inserting, "mean", len(mine) - 1, 2, "probability", 0)
    assert _judged(Finding(1, 1), result, how).level == level


@BOTH
def test_probabilities_are_drawn_and_random_orders_beside_them(name):
    """By a loop over orders and steps."""
    model = Convolutional()
    about = subject(model, "occlusion")
    result = last(name, about, fill="black", steps=5, orders=3, seed=4)
    random = np.random.default_rng(4)
    values = about.values.ravel()
    orders = [np.lexsort((random.random(values.size), -values))]
    orders += [random.permutation(values.size) for _ in range(3)]
    rows = []
    for order in orders:
        row = []
        for step in range(6):
            chosen = order[: round(step * values.size / 5)]
            picture = about.x[0].reshape(values.size, -1).copy()
            empty = np.zeros_like(picture)
            if name == "deletion":
                picture[chosen] = empty[chosen]
            else:
                kept = picture[chosen].copy()
                picture = empty
                picture[chosen] = kept
            logits = model.logits(picture.reshape(1, *about.x.shape[1:]).astype(np.float64))
            row.append(probabilities(logits, "softmax")[0, 0])
        rows.append(row)
    np.testing.assert_allclose(result.curves[0].y, rows[0], rtol=1e-4)
    np.testing.assert_allclose(result.curves[1].y, np.mean(rows[1:], 0), rtol=1e-4)
    np.testing.assert_allclose(result.curves[1].spread, np.std(rows[1:], 0), atol=1e-5)
    areas = [sum(row[i] + row[i + 1] for i in range(5)) / 10 for row in rows]
    assert result.figures["area"] == pytest.approx(areas[0], rel=1e-4)
    assert result.figures["random area"] == pytest.approx(np.mean(areas[1:]), rel=1e-4)
    assert result.figures["random spread"] == pytest.approx(np.std(areas[1:], ddof=1), rel=1e-2)


def test_pixels_of_equal_value_come_in_an_order_that_the_seed_chooses():
    model = Linear()
    values = np.zeros((6, 8))
    values[0] = 1
    curves = [
        last("deletion", subject(model, "occlusion", values=values), seed=seed).curves[0].y
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert not np.allclose(curves[0], curves[2])


def test_what_fills_and_what_orders_is_said():
    notes = last("insertion", subject(), fill="white").notes
    assert "largest magnitude" in notes[0]
    assert notes[1].endswith(": white.")
    assert "by the map's value" in last("deletion", subject(method="grad_cam")).notes[0]


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("integrated_gradients", {}, "sum of their channels"),
        ("gradient_x_input", {}, "sum of their channels"),
        ("smoothgrad", {"of": "gradient_x_input", "samples": 2}, "sum of their channels"),
        ("smoothgrad", {"of": "gradient_x_input", "samples": 2, "absolute": True}, "magnitude"),
        ("smoothgrad", {"samples": 2}, "magnitude"),
        ("smoothgrad_squared", {"of": "integrated_gradients", "samples": 2}, "magnitude"),
        ("vargrad", {"of": "integrated_gradients", "samples": 2}, "magnitude"),
    ],
)
def test_what_speaks_against_the_target_comes_last_where_signs_say_so(method, options, said):
    assert said in last("deletion", subject(method=method, **options)).notes[0]


@pytest.mark.parametrize(
    ("method", "options", "fills"),
    [
        ("gradient", {}, ("mean", "blur")),
        ("occlusion", {"fill": "white"}, ("white", "white")),
        ("integrated_gradients", {"baseline": "black"}, ("black", "black")),
        ("integrated_gradients", {"baseline": "random", "samples": 2}, ("mean", "blur")),
        ("smoothgrad", {"of": "gradient", "samples": 2}, ("mean", "blur")),
        ("smoothgrad", {"of": "integrated_gradients", "samples": 2}, ("black", "black")),
        ("vargrad", {"of": "occlusion", "samples": 2}, ("mean", "mean")),
    ],
)
def test_what_a_method_compares_with_is_what_fills(method, options, fills):
    about = subject(method=method, **options)
    for name, fill in zip(("deletion", "insertion"), fills, strict=True):
        usual, named = last(name, about), last(name, about, fill=fill)
        assert usual.notes[1].endswith(f": {fill}.")
        np.testing.assert_array_equal(usual.curves[0].y, named.curves[0].y)


@pytest.mark.parametrize(("method", "option"), [("occlusion", "fill"), ("integrated_gradients", "baseline")])
@pytest.mark.parametrize(("grey", "said"), [(64, "grey 64"), ((64, 128, 32), "64, 128, 32")])
def test_a_grey_that_a_method_compares_with_fills_too(method, option, grey, said):
    about = subject(method=method, **{option: grey})
    blank = np.broadcast_to(np.float32(grey), about.x.shape)
    for name, end in (("deletion", -1), ("insertion", 0)):
        result = last(name, about, score="logit")
        assert result.notes[1].endswith(f": {said}.")
        score = about.model.value(about.model.info.input.preprocessing(blank), about.targets)[0]
        np.testing.assert_allclose(result.curves[0].y[end], score, rtol=1e-4)


def test_the_maps_curve_comes_first():
    findings = run("deletion", subject(), steps=8)
    assert len(findings[0].curves) == 1
    assert 1 <= len(findings[0].curves[0].x) < 9
    assert len(findings[-1].curves) == 2


@BOTH
@pytest.mark.parametrize(
    ("activation", "score", "up"),
    [
        ("softmax", "probability", "probability"),
        ("softmax", "logit", "logit"),
        ("quantity", "probability", "score"),
    ],
)
def test_curves_say_what_their_axes_count(name, activation, score, up):
    result = last(name, subject(Linear(activation=activation)), score=score)
    assert [(curve.across, curve.up) for curve in result.curves] == [("share of pixels", up)] * 2


@BOTH
def test_of_quantities_the_quantity_is_drawn(name):
    model = Linear(activation="quantity")
    values = contributions(model, "mean")
    result = last(name, subject(model, "occlusion", values=values), fill="mean", steps=STEPS)
    np.testing.assert_allclose(result.curves[0].y, exact(model, "mean", values, name), atol=2e-4)
