"""Keys in the canvas, notifications, and a model file that is dropped onto the viewer."""

from itertools import permutations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.key_bindings import KeymapHandler
from napari.utils.notifications import notification_manager
from vispy.app.canvas import KeyEvent
from vispy.util.keys import Key

from napari_saliency.session.state import Problem
from napari_saliency.viewer.napari_hooks import STEPS, Keys, notify, read_model
from napari_saliency.widgets import panel as widgets_panel
from tests.fakes import prediction
from tests.staged import StagedSession

pytestmark = pytest.mark.viewer


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 6)))
    return viewer


class Recorder:
    """In place of a session."""

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


def test_problems_become_notifications_with_details_behind_them():
    displayed = []
    notify(Problem("It did not work.", "Traceback"), displayed.append)
    record = notification_manager.records[-1]
    assert (record.message, str(record.severity)) == ("It did not work.", "warning")
    ((label, act),) = record.actions
    act(None)
    assert label == "Details"
    assert displayed[0].details == "Traceback"
    notify(Problem("Plain."), displayed.append)
    assert notification_manager.records[-1].actions == ()


def test_a_notice_may_be_briefer_and_then_has_the_sentence_behind_it():
    displayed = []
    notify(Problem("A long sentence.", brief="See Details."), displayed.append)
    record = notification_manager.records[-1]
    assert record.message == "See Details."
    record.actions[0][1](None)
    assert displayed[0].message == "A long sentence."


@pytest.mark.parametrize("name", ["net.keras", "net.pt2"])
def test_a_dropped_model_opens_in_the_panel(make_napari_viewer, npe2pm, monkeypatch, tmp_path, name):
    session = StagedSession(prediction(3))
    monkeypatch.setattr(widgets_panel, "Session", lambda *_: session)
    file = tmp_path / name
    file.write_bytes(b"")
    with npe2pm.tmp_plugin(package="napari_saliency"):
        viewer = make_napari_viewer()
        assert viewer.open(file, plugin="napari-saliency") == []
        _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")  # the one that is open
        assert panel.session is session
        assert session.of("open_model")[-1][1] == str(file)


def test_without_a_window_nothing_is_read():
    assert read_model("net.keras") is None
