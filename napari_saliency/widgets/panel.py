"""The panel: a dock widget that makes the session, its connection to the viewer, and the sections."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLabel,
    QPlainTextEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced

from napari_saliency.engine import process as engine
from napari_saliency.session.session import Session
from napari_saliency.viewer.controller import LayerController
from napari_saliency.viewer.napari_hooks import Keys, notify
from napari_saliency.widgets.model_section import ModelSection, dropped_model
from napari_saliency.widgets.sections import SECTIONS
from napari_saliency.widgets.style import MARGIN, Colours, Section, sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari.viewer
    from qtpy.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent

    from napari_saliency.session.state import Problem
    from napari_saliency.widgets.sections import SectionEntry

S = TypeVar("S", bound=Section)
FIRST_MODEL = "bundled:photos"
WIDTH, HEIGHT = 340, 860
"""Preferred size in pixels; the panel can be narrower and lower."""

NARROWEST, LOWEST = 280, 200
SETTLED = 60  # milliseconds after its last movement that a slider is followed


class SaliencyPanel(QWidget):
    """Saliency maps of image classifiers.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Injected by napari.
    session : Session, optional
        What the panel shows; by default a new session with an engine process of its own and a bundled model.
    sections : sequence of SectionEntry
        What the panel consists of, from top to bottom.

    Attributes
    ----------
    sections : tuple of Section
        The sections, from top to bottom.
    """

    # The annotation is written as napari looks for it: by this very string, or by the class.
    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        session: Session | None = None,
        sections: Sequence[SectionEntry] = SECTIONS,
    ) -> None:
        super().__init__()
        self._docked = False
        # napari hands plugins a proxy; layers that come out of it are not the viewer's own objects.
        self.viewer: napari.viewer.Viewer = getattr(viewer, "__wrapped__", viewer)
        self._poster = Poster()
        self.session = session or Session(engine.start_engine, self._poster.post)
        self.session.start()
        delay = partial(qdebounced, timeout=SETTLED, parent=self)
        self.controller = LayerController(self.viewer, self.session, self._poster.post, delay)
        self.sections = tuple(entry.make(self.session, self.controller) for entry in sections)
        self._lay_out([entry.stretch for entry in sections])
        self._follow_theme()
        self._connect()
        if not self.session.model.source:
            self.session.open_model(FIRST_MODEL)

    def choose_model(self, source: str) -> None:
        """Open a model: ``bundled:NAME``, ``keras:NAME``, or the path of a file."""
        self.section(ModelSection).open_source(source)

    def section(self, kind: type[S]) -> S:
        """Return the section of a class.

        Raises
        ------
        LookupError
            If the panel has none.
        """
        for section in self.sections:
            if isinstance(section, kind):
                return section
        raise LookupError(f"The panel has no {kind.__name__}.")

    def sizeHint(self) -> QSize:
        """Return the preferred size."""
        return QSize(WIDTH, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest useful size."""
        return QSize(NARROWEST, LOWEST)

    def closeEvent(self, event: QCloseEvent) -> None:
        """End the engine and disconnect from the viewer."""
        self._release()
        super().closeEvent(event)

    def event(self, event: QEvent) -> bool:
        """Release everything when the dock is closed: napari then unparents the panel without notice."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None and self._docked:
                self._release()
                self.deleteLater()
            self._docked = self.parent() is not None
        return bool(super().event(event))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept model files; everything else is left to the viewer."""
        if dropped_model(event) is None:
            event.ignore()
        else:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open a model file."""
        path = dropped_model(event)
        if path is not None:
            self.choose_model(path)
            event.acceptProposedAction()

    def _lay_out(self, stretches: Sequence[int]) -> None:
        content = QWidget()
        rows = QVBoxLayout(content)
        rows.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        rows.setSpacing(MARGIN)
        for section, stretch in zip(self.sections, stretches, strict=True):
            rows.addWidget(section, stretch)
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.session.failed.connect(_notify)
        self.viewer.events.theme.connect(self._follow_theme)
        keys = Keys(self.viewer, self.session)
        theme = partial(self.viewer.events.theme.disconnect, self._follow_theme)
        failed = partial(self.session.failed.disconnect, _notify, missing_ok=True)
        steps: list[Callable[[], object]] = [
            failed,
            theme,
            keys.close,
            self.controller.close,
            self.session.close,
            self._poster.close,
        ]
        # `destroyed` is emitted when nothing of the panel is left, so the steps must not need it.
        self._release: Release = Release(steps)
        self.destroyed.connect(self._release)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._release)

    def _follow_theme(self, _event: object = None) -> None:
        colours = Colours.of_theme(self.viewer.theme)
        self.setStyleSheet(sheet(colours))
        for section in self.sections:
            section.set_colours(colours)


class Poster(QObject):
    """Runs callables from other threads in the window's thread."""

    _posted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._closed = False
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def post(self, call: Callable[[], None]) -> None:
        """Run a callable in the window's thread, soon; drop it if the window is gone."""
        with suppress(RuntimeError):  # Qt has ended already
            self._posted.emit(call)

    def close(self) -> None:
        """Drop all callables from now on."""
        self._closed = True

    def _run(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()


class Release:
    """Releases everything once, however the panel ends: with its dock, the window, or the application."""

    def __init__(self, steps: Sequence[Callable[[], object]]) -> None:
        self._steps = list(steps)

    def __call__(self, _sender: object = None) -> None:
        """Run all steps that have not run yet."""
        while self._steps:
            self._steps.pop(0)()


def _notify(problem: Problem) -> None:
    notify(problem, show_details)


def show_details(problem: Problem) -> QDialog:
    """Open a dialog with a problem's message and its traceback, which can be copied."""
    dialog = QDialog(QApplication.activeWindow())
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle("Saliency: details")
    dialog.resize(720, 360 if problem.details else 0)  # no higher than the message if that is all
    message = QLabel(problem.message)
    message.setWordWrap(True)
    text = QPlainTextEdit(problem.details)
    text.setReadOnly(True)
    text.setHidden(not problem.details)
    text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    rows = QVBoxLayout(dialog)
    for widget in (message, text, buttons):
        rows.addWidget(widget)
    dialog.show()
    return dialog
