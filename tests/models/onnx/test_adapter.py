"""The ONNX adapter: every way to write a graph gives the scores of its numpy twin."""

import hashlib
import re
from unittest.mock import MagicMock

import numpy as np
import pytest

from napari_saliency import explain, load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from tests.analytic import LABELS, Convolutional, pictures, targets_of
from tests.models.onnx import networks

pytestmark = pytest.mark.framework

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FLOAT = onnx.TensorProto.FLOAT
POOLED = ("x", FLOAT, ["N", 3, "height", "width"])


@pytest.fixture
def opened(tmp_path):
    """Return a function that saves and opens a graph."""

    def opened(model, **options):
        onnx.save(model, tmp_path / "net.onnx")
        return load_model(tmp_path / "net.onnx", **options)

    return opened


def pooled(entry=POOLED, channels=3, **notes):
    """A graph for any size: a convolution, the mean of its places, two classes."""
    b = networks.Builder(onnx)
    weights = np.random.default_rng(0).normal(size=(2, channels, 3, 3)).astype(np.float32)
    x = entry[0]
    return b.model(entry, b("Flatten", b("GlobalAveragePool", b("Conv", x, weights))), **notes)


def assert_same_scores(model, twin, atol=1e-4):
    x = pictures(twin, 5)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=atol)
    assert model.scores(x).dtype == np.float32


# Ways to end -------------------------------------------------------------------------------------


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
    assert "log-probabilities stand in for logits" in " ".join(model.info.notes)
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


# What it takes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", None, 1, 2, 4])
def test_the_order_of_axes_is_found_and_any_batch_is_run(opened, twin, layout, batch):
    model = opened(networks.network(onnx, twin, layout=layout, batch=batch))
    assert model.info.input.description == "13×9 RGB"
    assert "size" not in model.info.questions
    assert_same_scores(model, twin)


def test_a_graph_that_takes_one_picture_inside_is_run_one_by_one(opened, twin):
    b = networks.Builder(onnx)
    z = b("Reshape", networks.body(b, twin, "x"), np.array([1, networks.CLASSES]))
    assert_same_scores(opened(b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), z)), twin)


def linear(sizes, names=("N", None, None, None, None)):
    """A graph that shows nothing of its axes but their sizes and names."""
    b = networks.Builder(onnx)
    weights = np.random.default_rng(0).normal(size=(int(np.prod(sizes)), 2)).astype(np.float32)
    dims = [name or size for name, size in zip(names, (1, *sizes), strict=False)]
    return b.model(("x", FLOAT, dims), b("MatMul", b("Flatten", "x"), weights)), weights


@pytest.mark.parametrize(
    ("sizes", "names", "size", "layout"),
    [
        ((3, 8, 6), ("N", None, None, None), (8, 6, 3), "NCHW"),
        ((8, 6, 3), ("N", None, None, None), (8, 6, 3), "NHWC"),
        ((1, 8, 6), ("N", None, None, None), (8, 6, 1), "NCHW"),
        ((8, 6, 4), ("N", None, None, None), (8, 6, 4), "NHWC"),
        ((3, 8, 4), ("N", "channels", None, None), (8, 4, 3), "NCHW"),
        ((3, 8, 4), ("N", None, "W", None), (3, 8, 4), "NHWC"),
        ((3, 8, 4), ("N", None, None, "Width"), (8, 4, 3), "NCHW"),
        ((3, 5, 8, 6), ("N", None, None, None, None), (5, 8, 6, 3), "NCHW"),
        ((5, 8, 6, 1), ("N", None, None, None, None), (5, 8, 6, 1), "NHWC"),
        ((3, 5, 8, 4), ("N", "Depth", None, None, None), (3, 5, 8, 4), "NHWC"),
        ((3, 5, 8, 4), ("N", None, "z", "y", "x"), (5, 8, 4, 3), "NCHW"),
    ],
)
def test_the_order_of_axes_is_read_off_sizes_and_names(opened, sizes, names, size, layout):
    graph, weights = linear(sizes, names)
    model = opened(graph, size=size[:-1], channels=size[-1])
    spec = model.info.input
    assert (*spec.shape, spec.channels) == size
    x = np.random.default_rng(1).random((3, *size), np.float32)
    flat = (x if layout == "NHWC" else np.moveaxis(x, -1, 1)).reshape(3, -1)
    np.testing.assert_allclose(model.scores(x), flat @ weights, rtol=1e-4, atol=1e-5)


def test_an_order_of_axes_that_nothing_shows_is_asked_for(opened):
    graph, weights = linear((3, 6, 4))
    guessed = opened(graph)
    assert "size" in guessed.info.questions
    assert any("Input size is a guess" in note for note in guessed.info.notes)
    for size, layout in (((6, 4), "NCHW"), ((3, 6), "NHWC")):
        model = guessed.with_settings(Settings(size=size))
        assert "size" not in model.info.questions
        assert model.info.input.shape == size
        x = np.random.default_rng(1).random((2, *size, model.info.input.channels), np.float32)
        flat = (x if layout == "NHWC" else x.transpose(0, 3, 1, 2)).reshape(2, -1)
        np.testing.assert_allclose(model.scores(x), flat @ weights, rtol=1e-4, atol=1e-5)


def test_a_convolution_shows_that_channels_come_second(opened):
    """Although three columns look like channels."""
    assert opened(pooled(("x", FLOAT, ["N", 3, 40, 3]))).info.input.description == "3×40 RGB"


def test_a_size_that_is_not_fixed_is_the_pictures_or_given(opened):
    model = opened(pooled())
    assert model.info.input.description == "any size RGB"
    assert model.info.questions == ("preprocessing", "labels")
    assert any(note.startswith("It takes images of any size") for note in model.info.notes)
    for other in (model.with_settings(Settings(size=(20, 30))), opened(pooled(), size=(20, 30))):
        assert other.info.input.description == "30×20 RGB"
        assert "size" not in other.info.questions
        assert other.scores(np.zeros((2, 20, 30, 3), np.float32)).shape == (2, 2)


def test_a_side_that_is_fixed_is_kept(opened):
    assert opened(pooled(("x", FLOAT, ["N", 3, 48, "w"]))).info.input.description == "48×48 RGB"
    assert (
        opened(pooled(("x", FLOAT, ["N", 3, 48, "w"])), size=(48, 60)).info.input.description == "60×48 RGB"
    )


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_are_those_of_the_first_convolution(opened, channels):
    model = opened(pooled(("x", FLOAT, ["N", "c", "h", "w"]), channels))
    assert model.info.input.channels == channels


def test_a_size_that_contradicts_the_graph_is_told(opened, twin):
    with pytest.raises(ModelError, match="pictures of 13×10 pixels are asked for; the model takes 13×9"):
        opened(networks.network(onnx, twin), size=(10, 13))
    with pytest.raises(ModelError, match="pictures of 1 channels are asked for; the model takes 3"):
        opened(networks.network(onnx, twin)).with_settings(Settings(channels=1))


@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE"])
def test_numbers_are_given_as_the_graph_wants_them(opened, twin, kind):
    b, code = networks.Builder(onnx), onnx.TensorProto.DataType.Value(kind)
    half = kind == "FLOAT16"  # onnxruntime has no convolutions in float64
    entry = "x" if half else b("Cast", "x", to=FLOAT)
    z = networks.body(b, twin, entry, dtype=np.float16 if half else np.float32)
    model = opened(b.model(("x", code, ["N", 3, *networks.SIZE]), b("Softmax", z)))
    assert model.info.logits
    assert_same_scores(model, twin, 3e-2 if half else 1e-4)


@pytest.mark.parametrize("kind", ["UINT8", "INT32"])
def test_a_graph_of_whole_numbers_takes_the_pixels(opened, twin, kind):
    b, code = networks.Builder(onnx), onnx.TensorProto.DataType.Value(kind)
    z = networks.body(b, twin, b("Div", b("Cast", "x", to=FLOAT), networks.f(255)))
    graph = b.model(("x", code, ["N", 3, *networks.SIZE]), z)
    model = opened(graph)
    assert model.info.input.preprocessing.name == "none"
    assert model.info.questions == ("labels",)
    x = np.random.default_rng(0).integers(0, 256, (3, *twin.shape)).astype(np.float32)
    np.testing.assert_allclose(model.scores(x + 0.3), twin.scores(x / 255), atol=1e-4)
    with pytest.raises(
        ModelError, match=r"takes whole numbers .*preprocessing 'unit' makes others: use 'none'"
    ):
        opened(graph, preprocessing="unit")


def test_values_beyond_the_type_are_cut_off(opened):
    b = networks.Builder(onnx)
    mean = b("GlobalAveragePool", b("Cast", "x", to=FLOAT))
    model = opened(b.model(("x", onnx.TensorProto.UINT8, ["N", 2, 4, 6]), b("Flatten", mean)))
    x = np.array([300, -20], np.float32) * np.ones((1, 4, 6, 1), np.float32)
    np.testing.assert_allclose(model.scores(x), [[255, 0]])


def test_pitfall_channels_last_confused_with_channels_first_or_width_and_height_swapped(opened):
    b = networks.Builder(onnx)
    kernel = np.zeros((2, 3, 3, 3), np.float32)
    kernel[0, 0] = 1
    peak = b("GlobalMaxPool", b("Conv", "x", kernel, pads=[1] * 4))
    model = opened(b.model(POOLED, b("Flatten", peak)), size=(160, 224))
    x = np.random.default_rng(0).uniform(0, 0.3, (1, 160, 224, 3)).astype(np.float32)
    x[:, 30:42, 170:182, 0] = 1
    *_, last = METHODS["occlusion"].function(
        model, x, Targets(networks.f([1, 0])), window=20, stride=10, fill="black"
    )
    y, x = np.unravel_index(last.values[0].argmax(), last.values.shape[1:])
    assert (30 <= y < 42, 170 <= x < 182) == (True, True)


# What it is called -------------------------------------------------------------------------------

NAMES = {
    "names": "{0: 'tabby cat', 1: 'Egyptian cat', 2: 'zebra', 3: 'bear'}",
    "classes": '["tabby cat", "Egyptian cat", "zebra", "bear"]',
    "class_names": "tabby cat, Egyptian cat, zebra, bear",
    "labels": "tabby cat\nEgyptian cat\nzebra\nbear\n",
    "id2label": '{"2": "zebra", "1": "Egyptian cat", "0": "tabby cat", "3": "bear"}',
}


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


# What it can do ----------------------------------------------------------------------------------


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
    with pytest.raises(ModelError, match="the layers of an ONNX file cannot be looked at: 'conv' is none"):
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


# What is refused ---------------------------------------------------------------------------------


def two_inputs(b):
    return b("Add", b("GlobalAveragePool", "x"), "y")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda b: b("Reshape", "x", np.array([0, 3, -1])),
            "output of shape .* is neither a classifier's",
        ),
        (
            lambda b: b("ArgMax", b("GlobalAveragePool", "x"), axis=1),
            "returns int64, and no score for each class",
        ),
        (
            lambda b: b("Fancy", "x", domain="com.acme"),
            "uses the operation com.acme.Fancy, which only a library",
        ),
        (lambda b: b("Fancy", "x"), "damaged, or asks for what onnxruntime cannot do .*Fancy"),
        (lambda b: b("SequenceConstruct", "x"), "returns list, and no score"),
        (
            lambda b: b(
                "Flatten", b("Add", b("GlobalAveragePool", "x"), b("RandomNormal", shape=[1, 3, 1, 1]))
            ),
            "saved in training mode",
        ),
    ],
)
def test_what_is_no_classifier_is_told(opened, make, message):
    b = networks.Builder(onnx)
    model = b.model(("x", FLOAT, ["N", 3, 8, 8]), make(b))
    if any(node.domain for node in model.graph.node):
        model.opset_import.append(onnx.helper.make_opsetid("com.acme", 1))
    with pytest.raises(ModelError, match=r"^net\.onnx could not be opened: .*" + message):
        opened(model)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("x", FLOAT, ["N", 27]), "expected an image input of 4 axes.*takes an input of n × 27"),
        (("x", FLOAT, []), "expected an image input of 4 axes.*takes a single number"),
        (
            ("x", onnx.TensorProto.STRING, ["N", 3, 8, 8]),
            "input 'x' takes string numbers; supported are float, float16",
        ),
    ],
)
def test_what_takes_no_pictures_is_told(opened, entry, message):
    b = networks.Builder(onnx)
    with pytest.raises(ModelError, match=message):
        opened(b.model(entry, b("Identity", "x")))


def test_inputs_with_a_default_do_not_count(opened, twin):
    model = networks.network(onnx, twin)
    more = onnx.helper.make_tensor_value_info(model.graph.initializer[0].name, FLOAT, None)
    model.graph.input.append(more)
    assert_same_scores(opened(model), twin)


@pytest.mark.parametrize("sizes", [["N", 4], [1, 4], [], ["M"]])
@pytest.mark.parametrize("kind", ["FLOAT", "INT64"])
def test_of_several_inputs_one_is_the_picture_and_the_others_are_zero(opened, twin, sizes, kind):
    b, code = networks.Builder(onnx), onnx.TensorProto.DataType.Value(kind)
    more = b("Cast", "more", to=FLOAT)
    more = b("ReduceSum", more, keepdims=0)
    z = b("Add", networks.body(b, twin, "x"), b("Cos", more))  # which is 1
    model = b.model(("x", FLOAT, networks.sizes()), z)
    model.graph.input.append(onnx.helper.make_tensor_value_info("more", code, sizes))
    model = opened(model)
    assert not model.info.inputs  # the other one is no picture's
    assert "The picture goes into one input; zeros go into more." in model.info.notes
    x = pictures(twin, 3)
    np.testing.assert_allclose(model.scores(x), twin.scores(x) + 1, atol=1e-4)
    with pytest.raises(ModelError, match="has no input 'y'; it has x, more"):
        model.with_settings(Settings(input="y"))


def test_of_several_outputs_one_is_asked_for(opened, twin):
    b = networks.Builder(onnx)
    z = networks.body(b, twin, "x")
    p, twice = b("Softmax", z), b("Mul", z, networks.f(2))
    model = opened(b.model(("x", FLOAT, networks.sizes()), [twice, p]))
    assert model.info.outputs == (twice, p)
    assert "output" in model.info.questions
    assert f"This is the output {twice}; there is also {p}." in model.info.notes
    x = pictures(twin, 3)
    np.testing.assert_allclose(model.scores(x), 2 * twin.scores(x), atol=1e-4)
    model = model.with_settings(Settings(output=p))
    assert model.info.outputs == (p, twice)
    assert "output" not in model.info.questions
    assert model.info.logits
    assert_same_scores(model, twin)
    with pytest.raises(ModelError, match="has no output 'q'; it has Mul"):
        model.with_settings(Settings(output="q"))


def test_functions_of_the_file_itself_are_opened(opened, twin):
    helper = onnx.helper
    b = networks.Builder(onnx)
    output = b("End", networks.body(b, twin, "x"), domain="mine")
    model = b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), output)
    nodes = [helper.make_node("Softmax", ["z"], ["p"])]
    ids = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("mine", "End", ["z"], ["p"], nodes, ids))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    model = opened(model)
    assert model.info.logits
    assert_same_scores(model, twin)


@pytest.mark.parametrize("names", [["F0"], ["F1", "F0"], [*(f"F{i}" for i in range(1, 16)), ""]])
def test_functions_that_call_each_other_without_an_end_are_told(opened, twin, names):
    """A function for each name, which calls another one of that name four times, or a plain operation."""
    helper = onnx.helper
    b = networks.Builder(onnx)
    output = b("F0", networks.body(b, twin, "x"), domain="mine")
    model = b.model(("x", FLOAT, ["N", 3, *networks.SIZE]), output)
    ids = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    for number, name in enumerate(names):
        kind, domain = (name, "mine") if name else ("Relu", "")
        nodes = [helper.make_node(kind, [f"t{i}"], [f"t{i + 1}"], domain=domain) for i in range(4)]
        model.functions.append(helper.make_function("mine", f"F{number}", ["t0"], ["t4"], nodes, ids))
    model.opset_import.append(ids[1])
    with pytest.raises(ModelError, match="its functions call each other endlessly"):
        opened(model)


@pytest.mark.timeout(60)
def test_a_picture_that_no_memory_holds_is_told(opened):
    with pytest.raises(ModelError, match="there is not enough memory for it here"):
        opened(pooled(("x", FLOAT, ["N", 3, 2**40, 16])))


def test_an_opset_from_the_future_is_told(opened, twin):
    model = networks.network(onnx, twin)
    model.opset_import[0].version = 999
    with pytest.raises(ModelError, match=r"ONNX's opset 999, and .* up to \d+: update onnx and onnxruntime"):
        opened(model)


# Files -------------------------------------------------------------------------------------------


@pytest.fixture
def apart(twin, tmp_path):
    """A file whose weights lie in another one; a function changes what it says of them."""
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "net.onnx"
    model = networks.network(onnx, twin)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)

    def change(**entries):
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = entries.get(entry.key, entry.value)
        path.write_bytes(model.SerializeToString())
        return path

    return change


def test_weights_may_lie_beside_the_file(apart, twin):
    path = apart()
    model = load_model(path)
    assert model.info.logits
    assert_same_scores(model, twin)
    weights = path.with_name("weights.bin")
    spoiled = bytearray(weights.read_bytes())
    spoiled[0] ^= 1
    weights.write_bytes(spoiled)
    assert load_model(path).info.fingerprint != model.info.fingerprint


@pytest.mark.parametrize(
    "location", ["../../x", "../x", "/etc/passwd", "sub/../../x", "", "*/_ORT_MEM_ADDR_/*", "link", "."]
)
def test_weights_from_outside_of_the_folder_are_not_read(apart, tmp_path, location):
    outside = tmp_path / "x"
    outside.write_bytes(bytes(100_000))
    (tmp_path / "model" / "sub").mkdir()
    (tmp_path / "model" / "link").symlink_to(outside)
    memory = tmp_path / "model" / "*" / "_ORT_MEM_ADDR_"
    memory.mkdir(parents=True)
    (memory / "*").write_bytes(bytes(100_000))
    path = apart(location=location)
    with pytest.raises(
        ModelError, match=r"its weights (lie outside of its folder|are in .* which is missing)"
    ):
        load_model(path)


@pytest.mark.parametrize(
    "entries", [{"offset": "1000000"}, {"length": "1000000"}, {"offset": "-8"}, {"offset": "many"}]
)
def test_weights_that_are_not_all_there_are_told(apart, entries):
    with pytest.raises(ModelError, match=r"'weights\.bin' does not hold all of its weights"):
        load_model(apart(**entries))


def test_weights_that_are_missing_are_told(apart):
    path = apart()
    path.with_name("weights.bin").unlink()
    with pytest.raises(ModelError, match=r"its weights are in 'weights\.bin', which is missing"):
        load_model(path)


@pytest.mark.timeout(120)
def test_damaged_files_give_one_sentence(opened, twin, tmp_path):
    opened(networks.network(onnx, twin, **NAMES))
    path, random = tmp_path / "net.onnx", np.random.default_rng(0)
    whole = path.read_bytes()
    spoiled = [whole[: int(share * len(whole))] for share in (0, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 0.999)]
    for count in (1, 3, 20, 100) * 10:
        flipped = np.frombuffer(whole, np.uint8).copy()
        flipped[random.integers(0, len(whole), count)] ^= random.integers(1, 256, count, np.uint8)
        spoiled.append(flipped.tobytes())
    sentences = []
    for content in [*spoiled, b"\0" * 100, b"\x89PNG\r\n", whole[::-1], random.bytes(1000)]:
        path.write_bytes(content)
        try:  # some places matter to nobody
            load_model(path)
        except ModelError as error:
            sentences.append(str(error))
    assert len(sentences) >= 15
    assert all(re.fullmatch(r"net\.onnx could not be opened: [^\n]+", sentence) for sentence in sentences)


def test_without_onnxruntime_a_sentence_names_the_extra(fresh_interpreter, tmp_path):
    code = """
import sys
sys.modules["onnxruntime"] = None
from napari_saliency import ModelError, load_model
try:
    load_model(sys.argv[1])
except ModelError as error:
    print(error)
"""
    (tmp_path / "net.onnx").touch()
    result = " ".join(fresh_interpreter(code, str(tmp_path / "net.onnx")))
    assert "pip install 'napari-saliency[onnx]'" in result


def test_a_file_of_onnx_is_opened_without_another_framework(fresh_interpreter, opened, twin, tmp_path):
    opened(networks.network(onnx, twin))
    code = """
import sys, napari_saliency as n
n.load_model(sys.argv[1])
print(*{name.partition(".")[0] for name in sys.modules})
"""
    assert not {"torch", "tensorflow", "keras"} & set(fresh_interpreter(code, str(tmp_path / "net.onnx")))
