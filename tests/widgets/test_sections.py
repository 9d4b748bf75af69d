"""The sections of the panel, each by itself, with an inspection that is made up."""

import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import numpy as np
import pytest
from napari._qt.dialogs.qt_notification import NapariQtNotification
from qtpy.QtCore import QEvent, QLocale, QMimeData, QObject, QPoint, QPointF, QRect, Qt, QUrl
from qtpy.QtGui import QImage, QMouseEvent, QPainter
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QScrollArea,
    QStyle,
    QStyleOptionViewItem,
)

from napari_saliency import models
from napari_saliency.api.explain import explain
from napari_saliency.checks import CHECKS, Curve, Finding
from napari_saliency.core.preprocessing import Preprocessing
from napari_saliency.core.types import Prediction, Target
from napari_saliency.engine import process as engine
from napari_saliency.maps.display import Display
from napari_saliency.methods import METHODS
from napari_saliency.methods.registry import Method, options_of
from napari_saliency.models import InputSpec, Settings, catalogue
from napari_saliency.session.model_loader import ENDED
from napari_saliency.session.session import Session
from napari_saliency.session.state import ModelStatus, Phase, Problem, Progress, SourceImage
from napari_saliency.viewer.controller import LayerController
from napari_saliency.widgets import class_table
from napari_saliency.widgets import model_section as model_module
from napari_saliency.widgets import model_settings_form as questions
from napari_saliency.widgets import run_bar as run
from napari_saliency.widgets.checks_section import MARKS, START, CheckSection
from napari_saliency.widgets.class_table import ClassTableModel, percent
from napari_saliency.widgets.classes_section import ClassSection
from napari_saliency.widgets.curve_plot import CurveView
from napari_saliency.widgets.display_section import DisplaySection, summary
from napari_saliency.widgets.method_section import MethodSection, cost_words
from napari_saliency.widgets.model_section import (
    ModelSection,
    RecentFiles,
    dropped_model,
    is_model_file,
    title,
)
from napari_saliency.widgets.option_form import OptionForm, layer_choices
from napari_saliency.widgets.panel import show_details
from napari_saliency.widgets.picture_section import PictureSection, thumbnail
from napari_saliency.widgets.run_bar import CANCEL, FORCE, STOPPING, ProgressBar
from napari_saliency.widgets.style import INDENT, MARGIN, Colours, breakable, combo, note, set_text, sheet
from napari_saliency.widgets.viewed_layer_box import WHOLE
from tests.analytic import Linear, Spatial, pictures
from tests.executors import Immediate
from tests.fakes import FakeSession, explanation, info, prediction

pytestmark = pytest.mark.viewer
PHOTO = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
LONG = "American black bear, black bear, Ursus americanus, Euarctos americanus"


@pytest.fixture
def session():
    return FakeSession(prediction(3))


@pytest.fixture
def controller(viewer, session):
    made = LayerController(viewer, session, lambda call: None, lambda call: call)
    yield made
    made.close()


@pytest.fixture
def made(qtbot):
    """Make a section and show it."""
    kept = []  # pytest-qt holds widgets weakly

    def make(kind, *arguments, width=320, **more):
        section = kind(*arguments, **more)
        qtbot.addWidget(section)
        section.resize(width, 600)
        section.show()
        kept.append(section)
        return section

    return make


def look(session, pixels=PHOTO, key=1):
    session.set_picture(SourceImage(key, "photo", lambda: (pixels, None)))


def ready(source="fake:net", **changes):
    known = info(source=source, **changes)
    return ModelStatus(Phase.READY, f"ready: {known.description}", source, known)


def pick(box, text):
    """Choose an item as a user does."""
    number = next(n for n in range(box.count()) if text in box.itemText(n))
    box.setCurrentIndex(number)
    box.activated.emit(number)


def focus(qtbot, widget):
    """Give a widget the keyboard."""
    with qtbot.waitActive(widget.window(), timeout=2000):
        widget.window().activateWindow()
    widget.setFocus()
    qtbot.waitUntil(widget.hasFocus, timeout=2000)


def test_the_made_up_inspection_is_like_the_real_one():
    real = {name for name in vars(Session) if not name.startswith("_")}
    assert real <= set(dir(FakeSession(prediction(3))))


# Picture


def test_picture_lists_layers_and_follows_their_names(made, viewer, controller, session):
    section = made(PictureSection, controller, session)
    assert not section.layers.isEnabled()
    assert "Drop a picture" in section.note.text()
    one, two = (viewer.add_image(PHOTO, name=name) for name in ("one", "two"))
    assert [section.layers.itemText(n) for n in range(2)] == ["two", "one"]
    assert section.layers.currentText() == "two"
    pick(section.layers, "one")
    assert controller.source is one
    one.name = "renamed"
    assert section.layers.currentText() == "renamed"
    viewer.layers.remove(two)
    assert section.layers.count() == 1
    assert not section.note.isVisible()


def test_picture_shows_what_the_model_sees_and_says_how(made, viewer, controller, session):
    section = made(PictureSection, controller, session)
    viewer.add_image(PHOTO)
    assert not section.thumbnail.pixmap().isNull()
    assert "80×60 RGB" in section.description.text()
    assert "values 0 to 255 as they are" in section.description.toolTip()
    viewer.layers.clear()
    assert section.description.text() == ""
    assert section.thumbnail.text() == "no picture"


def test_picture_offers_what_can_be_done(made, viewer, controller, session, qtbot):
    section = made(PictureSection, controller, session)
    asked = []
    controller.correct = lambda: asked.append(True)
    controller.reading_changed.emit(
        SimpleNamespace(description="It lies on its side.", remedy="Turn upright")
    )
    assert section.remedy.isVisible()
    qtbot.mouseClick(section.remedy, Qt.MouseButton.LeftButton)
    assert asked


@pytest.mark.parametrize("shape", [(224, 224, 3), (5, 7, 3), (300, 20, 3), (1, 1, 3)])
def test_thumbnails_keep_shape_and_colours(qtbot, shape):
    preview = np.zeros(shape, np.uint8)
    preview[..., 1] = 200
    image = thumbnail(preview, 90).toImage()
    assert max(image.width(), image.height()) == 90
    assert image.width() / image.height() == pytest.approx(shape[1] / shape[0], abs=0.2)
    assert image.pixelColor(image.width() // 2, image.height() // 2).getRgb()[:3] == (0, 200, 0)


# Model


def test_model_lists_what_there_is_and_opens_what_is_picked(made, session):
    section = made(ModelSection, session)
    listed = {section.sources.itemData(n) for n in range(section.sources.count())}
    assert {*catalogue(), "fake:net"} == listed
    pick(section.sources, "VGG16")
    assert session.commands[-1] == ("open_model", "keras:VGG16", None)
    assert "loading" in section.state.text()


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


# Questions


def asking(*asked, labels=("0", "1", "2")):
    return ready("/home/me/net.keras", questions=asked, labels=labels)


def test_the_form_shows_only_what_is_asked(made, session):
    section = made(ModelSection, session)
    form = section.form
    assert not form.isVisible()
    session.set_model(ready("bundled:photos"))
    assert not section.settings.isVisible()  # of a model that is not the user's
    session.set_model(asking("preprocessing", "labels"))
    assert [form.preprocessing.isVisible(), form.fit.isVisible(), form.labels.isVisible()] == [
        True,
        False,
        True,
    ]
    session.set_model(asking("labels"))
    assert not form.preprocessing.isVisible()
    session.set_model(asking())
    assert not form.isVisible()


def test_answers_are_given_together(made, session, tmp_path):
    form = made(ModelSection, session).form
    session.set_model(asking("preprocessing", "labels"))
    pick(form.preprocessing, "(tf)")
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\nfish\n")
    form.read_names(names)
    assert form.labels.currentText() == "names.txt"
    form.keep.click()
    ((_, settings),) = session.of("answer")
    assert settings.given() == {"labels": ("cat", "dog", "fish"), "preprocessing": "tf"}


def test_what_was_answered_can_be_changed(made, session):
    section = made(ModelSection, session)
    form = section.form
    session.set_model(asking(labels=("cat", "dog", "fish")))
    section.settings.click()
    assert [form.preprocessing.isVisible(), form.fit.isVisible(), form.labels.isVisible()] == [True] * 3
    assert form.labels.currentText() == "cat, dog, fish"
    pick(form.fit, "pad")
    session.set_model(session.model)  # as when the engine was lost: the same model is opened again
    assert form.fit.currentData() == "pad"
    form.keep.click()
    ((_, settings),) = session.of("answer")
    assert settings.given() == {"preprocessing": "none", "fit": "pad"}  # its names stay what they are
    session.set_model(asking(labels=("cat", "dog", "fish")))  # as it was, and opened with the answer
    assert not form.isVisible()
    section.settings.click()
    section.settings.click()
    assert not form.isVisible()


def test_a_preprocessing_without_a_name_stays_unless_another_is_chosen(made, session):
    form = made(ModelSection, session).form
    own = Preprocessing("mean/std", 255.0, (0.4,), (0.2,))
    status = asking()
    spec = replace(status.info.input, preprocessing=own)
    session.set_model(replace(status, info=replace(status.info, input=spec)))
    form.toggle()
    assert form.preprocessing.currentText() == own.description
    form.keep.click()
    assert session.of("answer")[0][1].preprocessing is None


def test_numbers_are_an_answer_too(made, session):
    form = made(ModelSection, session).form
    session.set_model(asking("labels"))
    form.keep.click()
    ((_, settings),) = session.of("answer")
    assert settings.labels == ("0", "1", "2")
    assert settings.preprocessing is None


def test_the_size_of_the_pictures_is_asked_where_the_model_does_not_say(made, session):
    form = made(ModelSection, session).form
    session.set_model(asking("labels"))
    assert not form.pixels.isVisible()
    session.set_model(asking("size"))
    assert form.pixels.isVisible()
    height, width = session.model.info.input.shape
    assert form.pixels.text() == f"{width} × {height}"
    for wrong in ("", "32", "0 × 32", "1 2 3"):
        form.pixels.setText(wrong)
        form.keep.click()
        assert "two numbers: width × height" in form.problem.text()
    form.pixels.setText("40x30")
    form.keep.click()
    ((_, settings),) = session.of("answer")
    assert settings.size == (30, 40)


def test_the_size_of_volumes_has_three_numbers_in_the_order_of_the_axes(made, session):
    form = made(ModelSection, session).form
    status = asking("size")
    session.set_model(replace(status, info=replace(status.info, input=InputSpec((16, 32, 24), 1))))
    assert form.pixels.text() == "16 × 32 × 24"
    form.pixels.setText("16 × 32")
    form.keep.click()
    assert "three numbers: z × y × x" in form.problem.text()
    form.pixels.setText("8 x 30 x 20")
    form.keep.click()
    ((_, settings),) = session.of("answer")
    assert settings.size == (8, 30, 20)


@pytest.mark.parametrize(("typed", "size"), [("", None), (" ", None), ("40 × 30", (30, 40)), ("40", "two")])
def test_a_size_that_is_free_stays_so_or_is_fixed(made, session, typed, size):
    section = made(ModelSection, session)
    status = ready("fake:net")
    session.set_model(replace(status, info=replace(status.info, input=InputSpec((None, None), 3))))
    assert not section.form.isVisible()
    section.settings.click()
    assert section.form.pixels.isVisible()
    assert (section.form.pixels.text(), section.form.pixels.placeholderText()) == ("", "any size")
    section.form.pixels.setText(typed)
    section.form.keep.click()
    if size == "two":
        assert "two numbers: width × height" in section.form.problem.text()
    else:
        ((_, settings),) = session.of("answer")
        assert (settings.size, settings.fit) == (size, "crop")


@pytest.mark.parametrize("sized", [False, True])
def test_a_size_that_was_said_can_be_taken_back(made, session, sized):
    section = made(ModelSection, session)
    status = ready("/home/me/net.keras")
    session.set_model(replace(status, info=replace(status.info, sized=sized)))
    section.settings.click()
    assert section.form.pixels.isVisible() == sized
    if sized:
        assert section.form.pixels.text()
        section.form.pixels.clear()
        section.form.keep.click()
        ((_, settings),) = session.of("answer")
        assert settings.size == ()


def test_settings_that_nobody_asks_are_not_called_a_question(made, session):
    section = made(ModelSection, session)
    session.set_model(asking("preprocessing"))
    assert section.form.question.text() == questions.ASKED["preprocessing"]
    section.settings.click()
    assert section.form.question.text() == questions.EVERY
    section.settings.click()
    assert section.form.question.text() == questions.ASKED["preprocessing"]


@pytest.mark.parametrize(
    ("source", "changes"),
    [("/home/me/net.pt2", True), ("/home/me/net.keras", False), ("python:mine.nets:net", True)],
)
def test_the_size_can_be_changed_of_models_that_do_not_say(made, session, source, changes):
    section = made(ModelSection, session)
    session.set_model(ready(source))
    section.settings.click()
    assert section.form.fit.isVisible()
    assert section.form.pixels.isVisible() == changes
    section.settings.click()
    assert not section.form.isVisible()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("two.txt", "cat\ndog\n", "2 names, the model has 3"),
        ("odd.json", "7", "no class names"),
        ("gone.txt", None, "No such file"),
        ("broken.json", "{", "no class names"),
    ],
)
def test_names_that_do_not_fit_get_a_sentence(made, session, tmp_path, monkeypatch, name, text, sentence):
    form = made(ModelSection, session).form
    session.set_model(asking("labels"))
    if text is not None:
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / name), ""))
    pick(form.labels, questions.FROM_FILE)
    assert sentence in form.problem.text()
    assert form.labels.currentText() == questions.NUMBERS


def test_ports_and_kind_are_chosen_from_what_there_is(made, session):
    form = made(ModelSection, session).form
    session.set_model(
        ready("/home/me/net.keras", questions=("output", "task"), outputs=("mask", "kind"), labels=("0", "1"))
    )
    assert "output" in form.question.text()
    assert [form.output.itemText(n) for n in range(form.output.count())] == ["mask", "kind"]
    assert not form.input.isVisible()
    pick(form.output, "kind")
    pick(form.task, "quantity")
    form.keep.click()
    assert session.of("answer")[0][1].given() == {"output": "kind", "task": "regression"}
    session.set_model(ready("/home/me/net.keras", outputs=("kind", "mask"), activation="quantity"))
    form.toggle()
    assert [field.isVisible() for field in (form.output, form.task, form.input, form.pixels)] == [
        True,
        True,
        False,
        False,
    ]
    assert (form.output.currentData(), form.task.currentData()) == ("kind", "regression")


def test_an_answer_that_is_refused_can_be_corrected(made, session):
    section = made(ModelSection, session)
    form = section.form
    first = ready("/home/me/net.pt", questions=("size", "labels"))
    session.set_model(first)
    form.pixels.setText("3 × 3")
    form.keep.click()
    session.set_model(ModelStatus(Phase.LOADING, "loading net.pt", "/home/me/net.pt"))
    assert form.isVisible()
    assert not form.isEnabled()
    session.set_model(ModelStatus(Phase.FAILED, "could not be run", "/home/me/net.pt"))
    session.set_model(replace(first, objection="3×3 is too small."))  # as it was before
    assert form.isEnabled()
    assert (form.pixels.text(), form.problem.text()) == ("3 × 3", "3×3 is too small.")
    form.pixels.setText("3")
    form.keep.click()
    assert form.problem.text().startswith("Give two numbers")
    form.pixels.setText("9 × 9")
    form.keep.click()
    assert not form.problem.text()
    session.set_model(ready("/home/me/net.pt"))
    assert not form.isVisible()


def test_names_are_not_kept_for_another_output(made, session):
    form = made(ModelSection, session).form
    session.set_model(
        ready(
            "/home/me/net.keras", questions=("output", "labels"), outputs=("kind", "age"), labels=("0", "1")
        )
    )
    pick(form.output, "age")
    form.keep.click()
    assert session.of("answer")[0][1].given() == {"output": "age"}


class TwoOutputs(Linear):
    """Explains one of two outputs, with the names that are said of it."""

    def __init__(self, source, settings):
        super().__init__()
        whole = settings.over(Settings.read_sidecar(Path(source)))
        outputs = sorted(["kind", "age"], key=lambda name: name != (whole.output or "kind"))
        questions = () if whole.labels else ("output", "labels")
        labels = whole.labels or tuple("0123")
        self.info = replace(
            self.info, source=source, outputs=tuple(outputs), labels=labels, questions=questions
        )

    def with_settings(self, settings):
        return TwoOutputs(self.info.source, settings)


def test_names_of_both_outputs_are_kept(made, monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "FRAMEWORKS", ())
    monkeypatch.setattr(models, "open_model", TwoOutputs)
    engine._engine.cache_clear()
    (tmp_path / "net.keras").touch()
    session = Session(Immediate, lambda call: call(), Immediate, lambda *_: None)
    form = made(ModelSection, session).form
    session.open_model(str(tmp_path / "net.keras"))
    for output, names in (("kind", "abcd"), ("age", "wxyz")):
        if not form.isVisible():
            form.toggle()
        pick(form.output, output)
        (tmp_path / "names.txt").write_text("\n".join(names))
        form.read_names(tmp_path / "names.txt")
        form.keep.click()
        assert session.model.info.labels == tuple(names)
    for output, names in (("kind", "abcd"), ("age", "wxyz")):
        form.toggle()
        pick(form.output, output)
        form.keep.click()
        assert session.model.info.outputs[0] == output
        assert session.model.info.labels == tuple(names)
        assert "labels" not in session.model.info.questions
    session.close()
    engine._engine.cache_clear()


def test_what_takes_long_says_so_before_it_is_run(made, session):
    section = made(MethodSection, session)
    cost, of_one = section.cost, METHODS["kernel_shap"].complete({})["samples"] + 2
    assert not cost.isVisible()  # a single pass
    section.choose("smoothgrad", of="kernel_shap", samples=100)
    assert cost.text() == f"About {round(of_one * 100, -4):,} passes of the model."
    section.options.widgets["samples"].value = 200
    assert cost.text() == f"About {round(of_one * 200, -4):,} passes of the model."
    section.options.widgets["precision"].value = 0.1
    assert cost.text().startswith("At most")
    section.choose("smoothgrad")
    assert not cost.isVisible()


def test_what_depends_on_the_size_of_the_picture_is_said_once_that_is_known(made, session):
    section = made(MethodSection, session)
    session.set_model(ready(input=InputSpec((None, None), 3)))
    section.choose("occlusion", window=2, stride=2)
    assert not section.cost.isVisible()
    session.set_picture(SourceImage(1, "photo", lambda: (PHOTO, None)))
    height, width = session.prepared.x.shape[:2]
    passes = 1 + -(-height // 2) * -(-width // 2)
    assert section.cost.text() == f"About {round(passes, 2 - len(str(passes))):,} passes of the model."


@pytest.mark.parametrize(
    ("passes", "text"), [(499, ""), (500, "About 500"), (4002, "About 4,000"), (204_999, "About 200,000")]
)
def test_passes_are_said_in_two_digits_if_they_are_many(passes, text):
    assert cost_words(passes, {}) == (text and f"{text} passes of the model.")


def test_a_program_runs_after_a_yes_alone(made, session):
    section = made(ModelSection, session)
    assert not section.trust.isVisible()
    status = ModelStatus(Phase.FAILED, "waits for your yes", "python:mine:net", program="/home/me/mine.py")
    session.set_model(status)
    assert "runs the program /home/me/mine.py" in section.trust.question.text().replace("\u200b", "")
    section.trust.no.click()
    assert not section.trust.isVisible()
    assert not session.of("trust")
    session.set_model(status)
    section.trust.yes.click()
    assert session.of("trust")
    session.set_model(ready("python:mine:net"))
    assert not section.trust.isVisible()


def test_a_folder_may_be_a_model(made, session, tmp_path):
    section = made(ModelSection, session)
    (tmp_path / "net").mkdir()
    assert not is_model_file(str(tmp_path / "net"))
    (tmp_path / "net" / "saved_model.pb").touch()
    assert is_model_file(str(tmp_path / "net"))
    section.open_source(str(tmp_path / "net" / "saved_model.pb"))
    assert session.of("open_model")[-1][1] == str(tmp_path / "net")


# Method and options


def every_kind(
    model,
    x,
    targets,
    *,
    samples: Annotated[int, {"min": 2, "max": 100}] = 50,
    noise: Annotated[float, {"min": 0.0, "max": 1.0, "step": 0.01}] = 0.15,
    share: Annotated[float, {"min": 0.0, "max": 2.0}] = 0.5,
    squared: bool = True,
    baseline: Literal["black", "white"] = "white",
    layer: Annotated[str, {"choices": "layers"}] = "",
    text: str = "some",
    seed: int = 0,
):
    """Do nothing.

    Parameters
    ----------
    samples : int
        How many.
    """
    yield


EVERY = Method("every_kind", "Every kind", every_kind, "gradient", "nobody", options_of(every_kind))


def test_options_become_widgets_of_their_kind(made):
    form = made(OptionForm)
    form.show_options(EVERY.options, {"samples": 7}, info())
    assert form.values == {
        "samples": 7, "noise": 0.15, "share": 0.5, "squared": True,
        "baseline": "white", "layer": "", "text": "some", "seed": 0,
    }  # fmt: skip
    widgets = form.widgets
    assert (widgets["samples"].min, widgets["samples"].max) == (2, 100)
    assert widgets["noise"].step == 0.01
    assert widgets["samples"].tooltip == "How many."
    assert widgets["baseline"].choices == ("black", "white")
    assert widgets["layer"].choices == ("", "late", "early")
    EVERY.complete(form.values)


def test_changed_options_are_told_and_rows_are_replaced(made):
    form = made(OptionForm)
    heard = []
    form.changed.connect(heard.append)
    form.show_options(EVERY.options, {}, None)
    form.widgets["squared"].value = False
    assert heard[-1]["squared"] is False
    assert len(heard) == 1
    form.show_options((), {}, None)
    assert form.values == {}
    assert form.layout().count() == 0


def test_layers_are_named_with_their_size():
    assert layer_choices(info())[:2] == [("usual: late (7×7)", ""), ("late (7×7)", "late")]
    assert layer_choices(None) == [("usual", "")]


@pytest.mark.parametrize(
    ("option", "typed", "value"),
    [
        ("samples", "100", 100),
        ("samples", "12", 12),
        ("samples", "1", 2),
        ("samples", "-", 7),
        ("samples", "²", 7),
        ("samples", "20 or so", 7),
        ("samples", "9.6", 10),
        ("samples", "9,6", 10),
        ("samples", "-3", 2),
        ("samples", "999999", 100),
        ("samples", "1e1", 10),
        ("seed", "-30", -30),
        ("seed", "2,000", 2000),
        ("noise", "0.25", 0.25),
        ("noise", "0,25", 0.25),
        ("noise", "0,120", 0.12),
        ("noise", "5", 1.0),
        ("noise", "1e-1", 0.1),
        ("share", "1.5", 1.5),
    ],
)
@pytest.mark.parametrize("end", [Qt.Key.Key_Return, Qt.Key.Key_Tab])
def test_numbers_are_taken_as_they_were_typed(made, qtbot, option, typed, value, end):
    form = made(OptionForm)
    form.show_options(EVERY.options, {"samples": 7}, info())
    heard = []
    form.changed.connect(lambda values: heard.append(values[option]))
    field = form.widgets[option].native
    field.setLocale(QLocale(QLocale.Language.English))
    focus(qtbot, field)
    field.selectAll()
    qtbot.keyClicks(field, typed)
    assert not heard
    qtbot.keyClick(field, end)
    assert form.values[option] == value
    assert heard == ([] if value == 7 else [value])


@pytest.mark.parametrize(("typed", "value"), [("0,25", 0.25), ("0.25", 0.25), ("0.120", 0.12)])
def test_numbers_may_be_typed_as_elsewhere(made, qtbot, typed, value):
    form = made(OptionForm)
    form.show_options(EVERY.options, {}, info())
    field = form.widgets["noise"].native
    field.setLocale(QLocale(QLocale.Language.German))
    focus(qtbot, field)
    field.selectAll()
    qtbot.keyClicks(field, typed)
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert form.values["noise"] == value


def test_each_method_keeps_its_options(made, session, qtbot):
    section = made(MethodSection, session)
    pick(section.method, "SmoothGrad")
    section.options.widgets["samples"].value = 12
    qtbot.waitUntil(lambda: session.options.get("samples") == 12)
    pick(section.method, "Grad-CAM")
    assert session.method == "grad_cam"
    pick(section.method, "SmoothGrad")
    assert section.options.widgets["samples"].value == 12
    assert session.options["samples"] == 12


@pytest.mark.parametrize("live", [False, True])
def test_explain_takes_the_options_that_were_set_just_before(made, session, live):
    section = made(MethodSection, session)
    look(session)
    section.choose("smoothgrad")
    session.live = live
    section.options.widgets["samples"].value = 12
    section.run.button.click()
    assert session.commands[-1] == ("explain",)
    assert dict(session.request.options)["samples"] == 12


@pytest.mark.parametrize("press", ["click", "key"])
@pytest.mark.parametrize(("option", "typed", "value"), [("samples", "12", 12), ("noise", "0.2", 0.2)])
def test_explain_takes_a_number_that_is_still_being_typed(made, session, qtbot, option, typed, value, press):
    section = made(MethodSection, session)
    look(session)
    section.choose("smoothgrad")
    field = section.options.widgets[option].native
    focus(qtbot, field)
    field.selectAll()
    qtbot.keyClicks(field, typed)
    if press == "click":
        qtbot.mouseClick(section.run.button, Qt.MouseButton.LeftButton)
    else:
        section.run.button.click()  # leaves the focus where it is, as does every click on a Mac
    assert dict(session.request.options)[option] == value


def test_with_live_numbers_on_the_way_are_passed_over(made, session, qtbot):
    section = made(MethodSection, session)
    section.choose("smoothgrad")
    section.run.live.setChecked(True)
    session.commands.clear()
    for number in (51, 52, 53):
        section.options.widgets["samples"].value = number
    qtbot.waitUntil(lambda: session.options["samples"] == 53)
    assert len(session.of("set_method")) == 1


@pytest.mark.parametrize("unfolded", [False, True])
def test_tab_goes_through_the_options_in_the_order_they_are_seen(made, session, qtbot, unfolded):
    section = made(MethodSection, session)
    look(session)
    for method in ("grad_cam", "smoothgrad"):
        section.choose(method)
    form = section.options
    fields = [form.widgets[name].native for name in ("score", "of", "samples", "noise")]
    folded = [form.widgets[name].native for name in ("precision", "absolute", "seed")]  # no layer: it is grey
    form.more.setChecked(unfolded)
    focus(qtbot, section.method)
    for widget in (
        *fields,
        form.more,
        *(folded * unfolded),
        section.run.button,
        section.run.live,
        section.method,
    ):
        qtbot.keyClick(section.window().focusWidget(), Qt.Key.Key_Tab)
        assert section.window().focusWidget() is widget


def test_methods_that_the_model_cannot_answer_are_not_offered(made, session):
    section = made(MethodSection, session, {name: METHODS[name] for name in ("gradient", "occlusion")})
    session.set_model(ready("net.onnx", gives=frozenset({"scores"})))
    items, gradient, occlusion = section.method.model(), *map(section.method.findData, section._methods)
    assert [items.item(n).isEnabled() for n in (gradient, occlusion)] == [False, True]
    assert "Gradient needs derivatives, which net does not give." in items.item(gradient).toolTip()
    assert "needs" not in items.item(occlusion).toolTip()
    assert session.method == section.method.currentData() == "occlusion"
    section.method.setCurrentIndex(gradient)  # as when its name is typed in full
    section.method.activated.emit(gradient)
    assert session.method == section.method.currentData() == "occlusion"
    session.set_model(ready("net.keras"))
    assert items.item(gradient).isEnabled()
    assert "needs" not in items.item(gradient).toolTip()
    assert session.method == "gradient"  # which the user has chosen, or not changed


def test_a_method_that_wraps_one_is_offered_where_any_can_be_wrapped(made, session):
    section = made(MethodSection, session)
    session.set_model(ready("net.onnx", gives=frozenset({"scores"})))
    enabled = {name for name in METHODS if section._item(name).isEnabled()}
    assert enabled == {
        "occlusion",
        "rise",
        "lime",
        "kernel_shap",
        "smoothgrad",
        "smoothgrad_squared",
        "vargrad",
    }
    section.choose("smoothgrad")
    assert section.options.widgets["of"].value == session.options["of"] == "occlusion"
    session.set_model(ready("net.keras"))
    section.choose("smoothgrad")
    assert section.options.widgets["of"].value == session.options["of"] == "gradient"


def test_a_layer_is_grey_and_left_out_while_the_method_inside_looks_at_none(made, session):
    section = made(MethodSection, session)
    session.set_model(ready("net.keras"))
    section.choose("smoothgrad", of="grad_cam", layer="late")
    layer = section.options.widgets["layer"]
    assert (layer.native.isEnabled(), session.options["layer"]) == (True, "late")
    section.options.widgets["of"].value = "gradient"
    assert (layer.native.isEnabled(), session.options["layer"]) == (False, "")
    section.options.widgets["of"].value = "layer_cam"
    assert (layer.native.isEnabled(), session.options["layer"]) == (True, "late")


def test_quantities_go_up_or_down_and_show_their_values(made, session):
    section = made(MethodSection, session)
    model = ready("fake:net", labels=("age", "weight"), activation="quantity")
    session.set_model(model)
    score = section.options.widgets["score"]
    assert score.choices == ("increase", "decrease")
    assert "not smaller" in score.tooltip
    score.value = "decrease"
    assert session.score == "decrease"
    nothing = np.full(2, np.nan, np.float32)
    table = ClassTableModel()
    table.set_prediction(Prediction(np.float32([31.25, -2e6]), nothing, nothing, ("age", "weight")))
    assert [table.data(table.index(row, 1)) for row in (0, 1)] == ["31.25", "-2e+06"]
    session.set_model(ready("fake:net"))
    assert section.options.widgets["score"].value == "logit"


def test_scores_are_chosen_and_stay_with_another_method(made, session):
    section = made(MethodSection, session)
    section.options.widgets["score"].value = "probability"
    assert session.score == "probability"
    pick(section.method, "Grad-CAM")
    assert section.options.widgets["score"].value == "probability"


def test_a_method_is_chosen_by_name(made, session):
    section = made(MethodSection, session)
    section.choose("smoothgrad", samples=9)
    assert section.method.currentText() == METHODS["smoothgrad"].title
    assert (session.method, session.options["samples"]) == ("smoothgrad", 9)


def test_layers_of_another_model_are_offered_and_the_old_one_forgotten(made, session):
    section = made(MethodSection, session)
    section.choose("grad_cam", layer="early")
    session.set_model(ready(layers=info().layers[1:]))
    assert section.options.widgets["layer"].choices == ("", "late")
    assert session.options == {"layer": ""}


def test_tooltips_tell_what_a_method_does(made, session):
    section = made(MethodSection, session)
    section.choose("grad_cam")
    assert METHODS["grad_cam"].summary in section.method.toolTip()
    assert METHODS["grad_cam"].cite in section.method.toolTip()


# Explain, cancel, stop by force


def test_explain_needs_a_picture_and_a_model(made, session):
    bar = made(run.RunBar, session)
    assert not bar.button.isEnabled()
    look(session)
    assert bar.button.isEnabled()
    bar.button.click()
    assert session.of("explain")


def test_cancel_then_stop_by_force_when_the_step_does_not_end(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._patience.timer.setInterval(30)
    look(session)
    session.patient = True
    bar.button.click()
    assert bar.button.text() == "Cancel"
    assert bar.progress.isVisible()
    assert (bar.progress.value(), bar.progress.maximum()) == (3, 50)
    bar.button.click()
    assert bar.button.text() == "Stopping…"
    assert not bar.button.isEnabled()
    qtbot.waitUntil(lambda: bar.button.text() == "Stop by force")
    bar.button.click()
    assert session.of("stop_by_force")
    assert bar.button.text() == "Explain"
    assert bar.button.isEnabled()  # which sends the request again


def test_a_model_that_does_not_end_loading_can_be_stopped(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._loading.timer.setInterval(30)
    look(session)
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    assert bar.button.text() == "Explain"  # it may be asked for before the model is there
    qtbot.waitUntil(lambda: bar.button.text() == "Stop loading")
    assert bar.button.isEnabled()
    assert "ends the engine" in bar.button.toolTip()
    session.set_model(ModelStatus(Phase.LOADING, "loading c", "python:c:d"))
    assert bar.button.text() == "Explain"  # another one has its own time
    qtbot.waitUntil(lambda: bar.button.text() == "Stop loading")
    bar.button.click()
    assert session.of("stop_by_force")
    assert not session.of("explain")
    assert bar.button.text() == "Explain"


def test_a_model_that_loads_in_time_is_not_offered_to_be_stopped(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._loading.timer.setInterval(10)
    look(session)
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    session.set_model(ready())
    qtbot.wait(40)
    assert bar.button.text() == "Explain"


def test_what_waits_for_a_model_that_hangs_is_cancelled_before_the_model_is_stopped(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._loading.timer.setInterval(10)
    look(session)
    session.patient = True
    session.set_model(ModelStatus(Phase.LOADING, "loading a", "python:a:b"))
    session.explain()
    qtbot.wait(40)
    assert bar.button.text() == "Cancel"
    session.end_progress()
    assert bar.button.text() == "Stop loading"


def test_a_cancel_that_works_offers_no_force(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._patience.timer.setInterval(10)
    look(session)
    session.patient = True
    bar.button.click()
    bar.button.click()
    session.end_progress()
    qtbot.wait(40)
    assert bar.button.text() == "Explain"


def test_a_run_that_was_asked_for_since_is_not_the_cancelled_one(made, session, qtbot):
    bar = made(run.RunBar, session)
    bar._patience.timer.setInterval(30)
    look(session)
    session.patient = True
    bar.button.click()
    bar.button.click()
    assert bar.button.text() == "Stopping…"
    session.select_class(2)
    assert bar.button.text() == "Cancel"
    assert bar.button.isEnabled()
    qtbot.wait(60)
    assert bar.button.text() == "Cancel"
    bar.button.click()
    assert bar.button.text() == "Stopping…"
    assert len(session.of("cancel")) == 2
    qtbot.waitUntil(lambda: bar.button.text() == "Stop by force")


def test_explain_is_offered_while_the_engine_starts(made):
    session = FakeSession(status=ModelStatus(Phase.STARTING, "starting the engine", "fake:net"))
    bar = made(run.RunBar, session)
    session.prepared_changed.disconnect()  # nothing of the picture is known before there is a model
    session.prediction_changed.disconnect()
    look(session)
    assert bar.button.isEnabled()
    session.set_picture(None)
    assert not bar.button.isEnabled()


def test_progress_without_a_total_says_what_is_waited_for(made, session):
    bar = made(run.RunBar, session, width=500)
    session.progress = Progress(0, 0, "waiting for the model")
    session.progress_changed.emit(session.progress)
    assert bar.progress.maximum() == 1  # an animated bar would have the whole window painted all the time
    assert bar.progress.toolTip() == "waiting for the model"


def test_a_map_of_an_earlier_choice_is_said_to_be_one(made, session):
    section = made(MethodSection, session)
    look(session)
    session.explain()
    assert section.run.hint.text() == ""
    section.choose("smoothgrad")
    assert section.run.hint.text() == run.OUTDATED


@pytest.mark.parametrize("phase", [Phase.LOADING, Phase.FAILED, Phase.LOST])
def test_a_map_is_said_to_be_of_an_earlier_choice_however_the_model_stands(made, session, phase):
    bar = made(run.RunBar, session)
    look(session)
    session.explain()
    session.stale = True
    session.set_model(ModelStatus(phase, "in plain words", "keras:VGG16"))
    assert bar.hint.text() == run.OUTDATED
    assert bar.hint.toolTip() == run.OUTDATED_TIP


def test_the_hint_fits_beside_the_button(made, session):
    section = made(MethodSection, session, width=304)  # of a panel of 320
    look(session)
    session.explain()
    section.choose("smoothgrad")
    hint = section.run.hint
    assert hint.fontMetrics().horizontalAdvance(run.OUTDATED) + 4 <= hint.width()


def test_live_is_passed_on(made, session):
    made(run.RunBar, session).live.setChecked(True)
    assert session.live is True


# Classes


@pytest.fixture
def classes(made):
    def make(count=1000, **more):
        session = FakeSession(prediction(count, **more))
        section = made(ClassSection, session)
        look(session)
        return section, session

    return make


def rows(section):
    return section.table.classes.classes


def test_rows_are_sorted_and_the_top_class_is_marked(classes):
    section, session = classes()
    assert rows(section) == session.prediction.order().tolist()
    assert section.table.currentIndex().row() == 0
    assert "1000" in section.search.placeholderText()
    table = section.table.classes
    assert table.data(table.index(0, 0)) == session.prediction.top(1)[0].label
    assert table.data(table.index(0, 1)) == percent(session.prediction.top(1)[0].probability)
    assert table.data(table.index(0, 0), Qt.ItemDataRole.EditRole) is None


def test_a_click_or_an_arrow_key_selects_a_class(classes, qtbot):
    section, session = classes()
    table = section.table
    spot = table.visualRect(table.classes.index(3, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert session.selected == rows(section)[3]
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert session.selected == rows(section)[4]


def test_brackets_step_in_the_table_too(classes, qtbot):
    section, session = classes()
    for key, row in (("]", 1), ("]", 2), ("[", 1)):
        qtbot.keyClicks(section.table, key)
        assert session.selected == rows(section)[row]
        assert section.table.currentIndex().row() == row


def click(qtbot, table, row, modifier=Qt.KeyboardModifier.NoModifier):
    spot = table.visualRect(table.classes.index(row, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, pos=spot)


def marks(section):
    table = section.table.classes
    result = {n: table.data(table.index(row, 0), class_table._MARK) for row, n in enumerate(table.classes)}
    return {n: sign for n, sign in result.items() if sign}


@pytest.mark.parametrize("way", ["control", "button", "menu", "keys"])
def test_one_class_is_held_against_another_and_a_plain_click_ends_it(classes, qtbot, way):
    section, session = classes()
    first, *others = rows(section)
    if way == "control":
        click(qtbot, section.table, 2, Qt.KeyboardModifier.ControlModifier)
    elif way == "button":
        section.sum.button.click()
        assert section.sum.button.text() == "Click a class"
        click(qtbot, section.table, 2)
    elif way == "menu":
        section.table.contextMenuEvent(
            SimpleNamespace(
                pos=lambda: section.table.visualRect(section.table.classes.index(2, 0)).center(),
                globalPos=lambda: QPoint(0, 0),
            )
        )
        (menu,) = section.table.findChildren(QMenu)
        (action,) = menu.actions()
        assert action.text() == f"class number {first} rather than class number {others[1]}"
        action.trigger()
        menu.close()
    else:
        for _ in range(2):
            qtbot.keyClick(section.table, Qt.Key.Key_Down, Qt.KeyboardModifier.ControlModifier)
    assert session.request.target == Target.contrast(first, others[1])
    assert session.selected == first
    assert section.table.currentIndex().row() == 0
    assert marks(section) == {first: "+", others[1]: "−"}
    assert section.sum.line.text() == f"class number {first} − class number {others[1]}"
    assert section.sum.button.isChecked()
    assert section.sum.button.text() == "Rather than…"
    click(qtbot, section.table, 2)
    assert session.request.target == Target.of_class(others[1])
    assert marks(section) == {}
    assert not section.sum.button.isChecked()


@pytest.mark.parametrize("way", ["again", "itself", "button", "escape", "same row"])
def test_a_contrast_ends_in_many_ways(classes, qtbot, way):
    section, session = classes()
    first, second = rows(section)[:2]
    click(qtbot, section.table, 1, Qt.KeyboardModifier.ControlModifier)
    assert session.request.target == Target.contrast(first, second)
    if way in ("again", "itself"):
        click(qtbot, section.table, int(way == "again"), Qt.KeyboardModifier.ControlModifier)
    elif way == "button":
        section.sum.button.click()
    elif way == "escape":
        qtbot.keyClick(section.table, Qt.Key.Key_Escape)
    else:
        click(qtbot, section.table, 0)
    assert session.request.target == Target.of_class(first)
    assert marks(section) == {}


def test_waiting_for_the_other_class_ends_when_it_is_not_wanted(classes, qtbot):
    section, session = classes()
    section.sum.button.click()
    section.sum.button.click()
    click(qtbot, section.table, 2)
    assert session.request.target == Target.of_class(rows(section)[2])


def test_any_sum_of_classes_can_be_typed(classes, qtbot):
    section, session = classes()
    line = section.sum.line
    focus(qtbot, line)
    line.setText("class number 3 + 0.5 class number 7 - 2 class number 9")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert session.request.target == Target.weighted({3: 1, 7: 0.5, 9: -2})
    assert line.text() == "class number 3 + 0.5 · class number 7 − 2 · class number 9"
    assert marks(section) == {3: "+", 7: "+0.5", 9: "−2"}
    assert section.table.currentIndex().row() == rows(section).index(3)


@pytest.mark.parametrize("text", ["3 + 7", "3+7", "class number 3+class number 7", "class number 3+7"])
def test_sums_are_typed_by_numbers_and_without_spaces_too(classes, qtbot, text):
    section, session = classes()
    focus(qtbot, section.sum.line)
    section.sum.line.setText(text)
    qtbot.keyClick(section.sum.line, Qt.Key.Key_Return)
    assert session.request.target == Target.weighted({3: 1, 7: 1})
    assert section.sum.line.text() == "class number 3 + class number 7"


def test_a_sum_that_makes_no_sense_gets_a_sentence_and_can_be_corrected(classes, qtbot):
    section, session = classes()
    line = section.sum.line
    focus(qtbot, line)
    line.setText("class number 3 - cas number 7")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert "no class 'cas number 7'" in section.sum.problem.text()
    assert line.text() == "class number 3 - cas number 7"
    assert not session.of("ask")
    focus(qtbot, section.search)
    assert line.text() == f"class number {rows(section)[0]}"
    assert section.sum.problem.isHidden()


def test_what_is_asked_already_may_be_written_otherwise(classes, qtbot):
    section, _ = classes()
    line = section.sum.line
    for text in ("class number 3 + class number 7", "nothing", "7+3"):
        line.setText(text)
        qtbot.keyClick(line, Qt.Key.Key_Return)
    assert line.text() == "class number 3 + class number 7"
    assert section.sum.problem.isHidden()


def test_one_class_alone_is_held_against_nothing(made):
    session = FakeSession(prediction(1))
    section = made(ClassSection, session)
    look(session)
    assert section.sum.isHidden()


def test_dragging_over_the_table_chooses_nothing_on_the_way(classes, qtbot):
    section, session = classes()
    table = section.table
    spots = [table.visualRect(table.classes.index(row, 0)).center() for row in (1, 3)]
    qtbot.mousePress(table.viewport(), Qt.MouseButton.LeftButton, pos=spots[0])
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(spots[1]),
        QPointF(spots[1]),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(table.viewport(), event)
    assert session.selected == rows(section)[1]


def test_showing_a_class_does_not_choose_it(classes):
    _section, session = classes()
    session.commands.clear()
    session.prediction_changed.emit(session.prediction)
    session.class_changed.emit(None)
    assert not session.commands


def test_the_selected_class_stays_in_sight(classes):
    section, session = classes()
    session.select_class(rows(section)[700])
    rect = section.table.visualRect(section.table.currentIndex())
    assert section.table.viewport().rect().contains(rect.center())


def test_searching_finds_labels_by_all_their_words(classes, qtbot):
    section, session = classes()
    section.search.setText("NUMBER 77")
    qtbot.waitUntil(lambda: len(rows(section)) < 1000)
    assert set(rows(section)) == {77, 177, 277, 377, 477, 577, 677, *range(770, 780), 877, 977}
    order = session.prediction.order().tolist()
    assert rows(section) == sorted(rows(section), key=order.index)
    assert not section.table.currentIndex().isValid()
    section.search.clear()
    qtbot.waitUntil(lambda: len(rows(section)) == 1000)
    assert section.table.currentIndex().row() == 0


def test_a_search_ends_with_the_labels_that_were_searched(classes, qtbot):
    section, session = classes()
    section.search.setText("number 77")
    qtbot.waitUntil(lambda: len(rows(section)) < 1000)
    session.prediction_changed.emit(None)
    session.prediction_changed.emit(session.prediction)  # another picture, or another model's
    assert section.search.text() == "number 77"
    assert len(rows(section)) < 1000
    session.prediction_changed.emit(prediction(4))
    assert section.search.text() == ""
    assert len(rows(section)) == 4
    assert section.table.currentIndex().row() == 0


def test_tab_leaves_the_table(classes, qtbot):
    section, session = classes()
    focus(qtbot, section.table)
    qtbot.keyClick(section.table, Qt.Key.Key_Tab)
    assert section.sum.button.hasFocus()
    assert not session.of("select_class")


def test_known_maps_are_marked(classes):
    section, session = classes()
    session.select_class(5)
    table = section.table.classes
    index = table.index(table.row_of(5), 0)
    assert table.data(index, 257) is True
    assert "known" in table.data(index, Qt.ItemDataRole.ToolTipRole)
    assert table.data(table.index(table.row_of(6), 0), 257) is False


class Painted(QObject):
    """What of a widget is painted anew."""

    def __init__(self, widget):
        super().__init__()
        self.areas = []
        widget.installEventFilter(self)

    def eventFilter(self, _widget, event):
        if event.type() == QEvent.Type.Paint:
            self.areas.append(event.region().boundingRect())
        return False


def test_a_class_that_is_fetched_ahead_is_marked_at_once_and_alone(classes, qtbot):
    section, session = classes()
    table, model = section.table, section.table.classes
    qtbot.waitExposed(section)
    qtbot.wait(20)
    painted, resets = Painted(table.viewport()), []
    model.modelReset.connect(lambda: resets.append(True))
    second, last = rows(section)[1], rows(section)[-1]
    with qtbot.waitSignal(model.dataChanged):
        session.set_known({second, last})
    cell = table.visualRect(model.index(1, 0))
    qtbot.waitUntil(lambda: bool(painted.areas))
    assert all(cell.contains(area) for area in painted.areas)
    assert model.data(model.index(1, 0), 257) is True
    with qtbot.assertNotEmitted(model.dataChanged):
        session.set_known({second, last})
    session.set_known(())
    assert model.data(model.index(1, 0), 257) is False
    assert not resets


def test_maps_that_are_known_already_are_marked_in_a_new_table(made):
    session = FakeSession(prediction(9))
    look(session)
    session.set_known({4})
    model = made(ClassSection, session).table.classes
    assert model.data(model.index(model.row_of(4), 0), 257) is True


def test_without_a_prediction_the_table_is_empty(classes):
    section, session = classes()
    session.set_picture(None)
    assert section.table.classes.rowCount() == 0
    assert not section.search.isEnabled()


def test_ten_thousand_classes_are_quick(classes, qtbot):
    section, session = classes(10_000)
    limits = {}
    for name, act in {
        "prediction": lambda: session.prediction_changed.emit(session.prediction),
        "search": lambda: section.table.classes.search("number 9"),
        "select": lambda: section.table.select(4321),
        "mark": lambda: session.set_known(session.known_classes ^ {*rows(section)[:5]}),
        "paint": lambda: section.table.grab(),
    }.items():
        times = []
        for _ in range(5):
            start = time.thread_time()
            act()
            times.append(time.thread_time() - start)
        limits[name] = min(times)
    assert max(limits.values()) < 0.05, limits  # generous; they take 1 to 10 ms


def test_another_model_has_other_labels(classes):
    section, session = classes()
    other = prediction(4)
    session.prediction_changed.emit(other)
    assert section.table.classes.rowCount() == 4
    assert section.table.classes.data(section.table.classes.index(0, 0)) == other.top(1)[0].label


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0, "0.0 %"),
        (1e-6, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.5, "50.0 %"),
        (0.99999, "> 99.9 %"),
        (1, "100.0 %"),
    ],
)
def test_probabilities_are_written_for_people(probability, text):
    assert percent(probability) == text


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("selected", [False, True])
def test_cells_are_painted_within_their_bounds(classes, theme, selected):
    section, _ = classes()
    section.set_colours(Colours.of_theme(theme))
    model = ClassTableModel()
    model.set_prediction(prediction(3))
    image = QImage(200, 60, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.magenta)
    option = QStyleOptionViewItem()
    option.rect = QRect(20, 20, 140, 22)
    option.fontMetrics = section.fontMetrics()
    if selected:
        option.state |= QStyle.StateFlag.State_Selected
    painter = QPainter(image)
    for column in (0, 1):
        section.table.delegate.paint(painter, option, model.index(0, column))
    painter.end()
    outside = [image.pixelColor(x, y).name() for x in range(200) for y in (0, 10, 19, 43, 59)]
    assert set(outside) == {"#ff00ff"}
    inside = {image.pixelColor(x, y).name() for x in range(20, 160) for y in range(20, 42)}
    assert len(inside) > 3


# Display


@pytest.fixture
def display(made, viewer, controller, session):
    viewer.add_image(PHOTO)
    return made(DisplaySection, controller, session)


@pytest.mark.parametrize(
    ("control", "chosen"),
    [("reduction", "norm"), ("sign", "negative"), ("contrast", "shared"), ("colormap", "jet")],
)
def test_controls_change_the_display_and_run_nothing(display, controller, session, control, chosen):
    session.explain()
    session.commands.clear()
    display.controls[control].value = chosen
    assert getattr(controller.display, control) == chosen
    assert not session.commands


def test_controls_begin_with_the_displays_values(display):
    assert {name: control.value for name, control in display.controls.items()} == {
        "reduction": "auto", "sign": "absolute", "contrast": "per class", "colormap": "by sign",
    }  # fmt: skip
    assert display.clip.value() == Display().clip


def test_the_clip_is_a_percentile(display, controller):
    display.clip.setValue(93.7)
    assert controller.display.clip == 93.7
    display.controls["colormap"].value = "jet"
    display.controls["colormap"].value = "by sign"
    assert controller.display.colormap is None


def test_auto_contrast_is_offered_when_limits_are_the_users(display, viewer, controller, session, qtbot):
    session.explain()
    assert not display.by_hand.isVisible()
    viewer.layers[1].contrast_limits = (1, 2)
    assert display.by_hand.isVisible()
    display.by_hand.click()
    assert not display.by_hand.isVisible()


def test_the_error_is_offered_where_there_is_one(display, viewer, controller, session):
    assert not display.errors.isEnabled()
    assert display.errors.toolTip() == "There is no map yet."
    session.finish()
    assert not display.errors.isEnabled()
    assert "Gradient does not sample" in display.errors.toolTip()
    session.finish(stderr=np.ones((3, 4), np.float32))
    assert display.errors.isEnabled()
    assert "as strong as the map" in display.errors.toolTip()
    display.errors.click()
    assert controller.errors
    assert viewer.layers[2].name.endswith("standard error")
    controller.errors = False  # as when its layer was deleted
    assert not display.errors.isChecked()
    assert len(viewer.layers) == 2


def test_that_errors_are_wanted_outlives_the_panel(made, viewer, controller, session):
    made(DisplaySection, controller, session).errors.toggle()
    following = LayerController(viewer, session, [].append, lambda call: call)
    assert made(DisplaySection, following, session).errors.isChecked()
    assert following.errors
    following.close()


@pytest.mark.parametrize("order", [1, -1])
def test_the_error_of_a_map_is_read_as_a_sentence(order):
    figures = {"samples": 50.0, "relative standard error": 0.0312, "completeness_gap": 0.1}
    text = summary(explanation(diagnostics=dict(list(figures.items())[::order])))
    assert "standard error 3.1 % of the maximum" in text
    assert text.endswith(", 50 samples")


@pytest.mark.parametrize(
    ("precision", "end"), [(0.2, "48 samples were enough"), (0.1, "48 samples"), (0.0, "48 samples")]
)
def test_a_run_that_stopped_by_itself_says_why(precision, end):
    figures = {"samples": 48.0, "relative standard error": 0.18}
    text = summary(explanation(diagnostics=figures, options={"precision": precision}))
    assert text.endswith(f", standard error 18 % of the maximum, {end}")


def test_the_line_of_a_map_says_once_what_was_explained():
    result = explanation(
        target=Target.of_class(0, "log_probability"), title="VarGrad of Occlusion", score=-1.5
    )
    assert summary(result) == "class number 0 · VarGrad of Occlusion: log-probability -1.5"


def test_the_buttons_below_a_map_fit_when_all_are_there(display, viewer, session, qtbot):
    session.explain()
    viewer.layers[1].contrast_limits = (1, 2)
    qtbot.wait(1)
    assert display.by_hand.isVisible()
    assert display.minimumSizeHint().width() <= 304  # of a panel of 320


def test_keep_is_for_a_map_that_is_there(display, viewer, session):
    assert not display.keep.isEnabled()
    session.explain()
    display.keep.click()
    assert not display.keep.isEnabled()
    session.select_class(2)
    assert display.keep.isEnabled()
    assert len(viewer.layers) == 3


def test_keep_is_offered_again_when_a_display_change_makes_a_map(display, viewer, controller, session):
    session.explain()
    display.keep.click()
    display.controls["sign"].value = "signed"
    assert display.keep.isEnabled() == controller.has_map
    assert controller.has_map


def test_keep_is_not_offered_for_a_map_that_was_deleted(made, display, viewer, controller, session):
    session.explain()
    assert made(DisplaySection, controller, session).keep.isEnabled()  # also in a new panel
    viewer.layers.remove(viewer.layers[1])
    assert not display.keep.isEnabled()
    assert not made(DisplaySection, controller, session).keep.isEnabled()


def test_what_a_map_says_about_itself_is_shown(display, session):
    session.finish(notes=("No place raises the score.",), diagnostics={"completeness_gap": 0.0123})
    assert display.note.text() == "No place raises the score."
    assert "completeness gap 0.012" in display.summary.text()
    session.explanation_changed.emit(None)
    assert display.summary.text() == ""


def test_pitfall_integrated_gradients_without_the_x_minus_baseline_factor():
    """Whoever looks at the map reads by how much it does not add up."""
    model = Spatial()
    result = explain(model, pictures(model)[0], 0, "integrated_gradients", steps=8)
    assert f"completeness gap {result.diagnostics['completeness gap']:.2g}" in summary(result)


@pytest.mark.parametrize("width", [300, 320])
def test_the_numbers_of_a_map_are_seen_in_full(made, viewer, controller, session, width, qtbot):
    viewer.add_image(PHOTO)
    section = made(DisplaySection, controller, session, width=width)
    session.finish(done=50, total=1000, diagnostics={"completeness_gap": 0.0123}, label=LONG)
    qtbot.wait(20)
    label = section.summary
    assert label.text().endswith("50 of 1000 steps, completeness gap 0.012")
    assert label.width() <= width
    assert label.wordWrap()
    assert label.height() >= label.heightForWidth(label.width())


def test_a_map_that_was_stopped_says_so():
    assert "12 of 50" in summary(explanation(done=12, total=50))
    assert "logit" in summary(explanation())


# Details


def test_details_can_be_read_and_closed(qtbot):
    dialog = show_details(Problem("It failed.", "Traceback\n  deep inside"))
    qtbot.addWidget(dialog)
    texts = [child.toPlainText() for child in dialog.children() if hasattr(child, "toPlainText")]
    assert texts == ["Traceback\n  deep inside"]
    dialog.reject()


@pytest.mark.parametrize("details", ["", "Traceback"])
def test_details_say_in_full_what_a_notice_says_briefly(qtbot, details):
    dialog = show_details(Problem("The whole sentence.", details, "Briefly."))
    qtbot.addWidget(dialog)
    assert dialog.findChild(QLabel).text() == "The whole sentence."
    assert dialog.findChild(QPlainTextEdit).isVisible() == bool(details)
    dialog.reject()


def test_the_notice_of_an_engine_that_ended_is_read_whole(qtbot):
    """napari elides a notice to its first line."""
    notice = NapariQtNotification(ENDED, "warning")
    qtbot.addWidget(notice)
    notice.show()
    QApplication.processEvents()
    assert notice.message.fontMetrics().horizontalAdvance(ENDED) < notice.message.width()


# Widths


def test_a_list_elides_what_does_not_fit(made):
    def shown(text):
        box = made(lambda: combo([(text, text)]), width=90)
        box.setStyleSheet(sheet(Colours.of_theme("dark")))
        return box

    metrics = shown("W").fontMetrics()
    texts = ["W" * count + "…" for count in range(1, 12)]
    fitting = [text for text in texts if metrics.horizontalAdvance(text) < 66]
    assert shown("W" * 40).grab().toImage() == shown(fitting[-1]).grab().toImage()


def test_a_note_has_as_many_lines_as_it_needs(made):
    label = made(note)
    label.setStyleSheet("padding: 1px")  # napari's sheet gives labels a frame, too
    set_text(
        label, "Knows nine things and will force any picture into them: airplane, carton, cat, dog, shirt."
    )
    line, flags = label.fontMetrics().lineSpacing(), int(Qt.TextFlag.TextWordWrap)
    for width in range(200, 320):
        room = QRect(0, 0, width - INDENT - 2 * label.frameWidth(), 1000)
        needed = label.fontMetrics().boundingRect(room, flags, label.text()).height()
        assert label.heightForWidth(width) < needed + line, width


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a sentence of many words, none of which is long", 1),
        ("it lies in /home/somebody/some/folder/net.keras", 7),
        ("a" * 60, 3),
    ],
)
def test_long_words_can_be_broken(text, parts):
    broken = breakable(text)
    assert broken.replace("\u200b", "") == text
    assert broken.count("\u200b") == parts - 1
    assert max(len(part) for part in re.split("[\u200b ]", broken)) < 25


def test_labels_side_by_side_are_on_one_line(made, controller, session, qtbot):
    section = made(DisplaySection, controller, session)
    qtbot.waitExposed(section)
    labels = {label.text(): label for label in section.findChildren(QLabel) if label.isVisible()}
    for names in (("Channels", "Sign", "Colours"), ("Contrast", "Clip")):
        assert len({labels[name].geometry().center().y() for name in names}) == 1


@pytest.mark.parametrize("width", [280, 320])
def test_nothing_sticks_out_of_a_narrow_panel(made, viewer, controller, session, width, qtbot):
    viewer.add_image(PHOTO, name="a picture with a very long name that goes on and on")
    session.set_model(asking("preprocessing", "labels", labels=(LONG,) * 3))
    broken = FakeSession(
        status=ModelStatus(Phase.FAILED, "very_" * 12 + "long.keras does not open", "/a/net.keras")
    )
    for section in (
        made(ModelSection, broken, width=width),
        made(PictureSection, controller, session, width=width),
        made(ModelSection, session, width=width),
        made(MethodSection, session, width=width),
        made(ClassSection, session, width=width),
        made(DisplaySection, controller, session, width=width),
    ):
        qtbot.wait(1)
        assert section.minimumSizeHint().width() <= 264, type(section)
        assert section.width() == width
        labels = [child for child in section.findChildren(type(section.heading)) if child.isVisible()]
        assert max(label.mapTo(section, QPoint(label.width(), 0)).x() for label in labels) <= width


# Inside a layer


def items(box):
    return [(box.itemText(n), box.itemData(n)) for n in range(box.count())]


def test_layers_to_look_into_are_listed_the_last_one_first(made, session):
    choice = made(ClassSection, session).viewed_layer_box
    assert items(choice) == [(WHOLE, ""), ("of late", "late"), ("of early", "early")]
    assert choice.itemData(1, Qt.ItemDataRole.ToolTipRole) == "late (7×7, 64 channels)"
    pick(choice, "late")
    assert session.of("look_inside") == [("look_inside", "late")]
    pick(choice, "late")  # which is looked into already, or soon
    pick(choice, "of the model")  # before the layer is there
    assert session.of("look_inside")[1:] == [("look_inside", "")]


def test_inside_a_layer_the_table_is_one_of_channels_and_the_way_out_stays(made, session):
    section = made(ClassSection, session)
    look(session)
    whole = session.model.info
    labels = tuple(f"late[{n}]" for n in range(3))
    session.set_model(ModelStatus(Phase.LOADING, "loading", "fake:net"))
    assert section.viewed_layer_box.count() == 3
    session.set_model(
        ready(labels=labels, activation="quantity", viewed_layer="late", layers=whole.layers[:1], outer=whole)
    )
    nothing = np.full(3, np.nan, np.float32)
    inside = Prediction(np.float32([0.5, 2, 1]), nothing, nothing, labels, (7, 7), channels=True)
    session.prediction = inside
    session.prediction_changed.emit(inside)
    assert rows(section) == [1, 2, 0]
    assert section.table.classes.data(section.table.classes.index(0, 1)) == "2"
    assert section.heading.text() == "Channels"
    assert "Click a channel" in section.table.toolTip()
    assert "Any sum of channels" in section.sum.line.toolTip()
    assert "(channel 1)" in section.table.classes.data(
        section.table.classes.index(0, 0), Qt.ItemDataRole.ToolTipRole
    )
    section.sum.button.click()
    assert section.sum.button.text() == "Click a channel"
    section.sum.line.setText("")
    section.sum.line.returnPressed.emit()
    assert section.sum.problem.text() == "Nothing is named: give a channel, or a sum of channels."
    assert section.search.placeholderText() == "Search 3 channels"
    assert section.viewed_layer_box.currentText() == "of late"
    assert section.viewed_layer_box.count() == 3
    pick(section.viewed_layer_box, "of the model")
    assert session.of("look_inside") == [("look_inside", "")]


def test_a_model_without_layers_cannot_be_looked_into(made, session):
    choice = made(ClassSection, session).viewed_layer_box
    assert choice.isVisible()
    session.set_model(ready(layers=(), cam_layer=""))
    assert choice.isHidden()


def test_a_search_for_a_layer_that_leads_to_nothing_is_taken_back(made, session, qtbot):
    section = made(ClassSection, session)
    focus(qtbot, section.viewed_layer_box.lineEdit())
    section.viewed_layer_box.lineEdit().setText("nowhere")
    focus(qtbot, section.viewed_layer_box)
    section.viewed_layer_box.lineEdit().editingFinished.emit()
    assert section.viewed_layer_box.currentText() == WHOLE
    assert not session.of("look_inside")


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


# Check


def finding_of(level="good", verdict="It is so.", curves=(), **more):
    return Finding(1, 1, {"area": 0.25}, tuple(curves), verdict, level, ("How it was.",), **more)


LINES = (
    Curve("map", np.float32([0, 0.5, 1]), np.float32([1, 0.2, 0])),
    Curve("random order", np.float32([0, 0.5, 1]), np.float32([1, 0.6, 0]), np.float32([0, 0.1, 0])),
)


@pytest.fixture
def check(made, session):
    return made(CheckSection, session)


def test_check_is_one_button_that_is_of_use_when_there_is_a_map(check, session, qtbot):
    assert check.button.text() == "Check this map"
    assert check.button.isEnabled()
    assert not check.results
    qtbot.mouseClick(check.button, Qt.MouseButton.LeftButton)
    assert session.checks.commands == [("run", "")]
    session.checks.possible = False
    session.explanation_changed.emit(None)
    assert not check.button.isEnabled()


def test_a_map_that_was_stopped_is_told_to_be_incomplete_beside_the_grey_button(check, session):
    session.checks.possible, session.stale = False, False
    session.explanation = explanation(done=3, total=50)
    session.progress = Progress(3, 50, "stopping after this step")
    session.progress_changed.emit(session.progress)
    assert not check.hint.text()  # it may yet end
    session.end_progress()
    assert check.hint.text() == "incomplete"
    assert check.hint.toolTip() == "The map is not complete: run it to its end first."
    assert check.button.toolTip() == check.hint.toolTip()
    session.stale = True
    session.class_changed.emit(None)
    assert not check.hint.text()  # another map is asked for; that it is outdated stands elsewhere
    session.checks.possible, session.stale = True, False
    session.explanation = explanation()
    session.explanation_changed.emit(session.explanation)
    assert not check.hint.text()
    assert check.button.toolTip().startswith("Run every check")


def test_check_shows_how_far_it_is_and_can_be_cancelled(check, session, qtbot):
    session.checks.set(findings={"deletion": Finding(3, 12)}, waiting=("deletion", "insertion"))
    assert (check.button.text(), check.progress.value(), check.progress.maximum()) == ("Cancel", 3, 12)
    assert check.progress.isVisible()
    assert check.progress.format() == "Deletion"
    qtbot.mouseClick(check.button, Qt.MouseButton.LeftButton)
    assert session.checks.commands == [("cancel",)]
    session.checks.set(waiting=("deletion",), cancelled=True)
    assert check.button.text() == "Stopping…"
    assert not check.button.isEnabled()
    session.checks.set()
    assert not check.progress.isVisible()


def test_a_check_that_does_not_end_can_be_stopped_by_force(check, session, qtbot):
    check._patience.timer.setInterval(30)
    session.checks.set(left_out={"insertion": "Long."}, waiting=("deletion",), cancelled=True)
    assert check.button.text() == STOPPING
    assert not check.results["insertion"].run.isEnabled()  # it would be stopped, too
    qtbot.waitUntil(lambda: check.button.text() == FORCE)
    assert check.button.isEnabled()
    assert "ends the engine" in check.button.toolTip()
    qtbot.mouseClick(check.button, Qt.MouseButton.LeftButton)
    assert session.of("stop_by_force")
    assert not session.checks.commands
    session.checks.set(left_out={"deletion": "It was stopped."})
    assert check.button.text() == START
    session.checks.set(waiting=("deletion",))
    assert check.button.text() == CANCEL  # another one has its own time


def test_a_check_that_ends_when_it_is_cancelled_offers_no_force(check, session, qtbot):
    check._patience.timer.setInterval(10)
    session.checks.set(waiting=("deletion",), cancelled=True)
    session.checks.set(left_out={"deletion": "It was stopped."})
    qtbot.wait(40)
    assert check.button.text() == START


@pytest.mark.parametrize(
    ("section", "texts"),
    [("check", (START, CANCEL, STOPPING, FORCE)), ("run", run._TIPS)],
)
def test_a_button_is_wide_enough_for_all_that_it_says(made, session, section, texts):
    of = made(CheckSection, session) if section == "check" else made(run.RunBar, session)
    for text in texts:
        of.button.setText(text)
        assert of.button.sizeHint().width() <= of.button.width(), text


def test_a_bars_words_end_where_its_room_does(made, qtbot):
    bar = made(ProgressBar, width=280)
    text = "stopping after this step, whatever it is, and however long it takes " * 3
    bar.show_progress(Progress(1, 3, text))
    assert (bar.value(), bar.maximum(), bar.toolTip()) == (1, 3, text)
    assert bar.format().endswith("…")
    assert bar.fontMetrics().horizontalAdvance(bar.format()) <= 280
    bar.resize(60, bar.height())
    qtbot.waitUntil(lambda: bar.fontMetrics().horizontalAdvance(bar.format()) <= 60)
    bar.resize(4000, bar.height())
    qtbot.waitUntil(lambda: bar.format() == text)


def test_check_never_shows_a_bar_without_a_total(check, session):
    session.checks.set(waiting=("deletion",))
    assert check.progress.maximum() == 1


@pytest.mark.parametrize("level", ["good", "doubtful", "bad", "not applicable"])
def test_each_check_has_a_mark_a_verdict_and_its_figures(check, session, level):
    session.checks.set(findings={"deletion": finding_of(level)})
    result = check.results["deletion"]
    assert result.title.text() == "Deletion"
    assert result.mark.text() == MARKS[level]
    assert result.verdict.text() == "It is so."
    assert result.verdict.toolTip() == "area: 0.25\nHow it was."
    assert not result.run.isVisible()
    assert not result.curve.isVisible()
    colour = {"good": "good", "doubtful": "busy", "bad": "bad"}.get(level, "muted")
    assert getattr(check.colours, colour).name() in result.mark.styleSheet()


def test_what_runs_has_a_mark_and_words_of_its_own(check, session):
    session.checks.set(findings={"deletion": Finding(3, 12)}, waiting=("deletion",))
    result = check.results["deletion"]
    assert (result.mark.text(), result.verdict.text()) == ("…", "Running.")
    assert result.mark.text() not in MARKS.values()
    assert not result.run.isVisible()
    session.checks.set(findings={"deletion": finding_of()})
    assert (result.mark.text(), result.verdict.text()) == ("✓", "It is so.")


def test_the_levels_are_counted_the_worst_first(check, session):
    levels = ("good", "good", "bad", "not applicable")
    names = ("mass", "sparseness", "deletion", "insertion")
    session.checks.set(findings={n: finding_of(level) for n, level in zip(names, levels, strict=True)})
    assert check.hint.text().split() == ["✗1", "✓2"]


def test_what_was_left_out_says_why_and_can_be_run(check, session, qtbot):
    session.checks.set(left_out={"insertion": "It would take long."})
    result = check.results["insertion"]
    assert result.verdict.text() == "It would take long."
    qtbot.mouseClick(result.run, Qt.MouseButton.LeftButton)
    assert session.checks.commands == [("run", "insertion")]


def test_rows_go_with_what_was_found(check, session, qtbot):
    session.checks.set(findings={"mass": finding_of(), "deletion": finding_of()})
    assert list(check.results) == ["mass", "deletion"]
    session.checks.set(findings={"deletion": finding_of("bad")})
    assert list(check.results) == ["deletion"]
    session.checks.set()
    assert not check.results


def test_what_was_left_out_comes_last(check, session):
    session.checks.set(left_out={"insertion": "Long."}, waiting=("mass",))
    session.checks.set(findings={"mass": finding_of()}, left_out={"insertion": "Long."})
    listed = [check._list.itemAt(n).widget().title.text() for n in range(check._list.count())]
    assert listed == ["Mass in the region", "Insertion"]
    session.checks.set(findings={"insertion": finding_of(), "mass": finding_of()})
    listed = [check._list.itemAt(n).widget().title.text() for n in range(check._list.count())]
    assert listed == ["Insertion", "Mass in the region"]


def test_one_that_is_stopped_goes_back_to_its_place(check, session):
    long = {"max_sensitivity": "Long."}
    session.checks.set(left_out={"insertion": "Long.", **long})
    session.checks.set(left_out=long, waiting=("insertion",))
    session.checks.set(left_out={**long, "insertion": "It was stopped."})
    places = {check._list.indexOf(result): name for name, result in check.results.items()}
    assert [places[place] for place in sorted(places)] == ["insertion", "max_sensitivity"]


def test_curves_are_drawn_in_the_themes_colours(check, session, qtbot):
    session.checks.set(findings={"deletion": finding_of(curves=LINES)})
    curve = check.results["deletion"].curve
    qtbot.waitUntil(curve.isVisible)
    assert curve.limits == (0, 1)
    for theme in ("dark", "light"):
        colours = Colours.of_theme(theme)
        check.set_colours(colours)
        picture = curve.grab().toImage()
        preview = {
            picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())
        }
        assert colours.bar.name() in preview
        assert colours.muted.name() in preview


def test_a_curve_goes_through_its_points(check, session):
    """The map's line is where it should be, to a pixel and a half: at the top left, low in the middle."""
    line = Curve("map", np.float32([0, 0.5, 1]), np.float32([1, 0, 1]))
    session.checks.set(findings={"deletion": finding_of(curves=[line])})
    curve = check.results["deletion"].curve
    picture = curve.grab().toImage()
    scale = picture.width() / curve.width()
    left, right, top, bottom = 34, curve.width() - 4, 14 + 3.5, 90 - 16 - 2.5
    colour = check.colours.bar

    def is_near(x, y):
        places = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        near = [picture.pixelColor(round(a * scale), round(b * scale)) for a, b in places]
        return any(abs(c.blue() - colour.blue()) + abs(c.red() - colour.red()) < 60 for c in near)

    quarter = (left + (right - left) / 4, (top + bottom) / 2)
    assert is_near(left + 1, top + 1)
    assert is_near(*quarter)
    assert is_near((left + right) / 2, bottom)
    assert not is_near((left + right) / 2, top + 5)


AXES = [("share of pixels", "probability", 2), ("layers randomised", "similarity", 1)]


@pytest.mark.parametrize(("across", "up", "lines"), AXES)
def test_axes_are_named_where_the_panel_is_narrow_too(made, monkeypatch, across, up, lines):
    """In full, and apart from the names of the lines; with less room the name across ends in an ellipsis."""
    said = []
    monkeypatch.setattr(QPainter, "drawText", lambda painter, *a: said.append((a, painter.fontMetrics())))
    curve = made(
        lambda: CurveView(Colours.of_theme("dark")), width=280 - 2 * MARGIN - 14
    )  # bar for scrolling
    curve.show_curves([replace(line, across=across, up=up) for line in LINES[:lines]], curve._colours)
    curve.grab()
    placed = {a[-1]: (a[0], metrics.horizontalAdvance(a[-1])) for a, metrics in said}
    assert {across, up, *(line.label for line in LINES[:lines])} <= placed.keys()
    (right, width), (left, long) = placed[across], placed[LINES[lines - 1].label]
    assert left.x() + long < right.x()
    assert right.x() + width <= curve.width()
    assert placed[up][0].y() < 14  # above the highest number
    said.clear()
    curve.resize(150, curve.height())
    curve.grab()
    assert not any(a[-1] == across for a, _ in said)


@pytest.mark.parametrize("curves", [(), (Curve("map", np.float32([0]), np.float32([0])),)])
def test_no_curve_or_one_point_is_drawn_without_a_fault(check, session, curves):
    session.checks.set(findings={"deletion": finding_of(curves=curves)})
    check.results["deletion"].curve.grab()


@pytest.mark.parametrize("width", [280, 500])
def test_long_verdicts_are_read_in_full_at_every_width(made, session, width):
    section = made(CheckSection, session, width=width)
    session.checks.set(
        findings={"deletion": finding_of(verdict="A long verdict with many words. " * 5, curves=LINES)}
    )
    verdict = section.results["deletion"].verdict
    assert section.minimumSizeHint().width() <= 270
    assert verdict.hasHeightForWidth()
    assert verdict.text().count("many words") == 5


class Cramped(QObject):
    """Notes the wrapped labels that are painted with less height than their lines take."""

    def __init__(self):
        super().__init__()
        self.texts = []

    def eventFilter(self, label, event):
        painted = event.type() == QEvent.Type.Paint and isinstance(label, QLabel) and label.wordWrap()
        if painted and label.height() < label.heightForWidth(label.width()):
            self.texts.append(label.text())
        return False


def test_no_verdict_is_painted_in_the_room_of_fewer_lines_not_for_a_moment(made, session, qtbot):
    area = made(QScrollArea, width=340)  # as in the panel
    area.setWidgetResizable(True)
    section = CheckSection(session)
    area.setWidget(section)
    qtbot.waitExposed(area)
    cramped, known = Cramped(), {}
    application = QApplication.instance()
    application.installEventFilter(cramped)
    for number, name in enumerate(CHECKS):
        for done in (3, 4):
            session.checks.set(findings={**known, name: Finding(done, 12)}, waiting=(name,))
            qtbot.wait(5)
        known[name] = finding_of(verdict="A verdict of a few lines. " * 4, curves=LINES[: number % 2])
        session.checks.set(findings=known)
        verdict = section.results[name].verdict
        assert verdict.height() >= verdict.heightForWidth(verdict.width())  # before Qt can paint
        qtbot.wait(5)
    application.removeEventFilter(cramped)
    assert not cramped.texts


def test_regions_can_be_chosen_as_soon_as_one_is_drawn(made, viewer, controller, session):
    section = made(PictureSection, controller, session)
    viewer.add_image(PHOTO)
    assert not section.regions.isVisible()
    viewer.add_labels(np.zeros((60, 80), int), name="here")
    assert section.regions.isVisible()
    assert [section.regions.itemText(n) for n in range(2)] == ["the whole picture", "here"]
