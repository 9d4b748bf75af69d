"""The demo: a photo, what a bundled model makes of it, and where it looked."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_saliency.app.samples import cat
from napari_saliency.session.state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_saliency.core.types import Prediction
    from napari_saliency.session.session import Session
    from napari_saliency.widgets.panel import SaliencyPanel

MODEL, METHOD = "bundled:photos", "grad_cam"
PATIENCE = 300
"""Seconds after which a demo without a viewer gives up."""


def run(screenshot: Path | None) -> None:
    """Open napari with the cat and its map; wait until it is closed.

    Parameters
    ----------
    screenshot : Path, optional
        Save the whole window there as soon as the map is there, and end.

    Raises
    ------
    SystemExit
        If a screenshot was asked for and the map did not come; with a sentence.
    """
    import napari
    from qtpy.QtCore import QTimer

    viewer = napari.Viewer()
    make_large(viewer)
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    session = panel.session
    _announce(session)
    open_demo(viewer, panel)
    QTimer.singleShot(0, viewer.reset_view)  # when the window has its size
    if screenshot is None:
        napari.run()
        return
    wait_until(lambda: session.explanation is not None and session.progress is None, panel)
    close_notifications(panel)
    viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    viewer.close()


def make_large(viewer: napari.Viewer, most: tuple[int, int] = (1400, 940)) -> None:
    """Give a window room for the panel beside the picture, as far as the screen has it."""
    from qtpy.QtGui import QGuiApplication

    screen = QGuiApplication.primaryScreen().availableGeometry()
    viewer.window.resize(min(most[0], screen.width()), min(most[1], screen.height()))


def close_notifications(panel: SaliencyPanel) -> None:
    """Close napari's notices, which lie over the picture; in a window that nobody uses they stay."""
    from qtpy.QtWidgets import QDialog

    for notice in panel.window().findChildren(QDialog):
        notice.close()


def open_demo(viewer: napari.Viewer, panel: SaliencyPanel) -> None:
    """Ask for the cat's map, as a user would."""
    for data, attributes, _ in cat():
        viewer.add_image(data, **attributes)
    panel.choose_model(MODEL)
    panel.method.choose(METHOD)
    panel.session.explain()


def wait_until(condition: Callable[[], bool], panel: SaliencyPanel, seconds: float = PATIENCE) -> None:
    """Turn the event loop until something holds; SystemExit with a sentence if it does not."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.005)
        status = panel.session.model
        if status.phase is Phase.FAILED or time.monotonic() > end:
            sys.exit(f"the demo did not come to its end: {status.description}")
    for _ in range(50):  # let what has changed be painted
        QApplication.processEvents()
        time.sleep(0.01)


def _announce(session: Session) -> None:
    """Print the top classes as soon as they are known, once."""

    def on_prediction(prediction: Prediction | None) -> None:
        if prediction is None:
            return
        session.prediction_changed.disconnect(on_prediction)
        lines = [f"{MODEL} says:", *(f"  {row.probability:6.1%}  {row.label}" for row in prediction.top(5))]
        print("\n".join(lines), flush=True)  # noqa: T201 - who runs the demo reads the terminal

    session.prediction_changed.connect(on_prediction)
