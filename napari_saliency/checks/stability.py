"""Checks that a map stays the same when nothing that matters changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import numpy as np

from napari_saliency.checks.finding import PARTS, Finding, Subject
from napari_saliency.checks.registry import EMPTY, Cost, check

STEADY, UNSTEADY = 0.5, 1.0
"""Changes of a map, relative to its own size. Two maps with nothing in common differ by the size of a map, or more."""


@check(
    "Max-sensitivity",
    family="Stability",
    cite="Yeh et al. 2019, definition 3",
    cost=lambda options: Cost(maps=options["samples"]),
    flat=True,
)
def max_sensitivity(
    subject: Subject,
    *,
    radius: Annotated[float, {"min": 0.001, "max": 0.5, "step": 0.001}] = 0.02,
    samples: Annotated[int, {"min": 2, "max": 500}] = 8,
    seed: Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Of the noise."}] = 0,
) -> Iterator[Finding]:
    r"""Measure how much the map can change when every pixel changes a little.

    Parameters
    ----------
    radius : float
        Largest change of a pixel, as a share of the picture's range of values; 0.02 is five of 255, which is
        invisible.
    samples : int
        Changed pictures to try.

    Notes
    -----
    .. math:: \max_\delta \frac{\|M(x + \delta) - M(x)\|}{\|M(x)\|}, \qquad \|\delta\|_\infty \le r

    over samples of :math:`\delta` drawn evenly from the box of that radius: at most the maximum that the definition
    asks for. The paper does not divide by the map's size; divided, maps of all methods can be compared.

    **When to use:** to see whether single pixels of a map mean anything.

    **When not to use:** to judge whether a map is right: a constant map is perfectly stable.
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
        yield finding.judged("good", f"The map is stable: it {text}.")
    elif largest <= UNSTEADY:
        yield finding.judged("doubtful", f"The map is unstable: it {text}.")
    else:
        yield finding.judged(
            "bad", f"The map is mostly noise: it {text}. Averaging over noise (SmoothGrad) may help."
        )
