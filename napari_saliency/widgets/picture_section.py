"""Section: the picture, and exactly what the model sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout

from napari_saliency.widgets.search_box import widen
from napari_saliency.widgets.style import GAP, THUMBNAIL, Section, combo, note, row, set_text, small_print

if TYPE_CHECKING:
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.session.session import Session
    from napari_saliency.viewer.controller import LayerController
    from napari_saliency.viewer.misread_files import Reading

WHOLE = "the whole picture"
SIDE = 92  # pixels, the height of four rows of text


class PictureSection(Section):
    """The image layer, a thumbnail of the model's input, and how the input was made from the layer."""

    def __init__(self, controller: LayerController, session: Session) -> None:
        super().__init__("Picture")
        self._controller, self._session = controller, session
        self.layers = combo()
        self.layers.setToolTip("Image layer to explain. A newly added layer is selected automatically.")
        self.layers.activated.connect(self._choose)
        self.thumbnail = QLabel()
        self.thumbnail.setObjectName(THUMBNAIL)
        self.thumbnail.setFixedSize(SIDE, SIDE)
        self.thumbnail.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.description = small_print(wrapped=True)
        self.regions = combo()
        self.regions.setToolTip(
            "Region drawn in a Labels layer (the selected label) or a Shapes layer. A check tests whether the map "
            "points to it. For models with an output at each position, the mean output in the region is explained."
        )
        self.regions.activated.connect(self._choose_region)
        self.region_row = row(QLabel("Region"), self.regions, stretch=1)
        self.note = note()
        self.remedy = QPushButton()
        self.remedy.clicked.connect(lambda: controller.correct())
        self._lay_out()
        controller.pictures_changed.connect(self._list)
        controller.reading_changed.connect(self._show_reading)
        session.prepared_changed.connect(self._show_prepared)
        session.model_changed.connect(self._show_description)
        self._list()
        self._show_reading(controller.reading)
        self._show_prepared(session.prepared)

    def _lay_out(self) -> None:
        right = QVBoxLayout()
        right.setSpacing(GAP)
        right.addWidget(self.layers)
        right.addWidget(self.description, 1)
        columns = row(self.thumbnail)
        columns.setAlignment(self.thumbnail, Qt.AlignmentFlag.AlignTop)
        columns.addLayout(right, 1)
        columns.setSpacing(2 * GAP)
        self.rows.addLayout(columns)
        self.rows.addLayout(self.region_row)
        self.rows.addWidget(self.note)
        self.rows.addWidget(self.remedy, 0, Qt.AlignmentFlag.AlignLeft)

    def _choose(self, number: int) -> None:
        self._controller.choose(self._controller.pictures[number])

    def _choose_region(self, number: int) -> None:
        self._controller.choose_region(self._controller.drawings[number - 1] if number else None)

    def _list_regions(self) -> None:
        drawings, chosen = self._controller.drawings, self._controller.region
        self.regions.clear()
        self.regions.addItems([WHOLE, *(layer.name for layer in drawings)])
        self.regions.setCurrentIndex(drawings.index(chosen) + 1 if chosen in drawings else 0)
        self._show_description()

    def _list(self) -> None:
        self._list_regions()
        self._show_placeholder()
        pictures, source = self._controller.pictures, self._controller.source
        self.layers.clear()
        self.layers.addItems([layer.name for layer in pictures])
        widen(self.layers)
        self.layers.setEnabled(bool(pictures))
        if source in pictures:
            self.layers.setCurrentIndex(pictures.index(source))

    def _show_reading(self, reading: Reading) -> None:
        set_text(self.note, reading.description)
        set_text(self.remedy, reading.remedy, tooltip="Add a corrected layer and hide this one.")

    def _show_prepared(self, prepared: Prepared | None) -> None:
        if prepared is None:
            self.thumbnail.setPixmap(QPixmap())
            self._show_placeholder()
            self.thumbnail.setToolTip("")
        else:
            self.thumbnail.setPixmap(thumbnail(prepared.preview, SIDE - 2))
            self.thumbnail.setToolTip("Model input")
        self._show_description()

    def _show_placeholder(self) -> None:
        if self._session.prepared is None:
            self.thumbnail.setText("no picture" if self._controller.source is None else "")

    def _show_description(self, _status: object = None) -> None:
        prepared, info = self._session.prepared, self._session.model.info
        useful = info is not None and (bool(info.space) or bool(self._controller.drawings))
        for number in range(self.region_row.count()):
            self.region_row.itemAt(number).widget().setVisible(useful)
        text = list(prepared.description) if prepared is not None else []
        if text and info is not None:
            text.append(f"preprocessing: {info.input.preprocessing.description}")
        self.description.setText("; ".join(text))
        self.description.setToolTip("; ".join(text))


def thumbnail(preview: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], side: int) -> QPixmap:
    """Scale a picture (H, W, 3) uint8 to fit a square; pixels of small pictures stay visible."""
    pixels = np.ascontiguousarray(preview)
    height, width = pixels.shape[:2]
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    small = max(height, width) <= side
    mode = Qt.TransformationMode.FastTransformation if small else Qt.TransformationMode.SmoothTransformation
    # `scaled` copies, so that the pixmap does not outlive the array's memory.
    return QPixmap.fromImage(image.scaled(QSize(side, side), Qt.AspectRatioMode.KeepAspectRatio, mode))
