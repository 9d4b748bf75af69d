"""Number fields for magicgui, whose own ones drop keys that they do not expect: 1.5 became 15.

The text is read when editing ends. A number is moved to the nearest one allowed; any other text leaves the value
unchanged. Either way the field then shows its value.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from magicgui.backends._qtpy.widgets import FloatSpinBox, QBaseRangedWidget
from magicgui.widgets.bases import RangedWidget
from qtpy.QtCore import QLocale
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox


class _WholeBox(QSpinBox):
    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return _state(self, text), text, position

    def valueFromText(self, text: str) -> int:
        return round(_nearest(self, text))


class _DecimalBox(QDoubleSpinBox):
    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        return _state(self, text), text, position

    def valueFromText(self, text: str) -> float:
        return _nearest(self, text)


class _WholeBackend(QBaseRangedWidget):
    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(_WholeBox, **more)


class _DecimalBackend(FloatSpinBox):
    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        QBaseRangedWidget.__init__(self, _DecimalBox, **more)


class WholeNumber(RangedWidget[int]):
    """A spin box for whole numbers."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(**more | {"widget_type": _WholeBackend})


class DecimalNumber(RangedWidget[float]):
    """A spin box for numbers with decimals."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(**more | {"widget_type": _DecimalBackend})


def prepare_typing(field: QAbstractSpinBox, least: str) -> None:
    """Read numbers only when editing ends.

    Parameters
    ----------
    least : str
        Name of the smallest value; none if empty.
    """
    field.setKeyboardTracking(False)
    field.setSpecialValueText(least)


def _state(field: QAbstractSpinBox, text: str) -> QValidator.State:
    """Accept every key: dropping one would join the others to another number."""
    number = _number(field, text)
    return QValidator.State.Intermediate if number is None else QValidator.State.Acceptable


def _nearest(field: QAbstractSpinBox, text: str) -> float:
    number = _number(field, text)
    return float(min(max(field.value() if number is None else number, field.minimum()), field.maximum()))


def _number(field: QAbstractSpinBox, text: str) -> float | None:
    """Read a number in the format of the locale, or with a point or a comma before its decimals."""
    least = field.specialValueText()
    if least and text.strip() in ("", least):
        return float(field.minimum())
    language = field.locale()
    if isinstance(field, QDoubleSpinBox):
        language.setNumberOptions(QLocale.NumberOption.RejectGroupSeparator)  # 0,125 is a decimal, not 125
    for locale, written in ((language, text), (QLocale.c(), text.replace(",", "."))):
        number, read = locale.toDouble(written)
        if read and isfinite(number):
            return float(number)
    return None
