"""The steps of one process's verification: compare, look again, repair, and add up what does not agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Generic, TypeVar
from uuid import uuid4

from attrs import evolve

from lazymig.control import Control, RunRecord, parts_of
from lazymig.loop.clock import Clock
from lazymig.metrics import MISMATCHES
from lazymig.passes.helm import Aboard, Helm
from lazymig.passes.sharing import Hooks, Share, Terms
from lazymig.passes.throttle import Throttle
from lazymig.passes.walking import walk
from lazymig.repository import Repository, calls_of
from lazymig.routes.shifts import Shift
from lazymig.routes.stages import check_fills_v2
from lazymig.stores.given import RawId
from lazymig.stores.raw import keys_of
from lazymig.stores.records import Partition
from lazymig.stores.verdicts import Mismatch, Verdict
from lazymig.surroundings.checking import check_apart
from lazymig.surroundings.looking import identify
from lazymig.verifying.examining import Examiner
from lazymig.verifying.flow import Flow, Stretch
from lazymig.verifying.grounds import open_ground
from lazymig.verifying.options import KIND, VerifyOptions
from lazymig.verifying.rechecking import Recheck, Rules, Scope
from lazymig.verifying.repairs import Repairs
from lazymig.verifying.report import COUNTED, LISTED_MAX, Summary, VerifyProgress, VerifyReport
from lazymig.verifying.scopes import SampleScope, TableScope

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_REPLACED = "V1 or V2 was dropped or replaced while it was verified; run the verification again"
_SHARDED = "other shards were not done, so this says nothing about their entities; the last shard's report is about all"
_UNFINISHED = "the sample was not finished, so it says nothing about all entities"
#: Seconds between two counts of what all processes have done.
_LOOK_EVERY_S = 1.0


class Verification(Generic[V1, V2]):
    """A verification by one process, which may run again. It does the work of a pass."""

    def __init__(
        self, repository: Repository[V1, V2], control: Control | None, options: VerifyOptions, clock: Clock
    ) -> None:
        calls = calls_of(repository)
        self._shift = Shift(calls, KIND, partial(check_fills_v2, "a verification"), self._is_stopped)
        self._throttle = throttle = Throttle(calls.main_store, options.limits, self._is_stopping, clock)
        self._shedding = shedding = throttle.shedding
        self._ground = ground = open_ground(calls, options.checks, options.where, shedding)
        self._options = options
        self._name = name = repository.migration.name
        self._revision = repository.migration.revision
        given = calls.choose_control(control, clock)
        self._control = control = shedding.control(given)
        check_apart(control, ground.store, ground.beside or ground.store)
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._stopped = False
        self._began, self._began_s, self._looked_at_s = clock.now(), clock.monotonic(), float("-inf")
        self._total = self._done = 0
        #: Whether other shards of the pass were not done when this one was.
        self._sharded = False
        self._table = table = parts_of(control).mismatches
        self._sides, question = ground.sides, ground.sides.question
        self._examiner = Examiner(options.checks, clock, self._counts)
        self._flow = Flow(
            self._sides, self._examiner, partial(table.record, name), throttle, clock, self._counts, ground.tally,
            ground.catch_up if options.repair else None,
        )  # fmt: skip
        passes = parts_of(control).passes(name, options.make_pass_kind(question, self._revision))
        self._share = Share(
            passes, ground.store, self._make_terms(), self._make_hooks(), clock,
            beside=None if question else ground.beside,
        )  # fmt: skip
        self._helm = Helm(given, name, self._make_aboard(), clock, sampler=self._shift.make_sampler(given))
        throttle.steer_by(self._helm)

    def _make_terms(self) -> Terms:
        options = self._options
        return Terms(
            owner=uuid4().hex, shard=options.shard, partition_size=options.partition_size, since=options.since,
            replaced=_REPLACED,
        )  # fmt: skip

    def _make_hooks(self) -> Hooks:
        ground = self._ground
        return Hooks(
            stopping=self._is_stopping,
            on_progress=self._report_progress,
            identify=partial(self._shedding.call, identify, ground.store, ground.beside or ground.store),
        )

    def _make_aboard(self) -> Aboard:
        return Aboard(
            owner=uuid4().hex, kind=KIND, began=lambda: self._share.began, done=lambda: self._counts["compared"],
            on_wait=self._report_progress, tally=self._ground.tally,
        )  # fmt: skip

    def stop(self) -> None:
        """Finish the ranges in flight, save the checkpoint, and return from `run`."""
        self._stopped = True

    async def estimate_partitions(self) -> int:
        """Estimate how many partitions are left, which is how many processes could share them."""
        return await self._share.estimate_left()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    async def run(self, sample: int | None = None) -> VerifyReport:
        """Compare everything, or a sample of this size, until nothing may change any more, or until stopped."""
        async with self._shift.begun():
            return await self._begin(sample)

    async def _begin(self, sample: int | None) -> VerifyReport:
        found = await self._shedding.call(self._shift.stage.first_use.look, control=self._control, whole=True)
        found.check(foreign=False)
        if self._options.repair:
            await self._ground.refuse_lost_truth()
        self._began, self._began_s, self._looked_at_s = self._clock.now(), self._clock.monotonic(), float("-inf")
        self._counts.clear()
        self._examiner.accepted.clear()
        self._total = self._done = 0
        self._sharded, self._continued = False, ""
        await parts_of(self._control).ensure_indexes()
        async with self._helm.run():
            return await (self._run() if sample is None else self._run_sample(sample))

    async def _run(self) -> VerifyReport:
        self._total = await self._ground.count(self._options.where)
        scope = TableScope(self._table, self._name, self._sides)
        walked = await self._shift.through(partial(walk, self._share, self))
        self._continued = self._describe_begin()
        # Before the recheck: what other shards find from now on may come too late for it.
        self._sharded = walked and bool(await self._share.count_left())
        finished = walked and await self._shift.through(partial(self._recheck, scope))
        summary = await self._summarise(scope)
        compared = max(self._counts["compared"], await self._share.count_scanned() or 0)
        report = self._make_report(summary, compared, max(self._total, compared), finished=finished)
        return await self._end(report, 0)

    async def _run_sample(self, size: int) -> VerifyReport:
        sample = await self._ground.draw(self._options.where, size, self._clock)
        self._total = len(sample.ids)
        scope = SampleScope(self._table, self._name, sample)
        rest = list(sample.ids)
        finished = await self._shift.through(partial(self._compare, rest))
        finished = finished and await self._shift.through(partial(self._recheck, scope))
        summary = await self._summarise(scope)
        report = self._make_report(summary, self._counts["compared"], self._total, finished=finished)
        return await self._end(evolve(report, sample=sample.describe() if finished else _UNFINISHED), size)

    async def _compare(self, rest: list[RawId]) -> bool:
        """Compare these entities, and leave those that were not. False: the run is to stop before all are compared."""
        while rest:
            part = rest[: self._throttle.batches.size]
            if not (await self._throttle.wait_for_page() and await self._throttle.wait_for_documents(len(part))):
                return False
            async for both in self._sides.find(part):
                await self._flow.examine(both)
            del rest[: len(part)]
            await self._report_progress()
        return True

    async def _recheck(self, scope: Scope) -> bool:
        rules = Rules(
            migration=self._name, min_age_s=self._options.min_age_s, began=self._began, stopping=self._is_stopping
        )
        letters = parts_of(self._control).letters
        ground = self._ground
        repairs: Repairs[V1, V2] | None = None
        if self._options.repair:
            repairs = Repairs(ground.migration, ground.repair, self._table, letters, self._throttle)
        recheck: Recheck[V1, V2] = Recheck(
            self._sides, self._examiner, self._table, repairs, self._throttle, rules, self._clock, self._counts
        )
        return await recheck.run(scope)

    async def _summarise(self, scope: Scope) -> Summary:
        """Add up what is confirmed."""
        summary = Summary()
        async for rows in scope.pages(confirmed=True):
            rows = [row for row in rows if self._examiner.can_judge(row)]
            asked = await scope.asks_for([row.id for row in rows])
            rows = [row for row, is_asked in zip(rows, asked, strict=True) if is_asked]
            if self._options.checks.show_values and len(summary.mismatches) < LISTED_MAX:
                rows = await self._with_values(rows)
            for row in rows:
                summary.add(row)
        return summary

    async def _with_values(self, rows: Sequence[Mismatch]) -> list[Mismatch]:
        """Compare again for the values, which no row holds; a mismatch that has changed is left without."""
        found: dict[object, Mismatch] = {}
        async for both in self._sides.find([row.id for row in rows]):
            mismatches = (await self._examiner.examine(both.looks())).mismatches
            found.update(zip(keys_of(one.id for one in mismatches), mismatches, strict=True))
        keys = keys_of(row.id for row in rows)
        now = [found.get(key) for key in keys]
        return [
            row if one is None or one.signature != row.signature else evolve(row, differences=one.differences)
            for row, one in zip(rows, now, strict=True)
        ]

    def _make_report(self, summary: Summary, compared: int, total: int, *, finished: bool) -> VerifyReport:
        counts = summary.counts
        return VerifyReport(
            migration=self._name, total=total, compared=compared, match=max(0, compared - sum(counts.values())),
            **{name: counts[name] for name in COUNTED}, accepted=dict(self._examiner.accepted),
            rechecked=self._counts["rechecked"], repaired=self._counts["repaired"], elapsed_s=self._elapsed_s,
            mismatches=tuple(summary.mismatches), groups=summary.groups, limits=self._limits, finished=finished,
            waiting=self._counts[Verdict.WAITING], left=self._counts[Verdict.LEFT],
            behind=self._counts[Verdict.BEHIND], sample="",
        )  # fmt: skip

    async def _end(self, report: VerifyReport, sample: int) -> VerifyReport:
        """Record the run. The last four counts are above 0 where not everything was compared."""
        counts = {
            "total": report.total, "compared": report.compared, "match": report.match,
            **{name: getattr(report, name) for name in COUNTED}, "rechecked": report.rechecked,
            "repaired": report.repaired, "behind": report.behind, "sample": sample,
            "filtered": int(bool(self._sides.question)), "sharded": int(self._sharded),
            "upgrade_only": int(not self._options.checks.round_trip),
        }  # fmt: skip
        # A pass that an earlier run or another process began has compared some entities before this run began.
        began = self._began if sample else self._share.began and min(self._share.began, self._began)
        if report.finished and not (sample or self._sides.question or self._sharded):
            for name in COUNTED:
                self._ground.tally.show(MISMATCHES, getattr(report, name), verdict=name)
        span, remarks = (self._began, self._clock.now()), tuple(filter(None, (report.sample, *report.limits)))
        run = RunRecord(self._name, *span, report.finished, counts, began, self._revision, remarks)
        await parts_of(self._control).runs.record(run, kind=KIND)
        await self._report_progress()
        return report

    def _describe_begin(self) -> str:
        """Say since when the pass runs, where this run continued it; otherwise nothing."""
        began = self._share.began
        # Workers and shards that share one run join a pass that another of them opened.
        shared = self._options.shard != (0, 1)
        if shared or began is None or began >= (self._options.since or self._began):
            return ""
        return f"the pass began at {began:%Y-%m-%d %H:%M:%S} UTC; what had been compared was not compared again"

    @property
    def _limits(self) -> tuple[str, ...]:
        return (
            *([self._ground.filtered] if self._sides.question else []),
            *([_SHARDED] if self._sharded else []),
            *([self._continued] if self._continued else []),
        )

    def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Compare a partition after a position."""
        return self._flow.stretches(partition, position)

    async def endings(self, partition: Partition) -> AsyncGenerator[object]:
        """Do nothing: candidates are looked at again once the whole pass is done."""
        return
        yield

    @property
    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began_s

    def _is_stopping(self) -> bool:
        return self._shift.is_over

    def _is_stopped(self) -> bool:
        limit_s = self._options.max_time_s
        return self._stopped or (limit_s is not None and self._elapsed_s >= limit_s)

    async def _report_progress(self, *, waiting: bool = False) -> None:
        if waiting:
            await self._throttle.look_at_orders()
        if self._options.on_progress is None:
            return
        now_s, counts = self._clock.monotonic(), self._counts
        if now_s - self._looked_at_s >= _LOOK_EVERY_S:
            self._looked_at_s = now_s
            self._done = max(self._done, await self._share.count_scanned() or 0)
        self._done = max(self._done, counts["compared"])
        self._options.on_progress(
            VerifyProgress(
                total=max(self._total, self._done), done=self._done, compared=counts["compared"],
                suspected=counts["suspected"], rechecked=counts["rechecked"], repaired=counts["repaired"],
                elapsed_s=self._elapsed_s, waiting=waiting, throttle=self._throttle.reason,
            )
        )  # fmt: skip
