"""The dialog that opens a model lists what the table of adapters names."""

from types import SimpleNamespace

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_saliency.models import BACKENDS, Backend
from napari_saliency.widgets.model_section import ModelSection

pytestmark = pytest.mark.viewer


def test_the_dialog_lists_an_added_adapters_files(monkeypatch, tmp_path):
    monkeypatch.setitem(
        BACKENDS, "own", Backend("own", "Own", "", (), endings=(".own",), examples="an .own file")
    )
    asked, opened = [], []
    path = str(tmp_path / "net.own")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *given: (asked.append(given), (path, ""))[1])
    section = SimpleNamespace(_recent=SimpleNamespace(paths=[]), open_source=opened.append)
    ModelSection._ask_for_file(section)
    *_, filters = asked.pop()
    assert "*.own" in filters.split(";;")[0]
    assert filters.endswith(";;Own (*.own)")
    assert opened == [path]
