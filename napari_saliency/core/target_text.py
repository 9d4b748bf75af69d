"""Targets as people say them: classes by label or index, sums of them in words, and back to words."""

from __future__ import annotations

import re
from difflib import get_close_matches
from operator import index
from typing import TYPE_CHECKING, cast

from napari_saliency.core.types import DIRECTIONS, PLURALS, Score, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_saliency.core.types import Prediction, Weights

MOST_TERMS = 4
"""Of a sum, in the name of a map."""

NEAR = 5
"""Labels that are named in place of one that does not exist."""

_SIGN = re.compile(r"([+−–-])")
# What was most likely meant by a sign, where something has no meaning: "jack-o'-lantern" and "T-shirt" are labels.
_PLAIN_SIGN = re.compile(r"(?<!\S)([+−–-])(?=[\s\d.])")
# Where no label holds a plus sign, as "CD4+ T cell" does, each one is a sign, and so is what a text ends with.
_SIGN_OR_PLUS = re.compile(r"(\+|(?<!\S)[−–-](?=[\s\d.])|[−–-](?=\s*$))")
# Two whole numbers without anything between them are more likely classes whose sign was forgotten.
_FACTOR = re.compile(r"(\d+\.?\d*|\.\d+)(?:\s*[·*×]\s*|\s+(?!\d+$))(\S.*)")
_TWO_NUMBERS = re.compile(r"[\d.]+\s+\d+")
LARGEST_FACTOR = 1e6


def resolve(target: Target | int | str | None, prediction: Prediction, score: Score = "logit") -> Target:
    """Make a `Target` of whatever names one.

    Raises
    ------
    ValueError
        If there is no such class; the message names the nearest ones.
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
        return Target(weights_of(target, prediction), score)
    try:
        number = index(target)
    except TypeError:
        number = None
    if number is None or isinstance(target, bool):  # True is not class 1
        raise ValueError(f"a target is a {prediction.noun}'s index or label, or a Target, not {target!r}")
    _check_exists(number, prediction)
    return Target.of_class(number, score)


def _check_exists(number: int, prediction: Prediction) -> None:
    if not 0 <= number < len(prediction.labels):
        raise ValueError(
            f"{prediction.noun} {number} does not exist: {prediction.owner} has {PLURALS[prediction.noun]} 0 to "
            f"{len(prediction.labels) - 1}"
        )


def weights_of(text: str, prediction: Prediction) -> Weights:
    """Weights of a class by its label or number, or of a sum, as in ``cat - 0.5 dog + zebra`` or ``285+281``.

    A factor stands before its class. A label may hold signs, or be a number: where a text can be read in two ways
    the longer label counts, and a label before a number. `sum_words` writes what this reads.

    Raises
    ------
    ValueError
        If nothing is named, there is no such class, or nothing is left of the sum.
    """
    if not text.strip():
        raise ValueError(
            f"nothing is named: give a {prediction.noun}, or a sum of {PLURALS[prediction.noun]}"
        )
    plain = [_plain(label) for label in prediction.labels]
    result: dict[int, float] = {}
    guess = _PLAIN_SIGN if any("+" in label for label in plain) else _SIGN_OR_PLUS
    for sign, term in _read(text, frozenset(plain)) or _split(guess, text):
        weight, number = _term(term.strip(), plain, prediction)
        result[number] = result.get(number, 0.0) + (weight if sign == "+" else -weight)
    weights = tuple(sorted((number, weight) for number, weight in result.items() if weight))
    if not weights:
        raise ValueError(f"nothing is left of {text!r}: all of its weights are 0")
    return weights


def _split(sign: re.Pattern[str], text: str) -> list[tuple[str, str]]:
    """Cut a sum at its signs into (sign, term)."""
    first, *others = sign.split(text)
    return [("+", first)] * bool(first.strip() or not others) + [*zip(others[::2], others[1::2], strict=True)]


def _read(text: str, plain: frozenset[str]) -> list[tuple[str, str]]:
    """Cut a sum where each of its terms has a meaning, the first ones as long as can be; nothing if it cannot be."""
    if _plain(text) in plain:  # which may begin with a sign
        return [("+", text)]
    parts = _split(_SIGN, text)
    most = max(len(_SIGN.findall(label)) for label in plain)  # in one term
    ends = {len(parts): len(parts)}  # where the term ends that begins here, if all that follows has a meaning
    for start in reversed(range(len(parts))):
        for stop in range(min(start + 1 + most, len(parts)), start, -1):
            if stop in ends and _means(_joined(parts[start:stop]), plain):
                ends[start] = stop
                break
    terms, start = [], 0
    while start in ends and start < len(parts):
        terms.append((parts[start][0], _joined(parts[start : ends[start]])))
        start = ends[start]
    return terms


def _joined(parts: Sequence[tuple[str, str]]) -> str:
    """One term that has signs within."""
    return (parts[0][1] + "".join(sign + text for sign, text in parts[1:])).strip()


def _means(term: str, plain: frozenset[str]) -> bool:
    """Whether it is a class, or a factor and a class."""
    factor = _FACTOR.fullmatch(term)
    return any(_plain(name) in plain or name.isdecimal() for name in (term, factor[2] if factor else term))


def _term(text: str, plain: list[str], prediction: Prediction) -> tuple[float, int]:
    """Weight and class of one term of a sum."""
    factor = None if _plain(text) in plain else _FACTOR.fullmatch(text)
    weight, label = (float(factor[1]), factor[2]) if factor else (1.0, text)
    if weight > LARGEST_FACTOR:
        raise ValueError(f"the factor of {label!r} is too large: a million is the most")
    return weight, _find_label(label, plain, prediction)


def _find_label(text: str, plain: list[str], prediction: Prediction) -> int:
    name = _plain(text)
    matches = [i for i, label in enumerate(plain) if label == name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(
            f"{text!r} names the {PLURALS[prediction.noun]} {', '.join(map(str, matches))}: give one by its index"
        )
    if text.isdecimal():
        _check_exists(int(text), prediction)
        return int(text)
    if not text:
        raise ValueError(f"a sign is followed by nothing: give a {prediction.noun}, or a sum of them")
    if _TWO_NUMBERS.fullmatch(text):
        raise ValueError(f"something is missing in {text!r}: + or − between two, or · after a factor")
    near = _near(name, plain, prediction)
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise ValueError(f"{prediction.owner} has no {prediction.noun} {text!r}{hint}")


def _near(text: str, plain: list[str], prediction: Prediction) -> list[str]:
    """Labels that contain it as words of their own, then as parts of words, then those that are spelt alike.

    Of labels that contain it the most probable come first.
    """
    word = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    inside = [plain[i] for i in prediction.order() if text in plain[i]]
    inside.sort(key=lambda label: word.search(label) is None)
    result = dict.fromkeys([*inside, *get_close_matches(text, plain, NEAR)])
    return [prediction.labels[plain.index(label)] for label in result][:NEAR]


def _plain(label: str) -> str:
    return label.replace("_", " ").strip().casefold()


def sum_words(weights: Weights, labels: Sequence[str]) -> str:
    """Write a weighted sum of classes, the largest weights first, as in ``cat + 0.5 · lynx − dog``."""
    terms = [_term_words(weight, labels[i]) for i, weight in sorted(weights, key=lambda pair: -pair[1])]
    return " ".join(terms).removeprefix("+ ")


def _term_words(weight: float, label: str) -> str:
    factor = "" if abs(weight) == 1 else f"{abs(weight):g} · "
    return f"{'+' if weight > 0 else '−'} {factor}{label}"


def target_label(target: Target, labels: Sequence[str]) -> str:
    """Name a target: a class, ``this − that``, or weights in front of the names."""
    arrow = {"increase": " ↑", "decrease": " ↓"}.get(target.score, "")
    if target.index is not None:
        return f"{labels[target.index]}{arrow}"
    largest = sorted(target.weights, key=lambda pair: -pair[1])[:MOST_TERMS]
    text = sum_words(tuple(largest), labels) + (" …" if len(target.weights) > MOST_TERMS else "")
    return f"({text}){arrow}" if arrow else text


def target_value(target: Target, prediction: Prediction) -> float:
    """The weighted scores of one picture; of a quantity its value, whether up or down."""
    scores = {"probability": prediction.probabilities, "log_probability": prediction.log_probabilities}
    return float(scores.get(target.score, prediction.logits) @ target.dense(len(prediction.labels)))
