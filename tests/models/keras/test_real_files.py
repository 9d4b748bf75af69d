"""Files of real networks: what they say, and what they see."""

import numpy as np
import pytest

from napari_saliency.images import prepare
from napari_saliency.models import (
    load_model,
)

pytestmark = [
    pytest.mark.framework,
    # Of Keras when it saves a model with numpy 2.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
]


def prepared(model, images):
    return np.stack([prepare.prepare(image, model.info.input).x for image in images])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "mobilenet",
            {
                "Egyptian cat": 0.476,
                "tiger cat": 0.217,
                "tabby": 0.190,
                "lynx": 0.003,
                "window screen": 0.002,
            },
        ),
        ("squeezenet", {"Egyptian cat": 0.575, "tiger cat": 0.210, "tabby": 0.207}),
    ],
)
def test_imagenet_models_see_the_cat(request, chelsea, name, wanted):
    model = request.getfixturevalue(name)
    top = model.predict(prepared(model, [chelsea]))[0].top(len(wanted))
    assert {row.label: row.probability for row in top} == pytest.approx(wanted, abs=0.005)
    assert [row.label for row in top] == list(wanted)


PHOTOS = {
    "elephant.jpg": {385, 386, 101},
    "zebra.jpg": {340},
    "doberman.png": {236},
    "goldfish.jpg": {1},
    "siamese.jpg": {284},
    "swan.jpg": {99, 100},
    "bear.jpg": {294},
    "tabby.jpg": {281},
    "tabby_closeup.jpg": {281, 282, 283, 284, 285},
    "parrot.jpg": {88},
    "hot_dog.jpg": {934},
    "banana.jpg": {954},
}


@pytest.mark.data
@pytest.mark.parametrize(("name", "least"), [("mobilenet", 11), ("squeezenet", 10)])
def test_imagenet_models_know_the_photos(request, data_folder, name, least):
    model = request.getfixturevalue(name)
    images = [prepare.load_image(data_folder / "photos" / photo) for photo in PHOTOS]
    predictions = model.predict(prepared(model, images))
    known = [
        bool({row.index for row in prediction.top(5)} & classes)
        for prediction, classes in zip(predictions, PHOTOS.values(), strict=True)
    ]
    assert sum(known) >= least


@pytest.mark.data
def test_the_imagenet_files_say_what_they_can(mobilenet, squeezenet, data_folder):
    for model in (mobilenet, squeezenet):
        assert model.info.description == "224×224 RGB, 1000 classes"
        assert model.info.labels[285] == "Egyptian cat"
        assert model.info.logits
        assert model.info.activation == "softmax"
        assert not model.info.questions


@pytest.mark.data
def test_the_mnist_file_reads_digits(data_folder):
    model = load_model(data_folder / "mnist" / "mnist_cnn.h5")
    assert model.info.description == "28×28 grey, 10 classes"
    assert model.info.input.preprocessing.name == "unit"
    assert model.info.questions == ("preprocessing", "labels")
    with np.load(data_folder / "mnist" / "mnist.npz") as mnist:
        images, classes = mnist["x_test"][:200], mnist["y_test"][:200]
    predicted = model.scores(prepared(model, images)).argmax(-1)
    assert (predicted == classes).mean() >= 0.97


@pytest.mark.data
def test_the_cifar_file_scales_inside_and_is_asked_nothing_about_it(data_folder):
    with np.load(data_folder / "cifar10" / "cifar10_subset.npz", allow_pickle=False) as cifar:
        images, classes = cifar["x_test20_lossless"], cifar["y_test20"]
        names = [str(name) for name in cifar["class_names"]]
    model = load_model(data_folder / "cifar10" / "resnet20.keras", labels=names)
    assert model.info.description == "32×32 RGB, 10 classes"
    assert model.info.questions == ()
    predicted = model.scores(prepared(model, images)).argmax(-1)
    assert (predicted == np.ravel(classes)).mean() >= 0.85
