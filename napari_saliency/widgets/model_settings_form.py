"""Forms of the Model section: what only the user knows of a model file, and whether its program may run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_saliency.core.placement import format_size
from napari_saliency.core.preprocessing import DESCRIPTIONS
from napari_saliency.core.types import FITS
from napari_saliency.models import Settings, find_backend, read_labels
from napari_saliency.session.state import Phase
from napari_saliency.widgets.search_box import widen
from napari_saliency.widgets.style import FORM, GAP, combo, note, row, set_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from napari_saliency.core.preprocessing import Preprocessing
    from napari_saliency.models import ModelInfo
    from napari_saliency.session.session import Session
    from napari_saliency.session.state import ModelStatus

TITLES = {
    "preprocessing": "Preprocessing",
    "size": "Input size",
    "fit": "Resize",
    "input": "Input",
    "output": "Output",
    "task": "Output type",
    "labels": "Class names",
}
"""Settings of a model, and their titles in the form."""

QUESTIONS = {
    "preprocessing": "Which preprocessing was this model trained with?",
    "size": "Which input size was this model trained with?",
    "input": "Which input of this model takes the picture?",
    "output": "Which output of this model should be explained?",
    "task": "Which output type is the model's single number: a class score or a quantity?",
    "labels": "Which class names does this model have?",
}
HELP = {
    "preprocessing": "How pixel values are scaled for the model. Wrong scaling gives wrong predictions.",
    "size": "Width × height (z × y × x for volumes) of the pictures that the model was trained on. "
    "Leave it empty to remove the setting.",
    "fit": "How a picture is brought to the input size.",
    "input": "The input of the model that takes the picture.",
    "output": "The output of the model that is explained.",
    "task": "The meaning of the model's single number.",
    "labels": "A file with one name per class: .txt, .json or .csv.",
}
SEVERAL = "These settings could not be read from the model file:"
EVERY = "Settings of this model:"
TASK_NAMES = {"classification": "class score", "regression": "quantity"}
FIT_NAMES = {
    "crop": "crop: the centre",
    "stretch": "stretch: to the input's shape",
    "pad": "pad: all of it, black margins",
}
NUMBERS, FROM_FILE = "numbers", "from a file…"


class QuestionForm(QFrame):
    """Asks for settings that could not be read from the model; shows all of them on request."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName(FORM)
        self._session = session
        self._labels: tuple[str, ...] | None = None
        self._info: ModelInfo | None = None
        self._source, self._answered = "", False
        self.preprocessing = combo()
        self.fit = combo((FIT_NAMES[fit], fit) for fit in FITS)
        self.pixels = QLineEdit()
        self.pixels.setPlaceholderText("any size")
        self.input, self.output = combo(), combo()
        self.task = combo((text, task) for task, text in TASK_NAMES.items())
        self.labels = combo((("", None), (FROM_FILE, None)))
        self.labels.activated.connect(self._choose_labels)
        boxes = (self.preprocessing, self.pixels, self.fit, self.input, self.output, self.task, self.labels)
        self.fields: dict[str, QWidget] = dict(zip(TITLES, boxes, strict=True))
        self.titles = {name: QLabel(title) for name, title in TITLES.items()}
        for name, text in HELP.items():
            self.titles[name].setToolTip(text)
            self.fields[name].setToolTip(text)
        self.question, self.problem = note(), note()
        self.question.setIndent(0)
        self.keep = QPushButton("Keep")
        self.keep.setToolTip("Use these settings and save them in a sidecar file next to the model.")
        self.keep.clicked.connect(self._keep)
        self._lay_out()
        self.hide()

    def show_questions(self, status: ModelStatus) -> None:
        """Show the questions about the open model, if there are any.

        While the same model is loaded again with new settings, which it may reject, the answers stay as given.
        """
        same = status.source == self._source
        taken = status.phase is Phase.READY and self._answered
        self._source = status.source
        self._answered &= status.phase not in (Phase.READY, Phase.FAILED)
        self.setEnabled(status.info is not None)
        if taken or not (same and status.info in (None, self._info)):
            self._show(status.info, status.info.questions if status.info else ())
        if status.objection:
            set_text(self.problem, status.objection)

    def toggle(self) -> None:
        """Show all settings of the model, or only those that are asked for."""
        info = self._session.model.info
        if info is not None:
            every = tuple(_applicable(info))
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
            self.titles[name].setVisible(name in names)
        texts = [text for name, text in QUESTIONS.items() if name in names]
        asked = SEVERAL if len(texts) > 2 else next(iter(texts), "")
        set_text(self.question, asked if names == info.questions else EVERY)
        _offer(self.preprocessing, info.input.preprocessing)
        for box, ports in ((self.input, info.inputs), (self.output, info.outputs)):
            box.clear()
            for port in ports:
                box.addItem(port, port)
        self.task.setCurrentIndex(1 if info.activation == "quantity" else 0)
        self.fit.setCurrentIndex(self.fit.findData(info.input.fit))
        self.pixels.setText(
            format_size(info.input.shape).replace("×", " × ") if any(info.input.shape) else ""
        )
        self.labels.setItemText(0, NUMBERS if "labels" in info.questions else ", ".join(info.labels[:9]))
        self._use_labels(None)

    def _lay_out(self) -> None:
        form = QGridLayout()  # Qt 5's QFormLayout leaves gaps where rows are hidden
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(GAP)
        form.setColumnStretch(1, 1)
        for number, (name, field) in enumerate(self.fields.items()):
            form.addWidget(self.titles[name], number, 0)
            form.addWidget(field, number, 1)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(GAP, GAP, GAP, GAP)
        rows.setSpacing(GAP)
        rows.addWidget(self.question)
        rows.addLayout(form)
        rows.addLayout(row(self.problem, self.keep, stretch=0))

    def _choose_labels(self, number: int) -> None:
        if not number:
            self._use_labels(None)
            return
        path, _ = QFileDialog.getOpenFileName(
            self, "Open class names", "", "Class names (*.txt *.json *.csv)"
        )
        if path:
            self.read_names(Path(path))
        else:
            self.labels.setCurrentIndex(0 if self._labels is None else 1)

    def read_names(self, path: Path) -> None:
        """Read class names from a file, or show why that failed."""
        info = self._session.model.info
        try:
            names = read_labels(path)
            if info is not None and self._keeps_output() and len(names) != len(info.labels):
                raise ValueError(
                    f"{path.name} has {len(names)} names but the model has {len(info.labels)} classes."
                )
        except (OSError, ValueError) as error:
            self._use_labels(None)
            set_text(self.problem, str(error))
        else:
            self._use_labels(names, path.name)

    def _keeps_output(self) -> bool:
        """Return whether the output that is explained stays the one that is chosen: names belong to one."""
        return bool(self.output.currentIndex() <= 0)  # -1 where there is but one

    def _use_labels(self, names: tuple[str, ...] | None, where: str = FROM_FILE) -> None:
        self._labels = names
        self.labels.setItemText(1, where)
        self.labels.setCurrentIndex(0 if names is None else 1)
        set_text(self.problem, "")

    def _keep(self) -> None:
        info = self._session.model.info
        if info is None:
            return
        asked, shown = info.questions, self._shown()
        pixels = [int(number) for number in re.findall(r"\d+", self.pixels.text())]
        flat = len(info.input.shape) == 2
        nothing = not self.pixels.text().strip()
        if nothing and not any(info.input.shape):
            shown -= {"size"}  # the model takes any size
        taken_back = nothing and info.sized
        if "size" in shown and not taken_back and (len(pixels) != len(info.input.shape) or not all(pixels)):
            set_text(
                self.problem,
                "Input size needs two numbers: width × height."
                if flat
                else "Input size needs three numbers: z × y × x.",
            )
            return
        # Numbers are saved as names, too: otherwise the same question would be asked again.
        other = not self._keeps_output() or "task" in shown
        labels = self._labels or (info.labels if "labels" in asked and not other else None)
        given = {name: box.currentData() for name, box in self.fields.items() if isinstance(box, QComboBox)}
        given |= {
            "labels": labels,
            "size": tuple(pixels[::-1] if flat else pixels),
        }
        settings = Settings(**{name: given[name] for name in shown})
        set_text(self.problem, "")
        self._answered = True
        self._session.answer(settings)


class TrustForm(QFrame):
    """Asks whether a program may run: code that builds the model, or its custom classes. It runs only after a yes."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName(FORM)
        self.question = note()
        self.question.setIndent(0)
        self.no, self.yes = QPushButton("No"), QPushButton("Yes, run it")
        self.yes.setToolTip("Your answer is remembered until the program's files change.")
        self.no.clicked.connect(self.hide)
        self.yes.clicked.connect(lambda: session.trust())
        rows = QVBoxLayout(self)
        rows.setContentsMargins(GAP, GAP, GAP, GAP)
        rows.setSpacing(GAP)
        rows.addWidget(self.question)
        rows.addLayout(row(self.no, self.yes))
        self.hide()

    def show_program(self, status: ModelStatus) -> None:
        """Ask about the program that opening the model would run, if there is one."""
        self.setVisible(bool(status.program))
        set_text(
            self.question,
            f"Opening this model runs {status.program} on this computer. Do you trust its author?"
            if status.program
            else "",
        )


def _applicable(info: ModelInfo) -> Iterator[str]:
    """Yield the settings that apply to a model; all others are known, or have no effect."""
    yield from ("preprocessing", "fit", "labels")
    free, backend = None in info.input.shape, find_backend(Path(info.source))
    python = info.source.startswith("python:")
    unsaid = backend is not None and not backend.fixed_size
    if free or info.sized or "size" in info.questions or python or unsaid:
        yield "size"  # other models know theirs
    if info.inputs:
        yield "input"
    if info.outputs:
        yield "output"
    if (
        "task" in info.questions
        or info.activation == "quantity"
        or (info.activation, len(info.labels)) == ("sigmoid", 2)
    ):
        yield "task"


def _offer(box: QComboBox, now: Preprocessing) -> None:
    """List the preprocessings; the present one comes first if it has no name, and stays unless another is chosen."""
    box.clear()
    for name, text in DESCRIPTIONS.items():
        box.addItem(f"{text} ({name})", name)
    if box.findData(now.name) < 0:
        box.insertItem(0, now.description, None)
        box.setCurrentIndex(0)
    else:
        box.setCurrentIndex(box.findData(now.name))
    widen(box)
