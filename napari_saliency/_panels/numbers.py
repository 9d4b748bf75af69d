"""A field for whole numbers, for magicgui, whose own one cannot show words in place of a number."""

from __future__ import annotations

from typing import Any

from magicgui.backends._qtpy.widgets import QBaseRangedWidget
from magicgui.widgets.bases import RangedWidget
from qtpy.QtWidgets import QAbstractSpinBox, QSpinBox


class _Backend(QBaseRangedWidget):
    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(QSpinBox, **more)


class WholeNumber(RangedWidget[int]):
    """Qt's own spin box."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(**more | {"widget_type": _Backend})


def prepare_typing(field: QAbstractSpinBox, least: str) -> None:
    """Let numbers be typed in peace: they are taken at the end, the nearest one if they are too small.

    Parameters
    ----------
    least : str
        Words for the least value; none if empty.
    """
    field.setKeyboardTracking(False)
    field.setCorrectionMode(QAbstractSpinBox.CorrectionMode.CorrectToNearestValue)
    field.setSpecialValueText(least)
