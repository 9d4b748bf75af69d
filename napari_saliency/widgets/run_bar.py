"""Running: the buttons that start, cancel and force an end, and the bar that shows the progress.

`RunBar` explains. `Patience` and `ProgressBar` are shared with every other section that runs something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QProgressBar, QPushButton, QSizePolicy, QStackedWidget, QWidget

from napari_saliency.session.state import Phase
from napari_saliency.widgets.style import MAIN_BUTTON, MARGIN, row, set_text, small_print

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QResizeEvent

    from napari_saliency.session.session import Session
    from napari_saliency.session.state import Progress

PATIENCE = 2000
"""Milliseconds after which a cancelled step, or a model that is loading, may be stopped by force."""

EXPLAIN, STOP_LOADING = "Explain", "Stop loading"
CANCEL, STOPPING, FORCE = "Cancel", "Stopping…", "Stop by force"
BUTTON = 104  # pixels; every text of the button fits, so that its width does not change

OUTDATED = "map outdated"  # short enough for the space beside the button
OUTDATED_TIP = "The map shown answers an earlier choice. Press Explain to update it."

STOP_TIPS = {
    STOPPING: "Stopping after the current step.",
    FORCE: "Restart the engine to stop the current step, which is not ending. Nothing else is lost.",
}
_TIPS = {
    **STOP_TIPS,
    EXPLAIN: "Compute the map of the selected class.",
    CANCEL: "Stop after the current step and keep what is shown.",
    STOP_LOADING: "Restart the engine without this model, which takes long to load.",
}


class RunBar(QWidget):
    """Starts the explanation that the user asks for, shows its progress, and stops it.

    Parameters
    ----------
    session : Session
        Runs the explanation.
    commit_edits : callable
        Called before anything is asked for: tells the session of choices that it does not know yet.
    """

    def __init__(self, session: Session, commit_edits: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._session, self._commit_edits = session, commit_edits
        self.button = QPushButton(EXPLAIN)
        self.button.setObjectName(MAIN_BUTTON)
        self.button.clicked.connect(self._press)
        self.live = QCheckBox("Live")
        self.live.setToolTip(
            "Explain automatically whenever the picture, plane, method or an option changes."
        )
        self.live.setChecked(session.live)
        self.live.toggled.connect(self._set_live)
        self.progress = ProgressBar()
        self.hint = small_print()
        self._status = QStackedWidget()
        self._patience, self._loading = Patience(self, self.refresh), Patience(self, self.refresh)
        self._lay_out()
        for signal in ("model", "picture", "prepared", "prediction", "class", "explanation", "progress"):
            getattr(session, f"{signal}_changed").connect(self.refresh)
        self.refresh()

    def refresh(self, _change: object = None) -> None:
        """Show what can be done now."""
        session = self._session
        # A run that was requested since is not the one that was cancelled; each model has its own loading time.
        self._patience.wait_for(session.progress is not None and session.cancelling)
        self._loading.wait_for(session.model.source if session.model.phase is Phase.LOADING else "")
        state = self._state()
        self.button.setText(state)
        self.button.setToolTip(_TIPS[state])
        self.button.setEnabled(state != STOPPING and (state != EXPLAIN or self._can_explain()))
        self._show_progress(session.progress)
        hint = self._hint()
        set_text(self.hint, hint, tooltip=OUTDATED_TIP if hint else "")

    def _lay_out(self) -> None:
        self.button.setFixedWidth(BUTTON)
        self._status.addWidget(self.hint)
        self._status.addWidget(self.progress)
        self._status.setFixedHeight(self.progress.sizeHint().height())
        self.setLayout(row(self.button, self._status, self.live, stretch=1))

    def _state(self) -> str:
        if self._session.progress is None:
            return STOP_LOADING if self._loading.over else EXPLAIN
        return self._patience.label

    def _can_explain(self) -> bool:
        return self._session.picture is not None and bool(self._session.model.source)

    def _press(self) -> None:
        state = self._state()
        if state == EXPLAIN:
            self._commit_edits()
            self._session.explain()
        elif state == CANCEL:
            self._session.cancel()
            self.refresh()
        else:
            self._session.stop_by_force()

    def _set_live(self, live: bool) -> None:
        self._commit_edits()
        self._session.live = live

    def _show_progress(self, progress: Progress | None) -> None:
        self._status.setCurrentWidget(self.hint if progress is None else self.progress)
        if progress is not None:
            text = f"{progress.done} of {progress.total}" if progress.total else ""
            self.progress.show_progress(progress, text)

    def _hint(self) -> str:
        session = self._session
        if session.picture is None or session.explanation is None:
            return ""
        return OUTDATED if session.stale else ""


class ProgressBar(QProgressBar):
    """A bar as wide as there is room for, whose text is elided if it does not fit.

    It always has a total: without one, Qt animates the bar, and each frame makes Qt compose the whole window again,
    including the canvas. That costs a core that the engine needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._description = ""
        self.setRange(0, 1)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_progress(self, progress: Progress, text: str = "") -> None:
        """Show a progress, with a text in place of its own description if one is given."""
        self.setRange(0, progress.total or 1)
        self.setValue(progress.done)
        self.setToolTip(progress.description)
        self._description = text or progress.description
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the text into the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = self.width() - MARGIN
        self.setFormat(self.fontMetrics().elidedText(self._description, Qt.TextElideMode.ElideRight, room))


class Patience:
    """Measures how long something takes to end: a button offers *Stop by force* only after a while.

    Parameters
    ----------
    owner : QWidget
        Owns the timer.
    ended : callable
        Called when the time is over.

    Attributes
    ----------
    timer : QTimer
        Runs while there is time left.
    """

    def __init__(self, owner: QWidget, ended: Callable[[], object]) -> None:
        self._awaited: str | bool = ""
        self.timer = QTimer(owner)
        self.timer.setSingleShot(True)
        self.timer.setInterval(PATIENCE)
        self.timer.timeout.connect(ended)

    def wait_for(self, awaited: str | bool) -> None:
        """Wait for something to end; another thing starts anew, and a false value waits for nothing."""
        if awaited == self._awaited:
            return
        self._awaited = awaited
        if awaited:
            self.timer.start()
        else:
            self.timer.stop()

    @property
    def over(self) -> bool:
        """True if it has taken too long."""
        return bool(self._awaited) and not self.timer.isActive()

    @property
    def label(self) -> str:
        """Text of a button that cancels what is awaited."""
        if not self._awaited:
            return CANCEL
        return FORCE if self.over else STOPPING
