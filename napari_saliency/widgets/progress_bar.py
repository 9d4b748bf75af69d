"""How far something is: a bar whose words end in an ellipsis where they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QProgressBar, QSizePolicy

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent

    from napari_saliency.session.state import Progress

MARGIN = 8  # pixels, beside the words


class ProgressBar(QProgressBar):
    """As wide as there is room.

    It never is without a total: such a bar is animated, and each of its pictures makes Qt compose the whole
    window again, canvas included, which costs a core that the engine needs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._description = ""
        self.setRange(0, 1)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_progress(self, progress: Progress, text: str = "") -> None:
        """Show how far something is, in these words rather than its own."""
        self.setRange(0, progress.total or 1)
        self.setValue(progress.done)
        self.setToolTip(progress.description)
        self._description = text or progress.description
        self._elide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the words into the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = self.width() - MARGIN
        self.setFormat(self.fontMetrics().elidedText(self._description, Qt.TextElideMode.ElideRight, room))
