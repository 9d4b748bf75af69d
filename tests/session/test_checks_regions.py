"""Checks of where a map points, while the region, the map and the image change."""

import pytest

from napari_saliency.checks import CHECKS
from napari_saliency.core.placement import Drawn
from napari_saliency.engine import process as engine_process
from napari_saliency.session.checks import ELSEWHERE, NOTHING_DRAWN
from napari_saliency.session.state import SourceImage
from tests.session import test_checks
from tests.session.test_checks import IMAGE, until

desk = test_checks.desk


def left_of(column):
    """A region: the picture's first columns."""
    return Drawn(("left of", column), lambda points: points[:, 1] < column)


def test_a_region_is_looked_for_where_the_model_sees_it(desk):
    desk.checks.look_for(left_of(6))
    desk.checks.run()
    desk.settle()
    findings = desk.checks.state.findings
    assert findings["mass"].figures["area"] == pytest.approx(6 / 13)
    assert "distance" in findings["pointing_game"].figures


def area(desk):
    """Share of the picture that `mass` was looked for in."""
    return desk.checks.state.findings["mass"].figures.get("area")


UNUSABLE = "The region cannot be used: "


@pytest.mark.parametrize(
    ("drawn", "why"),
    [
        (Drawn("beside", lambda points: points[:, 1] > 1e6), UNUSABLE + "the region is empty"),
        (Drawn("nothing", lambda points: points[:, 1] > 1e6, empty=True), NOTHING_DRAWN),
        (Drawn("lost", lambda points: open("/nowhere/at/all")), UNUSABLE),  # noqa: SIM115, PTH123
    ],
    ids=["beside the picture", "empty", "cannot be read"],
)
def test_a_region_that_is_of_no_use_keeps_no_other_check_from_running(desk, drawn, why):
    desk.checks.look_for(drawn)
    desk.checks.run()
    desk.settle()
    state = desk.checks.state
    assert list(state.findings) == list(CHECKS)
    for name, result in state.findings.items():
        assert result.verdict.startswith(why) == (name in ("mass", "pointing_game"))
    assert state.findings["mass"].level == "not applicable"
    assert (state.waiting, state.left_out, desk.problems) == ((), {}, [])


def test_another_region_is_looked_at_without_being_asked(desk):
    desk.checks.look_for(left_of(6))
    desk.checks.run()
    desk.settle()
    before, order = desk.checks.state.findings, list(desk.checks.state.findings)
    desk.told.clear()
    desk.checks.look_for(left_of(3))
    assert desk.told[0].findings["mass"] is desk.told[0].findings["pointing_game"] is ELSEWHERE
    desk.settle()
    assert area(desk) == pytest.approx(3 / 13)
    after = desk.checks.state.findings
    assert list(after) == order  # rows stay where they are
    assert {name for name in after if after[name] is not before[name]} == {"mass", "pointing_game"}
    desk.checks.look_for(None)
    desk.settle()
    assert desk.checks.state.findings["mass"].verdict.startswith("No region was given")
    assert not desk.checks.state.waiting


def test_the_same_region_is_not_looked_at_twice(desk):
    desk.checks.look_for(left_of(6))
    desk.checks.run()
    desk.settle()
    known = desk.checks.state
    desk.checks.look_for(left_of(6))
    assert desk.checks.state is known


def test_what_was_not_checked_is_not_checked_for_another_region(desk):
    desk.checks.run("sparseness")
    desk.settle()
    desk.checks.look_for(left_of(6))
    desk.settle()
    assert list(desk.checks.state.findings) == ["sparseness"]


@pytest.mark.parametrize("under_way", [name for name in CHECKS if name != "model_randomisation"])
def test_a_region_that_changes_while_checks_run_is_the_one_that_counts(desk, under_way):
    desk.checks.look_for(left_of(6))
    until(desk, under_way, calls=0)
    desk.checks.look_for(left_of(3))
    assert desk.checks.state.findings.get("mass", ELSEWHERE) is ELSEWHERE
    desk.settle()
    assert area(desk) == pytest.approx(3 / 13)
    assert set(desk.checks.state.findings) == set(CHECKS)
    assert (desk.checks.state.waiting, engine_process._engine().runs) == ((), {})


@pytest.mark.parametrize("under_way", ["completeness_gap", "mass", "class_randomisation"])
def test_the_region_over_another_picture_is_not_that_of_the_map_that_is_shown(desk, under_way):
    """As on another plane of a stack: coming back, it is looked at again."""
    desk.checks.look_for(left_of(6))
    until(desk, under_way, calls=0)
    desk.session.set_picture(SourceImage(2, "2", lambda: (IMAGE, None)))
    desk.checks.look_for(left_of(3))
    desk.settle()
    state = desk.checks.state
    assert state.findings["mass"] is state.findings["pointing_game"] is ELSEWHERE
    assert state.findings["sparseness"] is not ELSEWHERE
    assert not desk.checks.possible
    desk.session.set_picture(SourceImage(1, "1", lambda: (IMAGE, None)))
    desk.checks.look_for(left_of(6))
    desk.settle()
    assert area(desk) == pytest.approx(6 / 13)


def test_what_was_forgotten_while_the_map_was_outdated_is_found_when_it_is_not_any_more(desk):
    desk.checks.look_for(left_of(6))
    desk.checks.run("mass")
    desk.settle()
    desk.session.set_method("occlusion", {})
    desk.checks.look_for(left_of(3))
    desk.settle()
    assert desk.checks.state.findings["mass"] is ELSEWHERE
    desk.session.set_method("gradient", {})
    desk.settle()
    assert area(desk) == pytest.approx(3 / 13)


def test_findings_of_maps_that_are_not_shown_go_with_the_region_too(desk):
    desk.checks.look_for(left_of(6))
    desk.checks.run()
    desk.settle()
    desk.look(1, "occlusion")
    desk.checks.look_for(left_of(3))
    desk.look(1, "gradient")
    desk.settle()
    assert area(desk) == pytest.approx(3 / 13)


def test_what_is_added_to_findings_of_before_has_the_region_of_now(desk):
    desk.checks.run()
    desk.settle()
    before = desk.checks.state.findings
    desk.look(1, "occlusion")
    desk.look(1, "gradient")
    desk.checks.look_for(left_of(6))
    desk.checks.run("mass")
    desk.settle()
    after = desk.checks.state.findings
    assert after["mass"].figures["area"] == pytest.approx(6 / 13)
    looked_for = ("mass", "pointing_game")  # the second by itself: before there was no region
    assert {name: after[name] for name in after if name not in looked_for} == {
        name: before[name] for name in before if name not in looked_for
    }
    desk.look(1, "occlusion")
    desk.look(1, "gradient")
    assert desk.checks.state.findings["mass"] is after["mass"]
