"""What is remembered, and how problems are worded."""

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Target
from napari_saliency.models import InputSpec
from napari_saliency.session.state import ExplanationCache, Problem, Request, SourceImage, short_name
from tests.fakes import info


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


def test_alike_are_the_maps_of_one_recipe():
    memory = ExplanationCache()
    maps = [a_map() for _ in range(3)]
    memory.put(request(0), maps[0])
    memory.put(request(1), maps[1])
    memory.put(request(1, method="other"), maps[2])
    assert memory.alike(request(5).recipe) == maps[:2]
    assert memory.classes(request(5).recipe) == {0, 1}
    assert memory.classes(request(0, picture=2).recipe) == memory.classes(None) == frozenset()


def test_another_score_is_another_recipe_and_another_class_is_not():
    assert request(1).recipe == request(2).recipe
    assert request(1).recipe != replace(request(1), target=Target.of_class(1, "probability")).recipe
    assert request(1).recipe != request(1, picture=2).recipe
    assert request(1).recipe.request(Target.of_class(2)) == request(2)


def test_a_request_that_is_copied_to_another_process_is_equal_and_hashed_anew():
    known = request()
    hash(known)
    copied = pickle.loads(pickle.dumps(known))
    assert copied == known
    assert hash(copied) == hash(known)
    assert "_hash" in vars(known)
    assert "_hash" not in vars(pickle.loads(pickle.dumps(known)))


# Images


SPACE = info(input=InputSpec((4, 4), 1), space=(4, 4))


def image(contains=None):
    return SourceImage("key", "image", lambda: (np.zeros((4, 4), np.uint8), None), contains)


def test_an_image_is_prepared_for_a_model_and_its_key_says_for_which():
    spec = InputSpec((8, 8), 3)
    small, twin, large = info(input=spec), info(input=spec, name="twin"), info()
    assert image().input_key(small) == image().input_key(twin) != image().input_key(large)
    assert image().input_key(SPACE) != image().input_key(info(input=SPACE.input))
    assert image().prepare(small).x.shape == (8, 8, 3)
    assert image().prepare(small).region is None


def test_a_region_is_laid_over_the_input_of_models_whose_output_has_space():
    prepared = image(lambda points: points[:, 1] < 1.5).prepare(SPACE)
    assert prepared.region.size == 8
    assert "8 pixels" in prepared.description[-1]
    assert image().prepare(SPACE).region is None
    assert image(lambda points: points[:, 1] < 1.5).prepare(info(input=SPACE.input)).region is None


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
