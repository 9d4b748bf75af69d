"""What adapters are tried with: few samples, and the answers of a numpy twin."""

import numpy as np

from napari_saliency.core.types import SCORES, Targets
from napari_saliency.methods import METHODS
from tests.analytic import pictures, targets_of
from tests.few import few

FEW = few() | {"integrated_gradients": {"steps": 9, "baseline": "white"}}
RULES = ("guided", "deconvnet")


def answer(name, model, x, targets):
    *_, last = METHODS[name].function(model, x, targets, **FEW.get(name, {}))
    return last.values


def assert_same_map(result, wanted, share=1e-4):
    """The largest difference is at most a share of the largest value."""
    assert result.shape == wanted.shape
    assert result.dtype == np.float32
    assert np.abs(wanted).max() > 1e-6  # otherwise this shows nothing
    assert np.abs(result - wanted).max() <= share * np.abs(wanted).max()


def assert_same_answers(model, twin, scores=SCORES, rules=(None,), share=1e-4):
    x = pictures(twin, 3)
    np.testing.assert_allclose(model.scores(x), twin.scores(x), atol=share * 10)
    for score, rule in [(score, rule) for score in scores for rule in rules]:
        targets = Targets(targets_of(0, 2, 1).weights - 0.5 * targets_of(1, 1, 3).weights, score)
        value, gradient = model.gradient(x, targets, rule)
        wanted, oracle = twin.gradient(x, targets, rule)
        np.testing.assert_allclose(value, wanted, atol=share * 10)
        assert_same_map(gradient, oracle, share)


def assert_same_primitives(model, twin, layer, wanted="rectified"):
    """All that methods ask for: each score, each rule, and a layer. Scores and rules do not depend on each other."""
    assert_same_answers(model, twin)
    assert_same_answers(model, twin, ["logit"], RULES)
    assert_same_tap(model, twin, layer, wanted)


def assert_same_tap(model, twin, layer, wanted="rectified", scores=SCORES, share=1e-4):
    """A layer's activations and gradients, of every score; ``wanted`` is the twin's name of the layer."""
    x = pictures(twin, 2)
    for score in scores:
        result, oracle = (
            one.tap(x, targets_of(3, 1, score=score), name) for one, name in ((model, layer), (twin, wanted))
        )
        assert_same_map(result.activations, oracle.activations, share)
        assert_same_map(result.gradients, oracle.gradients, share)


def assert_rules_differ(model, twin, rules=RULES):
    """A rule that left the plain gradient as it is would be no rule."""
    x, targets = pictures(twin), targets_of(0)
    plain, *others = (model.gradient(x, targets, rule)[1] for rule in (None, *rules))
    for other in others:
        assert np.abs(plain - other).max() > 0.1 * np.abs(plain).max()


def assert_answers_differ(model, other, twin):
    """Scores, gradients by every rule, and activations: finite, and not the same."""
    x, targets, layer = pictures(twin), targets_of(0), model.info.cam_layer
    for ask in (
        lambda one: one.scores(x),
        *(lambda one, rule=rule: one.gradient(x, targets, rule)[1] for rule in (None, *RULES)),
        *(lambda one, part=part: one.tap(x, targets, layer)[part] for part in (0, 1)),
    ):
        assert np.isfinite(ask(other)).all()
        assert not np.allclose(ask(model), ask(other))


def assert_log_probabilities_stand_in(model, twin):
    """Where logits cannot be had, and a note says so."""
    assert not model.info.logits
    assert "log-probabilities stand in" in " ".join(model.info.notes)
    x = pictures(twin, 2)
    for asked, meant in (("logit", "log_probability"), ("probability",) * 2, ("log_probability",) * 2):
        for rule in (None, "guided") if asked == "logit" else (None,):
            value, gradient = model.gradient(x, targets_of(0, 2, score=asked), rule)
            wanted, oracle = twin.gradient(x, targets_of(0, 2, score=meant), rule)
            np.testing.assert_allclose(value, wanted, atol=1e-4)
            assert_same_map(gradient, oracle)
