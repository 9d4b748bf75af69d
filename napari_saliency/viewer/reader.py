"""Models that are dropped onto the viewer, or opened through its File menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari

if TYPE_CHECKING:
    from collections.abc import Callable

NO_LAYERS = [(None,)]
"""What napari takes for: the file was read, and there is nothing to add."""


def read_model(path: str | list[str]) -> Callable[[str], list[tuple[None]]] | None:
    """Return what opens a model's file in the panel, as napari asks of readers; None without a window."""
    return _open if isinstance(path, str) and napari.current_viewer() is not None else None


def _open(path: str) -> list[tuple[None]]:
    viewer = napari.current_viewer()
    assert viewer is not None
    _, panel = viewer.window.add_plugin_dock_widget("napari-saliency", "Saliency")
    panel.choose_model(path)
    return NO_LAYERS
