"""Networks whose loops do not end: a sentence, soon; those whose loops end are opened."""

import threading
import time

import numpy as np
import pytest

from napari_saliency.core.errors import ModelTimeoutError
from napari_saliency.models import load_model, timeout

SECONDS = 100  # it would take years
OPEN = """
import os
from napari_saliency.core.errors import ModelTimeoutError
from napari_saliency.models import timeout, load_model

timeout.TIMEOUT = float(sys.argv[2])
try:
    print("opened", len(load_model(path).info.labels))
except ModelTimeoutError as error:
    print("refused" if "it has a loop" in str(error) else error)
sys.stdout.flush()
os._exit(0)  # as PyTorch still computes, and would complain
"""
PYTORCH = """
import sys, torch

class Looping(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 4)

    def forward(self, x):
        y = self.head(x.mean(dim=(2, 3)))
        LOOP
            y = y * 1.0
        return y

path = sys.argv[1]
torch.jit.script(Looping()).save(path)
"""
TENSORFLOW = """
import sys
import tensorflow as tf

path, trips, size = sys.argv[1], int(sys.argv[3]), int(sys.argv[4]) or None

@tf.function(input_signature=[tf.TensorSpec((None, size, size, 3))])
def answer(x):
    y, i = tf.reduce_mean(x, (1, 2)), tf.constant(0, tf.int64)
    while i < trips:
        y, i = y * 1.0, i + 1
    return {"out": y}

tf.saved_model.save(tf.Module(), path, signatures=answer)
"""


def test_without_loops_nothing_is_awaited():
    assert timeout.with_timeout(threading.current_thread, loops=False) is threading.current_thread()


def test_what_ends_in_time_gives_its_answer_or_its_error():
    assert timeout.with_timeout(lambda: 3, loops=True) == 3
    with pytest.raises(ZeroDivisionError):
        timeout.with_timeout(lambda: 1 / 0, loops=True)


def test_what_does_not_end_is_told_and_stopped_where_it_can_be(monkeypatch):
    monkeypatch.setattr(timeout, "TIMEOUT", 0.05)
    stopped = threading.Event()
    with pytest.raises(ModelTimeoutError, match=r"it has a loop, and no answer came within"):
        timeout.with_timeout(stopped.wait, loops=True, stop=stopped.set)
    assert stopped.is_set()


def looping(onnx, trips):
    """A graph that goes through a loop so often."""
    helper, kinds = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["more"]), helper.make_node("Mul", ["v", "one"], ["next"])],
        "body",
        [value("i", kinds.INT64, []), value("c", kinds.BOOL, []), value("v", kinds.FLOAT, None)],
        [value("more", kinds.BOOL, []), value("next", kinds.FLOAT, None)],
    )
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Loop", ["trips", "true", "flat"], ["y"], body=body),
    ]
    constants = {"trips": np.array(trips), "true": np.array(True), "one": np.array(1, np.float32)}
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", kinds.FLOAT, ["n", 3, 16, 16])],
        [value("y", kinds.FLOAT, ["n", 3])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.framework
def test_an_onnx_loop_that_does_not_end_is_ended(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "net.onnx"
    onnx.save(looping(onnx, 3), path)
    assert len(load_model(path).info.labels) == 3
    onnx.save(looping(onnx, 10**15), path)
    monkeypatch.setattr(timeout, "TIMEOUT", 1.0)
    begun, started = [], time.perf_counter()

    def thread(**how):
        begun.append(threading.Thread(**how))
        return begun[-1]

    monkeypatch.setattr(timeout, "Thread", thread)
    with pytest.raises(ModelTimeoutError, match=r"net\.onnx could not be opened: it has a loop"):
        load_model(path)
    assert time.perf_counter() - started < SECONDS
    assert begun
    for each in begun:  # `with_timeout` has waited for the answer, not for the thread's last breath
        each.join(10)
        assert not each.is_alive()


# Loops of the others cannot be ended, so that each has a process of its own.


@pytest.mark.framework
@pytest.mark.parametrize(
    ("loop", "reported"),
    [
        ("while bool(y.sum() < 1e9):", ["refused"]),
        ("for _ in range(1000000000000000):", ["refused"]),
        ("for _ in range(x.size(1)):", ["opened", "4"]),
    ],
)
def test_a_torchscript_loop(tmp_path, fresh_interpreter, loop, reported):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    code, longest = PYTORCH.replace("LOOP", loop) + OPEN, 1 if reported == ["refused"] else 60
    (tmp_path / "made.py").write_text(code, "utf-8")  # TorchScript reads its source
    run = f"import runpy; runpy.run_path({str(tmp_path / 'made.py')!r}, run_name='made')"
    assert fresh_interpreter(run, str(tmp_path / "net.pt"), str(longest)) == reported


@pytest.mark.framework
@pytest.mark.parametrize(
    ("trips", "size", "reported"),
    [(10**15, 16, ["refused"]), (10**15, 0, ["refused"]), (3, 0, ["opened", "3"])],
)
def test_a_savedmodel_loop(tmp_path, fresh_interpreter, trips, size, reported):
    code, longest = TENSORFLOW + OPEN, 1 if reported == ["refused"] else 60
    (tmp_path / "made.py").write_text(code, "utf-8")  # TensorFlow reads its source
    run = f"import runpy; runpy.run_path({str(tmp_path / 'made.py')!r}, run_name='made')"
    assert fresh_interpreter(run, str(tmp_path / "net"), str(longest), str(trips), str(size)) == reported
