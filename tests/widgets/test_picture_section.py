"""The Picture section: layers, the thumbnail of the model input, the region."""

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_saliency.widgets.picture_section import PictureSection, thumbnail
from tests.widgets.acting import PHOTO, pick

pytestmark = pytest.mark.viewer


def test_picture_lists_layers_and_follows_their_names(made, viewer, controller, session):
    section = made(PictureSection, controller, session)
    assert not section.layers.isEnabled()
    assert "Drop a picture" in section.note.text()
    one, two = (viewer.add_image(PHOTO, name=name) for name in ("one", "two"))
    assert [section.layers.itemText(n) for n in range(2)] == ["two", "one"]
    assert section.layers.currentText() == "two"
    pick(section.layers, "one")
    assert controller.source is one
    one.name = "renamed"
    assert section.layers.currentText() == "renamed"
    viewer.layers.remove(two)
    assert section.layers.count() == 1
    assert not section.note.isVisible()


def test_picture_shows_what_the_model_sees_and_says_how(made, viewer, controller, session):
    section = made(PictureSection, controller, session)
    viewer.add_image(PHOTO)
    assert not section.thumbnail.pixmap().isNull()
    assert "80×60 RGB" in section.description.text()
    assert "values 0 to 255 as they are" in section.description.toolTip()
    viewer.layers.clear()
    assert section.description.text() == ""
    assert section.thumbnail.text() == "no picture"


def test_picture_offers_what_can_be_done(made, viewer, controller, session, qtbot):
    section = made(PictureSection, controller, session)
    asked = []
    controller.correct = lambda: asked.append(True)
    controller.reading_changed.emit(
        SimpleNamespace(description="It lies on its side.", remedy="Turn upright")
    )
    assert section.remedy.isVisible()
    qtbot.mouseClick(section.remedy, Qt.MouseButton.LeftButton)
    assert asked


@pytest.mark.parametrize("shape", [(224, 224, 3), (5, 7, 3), (300, 20, 3), (1, 1, 3)])
def test_thumbnails_keep_shape_and_colours(qtbot, shape):
    preview = np.zeros(shape, np.uint8)
    preview[..., 1] = 200
    image = thumbnail(preview, 90).toImage()
    assert max(image.width(), image.height()) == 90
    assert image.width() / image.height() == pytest.approx(shape[1] / shape[0], abs=0.2)
    assert image.pixelColor(image.width() // 2, image.height() // 2).getRgb()[:3] == (0, 200, 0)


def test_regions_can_be_chosen_as_soon_as_one_is_drawn(made, viewer, controller, session):
    section = made(PictureSection, controller, session)
    viewer.add_image(PHOTO)
    assert not section.regions.isVisible()
    viewer.add_labels(np.zeros((60, 80), int), name="here")
    assert section.regions.isVisible()
    assert [section.regions.itemText(n) for n in range(2)] == ["the whole picture", "here"]
