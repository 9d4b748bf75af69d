"""The table of adapters: what it says is true, and an entry is all that an adapter needs outside of its folder."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.models import BACKENDS, Backend, Settings, backends, dialog_filter, load_model, parse
from napari_saliency.models import endings as all_endings
from napari_saliency.models.sidecar import sidecar_settings
from tests.analytic import Linear

ROOT = Path(__file__).parents[2]


@pytest.fixture
def added(monkeypatch):
    """Add an adapter for ``.own`` files, and folders with ``own.txt``; return what it was given to open."""
    asked, adapter, checker = [], ModuleType("own_adapter"), ModuleType("own_checker")

    def open_source(source, settings, *, trust, checked):
        asked.append((source, settings, trust, checked))
        return Linear()

    def check(path):
        if path.is_file() and path.read_bytes() == b"harm":
            raise ModelError("it would do harm")
        return "looked through"

    adapter.open_source, checker.check = open_source, check
    monkeypatch.setitem(sys.modules, "own_adapter", adapter)
    monkeypatch.setitem(sys.modules, "own_checker", checker)
    rows = (backends.SourceFormat("own files", "the file", "scores"),)
    entry = Backend("own", "Own", "own_adapter", rows, "own_checker", (".own",), "own.txt", "an .own file")
    monkeypatch.setitem(BACKENDS, "own", entry)
    return asked


def test_an_added_adapter_opens_its_files(added, tmp_path):
    path = tmp_path / "net.OWN"
    path.touch()
    assert parse(path).kind == "own"
    assert isinstance(load_model(path, layer="x"), Linear)
    source, settings, trust, checked = added.pop()
    assert (source.path, source.name, settings, trust) == (path, "net", Settings(layer="x"), False)
    assert checked == (path, "looked through")
    path.write_bytes(b"harm")
    with pytest.raises(ModelError, match=r"net\.OWN could not be opened: it would do harm"):
        load_model(path)
    assert not added


def test_an_added_adapter_whose_files_nobody_looks_through_opens_none(added, monkeypatch, tmp_path):
    monkeypatch.setitem(BACKENDS, "own", replace(BACKENDS["own"], checker=""))
    (tmp_path / "net.own").touch()
    with pytest.raises(ModelError, match=r"net\.own could not be opened: .*can be checked"):
        load_model(tmp_path / "net.own")
    assert not added


def test_an_added_adapter_opens_its_folders(added, tmp_path):
    (tmp_path / "net" / "own.txt").parent.mkdir()
    (tmp_path / "net" / "own.txt").touch()
    for path in (tmp_path / "net", tmp_path / "net" / "own.txt"):
        assert (parse(path).kind, parse(path).path, parse(path).name) == ("own", tmp_path / "net", "net")


def test_an_added_adapter_is_in_dialogs_messages_and_documents(added, tmp_path):
    every, *_, last = dialog_filter().split(";;")
    assert "*.own own.txt" in every
    assert "*.keras" in every
    assert last == "Own (*.own own.txt)"
    with pytest.raises(ModelError, match=r"an \.onnx file, or an \.own file"):
        parse(tmp_path / "nothing")
    assert [*backends.formats()][-1].model == "own files"


def test_two_models_share_no_class_names_with_an_added_one(added, tmp_path):
    """Names without a model's name are those of the only model in a folder."""
    (tmp_path / "labels.txt").write_text("cat\ndog")
    (tmp_path / "net.keras").touch()
    assert sidecar_settings(tmp_path / "net.keras").labels == ("cat", "dog")
    (tmp_path / "other.own").touch()
    assert sidecar_settings(tmp_path / "net.keras").labels is None


def test_a_missing_extra_is_named_with_how_to_install_it():
    missing = replace(BACKENDS["onnx"], opener="there_is_no_such_module")
    with pytest.raises(
        ModelError, match=r"ONNX is not installed here: pip install 'napari-saliency\[onnx\]'"
    ):
        missing.adapter()


def test_an_adapter_that_needs_no_extra_fails_as_it_does():
    with pytest.raises(ImportError, match="there_is_no_such_module"):
        replace(BACKENDS["keras"], opener="there_is_no_such_module").adapter()


def test_no_ending_opens_in_two_ways():
    assert len(set(all_endings())) == len(all_endings())
    for backend in BACKENDS.values():
        assert set(backend.unmistakable) <= set(backend.endings)
        assert all(ending == ending.lower() for ending in backend.endings)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=lambda backend: backend.name)
def test_extras_and_adapters_exist(backend):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert backend.extra in {"", *extras}
    path = ROOT.joinpath(*backend.opener.split(".")).with_suffix(".py")
    assert "def open_source(\n    source: Source, settings: Settings, *, trust: bool" in path.read_text(
        "utf-8"
    )
    assert bool(backend.checker) == backend.opens_files
    if backend.checker:
        path = ROOT.joinpath(*backend.checker.split(".")).with_suffix(".py")
        assert "def check(path: Path)" in path.read_text("utf-8")


def test_the_table_is_read_without_a_framework():
    code = "import sys; from napari_saliency.models.backends import formats; assert [*formats()]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    packages = {package for backend in BACKENDS.values() for package in backend.packages}
    assert not packages & {*done.stdout.split()}
