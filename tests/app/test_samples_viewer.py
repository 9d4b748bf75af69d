"""Sample images in napari's menu File ▸ Open Sample."""

import pytest

pytestmark = pytest.mark.viewer


@pytest.mark.parametrize(
    ("key", "layers"),
    [
        ("cat", {"cat": "image"}),
        ("digits", {"digits": "image"}),
        ("watermark", {"watermark": "image", "mark": "labels"}),
    ],
)
def test_sample_opens_as_layers(make_napari_viewer, npe2pm, key, layers):
    with npe2pm.tmp_plugin(package="napari-saliency"):
        viewer = make_napari_viewer()
        viewer.open_sample("napari-saliency", key)
    assert {layer.name: layer.as_layer_data_tuple()[2] for layer in viewer.layers} == layers
