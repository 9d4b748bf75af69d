"""``[`` and ``]`` in the viewer's canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_saliency.session.session import Session

    Bound = Callable[[ViewerModel], object]

STEPS = {"[": -1, "]": 1}


class Keys:
    """``[`` and ``]`` step through the classes, until they are closed."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self._viewer = viewer
        self._steps = [ClassKey(session, by) for by in STEPS.values()]
        for key, step in zip(STEPS, self._steps, strict=True):
            step.over = viewer.bind_key(key, step, overwrite=True)

    def close(self) -> None:
        """Give the keys back to whoever had them and is still there, unless somebody else has taken them."""
        for key, step in zip(STEPS, self._steps, strict=True):
            step.closed = True
            bound = _living(self._viewer.bind_key(key, None))
            if bound is not None:
                self._viewer.bind_key(key, bound, overwrite=True)


class ClassKey:
    """What one key does.

    Attributes
    ----------
    over : callable or None
        What the key did before.
    closed : bool
        Its panel is gone.
    """

    def __init__(self, session: Session, by: int) -> None:
        # napari looks at the names of all that keys are bound to.
        self.__name__ = f"saliency_{'next' if by > 0 else 'previous'}_class"
        self._session, self._by = session, by
        self.over: Bound | None = None
        self.closed = False

    def __call__(self, _viewer: ViewerModel) -> None:
        """Show the neighbouring class."""
        self._session.step_class(self._by)


def _living(bound: Bound | None) -> Bound | None:
    """Look below steps of panels that are gone."""
    while isinstance(bound, ClassKey) and bound.closed:
        bound = bound.over
    return bound
