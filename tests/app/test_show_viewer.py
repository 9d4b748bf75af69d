"""The window that `show` opens."""

import numpy as np
import pytest

from napari_saliency.app import show

pytestmark = pytest.mark.viewer


def test_a_window_gets_all_layers(make_napari_viewer, monkeypatch):
    viewer = make_napari_viewer()
    monkeypatch.setattr("napari.Viewer", lambda: viewer)
    monkeypatch.setattr("napari.run", lambda: None)
    show.view([(np.zeros((4, 4)), {"name": "one"}, "image"), (np.ones((2, 2)), {"name": "two"}, "image")])
    assert [layer.name for layer in viewer.layers] == ["one", "two"]
