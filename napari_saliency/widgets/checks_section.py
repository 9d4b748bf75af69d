"""Section: checks of whether the map is faithful to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from napari_saliency.checks import CHECKS, MOST_SECONDS
from napari_saliency.widgets.curve_plot import CurveView
from napari_saliency.widgets.run_bar import CANCEL, FORCE, STOP_TIPS, Patience, ProgressBar
from napari_saliency.widgets.style import GAP, Section, note, row, set_text, small_print

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.checks import Finding, Level
    from napari_saliency.session.checks import Checks
    from napari_saliency.session.session import Session
    from napari_saliency.widgets.style import Colours

MARKS: dict[Level, str] = {"good": "✓", "doubtful": "?", "bad": "✗", "not applicable": "–"}
COUNTED: tuple[Level, ...] = ("bad", "doubtful", "good")
"""Levels that are counted beside the button, the most important first."""

RUNNING = "…", "Running."
"""Mark and text of a check that has no verdict yet."""

INCOMPLETE = "incomplete"  # short enough for the space beside the button
INCOMPLETE_TIP = "The map was stopped before its end. Press Explain to complete it first."

START = "Check this map"
BUTTON, INDENT = 130, 18  # pixels; every text of the button fits, so that its width does not change
_TIPS = {
    **STOP_TIPS,
    START: f"Run all checks that take less than about {MOST_SECONDS} seconds: does the map depend on the model, "
    "and does the model use what the map shows? Longer checks can be run one by one.",
    CANCEL: "Stop after the current step and keep the findings so far.",
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
        self._status = QStackedWidget()  # one place for both, so that the button does not move
        self.results: dict[str, Result] = {}
        self._list = QVBoxLayout()
        self._list.setSpacing(2 * GAP)
        self.rows.removeWidget(self.heading)
        for widget in (self.hint, self.progress):
            self._status.addWidget(widget)
        self._status.setFixedHeight(self.progress.sizeHint().height())
        self.rows.addLayout(row(self.heading, self.button, self._status, stretch=2))
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
        self._patience.wait_for(checks.cancelled)
        text = self._label()
        self.button.setText(text)
        self.button.setToolTip(INCOMPLETE_TIP if self._incomplete() else _TIPS[text])
        self.button.setEnabled(text in (CANCEL, FORCE) or (text == START and possible))
        for result in self.results.values():
            # While others are being cancelled, a new check would be cancelled with them.
            result.run.setEnabled(possible and not checks.cancelled)
        self._show_progress(checks)

    def _show(self, checks: Checks) -> None:
        # In the order of the checks, so that a check that was stopped returns to its place.
        left_out = [name for name in CHECKS if name in checks.left_out]
        known = dict.fromkeys([*checks.findings, *left_out])
        for name in [name for name in self.results if name not in known]:
            gone = self.results.pop(name)
            self._list.removeWidget(gone)
            gone.hide()  # Qt deletes it later
            gone.deleteLater()
        for place, name in enumerate(known):
            if name not in self.results:
                self.results[name] = Result(name, self.colours, self._run)
            result = self.results[name]
            if self._list.indexOf(result) != place:  # checks that were left out come last
                self._list.removeWidget(result)
                self._list.insertWidget(place, result)
                result.show()  # Qt would do so later, and it takes room from the others
            result.show_finding(checks.findings.get(name), checks.left_out.get(name, ""))
        self.refresh()

    def _show_progress(self, checks: Checks) -> None:
        progress = checks.progress
        self._status.setCurrentWidget(self.hint if progress is None else self.progress)
        if progress is not None:
            self.progress.show_progress(progress)
        elif self._incomplete():
            set_text(self.hint, INCOMPLETE, tooltip=INCOMPLETE_TIP)
        else:
            levels = [finding.level for finding in checks.findings.values()]
            given = [f"{MARKS[level]}{levels.count(level)}" for level in COUNTED if level in levels]
            set_text(self.hint, " ".join(given))

    def _incomplete(self) -> bool:
        """Return whether the map cannot be checked because it was stopped before its end."""
        session = self._session
        shown, stopped = session.explanation, session.progress is None and not session.stale
        return shown is not None and not shown.complete and stopped

    def _label(self) -> str:
        return self._patience.label if self._session.checks.state.waiting else START

    def _press(self) -> None:
        label = self._label()
        if label == START:
            self._run("")
        elif label == CANCEL:
            self._session.checks.cancel()
        elif label == FORCE:
            self._session.stop_by_force()

    def _run(self, name: str) -> None:
        self._session.checks.run(name)


class Result(QWidget):
    """The finding of one check, or the reason why it was not run.

    Parameters
    ----------
    name : str
        Id of the check.
    colours : Colours
        Colours of the theme.
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
        """Show the finding so far, or why there is none."""
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
        neutral = level == "not applicable"
        self.verdict.setStyleSheet(f"color: {colours.muted.name()};" if neutral else "")
        self.curve.show_curves(result.curves if result else (), colours)


def _details(finding: Finding | None) -> str:
    """List all figures of a finding, and how they were measured."""
    if finding is None:
        return ""
    return "\n".join([*(f"{name}: {value:.4g}" for name, value in finding.figures.items()), *finding.notes])
