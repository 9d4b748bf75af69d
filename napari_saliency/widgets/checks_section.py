"""Section: whether the map is true, as far as that can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from napari_saliency.checks import CHECKS, MOST_SECONDS
from napari_saliency.widgets.curve_plot import CurveView
from napari_saliency.widgets.force_stop import CANCEL, FORCE, STOP_TIPS, Patience
from napari_saliency.widgets.progress_bar import ProgressBar
from napari_saliency.widgets.style import GAP, Section, note, row, set_text, small_print

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.checks import Finding, Level
    from napari_saliency.session.checks import Checks
    from napari_saliency.session.session import Session
    from napari_saliency.widgets.style import Colours

MARKS: dict[Level, str] = {"good": "✓", "doubtful": "?", "bad": "✗", "not applicable": "–"}
TOLD: tuple[Level, ...] = ("bad", "doubtful", "good")
"""What is counted beside the button, what must not be overlooked first."""

RUNNING = "…", "Running."
"""Mark and words of what has no verdict yet."""

INCOMPLETE = "incomplete"  # as long as fits beside the button
INCOMPLETE_TIP = "The map is not complete: run it to its end first."

START = "Check this map"
BUTTON, INDENT = 130, 18  # pixels; all of the button's texts fit, so that it stays as it is
_TIPS = {
    **STOP_TIPS,
    START: f"Run every check that takes less than about {MOST_SECONDS} seconds: does the map depend on the model, "
    "does the model use what the map shows? The others can be run one by one.",
    CANCEL: "Stop after the step that is under way; what was found stays.",
}


class CheckSection(Section):
    """One button, and a verdict for each check."""

    def __init__(self, session: Session) -> None:
        super().__init__("Check")
        self._session = session
        self.button = QPushButton(START)
        self.button.setFixedWidth(BUTTON)
        self.button.clicked.connect(self._press)
        self._patience = Patience(self, self.refresh)
        self.progress = ProgressBar()
        self.hint = small_print()
        self._beside = QStackedWidget()  # so that the button stays where it is
        self.results: dict[str, Result] = {}
        self._list = QVBoxLayout()
        self._list.setSpacing(2 * GAP)
        self.rows.removeWidget(self.heading)
        for widget in (self.hint, self.progress):
            self._beside.addWidget(widget)
        self._beside.setFixedHeight(self.progress.sizeHint().height())
        self.rows.addLayout(row(self.heading, self.button, self._beside, stretch=2))
        self.rows.addLayout(self._list)
        session.checks_changed.connect(self._show)
        for signal in ("model", "picture", "prepared", "prediction", "class", "explanation", "progress"):
            getattr(session, f"{signal}_changed").connect(self.refresh)
        self._show(session.checks.state)

    def set_colours(self, colours: Colours) -> None:
        """Follow the viewer's theme."""
        super().set_colours(colours)
        for result in self.results.values():
            result.set_colours(colours)

    def refresh(self, _change: object = None) -> None:
        """Show what can be done now."""
        checks, possible = self._session.checks.state, self._session.checks.possible
        self._patience.have(checks.cancelled)
        text = self._word()
        self.button.setText(text)
        self.button.setToolTip(INCOMPLETE_TIP if self._incomplete() else _TIPS[text])
        self.button.setEnabled(text in (CANCEL, FORCE) or (text == START and possible))
        for result in self.results.values():
            result.run.setEnabled(possible and not checks.cancelled)  # it would be stopped with the others
        self._show_progress(checks)

    def _show(self, checks: Checks) -> None:
        # In the order of the checks, so that one that is stopped goes back to its place.
        left_out = [name for name in CHECKS if name in checks.left_out]
        known = dict.fromkeys([*checks.findings, *left_out])
        for name in [name for name in self.results if name not in known]:
            gone = self.results.pop(name)
            self._list.removeWidget(gone)
            gone.hide()  # deleted when Qt comes round to it, but gone now
            gone.deleteLater()
        for place, name in enumerate(known):
            if name not in self.results:
                self.results[name] = Result(name, self.colours, self._run)
            result = self.results[name]
            if self._list.indexOf(result) != place:  # what was left out comes last
                self._list.removeWidget(result)
                self._list.insertWidget(place, result)
                result.show()  # Qt would do so later, and it takes room from the others
            result.show_finding(checks.findings.get(name), checks.left_out.get(name, ""))
        self.refresh()

    def _show_progress(self, checks: Checks) -> None:
        progress = checks.progress
        self._beside.setCurrentWidget(self.hint if progress is None else self.progress)
        if progress is not None:
            self.progress.show_progress(progress)
        elif self._incomplete():
            set_text(self.hint, INCOMPLETE, tooltip=INCOMPLETE_TIP)
        else:
            levels = [finding.level for finding in checks.findings.values()]
            given = [f"{MARKS[level]}{levels.count(level)}" for level in TOLD if level in levels]
            set_text(self.hint, " ".join(given))

    def _incomplete(self) -> bool:
        """Whether the map cannot be checked because it was stopped before its end."""
        session = self._session
        shown, stopped = session.explanation, session.progress is None and not session.stale
        return shown is not None and not shown.complete and stopped

    def _word(self) -> str:
        return self._patience.word if self._session.checks.state.waiting else START

    def _press(self) -> None:
        word = self._word()
        if word == START:
            self._run("")
        elif word == CANCEL:
            self._session.checks.cancel()
        elif word == FORCE:
            self._session.stop_by_force()

    def _run(self, name: str) -> None:
        self._session.checks.run(name)


class Result(QWidget):
    """What one check has found, or why it was not run.

    Parameters
    ----------
    name : str
        The check's id.
    colours : Colours
        Of the theme.
    run : callable
        ``run(name)`` runs a check that was left out.
    """

    def __init__(self, name: str, colours: Colours, run: Callable[[str], None]) -> None:
        super().__init__()
        self._finding: Finding | None = None
        self._runs = False
        self.mark, self.title, self.verdict = QLabel(), QLabel(CHECKS[name].title), note()
        self.mark.setFixedWidth(INDENT)
        self.mark.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title.setIndent(0)
        self.title.setToolTip(f"{CHECKS[name].summary}\n{CHECKS[name].cite}")
        self.run = QPushButton("Run")
        self.run.clicked.connect(lambda: run(name))
        self.curve = CurveView(colours)
        head = QHBoxLayout()
        head.setSpacing(0)
        for part in (self.mark, self.title):
            head.addWidget(part)
        head.addStretch(1)
        head.addWidget(self.run)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(2)
        rows.addLayout(head)
        rows.addWidget(self.verdict)
        rows.addWidget(self.curve)
        self.verdict.setIndent(0)
        self.verdict.setContentsMargins(INDENT, 0, 0, 0)
        self.set_colours(colours)

    def set_colours(self, colours: Colours) -> None:
        """Follow the viewer's theme."""
        self._colours = colours
        self._paint()

    def show_finding(self, finding: Finding | None, left_out: str) -> None:
        """Show what was found so far, or why nothing was."""
        self._finding = finding
        self._runs = finding is not None and not finding.complete
        self.run.setVisible(bool(left_out))
        self.curve.setVisible(finding is not None and bool(finding.curves))
        self._paint()
        verdict = finding.verdict if finding else ""
        set_text(self.verdict, left_out or (RUNNING[1] if self._runs else verdict), tooltip=_details(finding))

    def _paint(self) -> None:
        colours, result = self._colours, self._finding
        level: Level = (result.level if result else None) or "not applicable"
        colour = {"good": colours.good, "doubtful": colours.busy, "bad": colours.bad}.get(
            level, colours.muted
        )
        self.mark.setText(RUNNING[0] if self._runs else MARKS[level])
        self.mark.setStyleSheet(f"color: {colour.name()}; font-weight: bold;")
        unsaid = level == "not applicable"
        self.verdict.setStyleSheet(f"color: {colours.muted.name()};" if unsaid else "")
        self.curve.show_curves(result.curves if result else (), colours)


def _details(finding: Finding | None) -> str:
    """All figures, and how they were measured."""
    if finding is None:
        return ""
    return "\n".join([*(f"{name}: {value:.4g}" for name, value in finding.figures.items()), *finding.notes])
