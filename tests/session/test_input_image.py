"""The picture as the model sees it: what is asked for, when, and what is not asked again by itself."""

import numpy as np
import pytest

from napari_saliency.engine.client import BackgroundThread
from napari_saliency.models import InputSpec
from napari_saliency.session.input_image import ModelInput
from napari_saliency.session.state import SourceImage
from tests.executors import Immediate
from tests.fakes import info, prediction

READING, LOOKING = "reading the picture", "looking at the picture"
MODEL = info()
SMALLER = info(input=InputSpec((32, 32), 3), name="smaller")


class SlowLink:
    """Keeps calls until the test answers them."""

    def __init__(self):
        self.calls = []

    def call(self, function, *, then, failed):
        self.calls.append((then, failed))

    def answer(self, value):
        self.calls.pop(0)[0](value)

    def fail(self, error):
        self.calls.pop(0)[1](error)


class Eyes:
    """A seen picture, its engine, and everything that it told."""

    def __init__(self):
        self.engine, self.told = SlowLink(), []
        self.seen = ModelInput(
            BackgroundThread(Immediate(), lambda answer: answer()),
            self.engine,
            lambda prepared: self.told.append(("prepared", prepared)),
            lambda predicted: self.told.append(("predicted", predicted)),
            lambda problem: self.told.append(("failed", problem.message)),
        )

    def ask(self, model=MODEL, again=False):
        self.seen.ask(model, again=again)
        return self.seen.missing(model)

    def of(self, name):
        return [value for reported, value in self.told if reported == name]


@pytest.fixture
def eyes():
    return Eyes()


def picture(key=1, read=lambda: (np.zeros((4, 4, 3), np.uint8), None)):
    return SourceImage(key, f"picture {key}", read)


def broken():
    raise OSError("the disk is gone")


def test_a_picture_is_prepared_then_predicted_each_once(eyes):
    eyes.seen.look_at(picture())
    assert eyes.seen.missing(MODEL) == READING
    assert eyes.ask() == LOOKING
    for _ in range(3):
        eyes.ask()
    assert len(eyes.engine.calls) == 1
    eyes.engine.answer(said := prediction(3))
    assert eyes.ask() == ""
    assert [name for name, _ in eyes.told] == ["prepared", "predicted"]
    assert eyes.seen.prediction is said


def test_an_answer_for_another_picture_is_dropped(eyes):
    for key in (1, 2):
        eyes.seen.look_at(picture(key))
        eyes.ask()
        eyes.ask()
    eyes.engine.answer(prediction(3, seed=1))
    assert eyes.seen.prediction is None
    eyes.engine.answer(second := prediction(3, seed=2))
    assert eyes.of("predicted") == [second]


def test_another_model_prepares_again_only_if_its_input_differs(eyes):
    eyes.seen.look_at(picture())
    for model, prepared in ((MODEL, 1), (info(name="twin", fingerprint="g"), 1), (SMALLER, 2)):
        eyes.ask(model)
        eyes.ask(model)
        assert len(eyes.of("prepared")) == prepared
        assert len(eyes.engine.calls) == 1
        eyes.engine.answer(prediction(3))


def test_what_cannot_be_read_is_read_again_when_it_is_asked_for(eyes):
    reads = iter((broken, picture().read))
    eyes.seen.look_at(picture(read=lambda: next(reads)()))
    eyes.ask()
    assert eyes.of("failed") == ["The picture cannot be used: the disk is gone."]
    assert eyes.ask() == READING  # not by itself: `reads` has one left
    assert eyes.seen.prepared is None
    assert eyes.ask(again=True) == LOOKING
    assert eyes.seen.prepared is not None


def test_what_a_model_failed_on_is_for_another_model_or_asked_again(eyes):
    eyes.seen.look_at(picture())
    eyes.ask()
    eyes.ask()
    eyes.engine.fail(ValueError("too dark"))
    eyes.ask()
    assert not eyes.engine.calls
    eyes.ask(again=True)
    eyes.engine.fail(ValueError("too dark"))
    eyes.ask(info(name="other"))
    assert len(eyes.engine.calls) == 1


def test_a_picture_that_may_have_ended_the_engine_waits_to_be_asked_for(eyes):
    eyes.seen.look_at(picture())
    eyes.ask()
    eyes.ask()
    eyes.engine.calls.clear()
    eyes.seen.lose()
    eyes.ask()
    assert not eyes.engine.calls
    eyes.ask(again=True)
    assert len(eyes.engine.calls) == 1


def test_a_prediction_that_is_there_outlives_the_engine(eyes):
    eyes.seen.look_at(picture())
    eyes.ask()
    eyes.ask()
    eyes.engine.answer(prediction(3))
    eyes.seen.lose()
    assert eyes.ask(again=True) == ""
    assert not eyes.engine.calls


def test_no_picture_leaves_nothing(eyes):
    eyes.seen.look_at(picture())
    eyes.ask()
    eyes.ask()
    eyes.seen.look_at(None)
    eyes.engine.answer(prediction(3))
    assert eyes.told[-2:] == [("prepared", None), ("predicted", None)]
    assert (eyes.seen.picture, eyes.seen.prepared, eyes.seen.prediction) == (None, None, None)
