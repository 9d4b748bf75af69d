from dataclasses import replace

import numpy as np
import pytest

from napari_saliency.core.placement import Placement, Region
from napari_saliency.core.types import Estimate, Prediction, Target, Targets


def test_targets_that_mean_the_same_are_equal():
    assert Target.weighted({7: -1, 2: 1.0}) == Target.contrast(2, 7) == Target(((2, 1.0), (7, -1.0)))
    assert hash(Target.weighted([0, 0, 1])) == hash(Target.of_class(2))


def test_only_one_whole_class_has_an_index():
    assert Target.of_class(3).index == 3
    assert Target.weighted({3: 2.0}).index is None
    assert Target.contrast(3, 4).index is None


def test_dense_weights_stand_at_their_classes():
    dense = Target.contrast(1, 3, "probability").dense(5)
    assert dense.dtype == np.float32
    np.testing.assert_array_equal(dense, [0, 1, 0, -1, 0])


def test_weights_of_an_output_with_space_are_spread_over_the_region():
    mask = np.arange(8).reshape(2, 4) < 2
    region = Region.of_mask(mask, Placement((1.0, 1.0), (0.0, 0.0)), (2, 4))
    weights = replace(Target.contrast(0, 2), region=region).dense(3, (2, 2))
    np.testing.assert_allclose(weights[0, 0], [1, 0, -1])
    assert not weights[0, 1].any()
    assert not weights[1].any()
    np.testing.assert_allclose(Target.of_class(1).dense(2, (2, 2))[..., 1], 0.25)


@pytest.mark.parametrize(
    "weights", [(0, 1.0), ((0, "x"),), ((0, 1.0, 2.0),), ((3, np.nan),), ((1, 1.0), (3, -np.inf))]
)
def test_weights_are_pairs_of_a_class_and_a_finite_number(weights):
    with pytest.raises(
        ValueError, match=r"^weights .* must be (pairs of a class and a number|finite numbers)$"
    ):
        Target(weights)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Target.of_class(-1), "-1"),
        (lambda: Target.of_class(0, "softmax"), "'softmax' is not one of logit"),
        (lambda: Target.contrast(4, 4), "not 4 twice"),
        (lambda: Target.weighted({}), "each class once"),
        (lambda: Target(((3, 1.0), (1, 1.0))), "sorted"),
        (lambda: Target.of_class(10).dense(10), "class 10 does not exist: the model has classes 0 to 9"),
    ],
)
def test_impossible_targets_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda name: Target.contrast(name, "dog"),
        lambda name: Target.contrast(3, name),
        lambda name: Target.of_class(name),
        lambda name: Target.weighted({name: 1.0}),
        lambda name: Target(((name, 1.0),)),
    ],
)
def test_a_target_refuses_labels_and_says_how_to_get_an_index(make):
    with pytest.raises(ValueError, match=r"not 'cat'.*model\.info\.labels\.index\('cat'\)"):
        make("cat")


@pytest.mark.parametrize("value", [True, np.True_, 2.0, None, [1]])
def test_a_target_takes_whole_numbers_alone(value):
    with pytest.raises(ValueError, match=r"class index, not .*: give an integer"):
        Target.of_class(value)


def test_indices_of_numpy_are_whole_numbers():
    assert Target.contrast(np.int64(1), np.uint8(2)).weights == ((1, 1.0), (2, -1.0))
    assert type(Target.of_class(np.int64(1)).index) is int


def test_a_batch_repeats_as_a_whole():
    weights = np.array([[1, 0], [0, 1]], np.float32)
    repeated = Targets(weights, "probability").repeat(3)
    np.testing.assert_array_equal(repeated.weights, [[1, 0], [0, 1]] * 3)
    assert repeated.score == "probability"


def test_the_most_probable_come_first_and_ties_keep_their_order():
    logits = np.array([0.5, 2, -1, 2, 1], np.float32)
    prediction = Prediction(logits, np.array([0.1, 0.3, 0.05, 0.3, 0.25], np.float32), logits, tuple("abcde"))
    assert [row.label for row in prediction.top(3)] == ["b", "d", "e"]
    assert prediction.top(1)[0] == (1, "b", pytest.approx(0.3))
    assert len(prediction.top(50)) == 5


def test_quantities_keep_their_order():
    prediction = Prediction(np.float32([1, 3, 2]), *np.full((2, 3), np.nan, np.float32), ("x", "y", "z"))
    assert prediction.order().tolist() == [0, 1, 2]


def test_classes_that_are_all_but_certain_are_told_apart_by_their_logits():
    zeros = np.zeros(3, np.float32)
    assert Prediction(np.float32([-300, -200, -250]), zeros, zeros, ("x", "y", "z")).order().tolist() == [
        1,
        2,
        0,
    ]


def test_an_estimate_says_nothing_that_it_was_not_told():
    estimate = Estimate(np.zeros((1, 2, 2), np.float32), 1, 4)
    assert estimate.stderr is None
    assert not estimate.diagnostics
    assert not estimate.notes
