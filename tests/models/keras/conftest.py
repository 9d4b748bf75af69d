"""Networks of Keras that several test files open."""

import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.analytic import Convolutional
from tests.models.keras import networks


@pytest.fixture(scope="module")
def network(keras, twin):
    return networks.with_weights(networks.sequential(keras), twin.arrays)


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    """A folder with the network in each format."""
    folder = tmp_path_factory.mktemp("saved")
    network.save(folder / "net.keras")
    network.save(folder / "net.h5")
    network.save(folder / "net.hdf5")
    network.save_weights(folder / "only.weights.h5")
    return folder


@pytest.fixture
def path(saved, tmp_path):
    """A copy of the network's file that a test may write beside."""
    return Path(shutil.copy(saved / "net.keras", tmp_path))


@pytest.fixture(scope="module")
def build(keras, opened, twin):
    """Return a function that builds and opens a network once, with the weights of its twin."""

    @cache
    def build(builder, *args, twin=twin, **settings):
        return opened(networks.with_weights(builder(keras, *args), twin.arrays), **settings)

    return build


@pytest.fixture(scope="module")
def saturated():
    """A twin some of whose ReLUs reach 6."""
    twin = Convolutional(ceiling=6)
    for array in (*twin.kernels, *twin.biases):
        array *= 4
    return twin
