"""A session with an engine that waits to be told, and models whose maps are known by hand."""

import numpy as np

from napari_saliency.core.errors import ModelError
from napari_saliency.engine import process as engine_process
from napari_saliency.models import InputSpec, Layer, Model, ModelInfo, Tap
from napari_saliency.models.layer_view import describe_layer_view
from napari_saliency.session.model_loader import PATIENCE
from napari_saliency.session.session import Session
from napari_saliency.session.state import SourceImage
from tests.executors import Immediate, Manual

MODEL, OTHER = "keras:MobileNetV2", "keras:VGG16"
SLOW = {"samples": 40}  # several steps


class Quadratic(Model):
    """Scores ``sum(a_k x + x² / 2)``: the gradient ``a_k + x`` depends on picture and class."""

    def __init__(self, source, settings):
        other = settings.output == "other"
        self.slopes = -np.arange(2, dtype=np.float32) if other else np.arange(6, dtype=np.float32)
        self.calls = []
        labels = settings.labels or tuple("abcdef")[: len(self.slopes)]
        self.info = ModelInfo(
            source,
            source,
            InputSpec((4, 4), 1),
            labels,
            layers=(Layer("late", (4, 4), 1),),
            cam_layer="late",
            fingerprint=f"print of {source}",
            questions=() if settings.labels else ("labels",),
            outputs=("other", "first") if other else ("first", "other"),
        )

    def with_settings(self, settings):
        return Quadratic(self.info.source, settings)

    def scores(self, x):
        self.calls.append("scores")
        return (self.slopes * x.sum((1, 2, 3))[:, None] / 255 + (x**2).sum((1, 2, 3))[:, None] / 2).astype(
            np.float32
        )

    def gradient(self, x, targets, rule=None):
        self.calls.append("gradient")
        if rule:
            raise ModelError("there is no ReLU here")
        slope = (targets.weights @ self.slopes)[:, None, None, None]
        return self.scores(x).sum(1), (slope / 255 + x).astype(np.float32)

    def tap(self, x, targets, layer):
        return Tap(x, self.gradient(x, targets)[1])

    def view_layer(self, layer):
        if layer != "late":
            raise ModelError(f"no layer {layer!r}")
        return Squares(self)


class Squares(Model):
    """Inside `Quadratic`: one layer with two channels, ``x²`` and ``-x``."""

    def __init__(self, whole):
        self.calls = whole.calls
        self.info = describe_layer_view(whole.info, Layer("late", (4, 4), 2), ())

    def with_settings(self, settings):
        raise AssertionError("settings are said of the whole model")

    def scores(self, x):
        self.calls.append("view_layer")
        return np.concatenate([x**2, -x], -1)

    def gradient(self, x, targets, rule=None):
        slopes = np.concatenate([2 * x, np.full_like(x, -1)], -1)
        return self.weigh(self.scores(x), targets), (targets.weights * slopes).sum(-1, keepdims=True)

    def tap(self, x, targets, layer):
        raise self.no_layer(layer)


class Later:
    """A clock that stands still until the test says that time has passed."""

    def __init__(self):
        self.now, self.waiting = 0, []

    def __call__(self, seconds, call):
        assert seconds > 0
        self.waiting.append((self.now + seconds, call))

    def pass_by(self, seconds=PATIENCE):
        self.now += seconds
        due = [call for when, call in self.waiting if when <= self.now]
        self.waiting = [(when, call) for when, call in self.waiting if when > self.now]
        for call in due:
            call()


class Desk:
    """An inspection with everything that it emitted, and an engine that waits to be told."""

    def __init__(self):
        self.engines, self.emitted, self.later = [], [], Later()
        self.session = Session(self._start, lambda answer: answer(), Immediate, self.later)
        for name in ("model", "prepared", "prediction", "class", "known_classes", "progress", "explanation"):
            signal = getattr(self.session, f"{name}_changed")
            signal.connect(lambda value, name=name: self.emitted.append((name, value)))
        self.session.failed.connect(lambda problem: self.emitted.append(("failed", problem)))
        self.session.start()

    def _start(self):
        self.engines.append(Manual())
        return self.engines[-1]

    @property
    def engine(self):
        return self.engines[-1]

    def of(self, name):
        return [value for emitted, value in self.emitted if emitted == name]

    def settle(self):
        while self.engine.calls:
            self.engine.run_next()

    def show(self, key=1, value=100, **model):
        """Open the model, give it a picture, and wait until both are looked at."""
        self.session.open_model(MODEL, **model)
        self.session.set_picture(picture(key, value))
        self.settle()
        return self.session


def picture(key=1, value=100):
    return SourceImage(key, f"picture {key}", lambda: (np.full((4, 4), value, np.uint8), None))


def engine_model():
    return engine_process._engine().model
