"""What is done next, of all that can be chosen and known."""

import time
from dataclasses import replace

import pytest

from napari_saliency.core.types import Target
from napari_saliency.session import next_step as steps
from napari_saliency.session.choice import Choice, Keys, ModelChoice, resolve
from napari_saliency.session.next_step import (
    COMPUTING,
    LOADING,
    LOOKING,
    PREFETCH,
    READING,
    Compute,
    Idle,
    Job,
    Known,
    OpenModel,
    Pace,
    Predict,
    Prefetch,
    Prepare,
    Show,
    next_step,
)
from napari_saliency.session.pending import Answer
from napari_saliency.session.selection import ClassSelection
from napari_saliency.session.state import ModelStatus, Phase, SourceImage
from tests.fakes import info, prediction

PICTURE = SourceImage("image", "image", lambda: None)
MODEL = ModelChoice("fake:net")
INFO = info(tuple("abcdefgh"))
READY = ModelStatus(Phase.READY, "ready", MODEL.source, INFO)
LOADING_AGAIN = replace(READY, phase=Phase.LOADING)
SAID = prediction(8)
ORDER = SAID.order().tolist()
PREPARED = type("Prepared", (), {"region": None})()
CHOICE = Choice(PICTURE, MODEL, open=True)
WANTED = replace(CHOICE, wanted=True)


def known(choice=CHOICE, status=READY, loaded=MODEL, x=PREPARED, said=SAID, displayed=None, **other):
    """All of it, unless something is left out: `Answer` in place of a value."""
    keys = resolve(choice, status)
    prepared = x if isinstance(x, Answer) else Answer(keys.input, x)
    predicted = said if isinstance(said, Answer) else Answer(keys.prediction, said)
    keys = keys.answered(choice.classes, prepared, predicted)
    return Known(
        status, loaded, prepared, predicted, keys, keys.request if displayed == "it" else displayed, **other
    )


KEYS = resolve(CHOICE, READY)
REQUEST = known().keys.request
OTHER = known(replace(CHOICE, method="grad_cam")).keys.request
FAILED = ValueError("it failed")
NOT_OPEN = ModelStatus(Phase.LOADING, "loading", MODEL.source)
NOTHING_CHOSEN = Choice(open=True)


def of_class(index):
    return replace(REQUEST, target=Target.of_class(index))


@pytest.mark.parametrize(
    ("choice", "known", "step"),
    [
        # before the start, and after the end
        (replace(WANTED, open=False), known(loaded=None), Idle()),
        # a model
        (NOTHING_CHOSEN, known(NOTHING_CHOSEN, loaded=None), OpenModel(NOTHING_CHOSEN.model)),
        (CHOICE, known(loaded=None, status=NOT_OPEN), OpenModel(MODEL)),
        (CHOICE, known(loaded=ModelChoice("fake:other")), OpenModel(MODEL)),
        (CHOICE, known(loaded=replace(MODEL)), OpenModel(MODEL)),  # the same once more
        (WANTED, known(status=NOT_OPEN), Idle(LOADING)),
        (WANTED, known(status=replace(NOT_OPEN, phase=Phase.FAILED)), Idle(LOADING)),  # not again by itself
        # an image
        (replace(WANTED, picture=None), known(replace(WANTED, picture=None)), Idle(LOADING)),
        (CHOICE, known(x=Answer()), Prepare(KEYS.input)),
        (CHOICE, known(x=Answer("another", PREPARED)), Prepare(KEYS.input)),
        (CHOICE, known(x=Answer(KEYS.input, waiting=True)), Idle(READING)),
        (WANTED, known(x=Answer(KEYS.input, waiting=True)), Idle(READING)),
        (CHOICE, known(x=Answer(KEYS.input, error=FAILED)), Idle(READING)),
        (WANTED, known(x=Answer(KEYS.input, error=FAILED)), Prepare(KEYS.input)),
        (CHOICE, known(status=LOADING_AGAIN, x=Answer()), Idle(LOADING)),
        # a prediction
        (CHOICE, known(said=Answer()), Predict(KEYS.prediction)),
        (CHOICE, known(said=Answer("another", SAID)), Predict(KEYS.prediction)),
        (CHOICE, known(said=Answer(KEYS.prediction, waiting=True)), Idle(LOOKING)),
        (CHOICE, known(said=Answer(KEYS.prediction, error=FAILED)), Idle(LOOKING)),
        (WANTED, known(said=Answer(KEYS.prediction, error=FAILED)), Predict(KEYS.prediction)),
        # a map
        (WANTED, known(), Compute(REQUEST)),
        (WANTED, known(displayed=OTHER), Compute(REQUEST)),
        (WANTED, known(maps={REQUEST}), Show(REQUEST)),
        (WANTED, known(maps={REQUEST}, status=LOADING_AGAIN), Show(REQUEST)),
        (WANTED, known(maps={REQUEST}, said=Answer("another", SAID)), Predict(KEYS.prediction)),
        (WANTED, known(status=LOADING_AGAIN), Idle(LOADING)),
        (WANTED, known(job=Job(REQUEST, wanted=False)), Compute(REQUEST)),  # fetched ahead until now
        (WANTED, known(job=Job(OTHER, wanted=True)), Compute(REQUEST)),
        (CHOICE, known(), Idle()),
        (CHOICE, known(maps={REQUEST}), Idle()),  # not shown without being asked for
        # other classes
        (CHOICE, known(displayed="it"), Prefetch(of_class(ORDER[0]))),
        (CHOICE, known(displayed="it", classes={ORDER[0], ORDER[2]}), Prefetch(of_class(ORDER[1]))),
        (CHOICE, known(displayed="it", classes=set(ORDER[:PREFETCH])), Idle()),
        (CHOICE, known(displayed=OTHER), Idle()),  # what is shown is outdated
        (CHOICE, known(displayed="it", job=Job(REQUEST, wanted=True)), Idle()),
        (CHOICE, known(displayed="it", status=LOADING_AGAIN), Idle(LOADING)),
        (CHOICE, known(displayed="it", pace=Pace(seconds=2 * steps.PREFETCH_SECONDS)), Idle()),
        (CHOICE, known(displayed="it", pace=Pace(fetched=PREFETCH)), Idle()),
        (replace(CHOICE, cancelled=of_class(3)), known(displayed="it"), Idle()),
        (replace(CHOICE, cancelled=OTHER), known(displayed="it"), Prefetch(of_class(ORDER[0]))),
        (
            replace(CHOICE, cancelled=of_class(3)),  # which came to its end all the same
            known(displayed="it", maps={of_class(3)}),
            Prefetch(of_class(ORDER[0])),
        ),
    ],
)
def test_the_next_step(choice, known, step):
    assert next_step(choice, known) == step


def test_each_step_says_what_a_wish_waits_for():
    assert [step.waits_for for step in (OpenModel(MODEL), Prepare(1), Predict(1), Compute(REQUEST))] == [
        LOADING,
        READING,
        LOOKING,
        COMPUTING,
    ]


# What is asked for


def test_a_request_is_known_when_image_and_prediction_are_those_that_were_chosen():
    prepared, predicted = Answer(KEYS.input, PREPARED), Answer(KEYS.prediction, SAID)
    assert KEYS.answered(ClassSelection(), prepared, predicted).request == of_class(ORDER[0])
    assert KEYS.answered(ClassSelection.one(3), prepared, predicted).request == of_class(3)
    for other in (Answer("another", PREPARED), Answer(KEYS.input), Answer(KEYS.input, error=FAILED)):
        assert KEYS.answered(ClassSelection(), other, predicted).request is None
    for other in (Answer("another", SAID), Answer(KEYS.prediction)):
        assert KEYS.answered(ClassSelection(), prepared, other).request is None


def test_nothing_is_asked_for_without_an_image_or_a_model():
    assert vars(resolve(replace(CHOICE, picture=None), READY)) == vars(Keys())
    assert vars(resolve(CHOICE, NOT_OPEN)) == vars(Keys())


def test_what_is_said_of_a_model_besides_changes_no_request():
    noted = replace(READY, info=replace(INFO, notes=("a note",), questions=("labels",)))
    assert resolve(CHOICE, noted).recipe == KEYS.recipe
    assert resolve(CHOICE, replace(READY, info=replace(INFO, fingerprint="g"))).recipe != KEYS.recipe


def test_a_score_that_a_model_does_not_have_is_its_first_one():
    quantity = replace(READY, info=info(("age",), activation="quantity"))
    choice = replace(CHOICE, score="probability")
    assert (resolve(choice, READY).recipe.score, resolve(choice, quantity).recipe.score) == (
        "probability",
        "increase",
    )


# How far maps are fetched ahead


@pytest.mark.parametrize(("seconds", "fast"), [(1, True), (2 * steps.PREFETCH_SECONDS, False)])
def test_a_slow_method_is_not_run_without_being_asked(seconds, fast):
    job = Job(REQUEST, wanted=True, first=time.monotonic() - seconds)
    assert Pace().after(job).fast == fast


def test_no_more_than_the_top_classes_are_fetched_until_the_user_asks_again():
    pace = Pace()
    for _ in range(PREFETCH):
        assert pace.fast
        pace = pace.after(Job(REQUEST, wanted=False))
    assert not pace.fast
    assert pace.again().fast


def test_nothing_is_fetched_after_a_failure_until_the_user_asks_again():
    assert not Pace().stopped().fast
    assert Pace().stopped().again().fast
