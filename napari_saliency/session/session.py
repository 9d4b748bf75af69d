"""What the viewer shows and asks for; knows nothing of Qt, napari or any framework.

An `Session` lives in one thread, the window's. It never waits: models and methods run behind
an executor, pictures are prepared in a thread, and every answer comes back through ``post``.

Three answers are needed for a map, in this order: a model, a prepared picture, a prediction. Whenever
one arrives, or something is chosen, the next one is asked for; an answer to a question that nobody
asks any more is dropped (a map that is complete is kept, though: it may be asked for again).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_saliency.api.explain import Question
from napari_saliency.engine.client import BackgroundThread, EngineClient, timer
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from napari_saliency.session.checks import CheckRunner
from napari_saliency.session.input_image import ModelInput
from napari_saliency.session.looking import SessionState
from napari_saliency.session.model_loader import ModelLoader
from napari_saliency.session.prefetch import Prefetcher
from napari_saliency.session.runs import Job, JobRunner
from napari_saliency.session.selection import ClassSelection, meaning
from napari_saliency.session.state import (
    ExplanationCache,
    ModelStatus,
    Phase,
    Problem,
    Progress,
    Request,
    SourceImage,
)

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction, Score
    from napari_saliency.engine.client import Later, Post
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.maps.explanation import Explanation


class Session(SessionState):
    """State and commands of the panel.

    Signals carry the new value; the attribute of the same name holds it.

    Parameters
    ----------
    engine : callable
        Starts an engine: an executor of one worker.
    post : callable
        Runs a callable in the window's thread, soon.
    threads : callable
        Makes an executor of one thread; one reads pictures, one feeds the engine.
    later : callable, optional
        ``later(seconds, call)`` runs a callable in the window's thread after a while.

    Attributes
    ----------
    asked : Asked
        The classes that are explained.
    known_classes : frozenset of int
        Those whose maps, as is chosen now, show at once.
    progress : Progress or None
        Of what the user asked for; None when nothing runs.
    explanation, request : Explanation, Request, or None
        What is shown, and the question that it answers.
    method, options, score
        How to explain.
    checks : Checking
        Whether what is shown is true.
    """

    def __init__(
        self,
        engine: Callable[[], Executor],
        post: Post,
        threads: Callable[[], Executor] = lambda: ThreadPoolExecutor(1),
        later: Later | None = None,
    ) -> None:
        self._post: Post = lambda answer: post(partial(self._if_open, answer))
        self._threads = threads(), threads()
        self._cache = ExplanationCache()
        self._closed = self._wanted = self._live = False
        self._ahead = Prefetcher()
        self._cancelled: Request | None = None  # and not asked for again
        self._answers: Hashable = None  # what classes are those of
        self.asked = ClassSelection()
        self.known_classes: frozenset[int] = frozenset()
        self.progress: Progress | None = None
        self.explanation: Explanation | None = None
        self.request: Request | None = None
        self.score: Score = "logit"
        self.method = next(iter(METHODS))
        self.options: dict[str, Any] = METHODS[self.method].complete({})
        self._phase = Phase.NONE  # before the one at hand
        self._link = EngineClient(engine, self._post, self._threads[1])
        later = later or timer(self._post)
        self._open_model = ModelLoader(self._link, self._model_set, self._fail, later)
        reader = BackgroundThread(self._threads[0], self._post)
        self.checks = CheckRunner(self._link, reader, self._checked, self.checks_changed.emit)
        self.explanation_changed.connect(self.checks.turn_to)
        self.prediction_changed.connect(self.checks.look_anew)  # what is shown may be of this picture again
        self._seen = ModelInput(reader, self._link, self._is_prepared, self._is_predicted, self._fail)
        self._runner = JobRunner(self._link, self._stepped, self._run_failed, self._completed)

    # Commands ----------------------------------------------------------------------------------

    def open_model(self, source: str, settings: Settings | None = None) -> None:
        """Open a model in place of the one before."""
        if self._closed:
            return
        self._pause()
        another = source != self.model.source
        self._open_model.open(source, settings or Settings())
        if another:  # classes that can be clicked are those of the model that answers the click
            self._seen.forget_prediction()

    def answer(self, settings: Settings) -> None:
        """Keep beside the model's file what the user says about it, and use it; undone if the model refuses it."""
        self._pause()
        self._open_model.answer(settings)

    def view_layer(self, layer: str) -> None:
        """Explain the channels of a layer of the open model; "" for its own classes again."""
        if not self._closed:
            self._pause()
            self._open_model.view_layer(layer)

    def trust(self) -> None:
        """Say yes, once and for all, to the program that opening the model runs; then open it."""
        if not self._closed:
            self._open_model.trust()

    def set_picture(self, picture: SourceImage | None) -> None:
        """Look at another picture, or at another plane."""
        if self._closed or (picture and picture.key) == (self.picture and self.picture.key):
            return
        self._pause()
        self._seen.look_at(picture)
        self.picture_changed.emit(picture)
        self._update_known()
        self._advance()

    def set_method(self, method: str, options: Mapping[str, Any]) -> None:
        """Choose how to explain. Options that are not given have their defaults."""
        self.method, self.options = method, METHODS[method].complete(options)
        self._chosen()

    def set_score(self, score: Score) -> None:
        """Choose what of a class is explained."""
        self.score = score
        self._chosen()

    @property
    def live(self) -> bool:
        """Explain without being asked."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live
        self._chosen()

    def ask(self, asked: ClassSelection) -> None:
        """Explain other classes; where that was cancelled, only those whose maps are known."""
        if asked != self.asked or self.stale:
            self.asked = asked
            self.class_changed.emit(self.selected)
            if self._took_too_long():
                self._chosen()
            else:
                self.explain()

    def select_class(self, index: int | None) -> None:
        """Explain another class; None for the top class."""
        self.ask(ClassSelection.one(index))

    def step_class(self, by: int) -> None:
        """Go down (or up, if negative) in the order of probability."""
        if self.prediction is not None:
            self.ask(self.asked.neighbour(by, self.prediction))

    def explain(self) -> None:
        """Ask for the map of what is chosen; it comes as soon as everything that it needs is there."""
        if self.picture is None:
            self.failed.emit(Problem("There is no picture: drop one into the window."))
        elif not self.model.source:
            self.failed.emit(Problem("There is no model: choose one."))
        else:
            self._wanted, self._cancelled = True, None
            if self.model.phase is Phase.FAILED and not self._closed:
                self._open_model.open_again()
            self._advance()

    def cancel(self) -> None:
        """Stop what the user asked for, after the step that is under way; what is shown stays."""
        self._wanted = False
        run = self._runner.run
        if run is None or run.quiet:
            self._set_progress(None)
        elif self.progress is not None and not run.cancelled:
            run.cancelled = True
            self._cancelled = run.request
            self._set_progress(Progress(self.progress.done, self.progress.total, "stopping after this step"))

    def dismiss(self) -> None:
        """Stop computing what is shown, at once, and show nothing: nobody wants to see it."""
        run = self._runner.run
        if run is not None and not run.quiet and run.request == self.request:
            self._wanted = False
            self._runner.stop()
            self._set_progress(None)
        self.request = self.explanation = self._cancelled = None
        self.explanation_changed.emit(None)

    def stop_by_force(self) -> None:
        """End the engine in the middle of a step, or of loading a model, and start another."""
        if not self._closed:
            self._wanted = False
            self._open_model.stop_by_force()

    def close(self) -> None:
        """End the engine and forget everything; nothing is posted or emitted any more."""
        self._closed = True
        self._link.stop()
        for thread in self._threads:
            thread.shutdown(wait=False)

    # What is asked for next --------------------------------------------------------------------

    def _advance(self) -> None:
        """Ask for the next thing that is missing for what is wanted."""
        info = self.model.info
        if self._closed:
            return
        if self.picture is None:
            self._wanted = False
            self._set_progress(None)
        elif info is None:
            self._waiting("waiting for the model")
        elif not (missing := self._seen.missing(info)) and self._wanted and self._request() in self._cache:
            self._ask()  # even while the model is opened again
        elif self.model.phase is not Phase.READY:
            self._waiting("waiting for the model")
        elif missing:
            self._waiting(missing)
            self._seen.ask(info, again=self._wanted)
        elif self._wanted:
            self._ask()
        else:
            self._fetch_ahead()

    def _ask(self) -> None:
        """Show the map of what is chosen, if it is known; compute it otherwise."""
        request, run = self._request(), self._runner.run
        assert request is not None
        self._ahead.begin()
        known = self._cache.get(request)
        if known is not None:
            self._runner.stop()
            self._wanted = False
            self.request, self.explanation = request, known
            self.explanation_changed.emit(known)
            self._set_progress(None)
            self._fetch_ahead()
        elif run is None or run.request != request or run.cancelled:
            self._begin(request, quiet=False)
        else:
            run.quiet = False
            self._waiting("computing")

    def _fetch_ahead(self) -> None:
        """Compute the other top classes' maps while nobody asks for anything."""
        idle = self._runner.run is None and self.model.phase is Phase.READY
        if not idle or self.stale or self.prediction is None or self._took_too_long():
            return
        for index in self._ahead.classes(self.prediction):
            request = self._request(index)
            if request is not None and request not in self._cache:
                self._begin(request, quiet=True)
                return

    def _begin(self, request: Request, *, quiet: bool) -> None:
        assert self.prepared is not None
        assert self.prediction is not None
        question = Question(self.prediction, request.target, self.prepared.placement)
        self._runner.begin(request, self.prepared.x, question, quiet=quiet)
        if not quiet:
            self._waiting("computing")

    # Answers -----------------------------------------------------------------------------------

    def _model_set(self, status: ModelStatus) -> None:
        if status.phase is not Phase.READY:
            self.checks.lose()
        if status.phase is Phase.LOST:
            self._runner.lose()
            self._wanted &= self._phase is Phase.LOADING  # what hung is a model that nobody waits for
            self._set_progress(self.progress if self._wanted else None)
            self._seen.lose()
        elif status.info is not None and (answers := meaning(status.info)) != self._answers:
            self._answers, self.asked = answers, ClassSelection()
            self.class_changed.emit(None)
        self._phase = status.phase
        self.model_changed.emit(status)
        self._update_known()
        if status.phase is Phase.READY:
            self._advance()

    def _is_prepared(self, prepared: Prepared | None) -> None:
        self.prepared_changed.emit(prepared)
        self._advance()

    def _is_predicted(self, prediction: Prediction | None) -> None:
        self.prediction_changed.emit(prediction)
        self._update_known()
        self._advance()

    def _completed(self, request: Request, explanation: Explanation) -> None:
        self._cache.put(request, explanation)
        self._update_known()

    def _stepped(self, run: Job, explanation: Explanation) -> None:
        ended = self._runner.run is None
        if not run.quiet:
            self.request, self.explanation = run.request, explanation
            self.explanation_changed.emit(explanation)
            self._set_progress(None if ended else Progress(explanation.done, explanation.total, "computing"))
        if ended and not run.cancelled:
            self._ahead.count(run)
            self._wanted &= run.quiet
            self._advance()

    def _run_failed(self, run: Job, error: BaseException) -> None:
        if not run.quiet:
            self._fail(Problem.of("The map could not be computed", error))

    def _chosen(self) -> None:
        """Follow a change of method, option or score: show the map if it is known or Live is on."""
        request = self._request()
        self._update_known()
        if self._live or (request is not None and request in self._cache):
            self._wanted = True
            if self.picture is not None:
                self._advance()

    def _took_too_long(self) -> bool:
        """Whether the user cancelled what is chosen now, but for the class; it may have ended all the same."""
        request, cancelled = self._request(), self._cancelled
        if request is None or cancelled is None or cancelled in self._cache:
            return False
        return cancelled.is_like(request)

    def _update_known(self) -> None:
        request = self._request()
        known = self._cache.classes(request) if request is not None else frozenset()
        if known != self.known_classes:
            self.known_classes = known
            self.known_classes_changed.emit(known)

    def _pause(self) -> None:
        """Stop what runs, before something else is looked at."""
        self._runner.stop()
        self._wanted |= self._live

    def _waiting(self, description: str) -> None:
        """Tell what the user's request waits for, if there is one."""
        if self._wanted:
            self._set_progress(Progress(0, 0, description))

    def _set_progress(self, progress: Progress | None) -> None:
        if progress != self.progress:
            self.progress = progress
            self.progress_changed.emit(progress)

    def _fail(self, problem: Problem) -> None:
        self._wanted = False
        self._set_progress(None)
        self.failed.emit(problem)

    def _if_open(self, answer: Callable[[], None]) -> None:
        if not self._closed:
            answer()
