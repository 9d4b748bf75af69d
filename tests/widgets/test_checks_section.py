"""The Check section: one button, and a verdict for each check."""

import pytest
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea

from napari_saliency.checks import CHECKS, MOST_SECONDS, Finding
from napari_saliency.session.state import Progress
from napari_saliency.widgets.checks_section import MARKS, START, CheckSection
from napari_saliency.widgets.run_bar import CANCEL, FORCE, STOPPING
from tests.widgets.acting import LINES, finding_of, look

pytestmark = pytest.mark.viewer


def test_check_is_one_button_that_is_of_use_when_there_is_a_map(check, session, qtbot):
    look(session)
    assert not check.button.isEnabled()
    session.explain()
    assert check.button.text() == "Check this map"
    assert check.button.isEnabled()
    assert not check.results
    qtbot.mouseClick(check.button, Qt.MouseButton.LeftButton)
    assert session.of("checks.run") == [("checks.run", "")]
    assert "It is so." in {result.verdict.text() for result in check.results.values()}
    session.dismiss()
    assert not check.button.isEnabled()


def test_a_map_that_was_stopped_is_told_to_be_incomplete_beside_the_grey_button(check, session):
    look(session)
    session.patient = True
    session.explain()
    session.finish(done=3, total=50)
    session.cancel()
    assert session.progress == Progress(3, 50, "stopping after this step")
    assert not check.hint.text()  # it may yet end
    session.finish(done=4, total=50)
    assert session.progress is None
    assert not check.button.isEnabled()
    assert check.hint.text() == "incomplete"
    assert "Explain" in check.hint.toolTip()  # the way out
    assert check.button.toolTip() == check.hint.toolTip()
    session.select_class(2)
    assert session.stale
    assert not check.hint.text()  # another map is asked for; that it is outdated stands elsewhere
    session.explain()
    session.finish()
    assert check.button.isEnabled()
    assert not check.hint.text()
    assert f"{MOST_SECONDS} seconds" in check.button.toolTip()


def test_check_shows_how_far_it_is_and_can_be_cancelled(check, session, qtbot):
    session.show_checks(findings={"deletion": Finding(3, 12)}, waiting=("deletion", "insertion"))
    assert (check.button.text(), check.progress.value(), check.progress.maximum()) == ("Cancel", 3, 12)
    assert check.progress.isVisible()
    assert check.progress.format() == "Deletion"
    qtbot.mouseClick(check.button, Qt.MouseButton.LeftButton)
    assert session.of("checks.cancel") == [("checks.cancel",)]
    assert not session.of("checks.run")
    session.show_checks(waiting=("deletion",), cancelled=True)
    assert check.button.text() == "Stopping…"
    assert not check.button.isEnabled()
    session.show_checks()
    assert not check.progress.isVisible()


def test_a_check_that_does_not_end_can_be_stopped_by_force(check, session, qtbot):
    check._patience.timer.setInterval(30)
    session.show_checks(left_out={"insertion": "Long."}, waiting=("deletion",), cancelled=True)
    assert check.button.text() == STOPPING
    assert not check.results["insertion"].run.isEnabled()  # it would be stopped, too
    qtbot.waitUntil(lambda: check.button.text() == FORCE)
    assert check.button.isEnabled()
    assert "engine" in check.button.toolTip()
    qtbot.mouseClick(check.button, Qt.MouseButton.LeftButton)
    assert session.of("stop_by_force")
    assert not session.of("checks.cancel")
    assert not session.of("checks.run")
    session.show_checks(left_out={"deletion": "It was stopped."})
    assert check.button.text() == START
    session.show_checks(waiting=("deletion",))
    assert check.button.text() == CANCEL  # another one has its own time


def test_a_check_that_ends_when_it_is_cancelled_offers_no_force(check, session, qtbot):
    check._patience.timer.setInterval(10)
    session.show_checks(waiting=("deletion",), cancelled=True)
    session.show_checks(left_out={"deletion": "It was stopped."})
    qtbot.wait(40)
    assert check.button.text() == START


def test_check_never_shows_a_bar_without_a_total(check, session):
    session.show_checks(waiting=("deletion",))
    assert check.progress.maximum() == 1


@pytest.mark.parametrize("level", ["good", "doubtful", "bad", "not applicable"])
def test_each_check_has_a_mark_a_verdict_and_its_figures(check, session, level):
    session.show_checks(findings={"deletion": finding_of(level)})
    result = check.results["deletion"]
    assert result.title.text() == "Deletion"
    assert result.mark.text() == MARKS[level]
    assert result.verdict.text() == "It is so."
    assert result.verdict.toolTip() == "area: 0.25\nHow it was."
    assert not result.run.isVisible()
    assert not result.curve.isVisible()
    colour = {"good": "good", "doubtful": "busy", "bad": "bad"}.get(level, "muted")
    assert getattr(check.colours, colour).name() in result.mark.styleSheet()


def test_what_runs_has_a_mark_and_words_of_its_own(check, session):
    session.show_checks(findings={"deletion": Finding(3, 12)}, waiting=("deletion",))
    result = check.results["deletion"]
    assert (result.mark.text(), result.verdict.text()) == ("…", "Running.")
    assert result.mark.text() not in MARKS.values()
    assert not result.run.isVisible()
    session.show_checks(findings={"deletion": finding_of()})
    assert (result.mark.text(), result.verdict.text()) == ("✓", "It is so.")


def test_the_levels_are_counted_the_worst_first(check, session):
    levels = ("good", "good", "bad", "not applicable")
    names = ("mass", "sparseness", "deletion", "insertion")
    session.show_checks(findings={n: finding_of(level) for n, level in zip(names, levels, strict=True)})
    assert check.hint.text().split() == ["✗1", "✓2"]


def test_what_was_left_out_says_why_and_can_be_run(check, session, qtbot):
    look(session)
    session.explain()
    session.show_checks(left_out={"insertion": "It would take long."})
    result = check.results["insertion"]
    assert result.verdict.text() == "It would take long."
    qtbot.mouseClick(result.run, Qt.MouseButton.LeftButton)
    assert session.of("checks.run") == [("checks.run", "insertion")]


def test_rows_go_with_what_was_found(check, session, qtbot):
    session.show_checks(findings={"mass": finding_of(), "deletion": finding_of()})
    assert list(check.results) == ["mass", "deletion"]
    session.show_checks(findings={"deletion": finding_of("bad")})
    assert list(check.results) == ["deletion"]
    session.show_checks()
    assert not check.results


def test_what_was_left_out_comes_last(check, session):
    session.show_checks(left_out={"insertion": "Long."}, waiting=("mass",))
    session.show_checks(findings={"mass": finding_of()}, left_out={"insertion": "Long."})
    listed = [check._list.itemAt(n).widget().title.text() for n in range(check._list.count())]
    assert listed == ["Mass in the region", "Insertion"]
    session.show_checks(findings={"insertion": finding_of(), "mass": finding_of()})
    listed = [check._list.itemAt(n).widget().title.text() for n in range(check._list.count())]
    assert listed == ["Insertion", "Mass in the region"]


def test_one_that_is_stopped_goes_back_to_its_place(check, session):
    long = {"max_sensitivity": "Long."}
    session.show_checks(left_out={"insertion": "Long.", **long})
    session.show_checks(left_out=long, waiting=("insertion",))
    session.show_checks(left_out={**long, "insertion": "It was stopped."})
    places = {check._list.indexOf(result): name for name, result in check.results.items()}
    assert [places[place] for place in sorted(places)] == ["insertion", "max_sensitivity"]


@pytest.mark.parametrize("width", [280, 500])
def test_long_verdicts_are_read_in_full_at_every_width(made, session, width):
    section = made(CheckSection, session, width=width)
    session.show_checks(
        findings={"deletion": finding_of(verdict="A long verdict with many words. " * 5, curves=LINES)}
    )
    verdict = section.results["deletion"].verdict
    assert section.minimumSizeHint().width() <= 270
    assert verdict.hasHeightForWidth()
    assert verdict.text().count("many words") == 5


class Cramped(QObject):
    """Notes the wrapped labels that are painted with less height than their lines take."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def eventFilter(self, label, event):
        painted = event.type() == QEvent.Type.Paint and isinstance(label, QLabel) and label.wordWrap()
        if painted and label.height() < label.heightForWidth(label.width()):
            self.texts.append(label.text())
        return False


def test_no_verdict_is_painted_in_the_room_of_fewer_lines_not_for_a_moment(made, session, qtbot):
    area = made(QScrollArea, width=340)  # as in the panel
    area.setWidgetResizable(True)
    section = CheckSection(session)
    area.setWidget(section)
    qtbot.waitExposed(area)
    cramped, known = Cramped(), {}
    application = QApplication.instance()
    application.installEventFilter(cramped)
    for number, name in enumerate(CHECKS):
        for done in (3, 4):
            session.show_checks(findings={**known, name: Finding(done, 12)}, waiting=(name,))
            qtbot.wait(5)
        known[name] = finding_of(verdict="A verdict of a few lines. " * 4, curves=LINES[: number % 2])
        session.show_checks(findings=known)
        verdict = section.results[name].verdict
        assert verdict.height() >= verdict.heightForWidth(verdict.width())  # before Qt can paint
        qtbot.wait(5)
    application.removeEventFilter(cramped)
    assert not cramped.texts
