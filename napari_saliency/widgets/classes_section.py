"""Section: the prediction, and which classes are explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLineEdit, QSizePolicy
from superqt.utils import qdebounced

from napari_saliency.core.types import PLURALS
from napari_saliency.widgets.class_expression import ClassSum
from napari_saliency.widgets.class_table import FEWEST_ROWS, ROW, ClassTable
from napari_saliency.widgets.style import Section, row
from napari_saliency.widgets.viewed_layer_box import ViewedLayerBox

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction
    from napari_saliency.session.session import Session
    from napari_saliency.widgets.style import Colours

SETTLED = 120  # milliseconds after the last key that the search begins
HELP = (
    "<p>Click a {}, or step through them with [ and ].</p>"
    "<p>Ctrl-click (⌘ on a Mac) a second one to explain the first <i>rather than</i> the second. "
    "Step through the second one with Ctrl and the arrow keys; press Escape to return to one alone.</p>"
)


class ClassSection(Section):
    """The search, the table of classes, and the sum of classes that is explained."""

    def __init__(self, session: Session) -> None:
        super().__init__("Classes")
        self._session = session
        self._labels: tuple[str, ...] = ()
        self.search = QLineEdit()
        self.search.setClearButtonEnabled(True)
        self.search.setAcceptDrops(False)
        self.table = ClassTable()
        self.table.setMinimumHeight(FEWEST_ROWS * ROW + 4)
        self.table.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.sum = ClassSum(session, self.table)
        self.viewed_layer_box = ViewedLayerBox(session)
        self.rows.removeWidget(self.heading)
        self.rows.addLayout(row(self.heading, self.viewed_layer_box, stretch=1))
        self.rows.addWidget(self.search)
        self.rows.addWidget(self.table, 1)
        self.rows.addWidget(self.sum)
        self._search_soon = qdebounced(self._search, timeout=SETTLED, parent=self)
        self.search.textChanged.connect(lambda _text: self._search_soon())
        self.table.chosen.connect(session.select_class)
        self.table.stepped.connect(session.step_class)
        session.prediction_changed.connect(self._show)
        session.class_changed.connect(self._mark)
        session.known_classes_changed.connect(self.table.classes.set_known)
        self.table.classes.set_known(session.known_classes)
        self._show(session.prediction)

    def set_colours(self, colours: Colours) -> None:
        """Follow the viewer's theme."""
        super().set_colours(colours)
        self.table.delegate.colours = colours
        self.table.viewport().update()

    def _show(self, prediction: Prediction | None) -> None:
        if prediction is not None and prediction.labels != self._labels:
            self._labels = prediction.labels
            self.search.clear()  # it was for other labels
            self.table.classes.search("")
        self.table.classes.set_prediction(prediction)
        count = len(prediction.labels) if prediction is not None else 0
        noun = prediction.noun if prediction is not None else "class"
        self.heading.setText(PLURALS[noun].capitalize())
        self.table.setToolTip(HELP.format(noun))
        text = f"Search {count} {PLURALS[noun] if count > 1 else noun}" if count else "No prediction yet"
        self.search.setPlaceholderText(text)
        self.search.setEnabled(count > 0)
        self._mark()

    def _search(self) -> None:
        self.table.classes.search(self.search.text())
        self._mark()

    def _mark(self, _selected: int | None = None) -> None:
        """Mark the classes that are explained."""
        asked = self._session.asked
        self.table.select(asked.selected)
        self.table.classes.set_parts(asked.parts)
        self.sum.refresh()
