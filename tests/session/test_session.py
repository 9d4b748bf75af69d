"""The session, without Qt, napari or a framework: its engine runs when the test says so."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from napari_saliency import models
from napari_saliency.core.types import Target
from napari_saliency.engine import process as engine_process
from napari_saliency.session.next_step import COMPUTING
from napari_saliency.session.session import Session
from napari_saliency.session.state import Progress, SourceImage
from tests.analytic import Dense, Linear
from tests.desk import MODEL, OTHER, SLOW, Quadratic, engine_model, picture
from tests.executors import Manual


def test_a_picture_is_prepared_and_predicted_without_being_asked(desk):
    session = desk.show()
    assert session.prepared.x.shape == (4, 4, 1)
    assert session.prediction.top(1)[0].label == "f"
    assert session.explanation is None
    assert desk.of("progress") == []  # nothing that the user asked for runs


def test_explain_shows_the_top_class(desk):
    session = desk.show()
    session.explain()
    desk.engine.run_next()
    assert session.explanation.label == "f"
    np.testing.assert_allclose(session.explanation.values, 5 / 255 + 100, rtol=1e-6)
    assert session.progress is None
    assert not session.stale


def test_explain_before_anything_is_ready_waits_for_it(desk):
    desk.session.open_model(MODEL)
    desk.session.set_picture(picture())
    desk.session.explain()
    assert desk.session.progress.description == "waiting for the model"
    desk.settle()
    assert desk.session.explanation is not None


@pytest.mark.parametrize(("lack", "word"), [("picture", "picture"), ("model", "model")])
def test_explain_without_picture_or_model_says_so(desk, lack, word):
    if lack == "model":
        desk.session.set_picture(picture())
    desk.session.explain()
    assert word in desk.of("failed")[0].message


def test_a_long_method_sharpens_and_ends_at_its_total(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.settle()
    displayed = [e for e in desk.of("explanation") if e.label == "f"]
    assert [e.done for e in displayed] == [2, 10, 18, 26, 34, 40]
    assert [p.done for p in desk.of("progress") if p and p.total] == [2, 10, 18, 26, 34]
    assert desk.of("progress")[-1] is None


def test_cancel_takes_effect_within_one_step_and_keeps_what_is_shown(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.engine.run_next()
    session.cancel()
    assert session.progress.description == "stopping after this step"
    desk.engine.run_next()
    assert session.progress is None
    desk.settle()
    assert session.explanation.done == 10
    assert engine_process._engine().runs == {}
    assert not session.known()


def cancelled(desk, *, settled):
    """A run of class 2 that the user has stopped, or is stopping."""
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.select_class(2)
    desk.engine.run_next()
    session.cancel()
    if settled:
        desk.settle()
    return session


@pytest.mark.parametrize("settled", [True, False])
def test_another_class_does_not_begin_again_what_was_cancelled(desk, settled):
    session = cancelled(desk, settled=settled)
    session.select_class(1)
    desk.settle()
    assert (session.selected, session.stale, session.progress) == (1, True, None)
    assert (session.explanation.target, session.explanation.done) == (Target.of_class(2), 10)
    session.select_class(2)
    desk.settle()
    assert (session.stale, session.explanation.done) == (False, 10)


def test_after_a_cancel_explain_begins_again_and_then_classes_do(desk):
    session = cancelled(desk, settled=True)
    session.select_class(1)
    session.explain()
    desk.settle()
    assert (session.explanation.target, session.explanation.complete) == (Target.of_class(1), True)
    session.select_class(2)
    desk.settle()
    assert (session.explanation.target, session.explanation.complete) == (Target.of_class(2), True)


def test_after_a_cancel_known_classes_and_other_methods_show_at_once(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.select_class(1)
    while session.progress:  # no longer, or class 2 is fetched ahead
        desk.engine.run_next()
    session.select_class(2)
    session.cancel()
    desk.settle()
    assert not session.explanation.complete
    session.select_class(1)
    assert (session.stale, session.explanation.complete) == (False, True)
    desk.settle()
    assert session.known_classes == {1}  # none is fetched ahead
    session.set_method("gradient", {})
    session.select_class(2)
    desk.settle()
    assert (session.explanation.method, session.explanation.complete) == ("gradient", True)


def test_what_is_dismissed_ends_at_once_and_shows_nothing_more(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.engine.run_next()
    session.dismiss()
    assert session.progress is None
    desk.settle()
    assert (session.explanation, desk.of("explanation")[-1]) == (None, None)
    assert engine_process._engine().runs == {}
    session.explain()
    desk.settle()
    assert session.explanation.complete


def test_only_what_is_shown_is_dismissed(desk):
    """Another class that was asked for since goes on, and so do maps that are fetched ahead."""
    session = desk.show()
    session.explain()
    desk.settle()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    session.dismiss()  # the map of the method before
    desk.settle()
    assert session.explanation.method == "smoothgrad"
    assert session.explanation.complete


def test_cancel_while_waiting_for_the_model(desk):
    desk.session.open_model(MODEL)
    desk.session.set_picture(picture())
    desk.session.explain()
    desk.session.cancel()
    desk.settle()
    assert desk.session.explanation is None
    assert desk.session.progress is None


def test_live_does_not_start_again_what_was_cancelled(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.live = True
    desk.engine.run_next()
    session.cancel()
    desk.settle()
    assert session.explanation.done == 10


def test_live_explains_new_pictures_methods_and_scores(desk):
    session = desk.show()
    session.live = True
    desk.settle()
    assert session.explanation.method == "gradient"
    session.set_picture(picture(2, 50))
    desk.settle()
    np.testing.assert_allclose(session.explanation.values, 5 / 255 + 50, rtol=1e-6)
    session.set_method("grad_cam", {})
    desk.settle()
    assert session.explanation.method == "grad_cam"
    session.set_score("probability")
    desk.settle()
    assert session.explanation.target.score == "probability"


def test_without_live_a_new_picture_leaves_the_map_and_calls_it_stale(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    first = session.explanation
    session.set_picture(picture(2, 50))
    desk.settle()
    assert session.explanation is first
    assert session.stale


def test_going_back_to_a_known_picture_needs_no_method(desk):
    session = desk.show()
    session.live = True
    desk.settle()
    session.set_picture(picture(2, 50))
    desk.settle()
    engine_model().calls.clear()
    session.set_picture(picture(1, 100))
    desk.settle()
    assert "gradient" not in engine_model().calls
    np.testing.assert_allclose(session.explanation.values, 5 / 255 + 100, rtol=1e-6)


def test_an_answer_for_a_picture_that_is_gone_is_dropped(desk):
    session = desk.show()
    session.live = True
    session.set_picture(picture(2, 50))
    session.set_picture(picture(3, 20))
    desk.settle()
    displayed = {float(e.values[0, 0, 0]) for e in desk.of("explanation")}
    assert displayed == {np.float32(5 / 255 + 20)}


def test_answers_out_of_order_do_not_mix(desk):
    session = desk.show()
    session.explain()
    session.select_class(1)
    session.select_class(2)
    assert len(desk.engine.calls) >= 3
    starts, drops = desk.engine.calls[::2], desk.engine.calls[1::2]
    desk.engine.calls = starts[::-1] + drops  # the last one asked for comes first
    desk.settle()
    assert session.explanation.label == "c"
    assert session.request.target.index == 2


def test_a_picture_that_cannot_be_read_is_a_sentence(desk):
    session = desk.show()

    def broken():
        raise OSError("the disk is gone")

    session.set_picture(SourceImage(9, "broken", broken))
    desk.settle()
    assert desk.of("failed")[-1].message == "The picture cannot be used: the disk is gone."
    session.set_picture(picture(2, 50))
    desk.settle()
    session.explain()
    desk.settle()
    assert session.explanation is not None


def test_a_picture_that_could_not_be_read_is_read_again_on_explain(desk):
    session = desk.show()
    reads = iter([1])

    def broken_once():
        if next(reads, None):
            raise OSError("the disk is gone")
        return picture().read()

    session.set_picture(SourceImage(9, "broken", broken_once))
    desk.settle()
    session.explain()
    desk.settle()
    assert session.explanation is not None
    assert session.progress is None


def test_a_picture_that_one_model_failed_on_is_shown_to_the_next(desk, monkeypatch):
    session = desk.show()
    with monkeypatch.context() as patched:
        patched.setattr(Quadratic, "scores", lambda *_: 1 / 0)
        session.set_picture(picture(2))
        desk.settle()
    assert "failed on this picture" in desk.of("failed")[-1].message
    session.open_model(OTHER)
    desk.settle()
    assert session.prediction is not None


def test_a_model_that_cannot_take_the_picture_leaves_no_classes(desk, monkeypatch):
    session = desk.show()
    monkeypatch.setattr(Quadratic, "scores", failing(ValueError("five channels are needed")))
    session.set_picture(picture(2))
    desk.settle()
    assert session.prediction is None
    assert desk.of("prediction")[-1] is None


def test_cancelling_is_told_of_the_run_that_is_cancelled_and_not_of_the_next(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    assert not session.cancelling
    session.cancel()
    assert session.cancelling
    session.step_class(1)
    session.explain()
    assert not session.cancelling
    assert session.progress == desk.of("progress")[-1] == Progress(0, 0, COMPUTING)


def test_a_picture_is_told_at_once(desk):
    reported = []
    desk.session.picture_changed.connect(reported.append)
    given = picture()
    desk.session.set_picture(given)
    assert reported == [given]


def failing(error):
    def fail(*_args):
        raise error

    return fail


def test_a_method_that_fails_is_a_sentence_and_the_next_one_runs(desk):
    session = desk.show()
    session.set_method("guided_backprop", {})
    session.explain()
    desk.settle()
    assert "there is no ReLU here" in desk.of("failed")[0].message
    assert session.progress is None
    session.set_method("gradient", {})
    session.explain()
    desk.settle()
    assert session.explanation is not None


def test_an_unexpected_error_is_named_with_its_traceback_behind_it(desk, monkeypatch):
    session = desk.show()
    monkeypatch.setattr(Quadratic, "gradient", lambda *args: 1 / 0)
    session.explain()
    desk.settle()
    problem = desk.of("failed")[0]
    assert problem.message == "The map could not be computed: ZeroDivisionError: division by zero."
    assert "Traceback" in problem.details


def test_no_picture_any_more_empties_the_panel_but_not_the_layers(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    session.set_picture(None)
    assert session.prepared is None
    assert session.prediction is None
    assert session.explanation is not None


def test_after_close_nothing_comes_back(desk):
    session = desk.show()
    session.explain()
    session.close()
    before = len(desk.emitted)
    desk.settle()
    assert len(desk.emitted) == before
    assert desk.engines[-1].killed


def test_commands_after_close_do_nothing(monkeypatch, desk):
    threads = []

    def thread():
        threads.append(ThreadPoolExecutor(1))
        return threads[-1]

    session = Session(Manual, lambda answer: answer(), thread)
    session.start()
    session.set_picture(picture())
    session.close()
    session.set_picture(picture(2))
    session.open_model(MODEL)
    session.explain()
    session.stop_by_force()
    session.set_picture(None)
    session.close()


def test_a_region_is_part_of_the_question(desk, monkeypatch):
    monkeypatch.setattr(models, "open_model", lambda source, settings: Dense((4, 4, 1)))
    session = desk.show()
    session.set_picture(replace(picture("left"), contains=lambda points: points[:, 1] < 1.5))
    session.explain()
    desk.settle()
    left = session.explanation
    assert session.prepared.description[-1] == "region of 8 pixels"
    assert left.values[:, :2].all()
    assert not left.values[:, 2:].any()
    assert left.prediction.top(1) == session.prediction.top(1)
    session.set_picture(picture("whole"))
    session.explain()
    desk.settle()
    assert session.explanation.values.all()


def test_quantities_are_explained_up_unless_asked_for_down(desk, monkeypatch):
    model = Linear((4, 4, 1), activation="quantity")
    monkeypatch.setattr(models, "open_model", lambda source, settings: model)
    session = desk.show()
    for score, sign in (("logit", 1), ("decrease", -1)):
        session.set_score(score)
        session.explain()
        desk.settle()
        np.testing.assert_allclose(session.explanation.values, sign * model.weights[..., 0], rtol=1e-5)
    assert session.explanation.label == "tabby cat ↓"


def test_a_region_beside_the_picture_is_told_in_a_sentence(desk, monkeypatch):
    monkeypatch.setattr(models, "open_model", lambda source, settings: Dense((4, 4, 1)))
    session = desk.show()
    session.set_picture(replace(picture("far"), contains=lambda points: points[:, 0] > 99))
    session.explain()
    desk.settle()
    assert "the region is empty" in desk.of("failed")[0].message
    assert session.progress is None


def test_another_picture_ends_what_was_cancelled(desk):
    session = cancelled(desk, settled=False)
    session.set_picture(picture(2))
    assert session.progress is None
    assert not session.cancelling
