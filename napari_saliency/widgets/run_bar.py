"""The button that explains, cancels and, if need be, stops by force; progress and Live beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QPushButton, QStackedWidget, QWidget

from napari_saliency.session.state import Phase
from napari_saliency.widgets.force_stop import CANCEL, STOP_TIPS, STOPPING, Patience
from napari_saliency.widgets.progress_bar import ProgressBar
from napari_saliency.widgets.style import MAIN_BUTTON, row, set_text, small_print

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.session.session import Session
    from napari_saliency.session.state import Progress

EXPLAIN, STOP_LOADING = "Explain", "Stop loading"
BUTTON = 104  # pixels; all of its texts fit, so that the button stays where it is

OUTDATED = "map is outdated"  # as long as fits beside the button
OUTDATED_TIP = "The map that is shown is of an earlier choice."

_TIPS = {
    **STOP_TIPS,
    EXPLAIN: "Compute the map of the selected class.",
    CANCEL: "Stop after the step that is under way; what is shown stays.",
    STOP_LOADING: "The model takes long. This ends the engine and starts it again without a model.",
}


class RunBar(QWidget):
    """What the user asked for: begin it, see how far it is, stop it.

    Parameters
    ----------
    session : Inspection
        What is asked.
    settle : callable
        Called before anything is asked: tells the inspection of choices that it has not heard of yet.
    """

    def __init__(self, session: Session, settle: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._session, self._settle = session, settle
        self.button = QPushButton(EXPLAIN)
        self.button.setObjectName(MAIN_BUTTON)
        self.button.clicked.connect(self._press)
        self.live = QCheckBox("Live")
        self.live.setToolTip("Explain every new picture, plane, method and option without being asked.")
        self.live.setChecked(session.live)
        self.live.toggled.connect(self._set_live)
        self.progress = ProgressBar()
        self.hint = small_print()
        self._beside = QStackedWidget()
        self._patience, self._loading = Patience(self, self.refresh), Patience(self, self.refresh)
        self._lay_out()
        for signal in ("model", "picture", "prepared", "prediction", "class", "explanation", "progress"):
            getattr(session, f"{signal}_changed").connect(self.refresh)
        self.refresh()

    def refresh(self, _change: object = None) -> None:
        """Show what can be done now."""
        session = self._session
        # Another run that was asked for since is not the one that was cancelled; each model has its own time.
        self._patience.have(session.progress is not None and session.cancelling)
        self._loading.have(session.model.source if session.model.phase is Phase.LOADING else "")
        state = self._state()
        self.button.setText(state)
        self.button.setToolTip(_TIPS[state])
        self.button.setEnabled(state != STOPPING and (state != EXPLAIN or self._can_explain()))
        self._show_progress(session.progress)
        hint = self._hint()
        set_text(self.hint, hint, tooltip=OUTDATED_TIP if hint else "")

    def _lay_out(self) -> None:
        self.button.setFixedWidth(BUTTON)
        self._beside.addWidget(self.hint)
        self._beside.addWidget(self.progress)
        self._beside.setFixedHeight(self.progress.sizeHint().height())
        self.setLayout(row(self.button, self._beside, self.live, stretch=1))

    def _state(self) -> str:
        if self._session.progress is None:
            return STOP_LOADING if self._loading.over else EXPLAIN
        return self._patience.word

    def _can_explain(self) -> bool:
        return self._session.picture is not None and bool(self._session.model.source)

    def _press(self) -> None:
        state = self._state()
        if state == EXPLAIN:
            self._settle()
            self._session.explain()
        elif state == CANCEL:
            self._session.cancel()
            self.refresh()
        else:
            self._session.stop_by_force()

    def _set_live(self, live: bool) -> None:
        self._settle()
        self._session.live = live

    def _show_progress(self, progress: Progress | None) -> None:
        self._beside.setCurrentWidget(self.hint if progress is None else self.progress)
        if progress is not None:
            text = f"{progress.done} of {progress.total}" if progress.total else ""
            self.progress.show_progress(progress, text)

    def _hint(self) -> str:
        session = self._session
        if session.picture is None or session.explanation is None:
            return ""
        return OUTDATED if session.stale else ""
