"""Drive the real window from its first moment to the tenth class, with a watch in its event loop.

    python bench_window.py MODEL PREPROCESSING

Prints ``freeze`` (longest time in ms between two ticks of a timer that is always due, from the moment
the window stands) and ``switch`` (longest time in ms from a click on a class that is known to the
moment its map is in the layer).
"""

from __future__ import annotations

import sys
import time

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from skimage.data import chelsea

from napari_saliency.models import Settings

PATIENCE = 300
FREEZE = 0.05


class Watch:
    """Longest time in which the event loop did not come round."""

    def __init__(self) -> None:
        self.longest, self.when, self._last = 0.0, "", time.perf_counter()
        self.doing = ""
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(0)

    def _tick(self) -> None:
        now = time.perf_counter()
        if now - self._last > self.longest:
            self.longest, self.when = now - self._last, self.doing
        if now - self._last > FREEZE:
            print(f"  {(now - self._last) * 1e3:.0f} ms while {self.doing}", file=sys.stderr)
        self._last = now
        time.sleep(0.0005)  # leave the processor to the engine


def until(condition: object, app: object) -> None:
    """Turn the event loop until something holds."""
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        app.processEvents()  # type: ignore[attr-defined]
        if time.monotonic() > end:
            sys.exit("nothing happened")


def main(source: str, preprocessing: str) -> None:
    """Open the window, explain the cat, and switch classes."""
    viewer = napari.Viewer()
    app = QApplication.instance()
    viewer.add_image(chelsea(), name="cat", rgb=True)
    settled = time.monotonic() + 2  # what napari needs for its first picture is not ours
    until(lambda: time.monotonic() > settled, app)
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    for _ in range(20):
        app.processEvents()
    watch = Watch()
    inspection = panel.inspection
    inspection.open_model(source, Settings(preprocessing=preprocessing or None))
    inspection.explain()
    watch.doing = "waiting for the first map"
    until(lambda: inspection.explanation is not None, app)
    watch.doing = "fetching the other classes"
    until(lambda: len(inspection.known()) >= 5, app)
    switches = []
    for number in range(9):
        watch.doing = f"switching class, {number}"
        begun = time.perf_counter()
        inspection.step_class(1 if number % 8 < 4 else -1)
        switches.append(time.perf_counter() - begun)
        settled = time.monotonic() + 0.3
        until(lambda settled=settled: time.monotonic() > settled, app)
    print(f"freeze={watch.longest * 1e3:.1f}\nworst={watch.when}\nswitch={max(switches) * 1e3:.1f}")
    viewer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
