"""Pictures, and what the tests read off the layers."""

import numpy as np

from napari_saliency.core.types import Target
from napari_saliency.session.state import Request
from napari_saliency.viewer.layer_record import is_generated

RNG = np.random.default_rng(5)
PHOTO = RNG.integers(0, 255, (60, 80, 3), np.uint8)


def at_once(call):
    return call


def settle(controller):
    """Wait for the thread that looks at files, and for its answers."""
    controller._files._reader.submit(lambda: None).result(10)
    posted = controller._post.__self__
    while posted:
        posted.pop(0)()


def maps(viewer):
    return [layer for layer in viewer.layers if is_generated(layer)]


def world(layer, *position):
    return np.array(layer.data_to_world(position))


def request(source, plane, index=0):
    return Request((source.unique_id, plane, None, 0, 0), "m", "gradient", (), Target.of_class(index))
