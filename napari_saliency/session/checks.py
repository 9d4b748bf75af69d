"""The checks of a map: run in the engine one after the other, and remembered with their map.

Findings are kept weakly, and go with their map. Those about a region are forgotten with it, and found anew as soon as
the map can be checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from napari_saliency.checks import CHECKS, Finding, TooLongError, plan
from napari_saliency.core.placement import Region
from napari_saliency.engine import process as engine
from napari_saliency.session.pending import Answer, JobRunner, Pending
from napari_saliency.session.state import Problem, Progress

if TYPE_CHECKING:
    from napari_saliency.core.placement import Drawn, Placement
    from napari_saliency.core.types import Array
    from napari_saliency.engine.client import BackgroundThread, EngineClient
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.models import ModelInfo

STOPPED = "It was stopped."
NOTHING_DRAWN = "The region's layer contains no area here: draw one, or choose another layer."


def _unjudged(why: str) -> Finding:
    return Finding(1, 1).judged("not applicable", why)


ELSEWHERE = _unjudged("The region has changed.")
"""The finding of a check that asks for a region, once that has changed."""


class Checked(NamedTuple):
    """A map that is to be checked, with what it was made of.

    Attributes
    ----------
    x : (*space, C) float32
        Model input.
    explanation : Explanation
        The map, complete.
    info : ModelInfo
        The model.
    placement : Placement
        Where the pixels of ``x`` lie in the image.
    picture : Region, optional
        The part of ``x`` that shows the image, where black is around it.
    drawn : Drawn, optional
        Where the map ought to point.
    """

    x: Array
    explanation: Explanation
    info: ModelInfo
    placement: Placement
    picture: Region | None = None
    drawn: Drawn | None = None

    def region(self, drawn: Drawn) -> Region:
        """Lay a region over the grid of ``x``; may read from a slow disk."""
        return Region.where(drawn.contains, self.placement, self.x.shape[:-1], self.picture)


@dataclass(frozen=True, eq=False)
class Checks:
    """The findings about a map.

    Attributes
    ----------
    findings : mapping of str to Finding
        By the checks' ids, in the order in which they were begun; of the running check, its result so far.
    left_out : mapping of str to str
        Checks that were not run, or not to their end, and the reason.
    waiting : tuple of str
        Checks that are still to be run; the first of them runs.
    cancelled : bool
        True if they end after the present step.
    """

    findings: Mapping[str, Finding] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    cancelled: bool = False

    @property
    def progress(self) -> Progress | None:
        """Progress of the running check, if there is one."""
        if not self.waiting:
            return None
        name, result = self.waiting[0], self.findings.get(self.waiting[0])
        done, total = (result.done, result.total) if result else (0, 0)
        return Progress(done, total, "stopping after this step" if self.cancelled else CHECKS[name].title)

    def elsewhere(self) -> Checks:
        """Forget the findings about a region, which has changed."""
        asking = [name for name in self.findings if CHECKS[name].region]
        if not asking:
            return self
        return replace(self, findings={**self.findings, **dict.fromkeys(asking, ELSEWHERE)})

    def stopped(self) -> Checks:
        """Leave out what has not been run to its end."""
        findings = {name: result for name, result in self.findings.items() if result.complete}
        stopped = {name: STOPPED for name in self.waiting if name not in findings}
        return Checks(findings, {**self.left_out, **stopped})


NOTHING = Checks()


class CheckJob(NamedTuple):
    """A check that is to be run.

    Attributes
    ----------
    name : str
        Id of the check.
    named : bool
        True if this very check was asked for: then it runs whatever it costs.
    """

    name: str
    named: bool = False


class CheckRunner:
    """Runs the checks of the map that is shown, one at a time; findings are remembered for as long as their map is.

    Parameters
    ----------
    client : EngineClient
        Runs the checks.
    reader : BackgroundThread
        Reads regions, which may lie on a slow disk.
    displayed : callable
        Returns the map that is shown, without a region; None if it cannot be checked.
    changed : callable
        ``changed(checks)`` is called with every new value of ``state``.

    Attributes
    ----------
    state : Checks
        The findings about the map that is shown.
    drawn : Drawn or None
        Where maps ought to point.
    """

    def __init__(
        self,
        client: EngineClient,
        reader: BackgroundThread,
        displayed: Callable[[], Checked | None],
        changed: Callable[[Checks], None],
    ) -> None:
        self._displayed, self._on_change = displayed, changed
        self._queue: deque[CheckJob] = deque()  # the first one is under way
        self._runner: JobRunner[CheckJob, Finding] = JobRunner(client, "check", self._stepped)
        self._region: Pending[CheckJob, Region] = Pending(reader.call, self._located)
        self.drawn: Drawn | None = None
        self._subject: Checked | None = None  # since checks of it were begun
        self._kept: WeakKeyDictionary[Explanation, Checks] = WeakKeyDictionary()
        self.state = NOTHING

    @property
    def possible(self) -> bool:
        """True if the map that is shown can be checked."""
        return self._displayed() is not None

    def run(self, name: str = "") -> None:
        """Run one check, or by default all that can be afforded and have no findings yet.

        Checks that cost nothing are run anew.
        """
        subject = self._subject_now()
        if subject is not None and name:
            self._add(CheckJob(name, named=True), subject)
        elif subject is not None:
            self._add_affordable(subject)

    def look_for(self, drawn: Drawn | None) -> None:
        """Have maps point at another region; findings about the one before are forgotten, and found anew."""
        if (drawn and drawn.key) == (self.drawn and self.drawn.key):
            return
        self.drawn = drawn
        now = self._subject_now()
        if self._subject is not None and now is not None and now.explanation is self._subject.explanation:
            self._subject = now
        for explanation, known in self._kept.items():
            self._kept[explanation] = known.elsewhere()
        known = self.state.elsewhere()
        if known is not self.state:
            self._set(known)
        if self._queue and CHECKS[self._queue[0].name].region:
            self._begin()  # once more
        self._find_anew()

    def cancel(self) -> None:
        """Stop after the present step; what was found stays."""
        if self._queue:
            self._runner.cancelled = True
            self._set(replace(self.state, cancelled=True))

    def follow(self, displayed: Explanation | None) -> None:
        """Stop, unless this is the map that is checked, and return to the findings about this one."""
        if self._subject is None or self._subject.explanation is not displayed:
            if self._queue:
                self._stop()
            self._subject = None  # it goes when nothing else remembers it
            known = NOTHING if displayed is None else self._kept.get(displayed, NOTHING)
            if known is not self.state:
                self._set(known)
        self._find_anew()

    def lose(self) -> None:
        """Give up what was asked of an engine that has ended."""
        self._runner.lose()
        self._region.forget()
        if self._queue:
            self._end()

    def _stop(self) -> None:
        """Stop at once; what was found stays."""
        self._runner.stop()
        self.lose()

    def _end(self) -> None:
        self._queue.clear()
        self._set(self.state.stopped())

    def _subject_now(self) -> Checked | None:
        subject = self._displayed()
        return None if subject is None else subject._replace(drawn=self.drawn)

    def _find_anew(self) -> None:
        """Find what was forgotten with a region, if the map that is shown can be checked."""
        forgotten = [name for name, result in self.state.findings.items() if result is ELSEWHERE]
        subject = self._subject_now() if forgotten else None
        if subject is not None:
            for name in forgotten:
                self._add(CheckJob(name, named=True), subject)

    def _add_affordable(self, subject: Checked) -> None:
        self._stop()
        self._subject = subject
        info, x, total, result = subject.info, subject.x, subject.explanation.total, self.state.findings
        chosen = plan(info, x.shape[:-1], total)
        # What took too long is not tried again by itself; what the user stopped is.
        tried = {name: why for name, why in self.state.left_out.items() if why != STOPPED}
        left_out = {name: why for name, why in {**chosen.left_out, **tried}.items() if name not in result}
        known = {name for name in result if CHECKS[name].runs(1)} | left_out.keys()
        self._queue.extend(CheckJob(name) for name in chosen.run if name not in known)
        self._set(Checks(result, left_out, self._waiting()))
        self._begin()

    def _add(self, job: CheckJob, subject: Checked) -> None:
        """Run one more check, after those that wait."""
        if job.name in self._waiting():
            return
        self._subject = subject
        self._queue.append(job)
        left_out = {name: why for name, why in self.state.left_out.items() if name != job.name}
        self._set(replace(self.state, left_out=left_out, waiting=self._waiting()))
        if len(self._queue) == 1:
            self._begin()

    def _waiting(self) -> tuple[str, ...]:
        return tuple(job.name for job in self._queue)

    def _begin(self) -> None:
        """Begin the first of the queue."""
        self._runner.stop()
        self._region.forget()
        if not self._queue:
            return
        assert self._subject is not None
        job, drawn = self._queue[0], self._subject.drawn
        if not CHECKS[job.name].region:
            self._start(job, None)
        elif drawn is not self.drawn:  # that lies over another picture
            self._finish(ELSEWHERE)
        elif drawn is None:
            self._start(job, None)
        elif drawn.empty:
            self._finish(_unjudged(NOTHING_DRAWN))
        else:
            self._region.ask(job, partial(self._subject.region, drawn))

    def _located(self, answer: Answer[CheckJob, Region]) -> None:
        """Go on with a region, or without the check if the region cannot be read or lies outside the picture."""
        if answer.error is not None:
            self._finish(_unjudged(Problem.of("The region cannot be used", answer.error).message))
        elif answer.key is not None:
            self._start(answer.key, answer.value)

    def _start(self, job: CheckJob, region: Region | None) -> None:
        subject = self._subject
        assert subject is not None

        first = partial(engine.check, x=subject.x, explanation=subject.explanation, name=job.name)
        self._runner.begin(job, partial(first, picture=subject.picture, region=region, asked=job.named))
        self._runner.cancelled = self.state.cancelled  # while its region was read

    def _stepped(self, answer: Answer[CheckJob, Finding]) -> None:
        if answer.error is not None:
            self._fail(answer.error)
        elif answer.value is not None and answer.value.complete:
            self._finish(answer.value)
        elif self._runner.job is None:  # it was cancelled
            self._stop()
        elif answer.value is not None:
            self._set(
                replace(self.state, findings={**self.state.findings, self._queue[0].name: answer.value})
            )

    def _fail(self, error: BaseException) -> None:
        name = self._queue[0].name
        why = str(error)
        if not isinstance(error, TooLongError):
            why = Problem.of("It could not be made", error).message
        findings = {other: result for other, result in self.state.findings.items() if other != name}
        self._go_on(replace(self.state, findings=findings, left_out={**self.state.left_out, name: why}))

    def _finish(self, finding: Finding) -> None:
        self._go_on(replace(self.state, findings={**self.state.findings, self._queue[0].name: finding}))

    def _go_on(self, known: Checks) -> None:
        """Begin the next check after the one that has ended."""
        self._queue.popleft()
        self._set(replace(known, waiting=self._waiting()))
        if self.state.cancelled:
            self._end()
        else:
            self._begin()

    def _set(self, state: Checks) -> None:
        if self._subject is not None:
            self._kept[self._subject.explanation] = state
        self.state = state
        self._on_change(state)
