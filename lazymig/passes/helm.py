"""The helm of a process's pass: it follows the orders in the control collection, and reports what the process does.

It looks about once a second, when the throttle asks it to, and so costs a pass nothing per batch. Where the control
collection does not answer, the last orders hold.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Protocol

from attrs import frozen
from pymongo.errors import PyMongoError

from lazymig.control import Control, Orders, Runners, Steering, parts_of
from lazymig.loop.clock import Clock
from lazymig.membership.terms import Beside
from lazymig.metrics import PACE, PAUSED, THROTTLED
from lazymig.telemetry import Tally

_BY = "paused by"
_LOOK_EVERY_S = 1.0
#: Seconds between two reports where nothing but the counts has changed.
_REPORT_EVERY_S = 3.0


def is_pause(reason: str) -> bool:
    """Whether a throttle's reason is that somebody paused the pass."""
    return reason.startswith(_BY)


@frozen
class State:
    """What a process reports of itself: its options in force, and why it waits or goes slowly."""

    throttle: str
    rate: float | None
    concurrency: int
    #: Documents per batch.
    batch: int


@frozen(kw_only=True)
class Aboard:
    """What the helm asks of its pass."""

    #: What names the process among others that run.
    owner: str
    #: What it was started as, such as "sweep".
    kind: str
    #: When the open pass began; None before that is known.
    began: Callable[[], datetime | None]
    #: How many documents the process has looked at.
    done: Callable[[], int]
    #: Is called while the pass waits because of an order, so that its progress can show that.
    on_wait: Callable[[], Awaitable[None]]
    tally: Tally


class Sampling(Beside, Protocol):
    """Takes samples of the migration beside a pass."""

    async def finish(self) -> None:
        """Take a last sample, within a bounded time; raise nothing."""


class Helm:
    """Reads the orders for one process, and reports its state; a `silent` one does not, because it writes nothing.

    The `sampler` takes samples meanwhile, behind the pass.
    """

    def __init__(
        self, control: Control, migration: str, aboard: Aboard, clock: Clock, *, silent: bool = False,
        sampler: Sampling | None = None,
    ) -> None:  # fmt: skip
        parts = parts_of(control)
        self._orders: Orders = parts.orders(migration, aboard.kind)
        self._runners: Runners | None = None if silent else parts.runners(migration)
        self._sampler = None if silent else sampler
        self._aboard = aboard
        self._clock = clock
        self._began = clock.now()
        self._found = Steering()
        self._looked_at_s = self._reported_at_s = float("-inf")
        self._reported: tuple[bool, State] | None = None
        self._done = 0
        self._per_s = 0.0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Show a run among those that go on, within the with statement, also where it fails.

        What was ordered before holds from its first page on.
        """
        self._looked_at_s, self._reported = float("-inf"), None
        self._done, self._per_s, self._reported_at_s = 0, 0.0, self._clock.monotonic()
        if self._sampler is not None:
            self._sampler.begin()
        try:
            yield
        except BaseException:
            await self._end(failed=True)
            raise
        await self._end(failed=False)

    async def _end(self, *, failed: bool) -> None:
        self._show(0.0, paused=False, throttled=False)
        if self._runners is not None:
            # If this fails, the row counts for a moment longer.
            with suppress(PyMongoError):
                await self._runners.end(self._aboard.owner)
                await self._runners.forget_dead()
        if self._sampler is not None:
            await (self._sampler.end() if failed else self._sampler.finish())

    async def look(self) -> bool:
        """Read the orders if that is due. True: they were read."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_at_s < _LOOK_EVERY_S:
            return False
        self._looked_at_s = now_s
        try:
            self._found = await self._orders.find()
        except PyMongoError:
            return False  # what was ordered before holds
        return True

    @property
    def pause(self) -> str:
        """Who paused the pass, since when and why; empty where it is not paused."""
        found = self._found
        if not found.paused:
            return ""
        reason = f": {found.reason}" if found.reason else ""
        return f"{_BY} {found.paused_by} since {found.paused_at:%Y-%m-%d %H:%M:%S} UTC{reason}"

    def rate(self, given: float | None) -> float | None:
        """Return the documents per second at most: as ordered, or as given where nothing was ordered for this pass."""
        return self._found.rate if self._found.rate_set and self._holds(self._found.rate_at) else given

    def concurrency(self, given: int) -> int:
        """Return the batches in flight: as ordered, or as given."""
        ordered = self._found.concurrency
        return ordered if ordered is not None and self._holds(self._found.concurrency_at) else given

    def _holds(self, at: datetime | None) -> bool:
        """Whether an order holds for this pass: it was given after the pass or the process began."""
        began = self._aboard.began()
        return at is not None and at >= (self._began if began is None else min(self._began, began))

    async def report(self, state: State) -> None:
        """Report the process's state if that is due: at once where it has changed, else every few seconds."""
        if self._sampler is not None:
            self._sampler.start()
        now_s, paused = self._clock.monotonic(), self._found.paused
        elapsed_s = now_s - self._reported_at_s
        if elapsed_s < _REPORT_EVERY_S and self._reported == (paused, state):
            return
        done = self._aboard.done()
        # Of the time since the last report, which is short after a change of the state: then the last pace holds.
        if elapsed_s >= _LOOK_EVERY_S:
            self._per_s = max(done - self._done, 0) / elapsed_s
            self._done = done
            self._reported_at_s = now_s
        self._reported = paused, state
        self._show(self._per_s, paused=paused, throttled=bool(state.throttle) and not paused)
        if self._runners is None:
            return
        try:
            await self._runners.report(self._aboard.owner, self._describe(paused, state, done))
        except PyMongoError:
            self._reported = None  # again when the throttle asks the next time

    def _show(self, per_s: float, *, paused: bool, throttled: bool) -> None:
        of = {"pass": self._aboard.kind}
        for name, value in ((PACE, per_s), (PAUSED, float(paused)), (THROTTLED, float(throttled))):
            self._aboard.tally.show(name, value, **of)

    def _describe(self, paused: bool, state: State, done: int) -> dict[str, object]:
        return {
            "process": f"{socket.gethostname()}:{os.getpid()}", "of": self._aboard.kind, "since": self._began,
            "done": done, "per_s": round(self._per_s, 1), "paused": paused, "throttle": state.throttle,
            "rate": state.rate, "concurrency": state.concurrency, "batch": state.batch,
        }  # fmt: skip

    async def count_siblings(self) -> int:
        """Count the other processes that run passes of this kind; where that is unknown, there may be one."""
        if self._runners is None:
            return 1
        try:
            return await self._runners.count_others(self._aboard.owner, self._aboard.kind)
        except PyMongoError:
            return 1

    async def wait(self) -> None:
        """Let the pass show that it waits because of an order."""
        await self._aboard.on_wait()
