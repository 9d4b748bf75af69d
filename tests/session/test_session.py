"""The inspection, without Qt, napari or a framework: its engine runs when the test says so."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_saliency import models
from napari_saliency.core.errors import ModelError, ModelTimeoutError, UntrustedError
from napari_saliency.core.types import Target
from napari_saliency.engine import process as engine_process
from napari_saliency.models import InputSpec, Layer, Model, ModelInfo, Settings, Tap
from napari_saliency.models.layer_view import describe_layer_view
from napari_saliency.session import model_loader
from napari_saliency.session.selection import ClassSelection
from napari_saliency.session.session import Session
from napari_saliency.session.state import ExplanationCache, Phase, SourceImage
from tests.analytic import Dense, Linear
from tests.executors import Immediate, Manual

MODEL, OTHER = "keras:MobileNetV2", "keras:VGG16"
SLOW = {"samples": 40}  # several steps


class Quadratic(Model):
    """Scores ``sum(a_k x + x² / 2)``: the gradient ``a_k + x`` depends on picture and class."""

    def __init__(self, source, settings):
        other = settings.output == "other"
        self.slopes = -np.arange(2, dtype=np.float32) if other else np.arange(6, dtype=np.float32)
        self.calls = []
        labels = settings.labels or tuple("abcdef")[: len(self.slopes)]
        self.info = ModelInfo(
            source,
            source,
            InputSpec((4, 4), 1),
            labels,
            layers=(Layer("late", (4, 4), 1),),
            cam_layer="late",
            fingerprint=f"print of {source}",
            questions=() if settings.labels else ("labels",),
            outputs=("other", "first") if other else ("first", "other"),
        )

    def with_settings(self, settings):
        return Quadratic(self.info.source, settings)

    def scores(self, x):
        self.calls.append("scores")
        return (self.slopes * x.sum((1, 2, 3))[:, None] / 255 + (x**2).sum((1, 2, 3))[:, None] / 2).astype(
            np.float32
        )

    def gradient(self, x, targets, rule=None):
        self.calls.append("gradient")
        if rule:
            raise ModelError("there is no ReLU here")
        slope = (targets.weights @ self.slopes)[:, None, None, None]
        return self.scores(x).sum(1), (slope / 255 + x).astype(np.float32)

    def tap(self, x, targets, layer):
        return Tap(x, self.gradient(x, targets)[1])

    def view_layer(self, layer):
        if layer != "late":
            raise ModelError(f"no layer {layer!r}")
        return Squares(self)


class Squares(Model):
    """Inside `Quadratic`: one layer with two channels, ``x²`` and ``-x``."""

    def __init__(self, whole):
        self.calls = whole.calls
        self.info = describe_layer_view(whole.info, Layer("late", (4, 4), 2), ())

    def with_settings(self, settings):
        raise AssertionError("settings are said of the whole model")

    def scores(self, x):
        self.calls.append("view_layer")
        return np.concatenate([x**2, -x], -1)

    def gradient(self, x, targets, rule=None):
        slopes = np.concatenate([2 * x, np.full_like(x, -1)], -1)
        return self.weigh(self.scores(x), targets), (targets.weights * slopes).sum(-1, keepdims=True)

    def tap(self, x, targets, layer):
        raise self.no_layer(layer)


class Desk:
    """An inspection with everything that it emitted, and an engine that waits to be told."""

    def __init__(self):
        self.engines, self.emitted, self.later = [], [], Later()
        self.session = Session(self._start, lambda answer: answer(), Immediate, self.later)
        for name in ("model", "prepared", "prediction", "class", "known_classes", "progress", "explanation"):
            signal = getattr(self.session, f"{name}_changed")
            signal.connect(lambda value, name=name: self.emitted.append((name, value)))
        self.session.failed.connect(lambda problem: self.emitted.append(("failed", problem)))
        self.session.start()

    def _start(self):
        self.engines.append(Manual())
        return self.engines[-1]

    @property
    def engine(self):
        return self.engines[-1]

    def of(self, name):
        return [value for emitted, value in self.emitted if emitted == name]

    def settle(self):
        while self.engine.calls:
            self.engine.run_next()

    def show(self, key=1, value=100, **model):
        """Open the model, give it a picture, and wait until both are looked at."""
        self.session.open_model(MODEL, **model)
        self.session.set_picture(picture(key, value))
        self.settle()
        return self.session


def picture(key=1, value=100):
    return SourceImage(key, f"picture {key}", lambda: (np.full((4, 4), value, np.uint8), None))


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(engine_process, "FRAMEWORKS", ())
    monkeypatch.setattr(engine_process, "ANSWER", 0)  # every step is an answer, however fast
    monkeypatch.setattr(models, "open_model", Quadratic)
    engine_process._engine.cache_clear()
    desk = Desk()
    yield desk
    desk.session.close()
    engine_process._engine.cache_clear()


def engine_model():
    return engine_process._engine().model


def test_the_engine_starts_before_it_is_needed(desk):
    assert desk.session.model.phase is Phase.STARTING
    desk.settle()
    assert desk.session.model.phase is Phase.NONE


def test_model_goes_from_starting_to_ready_in_words(desk):
    desk.session.open_model(MODEL)
    desk.settle()
    assert [status.phase for status in desk.of("model")] == [Phase.STARTING, Phase.LOADING, Phase.READY]
    assert desk.session.model.description == "ready: 4×4 grey, 6 classes"


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


@pytest.mark.parametrize("when", ["begun", "asked"])
def test_an_engine_that_cannot_be_had_is_told(desk, when):
    """No process, no memory for one, or nobody at an address."""

    class Unreachable(Manual):
        def submit(self, function, /, *args, **kwargs):
            raise OSError("no process is left")

    def none():
        raise OSError("no process is left")

    problems, posted = [], []
    session = Session(none if when == "begun" else Unreachable, posted.append, Immediate)
    session.failed.connect(problems.append)
    session.start()
    session.open_model(MODEL)
    while posted:
        posted.pop(0)()
    assert session.model.phase is Phase.FAILED
    assert "no process is left" in problems[-1].message
    assert "Explain" in problems[-1].message  # the way out
    session.close()


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


def test_an_engine_that_is_lost_comes_back_inside_the_layer(desk):
    session = desk.show()
    session.view_layer("late")
    desk.settle()
    session.explain()
    desk.engine.die()
    desk.settle()
    assert session.model.info.viewed_layer == "late"
    session.open_model(OTHER)
    desk.settle()
    assert session.model.info.viewed_layer == ""


def test_a_layer_that_does_not_exist_is_a_sentence_and_the_model_opens_again(desk):
    session = desk.show()
    session.view_layer("nowhere")
    desk.settle()
    assert "no layer 'nowhere'" in desk.of("failed")[0].message
    session.view_layer("")
    desk.settle()
    assert session.model.phase is Phase.READY


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


def test_a_model_that_does_not_open_is_a_sentence_and_another_one_opens(desk, monkeypatch):
    def refuse(source, settings):
        raise ModelError("it is not a model")

    monkeypatch.setattr(models, "open_model", refuse)
    desk.session.open_model(MODEL)
    desk.settle()
    assert desk.session.model.phase is Phase.FAILED
    assert desk.of("failed")[0].message == "keras:MobileNetV2 does not open: it is not a model."
    monkeypatch.setattr(models, "open_model", Quadratic)
    desk.session.open_model(OTHER)
    desk.settle()
    assert desk.session.model.phase is Phase.READY


def test_the_classes_of_another_model_are_not_offered_while_it_loads(desk):
    session = desk.show()
    session.open_model(OTHER)
    assert session.prediction is None
    assert desk.of("prediction")[-1] is None
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


def test_a_picture_is_told_at_once(desk):
    reported = []
    desk.session.picture_changed.connect(reported.append)
    given = picture()
    desk.session.set_picture(given)
    assert reported == [given]


def test_a_model_file_that_is_gone_keeps_no_answers(desk, monkeypatch, tmp_path):
    file = tmp_path / "net.keras"
    file.write_bytes(b"")
    desk.session.open_model(str(file))
    file.unlink()
    desk.session.answer(Settings(labels=tuple("uvwxyz")))
    assert str(file) in desk.of("failed")[-1].message


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


def test_an_engine_killed_in_a_run_comes_back_and_the_request_can_be_sent_again(desk):
    session = desk.show()
    session.select_class(1)
    desk.settle()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.engine.run_next()
    displayed = session.explanation
    desk.engine.die()
    assert "Press Explain" in desk.of("failed")[0].message
    assert session.explanation is displayed
    assert session.progress is None
    assert Phase.LOST in [status.phase for status in desk.of("model")]
    engine_process._engine.cache_clear()  # the new process knows nothing
    desk.settle()
    assert session.model.phase is Phase.READY
    assert session.selected == 1
    assert session.explanation is displayed  # what may have killed the engine is not sent again by itself
    session.explain()
    desk.settle()
    assert session.explanation.complete
    assert len(desk.of("failed")) == 1


def test_known_classes_show_while_the_engine_starts_again(desk):
    session = desk.show()
    session.explain()
    desk.settle()
    assert len(session.known_classes) > 1
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.engine.die()
    session.set_method("gradient", {})
    assert session.model.phase is not Phase.READY
    displayed = session.explanation
    session.step_class(1)
    assert session.explanation is not displayed
    assert session.progress is None
    desk.settle()
    assert session.model.phase is Phase.READY


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


def test_an_engine_killed_while_predicting_is_not_fed_the_same_picture_by_itself(desk):
    session = desk.show()
    session.set_picture(picture(2, 50))
    desk.engine.die()
    engine_process._engine.cache_clear()
    desk.settle()
    assert session.prediction is None
    assert session.model.phase is Phase.READY
    session.explain()
    desk.settle()
    assert session.explanation.score > 0


def test_a_model_that_kills_the_engine_on_loading_is_not_loaded_again(desk):
    desk.settle()
    desk.session.open_model(MODEL)
    desk.engine.die()
    assert desk.session.model.phase is Phase.FAILED
    assert "more memory" in desk.session.model.description
    desk.settle()
    assert desk.session.model.phase is Phase.FAILED
    assert len(desk.engines) == 2
    desk.session.open_model(OTHER)
    desk.settle()
    assert desk.session.model.phase is Phase.READY


def test_an_engine_that_cannot_start_is_not_started_for_ever(desk):
    desk.engine.die()
    assert desk.session.model.phase is Phase.FAILED
    assert len(desk.engines) == 1
    desk.session.open_model(MODEL)  # asked for: try once more
    desk.settle()
    assert desk.session.model.phase is Phase.READY


def test_stop_by_force_ends_the_engine_and_loses_nothing(desk):
    session = desk.show()
    session.set_method("smoothgrad", SLOW)
    session.explain()
    desk.engine.run_next()
    displayed, first = session.explanation, desk.engine
    session.stop_by_force()
    assert first.killed
    assert session.progress is None
    desk.settle()
    assert session.model.phase is Phase.READY
    assert session.explanation is displayed
    session.explain()
    desk.settle()
    assert session.explanation.complete


def test_answers_are_kept_beside_the_model_and_used(desk, monkeypatch, tmp_path):
    file = tmp_path / "mine.keras"
    file.write_bytes(b"")
    desk.session.open_model(str(file))
    desk.settle()
    assert desk.session.model.info.questions == ("labels",)
    desk.session.answer(Settings(labels=tuple("uvwxyz")))
    desk.settle()
    assert desk.session.model.info.labels == tuple("uvwxyz")
    assert Settings.read_sidecar(file).labels == tuple("uvwxyz")


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
    session.set_picture(picture())
    session.close()
    session.set_picture(picture(2))
    session.open_model(MODEL)
    session.explain()
    session.stop_by_force()
    session.set_picture(None)
    session.close()


# Outputs with space, and quantities


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


def test_what_was_said_before_still_holds(desk):
    session = desk.show()
    session.answer(Settings(preprocessing="tf"))
    desk.settle()
    session.answer(Settings(labels=tuple("uvwxyz")))
    desk.settle()
    assert session._choice.model.settings.given() == {"preprocessing": "tf", "labels": tuple("uvwxyz")}


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A model's file, with what stands beside it; models that are asked for 9 names refuse."""
    path = tmp_path / "net.keras"
    path.touch()

    def open_model(source, settings):
        whole = settings.over(Settings.read_sidecar(Path(source)))
        if whole.labels and len(whole.labels) != 6:
            raise ModelError(f"{len(whole.labels)} class names are given for a model with 6 classes")
        return Quadratic(source, whole)

    monkeypatch.setattr(models, "open_model", open_model)
    monkeypatch.setattr(
        Quadratic, "with_settings", lambda self, settings: open_model(self.info.source, settings)
    )
    return path


@pytest.mark.parametrize("before", [{}, {"fit": "pad", "labels": ["u", "v", "w", "x", "y", "z"]}])
def test_an_answer_that_the_model_refuses_is_taken_back(desk, own_file, before):
    beside = own_file.with_name("net.saliency.json")
    if before:
        beside.write_text(json.dumps(before))
    text = beside.read_text() if before else None
    session = desk.session
    session.open_model(str(own_file))
    desk.settle()
    known = session.model.info
    session.answer(Settings(labels=tuple("123456789")))
    desk.settle()
    assert "9 class names are given" in desk.of("failed")[0].message
    assert session.model.phase is Phase.READY
    for part in ("net.keras", "9 class names are given for a model with 6 classes"):
        assert part in session.model.objection
    assert session.model.info == known
    assert (beside.read_text() if beside.exists() else None) == text
    session.answer(Settings(labels=tuple("abcdef")))
    assert not session.model.objection
    desk.settle()
    assert Settings.read_sidecar(own_file).labels == tuple("abcdef")


def test_an_answer_is_not_taken_back_because_another_model_fails(desk, own_file):
    session = desk.session
    session.open_model(str(own_file))
    desk.settle()
    session.answer(Settings(labels=tuple("abcdef")))
    other = own_file.with_name("other.keras")
    other.with_name("other.saliency.json").write_text('{"labels": ["one"]}')
    other.touch()
    session.open_model(str(other))
    desk.settle()
    assert (session.model.source, session.model.phase) == (str(other), Phase.FAILED)
    assert Settings.read_sidecar(own_file).labels == tuple("abcdef")


def test_names_go_with_the_output_that_they_were_given_for(desk, own_file):
    own_file.with_name("net.saliency.json").write_text(
        '{"labels": ["u", "v", "w", "x", "y", "z"], "fit": "pad"}'
    )
    desk.session.open_model(str(own_file))
    desk.settle()
    desk.session.answer(Settings(output="age"))
    desk.settle()
    own = {
        "first": {"labels": tuple("uvwxyz")}
    }  # nobody had said which output, so it is the one that was shown
    assert Settings.read_sidecar(own_file).given() == {"output": "age", "fit": "pad", "outputs": own}


# Programs


def test_a_program_is_asked_about_and_runs_after_the_yes(desk, monkeypatch):
    said = []

    def open_model(source, settings):
        if not said:
            raise UntrustedError("opening net runs the program mine.py", "/home/me/mine.py")
        return Quadratic(source, settings)

    monkeypatch.setattr(models, "open_model", open_model)
    monkeypatch.setattr(model_loader, "trust", lambda source, *, custom: said.append((source, custom)))
    monkeypatch.setattr(engine_process, "_version", lambda source, settings: (source, ""))
    session = desk.session
    session.set_picture(picture())
    session.open_model("python:mine:net", Settings(custom="mine"))
    session.explain()
    desk.settle()
    assert (session.model.phase, session.model.program) == (Phase.FAILED, "/home/me/mine.py")
    assert not desk.of("failed")  # it is a question, and no fault
    session.trust()
    desk.settle()
    assert said == [("python:mine:net", "mine")]
    assert session.model.phase is Phase.READY
    assert session.explanation is not None  # what was asked for before the question


def test_a_yes_that_cannot_be_kept_is_told(desk, monkeypatch):
    def trust(source, *, custom):
        raise OSError("the disk is full")

    monkeypatch.setattr(model_loader, "trust", trust)
    desk.session.open_model(MODEL)
    desk.session.trust()
    assert "the disk is full" in desk.of("failed")[0].message


# Models that do not load


class Later:
    """A clock that stands still until the test says that time has passed."""

    def __init__(self):
        self.now, self.waiting = 0, []

    def __call__(self, seconds, call):
        assert seconds > 0
        self.waiting.append((self.now + seconds, call))

    def pass_by(self, seconds=model_loader.PATIENCE):
        self.now += seconds
        due = [call for when, call in self.waiting if when <= self.now]
        self.waiting = [(when, call) for when, call in self.waiting if when > self.now]
        for call in due:
            call()


@pytest.fixture
def stuck(desk):
    """Return a desk whose engine is loading a model, and does not end."""
    desk.settle()
    desk.session.set_picture(picture())
    desk.session.open_model(MODEL)
    assert desk.session.model.phase is Phase.LOADING
    return desk


def test_another_model_ends_an_engine_that_is_stuck_in_the_one_before(stuck):
    session, first = stuck.session, stuck.engine
    session.open_model(OTHER)
    session.explain()
    assert not first.killed  # a short while, it may still end
    stuck.later.pass_by()
    assert first.killed
    assert any("does not end" in status.description for status in stuck.of("model"))
    stuck.settle()
    assert (session.model.phase, session.model.source) == (Phase.READY, OTHER)
    assert session.explanation is not None  # it was not what hung
    assert len(stuck.engines) == 2
    stuck.later.pass_by()
    assert len(stuck.engines) == 2


def test_a_model_that_loads_in_time_keeps_the_engine(stuck):
    first = stuck.engine
    stuck.session.open_model(OTHER)
    first.run_next()  # the first model is there, though nobody wants it any more
    stuck.later.pass_by()
    assert not first.killed
    stuck.settle()
    assert (stuck.session.model.phase, stuck.session.model.source) == (Phase.READY, OTHER)


def test_the_second_of_three_models_may_be_what_hangs(stuck):
    first = stuck.engine
    stuck.session.open_model("keras:ResNet50")
    stuck.session.open_model(OTHER)
    stuck.later.pass_by(2)
    first.run_next()
    stuck.later.pass_by(2)
    assert not first.killed  # the second one has had no more than two seconds
    stuck.later.pass_by(2)
    assert first.killed
    stuck.settle()
    assert (stuck.session.model.phase, stuck.session.model.source) == (Phase.READY, OTHER)


def test_patience_with_a_model_begins_when_the_engine_is_there(desk):
    desk.session.open_model(MODEL)
    desk.session.open_model(OTHER)
    desk.later.pass_by()
    assert not desk.engine.killed
    desk.engine.run_next()  # the engine is there
    desk.later.pass_by(2)
    assert not desk.engine.killed
    desk.engine.run_next()
    desk.later.pass_by()
    desk.settle()
    assert len(desk.engines) == 1
    assert (desk.session.model.phase, desk.session.model.source) == (Phase.READY, OTHER)


def test_a_model_that_hangs_is_stopped_by_force_and_not_loaded_again_by_itself(stuck):
    session, first = stuck.session, stuck.engine
    session.explain()
    session.stop_by_force()
    assert first.killed
    assert session.progress is None
    assert not stuck.of("failed")  # it is what was asked for
    for _ in range(2):
        assert session.model.phase is Phase.FAILED
        for part in ("keras:MobileNetV2 was stopped", "Explain"):
            assert part in session.model.description
        stuck.settle()
    session.open_model(OTHER)
    stuck.settle()
    assert session.model.phase is Phase.READY
    assert session.explanation is None
    session.open_model(MODEL)
    session.stop_by_force()
    session.explain()  # tries it again
    stuck.settle()
    assert session.model.source == MODEL
    assert session.explanation is not None


@pytest.mark.parametrize("other", [False, True])
def test_a_model_that_does_not_end_leaves_no_engine_that_goes_on_with_it(stuck, monkeypatch, other):
    def endless(source, settings):
        monkeypatch.setattr(models, "open_model", Quadratic)
        raise ModelTimeoutError("it has a loop")

    monkeypatch.setattr(models, "open_model", endless)
    session, first = stuck.session, stuck.engine
    if other:
        session.open_model(OTHER)
    first.run_next()
    assert first.killed
    stuck.settle()
    assert len(stuck.engines) == 2
    if other:
        assert (session.model.phase, session.model.source) == (Phase.READY, OTHER)
        return
    assert session.model.phase is Phase.FAILED
    assert [p.message for p in stuck.of("failed")] == ["keras:MobileNetV2 does not open: it has a loop."]
    session.explain()  # tries it again
    stuck.settle()
    assert session.model.phase is Phase.READY
