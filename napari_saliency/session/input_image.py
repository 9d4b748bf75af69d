"""The picture as the model sees it, and what the model says of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_saliency.core.placement import Region
from napari_saliency.engine import process as engine
from napari_saliency.images.prepare import prepare
from napari_saliency.session.state import Problem, SourceImage

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction
    from napari_saliency.engine.client import BackgroundThread, EngineClient
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.models import ModelInfo


class ModelInput:
    """One picture: read and fitted for a model, then predicted. An answer for another one is dropped.

    What failed is not asked again by itself, unless for another picture or model.

    Parameters
    ----------
    reader : ThreadLink
        For reading: a picture may lie on a slow disk.
    link : EngineLink
        To the engine.
    prepared, predicted : callable
        Called with every new value of the attribute, None too.
    failed : callable
        ``failed(problem)`` is called when something went wrong.

    Attributes
    ----------
    picture : Picture or None
        What was given to look at.
    prepared : Prepared or None
        What the model sees of it.
    prediction : Prediction or None
        What the model says of it.
    """

    def __init__(
        self,
        reader: BackgroundThread,
        link: EngineClient,
        prepared: Callable[[Prepared | None], None],
        predicted: Callable[[Prediction | None], None],
        failed: Callable[[Problem], None],
    ) -> None:
        self._reader, self._link = reader, link
        self._on_preparation, self._on_prediction, self._on_failure = prepared, predicted, failed
        self._prepared_for: Hashable | None = None
        self._predicted_for: tuple[Hashable, ModelInfo] | None = None
        self._failed = False
        self.picture: SourceImage | None = None
        self.prepared: Prepared | None = None
        self.prediction: Prediction | None = None

    def look_at(self, picture: SourceImage | None) -> None:
        """Take another picture, or none. What is known of the one before stays until it is replaced."""
        self.picture, self._failed = picture, False
        if picture is None:
            self.prepared = self.prediction = self._prepared_for = self._predicted_for = None
            self._on_preparation(None)
            self._on_prediction(None)

    def forget_prediction(self) -> None:
        """Forget what a model said that is no longer asked."""
        self.prediction = self._predicted_for = None
        self._on_prediction(None)

    def missing(self, info: ModelInfo) -> str:
        """Say in the user's words what has to be waited for; nothing once a model's prediction is there."""
        assert self.picture is not None
        if self.prepared is None or self._prepared_for != _preparation(self.picture, info):
            return "reading the picture"
        if self.prediction is None or self._predicted_for != (self.picture.key, info):
            return "looking at the picture"
        return ""

    def ask(self, info: ModelInfo, *, again: bool) -> None:
        """Ask for what is missing, unless that is under way; ``again`` also for what has failed."""
        assert self.picture is not None
        again = again and self._failed
        if self._prepared_for != _preparation(self.picture, info) or (again and self.prepared is None):
            self._prepare(self.picture, info)
        elif self.prepared is not None and (self._predicted_for != (self.picture.key, info) or again):
            self._predict(self.prepared, (self.picture.key, info))

    def lose(self) -> None:
        """Go on without the engine that was asked: the picture may be what has ended it."""
        self._failed = self.prediction is None

    def _prepare(self, picture: SourceImage, info: ModelInfo) -> None:
        key = self._prepared_for = _preparation(picture, info)
        self.prepared, self._failed = None, False

        def read() -> Prepared:
            image, values = picture.read()
            return _with_region(prepare(image, info.input, values), picture, info)

        self._reader.call(read, then=partial(self._is_prepared, key), failed=partial(self._not_prepared, key))

    def _predict(self, prepared: Prepared, key: tuple[Hashable, ModelInfo]) -> None:
        self._predicted_for, self.prediction, self._failed = key, None, False
        call = partial(engine.predict, prepared.x, prepared.region)
        self._link.call(call, then=partial(self._is_predicted, key), failed=partial(self._not_predicted, key))

    def _is_prepared(self, key: Hashable, prepared: Prepared) -> None:
        if key == self._prepared_for:
            self.prepared, self._predicted_for = prepared, None
            self._on_preparation(prepared)

    def _not_prepared(self, key: Hashable, error: BaseException) -> None:
        if key == self._prepared_for:
            self._failed = True
            self._on_failure(Problem.of("The picture cannot be used", error))
            self._on_preparation(None)
            self.forget_prediction()

    def _is_predicted(self, key: tuple[Hashable, ModelInfo], prediction: Prediction) -> None:
        if key == self._predicted_for:
            self.prediction = prediction
            self._on_prediction(prediction)

    def _not_predicted(self, key: tuple[Hashable, ModelInfo], error: BaseException) -> None:
        if key == self._predicted_for:
            self._failed = True
            self._on_failure(Problem.of("The model failed on this picture", error))
            self._on_prediction(None)


def _preparation(picture: SourceImage, info: ModelInfo) -> Hashable:
    """All that decides how a picture is prepared."""
    return picture.key, info.input, bool(info.space)


def _with_region(prepared: Prepared, picture: SourceImage, info: ModelInfo) -> Prepared:
    """Find the region that is looked at, for models whose output has space."""
    if not info.space:
        return prepared
    if picture.contains is None:
        return replace(prepared, region=prepared.picture)
    region = Region.where(picture.contains, prepared.placement, prepared.x.shape[:-1], prepared.picture)
    return replace(
        prepared, region=region, description=(*prepared.description, f"region of {region.size} pixels")
    )
