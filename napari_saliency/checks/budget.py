"""Stops a check that turns out to take too long, which no count of passes can tell in advance."""

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
"""Seconds that a check runs after its first step before its pace is believed. One that is expected to end within as
many is not stopped either, as nearly all of it is done."""


class TooLongError(Exception):
    """Raised when a check that was not chosen by name would take too long; the message says how long.

    It is pickled on its way from the engine, so the message is its only argument.
    """


class _Mark(NamedTuple):
    """Steps that a check has done after some seconds."""

    seconds: float = 0.0
    done: int = 0


def affordable(
    findings: Generator[Finding], *, clock: Callable[[], float] = time.monotonic
) -> Iterator[Finding]:
    """Run a check for as long as it seems to end within `MOST_SECONDS`.

    Parameters
    ----------
    findings : generator of Finding
        The check; closed when it is stopped.
    clock : callable
        Returns seconds. Only the time inside the check's steps counts.

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
    The first step may compile the model, so it says nothing about the pace of the others.
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
    """Yield findings with the seconds that their steps took; the time between steps does not count."""
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
        raise TooLongError(
            f"It would take {text} seconds; a check that is not chosen by name may take {MOST_SECONDS}."
        )
