"""The watch on V1 in `V2_ONLY`: who still changes, writes or reads it. It repairs nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from attrs import evolve, frozen
from pymongo.errors import OperationFailure, PyMongoError

from lazymig.control import Parts
from lazymig.control.following import Claim
from lazymig.control.retirement import RetirementRecord, RetirementStage
from lazymig.control.watching import Noted, Watching
from lazymig.following.feed import Batch, Feed
from lazymig.following.leasing import Lease, TakenOver
from lazymig.following.retrying import back_off
from lazymig.loop.clock import Clock
from lazymig.protocol.pair import Pair
from lazymig.retiring.disposal import DROP
from lazymig.stores.events import Changes, PositionLost, Token, is_passing
from lazymig.stores.strays import Access, Accesses, StrayChanges

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Seconds that the server waits for a change before it answers that there is none.
IDLE_S = 0.5
#: Changes per batch.
BATCH = 1000
#: Seconds after which a position without changes is stored, and after which the server is asked for its counts.
_SAVE_EVERY_S, _SAMPLE_EVERY_S = 5.0, 60.0
#: What no server shows where V1's entities are parts of documents.
_PART_LIMIT = (
    "reads of the fields, and deletions of whole documents, because V1's documents stay in use; search the programs "
    "for the fields' names"
)


@frozen(kw_only=True)
class WatchReport:
    """What a watch on V1 saw in one run. Any of it is what should not be.

    Attributes:
        migration: The migration's name.
        since: Since when every change was seen, naive UTC; also by runs before this one. None while another process
            watches.
        changes: Changes of V1's documents, by operation.
        writes: Writes of V1 that the server counted, whether they changed anything or not.
        reads: Reads of V1 that the server counted, without those of the watch. lazymig's own commands and each start of
            a process look at V1 once or a few times.
        waiting: Whether another process watches.
        limits: What could not be seen, in words.
        elapsed_s: Seconds that the run took.
        in_place: Whether one document carries both shapes. Then only other programs' changes of V1's fields count.
    """

    migration: str
    since: datetime | None
    changes: dict[str, int]
    writes: int
    reads: int
    waiting: bool
    limits: tuple[str, ...]
    elapsed_s: float
    in_place: bool = False

    @property
    def needs_person(self) -> bool:
        """Whether some program wrote V1, or tried to."""
        return bool(self.changes) or self.writes > 0


@frozen
class Scope:
    """What a watch looks at.

    Attributes:
        migration: The migration's name.
        changes: The changes that count.
        accesses: The server's counts; None where they count lazymig's own writes as well.
        limits: What cannot be seen, in words.
        is_part: Whether V1's entities are parts of documents, whose fields retirement itself removes.
    """

    migration: str
    changes: Changes
    accesses: Accesses | None
    limits: tuple[str, ...] = ()
    is_part: bool = False


def make_scope(pair: Pair[V1, V2], clock: Clock) -> Scope:
    """Return V1's collection, which nobody should use. Raises `ConfigurationError` where it is in memory."""
    changes = StrayChanges(pair.v1, batch_size=BATCH, wait_s=IDLE_S, clock=clock)
    is_part = pair.conversions.carried.is_part
    limits = (_PART_LIMIT,) if is_part else ()
    return Scope(pair.conversions.migration.name, changes, Accesses(pair.v1), limits, is_part)


class StrayWatch:
    """Watches V1, in one process at a time; others wait and take over."""

    def __init__(
        self,
        scope: Scope,
        parts: Parts,
        clock: Clock,
        *,
        max_time_s: float | None,
        on_progress: Callable[[WatchReport], None] | None,
    ) -> None:
        self._name = scope.migration
        self._clock = clock
        self._changes = scope.changes
        self._feed = Feed(self._changes, size=BATCH, wait_s=0.0, clock=clock)
        self._accesses = scope.accesses
        self._log: Watching = parts.watching(self._name)
        self._retirement = parts.retirement(self._name)
        self._lease = Lease(self._log, self._is_stopping, clock)
        self._max_time_s = max_time_s
        self._on_progress = on_progress
        self._started_s = clock.monotonic()
        self._stopped = self._waiting = False
        self._counts: Counter[str] = Counter()
        self._limits, self._is_part = scope.limits, scope.is_part
        self._since: datetime | None = None
        self._failed = 0
        self._sample: Access | None = None
        self._saved_at_s = self._sampled_at_s = float("-inf")

    def stop(self) -> None:
        """Record what was seen, and return from `run`."""
        self._stopped = True

    async def run(self) -> WatchReport:
        """Watch until stopped, or until the retirement has ended."""
        await self._changes.take_position()  # refuses a server without change streams before anything is written
        while not self._is_stopping():
            if self._is_over(await self._retirement.find()):
                break
            claim = await self._lease.claim(self._report_waiting)
            if claim is None:
                break
            self._waiting = False
            with suppress(TakenOver):
                async with self._lease.hold(claim):
                    await self._attempt(claim)
        self._report()
        return self._make_report()

    def _is_over(self, record: RetirementRecord) -> bool:
        gone = self._is_part and (record.doing == DROP or record.stage is not RetirementStage.SERVING)
        return gone or record.stage is RetirementStage.RETIRED

    async def _attempt(self, claim: Claim) -> None:
        """Watch while the claim is held. After an error of the server's state, the stored position is read again."""
        try:
            await self._watch(claim)
        except PyMongoError as error:
            if not is_passing(error):
                raise
            await back_off(self._clock, self._failed)
            self._failed += 1

    async def _watch(self, claim: Claim) -> None:
        self._sample, self._sampled_at_s = await self._log.find_sample(), float("-inf")
        position = claim.token or await self._begin(claim, "")
        while not self._is_stopping():
            found = await self._log.find_watched()
            self._since = None if found is None else found.since
            try:
                async with self._feed.opened(position):
                    while not self._is_stopping():
                        position = await self._note(claim, await self._feed.take(), position)
                        self._failed = 0
            except PositionLost as lost:
                position = await self._begin(claim, str(lost))
        await self._note(claim, Batch([], position), position, urgent=True)

    async def _begin(self, claim: Claim, gap: str) -> Token:
        """Take a new position, behind a gap in which nothing was seen."""
        position = await self._feed.take_position()
        if not await self._log.begin(claim, position, gap):
            raise TakenOver
        return position

    async def _note(self, claim: Claim, batch: Batch, position: Token, *, urgent: bool = False) -> Token:
        """Record a batch with its position, and the server's counts from time to time; return the position."""
        if self._is_part and batch.events and self._is_over(await self._retirement.find()):
            self._stopped = True  # these are the removals of the retirement itself
            return position
        position, now_s = batch.token or position, self._clock.monotonic()
        due = urgent or now_s - self._sampled_at_s >= _SAMPLE_EVERY_S
        if batch.events or due or now_s - self._saved_at_s >= _SAVE_EVERY_S:
            noted = await self._look(batch) if due else _describe(batch)
            if not await self._log.note(claim, position, noted):
                raise TakenOver
            self._saved_at_s = now_s
            if due:
                self._sampled_at_s, self._sample = now_s, noted.sample or self._sample
            for (_, name), count in (*noted.changes.items(), *noted.accesses.items()):
                self._counts[name] += count
        self._report()
        return position

    async def _look(self, batch: Batch) -> Noted:
        """Describe a batch, with what the server has counted since the last look."""
        sample, now = await self._find_sample(), self._clock.now()
        counts = {} if sample is None else _count_since(self._sample, sample)
        accesses = {(_hour(now), kind): count for kind, count in counts.items()}
        return evolve(
            _describe(batch), accesses=accesses, last_write=now if "writes" in counts else None, sample=sample
        )

    async def _find_sample(self) -> Access | None:
        """Ask the server for its counts; None where this user may not see them."""
        try:
            return None if self._accesses is None else await self._accesses.sample()
        except OperationFailure as error:
            if is_passing(error):
                raise
            self._limits = ("reads and refused writes: this user or this server does not show $collStats",)
            return None

    def _is_stopping(self) -> bool:
        elapsed_s = self._clock.monotonic() - self._started_s
        return self._stopped or (self._max_time_s is not None and elapsed_s >= self._max_time_s)

    def _report_waiting(self) -> None:
        self._waiting = True
        self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._make_report())

    def _make_report(self) -> WatchReport:
        changes = {name: count for name, count in sorted(self._counts.items()) if name not in {"reads", "writes"}}
        return WatchReport(
            migration=self._name, since=self._since, changes=changes, writes=self._counts["writes"],
            reads=self._counts["reads"], waiting=self._waiting, limits=self._limits,
            elapsed_s=self._clock.monotonic() - self._started_s, in_place=self._accesses is None,
        )  # fmt: skip


def _describe(batch: Batch) -> Noted:
    changes = Counter((_hour(event.at), str(event.operation)) for event in batch.events)
    return Noted(changes=changes, last_change=max((event.at for event in batch.events), default=None))


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _count_since(before: Access | None, now: Access) -> dict[str, int]:
    """Return how often V1 was read and written between two samples, without the read that the second one was.

    Nothing is known of another server. Lower counts started over: the server restarted, or V1 was renamed or dropped.
    """
    if before is None or before.host != now.host:
        return {}
    restarted = now.reads < before.reads or now.writes < before.writes
    reads = now.reads - (0 if restarted else before.reads) - 1
    writes = now.writes - (0 if restarted else before.writes)
    return {name: count for name, count in (("reads", reads), ("writes", writes)) if count > 0}
