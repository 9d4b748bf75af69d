"""Decides what a session does next: a function of what was chosen and of what is known.

An explanation needs three answers, in this order: a model, a prepared image, a prediction. The first one that is
missing is asked for. What has failed is not asked for again by itself.
"""

from __future__ import annotations

import time
from collections.abc import Container, Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_saliency.core.types import Target
from napari_saliency.session.choice import Keys
from napari_saliency.session.pending import Answer
from napari_saliency.session.state import Phase

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.session.choice import Choice, ModelChoice
    from napari_saliency.session.state import ModelStatus, Request

PREFETCH = 5
"""Top classes whose maps are fetched ahead."""

PREFETCH_SECONDS = 3.0
"""Seconds that a map may take in all for others to be fetched ahead."""

LOADING, READING, LOOKING, COMPUTING = (
    "waiting for the model",
    "reading the picture",
    "looking at the picture",
    "computing",
)
"""Reasons for waiting, in the user's words."""


@dataclass(frozen=True)
class OpenModel:
    """Open a model in the engine, or start the engine if no model is chosen."""

    model: ModelChoice
    waits_for: str = LOADING


@dataclass(frozen=True)
class Prepare:
    """Read the image and make the model's input of it."""

    key: Hashable
    waits_for: str = READING


@dataclass(frozen=True)
class Predict:
    """Ask the model about the prepared image."""

    key: Hashable
    waits_for: str = LOOKING


@dataclass(frozen=True)
class Show:
    """Show a map that is known."""

    request: Request
    waits_for: str = COMPUTING


@dataclass(frozen=True)
class Compute:
    """Compute the map that is wanted."""

    request: Request
    waits_for: str = COMPUTING


@dataclass(frozen=True)
class Prefetch:
    """Compute another class's map while the engine has nothing else to do."""

    request: Request
    waits_for: str = ""


@dataclass(frozen=True)
class Idle:
    """Wait for an answer, or for the user."""

    waits_for: str = ""


Step = OpenModel | Prepare | Predict | Show | Compute | Prefetch | Idle


@dataclass(eq=False)
class Job:
    """A method under way.

    Attributes
    ----------
    request : Request
        The request that it answers.
    wanted : bool
        False while it is fetched ahead, and nobody has asked for it.
    first : float
        Time of the first step, in seconds of a monotonic clock; that step may have compiled a function, once,
        and says nothing about the time that the method takes.
    done, total : int
        Steps done, and their number.
    """

    request: Request
    wanted: bool
    first: float = 0.0
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Pace:
    """Time that the last map took, and maps fetched ahead since it was asked for.

    Maps may have to be forgotten for each other, so their number is limited; else fetching would never end.
    """

    seconds: float = 0.0
    fetched: int = 0

    @property
    def fast(self) -> bool:
        """True if one more map is worth fetching."""
        return self.seconds <= PREFETCH_SECONDS and self.fetched < PREFETCH

    def after(self, job: Job) -> Pace:
        """Return the pace after a job that has ended."""
        if job.wanted:
            return replace(self, seconds=time.monotonic() - job.first)
        return replace(self, fetched=self.fetched + 1)

    def again(self) -> Pace:
        """Return the pace after the user has asked for another map."""
        return replace(self, fetched=0)

    def stopped(self) -> Pace:
        """Return the pace at which nothing is fetched until the user asks for another map."""
        return replace(self, fetched=PREFETCH)


@dataclass(frozen=True, eq=False)
class Known:
    """State of a session at one moment.

    Attributes
    ----------
    model : ModelStatus
        The model and its state.
    loaded : ModelChoice or None
        The model that the engine at hand was asked for last; None if it is to be asked anew.
    prepared, predicted : Answer
        The model's input, and the prediction, by the keys that they were asked for.
    keys : Keys
        The keys of what is chosen now.
    displayed : Request or None
        What is shown.
    job : Job or None
        The method under way.
    maps : container of Request
        Requests whose maps are known.
    classes : frozenset of int
        Classes among them that differ from what is chosen in nothing else.
    pace : Pace
        What may be fetched ahead.
    """

    model: ModelStatus
    loaded: ModelChoice | None
    prepared: Answer[Hashable, Prepared] = field(default_factory=Answer)
    predicted: Answer[Hashable, Prediction] = field(default_factory=Answer)
    keys: Keys = field(default_factory=Keys)
    displayed: Request | None = None
    job: Job | None = None
    maps: Container[Request] = ()
    classes: frozenset[int] = frozenset()
    pace: Pace = field(default_factory=Pace)


def next_step(choice: Choice, known: Known) -> Step:
    """Return what is to be done next."""
    if not choice.open:
        return Idle()
    if known.loaded is not choice.model:  # a copy asks for the same model to be opened anew
        return OpenModel(choice.model)
    if choice.picture is None or known.model.info is None:
        return Idle(LOADING)
    request = known.keys.request
    if choice.wanted and request is not None and request in known.maps:
        return Show(request)  # even while the model is opened again
    if known.model.phase is not Phase.READY:
        return Idle(LOADING)
    return _next_answer(choice, known)


def _next_answer(choice: Choice, known: Known) -> Step:
    keys, prepared, predicted = known.keys, known.prepared, known.predicted
    # What failed is tried again when a map is asked for, not by itself: that would never end.
    if prepared.key != keys.input or (choice.wanted and prepared.error):
        return Prepare(keys.input)
    if prepared.value is None:
        return Idle(READING)
    if predicted.key != keys.prediction or (choice.wanted and predicted.error):
        return Predict(keys.prediction)
    if predicted.value is None:
        return Idle(LOOKING)
    assert keys.request is not None
    return Compute(keys.request) if choice.wanted else _prefetch(choice, predicted.value, known)


def _prefetch(choice: Choice, prediction: Prediction, known: Known) -> Step:
    request = known.keys.request
    # Only while nothing else runs, and what is chosen is shown: fetching must not delay what is waited for.
    if known.job is not None or request is None or request != known.displayed:
        return Idle()
    if not known.pace.fast or gave_up(choice, known):
        return Idle()
    missing = (row.index for row in prediction.top(PREFETCH) if row.index not in known.classes)
    index = next(missing, None)
    if index is None:
        return Idle()
    target = Target(((index, 1.0),), request.target.score, request.target.region)
    return Prefetch(request.recipe.request(target))


def gave_up(choice: Choice, known: Known) -> bool:
    """Return True if the user cancelled what is chosen now, or another class of it, and it did not end in time."""
    cancelled, recipe = choice.cancelled, known.keys.recipe
    if cancelled is None or recipe is None or cancelled in known.maps:
        return False
    return cancelled.recipe == recipe
