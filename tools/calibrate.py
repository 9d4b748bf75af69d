"""Measure how much of a map is left in networks of random weights: what the check's thresholds follow from.

    python tools/calibrate.py [FILE, default docs/randomisation.md] [--pictures 4] [--data FOLDER]

The folder of real networks and pictures is by default the one that NAPARI_SALIENCY_TEST_DATA names; networks that
are not there are left out.
"""

from __future__ import annotations

import argparse
import gc
import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from bundled import photo_pack, watermark

from napari_saliency import METHODS, check, explain, load_model
from napari_saliency.checks.randomisation import ALIKE, SAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_saliency.images.prepare import AnyImage
    from napari_saliency.models import Model

CHECK = "model_randomisation"
DATA = os.environ.get("NAPARI_SALIENCY_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
MEASURED = (
    "gradient",
    "gradient_x_input",
    "integrated_gradients",
    "smoothgrad",
    "grad_cam",
    "occlusion",
    "guided_backprop",
)
SEEDS = (0, 1)
PAGE = """# How much of a map random weights leave

Where the thresholds of *Model randomisation* come from. The check makes the weights of a network random, layer after
layer from the output down, and compares each network's map with the map itself by their rank correlation, of the places
where one of them is not 0: derivatives by magnitude, all others with their signs. This page is made by
`python tools/calibrate.py`: {networks} networks, {pictures} pictures of what they were trained for, {seeds} draws of
random weights for each; the top class's logit, methods and check with their default options.

- **upper half**: mean similarity while no more than the upper half of the layers is random, lowest to highest.
- **all**: similarity with all of them random, lowest to highest.
- **good**, **doubtful**, **bad**: how many of the maps the check calls so.

| method | upper half | all | good | doubtful | bad |
| --- | --- | --- | --- | --- | --- |
{methods}

The upper half in each network:

| network | pictures | {titles} |
| --- | --- |{dashes}
{each}

Guided backpropagation is known to draw the picture more than what was learned; the gradient and Grad-CAM are known to
change (Adebayo et al. 2018, figure 4). The thresholds stand where the first six methods end and it begins: from
{same} on the check says *bad*, from {alike} on *doubtful*. Its map may still pass in some network, as the last columns
tell. The similarity with all layers random is judged by the same two, but could not part them: what is left then
is the picture's contrast, and where the architecture looks, in every method's map.
"""


class Network(NamedTuple):
    """A network, and pictures of what it was trained for."""

    source: str  # a file in the folder of data, or bundled
    pictures: Callable[[Path, int], Sequence[AnyImage]]
    needs: str = ""  # what the pictures come from, in the same folder
    preprocessing: str | None = None
    most: int | None = None  # of the pictures, where one takes minutes

    def missing(self, folder: Path) -> list[str]:
        """What it takes from the folder that is not there."""
        names = [name for name in (self.source, self.needs) if name and not name.startswith("bundled:")]
        return [name for name in names if not (folder / name).exists()]

    def load(self, folder: Path) -> Model:
        """Open it."""
        source = self.source if self.source.startswith("bundled:") else folder / self.source
        return load_model(source, preprocessing=self.preprocessing)


class Left(NamedTuple):
    """What random weights have left of one map."""

    network: str
    picture: int
    method: str
    upper: float
    end: float
    level: str


def spread(things: Sequence[AnyImage], count: int) -> list[AnyImage]:
    """So many of them, evenly from all."""
    places = np.linspace(0, len(things) - 1, min(count, len(things)))
    return [things[int(place)] for place in places]


def photos(folder: Path, count: int) -> list[AnyImage]:
    """Photos of what ImageNet has classes for."""
    return spread(sorted((folder / "photos").iterdir()), count)


def packed(folder: Path, count: int) -> list[AnyImage]:
    """Photos of several classes, of the split that `bundled:photos` was not trained on."""
    pack = photo_pack.read(folder)
    order = np.argsort(pack.labels[pack.test], kind="stable")
    return spread(pack.pictures[pack.test][order], count)


def stored(name: str, key: str) -> Callable[[Path, int], list[AnyImage]]:
    """The first pictures of an array in an archive."""

    def read(folder: Path, count: int) -> list[AnyImage]:
        with np.load(folder / name) as file:
            return list(file[key][:count])

    return read


def marked(_folder: Path, count: int) -> list[AnyImage]:
    """Squares with the mark that `bundled:watermark` looks for."""
    return list(watermark.dataset(watermark.FRESH_SEED, count, only=watermark.MARKED)[0])


CIFAR, MNIST = "cifar10/cifar10_subset.npz", "mnist/mnist.npz"
NETWORKS = (
    Network("bundled:watermark", marked),
    Network("bundled:photos", packed, "photos_open10.npz"),
    Network("mnist/mnist_cnn.h5", stored(MNIST, "x_test"), MNIST, "unit"),
    Network("cifar10/resnet20.keras", stored(CIFAR, "x_test20_lossless"), CIFAR, "none"),
    Network("imagenet/squeezenet1_1.keras", photos, "photos", "caffe", most=2),
    Network("imagenet/mobilenet_v2.keras", photos, "photos", "tf", most=2),
)


def measure(network: Network, folder: Path, count: int) -> Iterator[Left]:
    """Run the check for every method, picture and seed; what it cannot judge is left out."""
    model, pictures = network.load(folder), network.pictures(folder, count)[: network.most]
    for (number, picture), method in product(enumerate(pictures), MEASURED):
        explanation = explain(model, picture, method=method)
        for seed in SEEDS:
            result = check(model, picture, explanation, CHECK, options={CHECK: {"seed": seed}}).findings[
                CHECK
            ]
            print(f"{network.source} {method} {seed}: {result.verdict}", flush=True)
            if result.figures:
                upper, end = result.figures["similarity, upper half"], result.figures["similarity at the end"]
                yield Left(network.source, number, method, upper, end, result.level or "")


def row(method: str, lefts: Sequence[Left]) -> str:
    """A line of the first table: a method in all networks."""
    mine = [left for left in lefts if left.method == method]
    ranges = [_range([left.upper for left in mine]), _range([left.end for left in mine])]
    levels = [left.level for left in mine]
    counts = [str(levels.count(level)) for level in ("good", "doubtful", "bad")]
    return f"| {METHODS[method].title} (`{method}`) | {' | '.join(ranges + counts)} |"


def network_row(network: str, lefts: Sequence[Left]) -> str:
    """A line of the second table: all methods in a network."""
    mine = [left for left in lefts if left.network == network]
    pictures = len({left.picture for left in mine})
    ranges = [_range([left.upper for left in mine if left.method == method]) for method in MEASURED]
    return f"| `{network}` | {pictures} | {' | '.join(ranges)} |"


def _range(numbers: list[float]) -> str:
    return f"{min(numbers):.2f} to {max(numbers):.2f}" if numbers else "nothing to judge"


def page(lefts: Sequence[Left]) -> str:
    """The whole page."""
    networks = dict.fromkeys(left.network for left in lefts)
    return PAGE.format(
        pictures=len({(left.network, left.picture) for left in lefts}),
        networks=len(networks),
        seeds=len(SEEDS),
        methods="\n".join(row(method, lefts) for method in MEASURED),
        titles=" | ".join(METHODS[method].title for method in MEASURED),
        dashes=" --- |" * len(MEASURED),
        each="\n".join(network_row(network, lefts) for network in networks),
        same=SAME,
        alike=ALIKE,
    )


def main() -> None:
    """Measure in every network that is there, one after the other; print the ranges and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", default="docs/randomisation.md", type=Path)
    parser.add_argument("--pictures", default=4, type=int, help="at most, of each network")
    parser.add_argument("--data", default=DATA, type=Path, help="folder of real networks and pictures")
    chosen = parser.parse_args()
    lefts: list[Left] = []
    for network in NETWORKS:
        if missing := network.missing(chosen.data):
            print(f"{network.source} is left out, for want of {' and '.join(missing)}")
        else:
            lefts += measure(network, chosen.data, chosen.pictures)
            gc.collect()  # its functions refer to each other: they would stay beside the next one's
    for method in MEASURED:
        print(row(method, lefts))
    chosen.file.write_text(page(lefts), encoding="utf-8")


if __name__ == "__main__":
    main()
