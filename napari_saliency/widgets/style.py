"""Colours of the viewer's theme, and the building blocks that sections share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QCoreApplication, QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_saliency.widgets.search_box import widen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtGui import QPaintEvent

MARGIN = 8
GAP = 4
INDENT = 4  # of text in pixels, about what Qt chooses by itself


@dataclass(frozen=True)
class Colours:
    """Colours of what the viewer's stylesheet does not cover: dots, bars, links and small print."""

    text: QColor
    muted: QColor
    track: QColor
    bar: QColor
    chosen: QColor
    hover: QColor
    good: QColor
    busy: QColor
    bad: QColor

    @classmethod
    def of_theme(cls, name: str) -> Colours:
        """Take the colours from a theme of napari."""
        theme = get_theme(name)
        dark = theme.type == "dark"
        text = QColor(theme.text.as_hex())
        muted = _mixed(text, QColor(theme.background.as_hex()), 0.66)
        return cls(
            text=text,
            muted=muted,
            track=QColor(theme.primary.as_hex()),
            bar=QColor("#5b8def" if dark else "#2f6fd6"),
            chosen=QColor(theme.current.as_hex()),
            hover=_mixed(QColor(theme.current.as_hex()), text, 0.85),
            good=QColor("#4fb86b" if dark else "#2b8a4b"),
            busy=QColor("#e3b617" if dark else "#b98900"),
            bad=QColor("#ef6b73" if dark else "#c01825"),
        )


def _mixed(one: QColor, other: QColor, share: float) -> QColor:
    parts = (share * a + (1 - share) * b for a, b in zip(one.getRgb()[:3], other.getRgb()[:3], strict=True))
    return QColor(*(round(part) for part in parts))


SMALL_PRINT, THUMBNAIL, FORM = "smallPrint", "thumbnail", "questions"
MAIN_BUTTON, FOLD = "mainButton", "fold"
"""Object names of widgets that differ from the viewer's stylesheet."""


def sheet(colours: Colours) -> str:
    """Return the stylesheet of the whole panel; a single one, because Qt visits all widgets for each."""
    muted, track, busy = colours.muted.name(), colours.track.name(), colours.busy.name()
    text, chosen, hover = colours.text.name(), colours.chosen.name(), colours.hover.name()
    return f"""
        QComboBox {{ padding: 3px 2px 3px 5px; }}
        QComboBox::drop-down {{ width: 15px; }}
        QComboBox::down-arrow {{ width: 11px; height: 11px; }}
        QComboBox::separator {{ background: {muted}; height: 1px; margin: 2px 4px; }}
        QLineEdit:disabled {{ color: {text}; }}
        QProgressBar::chunk {{ background: {chosen}; width: 1px; }}
        QLabel#{SMALL_PRINT} {{ color: {muted}; }}
        QLabel#{THUMBNAIL} {{ border: 1px solid {track}; border-radius: 2px; color: {muted}; padding: 0px; }}
        QFrame#{FORM} {{ border: 1px solid {busy}; border-radius: 3px; padding: 3px; }}
        QToolButton#{FOLD} {{ border: none; background: transparent; padding: 0px; color: {muted}; }}
        QToolButton#{FOLD}:hover {{ color: {text}; }}
        QPushButton#{MAIN_BUTTON}:enabled {{ background: {chosen}; }}
        QPushButton#{MAIN_BUTTON}:enabled:hover {{ background: {hover}; }}
    """


class Section(QWidget):
    """A heading and rows below it; see `sections` for what the panel expects of one."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setSpacing(GAP)
        self.heading = QLabel(title)
        font = self.heading.font()
        font.setBold(True)
        self.heading.setFont(font)
        self.rows.addWidget(self.heading)
        self.colours = Colours.of_theme("dark")

    def set_colours(self, colours: Colours) -> None:
        """Take the colours of a theme for what `sheet` does not cover."""
        self.colours = colours


class ElidingCombo(QComboBox):
    """A drop-down list whose current item is elided if it does not fit."""

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the list as Qt does, with elided text."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideRight, field.width() - 2
        )
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def combo(items: Iterable[tuple[str, Any]] = ()) -> QComboBox:
    """Make a drop-down list that takes any width and shows its items in full when open."""
    box = ElidingCombo()
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    for text, value in items:
        box.addItem(text, value)
    widen(box)
    return box


def small_print(*, wrapped: bool = False) -> QElidingLabel:
    """Make a muted label without a width of its own, which elides text that does not fit."""
    label = QElidingLabel()
    label.setObjectName(SMALL_PRINT)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    if wrapped:
        label.setWordWrap(True)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
    return label


def note() -> QLabel:
    """Make a label for sentences, with as many lines as they need."""
    label = QLabel()
    label.setWordWrap(True)
    label.setIndent(INDENT)  # otherwise Qt counts it twice: one line too many where the text just fits
    label.setVisible(False)
    return label


def set_text(label: QLabel | QPushButton, text: str, *, tooltip: str = "") -> None:
    """Set the text of a label, and its tooltip to the same unless one is given; hide the label if the text is empty."""
    before = label.text()
    label.setText(breakable(text))
    label.setToolTip(tooltip or text)
    label.setVisible(bool(text))
    if isinstance(label, QLabel) and label.wordWrap() and label.text() != before:
        make_room(label)


def make_room(widget: QWidget) -> None:
    """Lay out the parents of a widget that needs more room at once.

    Qt passes this on from parent to parent, one event each, and may paint before the last one: two lines of text in
    the room of one.
    """
    around = widget.parentWidget()
    while around is not None:
        QCoreApplication.sendPostedEvents(around, QEvent.Type.LayoutRequest)
        around = around.parentWidget()


_LONG = re.compile(r"\S{25,}")
_PART = re.compile(
    r"[^/\\_.:=?&-]{0,23}[/\\_.:=?&-]+|[^/\\_.:=?&-]{24}"
)  # up to a separator, or 24 characters without one


def breakable(text: str) -> str:
    """Allow line breaks within long words such as paths; otherwise Qt makes the panel as wide as they are."""
    return _LONG.sub(lambda word: _PART.sub("\\g<0>\u200b", word[0]), text)


def row(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Lay out widgets side by side; the one with the index ``stretch`` takes the remaining width."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(GAP + 2)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if number == stretch else 0)
    return layout
