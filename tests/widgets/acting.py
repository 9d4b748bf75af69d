"""What a user does in a section, and what the tests show in it."""

from typing import Annotated, Literal

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel

from napari_saliency.checks import Curve, Finding
from napari_saliency.methods import METHODS, LayerChoice
from napari_saliency.methods.options import options_of
from napari_saliency.methods.registry import Method
from napari_saliency.session.state import ModelStatus, Phase, SourceImage
from napari_saliency.widgets.option_form import OptionForm
from tests.fakes import info

PHOTO = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
LONG = "American black bear, black bear, Ursus americanus, Euarctos americanus"
LINES = (
    Curve("map", np.float32([0, 0.5, 1]), np.float32([1, 0.2, 0])),
    Curve("random order", np.float32([0, 0.5, 1]), np.float32([1, 0.6, 0]), np.float32([0, 0.1, 0])),
)


def look(session, pixels=PHOTO, key=1):
    session.set_picture(SourceImage(key, "photo", lambda: (pixels, None)))


def ready(source="fake:net", **changes):
    known = info(source=source, **changes)
    return ModelStatus(Phase.READY, f"ready: {known.description}", source, known)


def asking(*asked, labels=("0", "1", "2")):
    return ready("/home/me/net.keras", questions=asked, labels=labels)


def finding_of(level="good", verdict="It is so.", curves=(), **more):
    return Finding(1, 1, {"area": 0.25}, tuple(curves), verdict, level, ("How it was.",), **more)


def pick(box, text):
    """Choose an item as a user does."""
    number = next(n for n in range(box.count()) if text in box.itemText(n))
    box.setCurrentIndex(number)
    box.activated.emit(number)


def focus(qtbot, widget):
    """Give a widget the keyboard."""
    with qtbot.waitActive(widget.window(), timeout=2000):
        widget.window().activateWindow()
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus, timeout=2000)


def rows(section):
    return section.table.classes.classes


def click(qtbot, table, row, modifier=Qt.KeyboardModifier.NoModifier):
    spot = table.visualRect(table.classes.index(row, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, pos=spot)


def typed(qtbot, box, text, key=Qt.Key.Key_Return):
    """Search a list as a user does: give it the keyboard, and type."""
    with qtbot.waitActive(box.window(), timeout=2000):
        box.window().activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus, timeout=2000)
    qtbot.wait(20)  # all is selected
    qtbot.keyClicks(box.lineEdit(), text)
    qtbot.keyClick(box.lineEdit(), key)


def enter(qtbot, field, text, key=Qt.Key.Key_Return):
    """Replace what stands in a field, as a user does."""
    with qtbot.waitActive(field.window(), timeout=2000):
        field.window().activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus, timeout=2000)
    qtbot.wait(20)
    line = field.lineEdit() if isinstance(field, QComboBox) else field
    line.selectAll()
    if not text:
        qtbot.keyClick(line, Qt.Key.Key_Delete)
    qtbot.keyClicks(line, text)
    if key is not None:
        qtbot.keyClick(line, key)


def said(form):
    """What is told to be wrong, without the places where long words may break."""
    return [
        label.text().replace("\u200b", "")
        for label in form.findChildren(QLabel)
        if label.isVisible() and label.wordWrap()
    ]


def occlusion_form(made, **values):
    form = made(OptionForm)
    form.show_options(METHODS["occlusion"].options, values, info())
    return form


def every_kind(
    model,
    x,
    targets,
    *,
    samples: Annotated[int, {"min": 2, "max": 100}] = 50,
    noise: Annotated[float, {"min": 0.0, "max": 1.0, "step": 0.01}] = 0.15,
    share: Annotated[float, {"min": 0.0, "max": 2.0}] = 0.5,
    squared: bool = True,
    baseline: Literal["black", "white"] = "white",
    layer: Annotated[str, LayerChoice()] = "",
    text: str = "some",
    seed: int = 0,
):
    """Do nothing.

    Parameters
    ----------
    samples : int
        How many.
    """
    yield


EVERY = Method("every_kind", "Every kind", every_kind, "gradient", "nobody", options_of(every_kind))


def preview(form):
    return [name for name, widget in form.widgets.items() if widget.native.isVisible()]
