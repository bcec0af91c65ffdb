"""Passes over a migration's collections: their plans, leases, fences and checkpoints. Each change is a compare-and-set.

A pass is of a kind. Those of two kinds share a control collection and nothing else: each has its own numbers,
partitions and checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from attrs import frozen

from lazymig.control.part import UNNAMED_KIND, Part, row_kind
from lazymig.errors import PassVanished
from lazymig.loop.clock import Clock
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.stores.rows import Row, Rows

#: A partition whose owner was silent for this long may be taken over. Short, since the next process after a `kill -9`
#: waits so long. A living owner that is late all the same loses time and nothing else: its checkpoint is fenced.
LEASE = timedelta(seconds=20)
#: How often an owner says that it lives: two in a row may be lost or late.
BEAT_S = LEASE.total_seconds() / 3
#: What identifies the collections of a pass: the server's UUID of each, by "v1" and "v2".
Identities = Mapping[str, str | None]


@frozen
class Lease:
    """The right to work on one partition, until somebody with a higher fence takes it over."""

    key: str
    partition: Partition
    #: The last `_id` whose page is durably done, or `partition.low` when none is.
    position: RawId
    owner: str
    fence: int


class Passes(Part):
    """The passes of one kind over one migration, of which the newest counts. Made by `Control.passes`."""

    def __init__(self, rows: Rows, clock: Clock, migration: str, kind: str) -> None:
        super().__init__(rows, clock)
        self.kind = kind
        self._migration = migration
        self._key = f"{migration}/pass" + ("" if kind == UNNAMED_KIND else f"/{kind}")

    async def current(self) -> Row | None:
        """The newest pass, whatever its state."""
        return await self._rows.find_first({"_id": self._key})

    # Planning.

    async def claim_planning(self, owner: str, collections: Identities | None = None) -> int | None:
        """Claim the planning of a new pass; return its number. None: a pass is open, or somebody is planning one.

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
        planning = {
            "kind": row_kind("pass", self.kind), "migration": self._migration, "state": "planning",
            "until": now + LEASE, "owner": owner, "collections": collections and dict(collections),
            # Distinguishes this plan from one of the same number in a control collection that was dropped since.
            "token": uuid4().hex,
        }  # fmt: skip
        change = {"$inc": {"number": 1}, "$set": planning}
        row = await self._rows.claim({"_id": self._key, "$or": free}, change)
        return None if row is None else int(row["number"])

    async def renew_planning(self, number: int) -> bool:
        """Extend the planner's claim: its heartbeat. False: another one has taken over."""
        mine = {"_id": self._key, "number": number, "state": "planning"}
        return await self._rows.change(mine, {"$set": {"until": self._clock.now() + LEASE}})

    async def open_pass(self, number: int, partitions: Sequence[Partition]) -> bool:
        """Store the plan and open the pass to all. False: another planner has taken over."""
        planned = await self.current()
        if planned is None:
            return False
        token = planned["token"]
        # Of a plan of this number whose pass was removed, nothing counts.
        await self._rows.remove({**self._plan(number), "token": {"$ne": token}})
        await self._rows.add_all([self._row(number, token, *numbered) for numbered in enumerate(partitions)])
        change = {"$set": {"state": "open", "started_at": self._clock.now(), "partitions": len(partitions)}}
        mine = {"_id": self._key, "number": number, "state": "planning", "token": token}
        return await self._rows.change(mine, change)

    def _row(self, number: int, token: str, index: int, partition: Partition) -> dict[str, Any]:
        return {
            "_id": f"{self._key}/{number}/{token}/{index:05d}", **self._plan(number), "index": index, "state": "open",
            "token": token, "bracket": partition.bracket, "low": partition.low, "high": partition.high,
            "position": partition.low, "fence": 0, "owner": None, "until": None,
        }  # fmt: skip

    def _plan(self, number: int) -> dict[str, Any]:
        """The filter for all partitions of a pass."""
        return {"kind": row_kind("partition", self.kind), "migration": self._migration, "pass": number}

    # Ending.

    async def count_scanned(self, number: int) -> int:
        """Count the ids that this pass has looked at up to its checkpoints, by any process."""
        row = await self.current()
        if row is not None and row["number"] == number and row["state"] == "done":
            return int(row.get("scanned", 0))
        return sum(row.get("scanned", 0) for row in await self._rows.find_all(self._plan(number), ["scanned"]))

    async def close_pass(self, number: int) -> bool:
        """Close the pass once all its partitions are done, and forget its plan. False: work is left.

        Raises `PassVanished` where neither this pass nor a later one was ever completed: it was abandoned, or its rows
        were removed.
        """
        # Of this pass: those of a plan that was never opened are nobody's work.
        plan = self._plan(number)
        if await self._rows.count({**plan, "state": "open"}):
            return False
        mine = {"_id": self._key, "number": number, "state": "open"}
        row = await self._rows.find_first(mine)
        # What is no longer there was not done.
        if row is not None and await self._rows.count({**plan, "state": "done"}) == row["partitions"]:
            scanned = await self.count_scanned(number)
            done = {"state": "done", "completed": number, "ended_at": self._clock.now(), "scanned": scanned}
            if await self._rows.change(mine, {"$set": done}):
                await self._rows.remove({**plan, "pass": {"$lte": number}})
                return True
        # Others may have closed it meanwhile, and begun the next.
        if not _completed(await self.current(), number):
            await self._rows.change(mine, {"$set": {"state": "abandoned"}})
            raise PassVanished(
                f"the {self.kind}'s pass vanished from the control collection, so nothing shows what it did; run it "
                "again"
            )
        return True

    # Partitions: leases with owner, heartbeat and fencing.

    async def acquire(self, number: int, owner: str, shard: tuple[int, int]) -> Lease | None:
        """Lease a partition of this shard (I of N) that is free or whose owner fell silent. None: there is none."""
        now = self._clock.now()
        free = {**self._plan(number), "state": "open", "$or": [{"owner": None}, {"until": {"$lt": now}}]}
        for row in _of_shard(await self._rows.find_all(free, sort=[("index", 1)]), shard):
            change = {"$set": {"owner": owner, "until": now + LEASE}, "$inc": {"fence": 1}}
            if await self._rows.change({"_id": row["_id"], "fence": row["fence"], "state": "open"}, change):
                partition = Partition(row["bracket"], row["low"], row["high"])
                return Lease(row["_id"], partition, row["position"], owner, row["fence"] + 1)
        return None

    async def checkpoint(self, lease: Lease, position: RawId, scanned: int = 0, *, done: bool = False) -> bool:
        """Remember that everything up to `position` is durably done, `scanned` ids more. False: it was taken over."""
        change: dict[str, Any] = {"$set": {"position": position, "until": self._clock.now() + LEASE}}
        if scanned:
            change["$inc"] = {"scanned": scanned}
        if done:
            change["$set"]["state"] = "done"
        return await self._rows.change({"_id": lease.key, "fence": lease.fence}, change)

    async def renew(self, lease: Lease) -> bool:
        """Extend the lease: its owner's heartbeat. False: the partition was taken over."""
        change = {"$set": {"until": self._clock.now() + LEASE}}
        return await self._rows.change({"_id": lease.key, "fence": lease.fence}, change)

    async def release(self, lease: Lease) -> None:
        """Give the partition back, for another to go on from its checkpoint."""
        await self._rows.change({"_id": lease.key, "fence": lease.fence}, {"$set": {"owner": None, "until": None}})

    async def count_open(self, number: int, shard: tuple[int, int]) -> int:
        """Count the partitions of this shard that are not done, held by anybody or nobody."""
        rows = await self._rows.find_all({**self._plan(number), "state": "open"}, ["index"])
        return len(_of_shard(rows, shard))


def _of_shard(rows: Sequence[Row], shard: tuple[int, int]) -> list[Row]:
    index, count = shard
    return [row for row in rows if row["index"] % count == index]


def _completed(row: Row | None, number: int) -> bool:
    """Whether this pass or a later one was seen to its end."""
    if row is None:
        return False
    # Earlier releases note nothing but the state.
    return bool(row.get("completed", 0) >= number) or (row["state"] == "done" and row["number"] >= number)
