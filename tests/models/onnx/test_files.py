"""ONNX files: what is refused, weights beside them, and onnxruntime missing."""

import re

import numpy as np
import pytest

from napari_saliency import load_model
from napari_saliency.core.errors import ModelError
from napari_saliency.models import Settings
from tests.analytic import pictures
from tests.models.onnx import networks
from tests.models.onnx.building import FLOAT, NAMES, assert_same_scores, pooled

pytestmark = pytest.mark.framework

onnx = pytest.importorskip("onnx", reason="ONNX is not installed")

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


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
            "returns int64, not a score for each class",
        ),
        (
            lambda b: b("Fancy", "x", domain="com.acme"),
            "uses the operation com.acme.Fancy, which only a library",
        ),
        (lambda b: b("Fancy", "x"), "damaged, or asks for what onnxruntime cannot do .*Fancy"),
        (lambda b: b("SequenceConstruct", "x"), "returns list, not a score"),
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
