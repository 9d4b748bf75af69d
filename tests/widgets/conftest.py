"""A session whose engine is made up, a controller for it, and sections that are shown.

Imports stand inside the fixtures: this file is read by the tests without a window, too.
"""

import pytest


@pytest.fixture
def session():
    from tests.fakes import prediction
    from tests.staged import StagedSession

    return StagedSession(prediction(3))


@pytest.fixture
def controller(viewer, session):
    from napari_saliency.viewer.controller import LayerController

    made = LayerController(viewer, session, lambda call: None, lambda call: call)
    yield made
    made.close()


@pytest.fixture
def made(qtbot):
    """Make a section and show it."""
    kept = []  # pytest-qt holds widgets weakly

    def make(kind, *arguments, width=320, **more):
        section = kind(*arguments, **more)
        qtbot.addWidget(section)
        section.resize(width, 600)
        section.show()
        kept.append(section)
        return section

    return make


@pytest.fixture
def classes(made):
    """Make a Classes section of many classes."""
    from napari_saliency.widgets.classes_section import ClassSection
    from tests.fakes import prediction
    from tests.staged import StagedSession
    from tests.widgets.acting import look

    def make(count=1000, **more):
        session = StagedSession(prediction(count, **more))
        section = made(ClassSection, session)
        look(session)
        return section, session

    return make


@pytest.fixture
def check(made, session):
    from napari_saliency.widgets.checks_section import CheckSection

    return made(CheckSection, session)
