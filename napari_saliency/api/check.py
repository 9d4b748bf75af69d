"""Check whether a map is faithful to the model; notebooks and the engine both use these functions."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_saliency.api.explain import check_model, describe_argument, prepare_with_region, weigh_targets
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
    """Results of the checks of one map.

    Attributes
    ----------
    findings : mapping of str to Finding
        By the ids of the checks, in the order in which they ran.
    left_out : mapping of str to str
        Checks that did not run, and the reasons.
    """

    findings: Mapping[str, Finding]
    left_out: Mapping[str, str]

    def __str__(self) -> str:
        """Return one line for each check."""
        lines = [(MARKS[f.level or "not applicable"], name, f.verdict) for name, f in self.findings.items()]
        lines += [(" ", name, f"Skipped: {why}") for name, why in self.left_out.items()]
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
    """Check whether a map is faithful to the model.

    Parameters
    ----------
    model : Model
        The model that was explained, from `load_model`.
    image : array, path, or PIL image
        The image that was explained; see `explain`.
    explanation : Explanation
        From `explain`.
    checks : str or iterable of str, optional
        Ids from `CHECKS`. By default all checks, but those that would take longer than `MOST_SECONDS`
        are skipped; checks that are named run to their end.
    region : (h, w) or (z, y, x) bool array, optional
        Pixels of the image that the map should highlight, for ``mass`` and ``pointing_game``.
    options : mapping of str to mapping, optional
        Options of the checks, by their ids.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If ``model`` is not a model, or ``explanation`` is not an explanation.
    ValueError
        If the explanation is not a map, is not complete, or is one of another model or image, or a check or
        option does not exist.
    ModelError
        If the model lacks an operation that a named check needs.
    """
    check_model(model)
    if not isinstance(explanation, Explanation):
        raise TypeError(
            f"the third argument must be a map from explain, not {describe_argument(explanation)}"
        )
    options = options or {}
    prepared = prepare_with_region(model.info, image, region)
    drawn = None if region is None else prepared.region
    _check_same(model.info, prepared, explanation)
    left_out: dict[str, str] = {}
    named = checks is not None
    if checks is None:
        checks, unaffordable = plan(model.info, prepared.x.shape[:-1], explanation.total)
        left_out.update(unaffordable)
    names = [checks] if isinstance(checks, str) else list(checks)
    for name in [*names, *options]:
        find_check(name).complete(options.get(name, {}))
    _check_same_picture(model, prepared.x, explanation)
    findings = {}
    for name in names:
        result = run_check(
            model,
            prepared.x,
            explanation,
            name,
            options.get(name, {}),
            picture=prepared.picture,
            region=drawn,
        )
        try:
            *_, findings[name] = result if named else affordable(result)
        except TooLongError as error:
            left_out[name] = str(error)
    return Report(findings, left_out)


def run_check(
    model: Model,
    x: Array,
    explanation: Explanation,
    name: str,
    options: Mapping[str, Any],
    *,
    picture: Region | None = None,
    region: Region | None = None,
) -> Generator[Finding]:
    """Run one check of a map of a preprocessed image (H, W, C); yield findings, the last one with a verdict.

    Parameters
    ----------
    picture : Region, optional
        The part of ``x`` that shows the image, without padding; by default all of it.
    region : Region, optional
        The part of ``x`` that the map should highlight.

    Raises
    ------
    ValueError
        If the check does not exist, an option is not valid, or the map is not complete.
    ModelError
        If the model lacks an operation that the check needs.
    """
    chosen = find_check(name)
    complete = chosen.complete(options)
    if chosen.needs and chosen.needs not in model.info.gives:
        raise model.no_cascade()
    if not explanation.complete:
        raise ValueError(
            "the map is not complete, as its computation was stopped: compute it again, then check it"
        )
    targets = weigh_targets([(explanation.target, explanation.prediction)], model.info)
    given = (explanation.values, explanation.method, explanation.options, explanation.diagnostics)
    subject = Subject(model, x[None], targets, *given, picture=picture, region=region)
    yield from chosen.function(subject, **complete)


def _check_same_picture(model: Model, x: Array, explanation: Explanation) -> None:
    (now,) = model.predict(x[None], [explanation.target.region])
    if not np.allclose(now.logits, explanation.prediction.logits, rtol=1e-3, atol=1e-3):
        raise ValueError("the model predicts other scores for this image: give the image that was explained")


def _check_same(info: ModelInfo, prepared: Prepared, explanation: Explanation) -> None:
    """Raise ValueError unless the explanation is a map of this model, for an image of this size."""
    if explanation.shows != "map":
        raise ValueError(
            f"{explanation.title} does not return a map that can be checked: choose another method"
        )
    if explanation.provenance.get("fingerprint") != info.fingerprint:
        raise ValueError(f"the map was not computed with {info.name} as it is now: explain the image again")
    space = prepared.x.shape[:-1]
    place = prepared.placement.coarser(space, explanation.values.shape[: len(space)])
    if place != explanation.placement:
        raise ValueError("the map does not fit the size of this image: give the image that was explained")
