"""The engine process: it holds the models and runs the methods; the viewer starts it, feeds it, and may lose it.

The upper half runs in the viewer, the lower half in the engine process. What passes between them
are calls of the functions below through a `concurrent.futures.Executor` of one worker: `open_model`,
`predict`, `start`, `check`, `step` and `drop`. The engine holds one network, and a view of one of its layers
if that is asked.
"""

from __future__ import annotations

import atexit
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import psutil

from napari_saliency.core.errors import ModelError

if TYPE_CHECKING:
    from napari_saliency.api.explain import Question
    from napari_saliency.checks import Finding
    from napari_saliency.core.placement import Region
    from napari_saliency.core.types import Array, Prediction
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.models import Model, ModelInfo, Settings

FRAMEWORKS = ("napari_saliency.models.keras.adapter",)
"""Modules that the engine imports while nobody waits for it."""

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's would wait for those of the framework, ten times as long as they save
    "OMP_WAIT_POLICY": "PASSIVE",  # PyTorch's keep the processor while they wait, which others want: the window
    # Arrays come and go: glibc's malloc shall not hand back each one's memory, to be cleared anew for the next.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
"""Environment variables of the engine."""

ANSWER = 0.1
"""Seconds that steps are collected for one answer: each is drawn, which takes longer than a fast step."""


# In the viewer ---------------------------------------------------------------------------------


def start_engine() -> Executor:
    """Start an engine process, and return at once."""
    from loky import ProcessPoolExecutor

    _forget_log_at_exit()
    return ProcessPoolExecutor(  # type: ignore[no-any-return]
        max_workers=1,
        timeout=None,
        initializer=_initialize,
        initargs=(os.getpid(),),
        env=ENVIRONMENT,
    )


def last_words() -> str:
    """Return the end of what this process's engines have printed: a framework's message before it dies."""
    try:
        return _log_file().read_text(encoding="utf-8", errors="replace")[-2000:]
    except OSError:
        return ""


@cache
def _forget_log_at_exit() -> None:
    atexit.register(_log_file().unlink, missing_ok=True)


def _log_file(viewer: int | None = None) -> Path:
    return Path(tempfile.gettempdir()) / f"napari-saliency-{viewer or os.getpid()}.log"


def kill_engine(executor: Executor) -> None:
    """End an engine process at once, in the middle of whatever it does."""
    with suppress(OSError, RuntimeError):  # it may be dead already
        executor.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg] # loky's own argument


def is_here(process: tuple[str, int]) -> bool:
    """Return True if a process, as `warm_up` names it, is another one of this machine."""
    return process[0] == platform.node() and process[1] != os.getpid()


def is_alive(pid: int) -> bool:
    """Return True if a process of this machine runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# In the engine ---------------------------------------------------------------------------------


class StepResult(Protocol):
    """The result of a step: an explanation or a finding."""

    @property
    def complete(self) -> bool:
        """True for the last answer."""


@dataclass(eq=False)
class Engine:
    """The state of an engine process.

    Attributes
    ----------
    model : Model or None
        The open model.
    view : Model or None
        The model that is asked: the open one, or the view of one of its layers.
    opened : tuple
        Version of the open model's file and program.
    runs : dict of hashable to iterator
        Methods and checks under way, by their names.
    """

    model: Model | None = None
    view: Model | None = None
    opened: tuple[object, ...] = ()
    runs: dict[Hashable, Iterator[StepResult]] = field(default_factory=dict)

    def open_model(self, source: str, settings: Settings, viewed_layer: str = "") -> ModelInfo:
        """Open a model in place of the one before; other settings, or a layer, alone do not load it again."""
        from napari_saliency import models

        version = _version(source, settings)
        self.runs.clear()
        if self.model is None or version != self.opened:
            self.model, self.view, self.opened = None, None, ()  # two models at once may not fit into memory
            self.model = models.open_model(source, settings)
            self.opened = version
        else:
            self.model = self.model.with_settings(settings)
        if settings.size:
            self.model.try_size()
        self.view = self.model.view_layer(viewed_layer) if viewed_layer else self.model
        info, program = self.view.info, version[-1]
        return replace(info, fingerprint=f"{info.fingerprint} {program}") if program else info

    def predict(self, x: Array, region: Region | None = None) -> Prediction:
        """Return the prediction for one preprocessed image (H, W, C) or volume (Z, H, W, C), or for a region of it."""
        return self._opened_model().predict(x[None], [region])[0]

    def start(
        self, run: Hashable, x: Array, question: Question, method: str, options: Mapping[str, Any]
    ) -> Explanation:
        """Begin a method on one image and take its first step, which is answered alone so that a map shows at once."""
        from napari_saliency.api.explain import run_method

        steps = run_method(self._opened_model(), x[None], [question], method, options)
        self.runs[run] = (result for (result,) in steps)
        return cast("Explanation", self._step(run))

    def check(
        self,
        run: Hashable,
        x: Array,
        explanation: Explanation,
        name: str,
        *,
        picture: Region | None = None,
        region: Region | None = None,
        asked: bool = True,
    ) -> Finding:
        """Begin a check of one image's map and take its first steps.

        One that was not asked for by name ends with a `TooLongError` if it cannot be afforded.
        """
        from napari_saliency.api.check import run_check
        from napari_saliency.checks import affordable

        findings = run_check(self._opened_model(), x, explanation, name, {}, picture=picture, region=region)
        self.runs[run] = findings if asked else affordable(findings)
        return cast("Finding", self.step(run))

    def step(self, run: Hashable) -> StepResult:
        """Take the next step of a method or check, or as many as are fast; forget it when it is complete or fails.

        Those are fast that fit into `ANSWER` together; the first step of a method is answered by `start`. The clock
        settles how many steps are answered at once, never what they are.
        """
        end = time.monotonic() + ANSWER
        while True:
            began = time.monotonic()
            answer = self._step(run)
            now = time.monotonic()
            if answer.complete or now + (now - began) >= end:  # another one would be late
                return answer

    def _step(self, run: Hashable) -> StepResult:
        steps = self.runs.pop(run)
        answer = next(steps)
        if not answer.complete:
            self.runs[run] = steps
        return answer

    def drop(self, run: Hashable) -> None:
        """Forget a method or check that nobody waits for."""
        self.runs.pop(run, None)

    def _opened_model(self) -> Model:
        if self.view is None:
            raise ModelError("no model is open")
        return self.view


@cache
def _engine() -> Engine:
    """Return the engine of this process: an engine is a process, so there is one."""
    return Engine()


def warm_up() -> tuple[str, int]:
    """Import what a first model will need; return this machine's name and the process's id."""
    for name in FRAMEWORKS:
        import_module(name)
    return platform.node(), os.getpid()


def open_model(source: str, settings: Settings, viewed_layer: str = "") -> ModelInfo:
    """See `Engine.open_model`."""
    return _engine().open_model(source, settings, viewed_layer)


def predict(x: Array, region: Region | None = None) -> Prediction:
    """See `Engine.predict`."""
    return _engine().predict(x, region)


def start(
    run: Hashable, x: Array, question: Question, method: str, options: Mapping[str, Any]
) -> Explanation:
    """See `Engine.start`."""
    return _engine().start(run, x, question, method, options)


def check(
    run: Hashable,
    x: Array,
    explanation: Explanation,
    name: str,
    *,
    picture: Region | None = None,
    region: Region | None = None,
    asked: bool = True,
) -> Finding:
    """See `Engine.check`."""
    return _engine().check(run, x, explanation, name, picture=picture, region=region, asked=asked)


def step(run: Hashable) -> StepResult:
    """See `Engine.step`."""
    return _engine().step(run)


def drop(run: Hashable) -> None:
    """See `Engine.drop`."""
    _engine().drop(run)


def _version(source: str, settings: Settings) -> tuple[object, ...]:
    """Return a key that changes with a source's file and with the program that opening it runs, which stands last."""
    from napari_saliency.models import parse, program_version

    path, program = parse(source).path, program_version(source, custom=settings.custom)
    return (source, *((path.stat().st_mtime_ns, path.stat().st_size) if path else ()), program)


def _initialize(viewer: int) -> None:
    """Make this process one that ends with the viewer, and ends first if memory runs out.

    What it prints goes to a file: frameworks are talkative, and the console is the viewer's.
    """
    file = os.open(_log_file(viewer), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(file, stream)
    import loky.process_executor

    # loky ends a worker that has grown by 300 MB; a model is not a leak.
    loky.process_executor._USE_PSUTIL = False
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    threading.Thread(target=_end_with, args=(viewer,), daemon=True).start()


def _end_with(viewer: int) -> None:
    """End this process when the viewer is gone: nobody would tell it."""
    while os.getppid() == viewer:
        time.sleep(1)
    _log_file(viewer).unlink(missing_ok=True)
    os._exit(0)
