"""The one door: pictures in, explanations out. Notebook, command line and engine all come through here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from napari_saliency.core.errors import ModelError
from napari_saliency.core.placement import Placement, Region
from napari_saliency.core.target_text import format_target, resolve, target_value
from napari_saliency.core.types import DIRECTIONS, Array, Estimate, Prediction, Score, Target, Targets
from napari_saliency.images.prepare import AnyImage, Prepared, as_pixels, prepare
from napari_saliency.maps.explanation import Explanation
from napari_saliency.methods import METHODS, Method, wrappable
from napari_saliency.models import Model

if TYPE_CHECKING:
    from napari_saliency.models import ModelInfo

Mask = npt.NDArray[np.bool_]


def explain(
    model: Model,
    image: AnyImage,
    target: Target | int | str | None = None,
    method: str = "gradient",
    score: Score = "logit",
    *,
    region: Mask | None = None,
    **options: Any,  # noqa: ANN401 - the method's own
) -> Explanation:
    """Explain what a model says of a picture.

    Parameters
    ----------
    model : Model
        From `load_model`.
    image : array (h, w) or (h, w, C), path, or PIL image; for a model of volumes (z, y, x) or (z, y, x, C)
        Grey, RGB or RGBA of any type; see `prepare` for how values are understood.
    target : int, str, Target, optional
        A class by index or label, or any weighting, also in words (``cat - 0.5 dog``); the top class if
        none is given. Of a model that returns one quantity also ``increase`` or ``decrease``.
    method : str
        One of `METHODS`.
    score : {"logit", "probability", "log_probability"}
        What of the class is explained; a `Target` brings its own. Of quantities ``increase`` (also meant
        by the default) or ``decrease``.
    region : (h, w) or (z, y, x) bool array, optional
        For models whose output has space: the pixels of the picture whose mean score is explained; all of
        them if none are given.
    **options
        Of the method.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError
        If ``model`` is not a model.
    ValueError
        If the picture, target, method or an option is not allowed.
    ModelError
        If the model cannot do what the method needs.
    """
    return explain_batch(model, [image], [target], method, score, regions=[region], **options)[0]


def explain_batch(
    model: Model,
    images: Iterable[AnyImage],
    targets: Iterable[Target | int | str | None] | Target | int | str | None = None,
    method: str = "gradient",
    score: Score = "logit",
    *,
    regions: Iterable[Mask | None] | None = None,
    **options: Any,  # noqa: ANN401 - the method's own
) -> list[Explanation]:
    """Explain many pictures in batched calls; see `explain`.

    Parameters
    ----------
    images : iterable
        A list, a stack (N, h, w, C) or (N, z, y, x, C), a generator.
    targets : iterable, or one for all
        What to explain of each picture.
    regions : iterable, optional
        A region of each picture.
    """
    check_model(model)
    result: list[Explanation] = []
    for some in _together(model.info, _each(images, targets, regions, len(model.info.input.shape))):
        x = np.stack([prepared.x for prepared, _ in some])
        where = [_region(*one) for one in some]
        predictions = model.predict(x, where)
        questions = [
            Question(
                prediction,
                replace(resolve(target, prediction, score), region=region),
                prepared.placement,
                prepared.flaws,
            )
            for (prepared, target), prediction, region in zip(some, predictions, where, strict=True)
        ]
        *_, last = answers(model, x, questions, method, options)
        result += last
    return result


def _region(prepared: Prepared, target: object) -> Region | None:
    """Where a picture is looked at: inside the mask, or where the target of an earlier map was."""
    region = target.region if isinstance(target, Target) else None
    if prepared.region is not None or region is None:
        return prepared.region
    if region.shape != prepared.x.shape[:-1]:
        raise ValueError(
            f"the target's region is one of pictures of {region.shape} pixels, as the model sees them, and this "
            f"one has {prepared.x.shape[:-1]}: give a region"
        )
    return region


def _together(
    info: ModelInfo, asked: Iterable[tuple[AnyImage, Any, Any]]
) -> Iterator[list[tuple[Prepared, Any]]]:
    """Prepare pictures and join those that can be run in one call: of one size, and not too many."""
    some: list[tuple[Prepared, Any]] = []
    for image, target, mask in asked:
        prepared = prepared_for(info, image, mask)
        if some and some[0][0].x.shape != prepared.x.shape:
            yield some
            some = []
        some.append((prepared, target))
        if len(some) >= info.together(prepared.x.shape[:-1]):
            yield some
            some = []
    if some:
        yield some


def check_model(model: object) -> None:
    """Raise TypeError, with a hint, for what is no model."""
    if isinstance(model, Model):
        return
    hint = ""
    if isinstance(model, (str, Path)):
        hint = f": write load_model({str(model)!r})"
    elif hasattr(model, "shape"):
        hint = ": the picture comes second"
    raise TypeError(f"the first argument is a model from load_model, not {in_words(model)}{hint}")


def _each(
    images: Iterable[AnyImage], targets: object, regions: object, axes: int
) -> Iterator[tuple[AnyImage, Any, Any]]:
    """Each picture with its target and region; pictures that are not all here yet are taken one by one."""
    single = isinstance(images, (str, Path)) or not isinstance(images, Iterable)
    if single or (isinstance(images, np.ndarray) and _is_one_picture(images.shape, axes)):
        raise TypeError(
            f"many pictures are a list, or another iterable, not {in_words(images)}: "
            "write [picture], or use explain for one"
        )
    for_all = [not isinstance(values, Iterable) or isinstance(values, str) for values in (targets, regions)]
    pictures = images if all(for_all) or isinstance(images, Sized) else list(images)
    given: list[Iterable[Any]] = []
    for values, name, one in zip((targets, regions), ("targets", "regions"), for_all, strict=True):
        each = repeat(values) if one else list(cast("Iterable[Any]", values))
        if isinstance(each, list) and isinstance(pictures, Sized) and len(each) != len(pictures):
            raise ValueError(
                f"{len(each)} {name} are given for {len(pictures)} pictures: give one for each, or one for all"
            )
        given.append(each)
    return zip(pictures, *given, strict=False)


def _is_one_picture(shape: tuple[int, ...], axes: int) -> bool:
    return len(shape) <= axes or (len(shape) == axes + 1 and shape[-1] <= 4)  # not a stack of grey ones


def in_words(thing: object) -> str:
    """Name what was given instead of something else, briefly."""
    if thing is None or isinstance(thing, (str, Path, bool, int, float)):
        return repr(str(thing) if isinstance(thing, Path) else thing)
    shape = f" of shape {thing.shape}" if hasattr(thing, "shape") else ""
    return f"an object of type {type(thing).__name__}{shape}"


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of one picture of a batch, where its map will lie, and what was no number in it."""

    prediction: Prediction
    target: Target
    placement: Placement
    flaws: tuple[str, ...] = ()


def answers(
    model: Model, x: Array, questions: Sequence[Question], method: str, options: Mapping[str, Any]
) -> Iterator[list[Explanation]]:
    """Run a method on a batch of preprocessed pictures; yield explanations that get better and better.

    Parameters
    ----------
    x : (N, H, W, C) or (N, Z, H, W, C) float32
        Preprocessed pictures.
    questions : sequence of Question
        One for each picture; their targets' scores are the same.

    Raises
    ------
    ValueError
        If the method does not exist, an option is not allowed, or scores differ.
    ModelError
        If the model cannot do what the method needs.
    """
    chosen = find_method(method)
    complete = chosen.complete(options)
    _check_needs(chosen, complete, model.info)
    targets = weighed([(question.target, question.prediction) for question in questions], model.info)
    answer = _Answer(model.info, chosen, complete, x)
    for estimate in chosen.function(model, x, targets, **complete):
        yield [answer.explanation(question, estimate, n) for n, question in enumerate(questions)]


def weighed(asked: Sequence[tuple[Target, Prediction]], info: ModelInfo) -> Targets:
    """Make ready for a model what is asked of each picture; ValueError if the targets' scores differ."""
    scores = {target.score for target, _ in asked}
    if len(scores) != 1:
        raise ValueError(f"targets of one batch must share their score, not mix {', '.join(sorted(scores))}")
    return Targets(np.stack([_weights(*one) for one in asked]), _weighed(scores.pop(), info))


def _weighed(score: Score, info: ModelInfo) -> Score:
    """What a model is asked for: a quantity, whether up or down, is its logit."""
    if score not in ("logit", *info.scores):  # a Target says logit where it says nothing
        raise ValueError(f"{info.name} has no score {score!r}; it has {', '.join(info.scores)}")
    return "logit" if score in DIRECTIONS else score


def _weights(target: Target, prediction: Prediction) -> Array:
    weights = target.dense(len(prediction.labels), prediction.space)
    return -weights if target.score == "decrease" else weights


def _check_needs(method: Method, options: Mapping[str, Any], info: ModelInfo) -> None:
    for missing in sorted(method.needed(options) - info.gives):
        able = [METHODS[name] for name in wrappable()] if method.wraps else METHODS.values()
        others = ", ".join(f"{m.title} ({m.id})" for m in able if m.needs in info.gives)
        wrapped = "one inside that does not, " if method.wraps else ""
        raise ModelError(f"{method.title} {info.lacks(missing)}: choose {wrapped}{others}")


def find_method(name: str) -> Method:
    """Look a method up by its id; ValueError lists what there is."""
    if name not in tuple(METHODS):  # what cannot be hashed neither
        raise ValueError(f"method {name!r} is not one of {', '.join(METHODS)}")
    return METHODS[name]


@dataclass(frozen=True, eq=False)
class _Answer:
    """What all explanations of one run have in common."""

    info: ModelInfo
    method: Method
    options: Mapping[str, Any]
    x: Array

    def explanation(self, question: Question, estimate: Estimate, n: int) -> Explanation:
        """Everything about the ``n``-th picture's map."""
        values, size = estimate.values[n], self.x.shape[1:-1]
        if self.method.shows == "picture":
            values = self.info.input.preprocessing.inverse(values)
        notes = (
            *(estimate.notes[n] if estimate.notes else ()),
            *self._scores_note(question.target),
            *(f"{flaw}." for flaw in question.flaws),
            *_even_note(self.x[n]),
            *_finite_note(values, len(size)),
        )
        return Explanation(
            values=values,
            placement=question.placement.coarser(size, values.shape[: len(size)]),
            target=question.target,
            label=format_target(question.target, self.info.labels),
            score=target_value(question.target, question.prediction),
            method=self.method.id,
            title=_title(self.method, self.options),
            options=self.options,
            prediction=question.prediction,
            done=estimate.done,
            total=estimate.total,
            stderr=None if estimate.stderr is None else estimate.stderr[n],
            diagnostics={
                k: float(np.ravel(v)[n if np.ndim(v) else 0]) for k, v in estimate.diagnostics.items()
            },
            notes=notes,
            provenance=_provenance(self.info),
            shows=self.method.shows,
        )

    def _scores_note(self, target: Target) -> tuple[str, ...]:
        replaced = target.score == "logit" and not self.info.logits
        return ("Of log-probabilities: this model's logits cannot be had.",) if replaced else ()


def _title(method: Method, options: Mapping[str, Any]) -> str:
    """Name a method, as in ``SmoothGrad of Grad-CAM``; of its usual method a wrapper has the paper's name alone."""
    wraps = [option for option in method.options if option.constraints.get("choices") == "methods"]
    wrapped = [METHODS[options[o.name]].title for o in wraps if options[o.name] != o.default]
    return " of ".join([method.title, *wrapped])


def _even_note(x: Array) -> tuple[str, ...]:
    """Say that a picture (*space, C) shows nothing, as one without any number in it does."""
    if np.ptp(x, axis=tuple(range(x.ndim - 1))).any():
        return ()
    return (
        "To the model the picture is the same everywhere: the map tells of the model, not of the picture.",
    )


def _finite_note(values: Array, axes: int) -> tuple[str, ...]:
    finite = np.isfinite(values)
    if finite.all():
        return ()
    pixels = finite.reshape(*finite.shape[:axes], -1).all(axis=-1)
    count = np.count_nonzero(~pixels)
    are = "pixel is" if count == 1 else "pixels are"
    return (f"{count} {are} not finite, of {pixels.size}: the numbers became too large for the map there.",)


def prepared_for(info: ModelInfo, image: AnyImage, mask: Mask | None = None) -> Prepared:
    """Bring a picture, and a region of it, to what a model takes; ValueError if one of them does not fit."""
    pixels = as_pixels(image)
    prepared = prepare(pixels, info.input)
    if mask is None:
        return replace(prepared, region=prepared.picture) if info.space else prepared
    space = pixels.shape[: len(info.input.shape)]
    if np.shape(mask) != space:
        raise ValueError(f"a region has the picture's shape {space}, not {np.shape(mask)}")
    region = Region.of_mask(np.asarray(mask, bool), prepared.placement, prepared.x.shape[:-1])
    return replace(prepared, region=region)


def _provenance(info: ModelInfo) -> dict[str, str]:
    return {
        "model": info.source,
        "fingerprint": info.fingerprint,
        "preprocessing": info.input.preprocessing.name,
        "fit": info.input.fit,
        "scores": "logits" if info.logits else "log-probabilities stand in for logits",
        **_versions(),
    }


@cache
def _versions() -> dict[str, str]:
    result = {}
    for package in ("napari-saliency", "numpy", "keras", "tensorflow", "torch", "onnxruntime", "captum"):
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            result[package] = "not installed"
    return result
