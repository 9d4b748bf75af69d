"""What comes before what: start, answers, signals, and what is asked for no second time."""

import numpy as np

from napari_saliency import models
from napari_saliency.session.session import Session
from napari_saliency.session.state import Phase, Recipe, SourceImage
from tests.analytic import Linear
from tests.desk import MODEL, OTHER, SLOW, Quadratic, picture
from tests.executors import Immediate, Manual


def test_nothing_happens_before_the_start(desk):
    begun, told = [], []
    session = Session(lambda: begun.append(1) or Manual(), lambda answer: answer(), Immediate)
    session.model_changed.connect(told.append)
    session.set_picture(picture())
    session.open_model(MODEL)
    assert (begun, told) == ([], [])
    session.start()
    assert begun == [1]
    assert session.model.source == MODEL
    assert told
    session.close()


def test_an_engine_that_answers_at_once_is_served_as_one_that_does_not(desk):
    """Each call comes back before it has been sent for good."""
    session = Session(Immediate, lambda answer: answer(), Immediate, desk.later)
    told = []
    session.explanation_changed.connect(lambda explanation: told.append(explanation.label))
    session.start()
    session.set_picture(picture())
    session.open_model(MODEL)
    session.explain()
    assert told == ["f"]
    assert len(session.known_classes) == 5
    session.set_method("smoothgrad", SLOW)
    session.explain()
    assert (session.explanation.done, session.explanation.complete) == (40, True)
    session.close()


def test_what_is_chosen_by_whoever_is_told_counts(desk):
    """As the window does, which looks at its layers anew when the model is another one."""
    session = desk.session
    session.model_changed.connect(
        lambda status: session.set_picture(picture(2, 50)) if status.phase is Phase.READY else None
    )
    desk.show()
    session.explain()
    desk.settle()
    assert session.request.picture == 2
    np.testing.assert_allclose(session.explanation.values, 5 / 255 + 50, rtol=1e-6)


def test_a_click_on_a_known_class_makes_one_request(desk, monkeypatch):
    session = desk.show()
    session.explain()
    desk.settle()
    made = []
    monkeypatch.setattr(Recipe, "request", lambda *args, make=Recipe.request: made.append(1) or make(*args))
    session.step_class(1)
    assert session.explanation.label == "e"
    assert made == [1]


def test_another_model_reads_the_picture_again_only_if_its_input_differs(desk, monkeypatch):
    session = desk.show()
    first = session.prepared
    session.open_model(OTHER)
    desk.settle()
    assert session.prepared is first
    assert len(desk.of("prepared")) == 1
    monkeypatch.setattr(models, "open_model", lambda source, settings: Linear((5, 5, 1)))
    session.open_model(MODEL)
    desk.settle()
    assert session.prepared.x.shape == (5, 5, 1)


def test_a_prediction_that_is_there_outlives_the_engine(desk):
    session = desk.show()
    said, told = session.prediction, len(desk.of("prediction"))
    desk.engine.die()
    desk.settle()
    assert session.model.phase is Phase.READY
    assert session.prediction is said
    assert len(desk.of("prediction")) == told


def test_without_a_picture_a_late_prediction_is_dropped(desk):
    session = desk.show()
    session.set_picture(picture(2))
    session.set_picture(None)
    desk.settle()
    assert (session.picture, session.prepared, session.prediction) == (None, None, None)
    assert desk.of("prepared")[-1] is desk.of("prediction")[-1] is None


def test_a_picture_that_cannot_be_used_leaves_nothing_of_the_one_before(desk):
    session = desk.show()

    def broken():
        raise OSError("the disk is gone")

    session.set_picture(SourceImage(9, "broken", broken))
    desk.settle()
    assert (session.prepared, session.prediction) == (None, None)
    assert desk.of("prepared")[-1] is desk.of("prediction")[-1] is None
    assert len(desk.of("failed")) == 1  # it is not read again by itself


def test_a_map_that_is_fetched_ahead_and_fails_is_not_tried_again_by_itself(desk, monkeypatch):
    session = desk.show()
    session.explain()
    desk.engine.run_next()
    tried = []
    monkeypatch.setattr(Quadratic, "gradient", lambda *args: tried.append(1) or 1 / 0)
    desk.settle()
    assert tried == [1]
    assert not desk.of("failed")  # nobody asked for it
    assert session.known_classes == {5}


def test_a_map_under_way_is_shown_though_another_method_is_chosen_meanwhile(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.engine.run_next()
    session.set_method("gradient", {})
    desk.settle()
    assert (session.explanation.method, session.explanation.complete) == ("smoothgrad", True)
    assert (session.stale, session.progress) == (True, None)
