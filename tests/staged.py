"""The real session on a stage: its engine answers at once with what the test has prepared.

Images are read and prepared as always; a model is whatever `info` says; predictions, maps and findings are made up.
Nothing is fetched ahead: maps are known as they were asked for, or as `StagedSession.know` says. What no engine
answers is put into the state of the session by `StagedSession.set_model`, `show_checks`, `know` and `finish`.
"""

from concurrent.futures import Executor, Future
from inspect import signature

from napari_saliency.checks import Finding
from napari_saliency.core.errors import ModelError
from napari_saliency.core.types import Target
from napari_saliency.engine import process as engine
from napari_saliency.methods import METHODS
from napari_saliency.session.checks import Checks
from napari_saliency.session.session import Session
from napari_saliency.session.state import ExplanationCache, ModelStatus, Phase, Problem
from tests.executors import Immediate
from tests.fakes import explanation, info, prediction

COMMANDS = (
    "open_model", "answer", "view_layer", "trust", "set_picture", "set_method", "set_score", "ask", "select_class",
    "step_class", "explain", "cancel", "dismiss", "stop_by_force", "close",
)  # fmt: skip


class Stage(Executor):
    """An engine whose answers are made up.

    Attributes
    ----------
    info, predicted : ModelInfo, Prediction
        Answers to `open_model` and `predict`.
    values : callable
        ``values(index, title)`` returns the values of a class's map by a method; None for made-up ones.
    wanted : callable
        Returns whether somebody asked for the map that is begun; else it is refused.
    patient : bool
        True if maps wait until the test answers them.
    opens : bool
        False if models go on loading until `open` is called.
    rejects : callable
        ``rejects(settings)`` returns the reason why a model does not open with these settings; "" if it does.
    """

    def __init__(self, info, predicted, values, wanted):
        self.info, self.predicted, self.values, self.wanted = info, predicted, values, wanted
        self.patient, self.opens = False, info is not None
        self.rejects = lambda settings: ""
        self.waiting = []  # (future, how to make its map)
        self._loading = []  # (future, settings)
        self._begun = {}  # by the names of jobs

    def submit(self, function, /):
        future, asked = Future(), getattr(function, "func", function)
        if asked is engine.start:
            self._begun[function.args[0]] = function.keywords
        if asked is engine.start and not self.wanted():
            future.set_exception(RuntimeError("nothing is fetched ahead"))
        elif asked in (engine.start, engine.step):
            made = self._begun[function.args[0]]
            if self.patient:
                self.waiting.append((future, made))
            else:
                future.set_result(self.explanation(**made))
        elif asked is engine.open_model:
            self._loading.append((future, function.args[1]))
            if self.opens:
                self.open()
        else:
            answers = {
                engine.warm_up: ("elsewhere", 0),
                engine.predict: self.predicted,
                engine.check: Finding(1, 1).judged("good", "It is so."),
            }
            future.set_result(answers.get(asked))
        return future

    def open(self):
        """Answer for the models that are loading; others are answered at once from now on."""
        self.opens = True
        while self._loading:
            future, settings = self._loading.pop(0)
            if reason := self.rejects(settings):
                future.set_exception(ModelError(reason))
            else:
                future.set_result(self.info)

    def shutdown(self, wait=True, *, cancel_futures=False, kill_workers=False):
        pass

    def explanation(self, x, question, method, options, **changes):
        """Make a map up; ``x`` and ``question`` say where it lies and what it explains."""
        index, title = question.target.index, METHODS[method].title
        values = self.values(index, title)
        placement = question.placement
        if values is not None:
            placement = placement.coarser(x.shape[:-1], values.shape[: x.ndim - 1])
        made = {"title": title, "method": method, "options": options, "target": question.target}
        made |= {"shows": METHODS[method].shows}
        return explanation(index or 0, values, self.predicted, placement, **made | changes)


class StagedSession(Session):
    """A session whose model is ready, and which remembers its commands, and those of its checks as ``"checks.run"``.

    Parameters
    ----------
    predicted : Prediction, optional
        The prediction for every image.
    status : ModelStatus, optional
        The model.
    values : callable, optional
        See `Stage`.
    """

    def __init__(self, predicted=None, status=None, values=None):
        status = status or ModelStatus(Phase.READY, "ready", "fake:net", info())
        values = values or (lambda index, title: None)
        self.stage = Stage(status.info, predicted or prediction(3), values, lambda: self._runner.job.wanted)
        super().__init__(
            lambda: self.stage, lambda answer: answer(), Immediate, later=lambda seconds, call: None
        )
        self.commands = []
        self.start()
        self.open_model(status.source)
        if status.phase is not Phase.READY:
            self.set_model(status)
        for name in COMMANDS:
            setattr(self, name, self._recorded(name, getattr(self, name)))
        for name in ("run", "cancel"):
            setattr(self.checks, name, self._recorded(f"checks.{name}", getattr(self.checks, name)))

    def _recorded(self, name, command):
        def record(*arguments):
            given = signature(command).bind(*arguments)
            given.apply_defaults()
            self.commands.append((name, *given.args))
            command(*arguments)

        return record

    def of(self, name):
        """Return all commands of one name."""
        return [command for command in self.commands if command[0] == name]

    @property
    def patient(self):
        """True if maps wait until the test answers them."""
        return self.stage.patient

    @patient.setter
    def patient(self, patient):
        self.stage.patient = patient

    def finish(self, **changes):
        """Answer the map that is waited for, or make the one that is shown anew; changes are fields of it.

        With ``done`` less than ``total`` it is a step of the map, and the next one is waited for.
        """
        if not self.stage.waiting:
            self._cache, patient = ExplanationCache(), self.patient
            self.patient = True
            Session.explain(self)
            self.patient = patient
        future, made = self.stage.waiting.pop()
        self.stage.waiting.clear()  # of jobs that were stopped
        answer, patient = self.stage.explanation(**made, **changes), self.patient
        self.patient = patient or not answer.complete
        future.set_result(answer)
        self.patient = patient

    def show_checks(self, **state):
        """Have the checks stand as a test says, in fields of `Checks`, until another map is shown."""
        self.checks._set(Checks(**state))

    def know(self, *classes):
        """Have maps of these classes be known, and no others, as if they were fetched ahead."""
        self._cache, recipe = ExplanationCache(), self._keys.recipe
        for index in classes:
            target = Target.of_class(index, recipe.score)
            self._cache.put(recipe.request(target), explanation(index, predicted=self.prediction))
        self.known_classes = self._cache.classes(recipe)
        self._update()

    def set_model(self, status):
        """Have the engine say something else of the model."""
        self._loader._objection = status.objection
        self._loader._set(status)

    def fail(self, message, details=""):
        """Tell a problem."""
        self.failed.emit(Problem(message, details))
