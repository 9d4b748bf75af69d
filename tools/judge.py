"""Judge every method by a known truth: how much of its map lies on the mark of ``bundled:watermark``.

    python tools/judge.py [FILE, default docs/known_truth.md] [--only METHOD ...]

With ``--only`` the lines of the other methods stay what they are in FILE.

The network was trained so that it cheats (see its card): it looks for a small mark, and so should its maps.
Only the picture knows where the mark is, not the method.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from bundled import watermark
from scipy.ndimage import binary_dilation, map_coordinates

from napari_saliency import METHODS, Display, Explanation, explain_batch, load_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_saliency.models import Model

PICTURES, STRONGEST = 50, 0.05
HEAD = """# Methods judged by a known truth

`bundled:watermark` is a network that looks for a small mark in the corner of a square
([its card](../napari_saliency/bundled/watermark.md)), so a true map lies on the mark. This table is made by
`python tools/judge.py`: {pictures} fresh squares that the network has never seen, the logit of *square*, every method
with its default options, magnitudes, largest channel; the mark is widened by two pixels: {area:.1%} of a picture.

- **strongest**: of the summed value of the 5 % strongest pixels, the share that lies on the mark: mean, and lowest.
- **all**: the same of all pixels.
- **highest**: in how many pictures the highest pixel lies on the mark (the pointing game).

It is one small network, and one kind of truth: a method that fails here cannot be trusted to find a mark; one that
succeeds here may still fail elsewhere.

| method | strongest | (lowest) | all | highest | seconds a picture |
| --- | --- | --- | --- | --- | --- |
"""
ROW = re.compile(r"^\|[^|]*\(`(\w+)`\) \| ([\d.]+)% .*$", re.MULTILINE)
"""A line of the table: the method, and its *strongest*."""


class Verdict(NamedTuple):
    """What the maps of a method have on the mark: one number for each picture."""

    strongest: NDArray[np.float64]
    everything: NDArray[np.float64]
    highest: NDArray[np.bool_]
    seconds: float


def judge(
    model: Model, method: str, pictures: Sequence[NDArray[np.uint8]], masks: NDArray[np.bool_]
) -> Verdict:
    """Explain squares, and see how much of each map lies inside its mask."""
    begun = time.perf_counter()
    explanations = explain_batch(model, list(pictures), "square", method)
    seconds = (time.perf_counter() - begun) / len(pictures)
    rows = [
        _on_the_mark(magnitudes(explanation, mask.shape), mask)
        for explanation, mask in zip(explanations, masks, strict=True)
    ]
    strongest, everything, highest = (np.array(column) for column in zip(*rows, strict=True))
    return Verdict(strongest, everything, highest, seconds)


def magnitudes(explanation: Explanation, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """One number for each pixel of the picture, between the map's own pixels by the nearest two in each direction."""
    reduced = explanation.reduced(Display(reduction="max", sign="absolute"))
    scale, translate = (
        np.reshape(part, (2, 1, 1)) for part in (explanation.placement.scale, explanation.placement.translate)
    )
    places = (np.indices(shape) - translate) / scale
    return np.asarray(map_coordinates(reduced.astype(np.float64), places, order=1, mode="nearest"))


def _on_the_mark(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> tuple[float, float, bool]:
    count = round(STRONGEST * values.size)
    strongest = values >= np.sort(values.ravel())[-count]
    total = max(values.sum(), np.finfo(float).tiny)  # an empty map has nothing on the mark
    return (
        float(values[strongest & mask].sum() / max(values[strongest].sum(), total * 1e-12)),
        float(values[mask].sum() / total),
        bool(mask.ravel()[values.argmax()]),
    )


def row(method: str, verdict: Verdict) -> str:
    """A line of the table."""
    return (
        f"| {METHODS[method].title} (`{method}`) | {verdict.strongest.mean():.1%} | {verdict.strongest.min():.1%} "
        f"| {verdict.everything.mean():.1%} | {verdict.highest.sum()} of {len(verdict.highest)} "
        f"| {verdict.seconds:.2g} |"
    )


def rows_of(file: Path) -> dict[str, str]:
    """The lines that a file has already, by method; none of methods that are no more."""
    text = file.read_text("utf-8") if file.exists() else ""
    return {result[1]: result[0] for result in ROW.finditer(text) if result[1] in METHODS}


def table(rows: Mapping[str, str]) -> str:
    """The lines, the best method first."""
    best = sorted(rows.values(), key=lambda line: float(ROW.match(line)[2]), reverse=True)
    return "\n".join(best) + "\n"


def main() -> None:
    """Judge the methods, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", default="docs/known_truth.md", type=Path)
    maps = [name for name, method in METHODS.items() if method.shows == "map"]
    parser.add_argument("--only", nargs="+", choices=maps, default=maps)
    chosen = parser.parse_args()
    pictures, _, masks = watermark.dataset(watermark.FRESH_SEED, PICTURES, only=watermark.MARKED)
    masks = np.stack([binary_dilation(mask, np.ones((5, 5))) for mask in masks])
    model = load_model("bundled:watermark")
    rows = rows_of(chosen.file)
    for method in (name for name in chosen.only if METHODS[name].needs in model.info.gives):
        rows[method] = row(method, judge(model, method, pictures, masks))
        print(rows[method], flush=True)
    head = HEAD.format(pictures=PICTURES, area=masks.mean())
    chosen.file.write_text(head + table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
