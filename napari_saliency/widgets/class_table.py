"""The table of classes: rows sorted by probability, fast for ten thousand classes.

Rows have no widgets: a delegate draws labels and bars, and only those that are visible.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from napari_saliency.widgets.style import Colours

if TYPE_CHECKING:
    from collections.abc import Set

    from qtpy.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent

    from napari_saliency.core.types import Prediction, Weights

LABEL, PROBABILITY = 0, 1
ROW, BAR, NUMBER = 22, 56, 60  # pixels: height of a row, widths of a bar and of its number
FEWEST_ROWS = 5
_KNOWN, _MARK = int(Qt.ItemDataRole.UserRole) + 1, int(Qt.ItemDataRole.UserRole) + 2
_INVALID = QModelIndex()


class ClassTableModel(QAbstractTableModel):
    """The classes of a prediction that match a search, the most probable first."""

    def __init__(self) -> None:
        super().__init__()
        self._prediction: Prediction | None = None
        self._order: list[int] = []
        self._lower: list[str] = []
        self._labels: tuple[str, ...] = ()
        self._known: Set[int] = frozenset()
        self._marks: dict[int, str] = {}
        self._search = ""
        self.classes: list[int] = []

    def set_prediction(self, prediction: Prediction | None) -> None:
        """Show another prediction."""
        self._prediction = prediction
        self._order = [] if prediction is None else prediction.order().tolist()
        if prediction is not None and prediction.labels != self._labels:
            self._labels = prediction.labels
            self._lower = [label.lower() for label in prediction.labels]
        self._filter()

    def search(self, text: str) -> None:
        """Show the classes whose labels contain all words of a text."""
        self._search = text
        self._filter()

    def set_known(self, known: Set[int]) -> None:
        """Mark the classes whose maps are known and show at once."""
        changed, self._known = self._known ^ known, known
        self._report(changed, LABEL)

    def set_parts(self, parts: Weights) -> None:
        """Mark the classes of a sum with their weights."""
        marks = {number: mark(weight) for number, weight in parts}
        changed, self._marks = marks.keys() ^ self._marks.keys() | marks.keys(), marks
        for column in (LABEL, PROBABILITY):
            self._report(changed, column)

    def _report(self, changed: Set[int], column: int) -> None:
        for row, number in enumerate(self.classes if changed else ()):
            if number in changed:
                cell = self.index(row, column)
                self.dataChanged.emit(cell, cell)  # one by one: for a range, Qt repaints the whole table

    def row_of(self, index: int | None) -> int | None:
        """Return the row of a class (None: the top class), or None if the search excludes it."""
        wanted = index if index is not None else (self._order[0] if self._order else None)
        return self.classes.index(wanted) if wanted in self.classes else None

    def rowCount(self, parent: QModelIndex = _INVALID) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.classes)

    def columnCount(self, parent: QModelIndex = _INVALID) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else 2

    def data(self, index: QModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:  # noqa: ANN401
        """Return the data of a cell for a role."""
        if self._prediction is None or not index.isValid():
            return None
        number = self.classes[index.row()]
        probability = float(self._prediction.probabilities[number])
        if role == Qt.ItemDataRole.DisplayRole:
            if index.column() == LABEL:
                return self._labels[number]
            return f"{self._prediction.logits[number]:.4g}" if isnan(probability) else percent(probability)
        if role == Qt.ItemDataRole.UserRole:
            return probability
        if role == Qt.ItemDataRole.ToolTipRole:
            known = "; its map is already computed" if number in self._known else ""
            value = self._prediction.logits[number] if isnan(probability) else probability
            return f"{self._labels[number]} ({self._prediction.noun} {number}): {value:.3g}{known}"
        if role == _MARK:
            return self._marks.get(number, "")
        return number in self._known if role == _KNOWN else None

    def _filter(self) -> None:
        text = self._search.lower().split()
        self.beginResetModel()
        lower = self._lower
        self.classes = [n for n in self._order if all(w in lower[n] for w in text)] if text else self._order
        self.endResetModel()


def mark(weight: float) -> str:
    """Format the weight of a class in a sum: its sign, and its factor unless that is 1."""
    return f"{'+' if weight > 0 else '−'}{'' if abs(weight) == 1 else f'{abs(weight):g}'}"


def percent(probability: float) -> str:
    """Format a probability in per cent, with as many digits as are meaningful."""
    share = 100 * probability
    if 0 < share < 0.05:
        return "< 0.1 %"
    return "> 99.9 %" if 99.95 <= share < 100 else f"{share:.1f} %"


class ClassDelegate(QStyledItemDelegate):
    """Draws a label, with a dot if its map is known, and a probability with its bar."""

    colours: Colours

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw one cell."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected or index.data(_MARK):
            painter.fillRect(option.rect, self.colours.chosen if selected else self.colours.track)
        draw = self._paint_label if index.column() == LABEL else self._paint_probability
        draw(painter, option, index, self.colours.text if selected else self.colours.bar)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of a cell."""
        return QSize(BAR + NUMBER if index.column() == PROBABILITY else 40, ROW)

    def _paint_label(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex, ink: QColor
    ) -> None:
        area = option.rect.adjusted(14, 0, -4, 0)
        if index.data(_KNOWN):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink)
            painter.drawEllipse(QRectF(option.rect.left() + 4, option.rect.center().y() - 2, 5, 5))
        painter.setPen(self.colours.text)
        sign = index.data(_MARK)
        if sign:
            painter.drawText(area, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), sign)
            area = area.adjusted(option.fontMetrics.horizontalAdvance(sign) + 6, 0, 0, 0)
        text = option.fontMetrics.elidedText(index.data(), Qt.TextElideMode.ElideMiddle, area.width())
        painter.drawText(area, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)

    def _paint_probability(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex, ink: QColor
    ) -> None:
        area = option.rect.adjusted(2, 0, -6, 0)
        painter.setPen(self.colours.text)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), index.data())
        probability = index.data(Qt.ItemDataRole.UserRole)
        if isnan(probability):
            return
        track = QRectF(area.left(), area.center().y() - 2.5, BAR, 6)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.colours.track)
        painter.drawRoundedRect(track, 3, 3)
        track.setWidth(BAR * probability)
        painter.setBrush(ink)
        painter.drawRoundedRect(track, min(3, track.width() / 2), 3)


class ClassTable(QTableView):
    """The view: a class is chosen by a click, the arrow keys, or ``[`` and ``]``.

    With Ctrl held (⌘ on a Mac), clicks and arrow keys choose the other class of a contrast.

    Attributes
    ----------
    waiting : bool
        True if the next click chooses the other class without Ctrl.
    """

    chosen = Signal(int)  # class
    stepped = Signal(int)  # down, or up if negative
    other_chosen = Signal(int)  # class
    other_stepped = Signal(int)
    ended = Signal()  # Escape: explain one class alone

    def __init__(self) -> None:
        super().__init__()
        self.classes = ClassTableModel()
        self.delegate = ClassDelegate(self)
        self.delegate.colours = Colours.of_theme("dark")
        self._selecting = self.waiting = False
        self.setModel(self.classes)
        self.setItemDelegate(self.delegate)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)  # Tab leaves the table; it would explain each row it passes
        self.setShowGrid(False)
        self.setWordWrap(False)
        self._set_headers()
        self.selectionModel().currentRowChanged.connect(self._choose)

    def select(self, index: int | None) -> None:
        """Mark a class (None: the top class) and scroll to it, without choosing it."""
        number = self.classes.row_of(index)
        self._selecting = True
        if number is None:
            self.clearSelection()
            self.setCurrentIndex(_INVALID)
        else:
            self.selectRow(number)
            self.scrollTo(self.classes.index(number, LABEL))
        self._selecting = False

    def sizeHint(self) -> QSize:
        """Return the least size; more room shows more rows."""
        return QSize(200, FEWEST_ROWS * ROW + 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Step through classes with the keys of the canvas, which Qt would use to search."""
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        step = {"[": -1, "]": 1}.get(event.text())
        other = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key())) if control else None
        if other is not None:
            self.other_stepped.emit(other)
        elif event.key() == Qt.Key.Key_Escape:
            self.ended.emit()
        elif step is not None:
            self.stepped.emit(step)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose a class, also the present one, or the other class of a contrast."""
        index = self.indexAt(event.pos())
        if event.button() != Qt.MouseButton.LeftButton or not index.isValid():
            return
        number = self.classes.classes[index.row()]
        if self.waiting or event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.other_chosen.emit(number)
        elif index.row() == self.currentIndex().row():
            self.chosen.emit(number)  # Qt signals only other rows, but this class may have been part of a sum
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Keep the chosen row: Qt would follow the mouse, and each class on the way would be explained."""

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer the contrast that Ctrl-click chooses."""
        index = self.indexAt(event.pos())
        if index.isValid():
            number = self.classes.classes[index.row()]
            this, other = (i.siblingAtColumn(LABEL).data() for i in (self.currentIndex(), index))
            menu = QMenu(self)
            menu.addAction(f"{this or '…'} rather than {other}", lambda: self.other_chosen.emit(number))
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(event.globalPos())

    def _set_headers(self) -> None:
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW)
        self.verticalHeader().setMinimumSectionSize(ROW)
        self.horizontalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(LABEL, QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setSectionResizeMode(PROBABILITY, QHeaderView.ResizeMode.Fixed)
        self.horizontalHeader().resizeSection(PROBABILITY, BAR + NUMBER + 8)

    def _choose(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid() and not self._selecting:
            self.chosen.emit(self.classes.classes[current.row()])
