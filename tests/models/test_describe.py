"""What a model says of itself is put together in one place; no framework is needed."""

from dataclasses import replace

import pytest

from napari_saliency.models import Layer, Settings
from napari_saliency.models.describe import Facts, describe
from napari_saliency.models.settings import SettingError
from napari_saliency.models.sources import Source

FACTS = Facts(
    shape=(8, 12, 3),
    known=True,
    n_outputs=2,
    fingerprint="0",
    layers=(Layer("conv", (6, 10), 4), Layer("pool", (3, 5), 4)),
    names=frozenset({"block"}),
    thinned=frozenset({"pool"}),
)
SOURCE = Source("torch", "net")


def described(settings=Settings(), source=SOURCE, **facts):  # noqa: B008 - settings are frozen
    return describe(source, settings, replace(FACTS, **facts))


def test_what_had_to_be_guessed_is_asked_and_said():
    info = described(known=False, outputs=("a", "b"))
    assert info.questions == ("size", "preprocessing", "output", "labels")
    assert info.notes == (
        "Input size is a guess (12×8): say what the model was trained on.",
        "Preprocessing is a guess (torch): say what the model was trained with.",
    )
    assert (info.outputs, info.labels) == (("a", "b"), ("class 0", "class 1"))


def test_what_is_known_is_not_asked():
    reported = Settings(size=(8, 12), preprocessing="unit", labels=("a", "b"))
    assert described(reported, known=False).questions == ()
    assert described(sure=True, guess="tf", source=Source("application", "net")).questions == ()
    assert described(sure=True, guess="tf").input.preprocessing.name == "tf"


@pytest.mark.parametrize(
    ("shape", "size", "result"),
    [((8, 12, 3), (8, 12), (8, 12)), ((None, None, 3), (5, 6), (5, 6)), ((None, 12, 3), (5, 12), (5, 12))],
)
def test_a_free_size_is_what_is_said(shape, size, result):
    info = described(Settings(size=size, channels=3), shape=shape)
    assert info.input.shape == result


@pytest.mark.parametrize(
    ("field", "settings", "message"),
    [
        ("size", {"size": (8, 8)}, "pictures of 8×8 pixels are asked for; the model takes 12×8"),
        ("channels", {"channels": 1}, "pictures of 1 channels are asked for; the model takes 3"),
        ("layer", {"layer": "dense"}, "the model has no layer 'dense' with space; it has conv, pool"),
        ("labels", {"labels": ("a", "b", "c")}, "3 class names are given for a model with 2 classes"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(field, settings, message):
    with pytest.raises(SettingError, match=message) as raised:
        described(Settings(**settings))
    assert raised.value.field == field


def test_a_preprocessing_for_other_channels_is_named():
    with pytest.raises(SettingError, match="'caffe' is for 3 channels; the model has 1") as raised:
        described(Settings(preprocessing="caffe"), shape=(8, 12, 1))
    assert raised.value.field == "preprocessing"


@pytest.mark.parametrize(("chosen", "layer"), [(None, "conv"), ("pool", "pool"), ("block", "block")])
def test_the_layer_of_class_activation_maps_is_the_last_that_is_no_mere_thinning(chosen, layer):
    assert described(Settings(layer=chosen)).cam_layer == layer


@pytest.mark.parametrize(
    ("activation", "labels", "result"),
    [
        ("sigmoid", ("cat",), ("not cat", "cat")),
        ("sigmoid", ("dog", "cat"), ("dog", "cat")),
        ("softmax", ("cat",), ("cat",)),
    ],
)
def test_one_name_of_a_single_output_is_that_of_the_class_it_is_high_for(activation, labels, result):
    assert described(Settings(labels=labels), n_outputs=1, activation=activation).labels == result


@pytest.mark.parametrize(("work", "count"), [(0, 8), (10**9, 8), (5 * 10**9, 2), (10**12, 1)])
def test_a_call_has_fewer_pictures_the_more_there_is_to_do(work, count):
    assert described(work=work / 1000).together((20, 50)) == count


@pytest.mark.parametrize(
    ("space", "count"), [((224, 224), 8), ((448, 224), 4), ((600, 600), 1), ((4096, 4096), 1), ((32,) * 3, 8)]
)
def test_a_call_has_fewer_pictures_the_larger_they_are(space, count):
    assert described().together(space) == count


def test_what_pictures_cost_is_known_of_each_pixel():
    info = described(work=1000, memory=50, multiple=8)
    assert (info.work, info.memory, info.input.multiple) == (1000, 50, 8)
    assert info.together((1000, 1000)) == 1
