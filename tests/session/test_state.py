"""What is remembered, and how problems are worded."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Target
from napari_saliency.session.state import ExplanationCache, Problem, Request, short_name


def request(index=0, **changes):
    fields = {"picture": 1, "model": "m", "method": "gradient", "options": ()}
    return Request(**{**fields, **changes}, target=Target.of_class(index))


def a_map(values=100, stderr=None):
    return SimpleNamespace(values=np.zeros(values, np.float32), stderr=stderr)


def test_a_map_is_known_by_everything_that_it_answers():
    memory = ExplanationCache()
    known = a_map()
    memory.put(request(), known)
    assert memory.get(request()) is known
    for change in (
        {"picture": 2},
        {"model": "n"},
        {"method": "x"},
        {"options": (("a", 1),)},
    ):
        assert memory.get(request(**change)) is None
    assert memory.get(request(1)) is None


def test_the_least_recently_used_is_forgotten_first():
    memory = ExplanationCache(most=3 * 400)
    for index in range(3):
        memory.put(request(index), a_map())
    memory.get(request(0))
    memory.put(request(3), a_map())
    assert [request(index) in memory for index in range(4)] == [True, False, True, True]


def test_standard_errors_count_and_the_same_map_counts_once():
    memory = ExplanationCache(most=2 * 800)
    for _ in range(5):
        memory.put(request(0), a_map(stderr=np.zeros(100, np.float32)))
    memory.put(request(1), a_map(stderr=np.zeros(100, np.float32)))
    assert request(0) in memory
    memory.put(request(2), a_map())
    assert request(0) not in memory


def test_a_map_larger_than_the_memory_is_kept_until_the_next():
    memory = ExplanationCache(most=10)
    memory.put(request(0), a_map())
    assert request(0) in memory
    memory.put(request(1), a_map())
    assert request(0) not in memory


def test_alike_are_the_other_classes_of_the_same_question():
    memory = ExplanationCache()
    maps = [a_map() for _ in range(3)]
    memory.put(request(0), maps[0])
    memory.put(request(1), maps[1])
    memory.put(request(1, method="other"), maps[2])
    assert memory.alike(request(5)) == maps[:2]


def test_another_score_is_another_question():
    assert request(1).is_like(request(2))
    assert not request(1).is_like(replace(request(1), target=Target.of_class(1, "probability")))
    assert not request(1).is_like(request(1, picture=2))


@pytest.mark.parametrize(
    "error", [ModelError("it is broken."), ValueError("it is broken"), OSError("it is broken")]
)
def test_our_own_errors_speak_for_themselves(error):
    assert Problem.of("It failed", error).message == "It failed: it is broken."


def test_other_errors_are_named_in_one_line_with_the_rest_behind_it():
    problem = Problem.of("It failed", RuntimeError("one\ntwo"))
    assert problem.message == "It failed: RuntimeError: one."
    assert "two" in problem.details


def test_no_memory_is_said_even_if_the_error_says_nothing():
    assert Problem.of("It failed", MemoryError()).message == "It failed: there is not enough memory."


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/me/my.model.keras", "my.model.keras"),
        ("/home/me/folder", "folder"),
        ("bundled:photos", "bundled:photos"),
        ("keras:VGG16?weights=/tmp/w.h5", "keras:VGG16?weights=/tmp/w.h5"),
    ],
)
def test_short_names(source, name):
    assert short_name(source) == name
