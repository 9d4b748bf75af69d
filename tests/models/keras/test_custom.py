"""Classes of a user's own in Keras' files: named, trusted, and nothing run before."""

import sys

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError, UntrustedError
from napari_saliency.models import (
    Settings,
    load_model,
    needs_trust,
    open_model,
    trust,
)
from tests.models.keras.files import refused, spoil_layer

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]

CUSTOM = """
import keras
from pathlib import Path

@keras.saving.register_keras_serializable("napari_saliency_custom")
class {name}(keras.layers.Layer):
    def call(self, x):
        return 2 * x

Path({mark!r}).touch()
"""


@pytest.fixture
def custom(keras, tmp_path, monkeypatch):
    """A saved network with a class that only a module on disk knows, and the mark that its import leaves."""
    name, mark = f"Doubling{tmp_path.name}".replace("_", ""), tmp_path / "was imported"
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / f"layers_{name}.py").write_text(CUSTOM.format(name=name, mark=str(mark)), encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    kind = type(name, (keras.layers.Layer,), {"call": lambda self, x: 2 * x})
    registered = keras.saving.register_keras_serializable("napari_saliency_custom")(kind)
    network = keras.Sequential(
        [keras.Input((4, 6, 3)), registered(), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    network.save(tmp_path / "net.keras")
    known = keras.saving.get_custom_objects()
    for key in [key for key, value in known.items() if value is registered]:
        del known[key]
    return tmp_path / "net.keras", f"layers_{name}", mark, network


def is_asked_for(load, module):
    """The message of a refusal that names the file which would have run."""
    with pytest.raises(UntrustedError, match=rf"runs the program .*{module}\.py on your machine") as raised:
        load()
    return str(raised.value)


def test_custom_classes_open_when_their_module_is_named_and_trusted(custom):
    path, module, mark, network = custom
    assert "custom='package.module'" in refused(path)
    said = is_asked_for(lambda: load_model(path, custom=module), module)
    assert f"models.trust({str(path)!r}, custom={module!r})" in said
    assert needs_trust(path, custom=module)
    assert not mark.exists()
    assert module not in sys.modules
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    opened = load_model(path, custom=module, trust=True)
    np.testing.assert_allclose(opened.scores(x), network(x), atol=1e-5)
    assert mark.exists()
    assert needs_trust(path, custom=module)  # a yes for one call is not remembered


def test_a_module_that_is_named_beside_the_file_runs_after_a_yes_alone(custom, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path, module, mark, _ = custom
    assert not needs_trust(path)
    Settings(custom=module).write_sidecar(path)
    assert needs_trust(path)
    is_asked_for(lambda: load_model(path), module)
    is_asked_for(lambda: open_model(path, Settings()), module)  # as the engine does
    assert not mark.exists()
    assert module not in sys.modules
    trust(path)
    assert not mark.exists()
    assert not needs_trust(path)
    open_model(path, Settings())
    assert mark.exists()
    file = tmp_path / "modules" / f"{module}.py"
    file.write_text(file.read_text("utf-8") + "# changed", "utf-8")
    is_asked_for(lambda: load_model(path), module)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("place", ["itself", "its loss"])
@pytest.mark.parametrize("package", ["planted", "keras_hub", "keras_cv"])
def test_a_class_that_names_its_own_module_brings_nothing_to_run(
    keras, tmp_path, monkeypatch, suffix, package, place
):
    """Keras imports modules of packages that it takes for its own, wherever they lie."""
    mark, folder = tmp_path / "was imported", tmp_path / "modules" / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n", "utf-8")
    monkeypatch.syspath_prepend(folder.parent)
    inner = keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Flatten()], name="planted")
    network = keras.Sequential([keras.Input((4, 6, 3)), inner])
    path = tmp_path / f"net{suffix}"
    network.save(path)
    odd = {"module": package, "class_name": "Odd", "config": {}, "registered_name": None}
    spoil_layer(path, odd if place == "itself" else {"compile_config": {"optimizer": "sgd", "loss": odd}})
    assert "it uses Odd, which is not Keras' own" in refused(path)
    assert not mark.exists()
    assert package not in sys.modules


@pytest.mark.parametrize(
    ("module", "yes", "message"),
    [
        ("no.such", True, r"there is no module 'no\.such': install it"),
        ("no.such", False, r"there is no module 'no\.such': install it"),
        ("../no", False, r"'\.\./no' is not a module name"),
        ("a folder", False, "'a folder' is not a module name"),
        ("plain_folder", False, "'plain_folder' is a folder without a module of that name"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(path, tmp_path, monkeypatch, module, yes, message):
    (tmp_path / "plain_folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_model(path, custom=module, trust=yes)
