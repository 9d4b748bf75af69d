"""Leaves off a check that would take too long, as soon as that is seen: what no count of passes can tell."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from napari_saliency.checks.registry import MOST_SECONDS

if TYPE_CHECKING:
    from napari_saliency.checks.finding import Finding

TRIAL = 5
"""Seconds that a check runs, after its first step, before its pace is believed. One that is expected to end
within as many is not left off either: that would throw away nearly all of it."""


class TooLongError(Exception):
    """A check that was not asked for by name would take too long; the message says how long."""


class _Mark(NamedTuple):
    """How far a check was after so many seconds."""

    seconds: float = 0.0
    done: int = 0


def affordable(
    findings: Generator[Finding], *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Finding]:
    """Go on with a check for as long as it seems to end within `MOST_SECONDS`.

    Parameters
    ----------
    findings : generator of Finding
        The check; it is closed when it is left off.
    clock : callable
        Returns seconds. Only what passes inside the check's steps counts.

    Yields
    ------
    Finding
        The check's own.

    Raises
    ------
    TooLongError
        If it would take longer.

    Notes
    -----
    The first step may compile what the others run, so it says nothing of their pace.
    """
    spent, since = 0.0, _Mark()
    with closing(findings):
        for seconds, finding in _timed(findings, clock):
            spent += seconds
            if not finding.complete:
                _refuse_if_long(finding, spent, since)
            yield finding
            since = since if since.seconds else _Mark(spent, finding.done)


def _timed(findings: Iterator[Finding], clock: Callable[[], float]) -> Iterator[tuple[float, Finding]]:
    """Findings, each after how long its step took; what is done with them between takes no time."""
    while True:
        began = clock()
        finding = next(findings, None)
        if finding is None:
            return
        yield clock() - began, finding


def _refuse_if_long(finding: Finding, spent: float, since: _Mark) -> None:
    more = finding.done - since.done
    left = (spent - since.seconds) * (finding.total - finding.done) / more if more else math.inf
    tried = since.seconds and spent - since.seconds >= TRIAL
    if left > TRIAL and (spent > MOST_SECONDS or (tried and spent + left > MOST_SECONDS)):
        text = f"more than {spent:.0f}" if math.isinf(left) else f"about {spent + left:.0f}"
        raise TooLongError(f"It would take {text} seconds; what is run unasked takes at most {MOST_SECONDS}.")
