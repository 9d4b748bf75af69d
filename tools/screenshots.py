"""Take the screenshots of the README in the running program.

    QT_API=pyqt6 python tools/screenshots.py [FOLDER, default docs/_static] [--looks]

With ``--looks`` the panel in both themes, narrow and wide, for a visual check after a change.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("QT_API", "pyqt6")

import napari
from napari.settings import get_settings
from PIL import Image

from napari_saliency.app import samples
from napari_saliency.app.demo import close_notifications, make_large, open_demo, wait_until
from napari_saliency.widgets.method_section import MethodSection

if TYPE_CHECKING:
    from napari_saliency.widgets.panel import SaliencyPanel

LOOKS = tuple((theme, width) for theme in ("dark", "light") for width in (320, 500))


def opened() -> tuple[napari.Viewer, SaliencyPanel]:
    """Open a large window with the panel."""
    viewer = napari.Viewer()
    make_large(viewer)
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    return viewer, panel


def explained(panel: SaliencyPanel) -> None:
    """Wait until the map is complete."""
    session = panel.session
    wait_until(lambda: session.explanation is not None and session.progress is None, panel)


def save(viewer: napari.Viewer, panel: SaliencyPanel, path: Path) -> None:
    """Save a screenshot of the window."""
    close_notifications(panel)
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    # 256 colours take a third of the bytes; package pages load these pictures.
    Image.fromarray(pixels[..., :3]).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(
        path, optimize=True
    )
    print(path)


def cat(folder: Path) -> None:
    """Take a screenshot of the photo and its map."""
    viewer, panel = opened()
    open_demo(viewer, panel)
    explained(panel)
    viewer.reset_view()
    wait_until(lambda: True, panel)
    save(viewer, panel, folder / "cat.png")
    viewer.close()


def watermark(folder: Path) -> None:
    """Take a screenshot of the network that relies on the mark, with the first square of the sample."""
    viewer, panel = opened()
    for data, attributes, kind in samples.watermark():
        getattr(viewer, f"add_{kind}")(data, **attributes)
    viewer.layers[-1].visible = False  # the masks
    panel.controller.choose(viewer.layers[0])
    panel.choose_model("bundled:watermark")
    panel.section(MethodSection).choose("smoothgrad")
    panel.session.explain()
    explained(panel)
    viewer.reset_view()
    wait_until(lambda: True, panel)
    save(viewer, panel, folder / "watermark.png")
    viewer.close()


def looks(folder: Path) -> None:
    """Take screenshots of the panel in both themes, narrow and wide."""
    from qtpy.QtCore import Qt

    viewer, panel = opened()
    open_demo(viewer, panel)
    explained(panel)
    window = viewer.window._qt_window
    dock = next(dock for name, dock in viewer.window._wrapped_dock_widgets.items() if "Saliency" in name)
    for theme, width in LOOKS:
        viewer.theme = theme
        window.resizeDocks([dock], [width], Qt.Orientation.Horizontal)
        wait_until(lambda: True, panel)
        viewer.reset_view()
        wait_until(lambda: True, panel)
        save(viewer, panel, folder / f"panel-{theme}-{width}.png")
    viewer.close()


def main() -> None:
    """Take the chosen screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "docs" / "_static"
    )
    parser.add_argument("--looks", action="store_true")
    chosen = parser.parse_args()
    chosen.folder.mkdir(exist_ok=True)
    get_settings().application.ipy_interactive = False
    for picture in (looks,) if chosen.looks else (cat, watermark):
        picture(chosen.folder)


if __name__ == "__main__":
    main()
