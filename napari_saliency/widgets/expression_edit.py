"""A magicgui field for one number or several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from magicgui.backends._qtpy.widgets import QBaseValueWidget
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy import QtCore
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLineEdit

from napari_saliency.widgets.search_box import FreshLine

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent

    from napari_saliency.methods import Option

_STEPS = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}


class _Stepped(QLineEdit):
    """A line edit that signals the keys that step a number."""

    stepped = QtCore.Signal(int)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Signal the arrow keys; leave the other keys to the line edit."""
        if event.key() in _STEPS:
            self.stepped.emit(_STEPS[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)


class _Line(QBaseValueWidget):
    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(_Stepped, "text", "setText", "", **more)


class _List(QBaseValueWidget):
    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - magicgui's
        super().__init__(QComboBox, "currentText", "setEditText", "", **more)


class Typed(ValueWidget[Any]):
    """A line for numbers, with a list of the keywords that the option also accepts, if any.

    The text is read when editing ends, as in the other fields of the panel. Text that the option rejects stays, to
    be corrected, and the previous value stays in force.
    """

    problem = Signal(str)  # a sentence, or "" if the text is valid

    def __init__(self, option: Option, value: object) -> None:
        self._option, self._value = option, option.default
        backend = _List if option.keywords else _Line
        super().__init__(widget_type=backend, name=option.name, tooltip=option.help)
        self._box = self.native if option.keywords else None
        if self._box is None:
            self.line: QLineEdit = self.native
            self.line.stepped.connect(self._step)
        else:
            self.line = FreshLine(self._box)
            self._box.addItems(option.keywords)
            self._box.setLineEdit(self.line)
            self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
            self._box.activated.connect(self.take)
        self.line.setAcceptDrops(False)
        self.line.setPlaceholderText(option.min_text)
        self.line.editingFinished.connect(self.take)
        self.value = value

    def get_value(self) -> Any:  # noqa: ANN401 - an option's
        """Return the last valid value."""
        return self._value

    def set_value(self, value: Any) -> None:  # noqa: ANN401 - an option's
        """Set a value that the option allows."""
        changed, self._value = value != self._value, value
        text = "" if value == _least(self._option) else written(self._option, value)
        if self._box is not None:
            self._box.setCurrentIndex(self._box.findText(text))
        self.line.setText(text)
        self.problem.emit("")
        if changed:
            self.changed.emit(value)

    def take(self, _number: object = None) -> None:
        """Read what was typed, or show why it is rejected."""
        try:
            self.value = read(self._option, self.line.text())
        except ValueError as error:
            self.problem.emit(f"{error} Still using {written(self._option, self._value)}.")

    def _step(self, by: int) -> None:
        """Step a single number; with several, it would not be clear which."""
        self.take()
        low, high = self._option.limits or (self._value, self._value)
        if not isinstance(self._value, tuple):
            self.value = min(max(self._value + by, low), high)


def read(option: Option, text: str) -> Any:  # noqa: ANN401 - an option's
    """Return the value of an option from what was typed.

    Raises
    ------
    ValueError
        If the option rejects it; the message is for the user.
    """
    given, least = text.strip().lower(), option.min_text or None
    if given in option.keywords:
        return given
    parts = re.findall(r"[^\s,;×]+", given) or [least]
    try:
        numbers = [_least(option) if part == least else option.type(part) for part in parts]
        value = numbers[0] if len(numbers) == 1 else tuple(numbers)
        option.check(value)
    except (TypeError, ValueError):
        raise ValueError(_expected(option)) from None
    return value


def written(option: Option, value: Any) -> str:  # noqa: ANN401 - an option's
    """Format a value of an option as it is typed."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ", ".join(written(option, one) for one in value)
    if value == _least(option):
        return option.min_text
    return str(int(value) if value == int(value) else value)


def _least(option: Option) -> Any:  # noqa: ANN401 - an option's
    """Return the number that has a name in place of a numeral, or None."""
    return option.min if option.min_text else None


def _expected(option: Option) -> str:
    """Describe in a sentence what an option accepts."""
    within = " from {} to {}".format(*option.limits) if option.limits else ""
    numbers = f"{'whole ' * (option.type is int)}numbers{within}"
    kinds = f"{', '.join(option.keywords)}, or {numbers}" if option.keywords else numbers
    many = ": one, or several with commas between" if option.several else ""
    return f"{option.name.replace('_', ' ').capitalize()} takes {kinds}{many}."
