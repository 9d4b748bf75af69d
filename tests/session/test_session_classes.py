"""Classes that are chosen, known, and fetched ahead."""

import numpy as np
import pytest

from napari_saliency.core.types import Target
from napari_saliency.models import Settings
from napari_saliency.session.selection import ClassSelection
from napari_saliency.session.state import ExplanationCache
from tests.desk import MODEL, OTHER, SLOW, Quadratic, engine_model, picture


def test_top_classes_are_fetched_ahead_and_then_known_at_once(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    assert len(session.known()) == 5
    engine_model().calls.clear()
    session.step_class(1)
    assert session.explanation.label == "e"
    assert engine_model().calls == []
    assert [e.label for e in desk.of("explanation")] == ["f", "e"]  # what is fetched ahead is not shown


def test_each_class_that_is_fetched_ahead_is_told_at_once(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    order = session.prediction.order().tolist()
    assert desk.of("known_classes") == [frozenset(order[:count]) for count in range(1, 6)]


@pytest.mark.parametrize(
    ("change", "back"),
    [
        (lambda i: i.set_method("grad_cam", {}), lambda i: i.set_method("gradient", {})),
        (lambda i: i.set_score("probability"), lambda i: i.set_score("logit")),
        (lambda i: i.set_picture(picture(2)), lambda i: i.set_picture(picture(1))),
        (lambda i: i.open_model(OTHER), lambda i: i.open_model(MODEL)),
        (lambda i: i.set_picture(None), lambda i: i.set_picture(picture(1))),
    ],
    ids=["method", "score", "picture", "model", "no picture"],
)
def test_known_classes_are_those_of_what_is_chosen(desk, change, back):
    session = desk.show()
    session.explain()
    desk.settle()
    known = session.known_classes
    assert len(known) == 5
    change(session)
    desk.settle()
    assert session.known_classes == frozenset()
    back(session)
    desk.settle()
    assert desk.of("known_classes")[-2:] == [frozenset(), known]


def test_a_memory_that_holds_few_maps_is_not_filled_for_ever(desk):
    session = desk.show()
    session._cache = ExplanationCache(most=3 * 4 * 4 * 4)
    session.explain()
    desk.settle()
    assert max(len(known) for known in desk.of("known_classes")) == 3


def test_an_unknown_class_is_computed_without_predicting_again(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    calls = len(desk.of("prediction"))
    session.select_class(0)
    desk.settle()
    assert session.explanation.label == "a"
    assert len(desk.of("prediction")) == calls


def test_step_class_stops_at_both_ends(desk):
    session = desk.show()
    session.step_class(-1)
    desk.settle()
    assert session.explanation.label == "f"
    session.step_class(100)
    desk.settle()
    assert session.explanation.label == "a"


def test_a_contrast_is_computed_named_and_known_at_once_the_next_time(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    session.ask(session.asked.rather_than(2, session.prediction))
    desk.settle()
    assert session.explanation.name == "f − c · Gradient"
    assert session.request.target == Target.contrast(5, 2)
    np.testing.assert_allclose(session.explanation.values, 100 + 3 / 255, rtol=1e-6)
    assert session.known_classes == frozenset(range(1, 6))
    engine_model().calls.clear()
    session.select_class(5)
    assert session.explanation.label == "f"
    session.ask(session.asked.rather_than(2, session.prediction))
    assert session.explanation.label == "f − c"
    assert engine_model().calls == []


def test_a_contrast_stays_for_another_picture_and_goes_with_the_model(desk):
    session = desk.show()
    session.ask(ClassSelection.one(1).rather_than(0, session.prediction))
    desk.settle()
    session.set_picture(picture(2, 50))
    session.explain()
    desk.settle()
    assert session.explanation.label == "b − a"
    session.open_model(OTHER)
    desk.settle()
    assert session.asked == ClassSelection()


@pytest.mark.parametrize("score", ["probability", "log_probability"])
def test_every_score_has_contrasts(desk, score):
    session = desk.show()
    session.set_score(score)
    session.ask(ClassSelection(((0, 0.5), (1, -2.0))))
    desk.settle()
    assert session.request.target == Target.weighted({0: 0.5, 1: -2}, score)
    assert session.explanation.label == "0.5 · a − 2 · b"


def test_a_layer_is_looked_into_and_left_again_without_loading(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    model, known = engine_model(), session.explanation
    session.view_layer("late")
    desk.settle()
    assert session.model.description == "ready: 4×4 grey, 2 channels of late"
    assert [row.label for row in session.prediction.top(2)] == ["late[0]", "late[1]"]
    assert session.prediction.logits.tolist() == [10000, -100]
    assert session.stale
    session.select_class(1)
    desk.settle()
    assert session.explanation.name == "late[1] ↑ · Gradient"
    np.testing.assert_allclose(session.explanation.values, -1 / 16)
    session.ask(session.asked.rather_than(0, session.prediction))
    desk.settle()
    assert session.explanation.label == "(late[1] − late[0]) ↑"
    np.testing.assert_allclose(session.explanation.values, -201 / 16)
    session.view_layer("")
    desk.settle()
    assert session.asked == ClassSelection()
    assert session.prediction.labels == tuple("abcdef")
    model.calls.clear()
    session.explain()
    assert session.explanation is known
    assert type(engine_model()) is Quadratic
    assert engine_model().calls is not model.calls or not model.calls


def test_live_explains_inside_a_layer_at_once(desk):
    session = desk.show()
    session.live = True
    desk.settle()
    session.view_layer("late")
    desk.settle()
    assert session.explanation.label == "late[0] ↑"


def test_a_class_that_is_being_fetched_ahead_is_not_computed_twice(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    while session.explanation is None or not session.explanation.complete:
        desk.engine.run_next()
    desk.engine.run_next()  # the first step of the second class, quietly
    assert session.explanation.label == "f"
    session.step_class(1)
    desk.engine.run_next()
    assert (session.explanation.label, session.explanation.done) == ("e", 10)


def test_another_output_is_another_question_and_has_classes_of_its_own(desk):
    """Though the file, and so its fingerprint, is the same."""
    session = desk.show()
    session.select_class(5)
    desk.settle()
    session.open_model(MODEL, Settings(output="other"))
    desk.settle()
    assert session.stale
    assert (session.selected, desk.of("class")[-1]) == (None, None)
    session.step_class(1)
    desk.settle()
    assert session.explanation.label == "b"
    np.testing.assert_allclose(session.explanation.values, -1 / 255 + 100, rtol=1e-6)


def test_names_that_are_given_later_name_the_next_map_and_the_class_stays(desk):
    session = desk.show()
    session.select_class(4)
    desk.settle()
    session.open_model(MODEL, Settings(labels=tuple("uvwxyz")))
    desk.settle()
    assert session.selected == 4
    session.explain()
    desk.settle()
    assert session.explanation.label == "y"


def test_the_selected_class_stays_for_another_picture_and_goes_with_the_model(desk):
    session = desk.show()
    session.select_class(1)
    desk.settle()
    session.set_picture(picture(2, 50))
    desk.settle()
    assert session.selected == 1
    session.open_model(OTHER)
    desk.settle()
    assert session.selected is None


def test_the_classes_of_another_model_are_not_offered_while_it_loads(desk):
    session = desk.show()
    session.open_model(OTHER)
    assert session.prediction is None
    assert desk.of("prediction")[-1] is None
    desk.settle()
    assert session.prediction is not None


def test_the_top_class_of_one_picture_is_not_shown_for_another(desk, monkeypatch):
    def scores(model, x):  # a dark picture has the opposite order of a bright one
        return (model.slopes * (x.sum((1, 2, 3))[:, None] - 800)).astype(np.float32)

    monkeypatch.setattr(Quadratic, "scores", scores)
    session = desk.show(1, 200)
    session.explain()
    desk.settle()
    bright = session.explanation.target.index
    session.select_class(0)  # the top class of the dark one is known for the bright one, too
    session.select_class(None)
    desk.settle()
    session.set_picture(picture(2, 10))
    session.explain()
    desk.settle()
    assert session.explanation.target.index == 0 != bright
    session.live = True
    displayed = len(desk.of("explanation"))
    session.set_picture(picture(1, 200))
    desk.settle()
    assert {explanation.target.index for explanation in desk.of("explanation")[displayed:]} == {bright}
