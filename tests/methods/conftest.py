"""What the tests of methods share."""

from concurrent.futures import Future

import pytest

from napari_saliency.methods._shared import steps


class AtOnce:
    """An executor without threads."""

    def __init__(self, *_):
        pass

    def submit(self, call, *arguments):
        done = Future()
        done.set_result(call(*arguments))
        return done

    def shutdown(self, **_):
        pass


@pytest.fixture
def one_thread(monkeypatch):
    """Make what comes next at once, not when a thread comes round to it: so memory is the same each time."""
    monkeypatch.setattr(steps, "ThreadPoolExecutor", AtOnce)
