"""Checks that the map depends on what the model has learnt, and on the class, and does not just trace the picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from napari_saliency.checks.finding import PARTS, Curve, Finding, Subject
from napari_saliency.checks.maps import relevance, similarity
from napari_saliency.checks.registry import Cost, check
from napari_saliency.core.types import PLURALS, Array, Targets

SAME, ALIKE = 0.7, 0.65
"""Rank correlations with the maps of networks with random weights: from the first on they count as the same map, below
the second the map depends on what was learnt. Means over the stages of the upper half, of 20 pictures, 6 networks and
2 seeds (docs/randomisation.md, made by tools/calibrate.py): gradient .24 to .58, SmoothGrad .10 to .57, Grad-CAM at
most .57, contributions at most .33, guided backpropagation .57 to .96, 36 of 40 "bad" (as in figure 4 of Adebayo et
al. 2018). With all layers random the ranges overlap (gradient up to .52, guided backpropagation .00 to .73): what
remains is the picture's contrast, and where the architecture looks."""

ONE_CLASS, NEARLY = 0.9, 0.7
"""Mean rank correlations between classes: from the first on they have the same map."""

MIRRORED = "The model's two classes share one score: evidence for one is evidence against the other, whatever the map."

Seed = Annotated[int, {"min": 0, "max": 2**31 - 1, "tooltip": "Of the random numbers."}]


@check(
    "Model randomisation",
    family="Randomisation",
    cite="Adebayo et al. 2018, section 3.1",
    cost=lambda options: Cost(maps=options["steps"]),
    needs="cascade",
)
def model_randomisation(
    subject: Subject,
    *,
    steps: Annotated[int, {"min": 2, "max": 256}] = 8,
    seed: Seed = 0,
) -> Iterator[Finding]:
    r"""Randomise the weights, layer after layer from the top: the map must change.

    Parameters
    ----------
    steps : int
        Stages, from one layer to all of them, at which the map is computed again.

    Notes
    -----
    .. math:: \rho\big(M(f), M(f_k)\big), \qquad f_k = f \text{ with its } k \text{ topmost layers randomised}

    where :math:`\rho` is the rank correlation of the places where one of the maps is not 0: of contributions
    with their signs, of derivatives by magnitude (the paper has both). Maps that are multiplied with the picture
    have much of their magnitude from it, whatever the network; their signed evidence has not. The layers
    below the randomised ones are unchanged, and so is the model itself. The model draws the weights;
    see `models.Model.cascade`.

    **When to use:** before trusting a map: one that survives randomised weights does not show what was learnt.

    **When not to use:** alone: a map that passes may still point at the wrong thing.
    """
    original, note = relevance(subject)
    visible = subject.visible(original.shape)
    shares, alike, finding = [0.0], [1.0], Finding(0, steps * PARTS, notes=(note,))
    with closing(subject.model.cascade(steps, seed)) as stages:
        for number, stage in enumerate(stages, 1):
            finding = replace(finding, total=min(steps, stage.total) * PARTS)
            values = yield from subject.again(finding, model=stage.model)
            shares.append(stage.done / stage.total)
            alike.append(similarity(original, relevance(replace(subject, values=values))[0], visible))
            points = np.array(shares, np.float32), np.array(alike, np.float32)
            curve = Curve("map", *points, across="layers randomised", up="similarity")
            finding = replace(finding, done=number * PARTS, curves=(curve,))
            if not finding.complete:
                yield finding
    if finding.done:
        yield _of_randomness(finding, shares, alike)
    else:
        yield finding.judged("not applicable", "The network has no weights before the explained layer.")


def _of_randomness(finding: Finding, shares: list[float], alike: list[float]) -> Finding:
    end, upper = alike[-1], _upper(shares, alike)
    finding = replace(
        finding,
        figures={
            "similarity at the end": end,
            "similarity, upper half": upper,
            "similarity after the top layer": alike[1],
        },
    )
    numbers = f"similarity {upper:.2f} with the upper half random, {end:.2f} with all"
    if abs(end) >= SAME:
        return finding.judged(
            "bad", f"The map barely changes when all weights are randomised ({numbers}): do not trust it."
        )
    if upper >= SAME:
        return finding.judged(
            "bad",
            f"The map barely changes when the upper layers are randomised ({numbers}): do not trust it to show what "
            "tells the classes apart.",
        )
    if max(abs(end), upper) >= ALIKE:
        return finding.judged(
            "doubtful", f"Much of the map remains when the weights are randomised ({numbers})."
        )
    return finding.judged("good", f"The map changes when the weights are randomised ({numbers}).")


def _upper(shares: list[float], alike: list[float]) -> float:
    """Return the mean similarity while at most the upper half is random, over one stage at least."""
    stages = max(1, sum(0 < share <= 0.5 for share in shares))
    return float(np.mean(alike[1 : 1 + stages]))


@check(
    "Class randomisation",
    family="Randomisation",
    cite="after Adebayo et al. 2018, section 3; Sixt et al. 2020, section 4",
    cost=lambda options: Cost(maps=options["classes"]),
)
def class_randomisation(
    subject: Subject,
    *,
    classes: Annotated[int, {"min": 1, "max": 64}] = 3,
    seed: Seed = 0,
) -> Iterator[Finding]:
    r"""Explain other classes, drawn at random: their maps must differ.

    Parameters
    ----------
    classes : int
        Number of other classes, if the model has so many.

    Notes
    -----
    .. math:: \rho\big(M(c), M(c')\big), \qquad c' \ne c \text{ drawn at random}

    where :math:`\rho` is the rank correlation, signs included, of the places where one of the maps is not 0. A map
    that is another class's with all signs turned shows the same places: it tells which class it belongs to only where
    signs are shown, so it is doubtful. If two classes share one score (one output, or the
    probabilities of a softmax), evidence for one is evidence against the other, whatever the map: there is nothing
    to judge. "Decrease" is compared with other quantities' decrease, and in a weighted target the other class
    gets the largest weight, with its sign.

    **When to use:** to see whether the map says why this class and not another.

    **When not to use:** with classes that look alike, as dog breeds: similar maps may be right there.
    """
    chosen, info = _other_classes(subject, classes, seed), subject.model.info
    if not len(chosen):
        yield Finding(1, 1).judged("not applicable", f"The model has no other {info.noun}.")
        return
    if _is_mirrored(subject):
        yield Finding(1, 1).judged("not applicable", MIRRORED)
        return
    finding, alike = Finding(0, len(chosen) * PARTS), []
    visible = subject.visible(subject.values.shape[: len(subject.space)])
    for number, index in enumerate(chosen.tolist(), 1):
        values = yield from subject.again(finding, targets=_of_class(subject, index))
        alike.append(similarity(subject.values, values, visible))
        named = {f"similarity to {info.labels[index]}": alike[-1]}
        finding = replace(finding, done=number * PARTS, figures={**finding.figures, **named})
        if not finding.complete:
            yield finding
    yield _of_classes(finding, alike, f"Other {PLURALS[info.noun]} have")


def _of_classes(finding: Finding, alike: list[float], others: str) -> Finding:
    mean, size = float(np.mean(alike)), float(np.mean(np.abs(alike)))
    finding = replace(finding, figures={"similarity": mean, **finding.figures})
    if mean >= ONE_CLASS:
        return finding.judged(
            "bad", f"{others} the same map (similarity {mean:.2f}): it does not show why this one."
        )
    if mean >= NEARLY:
        return finding.judged("doubtful", f"{others} nearly the same map (similarity {mean:.2f}).")
    if size >= NEARLY:
        text = f"{others} nearly the same map but for its sign (similarity ±{size:.2f})"
        return finding.judged(
            "doubtful", f"{text}: where signs are not shown, it does not show why this one."
        )
    return finding.judged("good", f"{others} different maps (similarity {mean:.2f}).")


def _is_mirrored(subject: Subject) -> bool:
    """Return whether the target is one of two classes of which each is the other's negative, whatever the picture."""
    info = subject.model.info
    if len(info.labels) != 2 or info.activation == "quantity":
        return False
    if info.activation == "softmax":  # p and 1 − p
        return subject.targets.score != "logit" or not info.logits
    scores = subject.model.scores(subject.x)  # one output stands for both: −z and z
    return bool(np.array_equal(scores[..., 0], -scores[..., 1]))


def _other_classes(subject: Subject, count: int, seed: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    weights = subject.targets.weights.reshape(-1, subject.targets.weights.shape[-1])
    others = np.flatnonzero(~weights.any(axis=0))
    return np.random.default_rng(seed).permutation(others)[:count]


def _of_class(subject: Subject, index: int) -> Targets:
    """Return the same target, in the same places, for another class."""
    given: Array = subject.targets.weights
    weights = np.zeros_like(given)
    # Where the output has space, the target says how much each place counts.
    most, least = given.max(axis=-1), given.min(axis=-1)
    weights[..., index] = np.where(most >= -least, most, least)
    return Targets(weights, subject.targets.score)
