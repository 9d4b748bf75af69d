"""A small plot of a few curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_saliency.checks import Curve
    from napari_saliency.widgets.style import Colours

HEIGHT = 90
LEFT, ABOVE, BELOW = 34, 14, 16  # margins in pixels: numbers, name of the vertical axis, the other names
APART = 14  # pixels between names below the plot


class CurveView(QWidget):
    """Curves from 0 to 1, the first one coloured and the others muted, with their spread and named axes."""

    def __init__(self, colours: Colours) -> None:
        super().__init__()
        self._colours = colours
        self.curves: tuple[Curve, ...] = ()
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_curves(self, curves: Sequence[Curve], colours: Colours) -> None:
        """Draw other curves, or the same ones in other colours."""
        self.curves, self._colours = tuple(curves), colours
        self.update()

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value of the vertical axis, which always includes 0."""
        values = np.concatenate([[0.0], *(curve.y for curve in self.curves)])
        low, high = float(values.min()), float(values.max())
        return (low, high) if high > low else (low, low + 1)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the plot."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(0.85 * font.pointSizeF())
        painter.setFont(font)
        area = QRectF(LEFT, ABOVE + 3.5, self.width() - LEFT - 4, HEIGHT - ABOVE - BELOW - 6)
        self._draw_frame(painter, area)
        for number, curve in reversed([*enumerate(self.curves)]):
            colour = self._colour(number)
            if curve.spread is not None:
                self._draw_spread(painter, area, (curve.x, curve.y, curve.spread), colour)
            painter.setPen(QPen(colour, 1.6))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(self._line(area, curve.x, curve.y))
        self._draw_names(painter, area)
        painter.end()

    def _colour(self, number: int) -> QColor:
        return self._colours.muted if number else self._colours.bar

    def _line(self, area: QRectF, x: np.ndarray, y: np.ndarray) -> QPolygonF:
        low, high = self.limits
        across = area.left() + area.width() * np.asarray(x, float)
        down = area.bottom() - area.height() * (np.asarray(y, float) - low) / (high - low)
        return QPolygonF([QPointF(*point) for point in zip(across.tolist(), down.tolist(), strict=True)])

    def _draw_spread(
        self, painter: QPainter, area: QRectF, mean: tuple[np.ndarray, ...], colour: QColor
    ) -> None:
        x, y, spread = mean
        edges = [np.clip(y + sign * spread, *self.limits) for sign in (1, -1)]
        band = self._line(area, np.concatenate([x, x[::-1]]), np.concatenate([edges[0], edges[1][::-1]]))
        pale = QColor(colour)
        pale.setAlpha(60)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(pale)
        painter.drawPolygon(band)

    def _draw_frame(self, painter: QPainter, area: QRectF) -> None:
        low, high = self.limits
        painter.setPen(QPen(self._colours.track, 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.bottomLeft())
        painter.setPen(self._colours.muted)
        right = Qt.AlignmentFlag.AlignRight
        for value, place, top in (
            (high, Qt.AlignmentFlag.AlignTop, True),
            (low, Qt.AlignmentFlag.AlignBottom, False),
        ):
            box = QRectF(0, area.top() - 2 if top else area.bottom() - 14, LEFT - 4, 16)
            painter.drawText(box, int(right | place), f"{value:.2g}")

    def _draw_names(self, painter: QPainter, area: QRectF) -> None:
        """Write the names of the curves and of the horizontal axis below the plot, that of the vertical axis above."""
        left, below, metrics = area.left(), HEIGHT - 4.0, painter.fontMetrics()
        for number, curve in enumerate(self.curves):
            painter.setPen(self._colour(number))
            painter.drawText(QPointF(left, below), curve.label)
            left += metrics.horizontalAdvance(curve.label) + APART
        painter.setPen(self._colours.muted)
        for curve in self.curves[:1]:
            room = max(0, int(area.right() - left))
            across = metrics.elidedText(curve.across, Qt.TextElideMode.ElideRight, room)
            painter.drawText(QPointF(area.right() - metrics.horizontalAdvance(across), below), across)
            painter.drawText(QPointF(LEFT, metrics.ascent() + 1.0), curve.up)
