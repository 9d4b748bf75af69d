"""Explain images with a model; notebooks, the command line and the engine all use these functions."""

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

from napari_saliency.core.errors import ModelError, quote
from napari_saliency.core.placement import Placement, Region
from napari_saliency.core.target_text import format_target, resolve, target_value
from napari_saliency.core.types import DIRECTIONS, Array, Estimate, Prediction, Score, Target, Targets
from napari_saliency.images.prepare import AnyImage, Prepared, as_pixels, prepare
from napari_saliency.maps.explanation import Explanation
from napari_saliency.methods import METHODS, Method, MethodChoice, wrappable
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
    """Explain a model's score for an image.

    Parameters
    ----------
    model : Model
        From `load_model`.
    image : array (h, w) or (h, w, C), path, or PIL image; for models of volumes (z, y, x) or (z, y, x, C)
        Grey, RGB or RGBA of any dtype; see `prepare` for how values are interpreted.
    target : int, str, Target, optional
        A class by index or label, or a weighted sum of classes, also as text (``cat - 0.5 dog``, see
        `parse_weights`); by default the class with the highest probability. For regression models with
        one output also ``increase`` or ``decrease``.
    method : str
        One of `METHODS`.
    score : {"logit", "probability", "log_probability", "increase", "decrease"}
        The score of the class that is explained; a `Target` has its own. For regression models
        ``increase`` (the default) or ``decrease``.
    region : (h, w) or (z, y, x) bool array, optional
        For models with a spatial output: pixels of the image whose mean score is explained; by default
        all.
    **options
        Options of the method.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError
        If ``model`` is not a model.
    ValueError
        If the image, target, method or an option is not valid.
    ModelError
        If the model lacks an operation that the method needs, or the image does not fit into memory.
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
    """Explain several images in batches; see `explain`.

    Parameters
    ----------
    images : iterable
        For example a list, an array (N, h, w, C) or (N, z, y, x, C), or a generator.
    targets : iterable, or one for all
        A target for each image.
    regions : iterable, optional
        A region for each image.

    Returns
    -------
    list of Explanation
        In the order of the images.
    """
    check_model(model)
    result: list[Explanation] = []
    for some in _batches(model.info, _zip_arguments(images, targets, regions, len(model.info.input.shape))):
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
        *_, last = run_method(model, x, questions, method, options)
        result += last
    return result


def _region(prepared: Prepared, target: object) -> Region | None:
    """Return the region that is explained: the mask's, or else that of a target from an earlier explanation."""
    region = target.region if isinstance(target, Target) else None
    if prepared.region is not None or region is None:
        return prepared.region
    if region.shape != prepared.x.shape[:-1]:
        raise ValueError(
            f"the target's region has the input size {region.shape}, but this image is prepared to "
            f"{prepared.x.shape[:-1]}: give a region"
        )
    return region


def _batches(
    info: ModelInfo, requests: Iterable[tuple[AnyImage, Any, Any]]
) -> Iterator[list[tuple[Prepared, Any]]]:
    """Prepare images and group successive ones of one size, as many as the model takes in one call."""
    some: list[tuple[Prepared, Any]] = []
    for image, target, mask in requests:
        prepared = prepare_with_region(info, image, mask)
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
    """Raise TypeError, with a hint, if the argument is not a model."""
    if isinstance(model, Model):
        return
    hint = ""
    if isinstance(model, (str, Path)):
        hint = f": write load_model({str(model)!r})"
    elif hasattr(model, "shape"):
        hint = ": the image is the second argument"
    raise TypeError(
        f"the first argument must be a model from load_model, not {describe_argument(model)}{hint}"
    )


def _zip_arguments(
    images: Iterable[AnyImage], targets: object, regions: object, axes: int
) -> Iterator[tuple[AnyImage, Any, Any]]:
    """Zip images with their targets and regions; images of a generator are consumed one by one if possible."""
    single = isinstance(images, (str, Path)) or not isinstance(images, Iterable)
    if single or (isinstance(images, np.ndarray) and _is_one_picture(images.shape, axes)):
        raise TypeError(
            f"images must be a list or another iterable of images, not {describe_argument(images)}: "
            "write [image], or call explain for one"
        )
    for_all = [not isinstance(values, Iterable) or isinstance(values, str) for values in (targets, regions)]
    pictures = images if all(for_all) or isinstance(images, Sized) else list(images)
    given: list[Iterable[Any]] = []
    for values, name, one in zip((targets, regions), ("targets", "regions"), for_all, strict=True):
        each = repeat(values) if one else list(cast("Iterable[Any]", values))
        if isinstance(each, list) and isinstance(pictures, Sized) and len(each) != len(pictures):
            raise ValueError(
                f"{len(each)} {name} are given for {len(pictures)} images: give one for each, or one for all"
            )
        given.append(each)
    return zip(pictures, *given, strict=False)


def _is_one_picture(shape: tuple[int, ...], axes: int) -> bool:
    # With more than 4 values on the last axis it is rather a stack of grey images than one with channels.
    return len(shape) <= axes or (len(shape) == axes + 1 and shape[-1] <= 4)


def describe_argument(thing: object) -> str:
    """Describe a wrong argument briefly, for an error message."""
    if thing is None or isinstance(thing, (str, Path, bool, int, float)):
        return repr(str(thing) if isinstance(thing, Path) else thing)
    shape = f" of shape {thing.shape}" if hasattr(thing, "shape") else ""
    return f"an object of type {type(thing).__name__}{shape}"


@dataclass(frozen=True, eq=False)
class Question:
    """One image of a batch: its prediction, its target, the placement of ``x``, and its flaws for the notes."""

    prediction: Prediction
    target: Target
    placement: Placement
    flaws: tuple[str, ...] = ()


def run_method(
    model: Model, x: Array, questions: Sequence[Question], method: str, options: Mapping[str, Any]
) -> Iterator[list[Explanation]]:
    """Run a method on a batch of preprocessed images; yield explanations, each more accurate than the last.

    Parameters
    ----------
    x : (N, H, W, C) or (N, Z, H, W, C) float32
        Preprocessed images.
    questions : sequence of Question
        One for each image; the scores of their targets must be the same.

    Raises
    ------
    ValueError
        If the method does not exist, an option is not valid, or the scores differ.
    ModelError
        If the model lacks an operation that the method needs.
    """
    chosen = find_method(method)
    complete = chosen.complete(options)
    _check_needs(chosen, complete, model.info)
    targets = weigh_targets([(question.target, question.prediction) for question in questions], model.info)
    run = _Run(model.info, chosen, complete, x)
    for estimate in chosen.function(model, x, targets, **complete):
        yield [run.explanation(question, estimate, n) for n, question in enumerate(questions)]


def weigh_targets(requests: Sequence[tuple[Target, Prediction]], info: ModelInfo) -> Targets:
    """Combine the targets of a batch; raise ValueError if their scores differ."""
    scores = {target.score for target, _ in requests}
    if len(scores) != 1:
        raise ValueError(
            f"the targets of one batch must have the same score, not {', '.join(sorted(scores))}"
        )
    return Targets(np.stack([_weights(*one) for one in requests]), _computed_score(scores.pop(), info))


def _computed_score(score: Score, info: ModelInfo) -> Score:
    """Return the score to compute; the direction of a quantity is in the sign of its weights."""
    if score not in ("logit", *info.scores):  # logit is the default of Target
        raise ValueError(f"{info.name} has no score {quote(score)}; it has {', '.join(info.scores)}")
    return "logit" if score in DIRECTIONS else score


def _weights(target: Target, prediction: Prediction) -> Array:
    weights = target.dense(len(prediction.labels), prediction.space)
    return -weights if target.score == "decrease" else weights


def _check_needs(method: Method, options: Mapping[str, Any], info: ModelInfo) -> None:
    for missing in sorted(method.needed(options) - info.gives):
        able = [METHODS[name] for name in wrappable()] if method.wraps else METHODS.values()
        others = ", ".join(f"{m.title} ({m.id})" for m in able if m.needs in info.gives)
        wrapped = "another method to wrap: " if method.wraps else ""
        raise ModelError(f"{method.title} {info.lacks(missing)}: choose {wrapped}{others}")


def find_method(name: str) -> Method:
    """Look up a method by its id; the ValueError for another name lists all ids."""
    if name not in tuple(METHODS):  # a tuple, since the name may not be hashable
        raise ValueError(f"method {quote(name)} is not one of {', '.join(METHODS)}")
    return METHODS[name]


@dataclass(frozen=True, eq=False)
class _Run:
    """The common part of all explanations of one run."""

    info: ModelInfo
    method: Method
    options: Mapping[str, Any]
    x: Array

    def explanation(self, question: Question, estimate: Estimate, n: int) -> Explanation:
        """Make the explanation of the ``n``-th image."""
        values, size = estimate.values[n], self.x.shape[1:-1]
        if self.method.shows == "picture":
            values = self.info.input.preprocessing.inverse(values)
        notes = (
            *(estimate.notes[n] if estimate.notes else ()),
            *self._scores_note(question.target),
            *(f"{flaw}." for flaw in question.flaws),
            *_constant_note(self.x[n]),
            *_finite_note(values, len(size)),
        )
        return Explanation(
            values=values,
            placement=question.placement.coarser(size, values.shape[: len(size)]),
            target=question.target,
            label=format_target(question.target, self.info.labels),
            score=target_value(question.target, question.prediction),
            method=self.method.id,
            title=_full_title(self.method, self.options),
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
        return (
            ("The model's logits are not accessible: this map explains the log-probability.",)
            if replaced
            else ()
        )


def _full_title(method: Method, options: Mapping[str, Any]) -> str:
    """Name a method and what it wraps, as in ``SmoothGrad of Grad-CAM``; a default wrapped method is not named."""
    wraps = [option for option in method.options if isinstance(option.choices, MethodChoice)]
    wrapped = [METHODS[options[o.name]].title for o in wraps if options[o.name] != o.default]
    return " of ".join([method.title, *wrapped])


def _constant_note(x: Array) -> tuple[str, ...]:
    """Warn if a model input (*space, C) is constant, as it is if no value of the image is finite."""
    if np.ptp(x, axis=tuple(range(x.ndim - 1))).any():
        return ()
    return ("The model input is constant: the map depends on the model alone, not on the image.",)


def _finite_note(values: Array, axes: int) -> tuple[str, ...]:
    finite = np.isfinite(values)
    if finite.all():
        return ()
    pixels = finite.reshape(*finite.shape[:axes], -1).all(axis=-1)
    count = np.count_nonzero(~pixels)
    are = "pixel is" if count == 1 else "pixels are"
    return (f"{count} of {pixels.size} {are} not finite: the computation overflowed there.",)


def prepare_with_region(info: ModelInfo, image: AnyImage, mask: Mask | None = None) -> Prepared:
    """Prepare an image and a mask of it for a model; raise ValueError if one of them does not fit."""
    pixels = as_pixels(image)
    prepared = prepare(pixels, info.input)
    if mask is None:
        return replace(prepared, region=prepared.picture) if info.space else prepared
    space = pixels.shape[: len(info.input.shape)]
    if np.shape(mask) != space:
        raise ValueError(f"a region must have the shape of the image, {space}, not {np.shape(mask)}")
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
    for package in ("napari-saliency", "numpy", "keras", "tensorflow", "torch", "onnxruntime"):
        try:
            result[package] = version(package)
        except PackageNotFoundError:
            result[package] = "not installed"
    return result
