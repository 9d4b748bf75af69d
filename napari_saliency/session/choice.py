"""Choices that a person makes in a session."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_saliency.methods import METHODS
from napari_saliency.models import Settings
from napari_saliency.session.selection import ClassSelection
from napari_saliency.session.state import Recipe

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction, Score
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.session.pending import Answer
    from napari_saliency.session.settings_edit import SettingsEdit
    from napari_saliency.session.state import ModelStatus, Request, SourceImage


@dataclass(frozen=True, eq=False)
class ModelChoice:
    """A wish to open a model. Each is a wish of its own: an equal one opens the model once more.

    Attributes
    ----------
    source : str
        What `load_model` takes; empty for none.
    settings : Settings
        Given for the model since it was chosen.
    viewed_layer : str
        Layer whose channels are explained in place of the model's classes; empty for none.
    edit : SettingsEdit or None
        The last change of the settings.
    """

    source: str = ""
    settings: Settings = field(default_factory=Settings)
    viewed_layer: str = ""
    edit: SettingsEdit | None = None

    @property
    def on_trial(self) -> bool:
        """True until the model has accepted its last settings."""
        return self.edit is not None and not self.edit.accepted

    def opens_the_same(self, other: ModelChoice) -> bool:
        """Return True if another wish opens the same model."""
        this, that = ((each.source, each.settings, each.viewed_layer) for each in (self, other))
        return this == that


def _first_method() -> str:
    return next(iter(METHODS))


def _its_options() -> Mapping[str, Any]:
    return METHODS[_first_method()].complete({})


@dataclass(frozen=True, eq=False)
class Choice:
    """Everything that a person has chosen.

    Attributes
    ----------
    picture : SourceImage or None
        The image, with the region that is explained.
    model : ModelChoice
        The model.
    method : str
        Id of the method.
    options : mapping
        All options of the method.
    score : Score
        The number of each class that is explained; if the model does not have it, its first one is.
    classes : ClassSelection
        The classes that are explained.
    meaning : hashable
        The meaning of the classes' indices; see `ClassSelection`.
    live : bool
        True if everything that is chosen is explained without being asked for.
    wanted : bool
        True from the wish for a map until it is shown or the method begins.
    cancelled : Request or None
        The request that was cancelled last. Nothing that differs from it only in the class begins by itself.
    open : bool
        True from the session's start to its end; at other times nothing is asked or told.
    """

    picture: SourceImage | None = None
    model: ModelChoice = field(default_factory=ModelChoice)
    method: str = field(default_factory=_first_method)
    options: Mapping[str, Any] = field(default_factory=_its_options)
    score: Score = "logit"
    classes: ClassSelection = field(default_factory=ClassSelection)
    meaning: Hashable = None
    live: bool = False
    wanted: bool = False
    cancelled: Request | None = None
    open: bool = False


@dataclass(frozen=True, eq=False)
class Keys:
    """The keys of what is chosen, as far as they are known.

    Attributes
    ----------
    input, prediction : hashable or None
        Keys of the model's input and of its prediction; None without an image or an open model.
    recipe : Recipe or None
        All of the request but its classes; None without an image or an open model.
    request : Request or None
        The request; None until the prediction is known, from which the top class is read.
    """

    input: Hashable = None
    prediction: Hashable = None
    recipe: Recipe | None = None
    request: Request | None = None

    def answered(
        self,
        classes: ClassSelection,
        prepared: Answer[Hashable, Prepared],
        predicted: Answer[Hashable, Prediction],
    ) -> Keys:
        """Add the request, if these are the answers that it needs."""
        request, recipe, x, prediction = None, self.recipe, prepared.value, predicted.value
        current = prepared.key == self.input and predicted.key == self.prediction
        if current and recipe is not None and x is not None and prediction is not None:
            request = recipe.request(classes.target(prediction, recipe.score, x.region))
        return Keys(self.input, self.prediction, recipe, request)


def resolve(choice: Choice, status: ModelStatus) -> Keys:
    """Return the keys of what is chosen, but for the request."""
    picture, info, explained = choice.picture, status.info, status.explained
    if picture is None or info is None or explained is None:
        return Keys()
    key, scores = picture.input_key(info), info.scores
    score = choice.score if choice.score in scores else scores[0]
    recipe = Recipe(picture.key, explained, choice.method, tuple(sorted(choice.options.items())), score)
    return Keys(key, (key, info), recipe)
