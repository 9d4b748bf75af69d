"""A real engine process with a real model: lost, stopped, and ending with its viewer."""

import os
import queue
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import pytest

from napari_saliency.checks import CHECKS
from napari_saliency.engine import process as engine
from napari_saliency.models import trust
from napari_saliency.session.model_loader import ENDED
from napari_saliency.session.session import Session
from napari_saliency.session.state import Phase, SourceImage

pytestmark = pytest.mark.framework
SECONDS = 120  # only reached if something hangs


class Desk:
    """An inspection whose answers are brought to the test's thread, as a window would."""

    def __init__(self):
        self.answers = queue.Queue()
        self.problems = []
        self.session = Session(engine.start_engine, self.answers.put)
        self.session.failed.connect(self.problems.append)
        self.session.start()

    def until(self, condition):
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"still {self.session.model}, {self.session.progress}"
            try:
                self.answers.get(timeout=0.05)()
            except queue.Empty:
                continue

    def ready(self):
        return self.session.model.phase is Phase.READY and self.session.prediction is not None


@pytest.fixture
def desk():
    desk = Desk()
    desk.session.open_model("bundled:digits")
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:16] = 255  # a one
    desk.session.set_picture(SourceImage(1, "one", lambda: (pixels, None)))
    desk.until(desk.ready)
    yield desk
    desk.session.close()


def engine_pid():
    workers = [p for p in psutil.Process().children(recursive=True) if "LokyProcess" in " ".join(p.cmdline())]
    return workers[-1].pid


def test_a_map_comes_and_the_viewer_has_no_framework_of_it(desk):
    assert desk.session.prediction.top(1)[0].index == 1
    desk.session.explain()
    desk.until(lambda: desk.session.explanation is not None)
    assert np.abs(desk.session.explanation.values).max() > 0
    desk.until(lambda: len(desk.session.known()) == 5)


def test_a_map_is_checked_and_the_model_is_what_it_was(desk):
    """Its weights are random at times, and only there."""
    desk.session.explain()
    desk.until(lambda: desk.session.explanation is not None)
    before = desk.session.prediction.logits
    desk.session.checks.run()
    desk.until(lambda: not desk.session.checks.state.waiting)
    findings = desk.session.checks.state.findings
    assert set(findings) == set(CHECKS)
    assert len(findings["model_randomisation"].curves[0].y) > 3
    assert len(findings["deletion"].curves) == 2
    again = []
    desk.session._engine.call(partial(engine.predict, desk.session.prepared.x), then=again.append)
    desk.until(lambda: again)
    np.testing.assert_array_equal(again[0].logits, before)
    assert not desk.problems


def test_killed_while_idle_it_is_noticed_and_comes_back(desk):
    os.kill(engine_pid(), signal.SIGKILL)
    desk.until(lambda: desk.problems)
    assert "engine process ended" in desk.problems[0].message
    assert desk.problems[0].brief == ENDED
    desk.until(desk.ready)
    desk.session.explain()
    desk.until(lambda: desk.session.explanation is not None)


def test_killed_in_a_run_the_request_can_be_sent_again(desk):
    desk.session.set_method("smoothgrad", {"samples": 1000})
    desk.session.explain()
    desk.until(lambda: desk.session.explanation is not None)
    os.kill(engine_pid(), signal.SIGKILL)
    desk.until(lambda: desk.problems)
    desk.until(desk.ready)
    desk.session.set_method("gradient", {})
    desk.session.explain()
    desk.until(lambda: desk.session.explanation.method == "gradient")


def test_cancel_leaves_the_engine_free(desk):
    desk.session.set_method("smoothgrad", {"samples": 1000})
    desk.session.explain()
    desk.until(lambda: desk.session.explanation is not None)
    pid = engine_pid()
    desk.session.cancel()
    desk.until(lambda: desk.session.progress is None)
    assert not desk.session.explanation.complete
    desk.session.set_method("gradient", {})
    desk.session.explain()
    desk.until(lambda: desk.session.explanation.method == "gradient")
    assert engine_pid() == pid


def test_a_step_that_does_not_end_is_stopped_by_force(desk):
    desk.session._engine.call(partial(time.sleep, 1000))
    desk.session.explain()
    pid = engine_pid()
    desk.session.stop_by_force()
    desk.until(desk.ready)
    assert not engine.is_alive(pid)
    desk.session.explain()
    desk.until(lambda: desk.session.explanation is not None)


@pytest.mark.parametrize("way", ["another model", "by force"])
def test_a_model_that_hangs_on_loading_can_be_left(desk, tmp_path, monkeypatch, way):
    hanging = "hanging_" + way.replace(" ", "_")
    ran = tmp_path / "ran"
    code = f"import time\nopen({str(ran)!r}, 'w').close()\nwhile True:\n    time.sleep(1)\n"
    (tmp_path / f"{hanging}.py").write_text(code, "utf-8")
    desk.session._engine.call(partial(exec, f"import sys; sys.path.insert(0, {str(tmp_path)!r})"))
    monkeypatch.syspath_prepend(tmp_path)
    trust(f"python:{hanging}:net")
    desk.session.open_model(f"python:{hanging}:net")
    desk.until(ran.exists)
    pid = engine_pid()
    if way == "by force":
        desk.session.stop_by_force()
        assert desk.session.model.phase is Phase.FAILED
    desk.session.open_model("bundled:digits")
    desk.until(desk.ready)
    assert not engine.is_alive(pid)
    assert not desk.problems


def test_the_engine_does_not_outlive_its_viewer():
    code = (
        "import os\n"
        "from napari_saliency.engine import process\n"
        "if __name__ == '__main__':\n"
        "    process.FRAMEWORKS = ()\n"
        "    engine = process.start_engine()\n"
        "    print(engine.submit(os.getpid).result(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    viewer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS)
    pid = int(viewer.stdout)
    end = time.monotonic() + SECONDS
    while engine.is_alive(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not engine.is_alive(pid)


def test_a_large_model_is_no_leak(desk):
    """Loky ends workers that have grown by 300 MB since their first call."""
    pid = engine_pid()
    desk.session._engine.call(partial(exec, "import builtins; builtins.weights = b'x' * 500_000_000"))
    for index in range(3):
        time.sleep(1.2)  # loky looks once a second, after a call
        desk.session.select_class(index)
        desk.until(lambda: desk.session.progress is None)
    assert engine_pid() == pid
    assert desk.problems == []
