"""The steps of one process's following: claim, find the position, handle batches, and store the position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar

from lazymig.control import Control, parts_of
from lazymig.control.following import Claim
from lazymig.control.samples import MEDIUM
from lazymig.following.catching_up import CatchingUp, Verifying
from lazymig.following.feed import Feed
from lazymig.following.handling import Handler
from lazymig.following.healing import Terms
from lazymig.following.leasing import Lease, TakenOver
from lazymig.following.options import FollowOptions
from lazymig.following.pursuit import Hooks, Pursuit
from lazymig.following.report import FollowReport
from lazymig.histogram import Histogram
from lazymig.loop.clock import Clock
from lazymig.passes.throttle import Limits, Throttle
from lazymig.repository import Repository, calls_of
from lazymig.routes.shifts import Shift
from lazymig.routes.stages import check_fills_v2
from lazymig.stores.events import Changes, Operation
from lazymig.surroundings.checking import check_apart
from lazymig.verifying.options import VerifyOptions

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds that the server waits for a change before it answers that there is none.
_IDLE_S = 0.25
#: The longest time that an operation may be in flight where the repository has no bound: the sweeper's grace period.
_UNBOUNDED = timedelta(hours=1)


class Follow(Generic[V1, V2]):
    """Follows V1's changes, in one process, which may run again."""

    def __init__(
        self,
        repository: Repository[V1, V2],
        control: Control | None,
        options: FollowOptions,
        verifying: Callable[[Control], Verifying],
        clock: Clock,
    ) -> None:
        calls = calls_of(repository)
        self._shift = Shift(calls, "follow", partial(check_fills_v2, "a follower"), self._is_stopped)
        limits = Limits(batch_size=options.batch_size, probe=options.probe)
        self._throttle = throttle = Throttle(calls.pair.bodies, limits, self._is_stopping, clock)
        self._pair = pair = throttle.shedding.pair(calls.pair)
        self._options = options
        self._name = repository.migration.name
        given = calls.choose_control(control, clock)
        self._control = control = throttle.shedding.control(given)
        check_apart(control, pair.v1, pair.bodies)
        self._clock = clock
        self._changes = Changes(pair.v1, batch_size=options.batch_size, wait_s=_IDLE_S, clock=clock)
        self._feed = Feed(self._changes, size=options.batch_size, wait_s=options.batch_wait_s, clock=clock)
        self._following = parts_of(control).following(self._name)
        sampler = self._shift.make_sampler(given, MEDIUM)
        self._lease = Lease(self._following, self._is_stopping, clock, sampler)
        self._make_verifying = lambda: verifying(control)
        timeout_s = repository.timeout_s
        self._terms = Terms(
            concurrency=options.concurrency, stopping=self._is_stopping, under_way=options.batch_size, clock=clock,
            in_flight=_UNBOUNDED if timeout_s is None else timedelta(seconds=timeout_s),
        )  # fmt: skip
        self._hooks = Hooks(
            stopping=self._is_stopping, wait_for_turn=throttle.wait_for_page, on_progress=self._report_progress,
            verify_first=options.catch_up, clock=clock, tally=pair.tally, counts=lambda: self._counts,
        )  # fmt: skip
        self._stopped = False
        self._begin()

    def _begin(self) -> None:
        self._counts: Counter[str] = Counter()
        self._staleness = Histogram()
        self._pursuit: Pursuit | None = None
        self._started_s = self._clock.monotonic()
        self._waiting = False

    def stop(self) -> None:
        """Handle what is under way, store the position, and return from `run`."""
        self._stopped = True

    async def run(self) -> FollowReport:
        """Follow until stopped."""
        self._begin()
        async with self._shift.begun():
            await self._run()
        report = self._make_report()
        self._report_progress()
        return report

    async def _run(self) -> None:
        (await self._shift.stage.first_use.look(control=self._control, whole=True)).check(foreign=False)
        await parts_of(self._control).ensure_indexes()
        await self._changes.take_position()  # refuses a server without change streams before anything is written
        while not self._is_stopped():
            await self._shift.through(self._follow_once)

    async def _follow_once(self) -> None:
        """Follow until stopped, interrupted or taken over."""
        claim = await self._lease.claim(self._report_waiting)
        if claim is None:
            return
        self._waiting = False
        with suppress(TakenOver):
            async with self._lease.hold(claim):
                await self._follow(claim)

    async def _follow(self, claim: Claim) -> None:
        kind = VerifyOptions.to_repair().make_pass_kind({}, self._pair.conversions.migration.revision)
        passes = parts_of(self._control).passes(self._name, kind)
        catching_up = CatchingUp(self._following, passes, self._make_verifying, claim, self._clock)
        # Again: another process may have followed meanwhile, and what this one left open is behind the stored position.
        handler = Handler(self._pair, self._control, self._changes, self._counts, self._staleness, self._terms)
        self._pursuit = Pursuit(claim, self._following, self._feed, handler, catching_up, self._hooks)
        await self._pursuit.run()

    def _is_stopping(self) -> bool:
        return self._shift.is_over

    def _is_stopped(self) -> bool:
        max_time_s = self._options.max_time_s
        return self._stopped or (max_time_s is not None and self._elapsed_s >= max_time_s)

    @property
    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._started_s

    def _report_waiting(self) -> None:
        self._waiting = True
        self._report_progress()

    def _report_progress(self) -> None:
        if self._options.on_progress is not None:
            self._options.on_progress(self._make_report())

    def _make_report(self) -> FollowReport:
        counts, pursuit = self._counts, self._pursuit
        p50, p99 = self._staleness.quantile(0.5), self._staleness.quantile(0.99)
        return FollowReport(
            migration=self._name, events=counts["events"],
            rogue={str(one): counts[f"rogue {one}"] for one in Operation if counts[f"rogue {one}"]},
            healed=counts["healed"], dead=counts["dead"], lag_s=0.0 if pursuit is None else pursuit.lag_s,
            staleness_p50_s=p50, staleness_p99_s=p99, catch_ups=counts["catch_ups"],
            catching_up=pursuit is not None and pursuit.catching_up, waiting=self._waiting,
            throttle=self._throttle.reason, elapsed_s=self._elapsed_s,
        )  # fmt: skip
