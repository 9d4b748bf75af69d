"""What lies behind a notification, for whoever wants to report it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout

if TYPE_CHECKING:
    from napari_saliency.session.state import Problem


def show_details(problem: Problem) -> QDialog:
    """Open a window with a problem's sentence and its traceback, which can be copied."""
    dialog = QDialog(QApplication.activeWindow())
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle("Saliency: details")
    dialog.resize(720, 360 if problem.details else 0)  # as low as can be
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
