"""A question before a program of somebody's runs: a model that Python builds, or classes of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QPushButton, QVBoxLayout

from napari_saliency.widgets.style import FORM, GAP, note, row, set_text

if TYPE_CHECKING:
    from napari_saliency.session.session import Session
    from napari_saliency.session.state import ModelStatus


class TrustForm(QFrame):
    """Asks whether a program may run; without an answer it does not."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName(FORM)
        self.question = note()
        self.question.setIndent(0)
        self.no, self.yes = QPushButton("No"), QPushButton("Yes, run it")
        self.yes.setToolTip("Remembered until the program's files change.")
        self.no.clicked.connect(self.hide)
        self.yes.clicked.connect(lambda: session.trust())
        rows = QVBoxLayout(self)
        rows.setContentsMargins(GAP, GAP, GAP, GAP)
        rows.setSpacing(GAP)
        rows.addWidget(self.question)
        rows.addLayout(row(self.no, self.yes))
        self.hide()

    def show_program(self, status: ModelStatus) -> None:
        """Ask about the program that opening a model would run, if it waits for a yes."""
        self.setVisible(bool(status.program))
        set_text(
            self.question,
            f"Opening it runs the program {status.program} on this machine. Do you know who wrote it?"
            if status.program
            else "",
        )
