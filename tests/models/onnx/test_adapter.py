"""The ONNX adapter: every way to write a graph gives the scores of its numpy twin."""

import hashlib
from unittest.mock import MagicMock

import numpy as np
import pytest

from napari_saliency import explain
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from tests.analytic import LABELS, Convolutional, pictures, targets_of
from tests.models.onnx import networks
from tests.models.onnx.building import FLOAT, NAMES, assert_same_scores

pytestmark = pytest.mark.framework

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("end", networks.SOFTMAXES.values(), ids=networks.SOFTMAXES)
def test_logits_are_found_however_the_softmax_is_spelled(opened, twin, end):
    model = opened(networks.network(onnx, twin, end))
    assert model.info.logits
    assert model.info.activation == "softmax"
    assert_same_scores(model, twin)


@pytest.mark.parametrize("end", networks.LINEAR.values(), ids=networks.LINEAR)
def test_logits_are_taken_as_they_are(opened, twin, end):
    model = opened(networks.network(onnx, twin, end))
    assert model.info.logits
    assert model.info.activation == "softmax"
    assert_same_scores(model, twin, 1e-5)


@pytest.mark.parametrize("end", networks.SIGMOIDS.values(), ids=networks.SIGMOIDS)
def test_logits_are_found_however_the_sigmoid_is_spelled(opened, end):
    twin = Convolutional(activation="sigmoid")
    model = opened(networks.network(onnx, twin, end))
    assert model.info.logits
    assert model.info.activation == "sigmoid"
    assert not any("Logits" in note for note in model.info.notes)
    assert_same_scores(model, twin)


@pytest.mark.parametrize("opset", [9, 11, 13, 21])
def test_logits_are_found_in_every_age_of_softmax(opened, twin, opset):
    b = networks.Builder(onnx)
    z = networks.body(b, twin, "x")
    model = b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), b("Softmax", z, axis=1), opset)
    model = opened(model)
    assert model.info.logits
    assert_same_scores(model, twin)


def test_where_logits_cannot_be_had_log_probabilities_stand_in_and_a_note_says_so(opened, twin):
    """A softmax whose scores no tensor holds: two networks' answers averaged."""
    b, other = networks.Builder(onnx), Convolutional(seed=1)
    both = [b("Softmax", networks.body(b, each, "x")) for each in (twin, other)]
    mean = b("Mul", b("Add", *both), networks.f(0.5))
    model = opened(b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), mean))
    assert not model.info.logits
    assert "log-probabilities stand in" in " ".join(model.info.notes)
    x = pictures(twin, 3)
    p = np.mean([[each.probabilities for each in net.predict(x)] for net in (twin, other)], axis=0)
    np.testing.assert_allclose(model.scores(x), np.log(p), atol=1e-4)
    np.testing.assert_allclose([each.probabilities for each in model.predict(x)], p, atol=1e-5)


@pytest.mark.parametrize("end", networks.HIDDEN.values(), ids=networks.HIDDEN)
def test_the_last_softmax_counts(opened, twin, end):
    b = networks.Builder(onnx)
    model = opened(b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), end(b, networks.body(b, twin, "x"))))
    x = pictures(twin, 2)
    p = np.array([each.probabilities for each in twin.predict(x)])
    np.testing.assert_allclose(model.scores(x), np.log(p + 0.01), atol=1e-4)


@pytest.mark.parametrize("end", [*networks.SIGMOIDS, "Gemm"])
def test_one_output_tells_two_classes_apart(opened, twin, end):
    b = networks.Builder(onnx)
    z = b("Gemm", networks.body(b, twin, "x"), networks.f([1], [0], [0], [0]))
    output = networks.SIGMOIDS[end](b, z) if end != "Gemm" else z
    model = opened(b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), output), labels=["ill"])
    assert model.info.labels == ("not ill", "ill")
    assert model.info.activation == "sigmoid"
    x = pictures(twin, 2)
    first = twin.scores(x)[:, :1]
    np.testing.assert_allclose(model.scores(x), np.hstack([-first, first]), atol=1e-4)


@pytest.mark.parametrize("key", NAMES)
def test_names_of_classes_are_read_off_the_files_notes(opened, twin, key):
    model = opened(networks.network(onnx, twin, **{key: NAMES[key]}))
    assert model.info.labels == LABELS
    assert model.info.questions == ("preprocessing",)
    assert model.with_settings(Settings(labels=tuple("abcd"))).info.labels == tuple("abcd")


@pytest.mark.parametrize("text", ["['a', 'b']", "__import__('os').abort()", "[" * 5000, "{1: ", "", "[]"])
def test_notes_that_are_no_names_of_these_classes_are_not_taken(opened, twin, text):
    model = opened(networks.network(onnx, twin, names=text))
    assert model.info.labels[0] == "class 0"
    assert "labels" in model.info.questions


def test_settings_beside_the_file_are_read(opened, twin, tmp_path):
    (tmp_path / "net.saliency.json").write_text('{"labels": ["a", "b", "c", "d"], "preprocessing": "unit"}')
    model = opened(networks.network(onnx, twin, **NAMES))
    assert model.info.labels == tuple("abcd")
    assert model.info.input.preprocessing.name == "unit"
    assert not model.info.questions


def test_settings_that_do_not_fit_name_the_file_that_says_so(opened, twin, tmp_path):
    (tmp_path / "net.saliency.json").write_text('{"labels": ["a"]}')
    with pytest.raises(ModelError, match=r"1 class names .*; net\.saliency\.json beside the model says so"):
        opened(networks.network(onnx, twin))


def test_the_fingerprint_is_the_files(opened, twin, tmp_path):
    prints = []
    for net in (twin, twin, Convolutional(seed=1)):
        prints.append(opened(networks.network(onnx, net)).info.fingerprint)
        whole = hashlib.sha256((tmp_path / "net.onnx").read_bytes()).digest()
        assert prints[-1] == hashlib.sha256(whole).hexdigest()
    assert prints[0] == prints[1] != prints[2]


def test_it_can_be_run_forward_alone_and_says_what_works(opened, twin):
    model = opened(networks.network(onnx, twin), preprocessing="none")
    assert model.info.gives == {"scores"}
    x, targets = pictures(twin), targets_of(0)
    for method in METHODS.values():
        if method.needs == "scores":
            assert explain(model, x[0], 0, method.id).complete
            continue
        with pytest.raises(ModelError, match=r"net .*: choose .*Occlusion \(occlusion\)"):
            explain(model, x[0], 0, method.id)
    for call in (lambda: model.gradient(x, targets), lambda: model.tap(x, targets, "conv")):
        with pytest.raises(ModelError, match="net is an ONNX file, which can only be run forward"):
            call()
    with pytest.raises(ModelError, match="the layers of an ONNX file cannot be looked at: 'conv'"):
        opened(networks.network(onnx, twin), layer="conv")


@pytest.mark.parametrize("score", SCORES)
def test_occlusion_is_that_of_the_twin(opened, twin, score):
    model = opened(networks.network(onnx, twin))
    x, targets = pictures(twin, 2), targets_of(0, 2, score=score)
    result, wanted = (
        list(METHODS["occlusion"].function(m, x, targets, window=4, stride=2))[-1].values
        for m in (model, twin)
    )
    np.testing.assert_allclose(result, wanted, atol=1e-4)
    assert np.abs(wanted).max() > 1e-2


def test_another_class_runs_the_graph_zero_times(opened, twin):
    model = opened(networks.network(onnx, twin))
    x, options = pictures(twin), {"window": 4, "stride": 2}
    list(METHODS["occlusion"].function(model, x, targets_of(0), **options))
    model.scores = MagicMock()
    *_, last = METHODS["occlusion"].function(model, x.copy(), targets_of(1), **options)
    *_, wanted = METHODS["occlusion"].function(twin, x, targets_of(1), **options)
    np.testing.assert_allclose(last.values, wanted.values, atol=1e-4)
    model.scores.assert_not_called()
