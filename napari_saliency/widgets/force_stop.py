"""Stopping what runs, kindly first and after a while by force: what every button that cancels has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

PATIENCE = 2000
"""Milliseconds after which a step that was cancelled, or loading a model, may be stopped by force."""

CANCEL, STOPPING, FORCE = "Cancel", "Stopping…", "Stop by force"
STOP_TIPS = {
    STOPPING: "The step that is under way is the last one.",
    FORCE: "The step does not end. This ends the engine and starts it again; nothing else is lost.",
}


class Patience:
    """Tells when something has had its time to end.

    Parameters
    ----------
    owner : QWidget
        It ends with that.
    ended : callable
        Called when patience does.

    Attributes
    ----------
    timer : QTimer
        Runs while there is patience.
    """

    def __init__(self, owner: QWidget, ended: Callable[[], object]) -> None:
        self._with: str | bool = ""
        self.timer = QTimer(owner)
        self.timer.setSingleShot(True)
        self.timer.setInterval(PATIENCE)
        self.timer.timeout.connect(ended)

    def have(self, what: str | bool) -> None:
        """Be patient with this; what is another than before has its own time, what is false needs none."""
        if what == self._with:
            return
        self._with = what
        if what:
            self.timer.start()
        else:
            self.timer.stop()

    @property
    def over(self) -> bool:
        """Whether it has had its time."""
        return bool(self._with) and not self.timer.isActive()

    @property
    def word(self) -> str:
        """What the button says if patience is had with what was cancelled."""
        if not self._with:
            return CANCEL
        return FORCE if self.over else STOPPING
