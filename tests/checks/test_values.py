"""What is read off a map's own numbers."""

import numpy as np
import pytest

from napari_saliency.checks.maps import gini
from tests.analytic import Convolutional, Linear, Quadratic, Spatial
from tests.checks.subjects import last, part, subject

SPACE = (6, 8)


def of(values, where=None, model=None, method="occlusion", picture=None):
    model = model or Linear()
    region, visible = (part(at, model.shape[:-1])[0] if at else None for at in (where, picture))
    return subject(model, method, values=values, region=region, picture=visible)


def with_diagnostics(about, **diagnostics):
    return type(about)(**{**vars(about), "diagnostics": diagnostics})


# Completeness


def test_integrated_gradients_of_a_linear_model_are_complete():
    result = last("completeness_gap", subject(Linear(), "integrated_gradients"))
    assert result.figures["gap"] < 1e-3
    assert result.level == "good"


def test_the_gap_is_what_the_sum_misses():
    model = Quadratic()
    about = subject(model, "integrated_gradients", steps=8)
    ends = [model.logits(x)[0, 0] for x in (np.zeros_like(about.x), about.x)]
    wanted = abs(about.values.sum() - (ends[1] - ends[0])) / abs(ends[1] - ends[0])
    assert last("completeness_gap", about).figures["gap"] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(("gap", "level"), [(0.03, "good"), (0.1, "doubtful"), (0.5, "bad")])
def test_the_verdict_follows_the_gap(gap, level):
    about = with_diagnostics(subject(Linear()), **{"relative completeness gap": gap})
    assert last("completeness_gap", about).level == level


def test_a_method_that_promises_nothing_is_not_judged():
    result = last("completeness_gap", subject(Linear()))
    assert result.level == "not applicable"
    assert "does not promise" in result.verdict


# Sparseness


@pytest.mark.parametrize(
    ("values", "level"),
    [
        (np.eye(6, 8), "good"),
        (1 + np.eye(6, 8) / 100, "doubtful"),
        (np.random.default_rng(0).random(SPACE), "doubtful"),
    ],
)
def test_a_map_that_is_spread_like_noise_points_nowhere(values, level):
    assert last("sparseness", of(values)).level == level


# Mass


def test_mass_is_the_share_of_positive_values_inside():
    values = np.random.default_rng(0).normal(size=SPACE).astype(np.float32)
    where = np.s_[1:4, 2:7]
    result = last("mass", of(values, where)).figures
    mask = part(where, SPACE)[1]
    positive = np.where(values > 0, values, 0)
    assert result["mass"] == pytest.approx(positive[mask].sum() / positive.sum(), rel=1e-5)
    assert result["mass of magnitudes"] == pytest.approx(
        np.abs(values)[mask].sum() / np.abs(values).sum(), rel=1e-5
    )
    assert result["area"] == 15 / 48


def test_an_even_map_has_the_regions_share_of_the_area():
    result = last("mass", of(np.tile([1, 2], (6, 4)), np.s_[:3]))
    assert result.figures["mass"] == pytest.approx(0.5)
    assert result.level == "bad"


def test_pixels_of_a_coarse_map_count_by_the_part_that_is_inside():
    """A map of 3×4 over 6×8 pixels: of its first pixel one quarter is inside."""
    values = np.zeros((3, 4))
    values[0, 0], values[2, 3] = 3, 1
    result = last("mass", of(values, np.s_[:1, :1], Spatial(), "grad_cam"))
    assert result.figures["mass"] == pytest.approx(3 / 4 / 4)
    assert result.figures["area"] == 1 / 48


def test_of_a_map_whose_size_does_not_divide_the_pictures():
    """Convolutional's layer is 3×5 over 9×13: its columns are 2.6 pixels wide."""
    values = np.zeros((3, 5))
    values[0, 1] = 1  # rows 0 to 3, columns 2.6 to 5.2
    result = last("mass", of(values, np.s_[:9, :4], Convolutional(), "grad_cam"))
    assert result.figures["mass"] == pytest.approx(1.4 / 2.6, rel=1e-5)


@pytest.mark.parametrize(
    ("viewed_layer", "level"), [(1.0, "good"), (0.3, "good"), (0.2, "doubtful"), (0.05, "bad")]
)
def test_the_verdict_follows_the_mass_in_an_eighth_of_the_picture(viewed_layer, level):
    values = np.full(SPACE, (1 - viewed_layer) / 42)
    values[:, :1] = viewed_layer / 6
    result = last("mass", of(values, np.s_[:, :1]))
    assert result.figures["mass"] == pytest.approx(viewed_layer)
    assert result.level == level


def test_what_nearly_fills_the_picture_need_not_hold_twice_its_share():
    values = np.full(SPACE, 0.01)
    values[:, :6] = 1
    assert last("mass", of(values, np.s_[:, :6])).level == "good"


@pytest.mark.parametrize("name", ["mass", "pointing_game"])
def test_without_a_region_or_with_all_of_the_picture_nothing_is_judged(name):
    values = np.eye(6, 8)
    assert "No region was given" in last(name, of(values)).verdict
    assert "the whole picture" in last(name, of(values, np.s_[:])).verdict
    assert "speaks for the target" in last(name, of(-values, np.s_[:2])).verdict
    for about in (of(values), of(values, np.s_[:]), of(-values, np.s_[:2])):
        assert last(name, about).level == "not applicable"


# Pointing game


@pytest.mark.parametrize(
    ("place", "tolerance", "level", "distance"),
    [
        ((1, 1), 0, "good", 0),
        ((5, 7), 1, "good", 34**0.5),
        ((5, 2), 0.25, "bad", 3),
        ((5, 2), 0.375, "good", 3),
    ],
)
def test_the_highest_point_lies_in_the_region_or_near_it(place, tolerance, level, distance):
    values = np.random.default_rng(0).random(SPACE)
    values[place] = 2
    result = last("pointing_game", of(values, np.s_[:3, :3]), tolerance=tolerance)
    assert result.level == level
    assert result.figures["distance"] == pytest.approx(distance)


def test_of_several_highest_points_the_nearest_counts():
    values = np.zeros(SPACE)
    values[0, 0] = values[5, 7] = 1
    assert last("pointing_game", of(values, np.s_[:1, :1]), tolerance=0).figures["distance"] == 0


def test_of_a_map_that_is_constant_in_pieces_every_highest_point_is_looked_at():
    """A superpixel of 1024 pixels, of which the last rows alone reach into the region."""
    values = np.zeros((64, 64))
    values[10:42, 16:48] = 1
    result = [
        last("pointing_game", of(values, where, Linear((64, 64, 1))), tolerance=0)
        for where in (np.s_[40:60, 40:60], np.s_[44:60, 50:60])
    ]
    assert [each.level for each in result] == ["good", "bad"]
    assert [each.figures["distance"] for each in result] == [0, pytest.approx(18**0.5)]


@pytest.mark.parametrize(("where", "level"), [(np.s_[:2, :4], "good"), (np.s_[:2, :2], "bad")])
def test_half_a_pixel_of_a_coarse_map_is_tolerated(where, level):
    """A map of 3×4 over 6×8 pixels, highest in its third column, between the picture's 5th and 6th."""
    values = np.zeros((3, 4))
    values[0, 2] = 1
    result = last("pointing_game", of(values, where, Spatial(), "grad_cam"), tolerance=0)
    assert result.level == level


# Black around the picture

PICTURE = np.s_[2:4]  # of six rows


def test_black_around_the_picture_is_no_part_of_the_area():
    values = np.zeros(SPACE)
    values[PICTURE], values[0] = 1, 0.5
    result = last("mass", of(values, np.s_[2:4, :4], picture=PICTURE))
    assert result.figures["area"] == 0.5
    assert result.figures["mass"] == pytest.approx(0.4)
    assert result.figures["mass beside the picture"] == pytest.approx(0.2)
    text = "40% of the map in 50% of the picture, 20% in the padding around it."
    assert (result.level, result.verdict) == ("bad", f"The map lies elsewhere: {text}")


@pytest.mark.parametrize("name", ["mass", "pointing_game"])
def test_a_region_that_fills_the_picture_is_the_whole_of_it(name):
    values = np.zeros(SPACE)
    values[PICTURE] = 1
    assert "the whole picture" in last(name, of(values, PICTURE, picture=PICTURE)).verdict


def test_black_around_the_picture_makes_no_map_sparse():
    values = np.zeros(SPACE)
    values[PICTURE] = np.random.default_rng(0).random((2, 8))
    alone = last("sparseness", of(values, picture=PICTURE))
    assert alone.figures["Gini index"] == pytest.approx(gini(values[PICTURE]), rel=1e-5)
    assert alone.level == "doubtful"
    assert last("sparseness", of(values)).level == "good"


def test_of_a_coarse_map_all_that_shows_some_of_the_picture_counts():
    """Three rows over six, of which the picture fills the third and the fourth, or a part of them."""
    values = np.arange(12.0).reshape(3, 4)
    for rows, visible in ((np.s_[2:4], np.s_[1:2]), (np.s_[3:4], np.s_[1:2]), (np.s_[1:4], np.s_[:2])):
        result = last("sparseness", of(values, model=Spatial(), method="grad_cam", picture=rows))
        assert result.figures["Gini index"] == pytest.approx(gini(values[visible]), rel=1e-5)
