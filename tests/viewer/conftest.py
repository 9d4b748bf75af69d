"""A session whose engine is made up, and a controller in which everything happens at once.

Imports stand inside the fixtures: this file is read by the tests without a window, too.
"""

import pytest


@pytest.fixture
def session():
    import numpy as np

    from tests.fakes import prediction
    from tests.staged import StagedSession

    return StagedSession(
        prediction(3), values=lambda index, title: np.full((4, 4, 3), index + 1.0, np.float32)
    )


@pytest.fixture
def controller(viewer, session):
    from napari_saliency.viewer.controller import LayerController
    from tests.viewer.subjects import at_once

    made = LayerController(viewer, session, [].append, at_once)
    yield made
    made.close()
