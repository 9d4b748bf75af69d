"""The explained sum of classes below the table: one class rather than another, or any weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_saliency.core.target_text import format_weights, parse_weights
from napari_saliency.core.types import PLURALS
from napari_saliency.session.selection import ClassSelection
from napari_saliency.widgets.style import GAP, note, row, set_text

if TYPE_CHECKING:
    from qtpy.QtGui import QFocusEvent

    from napari_saliency.session.session import Session
    from napari_saliency.widgets.class_table import ClassTable

RATHER, CLICK = "Rather than…", "Click a {}"
BUTTON_HELP = (
    "<p>Explain the chosen {0} <i>rather than</i> another: press this, then click the other {0} "
    "(or Ctrl-click it, ⌘ on a Mac).</p><p>Press again to explain one {0} alone.</p>"
)
SUM_HELP = (
    "<p>The sum of {} that is explained. Type any sum, for example<br><b>{}</b></p>"
    "<p>Use names, or numbers that are not themselves names.</p>"
)
SUMS = {
    "class": "tabby + 0.5 lynx - zebra",
    "channel": "conv5[3] + 0.5 conv5[7]",
    "quantity": "age - 0.5 size",
}


class Line(QLineEdit):
    """A line edit that signals when it loses the focus; Qt does so only if the text has changed since Enter."""

    left = Signal()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Emit the signal."""
        super().focusOutEvent(event)
        self.left.emit()


class ClassSum(QWidget):
    """A button that waits for a click on the other class, and a line that shows the sum and takes another one.

    Parameters
    ----------
    session : Session
        Explains the sum.
    table : ClassTable
        Table in which classes are clicked.
    """

    def __init__(self, session: Session, table: ClassTable) -> None:
        super().__init__()
        self._session, self._table, self._noun = session, table, "class"
        self.button = QPushButton(RATHER)
        self.button.setCheckable(True)
        self.button.clicked.connect(self._press)
        self.line = Line()
        self.line.setAcceptDrops(False)
        self.line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.line.returnPressed.connect(self._typed)
        self.line.left.connect(self.refresh)
        self.problem = note()
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addLayout(row(self.button, self.line, stretch=1))
        rows.addWidget(self.problem)
        self.button.setFixedWidth(max(self._width_of(text) for text in (RATHER, *map(CLICK.format, SUMS))))
        table.other_chosen.connect(self._contrast)
        table.other_stepped.connect(self._step)
        table.ended.connect(self._end)
        self.refresh()

    def refresh(self) -> None:
        """Show the sum that is explained now."""
        prediction, asked = self._session.prediction, self._session.asked
        several = prediction is not None and len(prediction.labels) > 1
        self.setVisible(several)
        self._noun = prediction.noun if prediction is not None else "class"
        self.button.setToolTip(BUTTON_HELP.format(self._noun))
        self.line.setToolTip(SUM_HELP.format(PLURALS[self._noun], SUMS[self._noun]))
        self._wait(False)
        self.button.setChecked(bool(asked.parts))
        set_text(self.problem, "")
        if prediction is not None and several:
            weights = asked.weights or ((asked.selected_in(prediction), 1.0),)
            self.line.setText(format_weights(weights, prediction.labels))
            self.line.setCursorPosition(0)  # the beginning of a long name, not its end

    def _width_of(self, text: str) -> int:
        return int(self.button.fontMetrics().horizontalAdvance(text)) + 20

    def _press(self, checked: bool) -> None:
        if checked:
            self._wait(True)
        else:
            self._end()

    def _wait(self, waiting: bool) -> None:
        """Let the next click choose the other class, or not."""
        self._table.waiting = waiting
        self.button.setText(CLICK.format(self._noun) if waiting else RATHER)

    def _end(self) -> None:
        """Explain one class alone again."""
        if self._session.asked.parts:
            self._session.select_class(self._session.selected)
        self.refresh()

    def _contrast(self, other: int) -> None:
        if self._session.prediction is not None:
            self._session.ask(self._session.asked.rather_than(other, self._session.prediction))
        self.refresh()

    def _step(self, by: int) -> None:
        if self._session.prediction is not None:
            self._session.ask(self._session.asked.other_neighbour(by, self._session.prediction))

    def _typed(self) -> None:
        prediction = self._session.prediction
        if prediction is None:
            return
        text = self.line.text()
        try:
            weights = parse_weights(text, prediction)
        except ValueError as error:
            set_text(self.problem, f"{str(error)[:1].upper()}{str(error)[1:]}.")
        else:
            self._session.ask(ClassSelection(weights))
            self.refresh()  # the same sum may have been written differently
