"""Checks of a map: arguments, errors and the report."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from napari_saliency import CHECKS, ModelError, Report, check, explain
from napari_saliency.images.prepare import prepare
from napari_saliency.methods import METHODS
from tests.analytic import Anything, Convolutional, Dense, Linear, Spatial
from tests.slow import make_slow

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    return Convolutional()


@pytest.fixture(scope="module")
def explanation(model):
    return explain(model, PICTURE)


def test_one_call_runs_all_that_can_be_afforded(model, explanation):
    report = check(model, PICTURE, explanation)
    assert tuple(report.findings) == tuple(CHECKS)
    assert not report.left_out
    assert all(finding.complete and finding.verdict for finding in report.findings.values())


def test_a_report_reads_as_one_line_for_each_check(explanation):
    model = Spatial()
    report = check(model, PICTURE, explain(model, PICTURE))
    lines = str(report).splitlines()
    assert len(lines) == len(CHECKS)
    assert re.match("  Model randomisation +Skipped: spatial ", lines[-1])
    for line, finding in zip(lines, report.findings.values(), strict=False):
        assert line.endswith(finding.verdict)


def test_checks_are_chosen_by_name_and_take_options(model, explanation):
    report = check(
        model, PICTURE, explanation, ["deletion", "sparseness"], options={"deletion": {"steps": 4}}
    )
    assert list(report.findings) == ["deletion", "sparseness"]
    assert len(report.findings["deletion"].curves[0].x) == 5
    assert list(check(model, PICTURE, explanation, "sparseness").findings) == ["sparseness"]


def test_a_region_is_one_of_the_pictures_pixels(model):
    """The image has 30×40 pixels; the model's input has 9×13."""
    explanation = explain(model, PICTURE, method="occlusion")
    left, right = np.zeros((2, 30, 40), bool)
    left[:, :20], right[:, 20:] = True, True
    result = [
        check(model, PICTURE, explanation, "mass", region=mask).findings["mass"] for mask in (left, right)
    ]
    assert sum(finding.figures["mass"] for finding in result) == pytest.approx(1)
    assert sum(finding.figures["area"] for finding in result) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"shape of the image, \(30, 40\), not \(5, 40\)"):
        check(model, PICTURE, explanation, region=left[:5])


def test_findings_can_be_sent_to_another_process(model, explanation):
    finding = check(model, PICTURE, explanation, "deletion").findings["deletion"]
    again = pickle.loads(pickle.dumps(finding))
    assert again.figures == finding.figures
    np.testing.assert_array_equal(again.curves[1].spread, finding.curves[1].spread)


@pytest.mark.parametrize("target", ["tabby cat", None])
@pytest.mark.parametrize("kind", [Linear, Dense, Anything])
def test_every_kind_of_model_and_target_is_checked(kind, target):
    model = kind()
    report = check(model, PICTURE, explain(model, PICTURE, target, "occlusion"))
    assert "model_randomisation" in report.left_out
    assert {"insertion", "deletion", "sparseness"} <= set(report.findings)


def test_a_quantity_that_decreases_is_checked_as_such():
    model = Linear(activation="quantity")
    up, down = (
        check(model, PICTURE, explain(model, PICTURE, 0, score=score), "deletion").findings["deletion"]
        for score in ("increase", "decrease")
    )
    np.testing.assert_allclose(up.curves[0].y, -down.curves[0].y, rtol=1e-4)


@pytest.mark.parametrize("model_too", [False, True])
def test_what_is_no_map_or_no_model_is_told(model, explanation, model_too):
    with pytest.raises(TypeError, match="a model from load_model" if model_too else "a map from explain"):
        check("net.keras" if model_too else model, PICTURE, explanation if model_too else explanation.values)


@pytest.mark.parametrize("name", [["gradient"], "no such check"])
def test_a_check_that_does_not_exist_is_told(model, explanation, name):
    with pytest.raises(ValueError, match="is not one of completeness_gap"):
        check(model, PICTURE, explanation, [name])


def test_black_around_the_picture_is_known_at_the_door():
    model = Linear()
    model.info = replace(model.info, input=replace(model.info.input, fit="pad"))
    wide = np.random.default_rng(0).integers(0, 256, (10, 40, 3)).astype(np.uint8)  # two rows of six
    explanation, half = explain(model, wide, 0, "occlusion"), np.zeros((10, 40), bool)
    half[:, :20] = True
    result = check(model, wide, explanation, ["mass"], region=half).findings
    assert result["mass"].figures["area"] == 0.5
    assert (
        "the whole picture"
        in check(model, wide, explanation, "mass", region=half | True).findings["mass"].verdict
    )
    black = prepare(np.zeros_like(wide), model.info.input).x
    gone = check(
        model, wide, explanation, "deletion", options={"deletion": {"fill": "black", "score": "logit"}}
    ).findings["deletion"]
    assert gone.curves[0].y[-1] == pytest.approx(model.scores(black[None])[0, 0], rel=1e-5)


def test_what_is_not_asked_for_by_name_is_left_out_and_what_is_asked_for_refused():
    model = Spatial()
    with pytest.raises(ModelError, match="spatial keeps its weights to itself"):
        check(model, PICTURE, explain(model, PICTURE), "model_randomisation")


def test_what_turns_out_to_take_long_is_left_out_and_the_others_run(model, explanation, monkeypatch):
    make_slow(monkeypatch, "deletion", [1] * 90)
    report = check(model, PICTURE, explanation)
    assert list(report.left_out) == ["deletion"]
    assert report.left_out["deletion"].startswith("It would take about 90 seconds;")
    assert list(report.findings) == [name for name in CHECKS if name != "deletion"]
    assert "Skipped: It would take about 90 seconds" in str(report)


def test_what_is_asked_for_by_name_runs_whatever_it_takes(model, explanation, monkeypatch):
    make_slow(monkeypatch, "deletion", [1] * 90)
    report = check(model, PICTURE, explanation, ["deletion", "sparseness"])
    assert report.findings["deletion"].verdict == "It took long."
    assert not report.left_out


def test_wrong_names_and_options_are_told_before_anything_runs(model, explanation):
    model.calls.clear()
    with pytest.raises(ValueError, match="check 'masss' is not one of"):
        check(model, PICTURE, explanation, ["insertion", "masss"])
    with pytest.raises(ValueError, match="insertion has no option 'speed'"):
        check(model, PICTURE, explanation, "insertion", options={"insertion": {"speed": 1}})
    assert not model.calls


def test_a_map_of_another_model_or_picture_or_one_that_was_stopped_is_refused(model, explanation):
    with pytest.raises(ValueError, match=r"convolutional as it is now: explain .* again"):
        check(Convolutional(seed=5), PICTURE, explanation)
    with pytest.raises(ValueError, match="give the image that was explained"):
        check(model, PICTURE[:20], explanation)
    with pytest.raises(ValueError, match=r"not complete.*compute it again"):
        check(model, PICTURE, replace(explanation, done=1, total=2))


def test_a_report_keeps_the_order_in_which_checks_ran(model, explanation):
    report = check(model, PICTURE, explanation, ["sparseness", "completeness_gap"])
    assert isinstance(report, Report)
    assert list(report.findings) == ["sparseness", "completeness_gap"]


def test_another_picture_of_the_same_size_is_refused(model, explanation):
    with pytest.raises(ValueError, match="give the image that was explained"):
        check(model, 255 - PICTURE, explanation, "sparseness")


@pytest.mark.parametrize("method", ["activations", "activation_maximization"])
def test_what_is_no_map_of_a_class_is_not_judged_as_one(model, method):
    with pytest.raises(ValueError, match=f"{METHODS[method].title} .*choose another method"):
        check(model, PICTURE, explain(model, PICTURE, method=method), "sparseness")
