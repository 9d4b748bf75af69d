"""What the panel lists of checks behind an engine that waits to be told."""

import pytest

from napari_saliency.checks import CHECKS
from napari_saliency.widgets.checks_section import START, CheckSection
from tests.session import test_checks
from tests.slow import make_slow

pytestmark = pytest.mark.viewer
desk = test_checks.desk


def test_the_panel_lists_what_was_found_of_a_map_again_when_it_is_shown_again(desk, qtbot, monkeypatch):
    make_slow(monkeypatch, "deletion", [1] * 90)
    section = CheckSection(desk.session)
    qtbot.addWidget(section)
    section.show()
    section.button.click()
    desk.settle()
    listed = {name: result.verdict.text() for name, result in section.results.items()}
    assert set(listed) == set(CHECKS)
    counted = section.hint.text()
    desk.look(1, "occlusion")
    assert not section.results
    assert not section.hint.text()
    desk.look(1, "gradient")
    assert {name: result.verdict.text() for name, result in section.results.items()} == listed
    assert (section.hint.text(), section.button.text()) == (counted, START)
    section.results["deletion"].run.click()
    desk.settle()
    assert section.results["deletion"].verdict.text() == "It took long."
    assert not section.results["deletion"].run.isVisible()
