"""That a map stays what it is when nothing that matters changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np

from napari_saliency.checks.finding import PARTS, Finding, Subject
from napari_saliency.checks.registry import EMPTY, Cost, check

STEADY, UNSTEADY = 0.5, 1.0
"""Changes of a map, relative to its own size. As large as the map itself is what two maps that have nothing
in common differ by, or more."""


@check(
    "Max-sensitivity",
    cite="Yeh et al. 2019, definition 3",
    cost=lambda options: Cost(maps=options["samples"]),
    flat=True,
)
def max_sensitivity(
    subject: Subject,
    *,
    radius: Annotated[float, {"min": 0.001, "max": 0.5, "step": 0.001}] = 0.02,
    samples: Annotated[int, {"min": 2, "max": 500}] = 8,
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "help": "Of the noise."}] = 0,
) -> Iterator[Finding]:
    """How much the map can change when every pixel changes a little.

    Parameters
    ----------
    radius : float
        By how much a pixel changes at most, as a share of the picture's range of values; 0.02 are five
        of 255, which nobody sees.
    samples : int
        Pictures that are tried.

    Notes
    -----
    The largest of the changes that were found, ``max ‖Φ(x + δ) − Φ(x)‖ / ‖Φ(x)‖`` with δ uniform in the
    box of that radius: at most the one that the definition asks for. The paper does not divide by the map's
    size; divided, maps of all methods can be compared.
    """
    random = np.random.default_rng(seed)
    size = float(np.linalg.norm(subject.values))
    if not size:
        yield Finding(1, 1).judged("not applicable", EMPTY)
        return
    reach = radius * float(np.ptp(subject.x))
    finding, changes = Finding(0, samples * PARTS), []
    for number in range(1, samples + 1):
        noise = random.uniform(-reach, reach, subject.x.shape).astype(np.float32)
        values = yield from subject.again(finding, x=subject.x + noise)
        changes.append(float(np.linalg.norm(values - subject.values)) / size)
        figures = {"max-sensitivity": max(changes), "mean sensitivity": float(np.mean(changes))}
        finding = replace(finding, done=number * PARTS, figures=figures)
        if not finding.complete:
            yield finding
    largest = max(changes)
    text = f"changes by up to {largest:.0%} when pixels change by {radius:.1%}"
    if largest <= STEADY:
        yield finding.judged("good", f"The map is steady: it {text}.")
    elif largest <= UNSTEADY:
        yield finding.judged("doubtful", f"The map is unsteady: it {text}.")
    else:
        yield finding.judged("bad", f"The map is chance: it {text}. Averaging over noise may help.")
