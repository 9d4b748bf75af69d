"""An inspection that answers at once, with made-up predictions and maps; no engine, no model.

It has the signals, attributes and commands of the real one (a test holds the two against each other),
and remembers what it was told.
"""

import numpy as np

from napari_saliency.core.placement import Placement
from napari_saliency.core.types import Prediction, Target
from napari_saliency.images.prepare import prepare
from napari_saliency.maps.explanation import Explanation
from napari_saliency.methods import METHODS
from napari_saliency.models import InputSpec, Layer, ModelInfo
from napari_saliency.session.checks import Checks
from napari_saliency.session.selection import ClassSelection
from napari_saliency.session.signals import Signals
from napari_saliency.session.state import ModelStatus, Phase, Problem, Progress, Request


def prediction(count=1000, seed=3, best=None):
    """A prediction of ``count`` classes, some of them likely."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count).astype(np.float32)
    if best is not None:
        logits[best] = logits.max() + 1
    powers = np.exp(logits - logits.max())
    return Prediction(
        logits,
        powers / powers.sum(),
        np.log(powers / powers.sum()),
        tuple(f"class number {n}" for n in range(count)),
    )


def info(labels=("cat", "dog", "fish"), **changes):
    """What is known of a model."""
    values = {
        "source": "fake:net",
        "name": "net",
        "input": InputSpec((224, 224), 3),
        "labels": tuple(labels),
        "layers": (Layer("early", (56, 56), 8), Layer("late", (7, 7), 64)),
        "cam_layer": "late",
        "fingerprint": "f",
    }
    return ModelInfo(**values | changes)


def explanation(index=0, values=None, predicted=None, placement=None, **changes):
    """A finished map of one class."""
    predicted = predicted or prediction(3)
    values = np.arange(12, dtype=np.float32).reshape(3, 4) * (index + 1) if values is None else values
    fields = {
        "values": values,
        "placement": placement or Placement((1.0, 1.0), (0.0, 0.0)),
        "target": Target.of_class(index),
        "label": predicted.labels[index],
        "score": float(predicted.logits[index]),
        "method": "gradient",
        "title": "Gradient",
        "options": {},
        "prediction": predicted,
        "done": 1,
        "total": 1,
        "stderr": None,
        "diagnostics": {},
        "notes": (),
        "provenance": {},
    }
    return Explanation(**fields | changes)


def _placed(fine, values):
    """Where a map of another size lies that covers what the model saw (224×224)."""
    return fine if values is None else fine.coarser((224, 224), values.shape[:2])


class FakeChecking:
    """Remembers what it was told, and shows what the test sets."""

    def __init__(self, changed):
        self._changed, self.commands = changed, []
        self.state, self.possible = Checks(), True
        self.drawn = None

    def run(self, name=""):
        self.commands.append(("run", name))

    def look_for(self, drawn):
        self.drawn = drawn

    def cancel(self):
        self.commands.append(("cancel",))

    def set(self, **state):
        self.state = Checks(**state)
        self._changed(self.state)


class FakeSession(Signals):
    """Answers every command at once, unless ``patient`` is set: then `finish` lets the run end."""

    def __init__(self, predicted=None, status=None, values=None):
        self._predicted = predicted or prediction(3)
        self._values = values or (lambda index, title: None)
        self.commands = []
        self.checks = FakeChecking(self.checks_changed.emit)
        self.patient = False
        self.known_maps = {}
        self.model = status or ModelStatus(Phase.READY, "ready: 224×224 RGB, 3 classes", "fake:net", info())
        self.picture = self.prepared = self.prediction = None
        self.asked = ClassSelection()
        self.progress = self.explanation = self.request = None
        self.known_classes = frozenset()
        self.stale = True
        self.live = self.cancelling = False
        self.method = next(iter(METHODS))
        self.options = METHODS[self.method].complete({})
        self.score = "logit"

    def start(self):
        self.commands.append(("start",))

    def set(self, **choices):
        self.commands.append(("set", choices))

    def open_model(self, source, settings=None):
        self.commands.append(("open_model", source, settings))
        self.set_model(ModelStatus(Phase.LOADING, f"loading {source}", source))

    def answer(self, settings):
        self.commands.append(("answer", settings))

    def view_layer(self, layer):
        self.commands.append(("look_inside", layer))

    def trust(self):
        self.commands.append(("trust",))

    def set_model(self, status):
        self.model = status
        self.model_changed.emit(status)

    def set_picture(self, picture):
        if (picture and picture.key) == (self.picture and self.picture.key):
            return
        self.commands.append(("set_picture", picture))
        self.picture, self.stale = picture, True
        self.picture_changed.emit(picture)
        self.prepared = self.prediction = None
        if picture is not None and self.model.info is not None:
            pixels, values = picture.read()
            self.prepared = prepare(pixels, self.model.info.input, values)
            self.prediction = self._predicted
        self.prepared_changed.emit(self.prepared)
        self.prediction_changed.emit(self.prediction)
        if self.live and picture is not None:
            self.explain()

    def set_method(self, method, options):
        self.method, self.options, self.stale = method, METHODS[method].complete(options), True
        self.commands.append(("set_method", method, self.options))

    def set_score(self, score):
        self.score = score
        self.commands.append(("set_score", score))

    @property
    def selected(self):
        return self.asked.selected

    def ask(self, asked):
        self.commands.append(("ask", asked))
        self.asked = asked
        self.class_changed.emit(asked.selected)
        self.explain()

    def select_class(self, index):
        self.commands.append(("select_class", index))
        self.ask(ClassSelection.one(index))

    def step_class(self, by):
        order = self.prediction.order().tolist()
        here = 0 if self.selected is None else order.index(self.selected)
        self.select_class(order[min(max(here + by, 0), len(order) - 1)])

    def explain(self):
        self.commands.append(("explain",))
        self.cancelling = False
        if self.patient:
            self.progress = Progress(3, 50, "computing")
            self.progress_changed.emit(self.progress)
        else:
            self.finish()

    def finish(self, **changes):
        index = self.asked.selected_in(self.prediction)
        method = METHODS[self.method]
        self.request = Request(
            self.picture.key,
            self.model.source,
            method.id,
            tuple(sorted(self.options.items())),
            self.asked.target(self.prediction, self.score, None),
        )
        if self.request not in self.known_maps or changes:
            values = self._values(index, method.title)
            self.known_maps[self.request] = explanation(
                index,
                values,
                self._predicted,
                _placed(self.prepared.placement, values),
                title=method.title,
                method=method.id,
                target=self.request.target,
                shows=method.shows,
                **changes,
            )
        self.set_known({known.target.index for known in self.known_maps} - {None})
        self.explanation, self.stale = self.known_maps[self.request], False
        self.explanation_changed.emit(self.explanation)
        self.end_progress()

    def end_progress(self):
        self.progress, self.cancelling = None, False
        self.progress_changed.emit(None)

    def cancel(self):
        self.commands.append(("cancel",))
        self.cancelling = True
        self.progress = Progress(self.progress.done, self.progress.total, "stopping after this step")
        self.progress_changed.emit(self.progress)

    def dismiss(self):
        self.commands.append(("dismiss",))
        self.request = self.explanation = None
        self.explanation_changed.emit(None)

    def stop_by_force(self):
        self.commands.append(("stop_by_force",))
        self.set_model(
            ModelStatus(Phase.LOST, "stopped by force; starting the engine again", self.model.source)
        )
        self.end_progress()

    def fail(self, message, details=""):
        self.failed.emit(Problem(message, details))

    def known(self):
        return list(self.known_maps.values())

    def set_known(self, classes):
        self.known_classes = frozenset(classes)
        self.known_classes_changed.emit(self.known_classes)

    def close(self):
        self.commands.append(("close",))

    def of(self, name):
        return [command for command in self.commands if command[0] == name]
