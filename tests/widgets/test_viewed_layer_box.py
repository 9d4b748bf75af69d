"""The list of layers whose channels can be explained."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_saliency.core.types import Prediction
from napari_saliency.session.state import ModelStatus, Phase
from napari_saliency.widgets.classes_section import ClassSection
from napari_saliency.widgets.viewed_layer_box import WHOLE
from tests.widgets.acting import focus, look, pick, ready, rows

pytestmark = pytest.mark.viewer


def items(box):
    return [(box.itemText(n), box.itemData(n)) for n in range(box.count())]


def test_layers_to_look_into_are_listed_the_last_one_first(made, session):
    choice = made(ClassSection, session).viewed_layer_box
    assert items(choice) == [(WHOLE, ""), ("of late", "late"), ("of early", "early")]
    assert choice.itemData(1, Qt.ItemDataRole.ToolTipRole) == "late (7×7, 64 channels)"
    session.stage.opens = False
    pick(choice, "late")
    assert session.of("view_layer") == [("view_layer", "late")]
    pick(choice, "late")  # which is looked into already, or soon
    pick(choice, "of the model")  # before the layer is there
    assert session.of("view_layer")[1:] == [("view_layer", "")]


def test_inside_a_layer_the_table_is_one_of_channels_and_the_way_out_stays(made, session):
    section = made(ClassSection, session)
    look(session)
    whole = session.model.info
    labels = tuple(f"late[{n}]" for n in range(3))
    session.set_model(ModelStatus(Phase.LOADING, "loading", "fake:net"))
    assert section.viewed_layer_box.count() == 3
    nothing = np.full(3, np.nan, np.float32)
    inside = Prediction(np.float32([0.5, 2, 1]), nothing, nothing, labels, (7, 7), channels=True)
    session.stage.predicted = inside
    session.set_model(
        ready(labels=labels, activation="quantity", viewed_layer="late", layers=whole.layers[:1], outer=whole)
    )
    assert session.prediction is inside
    assert rows(section) == [1, 2, 0]
    assert section.table.classes.data(section.table.classes.index(0, 1)) == "2"
    assert section.heading.text() == "Channels"
    assert "Click a channel" in section.table.toolTip()
    assert "sum of channels" in section.sum.line.toolTip()
    assert "(channel 1)" in section.table.classes.data(
        section.table.classes.index(0, 0), Qt.ItemDataRole.ToolTipRole
    )
    section.sum.button.click()
    assert section.sum.button.text() == "Click a channel"
    section.sum.line.setText("")
    section.sum.line.returnPressed.emit()
    assert "channel" in section.sum.problem.text()
    assert section.search.placeholderText() == "Search 3 channels"
    assert section.viewed_layer_box.currentText() == "of late"
    assert section.viewed_layer_box.count() == 3
    pick(section.viewed_layer_box, "of the model")
    assert session.of("view_layer") == [("view_layer", "")]


def test_a_model_without_layers_cannot_be_looked_into(made, session):
    choice = made(ClassSection, session).viewed_layer_box
    assert choice.isVisible()
    session.set_model(ready(layers=(), cam_layer=""))
    assert choice.isHidden()


def test_a_search_for_a_layer_that_leads_to_nothing_is_taken_back(made, session, qtbot):
    section = made(ClassSection, session)
    focus(qtbot, section.viewed_layer_box.lineEdit())
    section.viewed_layer_box.lineEdit().setText("nowhere")
    focus(qtbot, section.viewed_layer_box)
    section.viewed_layer_box.lineEdit().editingFinished.emit()
    assert section.viewed_layer_box.currentText() == WHOLE
    assert not session.of("view_layer")
