"""Drop-down lists that are searched by typing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QComboBox, QCompleter, QLineEdit, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QFocusEvent

WIDEST = 420
"""Greatest width of an open list in pixels."""

FOUND = 16
"""Number of results that are visible at once."""

_ROOM = 24  # pixels beside the longest item, for the scroll bar


class FreshLine(QLineEdit):
    """A line edit whose text is replaced by the first key typed."""

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Select all, also after a click."""
        super().focusInEvent(event)
        QTimer.singleShot(0, self.selectAll)


class Search(QObject):
    """Makes a list searchable: any part of an item finds it.

    Return chooses the first result; a search without result is discarded.
    """

    def __init__(self, box: QComboBox) -> None:
        super().__init__(box)
        self._box = box
        box.setLineEdit(FreshLine(box))
        box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self._completer = completer = box.completer()
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setMaxVisibleItems(FOUND)
        line = box.lineEdit()
        line.setAcceptDrops(False)
        line.textEdited.connect(self._dress)
        line.returnPressed.connect(self._take_first)
        line.editingFinished.connect(self._show_current)
        box.currentIndexChanged.connect(self._show_beginning)
        box.installEventFilter(self)
        self._show_beginning()

    def eventFilter(self, _box: QObject, event: QEvent) -> bool:
        """Hide the results with the list, for example when other options replace it."""
        if event.type() == QEvent.Type.Hide:
            self._completer.popup().hide()
        return False

    def _dress(self, _text: str) -> None:
        """Give the results the stylesheets of the panel, which do not reach a window of its own."""
        sheets: list[str] = []
        widget: QWidget | None = self._box
        while widget is not None:
            sheets.insert(0, widget.styleSheet())
            widget = widget.parentWidget()
        popup, sheet = self._completer.popup(), "".join(sheets)
        if popup.styleSheet() != sheet:  # setting it is slow
            popup.setStyleSheet(sheet)

    def _take_first(self) -> None:
        """Choose the first result, unless an item was typed in full."""
        box, result = self._box, self._completer.completionModel()
        if box.findText(box.currentText(), Qt.MatchFlag.MatchFixedString) >= 0 or not box.currentText():
            return
        indices = (result.index(row, 0) for row in range(result.rowCount()))
        first = next((index for index in indices if index.flags() & Qt.ItemFlag.ItemIsEnabled), None)
        if first is not None:
            number = box.findText(first.data(), Qt.MatchFlag.MatchExactly)
            box.setCurrentIndex(number)
            box.activated.emit(number)

    def _show_current(self) -> None:
        box = self._box
        if box.currentText() != box.itemText(box.currentIndex()):
            box.setEditText(box.itemText(box.currentIndex()))
        self._show_beginning()

    def _show_beginning(self, _number: Any = None) -> None:  # noqa: ANN401 - Qt's
        self._box.lineEdit().setCursorPosition(0)


def widen(box: QComboBox) -> None:
    """Make an open list as wide as its longest item, up to `WIDEST`."""
    width = min(WIDEST, box.view().sizeHintForColumn(0) + _ROOM)
    box.view().setMinimumWidth(width)
    if box.completer() is not None:
        box.completer().popup().setMinimumWidth(width)
