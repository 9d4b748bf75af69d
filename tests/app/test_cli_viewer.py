"""Windows opened by the command line."""

import numpy as np
import pytest
import typer
from PIL import Image

from napari_saliency.app import cli

pytestmark = pytest.mark.viewer


@pytest.fixture
def opened(make_napari_viewer, npe2pm, monkeypatch):
    """Open a window as the command does, without waiting until it is closed."""
    monkeypatch.setattr("napari.run", lambda: None)

    def open_window(*photos, model=None):
        viewer = make_napari_viewer()
        monkeypatch.setattr("napari.Viewer", lambda: viewer)
        cli._open_window(list(photos), model)
        return viewer

    with npe2pm.tmp_plugin(package="napari"), npe2pm.tmp_plugin(package="napari-saliency"):
        yield open_window


def test_photos_become_layers_beside_the_panel(opened, tmp_path):
    pixels = np.arange(40 * 50 * 3, dtype=np.uint8).reshape(40, 50, 3)
    for name in ("one.png", "two.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    viewer = opened(tmp_path / "one.png", tmp_path / "two.png")
    assert [layer.name for layer in viewer.layers] == ["one", "two"]
    assert any("Saliency" in name for name in viewer.window.dock_widgets)
    assert np.array_equal(viewer.layers["one"].data, pixels)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # of imageio's, when it gives up
@pytest.mark.parametrize("name", ["text.jpg", "text.txt"])
def test_a_file_that_is_no_picture_gets_one_sentence(opened, tmp_path, name):
    (tmp_path / name).write_text("this is no picture")
    with pytest.raises(typer.BadParameter, match=f"{name} is not an image"):
        opened(tmp_path / name)
