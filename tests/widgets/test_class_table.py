"""The table of classes: rows, keys, marks, painting."""

import time

import pytest
from qtpy.QtCore import QEvent, QObject, QPointF, QRect, Qt
from qtpy.QtGui import QImage, QMouseEvent, QPainter
from qtpy.QtWidgets import QApplication, QStyle, QStyleOptionViewItem

from napari_saliency.widgets.class_table import ClassTableModel, percent
from napari_saliency.widgets.style import Colours
from tests.fakes import prediction
from tests.widgets.acting import focus, rows

pytestmark = pytest.mark.viewer


def test_rows_are_sorted_and_the_top_class_is_marked(classes):
    section, session = classes()
    assert rows(section) == session.prediction.order().tolist()
    assert section.table.currentIndex().row() == 0
    assert "1000" in section.search.placeholderText()
    table = section.table.classes
    assert table.data(table.index(0, 0)) == session.prediction.top(1)[0].label
    assert table.data(table.index(0, 1)) == percent(session.prediction.top(1)[0].probability)
    assert table.data(table.index(0, 0), Qt.ItemDataRole.EditRole) is None


def test_a_click_or_an_arrow_key_selects_a_class(classes, qtbot):
    section, session = classes()
    table = section.table
    spot = table.visualRect(table.classes.index(3, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert session.selected == rows(section)[3]
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert session.selected == rows(section)[4]


def test_brackets_step_in_the_table_too(classes, qtbot):
    section, session = classes()
    for key, row in (("]", 1), ("]", 2), ("[", 1)):
        qtbot.keyClicks(section.table, key)
        assert session.selected == rows(section)[row]
        assert section.table.currentIndex().row() == row


def test_dragging_over_the_table_chooses_nothing_on_the_way(classes, qtbot):
    section, session = classes()
    table = section.table
    spots = [table.visualRect(table.classes.index(row, 0)).center() for row in (1, 3)]
    qtbot.mousePress(table.viewport(), Qt.MouseButton.LeftButton, pos=spots[0])
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(spots[1]),
        QPointF(spots[1]),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(table.viewport(), event)
    assert session.selected == rows(section)[1]


def test_showing_a_class_does_not_choose_it(classes):
    _section, session = classes()
    session.commands.clear()
    session.prediction_changed.emit(session.prediction)
    session.class_changed.emit(None)
    assert not session.commands


def test_the_selected_class_stays_in_sight(classes):
    section, session = classes()
    session.select_class(rows(section)[700])
    rect = section.table.visualRect(section.table.currentIndex())
    assert section.table.viewport().rect().contains(rect.center())


def test_tab_leaves_the_table(classes, qtbot):
    section, session = classes()
    focus(qtbot, section.table)
    qtbot.keyClick(section.table, Qt.Key.Key_Tab)
    assert section.sum.button.hasFocus()
    assert not session.of("select_class")


def test_known_maps_are_marked(classes):
    section, session = classes()
    session.select_class(5)
    table = section.table.classes
    index = table.index(table.row_of(5), 0)
    assert table.data(index, 257) is True
    assert "map" in table.data(index, Qt.ItemDataRole.ToolTipRole)
    assert table.data(table.index(table.row_of(6), 0), 257) is False
    assert "map" not in table.data(table.index(table.row_of(6), 0), Qt.ItemDataRole.ToolTipRole)


class Painted(QObject):
    """What of a widget is painted anew."""

    def __init__(self, widget):
        super().__init__()
        self.areas = []
        widget.installEventFilter(self)

    def eventFilter(self, _widget, event):
        if event.type() == QEvent.Type.Paint:
            self.areas.append(event.region().boundingRect())
        return False


def test_a_class_that_is_fetched_ahead_is_marked_at_once_and_alone(classes, qtbot):
    section, session = classes()
    table, model = section.table, section.table.classes
    qtbot.waitExposed(section)
    qtbot.wait(20)
    painted, resets = Painted(table.viewport()), []
    model.modelReset.connect(lambda: resets.append(True))
    second, last = rows(section)[1], rows(section)[-1]
    with qtbot.waitSignal(model.dataChanged):
        session.know(second, last)
    cell = table.visualRect(model.index(1, 0))
    qtbot.waitUntil(lambda: bool(painted.areas))
    assert all(cell.contains(area) for area in painted.areas)
    assert model.data(model.index(1, 0), 257) is True
    with qtbot.assertNotEmitted(model.dataChanged):
        session.know(second, last)
    session.know()
    assert model.data(model.index(1, 0), 257) is False
    assert not resets


def test_ten_thousand_classes_are_quick(classes, qtbot):
    section, session = classes(10_000)
    limits = {}
    for name, act in {
        "prediction": lambda: session.prediction_changed.emit(session.prediction),
        "search": lambda: section.table.classes.search("number 9"),
        "select": lambda: section.table.select(4321),
        "mark": lambda: session.know(*session.known_classes ^ {*rows(section)[:5]}),
        "paint": lambda: section.table.grab(),
    }.items():
        times = []
        for _ in range(5):
            start = time.thread_time()
            act()
            times.append(time.thread_time() - start)
        limits[name] = min(times)
    assert max(limits.values()) < 0.05, limits  # generous; they take 1 to 10 ms


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0, "0.0 %"),
        (1e-6, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.5, "50.0 %"),
        (0.99999, "> 99.9 %"),
        (1, "100.0 %"),
    ],
)
def test_probabilities_are_written_for_people(probability, text):
    assert percent(probability) == text


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("selected", [False, True])
def test_cells_are_painted_within_their_bounds(classes, theme, selected):
    section, _ = classes()
    section.set_colours(Colours.of_theme(theme))
    model = ClassTableModel()
    model.set_prediction(prediction(3))
    image = QImage(200, 60, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.magenta)
    option = QStyleOptionViewItem()
    option.rect = QRect(20, 20, 140, 22)
    option.fontMetrics = section.fontMetrics()
    if selected:
        option.state |= QStyle.StateFlag.State_Selected
    painter = QPainter(image)
    for column in (0, 1):
        section.table.delegate.paint(painter, option, model.index(0, column))
    painter.end()
    outside = [image.pixelColor(x, y).name() for x in range(200) for y in (0, 10, 19, 43, 59)]
    assert set(outside) == {"#ff00ff"}
    inside = {image.pixelColor(x, y).name() for x in range(20, 160) for y in range(20, 42)}
    assert len(inside) > 3
