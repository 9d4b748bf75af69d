"""The demo: a photo, what a bundled model makes of it, and where it looked."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_saliency._samples import cat
from napari_saliency._state import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_saliency._inspection import Inspection
    from napari_saliency._widget import SaliencyPanel

MODEL, METHOD = "bundled:photos", "grad_cam"
PATIENCE = 300
"""Seconds after which a demo without a viewer gives up."""


def run(screenshot: Path | None) -> None:
    """Open napari with the cat and its map; wait until it is closed.

    Parameters
    ----------
    screenshot : Path, optional
        Save the whole window there as soon as the map and the other top classes' are known, and end.

    Raises
    ------
    SystemExit
        If a screenshot was asked for and the map did not come; with a sentence.
    """
    import napari

    viewer = napari.Viewer()
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    inspection = panel.inspection
    inspection.explanation_changed.connect(_Announcement(inspection))
    open_demo(viewer, panel)
    if screenshot is None:
        napari.run()
        return
    wait_until(lambda: len(inspection.known()) > 1 and inspection.progress is None, panel)
    viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    viewer.close()


def open_demo(viewer: object, panel: SaliencyPanel) -> None:
    """Ask for the cat's map, as a user would."""
    for data, attributes, kind in cat():
        viewer.add_layer(_layer(data, attributes, kind))  # type: ignore[attr-defined]
    panel.choose_model(MODEL)
    panel.method.choose(METHOD)
    panel.inspection.explain()


def wait_until(condition: Callable[[], bool], panel: SaliencyPanel, seconds: float = PATIENCE) -> None:
    """Turn the event loop until something holds; SystemExit with a sentence if it does not."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.005)
        status = panel.inspection.model
        if status.phase is Phase.FAILED or time.monotonic() > end:
            sys.exit(f"the demo did not come to its end: {status.words}")
    for _ in range(50):  # let what has changed be painted
        QApplication.processEvents()
        time.sleep(0.01)


def _layer(data: object, attributes: dict[str, object], kind: str) -> object:
    from napari.layers import Layer

    return Layer.create(data, attributes, kind)


class _Announcement:
    """Prints the top classes, once."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection, self._made = inspection, False

    def __call__(self, _explanation: object) -> None:
        if self._made or self._inspection.prediction is None:
            return
        self._made = True
        print(f"{MODEL} says:")  # noqa: T201 - who runs the demo reads the terminal
        for row in self._inspection.prediction.top(5):
            print(f"  {row.probability:6.1%}  {row.label}")  # noqa: T201
