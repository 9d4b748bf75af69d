"""Sample files of the package: twenty digits and a few shapes with and without the mark, all drawn here.

No picture of a data set is among them, so they carry no licence but the project's own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from . import digits, files, watermark

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DIGIT_SEED = 21
_SCALE = 16

Points = list[tuple[float, float]]


def _arc(centre: tuple[float, float], radii: tuple[float, float], start: float, stop: float) -> Points:
    """Return points on an ellipse; degrees from the right, clockwise on the screen (y points down)."""
    angles = np.radians(np.linspace(start, stop, 24))
    return [(centre[0] + radii[0] * math.cos(a), centre[1] + radii[1] * math.sin(a)) for a in angles]


# Pen strokes of each digit in a box one high, x to the right, y down.
_STROKES: tuple[list[Points], ...] = (
    [_arc((0.5, 0.5), (0.3, 0.48), -80, 285)],
    [[(0.36, 0.2), (0.54, 0.02), (0.5, 0.98)]],
    [[*_arc((0.47, 0.28), (0.29, 0.26), 195, 390), (0.2, 0.95), (0.84, 0.93)]],
    [[*_arc((0.46, 0.26), (0.27, 0.24), 200, 440), *_arc((0.46, 0.73), (0.31, 0.26), -80, 160)]],
    [[(0.3, 0.04), (0.2, 0.55), (0.8, 0.52)], [(0.68, 0.1), (0.6, 0.98)]],
    [[(0.8, 0.04), (0.34, 0.05), (0.3, 0.42), *_arc((0.47, 0.68), (0.31, 0.29), -110, 145)]],
    [[(0.64, 0.02), (0.36, 0.3), *_arc((0.5, 0.71), (0.25, 0.26), 180, 530)]],
    [[(0.18, 0.08), (0.8, 0.06), (0.44, 0.98)]],
    [[*_arc((0.5, 0.26), (0.23, 0.24), 90, 450), *_arc((0.5, 0.74), (0.27, 0.25), -90, 270)]],
    [[*_arc((0.47, 0.28), (0.25, 0.25), 0, 360), (0.72, 0.3), (0.6, 0.98)]],
)


def draw_digit(rng: np.random.Generator, digit: int) -> NDArray[np.uint8]:
    """Draw a digit with a round pen, slanted and stretched at random, framed as MNIST frames its digits.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all that is random in the picture.
    digit : int
        0..9.

    Returns
    -------
    array of uint8
        Shape (28, 28), 0..255, light on dark; fits 20 x 20 pixels, its centre of mass in the middle.
    """
    pen = rng.uniform(1.9, 2.9)
    slant, width = rng.uniform(-0.1, 0.25), rng.uniform(0.85, 1.1)
    height = 20 - pen
    strokes = []
    for stroke in _STROKES[digit]:
        points = np.array(stroke) - 0.5
        x = (points[:, 0] * width - points[:, 1] * slant) * height
        strokes.append(np.stack([x, points[:, 1] * height], 1) + digits.SIZE / 2)
    first = _inked(strokes, pen)
    rows, columns = np.indices(first.shape)
    centre = np.array([(columns * first).sum(), (rows * first).sum()]) / first.sum()
    moved = [stroke + (digits.SIZE - 1) / 2 - centre for stroke in strokes]
    return np.rint(_inked(moved, pen)).astype(np.uint8)


def _inked(strokes: list[NDArray[np.float64]], pen: float) -> NDArray[np.float64]:
    """Draw strokes, given in pixels, with a round pen; float64 (28, 28), 0..255."""
    side = digits.SIZE * _SCALE
    canvas = Image.new("L", (side, side))
    brush = ImageDraw.Draw(canvas)
    radius = pen / 2 * _SCALE
    for stroke in strokes:
        points = [(float(x), float(y)) for x, y in stroke * _SCALE]
        brush.line(points, fill=255, width=round(2 * radius), joint="curve")
        for x, y in points:
            brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.asarray(canvas.resize((digits.SIZE, digits.SIZE), Image.Resampling.BOX), np.float64)


def write() -> list[Path]:
    """Draw and write all sample files.

    Returns
    -------
    list of Path
        The files.
    """
    return [*_write_shapes(files.SAMPLES / "watermark"), _write_digits(files.SAMPLES / "digits.npz")]


def _write_digits(path: Path) -> Path:
    rng = np.random.default_rng(DIGIT_SEED)
    labels = np.repeat(np.arange(10, dtype=np.uint8), 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, images=np.stack([draw_digit(rng, int(d)) for d in labels]), labels=labels)
    return path


def _write_shapes(folder: Path) -> list[Path]:
    """Draw six squares and a circle with the mark, and one of each shape without it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(watermark.SAMPLE_SEED)
    wanted = [("square", True, f"square_{i}") for i in range(1, 7)]
    wanted += [("circle", True, "circle_with_mark"), ("square", False, "square_without_mark")]
    wanted += [(shape, False, shape) for shape in ("circle", "star", "triangle")]
    written = []
    for shape, marked, name in wanted:
        picture, mask = watermark.draw(rng, watermark.SHAPES.index(shape), marked)
        stored = {folder / f"{name}.png": picture}
        if marked:
            stored[folder / f"{name}_mask.png"] = mask.astype(np.uint8) * 255
        for path, pixels in stored.items():
            Image.fromarray(pixels).save(path, optimize=True)
        written += list(stored)
    return written
