"""The real session on a stage: its engine answers at once with what the test has prepared.

Images are read and prepared as always; a model is whatever `info` says, a prediction and maps are made up. Nothing
is fetched ahead: maps are known as they were asked for.
"""

from concurrent.futures import Executor, Future

from napari_saliency.engine import process as engine
from napari_saliency.methods import METHODS
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
        Whether maps wait until the test answers them.
    """

    def __init__(self, info, predicted, values, wanted):
        self.info, self.predicted, self.values, self.wanted = info, predicted, values, wanted
        self.patient = False
        self.waiting = []  # (future, how to make its map)
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
        else:
            answers = {
                engine.warm_up: ("elsewhere", 0),
                engine.open_model: self.info,
                engine.predict: self.predicted,
            }
            future.set_result(answers.get(asked))
        return future

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
    """A session whose model is ready, and which remembers its commands.

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
        for name in COMMANDS:
            setattr(self, name, self._recorded(name, getattr(self, name)))

    def _recorded(self, name, command):
        def record(*arguments):
            self.commands.append((name, *arguments))
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
        """Answer the map that is waited for, or make the one that is shown anew; changes are fields of it."""
        if not self.stage.waiting:
            self._cache, patient = ExplanationCache(), self.patient
            self.patient = True
            Session.explain(self)
            self.patient = patient
        future, made = self.stage.waiting.pop()
        self.stage.waiting.clear()  # of jobs that were stopped
        future.set_result(self.stage.explanation(**made, **changes))

    def set_model(self, status):
        """Have the engine say something else of the model."""
        self._loader._objection = status.objection
        self._loader._set(status)

    def fail(self, message, details=""):
        """Tell a problem."""
        self.failed.emit(Problem(message, details))
