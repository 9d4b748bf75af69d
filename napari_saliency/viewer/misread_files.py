"""Pictures that napari interprets differently from how they are meant: noticed, and shown again as they should be.

Everything that opens a file runs in a thread, because it may lie on a slow disk.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from PIL import Image as Pillow

from napari_saliency.images.prepare import load_image
from napari_saliency.viewer.napari_hooks import warn
from napari_saliency.viewer.source_layer import hidden_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.components import LayerList

    from napari_saliency.engine.client import Post
    from napari_saliency.viewer.source_layer import Pixels

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Reading:
    """The interpretation of a layer.

    Attributes
    ----------
    description : str
        A sentence, if napari and the model would see different pictures; else empty.
    remedy : str
        What can be done about it, as the text of a button.
    corrected : callable, optional
        Does it: returns pixels to be shown in place of the layer's. Slow.
    """

    description: str = ""
    remedy: str = ""
    corrected: Callable[[], Pixels] | None = None


class FileThread:
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
        """Run ``work()`` in the thread and give ``then`` its result in the window's; notify the user of errors."""

        def run() -> None:
            try:
                answer = partial(then, work())
            except (OSError, ValueError) as error:
                answer = partial(warn, str(error))
            self._post(lambda: None if self._closed else answer())

        self._reader.submit(run)

    def close(self) -> None:
        """Drop everything that is under way."""
        self._closed = True
        self._reader.shutdown(wait=False, cancel_futures=True)


def show_instead(layers: LayerList, wrong: Image, pixels: Pixels) -> None:
    """Hide a picture, if it is still there, and show it above as it should have been read."""
    if wrong in layers:
        right = Image(pixels, rgb=pixels.ndim != 2, name=wrong.name)
        wrong.visible = False
        layers.insert(layers.index(wrong) + 1, right)


def find_misreading(layer: Image) -> Reading:
    """Compare a layer with the file it came from, which napari's reader may have misinterpreted.

    Opens the file's header, so call it in a thread. The description is empty if all is well.
    """
    return next(_readings(layer), Reading())


def _readings(layer: Image) -> Iterator[Reading]:
    shape = layer.level_shapes[0]
    path = Path(layer.source.path) if layer.source.path else None
    if hidden_colours(layer) is not None:
        size, planes = "×".join(map(str, shape)), shape[-3]
        again = (
            (lambda: load_image(path))
            if path and len(shape) == 3
            else (lambda: _as_colour(np.asarray(layer.data)))
        )
        yield Reading(
            f"{size} is explained as a picture in colour; napari shows it as {planes} planes.",
            "Show in colour",
            again,
        )
    elif not layer.rgb and not layer.multiscale and len(shape) == 3 and shape[0] == 3 < min(shape[1:]):
        yield Reading(
            "Three planes: each is explained as a picture of its own.",
            "Show as red, green, blue",
            lambda: np.moveaxis(np.asarray(layer.data), 0, -1),
        )
    if path is not None and len(shape) == 2 and path.is_file():
        yield from _file_readings(path)


def _file_readings(path: Path) -> Iterator[Reading]:
    try:
        with Pillow.open(path) as file:
            turned, mode = file.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1), file.mode
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        return  # Pillow cannot open it but napari could, so there is nothing to add
    if mode == "CMYK":
        yield Reading(
            "This photo is CMYK; napari shows its ink values as if they were light.",
            "Show true colours",
            lambda: load_image(path),
        )
    elif turned:
        yield Reading(
            "The camera was turned; the photo is explained as napari shows it.",
            "Turn upright",
            lambda: load_image(path),
        )


def _as_colour(data: Pixels) -> Pixels:
    """Return RGB or RGBA pixels of an array whose last axis is colours, also of grey with alpha."""
    return data[..., [0, 0, 0, 1]] if data.shape[-1] == 2 else data
