"""The steps of one process's rewriting pass: check, rewrite partition by partition, count what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar
from uuid import uuid4

from attrs import evolve, frozen

from lazymig.control import Control, Identities, RunRecord, parts_of
from lazymig.errors import ConfigurationError
from lazymig.loop.clock import Clock
from lazymig.passes.helm import Aboard, Helm
from lazymig.passes.partitions import plan_partitions
from lazymig.passes.sharing import Hooks, Share, Terms
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.throttle import Limits, Throttle
from lazymig.passes.walking import rehearse, walk
from lazymig.repository import Repository, calls_of
from lazymig.routes.calls import Calls
from lazymig.routes.shifts import Shift
from lazymig.routes.stages import check_keeps_v1
from lazymig.shapes.upcasting import Upcasters
from lazymig.stores.counts import Counts
from lazymig.stores.given import RawId
from lazymig.stores.probes import probe_of
from lazymig.stores.records import DeadLetter, Partition
from lazymig.surroundings.checking import check_apart
from lazymig.surroundings.looking import uuid_of
from lazymig.sweeping.moving import calm_collector
from lazymig.sweeping.older import Older, Stretch
from lazymig.sweeping.versions import Versions, count_versions

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The kind of pass that a rewriting is.
KIND = "rewrite"
_REPLACED = "V1 was dropped or replaced while it was rewritten; run this again"


@frozen
class RewriteReport:
    """What one run did; while it runs, what it did so far.

    Attributes:
        migration: The migration's name.
        total: About how many documents V1 has.
        scanned: V1 ids that were looked at.
        rewritten: Documents that were stored in the newest version.
        newer: Documents of a newer version than this release knows. They were left as they are.
        failed: Documents that cannot be brought up, or that V1 refuses in the newest version.
        moved_by_clients: Documents that a client wrote, or deleted, while the run was about to rewrite them.
        contended: Documents that other programs changed again and again. The next run finds them.
        elapsed_s: Seconds that the run took.
        finished: False if the run was stopped before its end.
        failures: The first 1,000 of the `failed`.
        versions: V1's documents by version after a pass that is finished, counted one by one; else None.
        throttle: While it runs, why this process waits or goes slowly now; empty where it does not.
    """

    migration: str
    total: int
    scanned: int
    rewritten: int
    newer: int
    failed: int
    moved_by_clients: int
    contended: int
    elapsed_s: float
    finished: bool
    failures: tuple[DeadLetter, ...] = ()
    versions: Versions | None = None
    throttle: str = ""

    @property
    def needs_person(self) -> bool:
        """Whether a document is left that another run cannot rewrite."""
        return self.failed > 0


@frozen(kw_only=True)
class RewriteOptions:
    """The keywords of `Rewriter`, whose docstring explains them."""

    limits: Limits
    max_time_s: float | None
    shard: tuple[int, int]
    dry_run: bool
    partition_size: int
    since: datetime | None
    on_progress: Callable[[RewriteReport], None] | None

    def check(self, chain: Upcasters | None) -> Upcasters:
        """Return the chain. Raises `ConfigurationError` if there is none, or if an option cannot work."""
        if chain is None:
            raise ConfigurationError("the migration has no upcasters: pass Migration(upcasters=lazymig.upcasters(...))")
        if not (chain.persist or self.dry_run):
            raise ConfigurationError(
                "these upcasters leave documents as they are stored; lazymig.upcasters(..., persist=True) allows that "
                "they are rewritten"
            )
        index, count = self.shard
        if min(self.limits.batch_size, self.limits.concurrency, self.partition_size) < 1 or not 0 <= index < count:
            raise ConfigurationError("batch_size, concurrency, partition_size: 1 or more; shard: 0 <= i < n")
        return chain


def check_layout(calls: Calls[V1, V2]) -> None:
    """Raise `ConfigurationError` where one document carries both shapes."""
    if calls.place is not None:
        raise ConfigurationError(
            "rewriting V1's older documents gains nothing where one document carries both shapes: lazymig sweep "
            "converts every version into V2's part, and retirement removes V1's fields"
        )


class Rewriting(Generic[V1, V2]):
    """A rewriting pass by one process, which may run again."""

    def __init__(
        self, repository: Repository[V1, V2], control: Control | None, options: RewriteOptions, clock: Clock
    ) -> None:
        given = calls_of(repository)
        check_layout(given)
        self._chain = chain = options.check(repository.migration.upcasters)
        self._throttle = throttle = Throttle(given.pair.v1, options.limits, self._is_stopping, clock)
        self._shedding = shedding = throttle.shedding
        calls = given.with_pair(shedding.pair(given.pair))
        self._pair = pair = calls.pair
        self._shift = Shift(calls, KIND, partial(check_keeps_v1, "a rewriting pass"), self._is_stopped)
        self._options = options
        self._name = repository.migration.name
        kept = calls.choose_control(control, clock)
        self._control = control = shedding.control(kept)
        check_apart(control, pair.v1, pair.bodies)
        self._v1_counts = as_patient_as(pair.v1, Counts(pair.v1))
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._stopped = False
        self._total, self._began_s = 0, clock.monotonic()
        self._older = Older(
            pair, lambda: self._shift.stage.route, chain, throttle, self._counts, dry_run=options.dry_run
        )
        terms = Terms(
            owner=uuid4().hex, shard=options.shard, partition_size=options.partition_size, since=options.since,
            replaced=_REPLACED,
        )  # fmt: skip
        hooks = Hooks(stopping=self._is_stopping, on_progress=self._report_progress, identify=self._identify)
        self._share = Share(parts_of(control).passes(self._name, KIND), pair.v1, terms, hooks, clock)
        sampler = self._shift.make_sampler(kept)
        self._helm = Helm(kept, self._name, self._make_aboard(), clock, silent=options.dry_run, sampler=sampler)
        throttle.steer_by(self._helm)

    def _make_aboard(self) -> Aboard:
        return Aboard(
            owner=uuid4().hex, kind=KIND, began=lambda: self._share.began, done=lambda: self._counts["scanned"],
            on_wait=self._report_progress, tally=self._pair.tally,
        )  # fmt: skip

    def stop(self) -> None:
        """Finish the batches in flight, save the checkpoint, and return from `run`."""
        self._stopped = True

    async def run(self) -> RewriteReport:
        """Rewrite until nothing is left, or until stopped."""
        async with self._shift.begun(joins=not self._options.dry_run):
            return await self._begin()

    async def _begin(self) -> RewriteReport:
        stage = self._shift.stage
        control = None if self._options.dry_run else self._control
        (await self._shedding.call(stage.first_use.look, control=control, whole=stage.route.uses_v2)).check()
        self._counts.clear()
        self._older.failures.begin()
        self._began_s, began = self._clock.monotonic(), self._clock.now()
        self._total = await self._v1_counts.count_all()
        async with self._helm.run():
            with calm_collector():
                if self._options.dry_run:
                    return await self._rehearse()
                await parts_of(self._control).ensure_indexes()
                finished = await self._shift.through(partial(walk, self._share, self))
        report = await self._finish(finished=finished)
        counts = {**self._counts, "total": self._total}
        run = RunRecord(self._name, began, self._clock.now(), finished, counts)
        await parts_of(self._control).runs.record(run, kind=KIND)
        return report

    async def _rehearse(self) -> RewriteReport:
        index, count = self._options.shard
        partitions = await plan_partitions(self._pair.v1, self._options.partition_size)
        await rehearse(partitions[index::count], self, self._report_progress)
        return await self._finish(finished=not self._is_stopping())

    async def _finish(self, *, finished: bool) -> RewriteReport:
        versions = await count_versions(self._v1_counts, self._chain, exact=True) if finished else None
        await self._report_progress()
        return self._report(finished=finished, versions=versions)

    def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Rewrite the older documents of a partition; yield each stretch once it is durably done."""
        return self._older.pages(partition, position)

    async def endings(self, partition: Partition) -> AsyncGenerator[object]:
        """Nothing remains to be done once all pages are done."""
        return
        yield

    def _is_stopping(self) -> bool:
        return self._shift.is_over

    def _is_stopped(self) -> bool:
        max_time_s = self._options.max_time_s
        return self._stopped or (max_time_s is not None and self._elapsed_s() >= max_time_s)

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began_s

    async def _identify(self) -> Identities | None:
        uuid = await self._shedding.call(uuid_of, probe_of(self._pair.v1))
        return None if uuid is None else {"v1": uuid}

    async def _report_progress(self, *, waiting: bool = False) -> None:
        if waiting:
            await self._throttle.look_at_orders()
        if self._options.on_progress is not None:
            report = self._report(finished=False, versions=None)
            self._options.on_progress(evolve(report, throttle=self._throttle.reason))

    def _report(self, *, finished: bool, versions: Versions | None) -> RewriteReport:
        counts, names = self._counts, ("scanned", "rewritten", "newer", "moved_by_clients", "contended")
        return RewriteReport(
            migration=self._name, total=max(self._total, counts["scanned"]), failed=counts["dead"],
            elapsed_s=self._elapsed_s(), finished=finished, failures=self._older.failures.named, versions=versions,
            throttle="", **{name: counts[name] for name in names},
        )  # fmt: skip
