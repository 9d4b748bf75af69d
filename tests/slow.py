"""Checks that take long by a clock that nothing but their own steps moves: nobody waits for them."""

from dataclasses import replace
from functools import partial

from napari_saliency import checks as metrics
from napari_saliency.api import check
from napari_saliency.checks import CHECKS, Finding, affordable, registry


class Clock:
    """Says what time it is when it is asked."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def steps(clock, seconds, closed=None):
    """Take a step of each so many seconds; the last is the verdict."""
    try:
        for done, step in enumerate(seconds, 1):
            clock.now += step
            finding = Finding(done, len(seconds))
            yield finding.judged("good", "It took long.") if finding.complete else finding
    finally:
        if closed is not None:
            closed.append(True)


def make_slow(monkeypatch, name, seconds):
    """Have a check take so long, at both doors."""
    clock = Clock()
    measured = partial(affordable, clock=clock)
    slow = replace(CHECKS[name], function=lambda subject, **options: steps(clock, seconds))
    monkeypatch.setitem(registry._CHECKS, name, slow)
    monkeypatch.setattr(check, "affordable", measured)
    monkeypatch.setattr(metrics, "affordable", measured)
