"""A model's file, dropped onto the viewer."""

import pytest

from napari_saliency.viewer.napari_hooks import read_model
from napari_saliency.widgets import panel as widgets_panel
from tests.fakes import FakeSession, prediction

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize("name", ["net.keras", "net.pt2"])
def test_a_dropped_model_opens_in_the_panel(make_napari_viewer, npe2pm, monkeypatch, tmp_path, name):
    session = FakeSession(prediction(3))
    monkeypatch.setattr(widgets_panel, "Session", lambda *_: session)
    file = tmp_path / name
    file.write_bytes(b"")
    with npe2pm.tmp_plugin(package="napari_saliency"):
        viewer = make_napari_viewer()
        assert viewer.open(file, plugin="napari-saliency") == []
        _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")  # the one that is open
        assert panel.session is session
        assert session.of("open_model")[-1][1] == str(file)


def test_without_a_window_nothing_is_read():
    assert read_model("net.keras") is None
