"""Which classes are asked about."""

import pytest

from napari_saliency.core.types import Target
from napari_saliency.session.selection import ClassSelection
from tests.analytic import prediction_of

PREDICTION = prediction_of(1, 3, 2, 0)  # in the order 1, 2, 0, 3


def test_nothing_chosen_is_the_top_class():
    assert ClassSelection().selected is None
    assert ClassSelection().parts == ()
    assert ClassSelection().target(PREDICTION, "logit", None) == Target.of_class(1)
    assert ClassSelection.one(None) == ClassSelection()


def test_a_contrast_begins_with_the_selected_class_or_the_top_one():
    assert ClassSelection().rather_than(3, PREDICTION).weights == Target.contrast(1, 3).weights
    held = ClassSelection.one(2).rather_than(0, PREDICTION)
    assert held.weights == Target.contrast(2, 0).weights
    assert (held.selected, held.other) == (2, 0)
    assert held.rather_than(3, PREDICTION).weights == Target.contrast(2, 3).weights
    assert held.target(PREDICTION, "probability", None) == Target.contrast(2, 0, "probability")


@pytest.mark.parametrize("other", [0, 2])
def test_a_contrast_ends_with_the_same_class_again_or_the_selected_one(other):
    assert ClassSelection.one(2).rather_than(0, PREDICTION).rather_than(
        other, PREDICTION
    ) == ClassSelection.one(2)


def test_stepping_leaves_a_contrast_and_stops_at_both_ends():
    held = ClassSelection.one(2).rather_than(0, PREDICTION)
    assert held.neighbour(1, PREDICTION) == ClassSelection.one(0)
    assert held.neighbour(-5, PREDICTION) == ClassSelection.one(1)
    assert ClassSelection().neighbour(9, PREDICTION) == ClassSelection.one(3)


def test_the_other_class_is_stepped_over_the_selected_one():
    asked, result = ClassSelection.one(2), []
    for by in (1, 1, 1, -1, -1, -1):
        asked = asked.other_neighbour(by, PREDICTION)
        result.append((asked.selected, asked.other))
    assert result == [(2, 0), (2, 3), (2, 3), (2, 0), (2, 1), (2, 1)]
    assert ClassSelection.one(2).other_neighbour(-1, PREDICTION).other == 1
    assert ClassSelection().other_neighbour(1, PREDICTION).weights == Target.contrast(1, 2).weights


def test_the_weights_of_a_sum_are_its_parts():
    asked = ClassSelection(((0, 0.5), (1, -2.0), (3, -1.0)))
    assert asked.parts == asked.weights
    assert asked.selected == 0
    assert asked.other is None
    assert ClassSelection(((1, 2.0),)).parts == ((1, 2.0),)
    assert ClassSelection.one(1).parts == ()
