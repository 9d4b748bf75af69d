"""Building blocks of the sections: nothing is cut off or sticks out, at any width."""

import re

import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QLabel

from napari_saliency.session.state import ModelStatus, Phase
from napari_saliency.widgets.classes_section import ClassSection
from napari_saliency.widgets.display_section import DisplaySection
from napari_saliency.widgets.method_section import MethodSection
from napari_saliency.widgets.model_section import ModelSection
from napari_saliency.widgets.picture_section import PictureSection
from napari_saliency.widgets.style import INDENT, Colours, breakable, combo, note, set_text, sheet
from tests.staged import StagedSession
from tests.widgets.acting import LONG, PHOTO, asking

pytestmark = pytest.mark.viewer


def test_a_list_elides_what_does_not_fit(made):
    def shown(text):
        box = made(lambda: combo([(text, text)]), width=90)
        box.setStyleSheet(sheet(Colours.of_theme("dark")))
        return box

    metrics = shown("W").fontMetrics()
    texts = ["W" * count + "…" for count in range(1, 12)]
    fitting = [text for text in texts if metrics.horizontalAdvance(text) < 66]
    assert shown("W" * 40).grab().toImage() == shown(fitting[-1]).grab().toImage()


def test_a_note_has_as_many_lines_as_it_needs(made):
    label = made(note)
    label.setStyleSheet("padding: 1px")  # napari's sheet gives labels a frame, too
    set_text(
        label, "Knows nine things and will force any picture into them: airplane, carton, cat, dog, shirt."
    )
    line, flags = label.fontMetrics().lineSpacing(), int(Qt.TextFlag.TextWordWrap)
    for width in range(200, 320):
        room = QRect(0, 0, width - INDENT - 2 * label.frameWidth(), 1000)
        needed = label.fontMetrics().boundingRect(room, flags, label.text()).height()
        assert label.heightForWidth(width) < needed + line, width


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a sentence of many words, none of which is long", 1),
        ("it lies in /home/somebody/some/folder/net.keras", 7),
        ("a" * 60, 3),
    ],
)
def test_long_words_can_be_broken(text, parts):
    broken = breakable(text)
    assert broken.replace("\u200b", "") == text
    assert broken.count("\u200b") == parts - 1
    assert max(len(part) for part in re.split("[\u200b ]", broken)) < 25


def test_labels_side_by_side_are_on_one_line(made, controller, session, qtbot):
    section = made(DisplaySection, controller, session)
    qtbot.waitExposed(section)
    labels = {label.text(): label for label in section.findChildren(QLabel) if label.isVisible()}
    for names in (("Channels", "Sign", "Colours"), ("Contrast", "Clip")):
        assert len({labels[name].geometry().center().y() for name in names}) == 1


@pytest.mark.parametrize("width", [280, 320])
def test_nothing_sticks_out_of_a_narrow_panel(made, viewer, controller, session, width, qtbot):
    viewer.add_image(PHOTO, name="a picture with a very long name that goes on and on")
    session.set_model(asking("preprocessing", "labels", labels=(LONG,) * 3))
    broken = StagedSession(
        status=ModelStatus(Phase.FAILED, "very_" * 12 + "long.keras does not open", "/a/net.keras")
    )
    for section in (
        made(ModelSection, broken, width=width),
        made(PictureSection, controller, session, width=width),
        made(ModelSection, session, width=width),
        made(MethodSection, session, width=width),
        made(ClassSection, session, width=width),
        made(DisplaySection, controller, session, width=width),
    ):
        qtbot.wait(1)
        assert section.minimumSizeHint().width() <= 264, type(section)
        assert section.width() == width
        labels = [child for child in section.findChildren(type(section.heading)) if child.isVisible()]
        assert max(label.mapTo(section, QPoint(label.width(), 0)).x() for label in labels) <= width
