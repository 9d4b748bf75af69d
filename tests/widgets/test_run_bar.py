"""Explain, Cancel and Stop by force, and the bar that shows the progress."""

import pytest

from napari_saliency.session.next_step import LOADING
from napari_saliency.session.state import ModelStatus, Phase, Progress
from napari_saliency.widgets import run_bar as run
from napari_saliency.widgets.checks_section import START, CheckSection
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.run_bar import CANCEL, FORCE, STOPPING, ProgressBar
from tests.staged import StagedSession
from tests.widgets.acting import look, ready

pytestmark = pytest.mark.viewer


def test_explain_needs_a_picture_and_a_model(made, session):
    bar = made(run.RunBar, session)
    assert not bar.button.isEnabled()
    look(session)
    assert bar.button.isEnabled()
    bar.button.click()
    assert session.of("explain")


def test_cancel_then_stop_by_force_when_the_step_does_not_end(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._patience.timer.setInterval(30)
    look(session)
    session.patient = True
    bar.button.click()
    assert bar.button.text() == "Cancel"
    session.finish(done=3, total=50)
    assert bar.progress.isVisible()
    assert (bar.progress.value(), bar.progress.maximum()) == (3, 50)
    bar.button.click()
    assert bar.button.text() == "Stopping…"
    assert not bar.button.isEnabled()
    qtbot.waitUntil(lambda: bar.button.text() == "Stop by force")
    bar.button.click()
    assert session.of("stop_by_force")
    assert bar.button.text() == "Explain"
    assert bar.button.isEnabled()  # which sends the request again


def test_a_model_that_does_not_end_loading_can_be_stopped(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._loading.timer.setInterval(30)
    look(session)
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    assert bar.button.text() == "Explain"  # it may be asked for before the model is there
    qtbot.waitUntil(lambda: bar.button.text() == "Stop loading")
    assert bar.button.isEnabled()
    assert "engine" in bar.button.toolTip()
    session.set_model(ModelStatus(Phase.LOADING, "loading c", "python:c:d"))
    assert bar.button.text() == "Explain"  # another one has its own time
    qtbot.waitUntil(lambda: bar.button.text() == "Stop loading")
    bar.button.click()
    assert session.of("stop_by_force")
    assert not session.of("explain")
    assert bar.button.text() == "Explain"


def test_a_model_that_loads_in_time_is_not_offered_to_be_stopped(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._loading.timer.setInterval(10)
    look(session)
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    session.set_model(ready())
    qtbot.wait(40)
    assert bar.button.text() == "Explain"


def test_what_waits_for_a_model_that_hangs_is_cancelled_before_the_model_is_stopped(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._loading.timer.setInterval(10)
    look(session)
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    session.explain()
    qtbot.wait(40)
    assert bar.button.text() == "Cancel"
    bar.button.click()
    assert bar.button.text() == "Stop loading"


def test_a_cancel_that_works_offers_no_force(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._patience.timer.setInterval(10)
    look(session)
    session.patient = True
    bar.button.click()
    bar.button.click()
    session.finish()
    qtbot.wait(40)
    assert bar.button.text() == "Explain"


def test_a_run_that_was_asked_for_since_is_not_the_cancelled_one(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._patience.timer.setInterval(30)
    look(session)
    session.patient = True
    bar.button.click()
    bar.button.click()
    assert bar.button.text() == "Stopping…"
    session.select_class(2)
    session.explain()
    assert bar.button.text() == "Cancel"
    assert bar.button.isEnabled()
    qtbot.wait(60)
    assert bar.button.text() == "Cancel"
    bar.button.click()
    assert bar.button.text() == "Stopping…"
    assert len(session.of("cancel")) == 2
    qtbot.waitUntil(lambda: bar.button.text() == "Stop by force")


def test_explain_is_offered_while_the_engine_starts(made):
    session = StagedSession(status=ModelStatus(Phase.STARTING, "starting the engine", "fake:net"))
    bar = made(run.RunBar, session)
    look(session)
    assert session.prediction is None  # nothing of the picture is known before there is a model
    assert bar.button.isEnabled()
    session.set_picture(None)
    assert not bar.button.isEnabled()


def test_progress_without_a_total_says_what_is_waited_for(made, session):
    bar = made(run.RunBar, session, width=500)
    look(session)
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    session.explain()
    assert session.progress == Progress(0, 0, LOADING)
    assert bar.progress.maximum() == 1  # an animated bar would have the whole window painted all the time
    assert bar.progress.toolTip() == LOADING


def test_a_map_of_an_earlier_choice_is_said_to_be_one(made, session):
    section = made(MethodSection, session)
    look(session)
    session.explain()
    assert section.run.hint.text() == ""
    section.choose("smoothgrad")
    assert section.run.hint.text() == run.OUTDATED


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.FAILED, Phase.LOST])
def test_a_map_is_said_to_be_of_an_earlier_choice_however_the_model_stands(made, session, phase):
    bar = made(run.RunBar, session)
    look(session)
    session.explain()
    session.set_method("smoothgrad", {})
    assert session.stale
    session.set_model(ModelStatus(phase, "in plain words", "keras:VGG16"))
    assert bar.hint.text() == run.OUTDATED
    assert bar.hint.toolTip() == run.OUTDATED_TIP


def test_the_hint_fits_beside_the_button(made, session):
    section = made(MethodSection, session, width=304)  # of a panel of 320
    look(session)
    session.explain()
    section.choose("smoothgrad")
    hint = section.run.hint
    assert hint.fontMetrics().horizontalAdvance(run.OUTDATED) + 4 <= hint.width()


def test_live_is_passed_on(made, session):
    made(run.RunBar, session).live.setChecked(True)
    assert session.live is True


def test_a_bars_words_end_where_its_room_does(made, qtbot):
    bar = made(ProgressBar, width=280)
    text = "stopping after this step, whatever it is, and however long it takes " * 3
    bar.show_progress(Progress(1, 3, text))
    assert (bar.value(), bar.maximum(), bar.toolTip()) == (1, 3, text)
    assert bar.format().endswith("…")
    assert bar.fontMetrics().horizontalAdvance(bar.format()) <= 280
    bar.resize(60, bar.height())
    qtbot.waitUntil(lambda: bar.fontMetrics().horizontalAdvance(bar.format()) <= 60)
    bar.resize(4000, bar.height())
    qtbot.waitUntil(lambda: bar.format() == text)


@pytest.mark.parametrize(
    ("section", "texts"),
    [("check", (START, CANCEL, STOPPING, FORCE)), ("run", run._TIPS)],
)
def test_a_button_is_wide_enough_for_all_that_it_says(made, session, section, texts):
    of = made(CheckSection, session) if section == "check" else made(run.RunBar, session)
    for text in texts:
        of.button.setText(text)
        assert of.button.sizeHint().width() <= of.button.width(), text
