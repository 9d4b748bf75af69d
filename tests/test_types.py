import numpy as np
import pytest

from napari_saliency._types import Estimate, Placement, Prediction, Target, Targets


def test_a_map_as_large_as_its_picture_lies_on_it():
    assert Placement.of_box((0, 0, 30, 40), (30, 40)) == Placement((1.0, 1.0), (0.0, 0.0))


def test_the_first_pixel_of_a_coarse_map_is_centred_on_what_it_covers():
    # Two map pixels over rows 0 1 2 3 | 4 5 6 7: the first is centred on row 1.5.
    placement = Placement.of_box((0, 0, 8, 6), (2, 3))
    assert placement == Placement((4.0, 2.0), (1.5, 0.5))


def test_a_box_may_leave_the_picture():
    placement = Placement.of_box((-10, 5, 10, 15), (4, 5))
    assert placement.scale == (5.0, 2.0)
    assert placement.translate == (-10 + 2.5 - 0.5, 5 + 1 - 0.5)


@pytest.mark.parametrize("coarse", [(7, 7), (5, 14), (160, 224), (320, 448)])
def test_a_coarser_map_covers_the_same_box(coarse):
    box, fine = (3.0, -7.5, 83.0, 110.25), (160, 224)
    found = Placement.of_box(box, fine).coarser(fine, coarse)
    expected = Placement.of_box(box, coarse)
    np.testing.assert_allclose(found.scale, expected.scale)
    np.testing.assert_allclose(found.translate, expected.translate, atol=1e-12)


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
    with pytest.raises(ValueError, match=r"class's index, not 'cat'.*model\.info\.labels\.index\('cat'\)"):
        make("cat")


@pytest.mark.parametrize("value", [True, np.True_, 2.0, None, [1]])
def test_a_target_takes_whole_numbers_alone(value):
    with pytest.raises(ValueError, match=r"a Target takes a class's index, not .*: give a whole number"):
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
    prediction = Prediction(logits, np.array([0.1, 0.3, 0.05, 0.3, 0.25], np.float32), tuple("abcde"))
    assert [row.label for row in prediction.top(3)] == ["b", "d", "e"]
    assert prediction.top(1)[0] == (1, "b", pytest.approx(0.3))
    assert len(prediction.top(50)) == 5


def test_an_estimate_says_nothing_that_it_was_not_told():
    estimate = Estimate(np.zeros((1, 2, 2), np.float32), 1, 4)
    assert estimate.stderr is None
    assert not estimate.diagnostics
    assert not estimate.notes
