"""What the user is told in a corner of napari's window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import Notification, notification_manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency.session.state import Problem


def notify(problem: Problem, show_details: Callable[[Problem], None]) -> None:
    """Show a problem, and what lies behind it on a button's press.

    napari's notices have one line of some forty letters until they are unfolded.
    """
    more = problem.details or problem.brief
    actions = (("Details", lambda *_: show_details(problem)),) if more else ()
    notification_manager.dispatch(Notification(problem.brief or problem.message, "warning", actions=actions))


def warn(message: str) -> None:
    """Show a sentence."""
    notification_manager.dispatch(Notification(message, "warning"))
