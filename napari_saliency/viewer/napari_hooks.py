"""The plugin's hooks into napari's window: keys in the canvas, notifications, and models that are dropped on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
from napari.utils.notifications import Notification, notification_manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_saliency.session.session import Session
    from napari_saliency.session.state import Problem

    Bound = Callable[[ViewerModel], object]

STEPS = {"[": -1, "]": 1}
"""Keys that step through the classes, and the direction of each."""

NO_LAYERS = [(None,)]
"""napari's sentinel for a reader that has read the file and adds no layer."""


class Keys:
    """``[`` and ``]`` in the canvas step through the classes, until they are closed."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._steps = [ClassKey(session, by) for by in STEPS.values()]
        for key, step in zip(STEPS, self._steps, strict=True):
            step.over = viewer.bind_key(key, step, overwrite=True)

    def close(self) -> None:
        """Give the keys back to their previous owner if it still exists, unless somebody else has bound them since."""
        for key, step in zip(STEPS, self._steps, strict=True):
            step.closed = True
            bound = _living(self._viewer.bind_key(key, None))
            if bound is not None:
                self._viewer.bind_key(key, bound, overwrite=True)


class ClassKey:
    """The action of one key.

    Attributes
    ----------
    over : callable or None
        Previous action of the key.
    closed : bool
        True once its panel is gone.
    """

    def __init__(self, session: Session, by: int) -> None:
        # napari reads the names of all actions that keys are bound to.
        self.__name__ = f"saliency_{'next' if by > 0 else 'previous'}_class"
        self._session, self._by = session, by
        self.over: Bound | None = None
        self.closed = False

    def __call__(self, _viewer: ViewerModel) -> None:
        """Show the neighbouring class."""
        self._session.step_class(self._by)


def _living(bound: Bound | None) -> Bound | None:
    """Skip the actions of panels that are gone."""
    while isinstance(bound, ClassKey) and bound.closed:
        bound = bound.over
    return bound


def notify(problem: Problem, show_details: Callable[[Problem], None]) -> None:
    """Notify the user of a problem, with its details behind a button.

    napari's notifications have a single line of about forty letters until they are unfolded.
    """
    more = problem.details or problem.brief
    actions = (("Details", lambda *_: show_details(problem)),) if more else ()
    notification_manager.dispatch(Notification(problem.brief or problem.message, "warning", actions=actions))


def warn(message: str) -> None:
    """Notify the user with a sentence."""
    notification_manager.dispatch(Notification(message, "warning"))


def read_model(path: str | list[str]) -> Callable[[str], list[tuple[None]]] | None:
    """Return a function that opens a model file in the panel, as napari expects of a reader; None without a window."""
    return _open if isinstance(path, str) and napari.current_viewer() is not None else None


def _open(path: str) -> list[tuple[None]]:
    viewer = napari.current_viewer()
    assert viewer is not None
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    panel.choose_model(path)
    return NO_LAYERS
