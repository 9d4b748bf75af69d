"""One class against another, and any sum of classes: clicked or typed."""

from types import SimpleNamespace

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QMenu

from napari_saliency.core.types import Target
from napari_saliency.widgets import class_table
from napari_saliency.widgets.classes_section import ClassSection
from tests.fakes import prediction
from tests.staged import StagedSession
from tests.widgets.acting import click, focus, look, rows

pytestmark = pytest.mark.viewer


def marks(section):
    table = section.table.classes
    result = {n: table.data(table.index(row, 0), class_table._MARK) for row, n in enumerate(table.classes)}
    return {n: sign for n, sign in result.items() if sign}


@pytest.mark.parametrize("way", ["control", "button", "menu", "keys"])
def test_one_class_is_held_against_another_and_a_plain_click_ends_it(classes, qtbot, way):
    section, session = classes()
    first, *others = rows(section)
    if way == "control":
        click(qtbot, section.table, 2, Qt.KeyboardModifier.ControlModifier)
    elif way == "button":
        section.sum.button.click()
        assert section.sum.button.text() == "Click a class"
        click(qtbot, section.table, 2)
    elif way == "menu":
        section.table.contextMenuEvent(
            SimpleNamespace(
                pos=lambda: section.table.visualRect(section.table.classes.index(2, 0)).center(),
                globalPos=lambda: QPoint(0, 0),
            )
        )
        (menu,) = section.table.findChildren(QMenu)
        (action,) = menu.actions()
        assert action.text() == f"class number {first} rather than class number {others[1]}"
        action.trigger()
        menu.close()
    else:
        for _ in range(2):
            qtbot.keyClick(section.table, Qt.Key.Key_Down, Qt.KeyboardModifier.ControlModifier)
    assert session.request.target == Target.contrast(first, others[1])
    assert session.selected == first
    assert section.table.currentIndex().row() == 0
    assert marks(section) == {first: "+", others[1]: "−"}
    assert section.sum.line.text() == f"class number {first} − class number {others[1]}"
    assert section.sum.button.isChecked()
    assert section.sum.button.text() == "Rather than…"
    click(qtbot, section.table, 2)
    assert session.request.target == Target.of_class(others[1])
    assert marks(section) == {}
    assert not section.sum.button.isChecked()


@pytest.mark.parametrize("way", ["again", "itself", "button", "escape", "same row"])
def test_a_contrast_ends_in_many_ways(classes, qtbot, way):
    section, session = classes()
    first, second = rows(section)[:2]
    click(qtbot, section.table, 1, Qt.KeyboardModifier.ControlModifier)
    assert session.request.target == Target.contrast(first, second)
    if way in ("again", "itself"):
        click(qtbot, section.table, int(way == "again"), Qt.KeyboardModifier.ControlModifier)
    elif way == "button":
        section.sum.button.click()
    elif way == "escape":
        qtbot.keyClick(section.table, Qt.Key.Key_Escape)
    else:
        click(qtbot, section.table, 0)
    assert session.request.target == Target.of_class(first)
    assert marks(section) == {}


def test_waiting_for_the_other_class_ends_when_it_is_not_wanted(classes, qtbot):
    section, session = classes()
    section.sum.button.click()
    section.sum.button.click()
    click(qtbot, section.table, 2)
    assert session.request.target == Target.of_class(rows(section)[2])


def test_any_sum_of_classes_can_be_typed(classes, qtbot):
    section, session = classes()
    line = section.sum.line
    focus(qtbot, line)
    line.setText("class number 3 + 0.5 class number 7 - 2 class number 9")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert session.request.target == Target.weighted({3: 1, 7: 0.5, 9: -2})
    assert line.text() == "class number 3 + 0.5 · class number 7 − 2 · class number 9"
    assert marks(section) == {3: "+", 7: "+0.5", 9: "−2"}
    assert section.table.currentIndex().row() == rows(section).index(3)


@pytest.mark.parametrize("text", ["3 + 7", "3+7", "class number 3+class number 7", "class number 3+7"])
def test_sums_are_typed_by_numbers_and_without_spaces_too(classes, qtbot, text):
    section, session = classes()
    focus(qtbot, section.sum.line)
    section.sum.line.setText(text)
    qtbot.keyClick(section.sum.line, Qt.Key.Key_Return)
    assert session.request.target == Target.weighted({3: 1, 7: 1})
    assert section.sum.line.text() == "class number 3 + class number 7"


def test_a_sum_that_makes_no_sense_gets_a_sentence_and_can_be_corrected(classes, qtbot):
    section, session = classes()
    line = section.sum.line
    focus(qtbot, line)
    line.setText("class number 3 - cas number 7")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert "'cas number 7'" in section.sum.problem.text()
    assert line.text() == "class number 3 - cas number 7"
    assert not session.of("ask")
    focus(qtbot, section.search)
    assert line.text() == f"class number {rows(section)[0]}"
    assert section.sum.problem.isHidden()


def test_what_is_asked_already_may_be_written_otherwise(classes, qtbot):
    section, _ = classes()
    line = section.sum.line
    for text in ("class number 3 + class number 7", "nothing", "7+3"):
        line.setText(text)
        qtbot.keyClick(line, Qt.Key.Key_Return)
    assert line.text() == "class number 3 + class number 7"
    assert section.sum.problem.isHidden()


def test_one_class_alone_is_held_against_nothing(made):
    session = StagedSession(prediction(1))
    section = made(ClassSection, session)
    look(session)
    assert section.sum.isHidden()
