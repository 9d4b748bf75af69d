"""The model in the engine: opened, lost with its engine, and opened again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_saliency.core.errors import ModelError, ModelTimeoutError, UntrustedError
from napari_saliency.engine import process as engine_process
from napari_saliency.models import Settings, trust
from napari_saliency.session.settings_edit import SettingsEdit, joined
from napari_saliency.session.state import ModelStatus, Phase, Problem, short_name

if TYPE_CHECKING:
    from napari_saliency.engine.client import EngineClient, Later
    from napari_saliency.models import ModelInfo

PATIENCE = 3.0
"""Seconds after which a model that nobody waits for any more, and that still loads, ends with its engine."""

ENDED = "The engine ended: see Details."
"""As much as a notice of napari's shows."""


class ModelLoader:
    """One engine and the model in it. Starts the engine at once, before any model is asked for.

    Parameters
    ----------
    link : EngineLink
        For calls to the engine.
    changed : callable
        ``changed(status)`` is called with every new status.
    failed : callable
        ``failed(problem)`` is called when something went wrong.
    later : callable
        ``later(seconds, call)`` calls something in the window's thread after a while.

    Attributes
    ----------
    status : ModelStatus
        The model and how it stands.
    settings : Settings
        What was said about the model since it was opened.
    viewed_layer : str
        The layer of it that is looked into, if any.
    """

    def __init__(
        self,
        link: EngineClient,
        changed: Callable[[ModelStatus], None],
        failed: Callable[[Problem], None],
        later: Later,
    ) -> None:
        self._link, self._changed, self._failed, self._later = link, changed, failed, later
        self._engines = self._asked = self._answered = 0  # the latter two: loads of the engine at hand
        self.settings, self.viewed_layer = Settings(), ""
        self._answer: SettingsEdit | None = None  # until the model has taken it
        self._objection = ""  # to the last one
        self._ready = False  # the engine, for its first call
        self.status = ModelStatus(Phase.STARTING, "starting the engine")
        self._start_engine()

    def open(self, source: str, settings: Settings, viewed_layer: str = "") -> None:
        """Open a model in place of the one before, or look into a layer of it."""
        same = (source, settings, viewed_layer) == (self.status.source, self.settings, self.viewed_layer)
        if source != self.status.source:
            self._answer, self._objection = None, ""
        info = self.status.info if same else None  # what is known of it holds while it is opened again
        self.settings, self.viewed_layer = settings, viewed_layer
        if not self._link.alive:
            self._start_engine()
        phase, verb = (
            (Phase.LOADING, "loading") if self._ready else (Phase.STARTING, "starting the engine for")
        )
        self._set(ModelStatus(phase, f"{verb} {short_name(source)}", source, info))
        if self._answered < self._asked:  # it may hang in the one before
            self._be_patient()
        self._asked += 1
        call = partial(engine_process.open_model, source, settings, viewed_layer)
        self._link.call(call, then=partial(self._opened, source), failed=partial(self._refused, source))

    def answer(self, settings: Settings) -> None:
        """Keep beside the model's file what the user says about it, and use it; undone if the model refuses it."""
        before, source, info = self.settings, self.status.source, self.status.info
        displayed = next(iter((info.outer or info).outputs), None) if info is not None else None
        self._answer, self._objection = SettingsEdit(source, before, displayed), ""
        try:
            self._answer.write(settings)
        except (OSError, ModelError, ValueError) as error:  # the file may be gone, or its folder not writable
            self._failed(Problem.of("This could not be kept beside the model", error))
        self.open(source, joined(before, settings, displayed))

    def open_again(self) -> None:
        """Try once more what failed, or was lost."""
        self.open(self.status.source, self.settings, self.viewed_layer)

    def view_layer(self, layer: str) -> None:
        """Look into a layer of the open model; "" for the whole model again."""
        self.open(self.status.source, self.settings, layer)

    def trust(self) -> None:
        """Say yes to the program that waits for it, and open the model."""
        try:
            trust(self.status.source, custom=self.settings.custom)
        except (OSError, ModelError) as error:
            self._fail(Problem.of("The yes could not be kept", error))
        else:
            self.open_again()

    def stop_by_force(self) -> None:
        """End the engine in the middle of whatever it does, and open the model in another one.

        A model that was being loaded may be what hangs, so it waits until it is asked for again.
        """
        self._link.stop()
        if self.status.phase is not Phase.LOADING:
            self._restart("stopped by force")
            return
        source = self.status.source
        description = (
            f"loading {short_name(source)} was stopped: Explain tries again, or choose another model"
        )
        self._set(ModelStatus(Phase.LOST, description, source))
        self._start_engine()
        self._set(ModelStatus(Phase.FAILED, description, source))

    def _be_patient(self) -> None:
        """Look after a while whether a load that nobody waits for any more has ended."""
        self._later(PATIENCE, partial(self._leave_stuck, self._engines, self._answered, self._ready))

    def _leave_stuck(self, engine: int, answered: int, ready: bool) -> None:
        if engine != self._engines or not self._link.alive or self._answered >= self._asked - 1:
            return  # what loads now, if anything, is what was asked for last
        if ready and answered == self._answered:
            self._link.stop()
            self._restart("loading the model before does not end")
        else:
            self._be_patient()

    def _start_engine(self) -> None:
        self._ready = False
        self._engines += 1
        self._asked = self._answered = 0
        self._link.start(self._started, self._cannot_start, self._lost)

    def _started(self) -> None:
        self._ready = True
        if self.status.phase is Phase.STARTING:
            source = self.status.source
            description = f"loading {short_name(source)}" if source else "no model is open"
            self._set(
                ModelStatus(Phase.LOADING if source else Phase.NONE, description, source, self.status.info)
            )

    def _cannot_start(self, error: BaseException) -> None:
        self._link.stop()
        self._fail(Problem.of("The engine cannot start (Explain tries again)", error))

    def _opened(self, source: str, info: ModelInfo) -> None:
        self._answered += 1
        if source == self.status.source:
            self._answer = None
            self._set(ModelStatus(Phase.READY, f"ready: {info.description}", source, info))

    def _refused(self, source: str, error: BaseException) -> None:
        self._answered += 1
        if isinstance(error, ModelTimeoutError):  # which goes on, in that engine
            self._link.stop()
            if source != self.status.source:
                self._restart("the model before does not end")
                return
            self._start_engine()
        self._not_opened(source, error)

    def _not_opened(self, source: str, error: BaseException) -> None:
        if source != self.status.source:
            return
        if isinstance(error, UntrustedError):
            description = f"{short_name(source)} is a program: it waits for your yes"
            self._set(ModelStatus(Phase.FAILED, description, source, program=error.program))
        elif self._answer is None:
            self._fail(Problem.of(f"{short_name(source)} does not open", error))
        else:
            self._fail(Problem.of(f"{short_name(source)} does not take this", error))
            self._objection = f"{self.status.description} What was said before holds."
        if self._answer is not None:
            answer, self._answer = self._answer, None
            answer.undo()
            self.open(source, answer.before)

    def _lost(self, busy: bool) -> None:
        """Go on after the engine has ended by itself, was killed, or ran out of memory.

        What it was doing may be what ended it, so that is not done again without being asked for.
        """
        if not self._ready:
            self._cannot_start(RuntimeError("its process ended at once"))
        elif self.status.phase is Phase.LOADING:
            self._start_engine()
            name = short_name(self.status.source)
            reason = MemoryError(
                f"the engine ended while opening it: {name} may need more memory than there is"
            )
            self._not_opened(self.status.source, reason)
        else:
            doing, again = (
                (" while it was computing", " Press Explain, or Check this map, to ask again.")
                if busy
                else ("", "")
            )
            text = f"The engine process ended{doing}: it was killed, or ran out of memory. It starts again.{again}"
            self._failed(Problem(text, engine_process.last_words(), ENDED))
            self._restart("lost")

    def _restart(self, description: str) -> None:
        source = self.status.source
        self._set(
            ModelStatus(Phase.LOST, f"{description}; starting the engine again", source, self.status.info)
        )
        self._start_engine()
        if source:
            self.open_again()

    def _fail(self, problem: Problem) -> None:
        self._set(ModelStatus(Phase.FAILED, problem.message, self.status.source))
        self._failed(problem)

    def _set(self, status: ModelStatus) -> None:
        self.status = replace(status, objection=self._objection)
        self._changed(self.status)
