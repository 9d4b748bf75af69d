"""Takes one method at a time through its steps in the engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from napari_saliency.engine import process as engine

if TYPE_CHECKING:
    from napari_saliency.api.explain import Question
    from napari_saliency.core.types import Array
    from napari_saliency.engine.client import EngineClient
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.state import Request


@dataclass(eq=False)
class Job:
    """A method under way.

    Attributes
    ----------
    number : int
        Names it in the engine.
    request : Request
        What it answers.
    quiet : bool
        Fetched ahead: nobody has asked for it yet.
    first : float
        When the first step was done, in seconds of a monotonic clock; that step may have compiled a
        function, once, and says nothing of how long the method takes.
    cancelled : bool
        To be stopped after the step that is under way.
    """

    number: int
    request: Request
    quiet: bool
    first: float = 0.0
    cancelled: bool = False


class JobRunner:
    """Runs methods, one at a time; a newer one takes the place of the one before.

    Parameters
    ----------
    link : EngineLink
        To the engine.
    stepped : callable
        ``stepped(run, explanation)`` is called after each step that is still of interest.
    failed : callable
        ``failed(run, error)`` ends a run that cannot go on.
    completed : callable
        ``completed(request, explanation)`` is called with every map that is complete, even if
        nobody waits for it any more.
    """

    def __init__(
        self,
        link: EngineClient,
        stepped: Callable[[Job, Explanation], None],
        failed: Callable[[Job, BaseException], None],
        completed: Callable[[Request, Explanation], None],
    ) -> None:
        self._link, self._on_step, self._on_failure, self._on_completion = link, stepped, failed, completed
        self._count = 0
        self.run: Job | None = None

    def begin(self, request: Request, x: Array, question: Question, *, quiet: bool) -> None:
        """Take the first step of a method; the others follow by themselves."""
        self.stop()
        self._count += 1
        run = self.run = Job(self._count, request, quiet)
        call = partial(engine.start, run.number, x, question, request.method, dict(request.options))
        self._link.call(call, then=partial(self._stepped, run), failed=partial(self._failed, run))

    def stop(self) -> None:
        """Forget what is under way; the engine does, too, after its step."""
        if self.run is not None:
            self._link.call(partial(engine.drop, self.run.number))
            self.run = None

    def lose(self) -> None:
        """Forget what is under way in an engine that is no more."""
        self.run = None

    def _stepped(self, run: Job, explanation: Explanation) -> None:
        if explanation.complete:
            self._on_completion(run.request, explanation)
        if run is not self.run:
            return
        run.first = run.first or time.monotonic()
        if explanation.complete:
            self.run = None
        elif run.cancelled:
            self.stop()
        else:  # before anything is shown: the engine need not wait for the window
            call = partial(engine.step, run.number)
            self._link.call(call, then=partial(self._stepped, run), failed=partial(self._failed, run))
        self._on_step(run, explanation)

    def _failed(self, run: Job, error: BaseException) -> None:
        if run is self.run:
            self.run = None
            self._on_failure(run, error)
