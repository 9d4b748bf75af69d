"""What tests do with Keras' files: spoil them, see what is said, and compare with the numpy twin."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import (
    load_model,
)
from tests.analytic import pictures, targets_of


def assert_is_the_twin(model, twin):
    x = pictures(twin, 2)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=1e-4)
    wanted = twin.gradient(x, targets_of(0, 1))[1]
    np.testing.assert_allclose(
        model.gradient(x, targets_of(0, 1))[1], wanted, atol=1e-4 * np.abs(wanted).max()
    )


def refused(path):
    """The one sentence that says why a file does not open."""
    with pytest.raises(ModelError) as raised:
        load_model(path)
    text = str(raised.value)
    assert text.startswith(f"{path.name} could not be opened: ")
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 400
    return text


def spoil_layer(path, values):
    """Write other values into the configuration of the layer "planted"."""

    def spoiled(text):
        config = json.loads(text)
        layer = next(x for x in config["config"]["layers"] if x["config"].get("name") == "planted")
        layer.update(values)
        return json.dumps(config)

    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = spoiled(file.attrs["model_config"])
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, spoiled(content) if name == "config.json" else content)
