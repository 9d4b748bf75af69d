"""Drive the real window from the start to the tenth class, and time its event loop.

    python bench_window.py MODEL PREPROCESSING
    python bench_window.py

Prints ``freeze`` (longest time in ms between two ticks of a timer with interval 0, from the moment the window
is open), ``painting`` (the same for the median class switch, including the repaint) and ``switch`` (median time
in ms from a click on a class whose map is cached until the map is in the layer). Without a model, napari alone
does the minimum that any plugin needs: it adds a layer and changes its data and contrast limits nine times.
"""

from __future__ import annotations

import statistics
import sys
import time

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QLabel
from skimage.data import chelsea

from napari_saliency.models import Settings

PATIENCE = 300
FREEZE = 0.05


class Watch:
    """Timer that measures the longest freeze of the event loop."""

    def __init__(self) -> None:
        self.longest, self.recent, self.when, self._last = 0.0, 0.0, "", time.perf_counter()
        self.doing = ""
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(0)

    def _tick(self) -> None:
        now = time.perf_counter()
        if now - self._last > self.longest:
            self.longest, self.when = now - self._last, self.doing
        self.recent = max(self.recent, now - self._last)
        if now - self._last > FREEZE:
            print(f"  {(now - self._last) * 1e3:.0f} ms while {self.doing}", file=sys.stderr)
        self._last = now
        time.sleep(0.0005)  # yield to the engine


def until(condition: object, app: object) -> None:
    """Process events until a condition is true."""
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        app.processEvents()  # type: ignore[attr-defined]
        if time.monotonic() > end:
            sys.exit(f"nothing happened within {PATIENCE} seconds")


class Panel:
    """The plugin: a click on a class shows its map."""

    def __init__(self, viewer: napari.Viewer, source: str, preprocessing: str) -> None:
        _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
        self._session, self._source = panel.session, source
        self._settings = Settings(preprocessing=preprocessing or None)

    def first(self) -> None:
        """Request the first map."""
        self._session.open_model(self._source, self._settings)
        self._session.explain()

    def there(self) -> bool:
        """Return whether the first map is displayed."""
        return self._session.explanation is not None

    def ready(self) -> bool:
        """Return whether the maps of the other classes are cached."""
        return len(self._session.known()) >= 5

    def switch(self, number: int) -> None:
        """Show another class."""
        self._session.step_class(1 if number % 8 < 4 else -1)


class Napari:
    """napari alone: a layer is added, and its data are replaced."""

    def __init__(self, viewer: napari.Viewer) -> None:
        viewer.window.add_dock_widget(QLabel("nothing"), name="Saliency")
        random = np.random.default_rng(0)
        self._viewer = viewer
        self._maps = [random.random((224, 224), np.float32) * (n + 1) for n in range(10)]

    def first(self) -> None:
        """Add the layer."""
        look = {"colormap": "inferno", "blending": "translucent", "interpolation2d": "linear"}
        self._layer = self._viewer.add_image(self._maps[9], contrast_limits=(0, 10), scale=(1.3, 1.3), **look)

    def there(self) -> bool:
        """Return True: there is nothing to wait for."""
        return True

    ready = there

    def switch(self, number: int) -> None:
        """Replace the layer's data."""
        self._layer.data = self._maps[number]
        self._layer.contrast_limits = (0, number + 1)


def main(*model: str) -> None:
    """Open the window, explain the photo of a cat, and switch classes."""
    viewer = napari.Viewer()
    app = QApplication.instance()
    viewer.add_image(chelsea(), name="cat", rgb=True)
    settled = time.monotonic() + 2  # napari's own start is not measured
    until(lambda: time.monotonic() > settled, app)
    driven = Panel(viewer, *model) if model else Napari(viewer)
    for _ in range(20):
        app.processEvents()
    watch = Watch()
    watch.doing = "waiting for the first map"
    driven.first()
    until(driven.there, app)
    watch.doing = "fetching the other classes"
    until(driven.ready, app)
    rest(app)
    switches, paintings = [], []
    for number in range(9):
        watch.doing = f"switching class, {number}"
        watch.recent = 0.0
        begun = time.perf_counter()
        driven.switch(number)
        switches.append(time.perf_counter() - begun)
        rest(app)
        paintings.append(watch.recent)
    print(f"freeze={watch.longest * 1e3:.1f}\nworst={watch.when}")
    print(
        f"painting={statistics.median(paintings) * 1e3:.1f}\nswitch={statistics.median(switches) * 1e3:.1f}"
    )
    viewer.close()


def rest(app: object) -> None:
    """Wait until the window is painted."""
    settled = time.monotonic() + 0.3
    until(lambda: time.monotonic() > settled, app)


if __name__ == "__main__":
    main(*sys.argv[1:])
