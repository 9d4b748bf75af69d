"""Show maps in napari from a notebook or a script.

A process with both TensorFlow and a window crashes, and a script that explains has imported TensorFlow: the
window therefore opens in a separate process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.images.prepare import AnyImage, as_pixels

if TYPE_CHECKING:
    from napari_saliency.maps.display import Display
    from napari_saliency.maps.explanation import Explanation

Layer = tuple[np.ndarray[Any, Any], dict[str, Any], str]


def show(
    image: AnyImage,
    *explanations: Explanation,
    display: Display | None = None,
    **attributes: Any,  # noqa: ANN401 - arguments of napari's image layers
) -> None:
    """Open napari with an image and its maps; return when the window is closed.

    Parameters
    ----------
    image : array (h, w) or (h, w, C), path, or PIL image
        The image that was explained.
    *explanations : Explanation
        Each becomes a layer; only the last one is visible.
    display : Display, optional
        How the maps are displayed.
    **attributes
        Attributes of the maps' layers, as ``viewer.add_image`` takes them: ``colormap="jet"``, ``opacity=0.8``,
        ``contrast_limits=(low, high)`` in the map's own units.
    """
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(1) as window:
        window.submit(view, layers(image, explanations, display, attributes)).result()


def layers(
    image: AnyImage,
    explanations: tuple[Explanation, ...],
    display: Display | None,
    attributes: dict[str, Any],
) -> list[Layer]:
    """Make the layers that `show` opens, from bottom to top."""
    pixels = as_pixels(image)
    name = Path(image).stem if isinstance(image, (str, Path)) else "image"
    result: list[Layer] = [
        (pixels, {"name": name, "rgb": pixels.ndim == 3 and pixels.shape[2] in (3, 4)}, "image")
    ]
    for number, explanation in enumerate(explanations, 1):
        data, own, kind = explanation.to_layer(display)
        result.append((data, {**own, "visible": number == len(explanations), **attributes}, kind))
    return result


def view(displayed: list[Layer]) -> None:
    """Open a window with layers; return when it is closed."""
    import napari

    viewer = napari.Viewer()
    for data, attributes, _ in displayed:
        viewer.add_image(data, **attributes)
    napari.run()
