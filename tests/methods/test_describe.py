"""Descriptions, from which tables and pages are generated."""

import pytest

from napari_saliency.checks import CHECKS, describe_checks
from napari_saliency.methods import METHODS, describe_methods

ALL = [*describe_methods(), *describe_checks()]
every = pytest.mark.parametrize("one", ALL, ids=[one.id for one in ALL])


def test_every_method_and_check_is_described_in_its_order():
    assert [one.id for one in ALL] == [*METHODS, *CHECKS]


@every
def test_it_has_a_formula_and_says_when_to_use_it_and_when_not(one):
    assert "\\" in one.formula or "=" in one.formula
    assert one.formula.count("{") == one.formula.count("}")
    for text in (one.use, one.avoid):
        assert text.endswith(".")
        assert text[0].islower()  # it goes on after "When to use:"
        assert "**" not in text


@every
def test_its_options_say_what_they_take(one):
    known = {**METHODS, **CHECKS}[one.id].options
    assert [option.name for option in one.options] == [option.name for option in known]
    for option, source in zip(one.options, known, strict=True):
        assert option.takes
        assert option.help == source.help
        assert eval(option.default, {}) == source.default


@pytest.mark.parametrize(
    ("name", "option", "takes"),
    [
        ("smoothgrad", "of", "a method"),
        ("grad_cam", "layer", "a layer of the model"),
        ("smoothgrad", "absolute", "True or False"),
        ("smoothgrad", "noise", "0 to 1"),
        ("integrated_gradients", "steps", "8 to 512"),
        ("score_cam", "weights", "'increase', 'softmax'"),
        ("occlusion", "window", "0 to 1024, one or several"),
        ("lime", "fill", "'black', 'white', 'mean', 'blur', 0 to 255, one or several"),
    ],
)
def test_what_an_option_takes_in_words(name, option, takes):
    [described] = [one for one in describe_methods() if one.id == name]
    assert {each.name: each.takes for each in described.options}[option] == takes


def test_what_a_docstring_does_not_say_is_empty():
    from dataclasses import replace

    from napari_saliency.methods.describe import describe

    bare = describe(replace(METHODS["gradient"], function=len))
    assert (bare.formula, bare.use, bare.avoid) == ("", "", "")
