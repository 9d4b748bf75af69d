"""The demo: a photo, a bundled model's prediction for it, and a map of that."""

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
"""Timeout in seconds of a demo that takes a screenshot."""


def run(screenshot: Path | None) -> None:
    """Open napari with a photo of a cat and its map; return when the window is closed.

    Parameters
    ----------
    screenshot : Path, optional
        Save a screenshot of the window to this file as soon as the map is displayed, and return.

    Raises
    ------
    SystemExit
        If a screenshot is wanted and the map fails or times out; the message says why.
    """
    import napari
    from qtpy.QtCore import QTimer

    viewer = napari.Viewer()
    make_large(viewer)
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    session = panel.session
    _announce(session)
    open_demo(viewer, panel)
    QTimer.singleShot(0, viewer.reset_view)  # after the window has been laid out
    if screenshot is None:
        napari.run()
        return
    wait_until(lambda: session.explanation is not None and session.progress is None, panel)
    close_notifications(panel)
    viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    viewer.close()


def make_large(viewer: napari.Viewer, most: tuple[int, int] = (1400, 940)) -> None:
    """Enlarge a window so that panel and image fit side by side, within the screen."""
    from qtpy.QtGui import QGuiApplication

    screen = QGuiApplication.primaryScreen().availableGeometry()
    viewer.window.resize(min(most[0], screen.width()), min(most[1], screen.height()))


def close_notifications(panel: SaliencyPanel) -> None:
    """Close napari's notifications, which cover the image and would not close by themselves in a screenshot."""
    from qtpy.QtWidgets import QDialog

    for notice in panel.window().findChildren(QDialog):
        notice.close()


def open_demo(viewer: napari.Viewer, panel: SaliencyPanel) -> None:
    """Open the photo, choose model and method, and press Explain, as a user would."""
    from napari_saliency.widgets.method_section import MethodSection

    for data, attributes, _ in cat():
        viewer.add_image(data, **attributes)
    panel.choose_model(MODEL)
    panel.section(MethodSection).choose(METHOD)
    panel.session.explain()


def wait_until(condition: Callable[[], bool], panel: SaliencyPanel, seconds: float = PATIENCE) -> None:
    """Process events until a condition is true; raise SystemExit after a timeout, or if the model fails."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.005)
        status = panel.session.model
        if status.phase is Phase.FAILED or time.monotonic() > end:
            sys.exit(f"the demo did not finish: {status.description}")
    for _ in range(50):  # until all changes are painted
        QApplication.processEvents()
        time.sleep(0.01)


def _announce(session: Session) -> None:
    """Print the top classes as soon as they are known, once."""

    def on_prediction(prediction: Prediction | None) -> None:
        if prediction is None:
            return
        session.prediction_changed.disconnect(on_prediction)
        lines = [
            f"{MODEL} predicts:",
            *(f"  {row.probability:6.1%}  {row.label}" for row in prediction.top(5)),
        ]
        print("\n".join(lines), flush=True)  # noqa: T201 - the demo is started from a terminal

    session.prediction_changed.connect(on_prediction)
