"""Passes over a migration's collections: their plans, leases, fences and checkpoints. Each change is a compare-and-set.

Each pass is of one kind. Passes of two kinds share a control collection and nothing else: each kind has its own
numbers, partitions and checkpoints.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from attrs import frozen

from lazymig.control.part import UNNAMED_KIND, Part, make_row_kind
from lazymig.errors import PassVanished
from lazymig.loop.clock import Clock
from lazymig.stores.given import RawId
from lazymig.stores.records import Partition
from lazymig.stores.rows import Row, Rows

#: A partition whose owner was silent for this long may be taken over. It is short because the next process after a
#: `kill -9` waits this long. An owner that is alive and late only loses time: its checkpoint is fenced.
LEASE = timedelta(seconds=20)
#: Seconds between an owner's heartbeats: two in a row may fail or be late.
BEAT_S = LEASE.total_seconds() / 3
#: What identifies the collections of a pass: the server's UUID of each, by "v1" and "v2".
Identities = Mapping[str, str | None]


@frozen
class Lease:
    """The right to work on one partition, until another process takes it over with a higher fence."""

    key: str
    partition: Partition
    #: The last `_id` whose page is durably done. Where there is none: `partition.low`, or None in a descending pass.
    position: RawId
    owner: str
    fence: int


class Passes(Part):
    """The passes of one kind over one migration. Only the newest is kept. `Parts.passes` makes it."""

    def __init__(self, rows: Rows, clock: Clock, migration: str, kind: str) -> None:
        super().__init__(rows, clock)
        self.kind = kind
        self._migration = migration
        self._key = f"{migration}/pass" + ("" if kind == UNNAMED_KIND else f"/{kind}")

    async def current(self) -> Row | None:
        """Find the newest pass, whatever its state."""
        return await self._rows.find_first({"_id": self._key})

    # Planning.

    async def claim_planning(self, owner: str, collections: Identities | None = None) -> int | None:
        """Claim the planning of a new pass; return its number. None: a pass is open or being planned.

        An open pass over other `collections` is replaced: its checkpoints say nothing about these.
        """
        now = self._clock.now()
        free: list[dict[str, Any]] = [
            {"state": {"$in": ["done", "abandoned"]}},
            {"state": "planning", "until": {"$lt": now}},
        ]
        if collections is not None:
            # A pass that does not name its collections stays: its planner could not see what identifies them.
            free.append({"state": "open", "collections": {"$nin": [None, dict(collections)]}})
        planning = {
            "kind": make_row_kind("pass", self.kind), "migration": self._migration, "state": "planning",
            "until": now + LEASE, "owner": owner, "collections": collections and dict(collections),
            # Distinguishes this plan from one with the same number, made before the control collection was dropped.
            "token": uuid4().hex,
        }  # fmt: skip
        change = {"$inc": {"number": 1}, "$set": planning}
        row = await self._rows.claim({"_id": self._key, "$or": free}, change)
        return None if row is None else int(row["number"])

    async def renew_planning(self, number: int) -> bool:
        """Extend the planner's claim, as its heartbeat. False: another planner has taken over."""
        mine = {"_id": self._key, "number": number, "state": "planning"}
        return await self._rows.change(mine, {"$set": {"until": self._clock.now() + LEASE}})

    async def open_pass(self, number: int, partitions: Sequence[Partition], *, descending: bool = False) -> bool:
        """Store the plan and open the pass to all. False: another planner has taken over.

        A descending pass goes from each partition's highest id down, so its first position is none.
        """
        planned = await self.current()
        if planned is None:
            return False
        token = planned["token"]
        # Remove the plan of a pass with this number that was removed.
        await self._rows.remove({**self._plan(number), "token": {"$ne": token}})
        rows = [self._row(number, token, *numbered) for numbered in enumerate(partitions)]
        await self._rows.add_all([{**row, "position": None} for row in rows] if descending else rows)
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
        """Return the filter for all partitions of a pass."""
        return {"kind": make_row_kind("partition", self.kind), "migration": self._migration, "pass": number}

    # Ending.

    async def count_scanned(self, number: int) -> int:
        """Count the ids that all processes of this pass have looked at, up to their checkpoints."""
        row = await self.current()
        if row is not None and row["number"] == number and row["state"] == "done":
            return int(row.get("scanned", 0))
        return sum(row.get("scanned", 0) for row in await self._rows.find_all(self._plan(number), ["scanned"]))

    async def close_pass(self, number: int) -> bool:
        """Close the pass if all its partitions are done, and remove its plan. False: work is left.

        Raises `PassVanished` where neither this pass nor a later one was completed: it was abandoned, or its rows were
        removed.
        """
        # Only of this pass: partitions of a plan that was never opened are no work.
        plan = self._plan(number)
        if await self._rows.count({**plan, "state": "open"}):
            return False
        mine = {"_id": self._key, "number": number, "state": "open"}
        row = await self._rows.find_first(mine)
        # A partition whose row is missing was not done.
        if row is not None and await self._rows.count({**plan, "state": "done"}) == row["partitions"]:
            scanned = await self.count_scanned(number)
            done = {"state": "done", "completed": number, "ended_at": self._clock.now(), "scanned": scanned}
            if await self._rows.change(mine, {"$set": done}):
                await self._rows.remove({**plan, "pass": {"$lte": number}})
                return True
        # Another process may have closed it meanwhile, and started the next.
        if not _is_completed(await self.current(), number):
            await self._rows.change(mine, {"$set": {"state": "abandoned"}})
            raise PassVanished(
                f"the {self.kind}'s pass vanished from the control collection, so nothing shows what it did; run it "
                "again"
            )
        return True

    # Partitions: leases with owner, heartbeat and fencing.

    async def acquire(
        self, number: int, owner: str, shard: tuple[int, int], *, held: Collection[str] = ()
    ) -> Lease | None:
        """Lease a partition of this shard (I of N) that is free or whose owner is silent. None: there is none.

        `held`: the keys of leases that this process works on. One may have run out while it was suspended, and it must
        not take over from itself.
        """
        now = self._clock.now()
        free = {**self._plan(number), "state": "open", "$or": [{"owner": None}, {"until": {"$lt": now}}]}
        found = _choose_shard(await self._rows.find_all(free, sort=[("index", 1)]), shard)
        for row in (row for row in found if row["_id"] not in held):
            change = {"$set": {"owner": owner, "until": now + LEASE}, "$inc": {"fence": 1}}
            if await self._rows.change({"_id": row["_id"], "fence": row["fence"], "state": "open"}, change):
                partition = Partition(row["bracket"], row["low"], row["high"])
                return Lease(row["_id"], partition, row["position"], owner, row["fence"] + 1)
        return None

    async def checkpoint(self, lease: Lease, position: RawId, scanned: int = 0, *, done: bool = False) -> bool:
        """Record that all up to `position` is durably done, and `scanned` more ids. False: it was taken over."""
        change: dict[str, Any] = {"$set": {"position": position, "until": self._clock.now() + LEASE}}
        if scanned:
            change["$inc"] = {"scanned": scanned}
        if done:
            change["$set"]["state"] = "done"
        return await self._rows.change({"_id": lease.key, "fence": lease.fence}, change)

    async def renew(self, lease: Lease) -> bool:
        """Extend the lease, as its owner's heartbeat. False: the partition was taken over."""
        change = {"$set": {"until": self._clock.now() + LEASE}}
        return await self._rows.change({"_id": lease.key, "fence": lease.fence}, change)

    async def release(self, lease: Lease) -> None:
        """Give the partition back, so that another process continues from its checkpoint."""
        await self._rows.change({"_id": lease.key, "fence": lease.fence}, {"$set": {"owner": None, "until": None}})

    async def count_open(self, number: int, shard: tuple[int, int]) -> int:
        """Count the partitions of this shard that are not done, leased or not."""
        rows = await self._rows.find_all({**self._plan(number), "state": "open"}, ["index"])
        return len(_choose_shard(rows, shard))


def _choose_shard(rows: Sequence[Row], shard: tuple[int, int]) -> list[Row]:
    index, count = shard
    return [row for row in rows if row["index"] % count == index]


def _is_completed(row: Row | None, number: int) -> bool:
    """Whether this pass or a later one was completed."""
    if row is None:
        return False
    # Earlier releases stored the state only.
    return bool(row.get("completed", 0) >= number) or (row["state"] == "done" and row["number"] >= number)
