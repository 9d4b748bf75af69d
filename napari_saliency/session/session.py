"""State of the panel and its requests; independent of Qt, napari and all frameworks.

A `Session` lives in one thread, the window's, and never waits: models and methods run behind an executor, images are
prepared in a thread, and every answer comes back through ``post``. Whatever is chosen, and whatever is answered, ends
in `Session._update`: it asks `next_step` what is to be done, tells what has changed, and does it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_saliency.api.explain import Question
from napari_saliency.core.errors import ModelError
from napari_saliency.engine import process as engine_process
from napari_saliency.engine.client import BackgroundThread, EngineClient, timer
from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from napari_saliency.session.checks import Checked, CheckRunner
from napari_saliency.session.choice import Choice, Keys, ModelChoice, resolve
from napari_saliency.session.model_loader import ModelLoader
from napari_saliency.session.next_step import (
    COMPUTING,
    Compute,
    Idle,
    Job,
    Known,
    OpenModel,
    Pace,
    Predict,
    Prefetch,
    Prepare,
    Show,
    Step,
    gave_up,
    next_step,
)
from napari_saliency.session.pending import Answer, JobRunner, Pending
from napari_saliency.session.selection import ClassSelection, meaning
from napari_saliency.session.settings_edit import SettingsEdit, joined
from napari_saliency.session.signals import Signals, Told
from napari_saliency.session.state import ExplanationCache, ModelStatus, Phase, Problem, Progress, Shown

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction, Score
    from napari_saliency.engine.client import Later, Post
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.state import Request, SourceImage

STOPPING = "stopping after this step"


class Session(Signals):
    """State and commands of the panel. Nothing happens before `start`.

    Parameters
    ----------
    engine : callable
        Starts an engine: an executor of one worker.
    post : callable
        Runs a callable in the window's thread, soon.
    threads : callable
        Makes an executor of one thread; one reads images, one feeds the engine.
    later : callable, optional
        ``later(seconds, call)`` runs a callable in the window's thread after a while.

    Attributes
    ----------
    checks : CheckRunner
        The checks of the map that is shown.
    known_classes : frozenset of int
        Classes whose maps, as is chosen now, show at once.
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
        self._engine = EngineClient(engine, self._post, self._threads[1])
        reader = BackgroundThread(self._threads[0], self._post)
        self._loader = ModelLoader(self._engine, self._model_set, self._fail, later or timer(self._post))
        self._prepared: Pending[Hashable, Prepared] = Pending(reader.call, self._is_prepared)
        self._predicted: Pending[Hashable, Prediction] = Pending(self._engine.call, self._is_predicted)
        self._runner: JobRunner[Job, Explanation] = JobRunner(
            self._engine, "method", self._stepped, self._stepped_late
        )
        self.checks = CheckRunner(self._engine, reader, self._checked, self.checks_changed.emit)
        self._choice, self._cache, self._shown, self._pace = Choice(), ExplanationCache(), Shown(), Pace()
        self._keys = Keys()
        self.known_classes: frozenset[int] = frozenset()
        self._generation = self._engine.generation  # of the engine that was asked last
        self._step: Step = Idle()
        self._updates = 0  # asked for, while one is made
        self._told = Told(self)

    # What is chosen, known and shown

    @property
    def model(self) -> ModelStatus:
        """The model and its state."""
        return self._loader.status

    @property
    def picture(self) -> SourceImage | None:
        """The image that is explained."""
        return self._choice.picture

    @property
    def prepared(self) -> Prepared | None:
        """The model's input."""
        return self._prepared.answer.value

    @property
    def prediction(self) -> Prediction | None:
        """The model's prediction."""
        return self._predicted.answer.value

    @property
    def explanation(self) -> Explanation | None:
        """The map that is shown."""
        return self._shown.explanation

    @property
    def request(self) -> Request | None:
        """The request that the shown map answers."""
        return self._shown.request

    @property
    def method(self) -> str:
        """Id of the method."""
        return self._choice.method

    @property
    def options(self) -> dict[str, Any]:
        """All options of the method."""
        return dict(self._choice.options)

    @property
    def score(self) -> Score:
        """The number of a class that is explained."""
        return self._choice.score

    @property
    def asked(self) -> ClassSelection:
        """The classes that are explained."""
        return self._choice.classes

    @property
    def selected(self) -> int | None:
        """The class that is explained, rather than others if there are any; None for the top class."""
        return self._choice.classes.selected

    @property
    def live(self) -> bool:
        """True if everything that is chosen is explained without being asked for."""
        return self._choice.live

    @live.setter
    def live(self, live: bool) -> None:
        self.set(live=live)

    @property
    def stale(self) -> bool:
        """True unless what is shown answers what is chosen now."""
        return self._keys.request is None or self.request != self._keys.request

    @property
    def progress(self) -> Progress | None:
        """Progress of the map that the user has asked for; None when nothing of it is to be done."""
        job = self._runner.job
        if job is not None and job.wanted:
            return Progress(job.done, job.total, STOPPING if self._runner.cancelled else COMPUTING)
        return Progress(0, 0, self._step.waits_for) if self._choice.wanted else None

    @property
    def cancelling(self) -> bool:
        """True if the method under way ends after its present step."""
        return self._runner.job is not None and self._runner.cancelled

    def known(self) -> list[Explanation]:
        """Return known maps that differ from what is shown in nothing but the class."""
        return self._cache.alike(self.request.recipe) if self.request else []

    # Commands

    def start(self) -> None:
        """Start the engine, and do whatever was asked for until now."""
        self._choice = replace(self._choice, open=True)
        self._update()

    def set(self, **changes: Any) -> None:  # noqa: ANN401 - each field has its type
        """Choose something else: any fields of `Choice`.

        Another image or model stops the method under way; what was asked for is then asked of them. Other changes
        show the map at once if it is known. With ``live``, either asks for a map.
        """
        choice = replace(self._choice, **changes)
        wanted = choice.wanted or choice.live
        if changes.keys() & {"picture", "model"}:
            wanted = wanted or self._is_computing
            self._runner.stop()
            self._choose(choice)
        else:
            self._choose(choice)
            wanted = wanted or self._keys.request in self._cache
        self._want(wanted and choice.picture is not None)
        self._update()

    def open_model(self, source: str, settings: Settings | None = None) -> None:
        """Open a model in place of the one before."""
        if source != self._choice.model.source:
            self._predicted.forget()  # classes that can be clicked are those of the model that answers the click
        self.set(model=ModelChoice(source, settings or Settings()))

    def answer(self, settings: Settings) -> None:
        """Give settings for the model, and save them in its sidecar; both are undone if the model rejects them."""
        model, info = self._choice.model, self.model.info
        displayed = next(iter((info.outer or info).outputs), None) if info is not None else None
        edit, problem = SettingsEdit(model.source, model.settings, displayed), None
        try:
            edit.write(settings)
        except (OSError, ModelError, ValueError) as error:  # the file may be gone, or its folder not writable
            problem = Problem.of(f"The settings could not be saved next to {model.source}", error)
        self.set(model=ModelChoice(model.source, joined(model.settings, settings, displayed), edit=edit))
        if problem is not None:
            self._fail(problem)

    def view_layer(self, layer: str) -> None:
        """Explain the channels of a layer of the open model; "" for its own classes again."""
        self.set(model=replace(self._choice.model, viewed_layer=layer))

    def trust(self) -> None:
        """Permit, from now on, the program that opening the model runs; then open it."""
        if self._choice.open and self._loader.trust(self._choice.model):
            self.set(model=replace(self._choice.model))

    def set_picture(self, picture: SourceImage | None) -> None:
        """Explain another image, or another plane."""
        if (picture and picture.key) != (self.picture and self.picture.key):
            if picture is None:
                self._prepared.forget()
                self._predicted.forget()
            self.set(picture=picture)

    def set_method(self, method: str, options: Mapping[str, Any]) -> None:
        """Choose a method. Options that are not given have their defaults."""
        self.set(method=method, options=METHODS[method].complete(options))

    def set_score(self, score: Score) -> None:
        """Choose the number of each class that is explained."""
        self.set(score=score)

    def ask(self, classes: ClassSelection) -> None:
        """Explain other classes; if that was cancelled, only those whose maps are known."""
        if classes == self.asked and not self.stale:
            return
        missing = self._missing()
        stopped = self._choice.cancelled is not None and gave_up(self._choice, self._known())
        self.set(classes=classes, **({} if missing or stopped else self._wish()))
        if missing:
            self.failed.emit(missing)

    def select_class(self, index: int | None) -> None:
        """Explain another class; None for the top class."""
        self.ask(ClassSelection.one(index))

    def step_class(self, by: int) -> None:
        """Go down (or up, if negative) in the order of probability."""
        if self.prediction is not None:
            self.ask(self.asked.neighbour(by, self.prediction))

    def explain(self) -> None:
        """Ask for the map of what is chosen; it comes as soon as everything that it needs is there."""
        if missing := self._missing():
            self.failed.emit(missing)
        else:
            self.set(**self._wish())

    def cancel(self) -> None:
        """Stop what the user asked for, after the present step; what is shown stays."""
        job = self._runner.job
        if job is not None and self._is_computing:
            self._runner.cancelled = True
            self._choice = replace(self._choice, cancelled=job.request)
        self._want(False)
        self._update()

    def dismiss(self) -> None:
        """Stop computing what is shown, at once, and show nothing: nobody wants to see it."""
        job = self._runner.job
        if job is not None and job.wanted and job.request == self.request:
            self._runner.stop()
            self._want(False)
        self._shown, self._choice = Shown(), replace(self._choice, cancelled=None)
        self._update()

    def stop_by_force(self) -> None:
        """End the engine in the middle of a step, or of loading a model, and start another."""
        if self._choice.open:
            self._want(False)
            self._loader.stop_by_force()

    def close(self) -> None:
        """End the engine and forget everything; nothing is posted or emitted any more."""
        self._choice = replace(self._choice, open=False)
        self._engine.stop()
        for thread in self._threads:
            thread.shutdown(wait=False)

    # From choices and answers to signals and steps

    def _choose(self, choice: Choice) -> None:
        """Work out, once for each change, what is asked for now."""
        self._choice, before = choice, self._keys.recipe
        self._keys = resolve(choice, self.model)
        self._find_request()
        if self._keys.recipe != before:
            self.known_classes = self._cache.classes(self._keys.recipe)

    def _find_request(self) -> None:
        classes, prepared, predicted = self._choice.classes, self._prepared.answer, self._predicted.answer
        self._keys = self._keys.answered(classes, prepared, predicted)

    @property
    def _is_computing(self) -> bool:
        return self._runner.job is not None and self._runner.job.wanted and not self._runner.cancelled

    def _want(self, wanted: bool) -> None:
        if wanted != self._choice.wanted:
            self._choice = replace(self._choice, wanted=wanted)

    def _wish(self) -> dict[str, Any]:
        """Return the changes that ask for a map; a model that failed is opened again."""
        again = {"model": replace(self._choice.model)} if self.model.phase is Phase.FAILED else {}
        return {"wanted": True, "cancelled": None, **again}

    def _missing(self) -> Problem | None:
        """Return the reason why nothing can be explained."""
        if self.picture is None:
            return Problem("There is no picture: drop one into the window.")
        return None if self._choice.model.source else Problem("There is no model: choose one.")

    def _known(self) -> Known:
        prepared, predicted, job = self._prepared.answer, self._predicted.answer, self._runner.job
        maps, classes, pace = self._cache, self.known_classes, self._pace
        model = self.model, self._loader.loaded
        return Known(*model, prepared, predicted, self._keys, self.request, job, maps, classes, pace)

    def _update(self) -> None:
        """Tell what has changed and take the next step, until there is nothing to do."""
        self._updates += 1
        if self._updates > 1:  # called by what is told, or by a step that is answered at once
            return
        try:
            made = 0
            while made < self._updates and self._choice.open:
                made = self._updates
                self._step = next_step(self._choice, self._known())
                if not isinstance(self._step, Show):  # before it is shown, nothing has to be waited for
                    self._tell()
                if made == self._updates:  # else a listener has chosen something else meanwhile
                    self._take(self._step)
        finally:
            self._updates = 0

    def _tell(self) -> None:
        """Emit the signals of what has changed since it was told."""
        for news in self._told.news():
            if news.signal in ("explanation_changed", "prediction_changed"):
                self.checks.follow(self.explanation)
            getattr(self, news.signal).emit(news.value(self))

    def _take(self, step: Step) -> None:
        match step:
            case OpenModel(model):
                self._loader.open(model)
            case Prepare(key) if self.picture is not None and self.model.info is not None:
                self._prepared.ask(key, partial(self.picture.prepare, self.model.info))
            case Predict(key) if self.prepared is not None:
                call = partial(engine_process.predict, self.prepared.x, self.prepared.region)
                self._predicted.ask(key, call)
            case Show(request):
                self._show(request)
            case Compute(request):
                self._compute(request)
            case Prefetch(request):
                self._begin(Job(request, wanted=False))

    def _show(self, request: Request) -> None:
        """Show a map that is known."""
        self._runner.stop()
        self._shown, self._pace = Shown(request, self._cache.get(request)), self._pace.again()
        self._want(False)
        self._update()

    def _compute(self, request: Request) -> None:
        """Begin a method, or wait for the one that computes this map already."""
        job, self._pace = self._runner.job, self._pace.again()
        if job is None or job.request != request or self._runner.cancelled:
            self._begin(Job(request, wanted=True))
        else:
            job.wanted = True
        self._want(False)
        self._update()  # the job before may have been told to be stopping

    def _begin(self, job: Job) -> None:
        assert self.prepared is not None
        assert self.prediction is not None
        request = job.request
        question = Question(self.prediction, request.target, self.prepared.placement)
        first = partial(engine_process.start, x=self.prepared.x, question=question, method=request.method)
        self._runner.begin(job, partial(first, options=dict(request.options)))

    def _model_set(self) -> None:
        status, choice = self.model, self._choice
        if status.phase is not Phase.READY:
            self.checks.lose()
        if self._engine.generation != self._generation:
            self._generation = self._engine.generation
            self._runner.lose()
            self._predicted.lose()
        if status.phase is Phase.LOST:
            hung = self._told["model_changed"].phase is Phase.LOADING  # a model that nobody waits for
            choice = replace(choice, wanted=choice.wanted and hung)
        elif status.info is not None and (indices := meaning(status.info)) != choice.meaning:
            choice = replace(choice, classes=ClassSelection(), meaning=indices)
        if status.objection and choice.model.on_trial and choice.model.edit is not None:
            choice.model.edit.undo()
            choice = replace(choice, model=ModelChoice(status.source, choice.model.edit.before))
        self._choose(choice)
        self._update()

    def _is_prepared(self, answer: Answer[Hashable, Prepared]) -> None:
        if answer.error is not None:
            self._predicted.forget()
        self._follow(answer, "The picture cannot be used")

    def _is_predicted(self, answer: Answer[Hashable, Prediction]) -> None:
        self._follow(answer, "The model failed on this picture")

    def _follow(self, answer: Answer[Any, Any], failure: str) -> None:
        self._find_request()
        if answer.error is not None:
            self._fail(Problem.of(failure, answer.error))
        self._update()

    def _stepped(self, answer: Answer[Job, Explanation]) -> None:
        job, explanation = answer.key, answer.value
        assert job is not None
        if explanation is not None:
            job.first = job.first or time.monotonic()
            job.done, job.total = explanation.done, explanation.total
            self._keep(job.request, explanation)
            if job.wanted:
                self._shown = Shown(job.request, explanation)
        if self._runner.job is None:
            failed = explanation is None or self._runner.cancelled
            self._pace = self._pace.stopped() if failed else self._pace.after(job)
        if answer.error is not None and job.wanted:
            self._fail(Problem.of("The map could not be computed", answer.error))
        self._update()

    def _stepped_late(self, answer: Answer[Job, Explanation]) -> None:
        if answer.key and answer.value:
            self._keep(answer.key.request, answer.value)
            self._update()

    def _keep(self, request: Request, explanation: Explanation) -> None:
        """Keep a map that is complete, even if nobody waits for it any more: it may be asked for again."""
        if explanation.complete:
            self._cache.put(request, explanation)
            self.known_classes = self._cache.classes(self._keys.recipe)

    def _checked(self) -> Checked | None:
        """Return what is shown, if it can be checked: a map, complete, and of what is chosen now."""
        info, prepared, result = self.model.info, self.prepared, self.explanation
        if self.model.phase is not Phase.READY or info is None or prepared is None or self.stale:
            return None
        if result is None or not result.complete or result.shows != "map":
            return None
        return Checked(prepared.x, result, info, prepared.placement, prepared.picture)

    def _fail(self, problem: Problem) -> None:
        self._want(False)
        self._update()
        self.failed.emit(problem)

    def _if_open(self, answer: Callable[[], None]) -> None:
        if self._choice.open:
            answer()
