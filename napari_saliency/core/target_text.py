"""Targets as text: classes named by label or index, weighted sums of them, and the way back to text."""

from __future__ import annotations

import re
from difflib import get_close_matches
from operator import index
from typing import TYPE_CHECKING, cast

from napari_saliency.core.errors import quote
from napari_saliency.core.types import DIRECTIONS, PLURALS, Score, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_saliency.core.types import Prediction, Weights

MOST_TERMS = 4
"""Terms of a sum that the name of a map lists."""

NEAR = 5
"""Labels suggested in place of one that does not exist."""

LARGEST_FACTOR = 1e6

_SIGNS = frozenset("+−–-")  # the en dash is what text processors make of a hyphen
_UNQUOTED = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'  # an even number of quotation marks follows
_SIGN = re.compile(rf"([+−–-]){_UNQUOTED}")
_SPACED_SIGN = re.compile(rf"(?<!\S)([+−–-])(?!\S){_UNQUOTED}")
_LEADING_SIGN = re.compile(r"^\s*([+−–-])")
_NUMBERS = re.compile(r"[\d.][\d.\s·*×+−–-]*")
# Two whole numbers without anything between them are more likely classes whose sign was forgotten.
_FACTOR = re.compile(r"(\d+\.?\d*|\.\d+)(?:\s*[·*×]\s*|\s+(?!\d+$))(\S.*)")
_TWO_NUMBERS = re.compile(r"[\d.]+\s+\d+")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def resolve(target: Target | int | str | None, prediction: Prediction, score: Score = "logit") -> Target:
    """Turn a class index, a label, a sum of classes in text or None into a `Target`.

    Parameters
    ----------
    target : Target, int, str or None
        A `Target` is returned as it is, with its own score. None is the class with the highest probability.
    prediction : Prediction
        Of the image: its labels, and the order of its classes.
    score : {"logit", "probability", "log_probability", "increase", "decrease"}
        For quantities, ``logit`` stands for ``increase``.

    Raises
    ------
    ValueError
        If a class does not exist (the message names similar ones), or the text cannot be parsed.
    """
    if isinstance(target, Target):
        _check_exists(target.weights[-1][0], prediction)
        return target
    if prediction.of_quantities:
        score = DIRECTIONS[0] if score == "logit" else score
        if target in DIRECTIONS and len(prediction.labels) == 1:
            target, score = 0, cast("Score", target)
    if target is None:
        return Target.of_class(int(prediction.order()[0]), score)
    if isinstance(target, str):
        return Target(parse_weights(target, prediction), score)
    try:
        number = index(target)
    except TypeError:
        number = None
    if number is None or isinstance(target, bool):  # True is not class 1
        raise ValueError(
            f"a target is the index or label of a {prediction.noun}, or a Target, not {quote(target)}"
        )
    _check_exists(number, prediction)
    return Target.of_class(number, score)


def _check_exists(number: int, prediction: Prediction) -> None:
    if not 0 <= number < len(prediction.labels):
        raise ValueError(
            f"{prediction.noun} {number} does not exist: {prediction.owner} has {PLURALS[prediction.noun]} 0 to "
            f"{len(prediction.labels) - 1}"
        )


def parse_weights(text: str, prediction: Prediction) -> Weights:
    """Parse a class, or a sum of classes, as in ``cat - 0.5 dog + zebra`` or ``285+281``.

    Parameters
    ----------
    text : str
        A label or an index; or several, with a sign between two and, if any, a factor before each (``2 cat``,
        ``2 · cat``). Spaces around signs may be left out between numbers, and where no label of the model
        contains a sign. A name in quotation marks is taken as it is: ``"salt - pepper" - dog``; within these,
        a quotation mark is doubled. Upper and lower case are the same, as are spaces and underscores.
    prediction : Prediction
        Its labels are those that can be named. The whole text as a label takes precedence over a sum, and a
        label over an index.

    Returns
    -------
    tuple of (class index, weight)
        Sorted by class; `format_weights` is the inverse.

    Raises
    ------
    ValueError
        If the text is empty, a class does not exist or is ambiguous, or all weights are 0.
    """
    if not text.strip():
        raise ValueError(
            f"no target is given: name a {prediction.noun}, or a sum of {PLURALS[prediction.noun]}"
        )
    labels = [_normalised(label) for label in prediction.labels]
    known = frozenset(labels)
    result: dict[int, float] = {}
    for sign, term in _terms(text, known):
        factor, name = _split_factor(term, known)
        number = _find_label(name, labels, prediction)
        result[number] = result.get(number, 0.0) + (factor if sign == "+" else -factor)
    weights = tuple(sorted((number, weight) for number, weight in result.items() if weight))
    if not weights:
        raise ValueError(f"all weights of {quote(text)} are 0: nothing is left to explain")
    return weights


def _terms(text: str, labels: frozenset[str]) -> list[tuple[str, str]]:
    """Split a sum into (sign, term)."""
    if _normalised(text) in labels:
        return [("+", text)]
    if _SIGNS.isdisjoint("".join(labels)):
        return _split(_SIGN, text)
    # Labels such as "T-shirt" contain signs, so only signs between spaces, and those of plain numbers, separate terms.
    terms: list[tuple[str, str]] = []
    for sign, term in _split(_SPACED_SIGN, _LEADING_SIGN.sub(r"\1 ", text)):
        # "10-20" may be the label of an age group and not a difference.
        is_label = _normalised(_split_factor(term, labels)[1]) in labels
        inner = _split(_SIGN, term) if _NUMBERS.fullmatch(term) and not is_label else [("+", term)]
        terms += [(sign, inner[0][1]), *inner[1:]]
    return terms


def _split(pattern: re.Pattern[str], text: str) -> list[tuple[str, str]]:
    first, *others = pattern.split(text)
    terms = [("+", first)] if first.strip() or not others else []
    terms += zip(others[::2], others[1::2], strict=True)
    return [(sign, term.strip()) for sign, term in terms]


def _split_factor(term: str, labels: frozenset[str]) -> tuple[float, str]:
    """Split a term into its factor, 1 where there is none, and its name."""
    factor = None if _normalised(term) in labels else _FACTOR.fullmatch(term)
    weight, name = (float(factor[1]), factor[2]) if factor else (1.0, term)
    if weight > LARGEST_FACTOR:
        raise ValueError(
            f"the factor of {quote(name)} is too large: at most {LARGEST_FACTOR:,.0f} is allowed"
        )
    quoted = _QUOTED.fullmatch(name)
    return weight, quoted[1].replace('""', '"') if quoted and _normalised(name) not in labels else name


def _find_label(text: str, labels: list[str], prediction: Prediction) -> int:
    name = _normalised(text)
    matches = [i for i, label in enumerate(labels) if label == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(
            f"{quote(text)} is the label of several {PLURALS[prediction.noun]}: give the index, one of "
            f"{', '.join(map(str, matches))}"
        )
    if text.isdecimal():
        _check_exists(int(text), prediction)
        return int(text)
    if not text:
        raise ValueError(f"nothing follows a sign: name a {prediction.noun} after each + and −")
    if _TWO_NUMBERS.fullmatch(text):
        raise ValueError(f"{quote(text)} is ambiguous: write + or − between two, or · after a factor")
    near = _near(name, labels, prediction)
    raise ValueError(f"{prediction.owner} has no {prediction.noun} {quote(text)}{_hint(text, near)}")


def _hint(text: str, near: list[str]) -> str:
    """Suggest labels, and how to write a sum if a sign may have been misread."""
    hint = f"; similar: {', '.join(near)}" if near else ""
    if _SIGNS.isdisjoint(text) and not any(map(_needs_quotes, near)):
        return hint
    return f"{hint}. In a sum put spaces around + and −, and names that contain these in quotes"


def _near(text: str, labels: list[str], prediction: Prediction) -> list[str]:
    """Find labels that contain a text, the most probable first, then labels that are spelt alike.

    Labels that contain it as a whole word come before those in which it is part of one.
    """
    word = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    containing = [labels[i] for i in prediction.order() if text in labels[i]]
    containing.sort(key=lambda label: word.search(label) is None)
    result = dict.fromkeys([*containing, *get_close_matches(text, labels, NEAR)])
    return [prediction.labels[labels.index(label)] for label in result][:NEAR]


def _normalised(label: str) -> str:
    return label.replace("_", " ").strip().casefold()


def format_weights(weights: Weights, labels: Sequence[str]) -> str:
    """Format a weighted sum of classes, the largest weights first, as in ``cat + 0.5 · lynx − dog``.

    `parse_weights` reads it back: names that would be taken for sums stand in quotation marks.
    """
    if len(weights) == 1 and weights[0][1] == 1:
        return labels[weights[0][0]]
    terms = [_format_term(weight, labels[i]) for i, weight in sorted(weights, key=lambda pair: -pair[1])]
    return " ".join(terms).removeprefix("+ ")


def _format_term(weight: float, label: str) -> str:
    factor = "" if abs(weight) == 1 else f"{abs(weight):g} · "
    name = '"{}"'.format(label.replace('"', '""')) if _needs_quotes(label) else label
    return f"{'+' if weight > 0 else '−'} {factor}{name}"


def _needs_quotes(label: str) -> bool:
    """Return whether a sum that contains a label could be split inside of it."""
    return '"' in label or label.lstrip()[:1] in _SIGNS or not _SIGNS.isdisjoint(label.split())


def format_target(target: Target, labels: Sequence[str]) -> str:
    """Name a target: a class, ``this − that``, or the terms with the largest weights."""
    arrow = {"increase": " ↑", "decrease": " ↓"}.get(target.score, "")
    if target.index is not None:
        return f"{labels[target.index]}{arrow}"
    largest = sorted(target.weights, key=lambda pair: -pair[1])[:MOST_TERMS]
    text = format_weights(tuple(largest), labels) + (" …" if len(target.weights) > MOST_TERMS else "")
    return f"({text}){arrow}" if arrow else text


def target_value(target: Target, prediction: Prediction) -> float:
    """Return the weighted sum of the scores of one image; for quantities the value, whatever the direction."""
    scores = {"probability": prediction.probabilities, "log_probability": prediction.log_probabilities}
    return float(scores.get(target.score, prediction.logits) @ target.dense(len(prediction.labels)))
