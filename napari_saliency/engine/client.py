"""Calls that come back: from a thread, and from an engine that may be lost at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from typing import Any, TypeVar

from napari_saliency.engine import process as engine

T = TypeVar("T")

Post = Callable[[Callable[[], None]], None]
"""Runs a callable in the window's thread, soon. It may be called from any thread."""

Later = Callable[[float, Callable[[], None]], None]
"""Runs a callable in the window's thread, after some seconds."""

Lost = Callable[[bool], None]
"""``lost(busy)`` is called when an engine has ended; ``busy`` is True if it was working on a call."""

Ends = tuple[Callable[[Any], None] | None, Callable[[BaseException], None] | None]
"""Callables for the answer, and for an error."""


def timer(post: Post) -> Later:
    """Return a `Later` with one thread for each call; none of them keeps Python from ending."""

    def later(seconds: float, call: Callable[[], None]) -> None:
        thread = threading.Timer(seconds, partial(post, call))
        thread.daemon = True
        thread.start()

    return later


class BackgroundThread:
    """Runs calls in a thread and brings their answers to the window's thread.

    Parameters
    ----------
    thread : Executor
        One thread.
    post : callable
        Brings answers to the window's thread.
    """

    def __init__(self, thread: Executor, post: Post) -> None:
        self._thread, self._post = thread, post

    def call(
        self, function: Callable[[], T], *, then: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> None:
        """Run a function in the thread; exactly one of ``then`` and ``failed`` is called."""

        def answered(future: Future[T]) -> None:
            error = future.exception()
            if error is None:
                then(future.result())
            else:
                failed(error)

        self._thread.submit(function).add_done_callback(lambda done: self._post(partial(answered, done)))


class EngineClient:
    """Sends calls to an engine and brings their answers to the window's thread.

    Parameters
    ----------
    start : callable
        Starts an engine: an executor of one worker.
    post : callable
        Brings answers to the window's thread.
    background : Executor
        One thread in which engines are started and calls are sent: neither is free.
    """

    def __init__(self, start: Callable[[], Executor], post: Post, background: Executor) -> None:
        self._start_engine, self._post, self._background = start, post, background
        self._lost: Lost = lambda _: None
        self._executor: Executor | None = None
        self._refusal: Exception | None = None  # the reason why there is no executor
        self.alive = False
        self._generation = 0
        self._waiting = 0

    @property
    def generation(self) -> int:
        """A number that changes with every start and every end of an engine."""
        return self._generation

    def start(self, then: Callable[[], None], failed: Callable[[BaseException], None], lost: Lost) -> None:
        """Start an engine; one of the first two is called when it is ready for its first call, or cannot be.

        The third is called if it ends later without being asked to.
        """
        self._generation += 1
        self._lost = lost
        self._waiting = 0
        self.alive = True
        generation = self._generation

        def begin() -> None:
            self._executor = self._refusal = None
            try:
                self._executor = self._start_engine()
            except Exception as error:  # noqa: BLE001 - whoever waits for the engine is told, whatever it is
                self._refusal = error

        def ready(process: tuple[str, int]) -> None:
            if engine.is_here(process):
                watcher = threading.Thread(target=self._watch, args=(process[1], generation), daemon=True)
                watcher.start()
            then()

        self._background.submit(begin)
        self.call(engine.warm_up, then=ready, failed=failed)

    def call(
        self,
        function: Callable[[], Any],
        *,
        then: Callable[[Any], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Run a function in the engine; exactly one of ``then`` and ``failed`` is called, unless it is lost."""
        if not self.alive:
            return
        self._waiting += 1
        self._background.submit(self._send, self._generation, function, (then, failed))

    def stop(self) -> None:
        """End the engine at once, in the middle of whatever it does; its calls are never answered."""
        if not self.alive:
            return
        self._generation += 1
        self.alive = False
        self._waiting = 0
        try:
            self._background.submit(self._kill)
        except RuntimeError:  # Python is ending, and takes no more work for threads
            self._kill()

    def _kill(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            engine.kill_engine(executor)

    def _send(self, generation: int, function: Callable[[], Any], ends: Ends) -> None:
        if generation != self._generation:
            return
        answered = partial(self._answered, generation, ends)
        future: Future[Any] = Future()
        try:
            if self._executor is not None:
                future = self._executor.submit(function)
            elif self._refusal is not None:
                future.set_exception(self._refusal)
            else:
                return  # it was stopped
        except OSError as error:  # no process, or no connection, can be had
            future.set_exception(error)
        except RuntimeError as error:  # a broken executor, or one that was shut down
            future.set_exception(error if isinstance(error, BrokenExecutor) else BrokenExecutor(str(error)))
        future.add_done_callback(lambda done: self._post(partial(answered, done)))

    def _answered(self, generation: int, ends: Ends, future: Future[Any]) -> None:
        if generation != self._generation:
            return
        then, failed = ends
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            self._is_lost(generation)
            return
        self._waiting -= 1
        if error is None and then is not None:
            then(future.result())
        elif error is not None and failed is not None:
            failed(error)

    def _is_lost(self, generation: int) -> None:
        if generation != self._generation:
            return
        busy = self._waiting > 0
        self.stop()
        self._lost(busy)

    def _watch(self, pid: int, generation: int) -> None:
        """Notice an engine that ends while nothing was asked of it."""
        while generation == self._generation and engine.is_alive(pid):
            time.sleep(0.3)
        self._post(partial(self._is_lost, generation))
