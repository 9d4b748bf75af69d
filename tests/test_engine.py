"""What the engine process does, called in this one; no framework."""

import os

import numpy as np
import pytest

from napari_saliency import _engine, models
from napari_saliency._explain import Question
from napari_saliency._placement import Placement
from napari_saliency._types import ModelError, Target
from napari_saliency.models import InputSpec, Model, ModelInfo, Settings

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


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.setattr(models, "open_model", Constant)
    Constant.opened = 0
    return _engine.Engine()


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


def test_other_settings_describe_the_same_model_anew(engine, file):
    engine.open_model(str(file), Settings())
    assert engine.open_model(str(file), Settings(labels=("x", "y"))).labels == ("x", "y")
    assert Constant.opened == 1


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


def test_a_method_that_fails_is_forgotten(engine, file, monkeypatch):
    engine.open_model(str(file), Settings())
    ask(engine, run=7, method="smoothgrad", samples=20)
    monkeypatch.setattr(Constant, "gradient", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.step(7)
    assert engine.runs == {}


def test_this_process_is_alive_and_one_that_never_was_is_not():
    assert _engine.is_alive(os.getpid())
    assert not _engine.is_alive(2**22 - 1)


def test_a_process_on_another_machine_is_not_watched():
    assert not _engine.is_here(("another machine", 1))
    assert not _engine.is_here((_engine.platform.node(), os.getpid()))
    assert _engine.is_here((_engine.platform.node(), os.getppid()))
