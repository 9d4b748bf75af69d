"""What is said of each check, and which of them are afforded."""

from dataclasses import replace

import pytest

from napari_saliency.checks import CHECKS, check, find_check, plan, registry
from napari_saliency.methods import METHODS
from tests.analytic import Convolutional, Spatial

IDS = [
    "completeness_gap",
    "sparseness",
    "mass",
    "pointing_game",
    "model_randomisation",
    "class_randomisation",
    "deletion",
    "insertion",
    "max_sensitivity",
]


def test_the_ids_are_fixed_and_so_is_the_order_in_which_they_are_run():
    assert list(CHECKS) == IDS


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_says_what_it_is(name):
    result = CHECKS[name]
    assert (result.id, result.function.__name__) == (name, name)
    assert result.title
    assert result.cite
    assert result.summary.endswith(".")


@pytest.mark.parametrize("option", [o for c in CHECKS.values() for o in c.options], ids=lambda o: o.name)
def test_every_option_has_a_tooltip_a_range_and_a_valid_default(option):
    assert option.help
    assert option.type is str or option.limits
    option.check(option.default)


def test_wrong_names_and_options_are_told():
    with pytest.raises(ValueError, match="check 'insertoin' is not one of"):
        find_check("insertoin")
    with pytest.raises(ValueError, match="insertion has no option 'speed'; it has fill, steps"):
        CHECKS["insertion"].complete({"speed": 1})
    with pytest.raises(ValueError, match="steps=1 must lie between"):
        CHECKS["deletion"].complete({"steps": 1})


def test_an_id_is_taken_once(monkeypatch):
    monkeypatch.setattr(registry, "_CHECKS", {})

    def waves(subject):
        yield

    check("Waves", cite="nobody")(waves)
    with pytest.raises(ValueError, match="'waves' is registered already"):
        check("Waves", cite="nobody")(waves)


def test_all_checks_of_a_quick_map_are_run():
    assert plan(Convolutional().info, (224, 224), 1) == (tuple(CHECKS), {})


def test_what_would_take_long_is_left_out_and_says_how_long():
    chosen, left_out = plan(Convolutional().info, (224, 224), 10_000)
    assert set(left_out) == {"model_randomisation", "class_randomisation", "max_sensitivity"}
    assert "about 80,000 times" in left_out["max_sensitivity"]
    assert set(chosen) | set(left_out) == set(CHECKS)


def test_a_large_network_affords_less_than_a_small_one():
    info = Convolutional().info
    large = replace(info, work=40e9 / 224**2)
    assert "insertion" in plan(large, (224, 224), 1).left_out
    assert "insertion" in plan(large, (64, 64), 1).run
    assert {"mass", "sparseness"} <= set(plan(large, (2000, 2000), 10_000).run)  # they run nothing


def test_without_weights_to_change_randomisation_is_left_out():
    left_out = plan(Spatial().info, (6, 8), 1).left_out
    assert list(left_out) == ["model_randomisation"]
    assert "spatial does not give access to its weights" in left_out["model_randomisation"]


def test_only_scores_gradients_and_taps_are_asked_for_by_methods():
    assert all(method.needs != "cascade" for method in METHODS.values())
