"""Actions under way: each outlives the request that ordered it, and a migration has one at a time in this process.

Those of other processes are seen by the journal. What two processes do at one time, the records order: every change
there is a compare-and-set.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from attrs import define, field, frozen

from lazymig.control.journal import Act

R = TypeVar("R")

#: Lines that are kept of one.
_LINES: Final = 50
#: For how long an action is shown that has ended. The history shows it afterwards.
_SHOWN: Final = timedelta(minutes=10)
CUT_OFF: Final = "it was cut off; the page shows how far it came"


@frozen
class Outcome:
    """How an action ended.

    Attributes:
        words: In words.
        good: Whether it did what was ordered.
        answered: Whether the database answered.
    """

    words: str
    good: bool = False
    answered: bool = True


@define(eq=False)
class Errand:
    """An action under way, or that has ended.

    Attributes:
        action: What it is called.
        by: Who ordered it.
        form: What identifies the form that ordered it.
        began_at: When, naive UTC.
        lines: What was waited for, the newest last.
        ended_at: When it ended; None while it is under way.
        outcome: How it ended, in words.
        good: Whether it did what was ordered.
    """

    action: str
    by: str
    form: str
    began_at: datetime
    lines: list[str] = field(factory=list)
    ended_at: datetime | None = None
    outcome: str = ""
    good: bool = False

    def say(self, line: str) -> None:
        """Add a line."""
        self.lines[:] = [*self.lines[1 - _LINES :], line]

    def end(self, at: datetime, outcome: Outcome) -> None:
        """Record how it ended."""
        self.ended_at, self.outcome, self.good = at, outcome.words, outcome.good


#: Does what an errand is for.
Work = Callable[[Errand], Awaitable[Outcome]]
#: Returns the present, naive UTC.
Now = Callable[[], datetime]


@define(eq=False)
class Errands:
    """The errands of one application in this process: the last one of each migration."""

    _last: dict[str, Errand] = field(factory=dict, init=False)
    _tasks: set[asyncio.Task[object]] = field(factory=set, init=False)
    #: What may be left undone where the process ends.
    _left: set[asyncio.Task[object]] = field(factory=set, init=False)

    def find(self, migration: str) -> Errand | None:
        """Return the errand that is under way, or that ended last; None where there was none."""
        return self._last.get(migration)

    def find_busy(self, migration: str) -> Errand | None:
        """Return the errand that is under way; None where there is none."""
        last = self._last.get(migration)
        return last if last is not None and last.ended_at is None else None

    @property
    def under_way(self) -> list[Errand]:
        """Those that have not ended."""
        return [errand for errand in self._last.values() if errand.ended_at is None]

    async def wait(self) -> None:
        """Wait until all have ended."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def keep(self, work: Coroutine[object, None, Outcome]) -> asyncio.Task[Outcome]:
        """Begin work that goes on to its end, also where nobody waits for it any more."""
        return self._start(work, self._tasks)

    def leave(self, work: Coroutine[object, None, None]) -> None:
        """Begin work that nothing waits for, not even the end of the server."""
        self._start(work, self._left)

    def begin(self, migration: str, errand: Errand, work: Work, now: Now) -> asyncio.Task[Outcome]:
        """Begin one, where none is under way."""
        assert self.find_busy(migration) is None
        self._last[migration] = errand
        return self._start(_run(errand, work, now), self._tasks)

    def _start(self, work: Coroutine[object, None, R], kept: set[asyncio.Task[object]]) -> asyncio.Task[R]:
        # In a new context: what belongs to the request ends with it.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        kept.add(task)
        task.add_done_callback(kept.discard)
        return task


async def _run(errand: Errand, work: Work, now: Now) -> Outcome:
    outcome = Outcome(CUT_OFF)
    try:
        outcome = await work(errand)
    finally:
        errand.end(now(), outcome)
    return outcome


def find_shown(own: Errand | None, acts: Sequence[Act], now: datetime) -> Errand | None:
    """Return the action to show: the one under way, in any process, or the one that ended last.

    Args:
        own: The last one of this process.
        acts: The acts of the journal, newest first.
        now: The present, naive UTC.
    """
    # Its own words are the newest; and where the journal could not be written, nothing else has them.
    if own is not None and (own.ended_at is None or own.form not in {act.form for act in acts if act.ended_at}):
        shown = own
    elif acts:
        under_way = (act for act in acts if act.is_under_way(now))
        shown = _make_errand(next(under_way, acts[0]), now)
    else:
        return None
    return None if shown.ended_at is not None and abs(now - shown.ended_at) > _SHOWN else shown


def _make_errand(act: Act, now: datetime) -> Errand:
    ended_at, outcome = act.ended_at, act.outcome
    if ended_at is None and not act.is_under_way(now):
        ended_at, outcome = act.seen_at or act.at, CUT_OFF
    return Errand(act.action, act.by, act.form, act.at, list(act.lines), ended_at, outcome, act.good)
