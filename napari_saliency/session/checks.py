"""Takes the checks of one map through the engine, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from napari_saliency.checks import CHECKS, Finding, TooLongError, plan
from napari_saliency.core.placement import Region
from napari_saliency.engine import process as engine
from napari_saliency.session.state import Problem, Progress

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_saliency.core.placement import Drawn, Placement
    from napari_saliency.core.types import Array
    from napari_saliency.engine.client import BackgroundThread, EngineClient
    from napari_saliency.maps.explanation import Explanation
    from napari_saliency.models import ModelInfo

STOPPED = "It was stopped."
NOTHING_DRAWN = (
    "Nothing that has an area is drawn in the region's layer here: draw there, or choose another one."
)


def _unjudged(why: str) -> Finding:
    return Finding(1, 1).judged("not applicable", why)


ELSEWHERE = _unjudged("The region is another one now.")
"""What is known of a check that asks for a region, once that has changed."""


class Checked(NamedTuple):
    """A map that is to be checked, with what it was made of.

    Attributes
    ----------
    x : (*space, C) float32
        What the model saw.
    explanation : Explanation
        The map, complete.
    info : ModelInfo
        The model.
    placement : Placement
        Where the pixels of ``x`` lie in the picture.
    picture : Region, optional
        Which of them show it, where black is around it.
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
    """What is known of a map's truth.

    Attributes
    ----------
    findings : mapping of str to Finding
        By the checks' ids, in the order in which they were begun; of the one that runs, what it has found so far.
    left_out : mapping of str to str
        Checks that were not run, or not to their end, and why.
    waiting : tuple of str
        Those that are still to be run; the first of them runs.
    cancelled : bool
        Whether they end after the step that is under way.
    """

    findings: Mapping[str, Finding] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    cancelled: bool = False

    @property
    def progress(self) -> Progress | None:
        """How far the one that runs is, if any does."""
        if not self.waiting:
            return None
        name, result = self.waiting[0], self.findings.get(self.waiting[0])
        done, total = (result.done, result.total) if result else (0, 0)
        return Progress(done, total, "stopping after this step" if self.cancelled else CHECKS[name].title)

    def elsewhere(self) -> Checks:
        """Forget what was found of a region, which is another one now."""
        asking = [name for name in self.findings if CHECKS[name].region]
        if not asking:
            return self
        return replace(self, findings={**self.findings, **dict.fromkeys(asking, ELSEWHERE)})


NOTHING = Checks()


class CheckRunner:
    """Runs checks, one at a time; what they found is remembered for as long as their map is.

    Parameters
    ----------
    link : EngineLink
        To the engine.
    reader : ThreadLink
        For regions, which may lie on a slow disk.
    displayed : callable
        Returns the map that is shown, without a region; None if it cannot be checked.
    changed : callable
        ``changed(checks)`` is called with every new value of ``state``.

    Attributes
    ----------
    state : Checks
        What is known of the map that is shown.
    """

    def __init__(
        self,
        link: EngineClient,
        reader: BackgroundThread,
        displayed: Callable[[], Checked | None],
        changed: Callable[[Checks], None],
    ) -> None:
        self._link, self._reader, self._displayed, self._on_change = link, reader, displayed, changed
        self._drawn: Drawn | None = None  # where maps ought to point now
        self._count = 0
        self._run: Hashable = None  # names the check under way in the engine
        self._asked: frozenset[str] = frozenset()  # by name: of those that wait, what runs whatever it takes
        self._about: Checked | None = None  # since checks of it were begun
        self._kept: WeakKeyDictionary[Explanation, Checks] = WeakKeyDictionary()
        self.state = NOTHING

    @property
    def possible(self) -> bool:
        """Whether the map that is shown can be checked."""
        return self._displayed() is not None

    def run(self, name: str = "") -> None:
        """Check the map that is shown: one check, or by default all that can be afforded and is not known yet.

        What costs nothing is looked at anew.
        """
        about = self._about_now()
        if about is not None:
            self._begin(about, name)

    def look_for(self, drawn: Drawn | None) -> None:
        """Have maps point at another region; what was found of the one before is forgotten, and found anew."""
        if (drawn and drawn.key) == (self._drawn and self._drawn.key):
            return
        self._drawn = drawn
        now = self._about_now()
        if self._about is not None and now is not None and now.explanation is self._about.explanation:
            self._about = now
        for explanation, known in self._kept.items():
            self._kept[explanation] = known.elsewhere()
        known = self.state.elsewhere()
        if known is not self.state:
            self._set(known)
        if self.state.waiting and CHECKS[self.state.waiting[0]].region:
            self._next()  # begin it again
        self.look_anew()

    def look_anew(self, _change: object = None) -> None:
        """Find what was forgotten with a region, if the map that is shown can be checked."""
        about = self._about_now()
        if about is not None:
            for name in [name for name, result in self.state.findings.items() if result is ELSEWHERE]:
                self._add(name, about)

    def _about_now(self) -> Checked | None:
        about = self._displayed()
        return None if about is None else about._replace(drawn=self._drawn)

    def _begin(self, about: Checked, name: str) -> None:
        if name:
            self._add(name, about)
            return
        self.stop()
        chosen, result = plan(about.info, about.x.shape[:-1], about.explanation.total), self.state.findings
        tried = {name: why for name, why in self.state.left_out.items() if why != STOPPED}
        left_out = {name: why for name, why in {**chosen.left_out, **tried}.items() if name not in result}
        known = {name for name in result if CHECKS[name].runs(1)} | left_out.keys()
        self._about, self._asked = about, frozenset()
        self._set(Checks(result, left_out, tuple(name for name in chosen.run if name not in known)))
        self._next()

    def _add(self, name: str, about: Checked) -> None:
        """Run one more check, whatever it costs, after those that wait."""
        if name in self.state.waiting:
            return
        idle, self._about = not self.state.waiting, about
        self._asked |= {name}
        left_out = {other: why for other, why in self.state.left_out.items() if other != name}
        self._set(replace(self.state, left_out=left_out, waiting=(*self.state.waiting, name)))
        if idle:
            self._next()

    def cancel(self) -> None:
        """Stop after the step that is under way; what was found stays."""
        if self.state.waiting:
            self._set(replace(self.state, cancelled=True))

    def stop(self) -> None:
        """Forget what is under way; the engine does, too, after its step."""
        if self._run is not None:
            self._link.call(partial(engine.drop, self._run))
        self.lose()

    def turn_to(self, displayed: Explanation | None) -> None:
        """Stop, unless this is the map that is checked, and tell what was found of this one before."""
        if self._about is not None and self._about.explanation is displayed:
            self.look_anew()
            return
        self.stop()
        self._about = None  # it goes when nothing else remembers it
        known = NOTHING if displayed is None else self._kept.get(displayed, NOTHING)
        if known is not self.state:
            self._set(known)
        self.look_anew()

    def lose(self) -> None:
        """Forget what is under way in an engine that is no more."""
        self._run = None
        if self.state.waiting:
            self._end()

    def _next(self) -> None:
        """Begin the first of those that wait."""
        if not self.state.waiting:
            return
        assert self._about is not None
        self._count += 1
        run = self._run = ("check", self._count)
        about, name = self._about, self.state.waiting[0]
        drawn = about.drawn if CHECKS[name].region else None
        if CHECKS[name].region and drawn is not self._drawn:
            self._finish(name, ELSEWHERE)
        elif drawn is None:
            self._ask(run, name, None)
        elif drawn.empty:
            self._finish(name, _unjudged(NOTHING_DRAWN))
        else:
            ask, give_up = (partial(step, run, name) for step in (self._ask, self._unusable))
            self._reader.call(partial(about.region, drawn), then=ask, failed=give_up)

    def _ask(self, run: Hashable, name: str, region: Region | None) -> None:
        """Have the engine begin a check."""
        if run != self._run:
            return
        about = self._about
        assert about is not None
        begin = partial(engine.check, picture=about.picture, region=region, asked=name in self._asked)
        call = partial(begin, run, about.x, about.explanation, name)
        self._link.call(call, then=partial(self._stepped, run, name), failed=partial(self._failed, run, name))

    def _unusable(self, run: Hashable, name: str, error: BaseException) -> None:
        """Go on without a check whose region cannot be read, or is nowhere in the picture."""
        if run == self._run:
            self._finish(name, _unjudged(Problem.of("The region cannot be used", error).message))

    def _stepped(self, run: Hashable, name: str, finding: Finding) -> None:
        if run != self._run:
            return
        if not finding.complete and self.state.cancelled:
            self.stop()
        elif finding.complete:
            self._finish(name, finding)
        else:  # before anything is shown: the engine need not wait for the window
            call = partial(engine.step, run)
            self._link.call(
                call, then=partial(self._stepped, run, name), failed=partial(self._failed, run, name)
            )
            self._set(replace(self.state, findings={**self.state.findings, name: finding}))

    def _failed(self, run: Hashable, name: str, error: BaseException) -> None:
        if run != self._run:
            return
        why = str(error)
        if not isinstance(error, TooLongError):
            why = Problem.of("It could not be made", error).message
        so_far = {other: result for other, result in self.state.findings.items() if other != name}
        left_out = {**self.state.left_out, name: why}
        self._go_on(replace(self.state, findings=so_far, left_out=left_out))

    def _finish(self, name: str, finding: Finding) -> None:
        """Keep what a check has found."""
        self._go_on(replace(self.state, findings={**self.state.findings, name: finding}))

    def _go_on(self, known: Checks) -> None:
        """Begin the next one after the one that has ended."""
        self._run = None
        self._set(replace(known, waiting=known.waiting[1:]))
        if self.state.cancelled:
            self._end()
        else:
            self._next()

    def _end(self) -> None:
        """Leave out what was not run to its end."""
        findings = {name: result for name, result in self.state.findings.items() if result.complete}
        stopped = {name: STOPPED for name in self.state.waiting if name not in findings}
        self._set(Checks(findings, {**self.state.left_out, **stopped}))

    def _set(self, state: Checks) -> None:
        if self._about is not None:
            self._kept[self._about.explanation] = state
        self.state = state
        self._on_change(state)
