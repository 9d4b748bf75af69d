"""Parsing and formatting of targets as text."""

import re
import time
from dataclasses import replace

import numpy as np
import pytest

from napari_saliency.core.target_text import format_target, format_weights, parse_weights, resolve
from napari_saliency.core.types import SCORES, Prediction, Target
from tests.analytic import LABELS, prediction_of


@pytest.mark.parametrize(
    ("target", "index"),
    [
        (None, 1),
        (0, 0),
        (np.int64(3), 3),
        ("zebra", 2),
        ("Zebra", 2),
        (" egyptian_cat ", 1),
        ("EGYPTIAN CAT", 1),
        (Target.of_class(3), 3),
    ],
)
def test_a_class_by_whatever_names_it(target, index):
    assert resolve(target, prediction_of(1, 3, 2, 0)) == Target.of_class(index)


@pytest.mark.parametrize("score", SCORES)
def test_the_score_that_is_asked_for(score):
    assert resolve("zebra", prediction_of(1, 3, 2, 0), score).score == score
    assert resolve(None, prediction_of(1, 3, 2, 0), score).score == score
    assert resolve(2, prediction_of(1, 3, 2, 0), score).score == score


def test_a_target_brings_its_own_score():
    target = Target.contrast(0, 1, "probability")
    assert resolve(target, prediction_of(1, 3, 2, 0), "logit") is target


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (4, "class 4 does not exist: the model has classes 0 to 3"),
        (-1, "class -1 does not exist: the model has classes 0 to 3"),
        (Target.of_class(7), "class 7 does not exist: the model has classes 0 to 3"),
        (True, "index or label of a class, or a Target, not True"),
        (np.False_, "index or label of a class, or a Target, not "),
        (2.0, "index or label of a class, or a Target, not 2.0"),
        ([1], r"index or label of a class, or a Target, not \[1\]"),
        ("zebre", "the model has no class 'zebre'; similar: zebra"),
        ("tabbycat", "the model has no class 'tabbycat'; similar: tabby cat"),
        ("aeroplane", "the model has no class 'aeroplane'$"),
    ],
)
def test_a_class_that_does_not_exist_is_told(target, message):
    with pytest.raises(ValueError, match=message):
        resolve(target, prediction_of(1, 3, 2, 0))


def test_a_label_that_names_two_classes_is_told():
    prediction = replace(prediction_of(1, 3, 2, 0), labels=("crane", "bird", "Crane", "dog"))
    with pytest.raises(ValueError, match=r"'crane'.*index.*0, 2"):
        resolve("crane", prediction)
    assert resolve(2, prediction) == Target.of_class(2)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target.of_class(2), "zebra"),
        (Target.contrast(2, 3), "zebra − bear"),
        (Target.contrast(3, 2), "bear − zebra"),
        (Target.weighted({0: 0.5, 1: -2}), "0.5 · tabby cat − 2 · Egyptian cat"),
        (Target.weighted([1, 1, 1, 1]), "tabby cat + Egyptian cat + zebra + bear"),
    ],
)
def test_a_target_in_words(target, text):
    assert format_target(target, LABELS) == text


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("zebra - bear", {2: 1, 3: -1}),
        ("zebra − Bear", {2: 1, 3: -1}),
        ("-zebra", {2: -1}),
        ("zebra+bear", {2: 1, 3: 1}),
        ("zebra-0.5 Egyptian_cat−bear", {1: -0.5, 2: 1, 3: -1}),
        ("2", {2: 1}),
        ("2 + 3", {2: 1, 3: 1}),
        ("2+3-0", {0: -1, 2: 1, 3: 1}),
        ("0.5 * 2 - zebra -3", {2: -0.5, 3: -1}),
        ("2 · 3", {3: 2}),
        ("- zebra", {2: -1}),
        ("0.5 tabby cat -2 · Egyptian_cat", {0: 0.5, 1: -2}),
        ("zebra + .5 * zebra + bear", {2: 1.5, 3: 1}),
        ("2 bear", {3: 2}),
    ],
)
def test_a_sum_in_words(text, weights):
    target = resolve(text, prediction_of(1, 3, 2, 0), "probability")
    assert target == Target.weighted(weights, "probability")
    assert resolve(format_target(target, LABELS), prediction_of(1, 3, 2, 0), "probability") == target


def named(*labels, channels=False):
    """Make a prediction with these labels."""
    values = np.zeros(len(labels), np.float32)
    return Prediction(values, values * np.nan if channels else values, values, labels, channels=channels)


def test_a_word_finds_the_labels_that_contain_it_the_most_probable_first():
    labels = ("crate", "oxcart", "castle", "tabby", "catamaran", "tiger_cat", "Persian cat", "Egyptian cat")
    probable = replace(named(*labels), probabilities=np.float32([0.2, 0, 0, 0.1, 0, 0.1, 0.2, 0.4]))
    near = r"similar: Egyptian cat, Persian cat, tiger_cat, catamaran, crate$"
    with pytest.raises(ValueError, match=near):
        parse_weights("Cat", probable)
    with pytest.raises(ValueError, match=r"similar: catamaran$"):
        parse_weights("amaran", probable)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("CD4+ T cell - B cel", "B cel"), ("CD4+ - CD8", "CD8"), ("CD4+ T cel", "CD4+ T cel"), ("C+", "C+")],
)
def test_labels_with_a_plus_sign_are_not_cut_to_name_what_is_wrong(text, wrong):
    with pytest.raises(ValueError, match=f"no class '{re.escape(wrong)}'; similar: "):
        parse_weights(text, named("CD4+ T cell", "B cell", "CD4+", "CD8+", "C++", "C"))


@pytest.mark.parametrize("text", ["1,5 zebra", "zebra - 1,000 tabby cat", "3, zebra"])
def test_a_comma_makes_no_factor(text):
    """It may be a decimal separator, a thousands separator, or separate two classes."""
    with pytest.raises(ValueError, match=r"no class '(1,5|1,000|3,)"):
        parse_weights(text, named("zebra", "tabby cat"))


def test_labels_may_look_like_sums_and_numbers():
    labels = ("salt - pepper", "salt", "3", "12", "jack-o'-lantern")
    assert parse_weights("salt - pepper", named(*labels)) == ((0, 1.0),)
    assert parse_weights("12", named(*labels)) == ((3, 1.0),)
    assert parse_weights("3 - 12", named(*labels)) == ((2, 1.0), (3, -1.0))
    assert parse_weights("2 · 3 - jack-o'-lantern", named(*labels)) == ((2, 2.0), (4, -1.0))
    assert parse_weights("3 - jack-o'-lantern + 12", named(*labels)) == ((2, 1.0), (3, 1.0), (4, -1.0))
    assert parse_weights('12 - 2 "salt - pepper"', named(*labels)) == ((0, -2.0), (3, 1.0))
    assert parse_weights("-salt + 3", named(*labels)) == ((1, -1.0), (2, 1.0))
    assert parse_weights("1", named(*labels)) == ((1, 1.0),)  # no label is that
    assert parse_weights("3–12", named(*labels)) == ((2, 1.0), (3, -1.0))  # with the dash of a text processor
    assert parse_weights("2*3+12-1", named(*labels)) == ((1, -1.0), (2, 2.0), (3, 1.0))


def test_ranges_of_numbers_are_labels_and_not_differences():
    labels = ("0-10", "10-20", "20-30")
    assert parse_weights("0-10 - 0.5 · 10-20", named(*labels)) == ((0, 1.0), (1, -0.5))
    assert parse_weights("2-1", named(*labels)) == ((1, -1.0), (2, 1.0))


def test_an_exact_label_comes_before_a_sum_and_before_a_number():
    labels = ("T", "shirt", "T-shirt", "1", "a+b", "a", "b", "-1")
    for number, label in enumerate(labels):
        assert parse_weights(label, named(*labels)) == ((number, 1.0),)
    assert parse_weights("a+b + T-shirt", named(*labels)) == ((2, 1.0), (4, 1.0))
    assert parse_weights("b + a", named(*labels)) == ((5, 1.0), (6, 1.0))
    assert parse_weights("shirt - T", named(*labels)) == ((0, -1.0), (1, 1.0))
    assert parse_weights('"-1" - a', named(*labels)) == ((5, -1.0), (7, 1.0))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("3-jack-o'-lantern+12", "3-jack-o'-lantern+12"),
        ("salt-3", "salt-3"),
        ("12 - salt - pepper", "pepper"),
        ("salt - -3", "-3"),
        ('"salt - peper" + 3', "salt - peper"),
    ],
)
def test_where_labels_contain_signs_spaces_or_quotes_are_asked_for(text, wrong):
    labels = ("salt - pepper", "salt", "3", "12", "jack-o'-lantern")
    with pytest.raises(ValueError, match=f"{re.escape(repr(wrong))}.*spaces around .*quotes$"):
        parse_weights(text, named(*labels))


@pytest.mark.parametrize(
    "label", ["salt - pepper", "-1", '5" - disk', '"', '"a" + "b"', "10-20", "a+b", "2 cats"]
)
@pytest.mark.parametrize("weight", [1.0, -1.0, 0.5])
def test_a_formatted_sum_is_parsed_again_whatever_its_labels_contain(label, weight):
    labels = (label, "dog", "1")
    for weights in (((0, weight),), ((0, weight), (1, 2.0), (2, -1.0))):
        assert parse_weights(format_weights(weights, labels), named(*labels)) == weights


def test_a_sum_of_all_classes_is_read_at_once():
    labels = tuple(f"class-{n}" for n in range(1000))
    weights = tuple((n, n + 1.0) for n in range(1000))
    begin = time.process_time()
    assert parse_weights(format_weights(weights, labels), named(*labels)) == weights
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zebra - zebra", "'zebra - zebra' are 0"),
        ("zebra - ber", "no class 'ber'; similar: bear"),
        ("", "name a class, or a sum of classes"),
        ("  ", "no target is given"),
        ("0 zebra", "weights of '0 zebra' are 0"),
        ("zebra -", "nothing follows a sign"),
        ("zebra+", "nothing follows a sign"),
        ("zebra+ber", "no class 'ber'; similar: bear"),
        ("zebra - -ber", "nothing follows a sign"),
        ("zebra + 4", "class 4 does not exist: the model has classes 0 to 3"),
        ("1.5", r"the model has no class '1\.5'"),
        ("zebra - ", "name a class after each"),
        ("2 3", r"'2 3' is ambiguous: write \+ or − between two, or · after a factor"),
        ("zebra + 0.5 3", "'0.5 3' is ambiguous"),
        (f"{'9' * 400} zebra", "the factor of 'zebra' is too large"),
        ("1000001*2", "the factor of '2' is too large: at most 1,000,000"),
    ],
)
def test_a_sum_that_makes_no_sense_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        parse_weights(text, named(*LABELS))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("", "name a channel, or a sum of channels"),
        ("conv[9]", r"the layer has no channel 'conv\[9\]'; similar: conv"),
        (2, "channel 2 does not exist: the layer has channels 0 to 1"),
        (Target.of_class(5), "channel 5 does not exist: the layer has channels 0 to 1"),
    ],
)
def test_inside_a_layer_it_is_channels_that_do_not_exist(asked, message):
    with pytest.raises(ValueError, match=message):
        resolve(asked, named("conv[0]", "conv[1]", channels=True))
