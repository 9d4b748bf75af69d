"""The manifest: what ``npe2 validate`` lets pass is held against npe2 and napari here."""

import inspect
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

from napari_saliency.models import BACKENDS

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "napari_saliency" / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(FILE)


@pytest.fixture(scope="module")
def written() -> dict:
    """The file as it stands, unknown keys included."""
    return yaml.safe_load(FILE.read_text("utf-8"))


def test_links_at_the_root_lead_into_the_package():
    for name in ("napari.yaml", "sample_data"):
        link = ROOT / name
        assert link.is_symlink(), name
        assert link.readlink() == Path("napari_saliency", name)
        assert link.exists()


def test_name_is_the_distributions(manifest):
    entry_points = distribution(manifest.name).entry_points.select(group="napari.manifest")
    assert {(point.name, point.value) for point in entry_points} == {
        (manifest.name, "napari_saliency:napari.yaml")
    }
    assert distribution(manifest.name).name == manifest.name


def test_display_name_is_short_and_plain(manifest):
    assert 3 <= len(manifest.display_name) <= 40


def test_no_key_is_misspelt(written, manifest):
    kinds = type(manifest.contributions).model_fields
    assert set(written) <= set(PluginManifest.model_fields)
    assert set(written["contributions"]) <= set(kinds)
    for kind, entries in written["contributions"].items():
        if kind != "menus":
            built = getattr(manifest.contributions, kind)
            for entry, parsed in zip(entries, built, strict=True):
                assert set(entry) <= set(type(parsed).model_fields), kind


def test_files_of_the_reader_are_models_and_nothing_else(manifest):
    patterns = {
        p.removeprefix("*") for reader in manifest.contributions.readers for p in reader.filename_patterns
    }
    assert patterns == {ending for backend in BACKENDS.values() for ending in backend.unmistakable}
    # Pictures, tensors of any kind and film have these suffixes, too.
    assert not patterns & {".h5", ".hdf5", ".pt", ".pth", ".ts"}


def test_commands_carry_the_plugins_name_and_are_all_used(written):
    contributions = written["contributions"]
    commands = [command["id"] for command in contributions["commands"]]
    assert len(set(commands)) == len(commands)
    assert all(command.startswith("napari-saliency.") for command in commands)
    menus = [item for items in contributions["menus"].values() for item in items]
    kinds = (contributions[kind] for kind in ("widgets", "readers", "sample_data"))
    used = [entry["command"] for entries in (*kinds, menus) for entry in entries]
    assert set(used) == set(commands)


# In an interpreter of its own: the panel brings Qt, which must not come into a process with TensorFlow.
_RESOLVE = """
import sys
from npe2.manifest.utils import import_python_name
for name in sys.argv[1:]:
    assert callable(import_python_name(name)), name
assert not {"tensorflow", "keras", "torch"} & set(sys.modules)
"""


def test_every_command_can_be_imported_and_brings_no_framework(manifest, fresh_interpreter):
    fresh_interpreter(_RESOLVE, *(command.python_name for command in manifest.contributions.commands))


def test_panel_takes_the_viewer(fresh_interpreter):
    # napari hands itself over to a parameter of one of these names or annotations, and to no other.
    fresh_interpreter(
        "import inspect; from napari_saliency.widgets.panel import SaliencyPanel as Panel;"
        "parameters = inspect.signature(Panel.__init__).parameters.values();"
        "assert any(p.name == 'napari_viewer' or str(p.annotation) in"
        " ('napari.viewer.Viewer', 'napari.components.ViewerModel') for p in parameters), parameters"
    )


def test_menus_are_open_to_plugins(manifest, fresh_interpreter):
    fresh_interpreter(
        "import sys; from napari._app_model.constants import MenuId;"
        "assert set(sys.argv[1:]) <= {str(menu) for menu in MenuId.contributables()}",
        *manifest.contributions.menus,
    )


def test_samples_take_no_arguments(manifest):
    from napari_saliency.app import samples

    for sample in manifest.contributions.sample_data:
        command = next(c for c in manifest.contributions.commands if c.id == sample.command)
        function = getattr(samples, command.python_name.partition(":")[2])
        assert not inspect.signature(function).parameters
