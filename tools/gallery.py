"""Make the gallery: one photo, every method, each on a scale of its own and all on one.

python tools/gallery.py [FOLDER, default docs] [--model bundled:photos] [--target cat] [--only METHOD ...]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage.data import chelsea

from napari_saliency import METHODS, Display, Explanation, explain, load_model
from napari_saliency.maps.colormaps import colormap
from napari_saliency.maps.reduction import limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SIDE = 224
"""Width and height of a tile, in pixels."""
PAGE = """# Gallery

The cat of scikit-image as `{model}` sees it: why *{label}*? `python tools/gallery.py` makes this page: every method
that can answer for this network, with its default options. Colours begin at 0, where the map is transparent, and end at
the 99.5th percentile of the magnitudes.

## Each on its own scale

As the panel shows a map with contrast *per class*:

{own}

## All on one scale

All on the scale of the strongest, with how many times weaker each of them is. The methods' maps have different units
(a change of score for a change of a pixel; a share of the score; its square), so this does not say which map is better.
It says why raw maps are kept: each on its own scale, all of these look equally strong.

{shared}

## Figures

| method | 99.5 % of its magnitudes are below | steps | diagnostics and notes |
| --- | --- | --- | --- |
{rows}
"""
CARD = """:::{{grid-item-card}} {title}
:img-bottom: _static/{folder}/{name}.png
:img-alt: {alt}
:text-align: center
:shadow: none
{text}:::"""
GRID = """::::{{grid}} 2 3 4 5
:gutter: 2
:class-container: tiles

{cards}
::::"""


def maps(model: str, target: str, photo: NDArray[np.uint8], methods: list[str]) -> dict[str, Explanation]:
    """Explain the photo with every method that the model can answer."""
    network = load_model(model)
    result = {}
    for name in methods:
        if METHODS[name].needs in network.info.gives:
            result[name] = explain(network, photo, target, name)
            print(name, result[name].total, flush=True)
    return result


def reduced(explanation: Explanation) -> NDArray[np.float32]:
    """Return the classical view: the largest magnitude of the channels."""
    return explanation.reduced(Display())


def tile(photo: NDArray[np.uint8], explanation: Explanation | None, ends: tuple[float, float]) -> Image.Image:
    """Draw the middle of the photo under a map as napari does: at its placement, linear between pixels."""
    height, width = photo.shape[:2]
    picture = photo.astype(float)
    if explanation is not None:
        values = reduced(explanation)
        place = explanation.placement
        rows = (np.arange(height) - place.translate[0]) / place.scale[0]
        columns = (np.arange(width) - place.translate[1]) / place.scale[1]
        inside = np.outer(
            abs(rows - (values.shape[0] - 1) / 2) <= values.shape[0] / 2,
            abs(columns - (values.shape[1] - 1) / 2) <= values.shape[1] / 2,
        )
        fine = map_coordinates(values, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
        colours = colormap(Display())
        share = np.clip((fine - ends[0]) / (ends[1] - ends[0]), 0, 1)
        rgba = colours["colors"][np.rint(share * (len(colours["colors"]) - 1)).astype(int)]
        opacity = (rgba[..., 3] * inside)[..., None]
        picture = picture * (1 - opacity) + 255 * rgba[..., :3] * opacity
    left = (width - height) // 2
    middle = Image.fromarray(np.rint(picture).astype(np.uint8)[:, left : left + height])
    return middle.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def save_tiles(
    photo: NDArray[np.uint8], result: Mapping[str, Explanation], folder: Path, *, shared: bool
) -> str:
    """Save a tile for the photo and each map, and return the part of the page that shows them."""
    highest = {name: limits([reduced(explanation)], Display())[1] for name, explanation in result.items()}
    strongest = max(highest.values())
    cards = [save_tile(folder, "photo", "Photo", tile(photo, None, (0, 1)))]
    for name, explanation in result.items():
        weaker = f"1 / {strongest / highest[name]:.2g}" if shared else ""
        picture = tile(photo, explanation, (0.0, strongest if shared else highest[name]))
        cards.append(save_tile(folder, name, explanation.title, picture, weaker))
    return GRID.format(cards="\n".join(cards))


def save_tile(folder: Path, name: str, title: str, picture: Image.Image, text: str = "") -> str:
    """Save a picture in 256 colours, and return the card that shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(folder / f"{name}.png", optimize=True)
    alt = title if name == "photo" else f"{title} of the cat"
    body = f"\n{text}\n" if text else ""
    return CARD.format(title=title, folder=folder.name, name=name, alt=alt, text=body)


def row(name: str, explanation: Explanation) -> str:
    """Return a line of the table."""
    given = [
        f"{key} {value:{'.0f' if value > 99 else '.2g'}}" for key, value in explanation.diagnostics.items()
    ]
    highest = limits([reduced(explanation)], Display())[1]
    says = "<br>".join(filter(None, [", ".join(given), *explanation.notes]))
    return f"| {explanation.title} (`{name}`) | {highest:.2g} | {explanation.total} | {says} |"


def main() -> None:
    """Write the page and its tiles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default="docs", type=Path)
    parser.add_argument("--model", default="bundled:photos")
    parser.add_argument("--target", default="cat")
    shown = [name for name, method in METHODS.items() if method.shows == "map"]
    parser.add_argument("--only", nargs="+", choices=shown, default=shown)
    chosen = parser.parse_args()
    photo = chelsea()
    result = maps(chosen.model, chosen.target, photo, chosen.only)
    static = chosen.folder / "_static"
    own = save_tiles(photo, result, static / "gallery", shared=False)
    shared = save_tiles(photo, result, static / "gallery_shared", shared=True)
    rows = "\n".join(row(name, explanation) for name, explanation in result.items())
    label = next(iter(result.values())).label
    page = PAGE.format(model=chosen.model, label=label, rows=rows, own=own, shared=shared)
    (chosen.folder / "gallery.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
