"""Files that napari reads otherwise than they are meant: read again in a thread, and shown beside."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_saliency.viewer.notifications import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import LayerList

    from napari_saliency.engine.client import Post
    from napari_saliency.viewer.source_layer import Pixels


class Files:
    """Reads files while the window goes on.

    Parameters
    ----------
    post : callable
        Runs a callable in the window's thread, soon.
    """

    def __init__(self, post: Post) -> None:
        self._post, self._closed = post, False
        self._reader = ThreadPoolExecutor(1, "saliency-files")

    def read(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do some work in the thread, and give ``then`` the answer in the window's; a fault is told the user."""

        def run() -> None:
            try:
                answer = partial(then, work())
            except (OSError, ValueError) as error:
                answer = partial(warn, str(error))
            self._post(lambda: None if self._closed else answer())

        self._reader.submit(run)

    def close(self) -> None:
        """Forget what is under way."""
        self._closed = True
        self._reader.shutdown(wait=False, cancel_futures=True)


def show_instead(layers: LayerList, wrong: Image, pixels: Pixels) -> None:
    """Hide a picture, if it is still there, and show it above as it should have been read."""
    if wrong in layers:
        right = Image(pixels, rgb=pixels.ndim != 2, name=wrong.name)
        wrong.visible = False
        layers.insert(layers.index(wrong) + 1, right)
