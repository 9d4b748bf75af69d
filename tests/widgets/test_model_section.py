"""The Model section: the list of models, files that are opened or dropped, the status."""

from types import SimpleNamespace

import pytest
from qtpy.QtCore import QMimeData, Qt, QUrl
from qtpy.QtWidgets import QFileDialog

from napari_saliency.models import catalogue
from napari_saliency.session.state import ModelStatus, Phase
from napari_saliency.widgets import model_section as model_module
from napari_saliency.widgets.model_section import (
    ModelSection,
    RecentFiles,
    dropped_model,
    is_model_file,
    title,
)
from napari_saliency.widgets.style import Colours
from tests.fakes import info
from tests.widgets.acting import pick, ready

pytestmark = pytest.mark.viewer


def test_model_lists_what_there_is_and_opens_what_is_picked(made, session):
    section = made(ModelSection, session)
    listed = {section.sources.itemData(n) for n in range(section.sources.count())}
    assert {*catalogue(), "fake:net"} == listed
    session.stage.opens = False
    pick(section.sources, "VGG16")
    assert session.commands[-1] == ("open_model", "keras:VGG16", None)
    assert "loading" in section.state.text()
    session.stage.open()
    assert section.state.text().startswith("ready")


def test_model_opens_a_source_that_is_typed_in_full_and_forgets_half_a_search(made, session, qtbot):
    section = made(ModelSection, session)
    line = section.sources.lineEdit()
    line.setText("keras:VGG16?weights=none")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert session.commands[-1][1] == "keras:VGG16?weights=none"
    count = len(session.commands)
    line.setText("vgg and so on")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert len(session.commands) == count
    assert line.text() == title("keras:VGG16?weights=none")


@pytest.mark.parametrize(
    ("phase", "colour"),
    [
        (Phase.READY, "good"),
        (Phase.LOADING, "busy"),
        (Phase.STARTING, "busy"),
        (Phase.LOST, "bad"),
        (Phase.FAILED, "bad"),
    ],
)
def test_model_says_how_it_stands(made, session, phase, colour):
    section = made(ModelSection, session)
    section.set_colours(Colours.of_theme("light"))
    session.set_model(ModelStatus(phase, "in plain words", "keras:VGG16"))
    assert section.state.text() == "in plain words"
    assert getattr(Colours.of_theme("light"), colour).name() in section.dot.text()


def test_a_long_failure_is_read_in_full(made, session, qtbot):
    section = made(ModelSection, session)
    sentence = "MobileNetV2 does not open: " + "there is no network and its weights were never loaded. " * 3
    session.set_model(ModelStatus(Phase.FAILED, sentence, "keras:MobileNetV2"))
    qtbot.wait(20)
    assert section.state.height() > 2.5 * section.state.fontMetrics().height()


def test_notes_of_a_model_are_shown(made, session):
    section = made(ModelSection, session)
    session.set_model(ready(notes=("It knows nine things.",)))
    assert section.note.text() == "It knows nine things."


def test_files_that_were_opened_are_listed_first(made, session, tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.keras" for name in ("one", "two")]
    for path in paths:
        path.touch()
    section = made(ModelSection, session)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(paths[0]), ""))
    section.open.click()
    section.open_source(str(paths[1]))
    assert [section.sources.itemText(n) for n in range(2)] == ["two.keras", "one.keras"]
    assert RecentFiles().paths == [str(paths[1]), str(paths[0])]
    paths[1].unlink()
    assert RecentFiles().paths == [str(paths[0])]


def test_no_more_than_a_few_files_are_remembered(tmp_path):
    recent = RecentFiles()
    for number in range(model_module.RECENT + 3):
        path = tmp_path / f"{number}.h5"
        path.touch()
        recent.add(str(path))
    assert len(recent.paths) == model_module.RECENT


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("bundled:photos", "photos (bundled)"),
        ("keras:VGG16", "VGG16 (ImageNet)"),
        ("/home/me/net.keras", "net.keras"),
        ("python:nets.mine:build", "nets.mine:build"),
        ("python:nets.mine:build?weights=/home/me/w.pth", "nets.mine:build (w.pth)"),
    ],
)
def test_sources_have_titles(source, text):
    assert title(source) == text


def test_only_a_single_model_file_can_be_dropped():
    def event(*names):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(name) for name in names])
        return SimpleNamespace(mimeData=lambda: mime)

    assert dropped_model(event("/a/net.keras")) == "/a/net.keras"
    assert dropped_model(event("/a/net.H5")) == "/a/net.H5"
    assert dropped_model(event("/a/net.keras", "/a/b.keras")) is None
    assert dropped_model(event("/a/photo.jpg")) is None
    assert dropped_model(event("/a/net.pt2")) == "/a/net.pt2"
    for source in ("keras:VGG16", "keras:VGG16?weights=/a/net.h5", "python:a.b:c?weights=/a/net.pth"):
        assert not is_model_file(source)


def test_a_folder_may_be_a_model(made, session, tmp_path):
    section = made(ModelSection, session)
    (tmp_path / "net").mkdir()
    assert not is_model_file(str(tmp_path / "net"))
    (tmp_path / "net" / "saved_model.pb").touch()
    assert is_model_file(str(tmp_path / "net"))
    section.open_source(str(tmp_path / "net" / "saved_model.pb"))
    assert session.of("open_model")[-1][1] == str(tmp_path / "net")


def test_what_is_said_of_a_model_is_said_of_the_whole(made, session):
    section = made(ModelSection, session)
    whole = info(source="net.keras", questions=("preprocessing", "labels"))
    session.set_model(ready("net.keras", labels=("late[0]",), viewed_layer="late", outer=whole))
    assert section.form.isVisible()
    assert section.form._shown() == {"preprocessing"}  # channels have no other names


def test_what_classes_are_called_is_not_asked_inside_a_layer(made, session):
    section = made(ModelSection, session)
    whole = info(source="net.keras", questions=("labels",))
    session.set_model(ModelStatus(Phase.READY, "ready", "net.keras", whole))
    assert section.form._shown() == {"labels"}
    session.set_model(ready("net.keras", labels=("late[0]",), viewed_layer="late", outer=whole))
    assert not section.form.isVisible()
    session.set_model(ModelStatus(Phase.READY, "ready", "net.keras", whole))
    assert section.form._shown() == {"labels"}
