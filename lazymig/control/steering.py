"""Orders to running passes, and what each running process reports of itself. Each change is one statement.

Orders hold for one migration and one kind of pass, and for all its processes. A pause holds until it is ended, for
processes that start later too. A rate or a concurrency holds for the passes that run when it is set: a later pass goes
by its own options again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from lazymig.control.part import Part
from lazymig.control.passes import LEASE
from lazymig.control.reading import Values, read_each
from lazymig.loop.clock import Clock
from lazymig.stores.rows import Row, Rows

#: A process that was silent for this long has ended without saying so. Its row is removed when another one begins.
_FORGOTTEN = 10 * LEASE


@frozen
class Steering:
    """The orders for one kind of pass of one migration.

    Attributes:
        paused: Whether its processes wait.
        paused_by: Who paused them.
        paused_at: When, naive UTC.
        reason: Why they wait, in the words of who paused them.
        rate: Documents per second at most, in each process; None where no limit was set. `rate_set` says which.
        rate_set: Whether `rate` holds in place of what the processes were started with.
        rate_at: When it was set.
        concurrency: Batches in flight at a time, in each process; None where nothing was set.
        concurrency_at: When it was set.
    """

    paused: bool = False
    paused_by: str = ""
    paused_at: datetime | None = None
    reason: str = ""
    rate: float | None = None
    rate_set: bool = False
    rate_at: datetime | None = None
    concurrency: int | None = None
    concurrency_at: datetime | None = None


class Orders(Part):
    """The orders for one kind of pass over one migration. `Parts.orders` makes it."""

    def __init__(self, rows: Rows, clock: Clock, migration: str, kind: str) -> None:
        super().__init__(rows, clock)
        self._key = _make_key(migration, kind)
        self._named = {"kind": "steering", "migration": migration, "of": kind}

    async def find(self) -> Steering:
        """Find the orders that stand."""
        row = await self._rows.find_first({"_id": self._key})
        return Steering() if row is None else _parse(row)

    async def pause(self, by: str, reason: str) -> bool:
        """Make every process of these passes wait. False: they are paused already, which stands."""
        paused = {"by": by, "at": self._clock.now(), "why": reason}
        return await self._rows.put({"_id": self._key, "paused": None}, {"$set": {**self._named, "paused": paused}})

    async def resume(self, by: str, *, seen: Steering | None = None) -> bool:
        """End a pause: any, or the one that a person has seen. False: there is no such one."""
        change = {"$set": {"paused": None, "resumed": {"by": by, "at": self._clock.now()}}}
        which = {} if seen is None or seen.paused_at is None else {"paused.at": seen.paused_at}
        return await self._rows.change({"_id": self._key, "paused": {"$ne": None}, **which}, change)

    async def set_rate(self, rate: float | None, by: str) -> None:
        """Set the documents per second of each process that runs now; None for no limit."""
        await self._set("rate", rate, by)

    async def set_concurrency(self, batches: int, by: str) -> None:
        """Set the batches in flight of each process that runs now."""
        await self._set("concurrency", batches, by)

    async def _set(self, name: str, value: float | None, by: str) -> None:
        order = {"value": value, "by": by, "at": self._clock.now()}
        await self._rows.put({"_id": self._key}, {"$set": {**self._named, name: order}})


async def find_orders(rows: Rows, migration: str, kinds: Sequence[str]) -> dict[str, Steering]:
    """Find the orders that stand for these kinds of passes."""
    keys = {_make_key(migration, kind): kind for kind in kinds}
    found = {keys[row["_id"]]: _parse(row) for row in await rows.find_all({"_id": {"$in": list(keys)}})}
    return {kind: found.get(kind, Steering()) for kind in kinds}


def _make_key(migration: str, kind: str) -> str:
    return f"{migration}/steering/{kind}"


def _parse(row: Row) -> Steering:
    """Return the orders that can be read. What stands for a pause is one, by anybody."""
    of = Values(row)
    paused, rate, concurrency = of.part("paused"), of.part("rate"), of.part("concurrency")
    limit, batches = rate.find_number("value"), concurrency.find_count("value")
    rate_at = rate.find_moment("at") if limit or (limit is None and not rate.has("value")) else None
    concurrency_at = concurrency.find_moment("at") if batches else None
    return Steering(
        paused=of.has("paused"), paused_by=paused.text("by"), paused_at=paused.find_moment("at"),
        reason=paused.text("why"),
        rate=limit if rate_at else None, rate_set=rate_at is not None, rate_at=rate_at,
        concurrency=batches if concurrency_at else None, concurrency_at=concurrency_at,
    )  # fmt: skip


@frozen(kw_only=True)
class Running:
    """What one running process reports of itself.

    Attributes:
        process: The host and the number of the process.
        kind: The kind of its pass: what it was started as, such as "sweep".
        since: When it began.
        seen_at: When it reported this.
        done: The documents that it has looked at.
        per_s: Of these, how many per second lately.
        paused: Whether it waits because somebody paused it.
        throttle: Why it waits or goes slowly; empty where it does not.
        rate: Documents per second at most; None without a limit.
        concurrency: Batches in flight at a time.
        batch: Documents per batch; None where an earlier release reports.
    """

    process: str
    kind: str
    since: datetime
    seen_at: datetime
    done: int
    per_s: float
    paused: bool
    throttle: str
    rate: float | None
    concurrency: int
    batch: int | None = None


class Runners(Part):
    """The processes that run passes over one migration. `Parts.runners` makes it."""

    def __init__(self, rows: Rows, clock: Clock, migration: str) -> None:
        super().__init__(rows, clock)
        self._migration = migration

    async def forget_dead(self) -> None:
        """Remove the rows of processes that ended long ago without saying so."""
        await self._rows.remove({**self._all, "shown_until": {"$lt": self._clock.now() - _FORGOTTEN}})

    async def report(self, owner: str, state: Mapping[str, object]) -> None:
        """Store what a process reports of itself; `state` has the fields of `Running` but for `seen_at`."""
        now = self._clock.now()
        # Named otherwise than the leases of those that are at work, because it is none.
        row = {**self._all, **state, "seen_at": now, "shown_until": now + LEASE}
        await self._rows.put({"_id": self._key(owner)}, {"$set": row})

    async def end(self, owner: str) -> None:
        """Remove a process's row: it has ended."""
        await self._rows.remove({"_id": self._key(owner)})

    async def count_others(self, owner: str, kind: str) -> int:
        """Count the processes beside this one that run passes of this kind."""
        alive = {**self._all, "of": kind, "shown_until": {"$gte": self._clock.now()}, "_id": {"$ne": self._key(owner)}}
        return await self._rows.count(alive)

    async def find_all(self) -> list[Running]:
        """Find the processes that run, those that began first at the front."""
        alive = {**self._all, "shown_until": {"$gte": self._clock.now()}}
        rows = await self._rows.find_all(alive, sort=[("since", 1), ("_id", 1)])
        return read_each("a running process", rows, _read_running)

    @property
    def _all(self) -> dict[str, object]:
        return {"kind": "running", "migration": self._migration}

    def _key(self, owner: str) -> str:
        return f"{self._migration}/running/{owner}"


def _read_running(row: Values) -> Running:
    return Running(
        process=row.need_text("process"), kind=row.need_text("of"), since=row.need_moment("since"),
        seen_at=row.need_moment("seen_at"), done=row.find_count("done") or 0, per_s=row.find_number("per_s") or 0.0,
        paused=row.flag("paused"), throttle=row.text("throttle"), rate=row.find_number("rate"),
        concurrency=row.find_count("concurrency") or 1, batch=row.find_count("batch"),
    )  # fmt: skip
