"""Healing: bring V2 to V1 for the entities whose changes were not announced, several at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import define, evolve, frozen
from pymongo.errors import PyMongoError

from lazymig import protocol
from lazymig.control import Control, parts_of
from lazymig.errors import Contention, ConversionError, ForeignDocument
from lazymig.following.retrying import back_off
from lazymig.following.standing import Part
from lazymig.loop.clock import Clock
from lazymig.protocol.pair import Pair
from lazymig.protocol.repairing import begin_life
from lazymig.stores.events import Changes, Event, Operation, is_passing
from lazymig.stores.given import RawId
from lazymig.stores.records import StoredV1
from lazymig.stores.scans import Scan
from lazymig.sweeping.failures import Failures
from lazymig.telemetry import REFUSED, UNHEALED, Tally

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen(kw_only=True)
class Terms:
    """How entities are healed."""

    #: Entities that are healed at a time.
    concurrency: int
    #: Entities that may be under way before the next batch is read.
    under_way: int
    #: The longest time that an operation may be in flight. A tombstone stands for longer.
    in_flight: timedelta
    #: Whether the run is to stop: then nothing that fails is tried again.
    stopping: Callable[[], bool]
    clock: Clock


@frozen
class Cause:
    """An event that asks for a heal, and the batch that it belongs to."""

    event: Event
    part: Part
    #: Whether it certainly was not announced.
    counts: bool = True
    #: Whether it only counts while it is young: a tombstone may have been purged since.
    fades: bool = False


async def heal_one(pair: Pair[V1, V2], id: RawId, *, inserted: bool = False) -> bool:
    """Bring V2 to what V1 holds. False: V1 lacks the entity, and V2 no longer answers for it.

    Also where V2 has nothing. A lazy migration would convert what V1 holds now, but one that is under way may hold what
    V1 held before, at the same revision, and nothing would ever show that. What is stored here keeps it out.

    `inserted`: another program inserted the entity, or deleted one before, so that a body in V2 may be of an earlier
    one with this id.
    """
    if inserted:
        await begin_life(pair, id)
    # A body above V1's revision: a program has stored all that it read a while ago, with the revision of then.
    return await protocol.repair(pair, id, same_life=not inserted)


def begins_life(operation: Operation) -> bool:
    """Whether V2's body may be of an earlier entity than V1 holds: after an insert, and after a delete seen late."""
    return operation in (Operation.INSERT, Operation.DELETE)


@define(eq=False)
class Job:
    """One entity to heal, for the events that ask for it."""

    id: RawId
    operation: Operation
    causes: list[Cause]
    #: Events that came while the heal was under way, and may have come too late for it.
    later: Job | None = None
    started: bool = False
    #: When the heal was durable, by the server's clock.
    done_at: datetime = datetime.min
    healed: bool = False

    def add(self, operation: Operation, cause: Cause) -> None:
        """Take one more event."""
        if self.started:
            if self.later is None:
                self.later = Job(self.id, operation, [])
            self.later.add(operation, cause)
            return
        self.causes.append(cause)
        # An entity that was inserted from outside is a new one, whatever happened to it since, unless it is deleted.
        if self.operation is not Operation.INSERT or operation is Operation.DELETE:
            self.operation = operation


class Healer:
    """Heals entities behind the reading of events, several at a time. What cannot be healed gets a dead letter."""

    def __init__(
        self, pair: Pair[V1, V2], control: Control, changes: Changes, counts: Counter[str], terms: Terms
    ) -> None:
        # Bodies are stored before a heal returns, also where the application stores them behind its callers.
        self._pair = evolve(pair, behind=pair.behind.at_once())
        self._name = pair.conversions.migration.name
        self._letters = parts_of(control).letters
        self._failures = Failures(self._letters, self._name, counts)
        self._counts = counts
        self._changes = changes
        self._clock = terms.clock
        self._stopping = terms.stopping
        self._places = asyncio.Semaphore(terms.concurrency)
        self._jobs: dict[RawId, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[Job] = []
        self._error: BaseException | None = None

    @property
    def under_way(self) -> int:
        """How many entities are being healed or wait for it."""
        return len(self._jobs)

    def request(self, id: RawId, operation: Operation, cause: Cause) -> None:
        """Let an entity be healed because of an event. Each is healed by one task at a time."""
        job = self._jobs.get(id)
        if job is not None:
            job.add(operation, cause)
            return
        self._start(Job(id, operation, [cause]))

    def _start(self, job: Job) -> None:
        self._jobs[job.id] = job
        task = asyncio.create_task(self._work(job))
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._error = task.exception()

    async def _work(self, job: Job) -> None:
        async with self._places:
            # From here on V1 may be read: later events need a heal of their own.
            job.started = True
            await self._heal_until_done(job)
        self._done.append(job)
        del self._jobs[job.id]
        if job.later is not None:
            self._start(job.later)

    async def _heal_until_done(self, job: Job) -> None:
        failed = 0
        while True:
            try:
                await self._heal(job)
                job.done_at = await self._changes.now()
            except (PyMongoError, Contention) as error:
                if self._stopping() or (isinstance(error, PyMongoError) and not is_passing(error)):
                    raise
                await back_off(self._clock, failed)
                failed += 1
            else:
                return

    async def _heal(self, job: Job) -> None:
        tally = Tally(self._name)
        try:
            await heal_one(evolve(self._pair, tally=tally), job.id, inserted=begins_life(job.operation))
        except ConversionError as error:
            self._failures.note_unconvertible(await self._find_standing(job.id), error)
        except ForeignDocument:
            text = "V2 holds a document without _lazymig; lazymig sweep --adopt replaces it"
            revision = (await self._find_standing(job.id)).revision
            self._failures.note(job.id, revision, "store", "ForeignDocument", text, "")
        else:
            # V2 may refuse the body, by a unique index say. V1 answers then, and a person must know.
            if not tally.counts[REFUSED]:
                self._counts["healed"] += 1
                job.healed = True
                return
            self._failures.note_refused(job.id, (await self._find_standing(job.id)).revision)
        finally:
            self._pair.tally.counts.update(tally.counts)
        self._pair.tally.count(UNHEALED)
        await self._failures.flush()

    async def _find_standing(self, id: RawId) -> StoredV1:
        """Find V1's present revision without the document, which may not decode."""
        return await Scan(self._pair.v1, majority=True).find_revision(id)

    async def take_done(self) -> list[Job]:
        """Return what was healed since the last time, with its dead letters recorded. Raises what ended a heal."""
        if self._error is not None:
            raise self._error
        done, self._done = self._done, []
        try:
            await self._remove_letters({job.id: job.healed for job in done})
        except BaseException:
            self._done[:0] = done
            raise
        return done

    async def _remove_letters(self, healed: dict[RawId, bool]) -> None:
        """Remove the dead letters of entities that are healed now, if they have any."""
        ids = [id for id, last in healed.items() if last and id not in self._jobs]
        async for page in self._letters.find_pages_of(self._name, ids):
            if page:
                await self._letters.remove(self._name, [letter.id for letter in page])

    async def wait_for_room(self, most: int) -> None:
        """Wait until at most this many entities are under way."""
        while len(self._jobs) > most and self._tasks and self._error is None:
            await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> None:
        """Cancel what is under way. Its position was not stored."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
