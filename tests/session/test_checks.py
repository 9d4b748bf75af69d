"""Checks behind an engine that waits to be told: one after the other, stopped, lost, forgotten."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from napari_saliency import models
from napari_saliency.checks import CHECKS
from napari_saliency.core.placement import Drawn
from napari_saliency.engine import process as engine_process
from napari_saliency.session.checks import STOPPED
from napari_saliency.session.session import Session
from napari_saliency.session.state import Phase, SourceImage
from tests.analytic import Convolutional
from tests.executors import Immediate, Manual
from tests.slow import make_slow

IMAGE = np.random.default_rng(0).integers(0, 255, (9, 13, 3), np.uint8)


def opened(source, settings):
    model = Convolutional()
    model.with_settings = lambda settings: model
    return model


class Desk:
    """An inspection with a map, and what it told of its checks."""

    def __init__(self):
        self.told, self.problems, self.engines = [], [], []
        self.session = Session(self._start, lambda answer: answer(), Immediate)
        self.session.checks_changed.connect(self.told.append)
        self.session.failed.connect(self.problems.append)
        self.session.start()
        self.session.open_model("keras:MobileNetV2")
        self.look(1)

    def _start(self):
        self.engines.append(Manual())
        return self.engines[-1]

    @property
    def engine(self):
        return self.engines[-1]

    @property
    def checks(self):
        return self.session.checks

    def settle(self):
        while self.engine.calls:
            self.engine.run_next()

    def look(self, key, method="gradient"):
        self.session.set_picture(SourceImage(key, str(key), lambda: (IMAGE, None)))
        self.session.set_method(method, {})
        self.session.explain()
        self.settle()


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(engine_process, "FRAMEWORKS", ())
    monkeypatch.setattr(engine_process, "ANSWER", 0)  # every step is an answer, however fast
    monkeypatch.setattr(models, "open_model", opened)
    engine_process._engine.cache_clear()
    desk = Desk()
    yield desk
    desk.session.close()
    engine_process._engine.cache_clear()


def test_one_call_runs_all_checks_in_order_and_each_ends_with_a_verdict(desk):
    assert desk.checks.possible
    desk.checks.run()
    assert desk.checks.state.waiting == tuple(CHECKS)
    desk.settle()
    state = desk.checks.state
    assert list(state.findings) == list(CHECKS)
    assert all(finding.verdict for finding in state.findings.values())
    assert (state.waiting, state.left_out, state.progress) == ((), {}, None)
    assert not desk.problems
    assert not engine_process._engine().runs


def test_findings_are_those_of_the_door(desk):
    from napari_saliency import check, explain

    desk.checks.run()
    desk.settle()
    model = Convolutional()
    wanted = check(model, IMAGE, explain(model, IMAGE)).findings
    for name, finding in desk.checks.state.findings.items():
        assert dict(finding.figures) == dict(wanted[name].figures), name
        assert finding.verdict == wanted[name].verdict


def test_black_around_the_picture_is_known_in_the_engine(desk, monkeypatch):
    from napari_saliency import check, explain

    def padded(source, settings):
        model = opened(source, settings)
        model.info = replace(model.info, input=replace(model.info.input, fit="pad"))
        return model

    monkeypatch.setattr(models, "open_model", padded)
    desk.session.open_model("keras:VGG16")
    wide = np.random.default_rng(1).integers(0, 255, (6, 40, 3), np.uint8)
    desk.session.set_picture(SourceImage("wide", "wide", lambda: (wide, None)))
    desk.checks.look_for(Drawn("left", lambda points: points[:, 1] < 19.5))  # beside it, too
    desk.session.explain()
    desk.settle()
    desk.checks.run()
    desk.settle()
    model, region = padded("", None), np.zeros((6, 40), bool)
    region[:, :20] = True
    wanted = check(model, wide, explain(model, wide), region=region).findings
    assert wanted["mass"].figures["area"] == pytest.approx(0.5, abs=0.05)
    for name, finding in desk.checks.state.findings.items():
        assert dict(finding.figures) == dict(wanted[name].figures), name


def test_progress_is_told_while_a_check_runs(desk):
    desk.checks.run()
    desk.settle()
    running = [checks for checks in desk.told if checks.waiting and checks.waiting[0] == "deletion"]
    progress = [checks.progress for checks in running]
    done = [each.done for each in progress]
    assert done == sorted(done)
    assert len(set(done)) > 5
    assert {each.description for each in progress} == {"Deletion"}
    assert any(checks.findings["deletion"].curves for checks in running if "deletion" in checks.findings)


def until(desk, name, calls=2):
    """Go on until a check has taken some steps."""
    desk.checks.run()
    while desk.checks.state.waiting[0] != name:
        desk.engine.run_next()
    for _ in range(calls):
        desk.engine.run_next()


def test_cancelled_it_ends_after_the_step_under_way_and_keeps_what_it_has_found(desk):
    until(desk, "deletion")
    desk.checks.cancel()
    assert desk.checks.state.progress.description == "stopping after this step"
    desk.engine.run_next()
    state = desk.checks.state
    assert state.waiting == ()
    assert state.left_out == dict.fromkeys(["deletion", "insertion", "max_sensitivity"], STOPPED)
    assert list(state.findings) == [name for name in CHECKS if name not in state.left_out]
    desk.settle()
    assert not engine_process._engine().runs


def test_what_was_left_out_can_be_run_by_itself(desk):
    until(desk, "deletion")
    desk.checks.cancel()
    desk.settle()
    desk.checks.run(name="insertion")
    desk.settle()
    state = desk.checks.state
    assert state.findings["insertion"].complete
    assert list(state.left_out) == ["deletion", "max_sensitivity"]
    assert "sparseness" in state.findings


def test_asked_again_it_runs_what_is_missing_and_what_costs_nothing(desk):
    until(desk, "deletion")
    before = desk.checks.state.findings
    desk.told.clear()
    desk.checks.run()
    assert desk.checks.state.waiting == (
        "completeness_gap",
        "sparseness",
        "mass",
        "pointing_game",
        "deletion",
        "insertion",
        "max_sensitivity",
    )
    desk.settle()
    state = desk.checks.state
    assert set(state.findings) == set(CHECKS)
    assert state.findings["model_randomisation"] is before["model_randomisation"]
    assert state.findings["mass"] is not before["mass"]
    assert all(checks.findings.keys() >= {"sparseness", "model_randomisation"} for checks in desk.told)
    assert not engine_process._engine().runs


def test_asked_again_and_cancelled_what_was_found_stays(desk):
    desk.checks.run()
    desk.settle()
    desk.checks.run()
    desk.checks.cancel()
    desk.settle()
    state = desk.checks.state
    assert (set(state.findings), state.left_out) == (set(CHECKS), {})


def test_what_turns_out_to_take_long_is_left_out_and_the_others_run(desk, monkeypatch):
    make_slow(monkeypatch, "deletion", [1] * 90)
    desk.checks.run()
    desk.settle()
    state = desk.checks.state
    assert list(state.findings) == [name for name in CHECKS if name != "deletion"]
    assert list(state.left_out) == ["deletion"]
    assert state.left_out["deletion"].startswith("It would take about 90 seconds;")
    assert any("deletion" in checks.findings for checks in desk.told)  # while it was tried
    assert (state.waiting, desk.problems, engine_process._engine().runs) == ((), [], {})


def test_what_is_asked_for_by_name_runs_whatever_it_takes(desk, monkeypatch):
    make_slow(monkeypatch, "deletion", [1] * 90)
    for _ in range(2):  # unasked it is not tried a second time
        desk.checks.run()
        desk.settle()
        assert "deletion" in desk.checks.state.left_out
    desk.checks.run(name="deletion")
    desk.settle()
    for _ in range(2):
        assert desk.checks.state.findings["deletion"].verdict == "It took long."
        assert not desk.checks.state.left_out
        desk.checks.run()  # and what was found is not thrown away
        desk.settle()


def test_what_is_asked_for_by_name_while_others_run_is_not_cut_either(desk, monkeypatch):
    make_slow(monkeypatch, "model_randomisation", [1] * 90)
    until(desk, "insertion")
    assert "model_randomisation" in desk.checks.state.left_out
    desk.checks.run(name="model_randomisation")
    desk.settle()
    assert desk.checks.state.findings["model_randomisation"].complete
    assert not desk.checks.state.left_out


def test_cancelled_in_a_trial_that_ends_nothing_else_is_begun(desk, monkeypatch):
    make_slow(monkeypatch, "deletion", [1, 40, *[1] * 90])
    until(desk, "deletion", calls=1)
    desk.checks.cancel()
    desk.settle()
    state = desk.checks.state
    assert state.left_out["deletion"].startswith("It would take about")
    assert state.left_out["max_sensitivity"] == STOPPED
    assert not state.waiting


def test_another_map_has_findings_of_its_own(desk):
    desk.checks.run()
    desk.settle()
    desk.look(1, "occlusion")
    assert (desk.checks.state.findings, desk.checks.state.left_out) == ({}, {})


def test_the_same_map_shown_again_has_what_was_found_of_it(desk, monkeypatch):
    make_slow(monkeypatch, "deletion", [1] * 90)
    desk.checks.run()
    desk.settle()
    result = desk.checks.state
    desk.look(1, "occlusion")
    desk.checks.run(name="sparseness")
    desk.settle()
    desk.look(1, "gradient")
    assert desk.checks.state is result
    assert desk.told[-1] is result
    desk.look(1, "occlusion")
    assert list(desk.checks.state.findings) == ["sparseness"]


def test_what_had_not_ended_when_another_map_was_shown_was_stopped(desk):
    until(desk, "deletion")
    assert "deletion" in desk.checks.state.findings
    desk.look(1, "occlusion")
    desk.look(1, "gradient")
    state = desk.checks.state
    assert all(finding.complete for finding in state.findings.values())
    assert state.left_out == dict.fromkeys(["deletion", "insertion", "max_sensitivity"], STOPPED)
    assert (state.waiting, state.cancelled) == ((), False)
    desk.checks.run(name="deletion")
    desk.settle()
    assert "deletion" in desk.checks.state.findings
    assert list(desk.checks.state.left_out) == ["insertion", "max_sensitivity"]


def test_findings_go_with_their_map(desk):
    desk.checks.run()
    desk.settle()
    desk.session._cache._most = 0  # but for the last one
    desk.look(1, "occlusion")
    gc.collect()
    assert not len(desk.checks._kept)
    desk.look(1, "gradient")
    assert not desk.checks.state.findings


def test_a_map_that_nobody_wants_to_see_and_that_is_shown_again_has_its_findings(desk):
    desk.checks.run()
    desk.settle()
    desk.session.dismiss()
    assert not desk.checks.state.findings
    desk.look(1)
    assert list(desk.checks.state.findings) == list(CHECKS)


def test_the_same_map_asked_for_again_keeps_what_was_found_and_what_runs(desk):
    desk.checks.run()
    for _ in range(3):
        desk.engine.run_next()
    waiting = desk.checks.state.waiting
    desk.session.live = True
    desk.session.explain()
    assert desk.checks.state.waiting == waiting
    desk.settle()
    result = desk.checks.state.findings
    desk.session.explain()
    desk.settle()
    assert list(desk.checks.state.findings) == list(result) == list(CHECKS)


def test_another_map_while_checks_run_ends_them_and_late_answers_are_dropped(desk):
    until(desk, "insertion")
    desk.look(2)
    assert desk.checks.state.findings == {}
    assert not desk.checks.state.waiting
    assert not engine_process._engine().runs
    desk.checks.run()
    desk.settle()
    assert list(desk.checks.state.findings) == list(CHECKS)


def test_a_map_that_does_not_answer_what_is_chosen_cannot_be_checked(desk):
    desk.session.set_method("occlusion", {})
    assert not desk.checks.possible
    desk.checks.run()
    assert not desk.checks.state.waiting
    desk.session.explain()
    desk.engine.run_next()  # the first of several steps
    assert not desk.session.explanation.complete
    assert not desk.checks.possible
    desk.settle()
    assert desk.checks.possible


def test_a_map_that_is_made_beside_does_not_disturb_them(desk):
    desk.checks.run()
    desk.session.set_method("occlusion", {})
    desk.session.explain()
    desk.settle()
    assert desk.session.explanation.method == "occlusion"
    assert desk.session.explanation.complete
    assert not desk.problems


def test_an_engine_that_dies_ends_them_and_they_can_be_run_again(desk):
    until(desk, "deletion")
    desk.engine.die()
    state = desk.checks.state
    assert "deletion" in state.left_out
    assert "sparseness" in state.findings
    desk.settle()
    assert desk.session.model.phase is Phase.READY
    desk.checks.run()
    desk.settle()
    assert list(desk.checks.state.findings) == list(CHECKS)


def test_stopped_by_force_what_was_found_stays_and_they_can_be_run_again(desk):
    until(desk, "deletion")
    displayed, result = desk.session.explanation, dict(desk.checks.state.findings)
    desk.checks.cancel()
    desk.session.stop_by_force()
    state = desk.checks.state
    assert desk.engines[0].killed
    assert state.left_out == dict.fromkeys(["deletion", "insertion", "max_sensitivity"], STOPPED)
    assert dict(state.findings) == {name: each for name, each in result.items() if each.complete}
    assert (state.waiting, state.cancelled, desk.checks.possible) == ((), False, False)
    desk.settle()
    assert desk.session.model.phase is Phase.READY
    assert desk.session.explanation is displayed
    assert desk.checks.possible
    desk.checks.run(name="deletion")
    desk.settle()
    assert desk.checks.state.findings["deletion"].complete
    desk.checks.run()
    desk.settle()
    assert list(desk.checks.state.findings) == list(CHECKS)
    assert not desk.problems


def test_a_model_that_is_opened_ends_them(desk):
    until(desk, "deletion")
    desk.session.open_model("keras:VGG16")
    desk.settle()
    assert not desk.checks.state.waiting
    assert not desk.problems


def test_a_check_that_fails_says_why_and_the_next_one_runs(desk, monkeypatch):
    from napari_saliency.checks import registry

    def broken(subject, **options):
        yield from ()
        raise MemoryError

    result = CHECKS["class_randomisation"]
    monkeypatch.setitem(
        registry._CHECKS, "class_randomisation", registry.Check(**{**vars(result), "function": broken})
    )
    desk.checks.run()
    desk.settle()
    state = desk.checks.state
    assert state.left_out == {"class_randomisation": "It could not be made: there is not enough memory."}
    assert state.findings["insertion"].curves
    monkeypatch.setitem(registry._CHECKS, "class_randomisation", result)
    desk.checks.run(name="class_randomisation")  # memory may suffice by now
    desk.settle()
    assert desk.checks.state.findings["class_randomisation"].complete
    assert not desk.checks.state.left_out


def test_closed_it_is_quiet(desk):
    until(desk, "deletion")
    reported = len(desk.told)
    desk.session.close()
    desk.settle()
    assert len(desk.told) == reported
