"""A small form for what only the user knows of a model file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QFrame,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

from napari_saliency._panels._style import FORM, GAP, combo, note, row, say
from napari_saliency._preprocessing import WORDS
from napari_saliency._types import FITS
from napari_saliency.models import Settings, read_labels

if TYPE_CHECKING:
    from napari_saliency._inspection import Inspection
    from napari_saliency._state import ModelStatus

FIT_WORDS = {
    "crop": "crop: the middle",
    "stretch": "stretch: to the model's shape",
    "pad": "pad: all of it, black edges",
}
NUMBERS, FROM_FILE = "numbers", "from a file…"


class QuestionForm(QFrame):
    """Asks how pictures were prepared in training, and for the classes' names."""

    def __init__(self, inspection: Inspection) -> None:
        super().__init__()
        self.setObjectName(FORM)
        self._inspection = inspection
        self._labels: tuple[str, ...] | None = None
        self.preprocessing = combo((f"{words} ({name})", name) for name, words in WORDS.items())
        self.fit = combo((FIT_WORDS[fit], fit) for fit in FITS)
        self.pixels = QLineEdit()
        self.pixels.setToolTip("Width × height of the pictures that the model was trained on.")
        self.labels = combo(((NUMBERS, None), (FROM_FILE, None)))
        self.labels.activated.connect(self._choose_labels)
        self.problem = note()
        self.keep = QPushButton("Keep")
        self.keep.setToolTip("Use these, and keep them in a small file beside the model.")
        self.keep.clicked.connect(self._keep)
        self._lay_out()
        self.hide()

    def show_questions(self, status: ModelStatus) -> None:
        """Show the form if there is something to ask of the model that is open."""
        info = status.info
        # Which of several outputs is meant has no field here: a note says which one is shown, and how to choose.
        boxes = {"size": self.pixels, "preprocessing": self.preprocessing, "labels": self.labels}
        questions = boxes.keys() & set(info.questions if info is not None else ())
        self.setVisible(bool(questions))
        if info is None or not questions:
            return
        for asked, box in boxes.items():
            box.setVisible(asked in questions)
            self.form.labelForField(box).setVisible(asked in questions)
        self.preprocessing.setCurrentIndex(max(0, self.preprocessing.findData(info.input.preprocessing.name)))
        self.fit.setCurrentIndex(self.fit.findData(info.input.fit))
        self.pixels.setText(f"{info.input.width} × {info.input.height}")
        self._use_labels(None)

    def _lay_out(self) -> None:
        self.form = QFormLayout()
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setSpacing(GAP)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.addRow("Values", self.preprocessing)
        self.form.addRow("Pixels", self.pixels)
        self.form.addRow("Size", self.fit)
        self.form.addRow("Names", self.labels)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(GAP, GAP, GAP, GAP)
        rows.setSpacing(GAP)
        question = QLabel("How were pictures prepared when this model was trained?")
        question.setWordWrap(True)
        rows.addWidget(question)
        rows.addLayout(self.form)
        rows.addLayout(row(self.problem, self.keep, stretch=0))

    def _choose_labels(self, number: int) -> None:
        if not number:
            self._use_labels(None)
            return
        path, _ = QFileDialog.getOpenFileName(
            self, "Names of the classes", "", "Class names (*.txt *.json *.csv)"
        )
        if path:
            self.read_names(Path(path))
        else:
            self.labels.setCurrentIndex(0 if self._labels is None else 1)

    def read_names(self, path: Path) -> None:
        """Take the classes' names from a file, or say why not."""
        info = self._inspection.model.info
        try:
            names = read_labels(path)
            if info is not None and len(names) != len(info.labels):
                raise ValueError(
                    f"{path.name} has {len(names)} names, the model has {len(info.labels)} classes"
                )
        except (OSError, ValueError) as error:
            self._use_labels(None)
            say(self.problem, str(error))
        else:
            self._use_labels(names, path.name)

    def _use_labels(self, names: tuple[str, ...] | None, where: str = FROM_FILE) -> None:
        self._labels = names
        self.labels.setItemText(1, where)
        self.labels.setCurrentIndex(0 if names is None else 1)
        say(self.problem, "")

    def _keep(self) -> None:
        info = self._inspection.model.info
        if info is None:
            return
        asked = info.questions
        width_height = [int(number) for number in re.findall(r"\d+", self.pixels.text())]
        if "size" in asked and (len(width_height) != 2 or not all(width_height)):
            say(self.problem, "Give two numbers: width × height.")
            return
        settings = Settings(
            # Numbers are kept as names, too: otherwise the same question would be asked again.
            labels=(self._labels or info.labels) if "labels" in asked else None,
            preprocessing=self.preprocessing.currentData() if "preprocessing" in asked else None,
            fit=self.fit.currentData(),
            size=(width_height[1], width_height[0]) if "size" in asked else None,
        )
        self._inspection.answer(settings)
