"""The desk of the session's tests."""

import pytest

from napari_saliency import models
from napari_saliency.engine import process as engine_process
from tests.desk import Desk, Quadratic


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(engine_process, "FRAMEWORKS", ())
    monkeypatch.setattr(engine_process, "ANSWER", 0)  # every step is an answer, however fast
    monkeypatch.setattr(models, "open_model", Quadratic)
    engine_process._engine.cache_clear()
    desk = Desk()
    yield desk
    desk.session.close()
    engine_process._engine.cache_clear()
