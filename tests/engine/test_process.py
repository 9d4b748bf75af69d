"""What the engine process does, called in this one; no framework."""

import os
from copy import copy

import numpy as np
import pytest

from napari_saliency import models
from napari_saliency.api.explain import Question
from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Placement
from napari_saliency.core.types import Target
from napari_saliency.engine import process as engine_process
from napari_saliency.models import InputSpec, Layer, Model, ModelInfo, Settings
from napari_saliency.models.layer_view import describe_layer_view

HERE = Placement((1, 1), (0, 0))


class Constant(Model):
    """The gradient of class k is k everywhere."""

    opened = 0

    def __init__(self, source, settings):
        type(self).opened += 1
        self.info = ModelInfo(str(source), "constant", InputSpec((2, 2), 1), settings.labels or ("a", "b"))

    def with_settings(self, settings):
        type(self).opened -= 1
        return Constant(self.info.source, settings)

    def scores(self, x):
        return np.tile(np.float32([0, 1]), (len(x), 1))

    def gradient(self, x, targets, rule=None):
        return np.zeros(len(x)), np.ones_like(x) * (targets.weights @ np.float32([0, 1]))[:, None, None, None]

    def tap(self, x, targets, layer):
        raise NotImplementedError

    def view_layer(self, layer):
        if layer != "late":
            raise ModelError(f"no layer {layer}")
        twin = copy(self)
        twin.info = describe_layer_view(self.info, Layer("late", (1, 1), 3), ())
        twin.scores = lambda x: np.tile(np.float32([3, 1, 2]), (len(x), 1, 1, 1))
        return twin


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(models, "open_model", Constant)
    Constant.opened = 0
    monkeypatch.setattr(engine_process, "ANSWER", 0)  # every step is an answer, however fast
    return engine_process.Engine()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"one")
    return path


X = np.zeros((2, 2, 1), np.float32)


def ask(engine, run=1, method="gradient", **options):
    prediction = engine.predict(X)
    return engine.start(run, X, Question(prediction, Target.of_class(1), HERE), method, options)


def test_a_model_is_opened_once_and_again_when_its_file_has_changed(engine, file):
    engine.open_model(str(file), Settings())
    engine.open_model(str(file), Settings())
    assert Constant.opened == 1
    file.write_bytes(b"another")
    engine.open_model(str(file), Settings())
    assert Constant.opened == 2


def test_a_layer_is_looked_into_without_opening_the_model_again(engine, file):
    whole = engine.open_model(str(file), Settings())
    viewed_layer = engine.open_model(str(file), Settings(), "late")
    assert (viewed_layer.viewed_layer, viewed_layer.outer, Constant.opened) == ("late", whole, 1)
    assert engine.predict(X).logits.tolist() == [3, 1, 2]
    with pytest.raises(ModelError, match="no layer nowhere"):
        engine.open_model(str(file), Settings(), "nowhere")
    assert engine.open_model(str(file), Settings()) == whole
    assert engine.predict(X).logits.tolist() == [0, 1]
    assert Constant.opened == 1


def test_other_settings_describe_the_same_model_anew(engine, file):
    engine.open_model(str(file), Settings())
    assert engine.open_model(str(file), Settings(labels=("x", "y"))).labels == ("x", "y")
    assert Constant.opened == 1


def test_a_size_that_is_said_is_tried_before_the_model_is_ready(engine, file, monkeypatch):
    """So that an answer which the network, or the memory, does not bear is taken back."""

    class Sized(Constant):
        def __init__(self, source, settings):
            space = InputSpec(settings.size or (None, None), 1)
            self.info = ModelInfo(str(source), "sized", space, ("a", "b"), memory=8.0)

        def with_settings(self, settings):
            return Sized(self.info.source, settings)

        def scores(self, x):
            if min(x.shape[1:3]) < 4:
                raise ModelError(f"too small: {x.shape}")
            return super().scores(x)

    monkeypatch.setattr(models, "open_model", Sized)
    engine.open_model(str(file), Settings())
    assert engine.open_model(str(file), Settings(size=(6, 8))).input.shape == (6, 8)
    with pytest.raises(ModelError, match=r"too small: \(1, 3, 3, 1\)"):
        engine.open_model(str(file), Settings(size=(3, 3)))
    with pytest.raises(ModelError, match=r"sized needs about 8000\.0 GB of memory"):
        engine.open_model(str(file), Settings(size=(1_000_000, 1_000_000)))


@pytest.mark.parametrize("edited", ["net.py", "helper.py"])
@pytest.mark.parametrize("custom", [False, True], ids=["python", "custom"])
def test_a_model_is_opened_again_when_its_program_has_changed(
    engine, file, tmp_path, monkeypatch, edited, custom
):
    name = f"net_{tmp_path.name}"
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper.py").write_text("N = 1", "utf-8")
    (tmp_path / f"{name}.py").write_text("import helper", "utf-8")
    source, settings = (str(file), Settings(custom=name)) if custom else (f"python:{name}:net", Settings())
    first = engine.open_model(source, settings)
    assert engine.open_model(source, settings) == first
    assert Constant.opened == 1
    edited = tmp_path / edited.replace("net", name)
    edited.write_text(edited.read_text("utf-8") + "\n", "utf-8")
    again = engine.open_model(source, settings)
    assert Constant.opened == 2
    assert again.fingerprint != first.fingerprint  # maps of the former program are not shown for the new one


def test_a_model_that_does_not_open_leaves_none_behind(engine, file, monkeypatch):
    engine.open_model(str(file), Settings())

    def refuse(source, settings):
        raise ModelError("no")

    monkeypatch.setattr(models, "open_model", refuse)
    file.write_bytes(b"another")
    with pytest.raises(ModelError, match="no"):
        engine.open_model(str(file), Settings())
    with pytest.raises(ModelError, match="no model is open"):
        engine.predict(X)


def test_a_method_of_one_step_is_complete_and_forgotten(engine, file):
    engine.open_model(str(file), Settings())
    explanation = ask(engine)
    assert explanation.complete
    np.testing.assert_array_equal(explanation.values, np.ones((2, 2, 1)))
    assert engine.runs == {}


def test_a_long_method_goes_step_by_step_and_can_be_dropped(engine, file):
    engine.open_model(str(file), Settings())
    first = ask(engine, run=7, method="smoothgrad", samples=20)
    assert (first.done, first.total) == (2, 20)
    assert engine.step(7).done == 10
    engine.drop(7)
    assert engine.runs == {}
    engine.drop(7)  # once more does no harm


def test_a_check_goes_step_by_step_beside_a_method_and_can_be_dropped(engine, file):
    engine.open_model(str(file), Settings())
    explanation = ask(engine)
    explanation.values[0] += 1  # a map that is the same everywhere is not checked
    ask(engine, run=1, method="smoothgrad", samples=20)
    first = engine.check(("check", 1), X, explanation, "deletion")
    assert (first.done, first.total, first.verdict) == (2, 145, "")
    assert engine.step(("check", 1)).done == 10
    assert engine.step(1).done == 10
    engine.drop(("check", 1))
    assert list(engine.runs) == [1]


def test_a_check_of_one_step_is_complete_and_forgotten(engine, file):
    engine.open_model(str(file), Settings())
    finding = engine.check(("check", 1), X, ask(engine), "sparseness")
    assert finding.complete
    assert engine.runs == {}


class Clock:
    """Time that passes when somebody computes."""

    def __init__(self, monkeypatch, seconds):
        self.now = 0.0
        gradient = Constant.gradient

        def slow(*args, **kwargs):
            self.now += seconds
            return gradient(*args, **kwargs)

        monkeypatch.setattr(engine_process, "ANSWER", 0.1)
        monkeypatch.setattr(Constant, "gradient", slow)
        monkeypatch.setattr(engine_process.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "done"),
    [
        (0.0, [2, 40]),
        (0.03, [2, 26, 40]),
        (0.06, [2, 10, 18, 26, 34, 40]),
        (3, [2, 10, 18, 26, 34, 40]),
    ],
)
def test_fast_steps_come_in_one_answer_but_for_the_first(engine, file, monkeypatch, seconds, done):
    engine.open_model(str(file), Settings())
    Clock(monkeypatch, seconds)
    answers = [ask(engine, run=7, method="smoothgrad", samples=40)]
    while not answers[-1].complete:
        answers.append(engine.step(7))
    assert [answer.done for answer in answers] == done
    assert engine.runs == {}


def test_a_method_that_fails_is_forgotten(engine, file, monkeypatch):
    engine.open_model(str(file), Settings())
    ask(engine, run=7, method="smoothgrad", samples=20)
    monkeypatch.setattr(Constant, "gradient", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.step(7)
    assert engine.runs == {}


def test_this_process_is_alive_and_one_that_never_was_is_not():
    assert engine_process.is_alive(os.getpid())
    assert not engine_process.is_alive(2**22 - 1)


def test_a_process_on_another_machine_is_not_watched():
    assert not engine_process.is_here(("another machine", 1))
    assert not engine_process.is_here((engine_process.platform.node(), os.getpid()))
    assert engine_process.is_here((engine_process.platform.node(), os.getppid()))
