"""What is looked at, what is chosen, and what is shown: all that can be asked of an inspection.

What is done about it is in `_session`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_saliency.session.checks import Checked
from napari_saliency.session.selection import ClassSelection
from napari_saliency.session.signals import Signals
from napari_saliency.session.state import Phase, Request

if TYPE_CHECKING:
    from napari_saliency.core.types import Prediction, Score
    from napari_saliency.images.prepare import Prepared
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.session.input_image import ModelInput
    from napari_saliency.session.model_loader import ModelLoader
    from napari_saliency.session.runs import JobRunner
    from napari_saliency.session.state import ExplanationCache, ModelStatus, SourceImage


class SessionState(Signals):
    """The state of an inspection, and what follows from it."""

    asked: ClassSelection
    explanation: Explanation | None
    request: Request | None
    score: Score
    method: str
    options: dict[str, Any]
    _open_model: ModelLoader
    _seen: ModelInput
    _runner: JobRunner
    _cache: ExplanationCache

    @property
    def model(self) -> ModelStatus:
        """The model and how it stands."""
        return self._open_model.status

    @property
    def picture(self) -> SourceImage | None:
        """What was given to look at."""
        return self._seen.picture

    @property
    def prepared(self) -> Prepared | None:
        """What the model sees of it."""
        return self._seen.prepared

    @property
    def prediction(self) -> Prediction | None:
        """What the model says of it."""
        return self._seen.prediction

    @property
    def selected(self) -> int | None:
        """The class that is explained, rather than others if there are any; None for the top class."""
        return self.asked.selected

    def known(self) -> list[Explanation]:
        """Return known maps that differ from what is shown in nothing but the class."""
        return self._cache.alike(self.request) if self.request else []

    @property
    def cancelling(self) -> bool:
        """Whether what runs is to stop after the step that is under way."""
        return self._runner.run is not None and self._runner.run.cancelled

    @property
    def stale(self) -> bool:
        """Whether what is shown does not answer what is chosen now."""
        return self.request is None or self.request != self._request()

    def _request(self, index: int | None = None) -> Request | None:
        """Exactly what is chosen now, of the selected class or another one."""
        info = self.model.info
        if self.picture is None or info is None or self.prediction is None:
            return None
        score = self.score if self.score in info.scores else info.scores[0]
        region = self.prepared.region if self.prepared else None
        asked = self.asked if index is None else ClassSelection.one(index)
        target = asked.target(self.prediction, score, region)
        return Request.of(self.picture, info, self.method, self.options, target)

    def _checked(self) -> Checked | None:
        """What is shown, if it can be checked: a map, complete, and of what is chosen now."""
        info, prepared, result = self.model.info, self.prepared, self.explanation
        if self.model.phase is not Phase.READY or info is None or prepared is None or self.stale:
            return None
        if result is None or not result.complete or result.shows != "map":
            return None
        return Checked(prepared.x, result, info, prepared.placement, prepared.picture)
