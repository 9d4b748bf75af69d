"""Graphs of ONNX that several test files open."""

import pytest

from napari_saliency import load_model


@pytest.fixture
def opened(tmp_path):
    """Return a function that saves and opens a graph."""
    import onnx

    def opened(model, **options):
        onnx.save(model, tmp_path / "net.onnx")
        return load_model(tmp_path / "net.onnx", **options)

    return opened
