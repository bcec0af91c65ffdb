"""The steps of one process's sweep: check, adopt, move, resolve marks, review dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Generic, TypeVar
from uuid import uuid4

from attrs import evolve

from lazymig.control import Control, RunRecord, parts_of
from lazymig.loop.clock import Clock
from lazymig.metrics import DEAD_LETTERS
from lazymig.passes.helm import Aboard, Helm
from lazymig.passes.partitions import plan_partitions
from lazymig.passes.sharing import Hooks, Share, Terms, directed
from lazymig.passes.throttle import Throttle
from lazymig.passes.walking import Stretch, rehearse, walk
from lazymig.repository import Repository, calls_of
from lazymig.routes.shifts import Shift
from lazymig.routes.stages import check_fills_v2
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.surroundings.contents import Foreign
from lazymig.sweeping.layouts import open_work
from lazymig.sweeping.moving import calm_collector
from lazymig.sweeping.options import KIND, SweepOptions
from lazymig.sweeping.outlook import Outlook
from lazymig.sweeping.report import Outcome, SweepReport, report_of
from lazymig.sweeping.revisions import find_warnings, remember_revision
from lazymig.sweeping.work import Means

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_REPLACED = "V1 or V2 was dropped or replaced while it was swept; run the sweep again"


class Sweep(Generic[V1, V2]):
    """A sweep by one process, which may run again. It does the work of a pass: pages, and what follows them."""

    def __init__(
        self, repository: Repository[V1, V2], control: Control | None, options: SweepOptions, clock: Clock
    ) -> None:
        calls = calls_of(repository)
        self._shift = Shift(calls, KIND, partial(check_fills_v2, "a sweep"), self._is_stopped)
        # A dry run names the first documents that fail, so its pages are done one after the other.
        one_by_one = evolve(options.limits, concurrency=1, live_slowdown=None)
        limits = one_by_one if options.dry_run else options.limits
        self._throttle = throttle = Throttle(calls.main_store, limits, self._is_stopping, clock, stores=calls.stores)
        self._shedding = throttle.shedding
        self._ground = calls.ground
        self._options = options
        self._name = repository.migration.name
        given = calls.choose_control(control, clock)
        self._control = control = throttle.shedding.control(given)
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._stopped = False
        self._warnings: list[str] = []
        means = Means(options, throttle, control, self._counts, calls.options.timeout_s)
        self._work = work = open_work(calls.ground, means)
        if work.last_page is not None:
            throttle.bound_statements()
        passes = parts_of(control).passes(self._name, options.make_pass_kind(work.question))
        self._share = Share(passes, work.store, self._make_terms(), self._make_hooks(), clock)
        self._outlook = Outlook(clock, self._counts, self._count_scanned, work.count, work.look)
        sampler = self._shift.make_sampler(given)
        self._helm = Helm(given, self._name, self._make_aboard(), clock, silent=options.dry_run, sampler=sampler)
        throttle.steer_by(self._helm)

    def _make_terms(self) -> Terms:
        options = self._options
        return Terms(
            owner=uuid4().hex, shard=options.shard, partition_size=options.partition_size, since=options.since,
            replaced=_REPLACED, descending=options.newest_first,
        )  # fmt: skip

    def _make_hooks(self) -> Hooks:
        return Hooks(
            stopping=self._is_stopping,
            on_progress=self._report_progress,
            identify=self._work.identify,
        )

    def _make_aboard(self) -> Aboard:
        return Aboard(
            owner=uuid4().hex, kind=KIND, began=lambda: self._share.began, done=self._count_done,
            on_wait=self._report_progress, tally=self._ground.tally,
        )  # fmt: skip

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint, and return from `run`."""
        self._stopped = True

    async def estimate_partitions(self) -> int:
        """Estimate how many partitions are left, which is how many processes could share them."""
        return await self._share.estimate_left()

    async def run(self) -> SweepReport:
        """Sweep until nothing is left, or until stopped."""
        async with self._shift.begun(joins=not self._options.dry_run):
            return await self._begin()

    async def _begin(self) -> SweepReport:
        foreign = await self._look()
        self._counts.clear()
        self._counts["foreign"] = foreign.seen
        self._work.begin()
        self._work.failures.begin()
        await self._outlook.begin()
        self._warnings = [*foreign.problem, *await find_warnings(self._ground, self._control)]
        async with self._helm.run():
            with calm_collector():
                return await (self._rehearse() if self._options.dry_run else self._run())

    async def _look(self) -> Foreign:
        """Refuse collections that cannot be swept before anything is written; return foreign documents to be left."""
        adopt = self._options.adopt
        control = None if self._options.dry_run else self._control
        found = await self._shedding.call(self._shift.stage.first_use.look, control=control, whole=True)
        found.check(foreign=False if adopt else None)
        return Foreign() if adopt else found.foreign

    async def _run(self) -> SweepReport:
        began = self._clock.now()
        await self._work.ensure_indexes()
        await parts_of(self._control).ensure_indexes()
        through = self._shift.through
        await through(self._work.adopt)
        await remember_revision(self._ground, self._control)
        finished = await through(partial(walk, self._share, self, self._work.last_page))
        if self._options.leads and not self._work.question:
            finished &= await through(partial(self._work.tidy, self._throttle.follow_orders))
        await self._work.failures.flush()  # after this, a crash loses no letter
        dead = await self._control.dead_count(self._name)
        self._ground.tally.show(DEAD_LETTERS, dead)
        report = await self._report(dead, finished=finished)
        counts = {**self._counts, "total": self._outlook.total, "filtered": int(bool(self._work.question))}
        run = RunRecord(self._name, began, self._clock.now(), report.finished, counts)
        await parts_of(self._control).runs.record(run, kind=KIND)
        return report

    async def _rehearse(self) -> SweepReport:
        await self._work.adopt()
        index, count = self._options.shard
        down = self._options.newest_first
        partitions = directed(await plan_partitions(self._work.store, self._options.partition_size), down)
        await rehearse(partitions[index::count], self, self._report_progress, descending=down)
        return await self._report(self._counts["dead"], finished=not self._is_stopping())

    def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Move what is left of a partition; yield each page once it is durably stored or has its dead letters."""
        return self._work.pages(partition, position)

    async def endings(self, partition: Partition) -> AsyncGenerator[object]:
        """Do what the partition needs once all its pages are done."""
        if not self._is_stopping():
            async with aclosing(self._work.endings(partition)) as steps:
                async for step in steps:
                    yield step

    def _is_stopping(self) -> bool:
        return self._shift.is_over

    def _is_stopped(self) -> bool:
        max_time_s = self._options.max_time_s
        return self._stopped or (max_time_s is not None and self._outlook.elapsed_s >= max_time_s)

    def _count_done(self) -> int:
        """Count the documents that this process is done with, also those of pages that are not finished."""
        counts = self._counts
        return max(counts["scanned"], sum(counts[name] for name in ("migrated", "moved_by_clients", "dead")))

    async def _count_scanned(self) -> int:
        """Count the ids that all processes of the pass have looked at; in a dry run, this process only."""
        others = 0 if self._options.dry_run else await self._share.count_by_others()
        return self._counts["scanned"] + others

    async def _report_progress(self, *, waiting: bool = False) -> None:
        if waiting:
            await self._throttle.look_at_orders()
        if self._options.on_progress is not None:
            progress = await self._outlook.progress(waiting=waiting)
            self._options.on_progress(evolve(progress, throttle=self._throttle.reason))

    async def _report(self, dead_letters: int, *, finished: bool) -> SweepReport:
        left = await self._outlook.look()
        await self._report_progress()
        outcome = Outcome(
            finished=finished, dead_letters=dead_letters, warnings=(*self._warnings, *self._work.problems),
            not_movable=self._work.failures.named, limits=(*self._options.limits_in_words, *self._work.limits),
            in_place=self._work.in_place,
        )  # fmt: skip
        return report_of(self._name, self._counts, self._outlook.total, left, self._outlook.elapsed_s, outcome)
