"""Pictures that napari interprets differently: noticed, and shown as they should be."""

import numpy as np
import pytest
from napari.layers._source import layer_source
from napari.utils.notifications import notification_manager
from PIL import Image as Pillow

from napari_saliency.viewer.misread_files import find_misreading
from tests.viewer.subjects import RNG, settle

pytestmark = pytest.mark.viewer


def test_small_colour_pictures_are_taken_in_colour_and_can_be_shown_so(viewer, session, controller):
    small = RNG.integers(0, 255, (28, 28, 3), np.uint8)
    wrong = viewer.add_image(small, name="small")
    assert wrong.ndim == 3  # 28 planes
    settle(controller)
    assert np.array_equal(session.picture.read()[0], small)
    assert "28 planes" in controller.reading.description
    controller.correct()
    settle(controller)
    right = controller.source
    assert right is not wrong
    assert right.rgb
    assert not wrong.visible
    assert np.array_equal(right.data, small)
    settle(controller)
    assert controller.reading.description == ""


@pytest.mark.parametrize(
    ("mode", "exif", "remedy", "shape"),
    [
        ("RGB", 6, "Turn upright", (50, 40, 3)),
        ("CMYK", 1, "Show true colours", (40, 50, 3)),
        ("LA", 1, "Show in colour", (40, 50, 4)),
        ("RGB", 1, "", None),
    ],
)
def test_files_that_napari_reads_otherwise_are_noticed(
    viewer, controller, tmp_path, mode, exif, remedy, shape
):
    path = tmp_path / ("photo.png" if mode == "LA" else "photo.jpg")
    photo = Pillow.fromarray(RNG.integers(0, 255, (40, 50, 3), np.uint8)).convert(mode)
    tags = photo.getexif()
    tags[0x0112] = exif
    photo.save(path, exif=tags)
    with Pillow.open(path) as file, layer_source(path=str(path)):
        viewer.add_image(np.array(file), name="photo")
    reading = find_misreading(controller.source)
    assert reading.remedy == remedy
    if shape:
        assert reading.corrected().shape == shape


def test_three_planes_may_be_colours(viewer, controller):
    layer = viewer.add_image(RNG.integers(0, 255, (3, 50, 60), np.uint8))
    reading = find_misreading(layer)
    assert "Three planes" in reading.description
    assert reading.corrected().shape == (50, 60, 3)


def test_a_file_that_is_gone_is_a_sentence(viewer, session, controller, tmp_path):
    before = len(notification_manager.records)
    controller._files.read(lambda: Pillow.open(tmp_path / "gone.png"), lambda _answer: None)
    settle(controller)
    (record,) = notification_manager.records[before:]
    assert "gone.png" in record.message
