"""What is left off because it takes too long, by a clock that is told how late it is."""

import pickle

import pytest

from napari_saliency.checks import MOST_SECONDS, Finding, TooLongError, affordable
from napari_saliency.checks.budget import TRIAL
from tests.slow import Clock, steps


def taken(clock, findings):
    """What is found until the end or until it is left off, and why."""
    result = []
    try:
        result.extend(each.done for each in affordable(findings, clock=clock))
    except TooLongError as error:
        return error.args[0], clock.now
    return result, clock.now


@pytest.mark.parametrize("seconds", [[29], [1] * 29, [0.1] * 290, [20, *[0.09] * 99]])
def test_what_ends_in_time_runs_to_its_end(seconds):
    result, _ = taken(clock := Clock(), steps(clock, seconds))
    assert result == list(range(1, len(seconds) + 1))


def test_what_would_take_long_is_left_off_after_a_trial():
    why, when = taken(clock := Clock(), steps(clock, [1] * 90))
    assert "about 90 seconds" in why
    assert str(MOST_SECONDS) in why
    assert when == 1 + TRIAL


def test_the_first_step_counts_but_is_not_the_pace():
    """It may compile: as long a pace would take 600 seconds."""
    result, when = taken(clock := Clock(), steps(clock, [6, *[0.2] * 99]))
    assert (len(result), when) == (100, pytest.approx(25.8))
    why, when = taken(clock := Clock(), steps(clock, [6, *[0.25] * 99]))
    assert why.startswith("It would take about 31 seconds")
    assert when == 6 + TRIAL


def test_large_steps_are_left_off_when_two_were_seen():
    why, when = taken(clock := Clock(), steps(clock, [12] * 8))
    assert (why.startswith("It would take about 96 seconds"), when) == (True, 24)


def test_a_first_step_that_takes_longer_than_all_may_is_the_last():
    why, when = taken(clock := Clock(), steps(clock, [31] * 10))
    assert (why.startswith("It would take about 310 seconds"), when) == (True, 31)


def test_without_progress_it_is_told_how_long_it_took():
    def stuck(clock):
        clock.now += 40
        yield Finding(0, 10)

    why, _ = taken(clock := Clock(), stuck(clock))
    assert why.startswith("It would take more than 40 seconds;")


def test_what_is_nearly_done_is_not_thrown_away():
    """Its last steps are slower than its first ones, so that it is seen late."""
    result, when = taken(clock := Clock(), steps(clock, [*[1] * 27, 2, 2, 2]))
    assert (len(result), when) == (30, 33)


@pytest.mark.parametrize("seconds", [[100], [1, 100]])
def test_what_is_done_is_kept_however_long_it_took(seconds):
    result, _ = taken(clock := Clock(), steps(clock, seconds))
    assert result[-1] == len(seconds)


def test_only_what_passes_inside_its_steps_counts():
    clock, result = Clock(), []
    for finding in affordable(steps(clock, [1] * 20), clock=clock):
        clock.now += 1000  # drawn, or waiting for the window
        result.append(finding)
    assert result[-1].complete


@pytest.mark.parametrize("leave", ["too long", "dropped"])
def test_it_is_closed_when_it_is_left_off(leave):
    """A check may hold a model with random weights."""
    clock, closed = Clock(), []
    inner = steps(clock, [1] * 90, closed)  # held: nothing but the rule closes it
    findings = affordable(inner, clock=clock)
    if leave == "dropped":
        next(findings)
        assert not closed
        findings.close()
    else:
        with pytest.raises(TooLongError):
            list(findings)
    assert closed == [True]


def test_why_crosses_to_another_process():
    again = pickle.loads(pickle.dumps(TooLongError("It would take long.")))
    assert isinstance(again, TooLongError)
    assert str(again) == "It would take long."
