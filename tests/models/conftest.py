"""Networks for tests that need a framework; nothing here imports one before a test asks for it."""

import numpy as np
import pytest

from napari_saliency.models import Settings, load_model
from napari_saliency.models.sources import Source
from tests.analytic import Convolutional


@pytest.fixture(scope="session")
def keras():
    """Keras on TensorFlow, as the adapter sets it up."""
    from napari_saliency.models.keras import keras

    return keras


@pytest.fixture(scope="module")
def twin():
    """A numpy model, whose weights networks are given."""
    return Convolutional()


@pytest.fixture(autouse=True)
def seeded(request):
    """Weights of chance are the same in every run: in some networks no ReLU would be open."""
    if "keras" in request.fixturenames:
        request.getfixturevalue("keras").utils.set_random_seed(0)


@pytest.fixture(scope="session")
def opened(keras):
    """Return a function that opens a network that was built in the test."""
    from napari_saliency.models.keras.adapter import KerasModel

    def opened(network, **settings):
        return KerasModel(network, Source("keras", "net"), Settings(**settings))

    return opened


@pytest.fixture(scope="session")
def squeezenet(data_folder, keras):
    labels = data_folder / "imagenet" / "imagenet_class_index.json"
    return load_model(data_folder / "imagenet" / "squeezenet1_1.keras", preprocessing="caffe", labels=labels)


@pytest.fixture(scope="session")
def mobilenet(data_folder, keras):
    labels = data_folder / "imagenet" / "imagenet_class_index.json"
    return load_model(data_folder / "imagenet" / "mobilenet_v2.keras", preprocessing="tf", labels=labels)


@pytest.fixture(scope="session")
def chelsea():
    """A photo of a cat, 300×451."""
    from skimage.data import chelsea

    return np.asarray(chelsea())


@pytest.fixture
def canary(tmp_path):
    """A file that is there as soon as something has run."""
    return tmp_path / "canary"
