"""Explanations of several images in batches."""

from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_saliency.api.explain import explain, explain_batch
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Target
from napari_saliency.methods import METHODS
from tests.analytic import Anything, Spatial, pictures
from tests.few import few

FEW = few(steps=9)


@pytest.fixture
def model():
    return Spatial()


@pytest.mark.parametrize("name", METHODS)
def test_many_pictures_are_as_one_after_the_other(model, name):
    images, targets = pictures(model, 11), [n % 4 for n in range(11)]
    together = explain_batch(model, images, targets, name, **FEW.get(name, {}))
    for image, target, result in zip(images, targets, together, strict=True):
        alone = explain(model, image, target, name, **FEW.get(name, {}))
        np.testing.assert_allclose(result.values, alone.values, rtol=1e-4, atol=1e-5)
        assert result.score == pytest.approx(alone.score, rel=1e-5)
        assert (result.target, result.label, result.placement) == (alone.target, alone.label, alone.placement)


def test_many_pictures_run_in_batched_calls():
    model = Spatial(batch=4)
    explain_batch(model, pictures(model, 10))
    assert model.calls == [(call, size) for size in (4, 4, 2) for call in ("scores", "gradient")]


@pytest.mark.parametrize("target", [None, 2, np.int64(2), "zebra", Target.of_class(2)])
def test_one_target_is_for_all_pictures(model, target):
    result = explain_batch(model, pictures(model, 3), target)
    wanted = [None, None, None] if target is None else [2, 2, 2]
    tops = [explanation.prediction.top(1)[0].index for explanation in result]
    assert [explanation.target.index for explanation in result] == (tops if target is None else wanted)


@pytest.mark.parametrize("targets", [[0, "zebra", None], (0, 2, 1), np.array([0, 2, 1])])
def test_each_picture_may_have_its_own_target(model, targets):
    result = explain_batch(model, pictures(model, 3), targets)
    assert [explanation.target.index for explanation in result][:2] == [0, 2]


def test_pictures_of_several_sizes_come_to_the_models(model):
    images = [np.zeros((h, w, 3), np.uint8) for h, w in ((6, 8), (60, 30), (7, 7))]
    placements = [explanation.placement for explanation in explain_batch(model, images, 0)]
    assert len({placement.scale for placement in placements}) == 3


def test_no_pictures_have_no_explanations(model):
    assert explain_batch(model, []) == []


def test_targets_and_pictures_must_be_as_many(model):
    for images in (pictures(model, 3), iter(pictures(model, 3))):
        with pytest.raises(ValueError, match=r"2 targets .* 3 images: give one for each"):
            explain_batch(model, images, iter([0, 1]))
    assert model.calls == []


def test_pictures_and_targets_may_be_any_iterables():
    model = Spatial(batch=2)
    images, targets = pictures(model, 5), [0, "zebra", 1, None, 3]
    wanted = explain_batch(model, images, targets)
    for some in (iter(images), tuple(images), deque(images), dict(enumerate(images)).values()):
        result = explain_batch(model, some, iter(targets))
        assert [one.target for one in result] == [one.target for one in wanted]
        np.testing.assert_array_equal([f.values for f in result], [w.values for w in wanted])


def test_pictures_of_a_generator_are_taken_batch_by_batch():
    model = Spatial(batch=2)
    known = []

    def taken():
        for image in pictures(model, 5):
            known.append(len(model.calls))
            yield image

    assert len(explain_batch(model, taken(), 1)) == 5
    assert known == [0, 0, 2, 2, 4]


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("cat.jpg", "'cat.jpg'"),
        (Path("cat.jpg"), "'cat.jpg'"),
        (None, "None"),
        (Image.new("RGB", (8, 6)), "an object of type Image"),
        (np.zeros((6, 8)), r"an object of type ndarray of shape \(6, 8\)"),
        (np.zeros((6, 8, 3)), r"an object of type ndarray of shape \(6, 8, 3\)"),
    ],
)
def test_one_picture_is_not_taken_for_many(model, image, text):
    with pytest.raises(TypeError, match=rf"not {text}: write \[image\], or call explain"):
        explain_batch(model, image)


def test_targets_of_one_batch_share_their_score(model):
    targets = [Target.of_class(0), Target.of_class(0, "probability")]
    with pytest.raises(ValueError, match="same score, not logit, probability"):
        explain_batch(model, pictures(model, 2), targets)


def test_pictures_of_one_call_have_one_size_and_keep_their_order():
    model = Anything(batch=2)
    sizes = [(6, 8), (6, 8), (6, 8), (8, 8), (6, 8), (6, 8)]
    images = [np.full((*size, 3), 40 * n, np.uint8) for n, size in enumerate(sizes)]
    result = explain_batch(model, images, 0)
    assert [one.values.shape[:2] for one in result] == sizes
    assert [count for call, count in model.calls if call == "gradient"] == [2, 1, 1, 2]
    for one, image in zip(result, images, strict=True):
        assert one.score == pytest.approx(explain(model, image, 0).score)


def test_a_picture_that_memory_does_not_suffice_for_is_refused_before_the_model_runs():
    model = Anything()
    model.info = replace(model.info, memory=1e9)
    message = (
        r"anything needs about 1000000\.0 GB of memory for 1000×1000 pixels, and [\d.]+ GB are free: give a "
        r"smaller picture or a part of it, or open the model with size=\(\d+, \d+\)"
    )
    with pytest.raises(ModelError, match=message):
        explain(model, np.zeros((1000, 1000, 3), np.uint8))
    assert not model.calls
    model.info = replace(model.info, input=replace(model.info.input, shape=(1000, 1000)))
    with pytest.raises(ModelError, match=r"GB are free: close other programs"):
        explain(model, np.zeros((10, 10, 3), np.uint8))
