"""Keys through napari's own handler, which looks at all that is bound before it calls anything."""

from itertools import permutations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import KeymapHandler
from vispy.app.canvas import KeyEvent
from vispy.util.keys import Key

from napari_saliency.viewer.napari_hooks import STEPS, Keys

pytestmark = pytest.mark.viewer


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 6)))
    return viewer


class Recorder:
    """In place of an inspection."""

    def __init__(self):
        self.steps = []

    def step_class(self, by):
        self.steps.append(by)


@pytest.fixture
def session():
    return Recorder()


def press(viewer, key):
    handler = KeymapHandler()
    handler.keymap_providers = [viewer]
    handler.on_key_press(KeyEvent("key_press", key=Key(key), text=key))


def bound(viewer, key):
    return next((function for binding, function in viewer.keymap.items() if str(binding) == key), None)


def test_keys_step_and_are_given_back(viewer, session):
    earlier = []

    @viewer.bind_key("[")
    def before(viewer):
        earlier.append(viewer)

    keys = Keys(viewer, session)
    press(viewer, "]")
    press(viewer, "[")
    press(viewer, "G")  # of the others, none is in the way
    assert session.steps == [1, -1]
    keys.close()
    press(viewer, "[")
    assert earlier == [viewer]
    assert bound(viewer, "]") is None


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_keys_of_several_panels_go_with_the_newest_that_is_open(viewer, order):
    inspections = [Recorder() for _ in order]
    keys = [Keys(viewer, session) for session in inspections]
    still_open = set(order)
    for closed in order:
        keys[closed].close()
        still_open.remove(closed)
        before = [len(session.steps) for session in inspections]
        press(viewer, "]")
        stepped = [n for n, i in enumerate(inspections) if len(i.steps) > before[n]]
        assert stepped == ([max(still_open)] if still_open else [])
    assert [bound(viewer, key) for key in STEPS] == [None, None]


def test_keys_that_somebody_else_has_taken_are_left_to_him(viewer, session):
    keys = Keys(viewer, session)

    def taken(_viewer):
        """Do nothing."""

    viewer.bind_key("]", taken, overwrite=True)
    keys.close()
    assert bound(viewer, "]") is taken
    assert bound(viewer, "[") is None
