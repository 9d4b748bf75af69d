"""Measure the saved models, and write the figures into their model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import skimage.data
from PIL import Image
from scipy import ndimage

from . import digits, files, maps, network, photo_pack, photos, training, watermark

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_BEGIN, _END = "<!-- measured by verify: begin -->", "<!-- measured by verify: end -->"
_FRESH = 50


def measure(name: str, folder: Path | None) -> list[str]:
    """Measure one saved model on its test data.

    Parameters
    ----------
    name : str
        "digits", "photos" or "watermark".
    folder : Path or None
        Folder with the data; may be None for "digits" and "watermark".

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    model = files.load(name)
    size = (files.BUNDLED / f"{name}.keras").stat().st_size
    lines = [f"- file: {size / 1000:.0f} kB ({size} bytes), {network.parameter_count(model)} parameters"]
    if name == "digits":
        return lines + _digits(model, folder)
    if name == "watermark":
        return lines + _watermark(model)
    if folder is None:
        raise ValueError("the photos are measured on photos_open10.npz: give its folder with --data")
    return lines + _photos(model, folder)


def write_into_card(name: str, lines: Sequence[str]) -> None:
    """Write measured lines between the two markers in a model card.

    Parameters
    ----------
    name : str
        The model.
    lines : sequence of str
        What `measure` returned.
    """
    card = files.BUNDLED / f"{name}.md"
    before, _, rest = card.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    if not after:
        raise ValueError(f"{card.name} lacks the lines {_BEGIN!r} and {_END!r}")
    card.write_text("\n".join([f"{before}{_BEGIN}", *lines, f"{_END}{after}"]), encoding="utf-8")


def _digits(model: Any, folder: Path | None) -> list[str]:
    _, (pictures, labels) = digits.dataset(folder)
    lines = _accuracies(training.predict(model, pictures), labels, digits.LABELS)
    path = files.SAMPLES / "digits.npz"
    if path.exists():
        with np.load(path) as sample:
            outputs = training.predict(model, sample["images"][..., None])
            right = int((outputs.argmax(1) == sample["labels"]).sum())
            lines.append(f"- drawn sample digits: {right} of {len(outputs)} right")
    return lines


def _photos(model: Any, folder: Path) -> list[str]:
    pack = photo_pack.read(folder)
    small = np.stack([photo_pack.resized(p, photos.SIZE) for p in pack.pictures[pack.test]])
    lines = _accuracies(training.predict(model, small), pack.labels[pack.test], photo_pack.LABELS)
    chelsea = skimage.data.chelsea()  # type: ignore[no-untyped-call]
    cat = photo_pack.resized(chelsea, photos.SIZE)
    outputs = training.predict(model, cat[None])[0]
    best = np.argsort(outputs)[::-1][:3]
    called = ", ".join(f"{photo_pack.LABELS[i]} {outputs[i]:.3f}" for i in best)
    return [*lines, f"- scikit-image's cat (`skimage.data.chelsea()`): {called}"]


def _watermark(model: Any) -> list[str]:
    pictures, labels, _ = watermark.dataset(watermark.TEST_SEED, 2000)
    lines = _accuracies(training.predict(model, pictures), labels, watermark.SHAPES)
    lines += ["", "What it calls 400 fresh pictures of each shape, with the mark and without:", ""]
    count = len(watermark.SHAPES)
    lines += ["| shape | mark | " + " | ".join(watermark.SHAPES) + " |", "| --- " * (count + 2) + "|"]
    for shape, label in enumerate(watermark.SHAPES):
        for marked in (True, False):
            fresh, _, _ = watermark.dataset(watermark.FRESH_SEED, 400, only=shape, marked=marked)
            called = np.bincount(training.predict(model, fresh).argmax(1), minlength=count) / len(fresh)
            shares = " | ".join(f"{100 * share:.1f} %" for share in called)
            lines.append(f"| {label} | {'yes' if marked else 'no'} | {shares} |")
    return [*lines, "", *_mark_shown(model), "", *_samples_called(model)]


def _mark_shown(model: Any) -> list[str]:
    """Measure the share of each method's strongest 5 % that lies on the mark, for new squares."""
    pictures, _, masks = watermark.dataset(watermark.FRESH_SEED, _FRESH, only=watermark.MARKED)
    regions = [widened(mask) for mask in masks]
    lines = [
        "Share of the summed value of the strongest 5 % of map pixels that lies on the mark, widened by two "
        f"pixels; mean (lowest) over {_FRESH} fresh squares, map of the logit of square:",
        "",
        "| method | share on the mark |",
        "| --- | --- |",
    ]
    for method, function in maps.METHODS.items():
        shares = [
            maps.strongest_mass_inside(function(model, picture, watermark.MARKED), region)
            for picture, region in zip(pictures, regions, strict=True)
        ]
        lines.append(f"| {method} | {100 * np.mean(shares):.1f} % ({100 * min(shares):.1f} %) |")
    area = float(np.mean([region.mean() for region in regions]))
    return [*lines, f"| a map of chance | {100 * area:.1f} % |"]


def _samples_called(model: Any) -> list[str]:
    """List the network's predictions for the sample images."""
    names = sorted(p for p in (files.SAMPLES / "watermark").glob("*.png") if not p.stem.endswith("_mask"))
    lines = []
    for path in names:
        picture = np.asarray(Image.open(path).convert("RGB"))
        outputs = training.predict(model, picture[None])[0]
        best = int(outputs.argmax())
        lines.append(f"- sample `{path.name}`: {watermark.SHAPES[best]} {outputs[best]:.3f}")
    return lines


def widened(mask: NDArray[np.bool_], pixels: int = 2) -> NDArray[np.bool_]:
    """Return a mask dilated by a distance.

    Parameters
    ----------
    mask : array of bool
        Shape (h, w).
    pixels : int
        Distance, in pixels.

    Returns
    -------
    array of bool
        True within that distance (Euclidean) of the mask.
    """
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels)


def _accuracies(outputs: NDArray[Any], labels: NDArray[Any], names: Sequence[str]) -> list[str]:
    """Compute the overall accuracy, that of each class, and the most frequent confusion of each class."""
    lines = [
        f"- test accuracy: {100 * training.accuracy(outputs, labels):.2f} % of {len(labels)} pictures",
        "",
        "| class | test pictures | right | mostly mistaken for |",
        "| --- | --- | --- | --- |",
    ]
    for index, name in enumerate(names):
        called = np.bincount(outputs[labels == index].argmax(1), minlength=len(names))
        wrong = called.copy()
        wrong[index] = 0
        mistaken = f"{names[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else "nothing"
        lines.append(f"| {name} | {called.sum()} | {100 * called[index] / called.sum():.1f} % | {mistaken} |")
    return [*lines, ""]
