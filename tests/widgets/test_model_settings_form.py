"""The forms of the Model section: settings that only the user knows, and programs that wait for a yes."""

from dataclasses import replace
from pathlib import Path

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_saliency import models
from napari_saliency.core.preprocessing import Preprocessing
from napari_saliency.engine import process as engine
from napari_saliency.models import InputSpec, Settings
from napari_saliency.session.session import Session
from napari_saliency.session.state import ModelStatus, Phase
from napari_saliency.widgets import model_settings_form as questions
from napari_saliency.widgets.model_section import ModelSection
from tests.analytic import Linear
from tests.executors import Immediate
from tests.fakes import info
from tests.widgets.acting import asking, pick, ready

pytestmark = pytest.mark.viewer


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
    assert section.form.question.text() == questions.QUESTIONS["preprocessing"]
    section.settings.click()
    assert section.form.question.text() == questions.EVERY
    section.settings.click()
    assert section.form.question.text() == questions.QUESTIONS["preprocessing"]


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
        ("two.txt", "cat\ndog\n", "has 2 names but the model has 3"),
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
    assert session.of("answer")[0][1].given() == {
        "output": "kind", "outputs": {"kind": {"task": "regression"}},
    }  # fmt: skip
    session.set_model(ready("/home/me/net.keras", outputs=("kind", "mask"), activation="quantity"))
    form.toggle()
    assert [field.isVisible() for field in (form.output, form.task, form.input, form.pixels)] == [
        True,
        True,
        False,
        False,
    ]
    assert (form.output.currentData(), form.task.currentData()) == ("kind", "regression")


def test_an_answer_that_is_refused_can_be_corrected(made, session, tmp_path):
    form = made(ModelSection, session).form
    stage, source = session.stage, str(tmp_path / "net.pt")
    stage.info = info(source=source, questions=("size", "labels"))
    stage.rejects = lambda settings: "3×3 is too small" if settings.size == (3, 3) else ""
    session.open_model(source)
    form.pixels.setText("3 × 3")
    stage.opens = False
    form.keep.click()
    assert session.model.phase is Phase.LOADING
    assert form.isVisible()
    assert not form.isEnabled()
    stage.open()
    assert (session.model.phase, session.model.info) == (Phase.READY, stage.info)  # as it was before
    assert form.isEnabled()
    assert form.pixels.text() == "3 × 3"
    assert "3×3 is too small." in form.problem.text()
    form.pixels.setText("3")
    form.keep.click()
    assert form.problem.text().startswith("Input size needs two numbers")
    form.pixels.setText("9 × 9")
    form.keep.click()
    assert not form.problem.text()
    session.set_model(ready(source))
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
    session.start()
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


def test_a_program_runs_after_a_yes_alone(made, session):
    section = made(ModelSection, session)
    assert not section.trust.isVisible()
    status = ModelStatus(Phase.FAILED, "waits for your yes", "python:mine:net", program="/home/me/mine.py")
    session.set_model(status)
    assert "runs /home/me/mine.py" in section.trust.question.text().replace("\u200b", "")
    section.trust.no.click()
    assert not section.trust.isVisible()
    assert not session.of("trust")
    session.set_model(status)
    section.trust.yes.click()
    assert session.of("trust")
    session.set_model(ready("python:mine:net"))
    assert not section.trust.isVisible()
