"""The session that is made up offers what the real one does."""

from napari_saliency.session.session import Session
from tests.fakes import FakeSession, prediction


def test_the_made_up_session_is_like_the_real_one():
    real = {name for name in vars(Session) if not name.startswith("_")}
    assert real <= set(dir(FakeSession(prediction(3))))
