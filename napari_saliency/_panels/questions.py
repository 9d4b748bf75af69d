"""A small form for what only the user knows of a model file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QFrame,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_saliency._panels._style import FORM, GAP, combo, note, row, say, widen
from napari_saliency._placement import sized
from napari_saliency._preprocessing import WORDS
from napari_saliency._types import FITS
from napari_saliency.models import FILES, Settings, read_labels

if TYPE_CHECKING:
    from collections.abc import Collection

    from qtpy.QtWidgets import QComboBox

    from napari_saliency._inspection import Inspection
    from napari_saliency._preprocessing import Preprocessing
    from napari_saliency._state import ModelStatus
    from napari_saliency.models import ModelInfo

TITLES = {"preprocessing": "Values", "size": "Pixels", "fit": "Size", "labels": "Names"}
"""What can be said of a model, and how the form calls it.

Which of several outputs is meant has no field: a note says which one is shown, and how to choose.
"""

FIT_WORDS = {
    "crop": "crop: the middle",
    "stretch": "stretch: to the model's shape",
    "pad": "pad: all of it, black edges",
}
NUMBERS, FROM_FILE = "numbers", "from a file…"


class QuestionForm(QFrame):
    """Asks what had to be guessed; everything that can be said is shown to whoever wants to change it."""

    def __init__(self, inspection: Inspection) -> None:
        super().__init__()
        self.setObjectName(FORM)
        self._inspection = inspection
        self._labels: tuple[str, ...] | None = None
        self._info: ModelInfo | None = None
        self.preprocessing = combo()
        self.fit = combo((FIT_WORDS[fit], fit) for fit in FITS)
        self.pixels = QLineEdit()
        self.pixels.setToolTip("Width × height of the pictures that the model was trained on.")
        self.labels = combo((("", None), (FROM_FILE, None)))
        self.labels.activated.connect(self._choose_labels)
        self.fields: dict[str, QWidget] = {
            "preprocessing": self.preprocessing,
            "size": self.pixels,
            "fit": self.fit,
            "labels": self.labels,
        }
        self.question, self.problem = note(), note()
        self.question.setIndent(0)
        self.keep = QPushButton("Keep")
        self.keep.setToolTip("Use these, and keep them in a small file beside the model.")
        self.keep.clicked.connect(self._keep)
        self._lay_out()
        self.hide()

    def show_questions(self, status: ModelStatus) -> None:
        """Show what there is to ask of the model that is open, if anything."""
        if status.info is None or status.info != self._info:  # else answers that are half given stay
            self._show(status.info, status.info.questions if status.info else ())

    def toggle(self) -> None:
        """Show all that can be said of the model, or hide what nobody asks."""
        info = self._inspection.model.info
        if info is not None:
            # Models of Keras know their size.
            every = (
                TITLES if FILES.get(Path(info.source).suffix.lower()) == "torch" else TITLES.keys() - {"size"}
            )
            self._show(info, info.questions if self._shown() == set(every) else every)

    def _shown(self) -> set[str]:
        return (
            {name for name, field in self.fields.items() if not field.isHidden()}
            if not self.isHidden()
            else set()
        )

    def _show(self, info: ModelInfo | None, names: Collection[str]) -> None:
        self._info = info
        self.setVisible(not self.fields.keys().isdisjoint(names))
        if info is None:
            return
        for name, field in self.fields.items():
            field.setVisible(name in names)
            self.form.labelForField(field).setVisible(name in names)
        asked = "How were pictures prepared when this model was trained?"
        say(
            self.question,
            asked if not {"preprocessing", "size"}.isdisjoint(names) else "What are its classes called?",
        )
        _offer(self.preprocessing, info.input.preprocessing)
        self.fit.setCurrentIndex(self.fit.findData(info.input.fit))
        self.pixels.setText(sized(info.input.shape).replace("×", " × "))
        self.labels.setItemText(0, NUMBERS if "labels" in info.questions else ", ".join(info.labels[:9]))
        self._use_labels(None)

    def _lay_out(self) -> None:
        self.form = QFormLayout()
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setSpacing(GAP)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, title in TITLES.items():
            self.form.addRow(title, self.fields[name])
        rows = QVBoxLayout(self)
        rows.setContentsMargins(GAP, GAP, GAP, GAP)
        rows.setSpacing(GAP)
        rows.addWidget(self.question)
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
        asked, shown = info.questions, self._shown()
        pixels = [int(number) for number in re.findall(r"\d+", self.pixels.text())]
        flat = len(info.input.shape) == 2
        if "size" in shown and (len(pixels) != len(info.input.shape) or not all(pixels)):
            say(
                self.problem,
                "Give two numbers: width × height." if flat else "Give three numbers: z × y × x.",
            )
            return
        # Numbers are kept as names, too: otherwise the same question would be asked again.
        labels = self._labels or (info.labels if "labels" in asked else None)
        settings = Settings(
            labels=labels if "labels" in shown else None,
            preprocessing=self.preprocessing.currentData() if "preprocessing" in shown else None,
            fit=self.fit.currentData() if "fit" in shown else None,
            size=tuple(pixels[::-1] if flat else pixels) if "size" in shown else None,
        )
        self.hide()
        self._inspection.answer(settings)


def _offer(box: QComboBox, now: Preprocessing) -> None:
    """List the preprocessings; one that has no name is left as it is unless another is chosen."""
    box.clear()
    for name, words in WORDS.items():
        box.addItem(f"{words} ({name})", name)
    if box.findData(now.name) < 0:
        box.insertItem(0, now.words, None)
        box.setCurrentIndex(0)
    else:
        box.setCurrentIndex(box.findData(now.name))
    widen(box)
