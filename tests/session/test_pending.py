"""Answers that come late, out of order, or not at all."""

from collections import deque
from types import SimpleNamespace

import pytest

from napari_saliency.engine import process as engine
from napari_saliency.session.pending import JobRunner, Pending


class Elsewhere:
    """Keeps calls until the test answers them, in any order."""

    def __init__(self):
        self.calls = deque()
        self.dropped = []

    def call(self, function, *, then=None, failed=None):
        if getattr(function, "func", None) is engine.drop:
            self.dropped.append(function.args[0])
        else:
            self.calls.append((function, then, failed))

    def answer(self, value, *, which=0):
        _, then, _ = self.calls[which]
        del self.calls[which]
        then(value)

    def fail(self, error):
        self.calls.popleft()[2](error)

    def last_function(self):
        return self.calls[-1][0]


@pytest.fixture
def elsewhere():
    return Elsewhere()


@pytest.fixture
def told():
    return []


@pytest.fixture
def late():
    return []


@pytest.fixture
def pending(elsewhere, told, late):
    return Pending(
        lambda function, then, failed: elsewhere.calls.append((function, then, failed)),
        told.append,
        late.append,
    )


def parts(answers):
    return [(answer.key, answer.value, str(answer.error or "")) for answer in answers]


def test_a_question_is_waited_for_until_it_is_answered(pending, elsewhere, told):
    assert not pending.answer.waiting
    pending.ask("a", int)
    assert (pending.answer.key, pending.answer.waiting) == ("a", True)
    elsewhere.answer(1)
    assert (pending.answer.value, pending.answer.waiting) == (1, False)
    assert told == [pending.answer]


def test_an_error_is_an_answer(pending, elsewhere, told):
    pending.ask("a", int)
    elsewhere.fail(OSError("no disk"))
    assert parts(told) == [("a", None, "no disk")]
    assert not pending.answer.waiting


@pytest.mark.parametrize("second", ["b", "a"], ids=["another question", "the same question"])
def test_answers_out_of_order_never_replace_the_last_one(pending, elsewhere, told, late, second):
    pending.ask("a", int)
    pending.ask(second, int)
    elsewhere.answer(2, which=1)
    elsewhere.answer(1)
    assert parts(told) == [(second, 2, "")]
    assert parts(late) == [("a", 1, "")]
    assert pending.answer.value == 2


def test_a_late_error_is_told_apart_too(pending, elsewhere, told, late):
    pending.ask("a", int)
    pending.ask("b", int)
    elsewhere.fail(OSError("no disk"))
    assert (told, parts(late)) == ([], [("a", None, "no disk")])
    assert pending.answer.waiting


def test_what_is_forgotten_comes_late(pending, elsewhere, told, late):
    pending.ask("a", int)
    pending.forget()
    assert (pending.answer.key, pending.answer.waiting) == (None, False)
    elsewhere.answer(1)
    assert (told, parts(late)) == ([], [("a", 1, "")])


def test_an_answer_that_is_lost_with_its_engine_is_an_error_and_one_that_is_there_stays(
    pending, elsewhere, told
):
    pending.ask("a", int)
    pending.lose()
    assert pending.answer.key == "a"
    assert pending.answer.error is not None
    assert not told  # whoever knows of the loss reports it
    pending.ask("a", int)
    elsewhere.answer(1, which=1)
    pending.lose()
    assert pending.answer.value == 1


def test_a_question_may_be_answered_at_once(told):
    pending = Pending(lambda function, then, failed: then(function()), told.append)
    pending.ask("a", lambda: 1)
    assert parts(told) == [("a", 1, "")]


# Jobs


def step(done, total=3):
    return SimpleNamespace(done=done, complete=done == total)


@pytest.fixture
def runner(elsewhere, told, late):
    return JobRunner(elsewhere, "job", told.append, late.append)


def first(name):
    return name


def test_a_job_is_taken_through_its_steps_and_the_next_one_is_asked_for_before_anything_is_told(
    runner, elsewhere, told
):
    waiting = []
    runner._on_answer = lambda answer: (told.append(answer), waiting.append(len(elsewhere.calls)))
    runner.begin("a", first)
    name = elsewhere.last_function()()
    for done in (1, 2, 3):
        assert runner.job == "a"
        elsewhere.answer(step(done))
        assert waiting[-1] == (done < 3)
        if done < 3:
            assert (elsewhere.last_function().func, elsewhere.last_function().args) == (engine.step, (name,))
    assert [answer.value.done for answer in told] == [1, 2, 3]
    assert (runner.job, elsewhere.dropped) == (None, [])


def test_steps_that_are_answered_at_once_are_told_in_order(told):
    """Of each step the next one comes before it can be told, so only the last is."""
    steps = iter([step(1), step(2), step(3)])
    elsewhere = SimpleNamespace(call=lambda function, then, failed: then(next(steps)))
    runner = JobRunner(elsewhere, "job", told.append)
    runner.begin("a", first)
    assert ([answer.value.done for answer in told], runner.job) == ([3], None)


def test_jobs_have_names_of_their_own(runner, elsewhere):
    for job in ("a", "a", "b"):
        runner.begin(job, first)
    names = [function() for function, _, _ in elsewhere.calls]
    assert len(set(names)) == 3
    assert elsewhere.dropped == names[:2]  # a newer one takes the place of the one before


def test_what_a_stopped_job_still_gives_comes_late(runner, elsewhere, told, late):
    runner.begin("a", first)
    runner.stop()
    assert runner.job is None
    elsewhere.answer(step(3))
    assert (told, [(answer.key, answer.value.done) for answer in late]) == ([], [("a", 3)])
    assert not elsewhere.calls
    runner.stop()
    assert len(elsewhere.dropped) == 1  # once


@pytest.mark.parametrize(("done", "dropped"), [(1, 1), (3, 0)], ids=["in the middle", "with its last step"])
def test_a_cancelled_job_ends_after_its_present_step(runner, elsewhere, told, done, dropped):
    runner.begin("a", first)
    runner.cancelled = True
    elsewhere.answer(step(done))
    assert [answer.value.done for answer in told] == [done]
    assert (runner.job, len(elsewhere.calls), len(elsewhere.dropped)) == (None, 0, dropped)
    runner.begin("b", first)
    assert not runner.cancelled


def test_a_step_that_fails_ends_the_job(runner, elsewhere, told):
    runner.begin("a", first)
    elsewhere.fail(ValueError("no gradient"))
    assert parts(told) == [("a", None, "no gradient")]
    assert (runner.job, elsewhere.dropped) == (None, [])


def test_a_job_that_is_lost_with_its_engine_is_dropped_nowhere(runner, elsewhere):
    runner.begin("a", first)
    runner.lose()
    assert (runner.job, elsewhere.dropped) == (None, [])
