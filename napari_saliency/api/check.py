"""The second door: a map in, what is known of its truth out. Notebook and engine both come through here."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.api.explain import check_model, in_words, prepared_for, weighed
from napari_saliency.checks import CHECKS, Finding, Subject, TooLongError, affordable, find_check, plan
from napari_saliency.maps.explanation import Explanation

if TYPE_CHECKING:
    from napari_saliency.api.explain import Mask
    from napari_saliency.core.placement import Region
    from napari_saliency.core.types import Array
    from napari_saliency.images.prepare import AnyImage, Prepared
    from napari_saliency.models import Model, ModelInfo

MARKS = {"good": "+", "doubtful": "?", "bad": "−", "not applicable": " "}


@dataclass(frozen=True, eq=False)
class Report:
    """What the checks of one map have found.

    Attributes
    ----------
    findings : mapping of str to Finding
        By the checks' ids, in the order in which they ran.
    left_out : mapping of str to str
        Checks that did not run, and why.
    """

    findings: Mapping[str, Finding]
    left_out: Mapping[str, str]

    def __str__(self) -> str:
        """One line for each check."""
        lines = [(MARKS[f.level or "not applicable"], name, f.verdict) for name, f in self.findings.items()]
        lines += [(" ", name, f"Left out: {why}") for name, why in self.left_out.items()]
        return "\n".join(f"{mark} {CHECKS[name].title:20} {text}" for mark, name, text in lines)


def check(
    model: Model,
    image: AnyImage,
    explanation: Explanation,
    checks: str | Iterable[str] | None = None,
    *,
    region: Mask | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Check whether a map is true.

    Parameters
    ----------
    model : Model
        From `load_model`: the one that was explained.
    image : array, path, or PIL image
        The picture that was explained; see `explain`.
    explanation : Explanation
        From `explain`.
    checks : str or iterable of str, optional
        Ids out of `CHECKS`; by default all that can be afforded: what turns out to take longer than
        `MOST_SECONDS` is left out. What is asked for by name runs to its end.
    region : (h, w) or (z, y, x) bool array, optional
        Pixels of the picture that the map ought to point at, for ``mass`` and ``pointing_game``.
    options : mapping of str to mapping, optional
        Of the checks, by their ids.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If ``model`` is not a model, or ``explanation`` is none.
    ValueError
        If it is no map, not complete, or of another model or picture, or a check or option does not exist.
    ModelError
        If a check that was asked for by name asks for what the model does not give.
    """
    check_model(model)
    if not isinstance(explanation, Explanation):
        raise TypeError(f"the third argument is a map from explain, not {in_words(explanation)}")
    options = options or {}
    preview = prepared_for(model.info, image, region)
    drawn = None if region is None else preview.region
    _check_same(model.info, preview, explanation)
    left_out: dict[str, str] = {}
    asked = checks is not None
    if checks is None:
        checks, unaffordable = plan(model.info, preview.x.shape[:-1], explanation.total)
        left_out.update(unaffordable)
    names = [checks] if isinstance(checks, str) else list(checks)
    for name in [*names, *options]:
        find_check(name).complete(options.get(name, {}))
    _check_same_picture(model, preview.x, explanation)
    findings = {}
    for name in names:
        result = examine(
            model, preview.x, explanation, name, options.get(name, {}), picture=preview.picture, region=drawn
        )
        try:
            *_, findings[name] = result if asked else affordable(result)
        except TooLongError as error:
            left_out[name] = str(error)
    return Report(findings, left_out)


def examine(
    model: Model,
    x: Array,
    explanation: Explanation,
    name: str,
    options: Mapping[str, Any],
    *,
    picture: Region | None = None,
    region: Region | None = None,
) -> Generator[Finding]:
    """Run one check of a map of a preprocessed picture (H, W, C); yield findings, the last with a verdict.

    Parameters
    ----------
    picture : Region, optional
        Where ``x`` shows the picture, and not the black around it; everywhere if there is none.
    region : Region, optional
        Where the map ought to point.

    Raises
    ------
    ValueError
        If the check does not exist, an option is not allowed, or the map was stopped before its end.
    ModelError
        If the model cannot do what the check needs.
    """
    chosen = find_check(name)
    complete = chosen.complete(options)
    if chosen.needs and chosen.needs not in model.info.gives:
        raise model.no_cascade()
    if not explanation.complete:
        raise ValueError("the map was stopped before its end: compute all of it, then check it")
    targets = weighed([(explanation.target, explanation.prediction)], model.info)
    given = (explanation.values, explanation.method, explanation.options, explanation.diagnostics)
    subject = Subject(model, x[None], targets, *given, picture=picture, region=region)
    yield from chosen.function(subject, **complete)


def _check_same_picture(model: Model, x: Array, explanation: Explanation) -> None:
    (now,) = model.predict(x[None], [explanation.target.region])
    if not np.allclose(now.logits, explanation.prediction.logits, rtol=1e-3, atol=1e-3):
        raise ValueError("the map is of another picture: the model says something else of this one")


def _check_same(info: ModelInfo, preview: Prepared, explanation: Explanation) -> None:
    """Refuse what is no map, and a map of another model or of a picture of another size."""
    if explanation.shows != "map":
        raise ValueError(f"{explanation.title} gives no map of the picture that could be true or not")
    if explanation.provenance.get("fingerprint") != info.fingerprint:
        raise ValueError(f"the map is not one of {info.name}, as it is now: explain the picture again")
    space = preview.x.shape[:-1]
    place = preview.placement.coarser(space, explanation.values.shape[: len(space)])
    if place != explanation.placement:
        raise ValueError(
            "the map does not lie where this picture's would: give the picture that was explained"
        )
