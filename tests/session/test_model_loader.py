"""Engines and models that come, are lost, hang, and come back."""

import json
from pathlib import Path

import pytest

from napari_saliency import models
from napari_saliency.core.errors import ModelError, ModelTimeoutError, UntrustedError
from napari_saliency.engine import process as engine_process
from napari_saliency.models import Settings
from napari_saliency.session import model_loader
from napari_saliency.session.session import Session
from napari_saliency.session.state import Phase
from tests.desk import MODEL, OTHER, SLOW, Quadratic, picture
from tests.executors import Immediate, Manual


def test_the_engine_starts_before_it_is_needed(desk):
    assert desk.session.model.phase is Phase.STARTING
    desk.settle()
    assert desk.session.model.phase is Phase.NONE


def test_model_goes_from_starting_to_ready_in_words(desk):
    desk.session.open_model(MODEL)
    desk.settle()
    assert [status.phase for status in desk.of("model")] == [Phase.STARTING, Phase.LOADING, Phase.READY]
    assert desk.session.model.description == "ready: 4×4 grey, 6 classes"


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


def test_a_model_file_that_is_gone_keeps_no_answers(desk, monkeypatch, tmp_path):
    file = tmp_path / "net.keras"
    file.write_bytes(b"")
    desk.session.open_model(str(file))
    file.unlink()
    desk.session.answer(Settings(labels=tuple("uvwxyz")))
    assert str(file) in desk.of("failed")[-1].message


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
