"""The engine, and the model that is open in it: lost with the engine, and opened again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_saliency.core.errors import ModelError, ModelTimeoutError, UntrustedError
from napari_saliency.engine import process as engine_process
from napari_saliency.models import trust
from napari_saliency.session.pending import Answer, Pending
from napari_saliency.session.state import ModelStatus, Phase, Problem, short_name

if TYPE_CHECKING:
    from napari_saliency.engine.client import EngineClient, Later
    from napari_saliency.models import ModelInfo
    from napari_saliency.session.choice import ModelChoice

PATIENCE = 3.0
"""Seconds that a model which nobody waits for any more may go on loading; then it ends with its engine."""

ENDED = "The engine ended: see Details."
"""Short enough for a notice of napari."""


@dataclass(frozen=True, eq=False)
class LoadTicket:
    """One model that the engine was asked to load, until it answers."""

    model: ModelChoice


class ModelLoader:
    """Starts engines, and loads a model into the one at hand.

    An engine loads one model after the other, in the order of its tickets. A load that is under way while
    another one waits has `PATIENCE` seconds left; then the engine is ended, since it may be stuck.

    Parameters
    ----------
    client : EngineClient
        For calls to the engine.
    changed : callable
        ``changed()`` is called after every change of ``status``.
    failed : callable
        ``failed(problem)`` is called with every error.
    later : callable
        ``later(seconds, call)`` calls something in the window's thread after a while.

    Attributes
    ----------
    status : ModelStatus
        The model and its state.
    loaded : ModelChoice or None
        The model that the engine was asked for last; None if it is to be asked for in another engine.
    """

    def __init__(
        self,
        client: EngineClient,
        changed: Callable[[], None],
        failed: Callable[[Problem], None],
        later: Later,
    ) -> None:
        self._client, self._on_change, self._on_failure, self._later = client, changed, failed, later
        self._load: Pending[LoadTicket, ModelInfo] = Pending(client.call, self._answered, self._answered_late)
        self._tickets: deque[LoadTicket] = deque()  # of the engine at hand; the first one loads
        self._timed: LoadTicket | None = None  # the last one whose time runs
        self._ready = False  # the engine, for its first call
        self._model: ModelChoice | None = None  # asked for last, in whichever engine
        self._objection = ""
        self.loaded: ModelChoice | None = None
        self.status = ModelStatus(Phase.STARTING, "starting the engine")

    def open(self, model: ModelChoice) -> None:
        """Open a model in place of the one before; without a source, only start the engine."""
        before, self._model = self._model, model
        if before is None or before.source != model.source or model.on_trial:
            self._objection = ""
        same = before is not None and model.opens_the_same(before)
        info = self.status.info if same else None  # what is known of it holds while it is opened again
        self.loaded = model
        self._set(self._opening(model, info))
        self._start_engine()
        if model.source and self._client.alive:
            self._tickets.append(ticket := LoadTicket(model))
            call = partial(engine_process.open_model, model.source, model.settings, model.viewed_layer)
            self._load.ask(ticket, call)
            self._watch()

    def trust(self, model: ModelChoice) -> bool:
        """Remember the user's permission to run a model's program; return False if that fails."""
        try:
            trust(model.source, custom=model.settings.custom)
        except (OSError, ModelError) as error:
            self._fail(Problem.of("Your permission could not be saved", error))
            return False
        return True

    def stop_by_force(self) -> None:
        """End the engine in the middle of whatever it does, and open the model in another one.

        A model that was being loaded may be what hangs, so it waits until it is asked for again.
        """
        status = self.status
        if status.phase is not Phase.LOADING:
            self._restart("stopped by force")
            return
        name = short_name(status.source)
        description = f"Loading {name} was stopped. Press Explain to retry, or choose another model."
        self._end_engine()
        self._start_engine()
        self._set(ModelStatus(Phase.FAILED, description, status.source))

    def _opening(self, model: ModelChoice, info: ModelInfo | None) -> ModelStatus:
        """Return the status of a model that is to be opened, or the engine's if there is none."""
        ready, name = self._ready and self._client.alive, short_name(model.source)
        if not model.source:
            phase, description = Phase.NONE, "no model is open"
        else:
            phase, description = Phase.LOADING, f"loading {name}"
        if not ready:
            phase = Phase.STARTING
            description = f"starting the engine for {name}" if model.source else "starting the engine"
        return ModelStatus(phase, description, model.source, info)

    # The engine

    def _start_engine(self) -> None:
        if not self._client.alive:
            self._ready = False
            self._client.start(self._started, self._cannot_start, self._lost)

    def _end_engine(self) -> None:
        """End the engine, with all that it was asked for."""
        self._client.stop()
        self._tickets.clear()
        self._load.forget()

    def _restart(self, reason: str) -> None:
        """Have the model opened in another engine."""
        self._end_engine()
        self.loaded = None
        status = self.status
        description = f"{reason}; starting the engine again"
        self._set(ModelStatus(Phase.LOST, description, status.source, status.info))

    def _started(self) -> None:
        self._ready = True
        if self.status.phase is Phase.STARTING and self.loaded is not None:
            self._set(self._opening(self.loaded, self.status.info))
        self._watch()

    def _cannot_start(self, error: BaseException) -> None:
        self._end_engine()
        self._fail(Problem.of("The engine cannot start (press Explain to retry)", error))

    def _lost(self, busy: bool) -> None:
        """Go on after the engine has ended by itself, was killed, or ran out of memory.

        What it was doing may be what ended it, so that is not done again without being asked for.
        """
        if not self._ready:
            self._cannot_start(RuntimeError("its process ended at once"))
        elif self.status.phase is Phase.LOADING and self.loaded is not None:
            self._end_engine()
            self._start_engine()
            name = short_name(self.status.source)
            reason = f"the engine ended while opening it: {name} may need more memory than there is"
            self._refuse(self.loaded, MemoryError(reason))
        else:
            problem = _engine_ended(busy)
            self._restart("lost")
            self._on_failure(problem)

    # Tickets

    def _watch(self) -> None:
        """Limit the time of a load that is under way while another one waits."""
        overtaken = self._ready and len(self._tickets) > 1
        if overtaken and self._tickets[0] is not self._timed:
            self._timed = self._tickets[0]
            self._later(PATIENCE, partial(self._leave, self._timed))

    def _leave(self, ticket: LoadTicket) -> None:
        """End the engine if it still loads a model that nobody waits for."""
        if ticket in self._tickets:
            self._restart("loading the model before does not end")

    def _answered(self, answer: Answer[LoadTicket, ModelInfo]) -> None:
        ticket, info, error = answer.key, answer.value, answer.error
        assert ticket is not None
        self._tickets.remove(ticket)
        if info is not None:
            if ticket.model.edit is not None:
                ticket.model.edit.accepted = True
            description = f"ready: {info.description}"
            self._set(ModelStatus(Phase.READY, description, ticket.model.source, info))
        elif error is not None:
            if isinstance(error, ModelTimeoutError):  # the model goes on computing in that engine
                self._end_engine()
                self._start_engine()
            self._refuse(ticket.model, error)

    def _answered_late(self, answer: Answer[LoadTicket, ModelInfo]) -> None:
        assert answer.key is not None
        self._tickets.remove(answer.key)
        if isinstance(answer.error, ModelTimeoutError):
            self._restart("the model before does not end")
        else:
            self._watch()

    def _refuse(self, model: ModelChoice, error: BaseException) -> None:
        name = short_name(model.source)
        if isinstance(error, UntrustedError):
            description = f"{name} is a program: it waits for your permission"
            self._set(ModelStatus(Phase.FAILED, description, model.source, program=error.program))
        elif model.on_trial:
            problem = Problem.of(f"{name} rejected this setting", error)
            self._objection = f"{problem.message} The settings before it are in use."
            self._fail(problem)
        else:
            self._fail(Problem.of(f"{name} does not open", error))

    def _fail(self, problem: Problem) -> None:
        self._set(ModelStatus(Phase.FAILED, problem.message, self.status.source))
        self._on_failure(problem)

    def _set(self, status: ModelStatus) -> None:
        status = replace(status, objection=self._objection)
        if status != self.status:
            self.status = status
            self._on_change()


def _engine_ended(busy: bool) -> Problem:
    doing, again = (
        (" while it was computing", " Press Explain, or Check this map, to ask again.") if busy else ("", "")
    )
    text = f"The engine process ended{doing}: it was killed, or ran out of memory. It starts again.{again}"
    return Problem(text, engine_process.last_words(), ENDED)
