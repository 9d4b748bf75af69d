"""Keras networks that Python builds are read like files of Keras."""

import sys

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings, load_model
from tests.analytic import LABELS

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

BUILD = """
import keras

def build():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D({filters}, 3, activation="relu", name="conv")(inputs)
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))
"""


@pytest.fixture
def factory(keras, tmp_path, monkeypatch):
    """Return a function that writes a module whose ``build`` makes a network; and that network."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def factory(filters=2):
        names.append(f"factory_{tmp_path.name}_{len(names)}".replace("-", "_"))
        (tmp_path / f"{names[-1]}.py").write_text(BUILD.format(filters=filters), "utf-8")
        scope = {}
        exec(BUILD.format(filters=filters), scope)
        return f"python:{names[-1]}:build", scope["build"]()

    yield factory
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["net.weights.h5", "net.keras"])
def test_weights_of_a_file_are_loaded(factory, tmp_path, name):
    source, network = factory()
    path = tmp_path / name
    (network.save_weights if name.endswith(".weights.h5") else network.save)(path)
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    model = load_model(f"{source}?weights={path}", trust=True)
    np.testing.assert_allclose(model.scores(x), network(x), atol=1e-5)
    again = load_model(f"{source}?weights={path}", trust=True)
    assert again.info.fingerprint == model.info.fingerprint
    assert load_model(source, trust=True).info.fingerprint != model.info.fingerprint


def test_what_stands_beside_the_weights_counts_and_is_named_where_it_does_not_fit(factory, tmp_path):
    source, network = factory()
    network.save_weights(path := tmp_path / "net.weights.h5")
    Settings(preprocessing="tf", labels=LABELS).write_sidecar(path)
    info = load_model(f"{source}?weights={path}", trust=True).info
    assert (info.labels, info.input.preprocessing.name, info.questions) == (LABELS, "tf", ())
    Settings(layer="dense").write_sidecar(path)
    with pytest.raises(
        ModelError, match=r"^the model has no layer 'dense'.*net\.weights\.saliency\.json beside"
    ):
        load_model(f"{source}?weights={path}", trust=True)


def test_weights_of_another_network_and_damaged_ones_are_told(factory, tmp_path):
    source, network = factory()
    other, _ = factory(filters=3)
    network.save_weights(path := tmp_path / "net.weights.h5")
    with pytest.raises(ModelError, match=r"^net\.weights\.h5 does not hold the weights of build: "):
        load_model(f"{other}?weights={path}", trust=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"^net\.weights\.h5 does not hold the weights of build: [^\n]+$"):
        load_model(f"{source}?weights={path}", trust=True)
    path.write_text("no weights", "utf-8")
    with pytest.raises(ModelError, match=r"truncated.*copy it"):
        load_model(f"{source}?weights={path}", trust=True)
