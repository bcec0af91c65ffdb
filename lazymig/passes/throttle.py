"""The throttle: a rate limit, and pauses while replication lags, the user's probe says so, or the server is slow.

A server that reports overload slows it down too, see `shedding`, and so do the orders of a person, see `helm`.

An unknown or failing signal makes a pass slower, never faster, and never ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Protocol

from attrs import frozen
from pymongo.errors import PyMongoError

from lazymig.errors import ConfigurationError
from lazymig.loop.clock import Clock
from lazymig.passes.balance import Room
from lazymig.passes.company import Company
from lazymig.passes.gate import Gate
from lazymig.passes.helm import Helm, State
from lazymig.passes.pace import BatchSize, Latency
from lazymig.passes.shedding import Shedding, is_overload
from lazymig.passes.sounding import Sounding
from lazymig.stores.given import Store
from lazymig.stores.replication import Replication
from lazymig.stores.soundings import Soundings, Traffic

#: A user's health probe: True to continue, False to pause. An exception counts as unknown.
Probe = Callable[[], Awaitable[bool]]

#: Replication lag above which a pass pauses, in seconds.
LAG_MAX_S = 1.5
_LOOK_EVERY_S = 1.0
_PAUSE_S = 0.5
#: A probe that takes longer counts as unknown.
_PROBE_S = 5.0
#: With an unknown signal, each page waits as long as the last one took, but at most this many seconds.
_UNKNOWN_WAIT_MAX_S = 5.0
_HINDERED = "its statements make reads of live clients slower"
_IN_STEPS = "others read the same collections, so it goes in small steps"
#: Why a pass goes slowly, by the verdicts on replication and of the probe.
_WHY: tuple[dict[bool | None, str], ...] = (
    {False: "replication lags behind", None: "it is unknown whether replication lags behind"},
    {False: "the probe says that the server is not well", None: "the probe fails"},
)


@frozen(kw_only=True)
class Limits:
    """The load that a pass may put on the server."""

    #: Documents per batch, at most.
    batch_size: int = 1000
    #: Batches in flight at a time.
    concurrency: int = 2
    #: Documents per second, at most.
    rate_limit: float | None = None
    probe: Probe | None = None
    #: How many times as long a live read may take beside the pass; None: the pass does not adapt to that.
    live_slowdown: float | None = None

    def check(self) -> None:
        """Raise `ConfigurationError` for a slowdown that no pass can keep."""
        if self.live_slowdown is not None and not 1 < self.live_slowdown < inf:
            raise ConfigurationError(
                "live_slowdown: pass how many times as long a live read may take, above 1, such as 2; or None, and the "
                "sweep does not adapt"
            )


class _Limiter(Protocol):
    max_rate: float

    async def acquire(self, amount: float) -> None: ...


class Throttle:
    """Makes a pass wait before each page until the server can take it."""

    def __init__(
        self,
        store: Store,
        limits: Limits,
        stopping: Callable[[], bool],
        clock: Clock,
        *,
        stores: Sequence[Store] = (),
    ) -> None:
        """`stores`: those whose reads by others the pass takes into account."""
        self._limits = limits
        self.latency = Latency()
        self.batches = BatchSize(limits.batch_size, limits.rate_limit, self._find_batch)
        self._clock = clock
        self._replication = Replication(store)
        self._probe = limits.probe
        self._stopping = stopping
        self._rate = limits.rate_limit
        self._limiter: _Limiter | None = _make_limiter(limits.rate_limit)
        self._helm: Helm | None = None
        #: Why a rate that was ordered cannot be kept; empty where it is.
        self._unkept = ""
        self._looked_at = float("-inf")
        self._released_at_s = self._rested_at_s = clock.monotonic()
        self._verdict: bool | None = True
        self._why = ""
        #: Makes the statements of the pass patient: `pair = throttle.shedding.pair(pair)`.
        self.shedding = Shedding(stopping, clock, self.batches.shed)
        #: Keeps the pass in balance with live reads.
        self.sounding = sounding = Sounding(clock, Soundings(store), limits.live_slowdown, self.shedding.note_overload)
        if sounding.balance is not None:
            self.bound_statements()
            if stores:
                sounding.company = Company(clock, Traffic(stores), self._count_reads, self._count_siblings)

    def _count_reads(self) -> int:
        gate = self.shedding.gate
        return self.sounding.asked + (0 if gate is None else gate.reads)

    async def _count_siblings(self) -> int:
        return 1 if self._helm is None else await self._helm.count_siblings()

    def bound_statements(self) -> None:
        """Let no more statements be on the way than batches may be, however many pages are worked on."""
        if self.shedding.gate is None:
            self.sounding.gate = self.shedding.gate = Gate(lambda: self.concurrency)

    def steer_by(self, helm: Helm) -> None:
        """Follow the orders that this helm reads."""
        self._helm = helm

    @property
    def paused(self) -> bool:
        """Whether the pass waits because somebody paused it."""
        return self._helm is not None and bool(self._helm.pause)

    @property
    def reason(self) -> str:
        """Why the pass waits or goes slowly now; empty where it does not."""
        if self._helm is not None and (ordered := self._helm.pause or self._unkept):
            return ordered
        if self.shedding.pause_s:
            return "the server reports overload"
        if self._why or self.latency.slow:
            return self._why or "the server has become slower"
        if self.sounding.balance is not None and self.sounding.balance.hindered:
            return _HINDERED
        return _IN_STEPS if self.sounding.in_steps else ""

    @property
    def limited(self) -> bool:
        """Whether there is a rate limit."""
        return self._limiter is not None

    async def wait_for_page(self) -> bool:
        """Wait until the next page may be read. False: the run is to stop."""
        worked_s = self._clock.monotonic() - self._released_at_s
        while not self._stopping() and await self.follow_orders():
            verdict = await self._judge_health()
            # Go slowly while the server is slow. A pause would end the measurements that show it.
            if verdict is None or (verdict and self.latency.slow):
                await self._clock.sleep(min(worked_s, _UNKNOWN_WAIT_MAX_S))
            if verdict is not False:
                await self.shedding.wait_for_page()
                await self.sounding.look_around()
                await self._rest()
                await self.sounding.wait_for_quiet()
                break
            await self._clock.sleep(_PAUSE_S)
        self._released_at_s = self._clock.monotonic()
        return not self._stopping()

    async def wait_for_documents(self, count: int) -> bool:
        """Wait until the rate limit allows this many documents. False: the run is to stop."""
        await self._rest()
        left = count
        while left > 0 and not self._stopping() and await self.follow_orders():
            limiter = self._limiter  # read each time: an order may change it
            if limiter is None:
                break
            step = min(max(int(limiter.max_rate), 1), left)
            await limiter.acquire(step)
            left -= step
        return not self._stopping()

    async def _rest(self) -> None:
        """Rest for the part of the time in which the pass may not work, if it may not use all of it."""
        room = self._find_room(self.batches.most, self.batches.least)
        if room.duty < 1:
            worked_s = self._clock.monotonic() - self._rested_at_s
            await self._clock.sleep(min(worked_s * (1 / room.duty - 1), _UNKNOWN_WAIT_MAX_S))
        self._rested_at_s = self._clock.monotonic()

    async def follow_orders(self) -> bool:
        """Wait while the pass is paused, and go at the rate that was ordered. False: the run is to stop."""
        while not self._stopping():
            await self.look_at_orders()
            if self._helm is None or not (self._helm.pause or self._unkept):
                return True
            await self._helm.wait()
            await self._clock.sleep(_PAUSE_S)
        return False

    async def look_at_orders(self) -> None:
        """Read the orders and report the state of the pass, each if that is due. Waits for nothing."""
        helm = self._helm
        if helm is not None:
            if await helm.look():
                self._change_rate(helm.rate(self._limits.rate_limit))
            await helm.report(State(self.reason, self._rate, self.concurrency, self.batches.size))

    def _change_rate(self, rate: float | None) -> None:
        if rate == self._rate and not self._unkept:
            return
        try:
            self._limiter, self._unkept = _make_limiter(rate), ""
        except ConfigurationError as error:
            # Never faster than ordered: the pass waits until it can keep the rate, or needs not.
            self._unkept = f"waiting: {error}"
            return
        self._rate = rate
        self.batches.limit(rate)

    @property
    def concurrency(self) -> int:
        """How many batches may be on the way to the server at a time."""
        return self._find_room(self.batches.most, self.batches.least).concurrency

    @property
    def pages(self) -> int:
        """How many pages may be worked on at a time: the next is read and converted while one is on the way."""
        if self.sounding.balance is None or (self.limited and self._allowed == 1):
            return self.concurrency
        return max(self.concurrency, 2)

    @property
    def _allowed(self) -> int:
        given = self._limits.concurrency
        return given if self._helm is None else self._helm.concurrency(given)

    def _find_batch(self, most: int, least: int) -> int:
        return self._find_room(most, least).batch

    def _find_room(self, most: int, least: int) -> Room:
        balance = self.sounding.balance
        return Room(self._allowed, most, 1.0) if balance is None else balance.room(self._allowed, most, least)

    async def _judge_health(self) -> bool | None:
        now = self._clock.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S and self._verdict is not False:
            return self._verdict
        self._looked_at = now
        verdicts = [await self._keeps_up(), await self._ask_probe()]
        # False means pause, None means go slowly.
        self._verdict = False if False in verdicts else None if None in verdicts else True
        self._why = next((why[verdict] for why, verdict in zip(_WHY, verdicts, strict=True) if verdict is not True), "")
        return self._verdict

    async def _ask_probe(self) -> bool | None:
        if self._probe is None:
            return True
        try:
            async with asyncio.timeout(_PROBE_S):
                return bool(await self._probe())
        except Exception:
            return None

    async def _keeps_up(self) -> bool | None:
        """Whether the secondaries keep up; None where that is unknown."""
        try:
            return await self._replication.measure_lag_s() <= LAG_MAX_S
        except PyMongoError as error:
            if is_overload(error):
                self.shedding.note_overload()
            return None


def _make_limiter(rate_limit: float | None) -> _Limiter | None:
    if rate_limit is None:
        return None
    if rate_limit <= 0:
        raise ConfigurationError("rate_limit: pass documents per second above 0, or None for no limit")
    try:
        from aiolimiter import AsyncLimiter
    except ImportError:
        raise ConfigurationError(
            "rate_limit needs aiolimiter: pip install 'lazymig[sweep]' (lazymig[cli] has it too)"
        ) from None
    # A short period makes small bursts: the documents of a tenth of a second.
    return AsyncLimiter(max(rate_limit / 10, 1), max(0.1, 1 / rate_limit))
