"""Section: the model, its status, and settings that only the user knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QSizePolicy
from superqt import QSearchableComboBox

from napari_saliency.models import BACKENDS, catalogue, dialog_filter, find_backend, model_folder
from napari_saliency.session.state import Phase
from napari_saliency.widgets.model_settings_form import QuestionForm, TrustForm
from napari_saliency.widgets.preferences import settings
from napari_saliency.widgets.style import Section, note, row, set_text

if TYPE_CHECKING:
    from qtpy.QtGui import QDragEnterEvent, QDropEvent

    from napari_saliency.session.session import Session
    from napari_saliency.session.state import ModelStatus
    from napari_saliency.widgets.style import Colours

RECENT = 8

_DOTS = {Phase.READY: "good", Phase.FAILED: "bad", Phase.LOST: "bad"}


class RecentFiles:
    """Recently opened model files, kept in the user's settings."""

    def __init__(self) -> None:
        self._settings = settings()

    @property
    def paths(self) -> list[str]:
        """Paths that still exist, the last one first."""
        kept = self._settings.value("recent") or []
        listed = [kept] if isinstance(kept, str) else list(kept)  # Qt reads a list of one as a string
        return [path for path in listed if Path(path).exists()]

    def add(self, path: str) -> None:
        """Put a file first."""
        self._settings.setValue("recent", [path, *(p for p in self.paths if p != path)][:RECENT])


class ModelSection(Section):
    """The model, its status in words, and forms for what cannot be read from it."""

    def __init__(self, session: Session) -> None:
        super().__init__("Model")
        self._session = session
        self._recent = RecentFiles()
        self.sources = QSearchableComboBox()
        self.sources.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.sources.setMaxVisibleItems(24)
        self.sources.setToolTip("Type to search, or drop a model file onto the panel.")
        self.sources.activated.connect(self._chosen)
        self.sources.lineEdit().setAcceptDrops(False)
        self.sources.lineEdit().returnPressed.connect(self._typed)
        self.sources.lineEdit().editingFinished.connect(self._show_current)
        self.open = QPushButton("Open…")
        self.open.setToolTip(f"Open a classifier of your own ({_frameworks()}).")
        self.open.clicked.connect(self._ask_for_file)
        self.dot, self.state = QLabel(), note()
        self.note = note()
        self.form, self.trust = QuestionForm(session), TrustForm(session)
        self.settings = QPushButton("Settings")
        self.settings.setToolTip("Set preprocessing, input size, resizing and class names of this model.")
        self.settings.clicked.connect(self.form.toggle)
        self.rows.addLayout(row(self.sources, self.open, stretch=0))
        status = row(self.dot, self.state, self.settings, stretch=1)
        status.setSpacing(0)  # both texts are indented
        for widget in (self.dot, self.settings):
            status.setAlignment(widget, Qt.AlignmentFlag.AlignTop)
        self.rows.addLayout(status)
        for widget in (self.note, self.trust, self.form):
            self.rows.addWidget(widget)
        session.model_changed.connect(self._show)
        self._show(session.model)

    def open_source(self, source: str) -> None:
        """Open a model by its source or path; files are added to the recent ones."""
        if is_model_file(source):
            path = Path(source).expanduser().resolve()
            source = str(model_folder(path) or path)
            self._recent.add(source)
        self._session.open_model(source)

    def set_colours(self, colours: Colours) -> None:
        """Follow the viewer's theme."""
        super().set_colours(colours)
        self._show_state(self._session.model)

    def _list(self, current: str) -> None:
        sources = [*self._recent.paths, *catalogue()]
        if current and current not in sources:
            sources.insert(0, current)
        if sources != [self.sources.itemData(n) for n in range(self.sources.count())]:
            self.sources.clear()
            for source in sources:
                self.sources.addItem(title(source), source)
                self.sources.setItemData(self.sources.count() - 1, source, Qt.ItemDataRole.ToolTipRole)
        self.sources.setCurrentIndex(sources.index(current) if current else -1)
        self.sources.lineEdit().setCursorPosition(0)  # the beginning of a long name, not its end

    def _chosen(self, number: int) -> None:
        source = self.sources.itemData(number)
        status = self._session.model  # a Python model is reopened because its program may have changed
        if source != status.source or status.phase is Phase.FAILED or source.startswith("python:"):
            self.open_source(source)

    def _typed(self) -> None:
        """Open what was typed in full: a source with weights, or a path."""
        text = self.sources.currentText().strip()
        if self.sources.findText(text) < 0 and (":" in text or is_model_file(text)):
            self.open_source(text)

    def _show_current(self) -> None:
        """Show the open model again after a search without result."""
        self._list(self._session.model.source)

    def _ask_for_file(self) -> None:
        folder = str(Path(self._recent.paths[0]).parent) if self._recent.paths else ""
        path, _ = QFileDialog.getOpenFileName(self, "Open a classifier", folder, dialog_filter())
        if path:
            self.open_source(path)

    def _show(self, status: ModelStatus) -> None:
        self._list(status.source)
        self._show_state(status)
        set_text(self.note, " ".join(status.info.notes) if status.info else "")
        self.trust.show_program(status)
        self.form.show_questions(_of_whole_model(status))
        own = not status.source.startswith(("bundled:", "keras:"))
        self.settings.setVisible(status.info is not None and own)

    def _show_state(self, status: ModelStatus) -> None:
        waiting = "busy" if status.source else "muted"
        colour = getattr(self.colours, waiting if status.program else _DOTS.get(status.phase, waiting))
        self.dot.setText(f"<span style='color: {colour.name()}'>●</span>")
        set_text(self.state, status.description)


def _of_whole_model(status: ModelStatus) -> ModelStatus:
    """Return the status of the whole model while one of its layers is viewed, without questions about its output."""
    whole = status.info.outer if status.info else None
    if whole is None:
        return status
    questions = tuple(
        question for question in whole.questions if question not in ("labels", "task", "output")
    )
    return replace(status, info=replace(whole, questions=questions))


def is_model_file(source: str) -> bool:
    """Return whether a source is the path of a model file."""
    named = source.startswith(("bundled:", "keras:", "python:"))  # only its weights may be a file
    if named or not source:
        return False
    path = Path(source).expanduser()
    return find_backend(path) is not None or model_folder(path) is not None


def _frameworks() -> str:
    """Name what files come from: ``Keras, PyTorch or ONNX``."""
    *first, last = [backend.label for backend in BACKENDS.values() if backend.endings]
    return f"{', '.join(first)} or {last}"


def title(source: str) -> str:
    """Return the title of a source as the user reads it."""
    kind, _, name = source.partition(":")
    if kind == "bundled" and name:
        return f"{name} (bundled)"
    if kind == "keras" and name:
        return f"{name} (ImageNet)"
    if kind == "python" and name:
        network, _, weights = name.partition("?weights=")
        return f"{network} ({Path(weights).name})" if weights else network
    return Path(source).name


def dropped_model(event: QDragEnterEvent | QDropEvent) -> str | None:
    """Return the path that is dragged if it is a single model file, else None."""
    paths = [url.toLocalFile() for url in event.mimeData().urls()]
    return paths[0] if len(paths) == 1 and is_model_file(paths[0]) else None
