"""The control collection: what must be remembered between runs and shared between processes.

Sweep passes, their partitions with leases and checkpoints, dead letters, and the history of runs. Every change is one
compare-and-set on one document, so that any number of processes may work at once. Never a TTL index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from attrs import field, frozen
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from lazymig.control.dead_letters import DeadLetters
from lazymig.errors import PassVanished
from lazymig.stores.records import Partition

#: A partition whose owner was silent for this long may be taken over. Short, since the next process after a `kill -9`
#: waits so long. A living owner that is late all the same loses time and nothing else: its checkpoint is fenced.
LEASE = timedelta(seconds=20)
#: How often an owner says that it lives: two in a row may be lost or late.
BEAT_S = LEASE.total_seconds() / 3
#: What identifies the collections that a pass goes over: the server's UUID of each, by "v1" and "v2".
Collections = Mapping[str, str | None]


@frozen
class Lease:
    """The right to sweep one partition, until somebody with a higher fence takes it over."""

    key: str
    partition: Partition
    #: The last `_id` whose page is durably done, or `partition.low` when none is.
    position: Any
    owner: str
    fence: int


@frozen
class KnownConversion:
    """The highest conversion revision that a sweep ran with, and the fingerprint of its classes."""

    revision: int
    fingerprint: str


@frozen
class RunRecord:
    """One finished or stopped run of a sweep in one process."""

    migration: str
    started_at: datetime
    ended_at: datetime
    finished: bool
    counts: Mapping[str, int] = field(factory=dict)


class Control(DeadLetters):
    """The port to a control collection, which several migrations may share.

    Written and read with majority concern: what is remembered here was really done.
    """

    # Passes: one sweep over all of V1, by one or many processes.

    async def current_pass(self, migration: str) -> Mapping[str, Any] | None:
        """The newest pass, whatever its state."""
        found: Mapping[str, Any] | None = await self._rows.find_one({"_id": f"{migration}/pass"})
        return found

    async def claim_planning(self, migration: str, owner: str, collections: Collections | None = None) -> int | None:
        """The number of a new pass that this owner shall plan; None: a pass is open, or somebody is planning one.

        A pass over other `collections` than these is abandoned: its checkpoints say nothing about them.
        """
        now = self._clock.now()
        free: list[dict[str, Any]] = [
            {"state": {"$in": ["done", "abandoned"]}},
            {"state": "planning", "until": {"$lt": now}},
        ]
        if collections is not None:
            # One that does not say what it is over stays: its planner could not see it.
            free.append({"state": "open", "collections": {"$nin": [None, dict(collections)]}})
        planning = {"kind": "pass", "migration": migration, "state": "planning", "until": now + LEASE, "owner": owner}
        # The token distinguishes this plan from one of the same number in a control collection that was dropped since.
        planning |= {"collections": collections and dict(collections), "token": uuid4().hex}
        change = {"$inc": {"number": 1}, "$set": planning}
        try:
            row = await self._rows.find_one_and_update(
                {"_id": f"{migration}/pass", "$or": free}, change, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            return None
        return int(row["number"])

    async def renew_planning(self, migration: str, number: int) -> bool:
        """The heartbeat of a planner. False: another one has taken over."""
        mine = {"_id": f"{migration}/pass", "number": number, "state": "planning"}
        change = {"$set": {"until": self._clock.now() + LEASE}}
        return bool((await self._rows.update_one(mine, change)).matched_count)

    async def open_pass(self, migration: str, number: int, partitions: Sequence[Partition]) -> bool:
        """Store the plan and open the pass to all. False: another planner has taken over."""
        planned = await self.current_pass(migration)
        if planned is None:
            return False
        rows = [
            {
                "_id": f"{migration}/pass/{number}/{planned['token']}/{index:05d}",
                "kind": "partition", "migration": migration, "pass": number, "index": index, "state": "open",
                "token": planned["token"],
                "bracket": part.bracket, "low": part.low, "high": part.high, "position": part.low, "fence": 0,
                "owner": None, "until": None,
            }
            for index, part in enumerate(partitions)
        ]  # fmt: skip
        # Of a plan of this number whose pass was removed, nothing counts.
        await self._rows.delete_many(
            {"kind": "partition", "migration": migration, "pass": number, "token": {"$ne": planned["token"]}}
        )
        if rows:
            await self._rows.insert_many(rows)
        change = {"$set": {"state": "open", "started_at": self._clock.now(), "partitions": len(rows)}}
        mine = {"_id": f"{migration}/pass", "number": number, "state": "planning", "token": planned["token"]}
        return bool((await self._rows.update_one(mine, change)).matched_count)

    async def swept(self, migration: str, number: int) -> int:
        """How many ids this pass has looked at up to its checkpoints, whoever did it."""
        row = await self.current_pass(migration)
        if row is not None and row["number"] == number and row["state"] == "done":
            return int(row.get("scanned", 0))
        rows = self._rows.find({"kind": "partition", "migration": migration, "pass": number}, {"scanned": 1})
        return sum(row.get("scanned", 0) for row in await rows.to_list(None))

    async def close_pass(self, migration: str, number: int) -> bool:
        """Close the pass once all its partitions are done, and forget its plan. False: work is left.

        Raises `PassVanished` where neither this pass nor a later one was ever completed: it was abandoned, or its rows
        were removed.
        """
        # Of this pass: those of a plan that was never opened are nobody's work.
        plan = {"kind": "partition", "migration": migration, "pass": number}
        if await self._rows.count_documents({**plan, "state": "open"}):
            return False
        mine = {"_id": f"{migration}/pass", "number": number, "state": "open"}
        row = await self._rows.find_one(mine)
        # What is no longer there was not done.
        if row is not None and await self._rows.count_documents({**plan, "state": "done"}) == row["partitions"]:
            scanned = await self.swept(migration, number)
            done = {"state": "done", "completed": number, "ended_at": self._clock.now(), "scanned": scanned}
            if (await self._rows.update_one(mine, {"$set": done})).matched_count:
                await self._rows.delete_many({**plan, "pass": {"$lte": number}})
                return True
        # Others may have closed it meanwhile, and begun the next.
        row = await self.current_pass(migration)
        if not _completed(row, number):
            await self._rows.update_one(mine, {"$set": {"state": "abandoned"}})
            raise PassVanished
        return True

    # Partitions: leases with owner, heartbeat and fencing.

    async def acquire(self, migration: str, number: int, owner: str, shard: tuple[int, int]) -> Lease | None:
        """A partition of this shard (I of N) that nobody holds, or whose owner fell silent. None: there is none."""
        now = self._clock.now()
        where = {
            "kind": "partition", "migration": migration, "pass": number, "state": "open",
            "$or": [{"owner": None}, {"until": {"$lt": now}}],
        }  # fmt: skip
        rows = await self._rows.find(where).sort([("index", 1)]).to_list(None)
        index, count = shard
        for row in (row for row in rows if row["index"] % count == index):
            change = {"$set": {"owner": owner, "until": now + LEASE}, "$inc": {"fence": 1}}
            taken = await self._rows.update_one({"_id": row["_id"], "fence": row["fence"], "state": "open"}, change)
            if taken.matched_count:
                part = Partition(row["bracket"], row["low"], row["high"])
                return Lease(row["_id"], part, row["position"], owner, row["fence"] + 1)
        return None

    async def checkpoint(self, lease: Lease, position: Any, scanned: int = 0, *, done: bool = False) -> bool:
        """Remember that everything up to `position` is durably done, `scanned` ids more. False: the lease is lost."""
        change: dict[str, Any] = {"$set": {"position": position, "until": self._clock.now() + LEASE}}
        if scanned:
            change["$inc"] = {"scanned": scanned}
        if done:
            change["$set"]["state"] = "done"
        return bool((await self._rows.update_one({"_id": lease.key, "fence": lease.fence}, change)).matched_count)

    async def renew(self, lease: Lease) -> bool:
        """The heartbeat. False: the lease was taken over."""
        change = {"$set": {"until": self._clock.now() + LEASE}}
        return bool((await self._rows.update_one({"_id": lease.key, "fence": lease.fence}, change)).matched_count)

    async def release(self, lease: Lease) -> None:
        """Give the partition back, for another to go on from its checkpoint."""
        change = {"$set": {"owner": None, "until": None}}
        await self._rows.update_one({"_id": lease.key, "fence": lease.fence}, change)

    async def open_partitions(self, migration: str, number: int, shard: tuple[int, int]) -> int:
        """How many partitions of this shard are not done, whoever holds them."""
        where = {"kind": "partition", "migration": migration, "pass": number, "state": "open"}
        rows = await self._rows.find(where, {"index": 1}).to_list(None)
        return sum(row["index"] % shard[1] == shard[0] for row in rows)

    # Conversion revisions.

    async def conversion(self, migration: str) -> KnownConversion | None:
        """The highest conversion revision seen, and the fingerprint of the classes it was first seen with."""
        row = await self._rows.find_one({"_id": f"{migration}/conversion"})
        return None if row is None else KnownConversion(row["revision"], row["fingerprint"])

    async def remember_conversion(self, migration: str, revision: int, fingerprint: str) -> None:
        """Remember a revision that is higher than all before; any other changes nothing."""
        row = {"kind": "conversion", "migration": migration, "revision": revision, "fingerprint": fingerprint}
        lower = {"_id": f"{migration}/conversion", "revision": {"$lt": revision}}
        try:
            await self._rows.update_one(lower, {"$set": {**row, "at": self._clock.now()}}, upsert=True)
        except DuplicateKeyError:
            return  # this one or a higher one is known

    # History.

    async def record_run(self, run: RunRecord) -> None:
        """Keep what one run of one process did."""
        row = {
            "kind": "run", "migration": run.migration, "started_at": run.started_at, "ended_at": run.ended_at,
            "finished": run.finished, "counts": dict(run.counts),
        }  # fmt: skip
        await self._rows.insert_one(row)

    async def history(self, migration: str, limit: int = 20) -> list[RunRecord]:
        """The last runs, newest first."""
        cursor = self._rows.find({"kind": "run", "migration": migration}).sort([("started_at", -1)]).limit(limit)
        return [
            RunRecord(migration, row["started_at"], row["ended_at"], row["finished"], row["counts"])
            for row in (await cursor.to_list(None))[:limit]
        ]


def _completed(row: Mapping[str, Any] | None, number: int) -> bool:
    """Whether this pass or a later one was seen to its end."""
    if row is None:
        return False
    # Earlier releases note nothing but the state.
    return bool(row.get("completed", 0) >= number) or (row["state"] == "done" and row["number"] >= number)
