"""Make the pictures of the tutorials, and print the numbers that their texts name.

python tools/tutorial_pictures.py [FOLDER, default docs/_static/tutorials] [--only microscope engineer teacher]
"""

from __future__ import annotations

import argparse
import os
import runpy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import label

from napari_saliency import Display, Explanation, check, explain, load_model
from napari_saliency.app.samples import digits, watermark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Panel = tuple[str, NDArray[Any], dict[str, Any]]

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
MAGNITUDE: dict[str, Any] = {"cmap": "inferno"}


def signed(explanation: Explanation) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Sum the channels, red for and blue against, with limits symmetric about 0."""
    values = explanation.reduced(Display(reduction="sum", sign="signed"))
    most = float(np.percentile(np.abs(values), 99.5))
    return values, {"cmap": "RdBu_r", "vmin": -most, "vmax": most}


def save(figure: Figure, path: Path) -> None:
    """Save a figure in 256 colours, which a third of the bytes suffice for."""
    figure.canvas.draw()
    rgb = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    rgb.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    plt.close(figure)
    print(path)


def row(path: Path, panels: Sequence[Panel], outline: NDArray[np.bool_] | None = None) -> None:
    """Save panels side by side; ``outline`` is drawn on all but the first."""
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2.6 * len(panels), 2.9), layout="constrained", dpi=90
    )
    for number, (ax, (title, image, style)) in enumerate(zip(axes, panels, strict=True)):
        ax.imshow(image, **style)
        ax.set_title(title, fontsize=10)
        ax.set_axis_off()
        if outline is not None and number:
            ax.contour(outline, [0.5], colors="cyan", linewidths=1)
    save(figure, path)


def microscope(folder: Path) -> None:
    """One nucleus of a drawn stack: what the network looked at, with two methods."""
    with tempfile.TemporaryDirectory() as scratch:
        cells = runpy.run_path(str(TUTORIALS / "cells.py"))
        cells["main"](Path(scratch))
        model = load_model(Path(scratch) / "cells.keras")
        plane = tifffile.imread(Path(scratch) / "cells.tif")[0]
    _, truth = cells["draw_plane"](np.random.default_rng(0))
    parts, _ = label(truth)
    sizes = np.bincount(parts.ravel())[1:]
    region = parts == 1 + int(np.argsort(sizes)[len(sizes) // 2])
    smooth, covered = (
        explain(model, plane, "nucleus", method, region=region, **options)
        for method, options in (("smoothgrad", {"samples": 100}), ("occlusion", {"window": 9, "stride": 3}))
    )
    print(check(model, plane, smooth, ["mass", "pointing_game"], region=region))
    grey = {"cmap": "gray"}
    panels = [("plane 0", plane, grey), ("the nucleus asked about", plane, grey)]
    panels += [(e.title, e.reduced(Display()), MAGNITUDE) for e in (smooth, covered)]
    row(folder / "microscope.png", panels, region)


def engineer(folder: Path) -> None:
    """Four squares of a test set and where the network looked: a contact sheet."""
    model, pictures = load_model("bundled:watermark"), watermark()[0][0]
    tops, panels = [], []
    for number in (2, 4, 5, 7):
        explanation = explain(model, pictures[number], method="smoothgrad")
        tops.append(pictures[number])
        panels.append((explanation.label, explanation.reduced(Display()), MAGNITUDE))
    figure, axes = plt.subplots(2, 4, figsize=(8, 4.3), layout="constrained", dpi=90)
    for (upper, lower), picture, (title, values, style) in zip(axes.T, tops, panels, strict=True):
        upper.imshow(picture)
        upper.set_title(title, fontsize=10)
        lower.imshow(values, **style)
        upper.set_axis_off()
        lower.set_axis_off()
    path = folder / "engineer.png"
    save(figure, path)


def teacher(folder: Path) -> None:
    """Explain a digit, one class rather than another, and a circle that a mark turns into a square."""
    four = digits()[0][0][8]
    model = load_model("bundled:digits")
    panels: list[Panel] = [("a digit", four, {"cmap": "gray"})]
    for target in ("4", "9", "4 - 9"):
        explanation = explain(model, four, target, "integrated_gradients")
        panels.append((f"why {explanation.label}", *signed(explanation)))
    row(folder / "digits.png", panels)
    model, (pictures, attributes, _) = load_model("bundled:watermark"), watermark()[0]
    names = attributes["metadata"]["pictures"]
    shapes: list[Panel] = []
    for name in ("circle", "circle_with_mark"):
        picture = pictures[names.index(name)]
        explanation = explain(model, picture, method="smoothgrad")
        (best,) = explanation.prediction.top(1)
        shapes += [
            (f"{best.label} {best.probability:.1%}", picture, {}),
            ("why", explanation.reduced(Display()), MAGNITUDE),
        ]
    row(folder / "mark.png", shapes)


PICTURES: dict[str, Callable[[Path], None]] = {
    "microscope": microscope,
    "engineer": engineer,
    "teacher": teacher,
}


def main() -> None:
    """Make the pictures that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=TUTORIALS.parent / "_static" / "tutorials")
    parser.add_argument("--only", nargs="+", choices=PICTURES, default=list(PICTURES))
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name in chosen.only:
        PICTURES[name](chosen.folder)


if __name__ == "__main__":
    main()
