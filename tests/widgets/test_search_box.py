"""Lists that are searched by typing."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_saliency.widgets.search_box import Search, widen
from tests.widgets.acting import typed

pytestmark = pytest.mark.viewer


@pytest.fixture
def fruit(made):
    box = made(QComboBox)
    for name in ("apple", "banana", "blueberry"):
        box.addItem(name, name.upper())
    Search(box)
    return box


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("ERR", "blueberry"), ("banana", "banana"), ("b", "banana"), ("quince", "apple"), ("", "apple")],
)
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_return_takes_the_first_that_was_found(fruit, qtbot, text, chosen, key):
    heard = []
    fruit.activated.connect(lambda number: heard.append(fruit.itemText(number)))
    typed(qtbot, fruit, text, key)
    assert fruit.currentText() == fruit.itemText(fruit.currentIndex()) == chosen
    assert set(heard) <= {chosen}
    assert bool(heard) == (chosen != "apple")
    assert fruit.count() == 3
    assert fruit.lineEdit().cursorPosition() == 0  # the beginning of a long name, not its end


def test_a_search_that_is_left_is_forgotten(made, qtbot):
    window = made(QWidget)
    fruit, other = QComboBox(), QLineEdit()
    fruit.addItems(["apple", "blueberry"])
    Search(fruit)
    rows = QVBoxLayout(window)
    rows.addWidget(fruit)
    rows.addWidget(other)
    typed(qtbot, fruit, "blu", Qt.Key.Key_Shift)
    assert fruit.currentText() == "blu"
    fruit.completer().popup().hide()
    qtbot.keyClick(fruit, Qt.Key.Key_Tab)
    assert other.hasFocus()
    assert fruit.currentText() == fruit.itemText(fruit.currentIndex()) == "apple"


def test_what_cannot_be_chosen_is_passed_over(fruit, qtbot):
    fruit.model().item(1).setEnabled(False)
    typed(qtbot, fruit, "b")
    assert fruit.currentText() == "blueberry"


def test_what_was_found_looks_like_the_window(made, qtbot):
    window = made(QWidget)
    window.setStyleSheet("QWidget { color: red; }")
    box = QComboBox(window)
    box.addItems(["a long item, longer than the list is wide", "b"])
    Search(box)
    widen(box)
    box.show()
    box.lineEdit().textEdited.emit("a")
    popup = box.completer().popup()
    assert "color: red" in popup.styleSheet()
    assert popup.minimumWidth() > 100


def test_what_was_found_goes_with_its_list(fruit, qtbot):
    typed(qtbot, fruit, "b", Qt.Key.Key_Shift)
    popup = fruit.completer().popup()
    assert popup.isVisible()
    fruit.hide()
    assert not popup.isVisible()
