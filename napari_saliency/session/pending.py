"""Questions that are answered later, by a thread or by the engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from napari_saliency.engine import process as engine

if TYPE_CHECKING:
    from napari_saliency.engine.client import EngineClient

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S", bound=engine.StepResult)


class Call(Protocol):
    """Runs a function elsewhere: `BackgroundThread.call` or `EngineClient.call`."""

    def __call__(
        self,
        function: Callable[[], Any],
        *,
        then: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Run a function; exactly one of ``then`` and ``failed`` is called, unless the engine is lost."""


@dataclass(frozen=True, eq=False)
class Answer(Generic[K, V]):
    """A question and what is known of its answer.

    Attributes
    ----------
    key : hashable or None
        The question; None before the first one.
    value : object or None
        The answer; None while it is waited for.
    error : BaseException or None
        The reason why there is no value.
    waiting : bool
        True while the question has neither a value nor an error.
    """

    key: K | None = None
    value: V | None = None
    error: BaseException | None = None
    waiting: bool = False


class Pending(Generic[K, V]):
    """The answer to the last question asked. Late answers to earlier questions never replace it.

    Parameters
    ----------
    call : callable
        Runs a function elsewhere.
    answered : callable
        ``answered(answer)`` is called with the answer to the last question.
    late : callable, optional
        ``late(answer)`` is called with answers to earlier questions.

    Attributes
    ----------
    answer : Answer
        The last question, and its value or error as soon as one of them is known.
    """

    def __init__(
        self,
        call: Call,
        answered: Callable[[Answer[K, V]], object],
        late: Callable[[Answer[K, V]], object] = lambda _: None,
    ) -> None:
        self._call, self._on_answer, self._on_late_answer = call, answered, late
        self._question: object = None
        self.answer: Answer[K, V] = Answer()

    def ask(self, key: K, function: Callable[[], V]) -> None:
        """Ask a question in place of the one before."""
        question = self._question = object()  # the same key may be asked for twice
        self.answer = Answer(key, waiting=True)
        then, failed = partial(self._receive, question, key), partial(self._receive, question, key, None)
        self._call(function, then=then, failed=failed)

    def forget(self) -> None:
        """Wait for nothing, and know nothing."""
        self._question, self.answer = None, Answer()

    def lose(self) -> None:
        """Give up waiting for an engine that has ended; what was asked of it may be the reason."""
        if self.answer.waiting:
            self._question = None
            self.answer = Answer(self.answer.key, None, RuntimeError("the engine has ended"))

    def _receive(
        self, question: object, key: K, value: V | None = None, error: BaseException | None = None
    ) -> None:
        answer = Answer(key, value, error)
        if question is self._question:  # not the key: an answer to the same question, asked before, is late
            self.answer = answer
            self._on_answer(answer)
        else:
            self._on_late_answer(answer)


class JobRunner(Generic[K, S]):
    """Takes methods or checks through their steps in the engine, one job at a time.

    Parameters
    ----------
    client : EngineClient
        Runs the steps.
    kind : str
        Tells these jobs from others in the same engine.
    answered : callable
        ``answered(answer)`` is called after each step of the job under way, and with its error. By then the
        next step has been asked for, or the job is over.
    late : callable, optional
        ``late(answer)`` is called with steps of jobs that were stopped.

    Attributes
    ----------
    job : object or None
        The job under way.
    cancelled : bool
        True if the last job ends, or has ended, after its present step because nobody wants more of it.
    """

    def __init__(
        self,
        client: EngineClient,
        kind: str,
        answered: Callable[[Answer[K, S]], object],
        late: Callable[[Answer[K, S]], object] = lambda _: None,
    ) -> None:
        self._client, self._kind, self._on_answer = client, kind, answered
        self._numbers = count()
        self._name: Hashable = None  # in the engine
        self._step: Pending[K, S] = Pending(client.call, self._stepped, late)
        self.job: K | None = None
        self.cancelled = False

    def begin(self, job: K, first: Callable[[Hashable], S]) -> None:
        """Ask for the first step of a job; the others follow by themselves.

        Parameters
        ----------
        first : callable
            ``first(name)`` begins the job in the engine, under that name, and returns its first result.
        """
        self.stop()
        self.job, self.cancelled = job, False
        self._name = (self._kind, next(self._numbers))
        self._step.ask(job, partial(first, self._name))

    def stop(self) -> None:
        """Forget the job under way; the engine does, too, after its present step."""
        if self.job is not None:
            self._client.call(partial(engine.drop, self._name))
        self.lose()

    def lose(self) -> None:
        """Forget a job whose engine has ended."""
        if self.job is not None:
            self.job = None
            self._step.forget()

    def _stepped(self, answer: Answer[K, S]) -> None:
        result, job = answer.value, answer.key
        if job is None or result is None or result.complete:
            self.lose()
        elif self.cancelled:
            self.stop()
        else:  # before anything is shown: the engine need not wait for the window
            self._step.ask(job, cast("Callable[[], S]", partial(engine.step, self._name)))
            if not self._step.answer.waiting:  # it was answered at once: a later step has been told
                return
        self._on_answer(answer)
