"""Signals of a session, and the one place that finds out which of them to emit."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

from psygnal import Signal

from napari_saliency.session.pending import Answer


class Signals:
    """Signals carry the new value, and the session's attribute of the same name holds it, but for two.

    ``class_changed`` carries the selected class, and comes with every other selection of classes, too; ``failed`` is
    an event.
    """

    model_changed = Signal(object)  # ModelStatus
    picture_changed = Signal(object)  # SourceImage | None
    prepared_changed = Signal(object)  # Prepared | None
    prediction_changed = Signal(object)  # Prediction | None
    class_changed = Signal(object)  # int | None
    known_classes_changed = Signal(object)  # frozenset[int]
    progress_changed = Signal(object)  # Progress | None
    explanation_changed = Signal(object)  # Explanation | None
    checks_changed = Signal(object)  # Checks
    failed = Signal(object)  # Problem


class News(NamedTuple):
    """A signal, the attribute that it tells, and the attribute whose changes it follows."""

    signal: str
    value: Callable[[object], Any]
    token: Callable[[object], Any]


NEWS = tuple(
    News(signal, attrgetter(value), attrgetter(token or value))
    for signal, value, token in (
        ("class_changed", "selected", "_choice.classes"),
        ("model_changed", "_loader.status", ""),
        ("picture_changed", "_choice.picture", ""),
        ("prepared_changed", "_prepared.answer.value", "_prepared.answer"),
        ("prediction_changed", "_predicted.answer.value", "_predicted.answer"),
        ("known_classes_changed", "known_classes", ""),
        ("explanation_changed", "_shown.explanation", "_shown"),
        ("progress_changed", "progress", ""),
    )
)
"""All signals that follow a change of state, in the order in which they are emitted."""


class Told:
    """State that listeners of a session know already.

    Answers that are still waited for are not told: until they come, the ones before them stay in sight.
    """

    def __init__(self, session: object) -> None:
        self._session = session
        self._tokens = {news.signal: news.token(session) for news in NEWS}

    def __getitem__(self, signal: str) -> Any:  # noqa: ANN401 - of each signal another type
        """Return what a signal has told last."""
        return self._tokens[signal]

    def news(self) -> list[News]:
        """Return what has changed since it was told, and take it for told."""
        changed = []
        for news in NEWS:
            token, told = news.token(self._session), self._tokens[news.signal]
            if token is told or (isinstance(token, Answer) and token.waiting):
                continue
            self._tokens[news.signal] = token
            if token != told:
                changed.append(news)
        return changed
