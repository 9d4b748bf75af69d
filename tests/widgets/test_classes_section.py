"""The Classes section: the search, and the table that follows predictions."""

import pytest

from napari_saliency.widgets.classes_section import ClassSection
from tests.fakes import prediction
from tests.staged import StagedSession
from tests.widgets.acting import look, ready, rows

pytestmark = pytest.mark.viewer


def test_searching_finds_labels_by_all_their_words(classes, qtbot):
    section, session = classes()
    section.search.setText("NUMBER 77")
    qtbot.waitUntil(lambda: len(rows(section)) < 1000)
    assert set(rows(section)) == {77, 177, 277, 377, 477, 577, 677, *range(770, 780), 877, 977}
    order = session.prediction.order().tolist()
    assert rows(section) == sorted(rows(section), key=order.index)
    assert not section.table.currentIndex().isValid()
    section.search.clear()
    qtbot.waitUntil(lambda: len(rows(section)) == 1000)
    assert section.table.currentIndex().row() == 0


def test_a_search_ends_with_the_labels_that_were_searched(classes, qtbot):
    section, session = classes()
    section.search.setText("number 77")
    qtbot.waitUntil(lambda: len(rows(section)) < 1000)
    session.set_picture(None)
    look(session, key=2)  # another picture, or another model's
    assert section.search.text() == "number 77"
    assert len(rows(section)) < 1000
    session.stage.predicted = prediction(4)
    look(session, key=3)
    assert section.search.text() == ""
    assert len(rows(section)) == 4
    assert section.table.currentIndex().row() == 0


def test_maps_that_are_known_already_are_marked_in_a_new_table(made):
    session = StagedSession(prediction(9))
    look(session)
    session.know(4)
    model = made(ClassSection, session).table.classes
    assert model.data(model.index(model.row_of(4), 0), 257) is True


def test_without_a_prediction_the_table_is_empty(classes):
    section, session = classes()
    session.set_picture(None)
    assert section.table.classes.rowCount() == 0
    assert not section.search.isEnabled()


def test_another_model_has_other_labels(classes):
    section, session = classes()
    other = prediction(4)
    session.stage.predicted = other
    session.set_model(ready(labels=other.labels))
    assert section.table.classes.rowCount() == 4
    assert section.table.classes.data(section.table.classes.index(0, 0)) == other.top(1)[0].label
