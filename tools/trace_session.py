"""Count the calls that two journeys of the viewer make, and those of them that lead from one module to another.

    python trace_session.py

The session is a real one. Its engine is the network below, run in this thread when the session waits for
nothing else, so that the counts are the same each time. "Drop" is a picture that is added to napari's layers,
until the session has its prediction; "known switch" is a click on a class whose map is known. Counted is what
the window's thread does: images are prepared in another thread, and models run in another process. Both
journeys are counted as a whole, and without what the viewer's modules do.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections import Counter, deque
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari.components import ViewerModel

from napari_saliency import models
from napari_saliency.engine import process
from napari_saliency.models import InputSpec, Layer, Model, ModelInfo
from napari_saliency.session.session import Session
from napari_saliency.viewer.controller import LayerController

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = "napari_saliency."
CLASSES = 10


class Slopes(Model):
    """The score of class k is k times the sum of the image; the gradient is k everywhere."""

    def __init__(self, source: str, *_settings: object) -> None:
        self.info = ModelInfo(
            source,
            source,
            InputSpec((8, 8), 3),
            tuple(f"class {index}" for index in range(CLASSES)),
            layers=(Layer("early", (8, 8), 4), Layer("late", (4, 4), 8)),
            cam_layer="late",
            fingerprint="slopes",
        )

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Return logits (N, CLASSES)."""
        return (x.sum((1, 2, 3))[:, None] * np.arange(CLASSES) / x[0].size).astype(np.float32)

    def gradient(self, x: np.ndarray, targets: Any, rule: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and their derivatives."""
        slopes = (targets.weights @ np.arange(CLASSES)).astype(np.float32)[:, None, None, None]
        return self.weigh(self.scores(x), targets), np.broadcast_to(slopes / x[0].size, x.shape).copy()

    def with_settings(self, _settings: object) -> Model:
        """Return the same model."""
        return self

    def tap(self, _x: object, _targets: object, layer: str) -> Any:
        """Refuse: this model has no layers that can be read."""
        raise self.no_layer(layer)


class Queue(Executor):
    """Runs its calls in this thread, when it is told to."""

    calls: ClassVar[deque[tuple[Future[Any], Callable[[], Any]]]] = deque()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep a call for later."""
        future: Future[Any] = Future()
        self.calls.append((future, lambda: function(*args, **kwargs)))
        return future

    def shutdown(self, *_args: object, **_kwargs: object) -> None:
        """Do nothing: there is no thread to end."""


class Tracer:
    """Counts calls of Python functions of the package."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.requests = self.pictures = self.checksums = self.looks = 0

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Count a call, by the module of the caller and that of the callee."""
        if event == "c_call" and getattr(_argument, "__name__", "") == "crc32":
            self.checksums += 1
        module = frame.f_globals.get("__name__", "")
        if event != "call" or not module.startswith(PACKAGE):
            return
        caller = frame.f_back.f_globals.get("__name__", "") if frame.f_back else ""
        self.calls[caller, module] += 1
        name = frame.f_code.co_name
        made = frame.f_locals.get("self")
        self.requests += name == "__init__" and type(made).__name__ == "Request"
        self.pictures += name == "set_picture"
        self.looks += name == "_look"

    def report(self, title: str, *, without_viewer: bool = False) -> None:
        """Print what was counted."""
        calls = {
            pair: count
            for pair, count in self.calls.items()
            if not (without_viewer and any(module.startswith(PACKAGE + "viewer") for module in pair))
        }
        between = {pair: n for pair, n in calls.items() if pair[0] != pair[1] and pair[0].startswith(PACKAGE)}
        print(f"{title}: {sum(calls.values())} calls, {sum(between.values())} between modules")
        if "--verbose" in sys.argv:
            for (caller, module), count in sorted(between.items(), key=lambda item: -item[1]):
                print(f"  {count:4} {caller.removeprefix(PACKAGE)} → {module.removeprefix(PACKAGE)}")


def run_elsewhere(future: Future[Any], call: Callable[[], Any]) -> None:
    """Run a call uncounted, and give its answer to whoever waits for it."""
    tracer = sys.getprofile()
    sys.setprofile(None)
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 - it goes into the future
        sys.setprofile(tracer)
        future.set_exception(error)
    else:
        sys.setprofile(tracer)
        future.set_result(result)


def settle(controller: LayerController, posted: deque[Callable[[], None]]) -> None:
    """Run what waits, until nothing does."""
    idle = 0
    while idle < 20:  # the controller reads files in a thread of its own
        idle = 0 if Queue.calls or posted else idle + 1
        while Queue.calls:
            run_elsewhere(*Queue.calls.popleft())
        while posted:
            posted.popleft()()
        time.sleep(0.005)
    del controller


def traced(journey: Callable[[], object]) -> Tracer:
    """Run a journey and count its calls."""
    tracer = Tracer()
    sys.setprofile(tracer)
    try:
        journey()
    finally:
        sys.setprofile(None)
    return tracer


def main() -> None:
    """Open a model, drop a picture, explain it, and click on a class."""
    process.FRAMEWORKS = ()
    models.open_model = Slopes  # type: ignore[assignment] # in place of a network that a framework runs
    posted: deque[Callable[[], None]] = deque()
    session = Session(Queue, posted.append, Queue)
    getattr(session, "start", lambda: None)()  # sessions of before started by themselves
    viewer = ViewerModel()
    session.failed.connect(lambda problem: sys.exit(problem.details))
    controller = LayerController(viewer, session, posted.append, lambda call: call)
    session.open_model("keras:MobileNetV2")
    settle(controller, posted)
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)

    def drop() -> None:
        viewer.add_image(image, name="dropped")
        settle(controller, posted)

    drop_trace = traced(drop)
    assert session.prediction is not None
    session.explain()
    settle(controller, posted)
    order = session.prediction.order().tolist()
    assert session.known_classes == set(order[:5])
    session.select_class(order[1])
    settle(controller, posted)
    switch_trace = traced(lambda: session.select_class(order[2]))
    assert session.explanation is not None
    assert session.explanation.target.index == order[2]
    print(f"{inspect.getfile(Session)}")
    for title, trace in (("drop", drop_trace), ("known switch", switch_trace)):
        trace.report(title)
        trace.report(f"{title}, the viewer's modules left out", without_viewer=True)
        print(
            f"  Request built {trace.requests}×, set_picture {trace.pictures}×, _look {trace.looks}×, "
            f"checksum {trace.checksums}×"
        )
    controller.close()
    session.close()


if __name__ == "__main__":
    main()
