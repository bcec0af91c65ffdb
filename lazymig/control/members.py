"""The processes of a migration's fleet: who they are, which epoch each has acknowledged, and whether they live.

Clocks are never compared. A process counts its lease on its own monotonic clock, from before it sent the heartbeat.
Others watch the number of its heartbeats: once that has not changed for longer than the lease, by their own clock, the
lease is over.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Final

from attrs import field, frozen

from lazymig.control.part import Part
from lazymig.control.reading import Values
from lazymig.loop.clock import Clock
from lazymig.stores.rows import Row, Rows

#: The lease of a process whose own cannot be read, and the longest that is waited for, in seconds.
LONG_S: Final = 86_400.0
#: The heartbeat of a process whose own cannot be read.
_NO_BEAT: Final = -1
_BY_NAME: Final = (("name", 1), ("_id", 1))


@frozen
class MemberRecord:
    """One process of a fleet, as the control collection records it.

    Attributes:
        key: What identifies the process, until it registers again.
        name: Host and process id.
        role: What it does: "service", or the tool that it runs.
        release: The version of lazymig.
        revision: The conversion revision of its migration.
        epoch: The last epoch that it has acknowledged; 0 before the first.
        beat: The number of its heartbeats.
        lease_s: Seconds that it may work after a heartbeat.
        seen_at: When it last sent one, naive UTC by its own clock; for people only.
        odd_beat: What its row holds in place of the number of its heartbeats, where that cannot be read.
    """

    key: str
    name: str
    role: str
    release: str
    revision: int
    epoch: int
    beat: int
    lease_s: float
    seen_at: datetime
    odd_beat: object = field(default=None, repr=False)

    def is_behind(self, epoch: int, newest: int) -> bool:
        """Whether it has not acknowledged this epoch.

        What is beyond the newest epoch of the record was never acknowledged: somebody has changed the row, or the
        process works by a record that was removed.

        Args:
            epoch: The epoch.
            newest: The newest epoch of the record, read after the process was.

        Returns:
            Whether a step has to wait for the process.
        """
        return not epoch <= self.epoch <= newest

    @property
    def has_lease(self) -> bool:
        """Whether its row says how long its lease is."""
        return self.lease_s < LONG_S


class Members(Part):
    """The processes of one migration's fleet. `Parts.members` makes it."""

    def __init__(self, rows: Rows, clock: Clock, migration: str) -> None:
        super().__init__(rows, clock)
        self.migration = migration

    async def register(self, member: MemberRecord) -> None:
        """Add a process, durably. It must read the phase after this, and never before."""
        await self._rows.add({"_id": self._key(member.key), **self._fleet, **_make_row(member)})

    async def renew(self, member: MemberRecord) -> bool:
        """Record a heartbeat and the acknowledged epoch, durably. False: the process was removed; register again.

        A heartbeat that arrives after a later one changes nothing. Each makes the row whole again, whatever somebody
        has changed in it.
        """
        where = {"_id": self._key(member.key), "beat": {"$lt": member.beat}}
        return await self._rows.change(where, {"$set": {**self._fleet, **_make_row(member)}})

    async def remove(self, member: MemberRecord) -> bool:
        """Remove a process whose lease is over, or which leaves. False: it sent a heartbeat since, or is not there."""
        beat = member.odd_beat if member.beat == _NO_BEAT else member.beat
        return bool(await self._rows.remove({"_id": self._key(member.key), "beat": {"$eq": beat}}))

    async def remove_own(self, key: str) -> bool:
        """Remove the process that calls this, whatever its last heartbeat was. False: it is not there."""
        return bool(await self._rows.remove({"_id": self._key(key)}))

    async def find_all(self) -> list[MemberRecord]:
        """Find all processes, by their names."""
        prefix = self._key("")
        # By what nobody can change in a row: a process that is not found is not waited for. And without the rows of a
        # migration whose name begins like the ids.
        where = {"_id": {"$regex": f"^{re.escape(prefix)}[^/]+$"}, "migration": {"$ne": prefix[:-1]}}
        rows = await self._rows.find_all(where, sort=_BY_NAME)
        return [_parse(row, row["_id"].removeprefix(prefix)) for row in rows]

    def describe_without_lease(self, member: MemberRecord) -> str:
        """Return what to do about a process whose row does not say how long its lease is."""
        key = json.dumps(self._key(member.key))
        return (
            f"{member.name} ({member.role}) has a row that does not say how long its lease is: somebody has changed "
            "it, and the next heartbeat puts that right; if the process has ended, remove the row: "
            f"db.{self._rows.name}.deleteOne({{_id: {key}}})"
        )

    @property
    def _fleet(self) -> dict[str, object]:
        return {"kind": "member", "migration": self.migration}

    def _key(self, key: str) -> str:
        return f"{self.migration}/member/{key}"


def _make_row(member: MemberRecord) -> dict[str, object]:
    return {
        "key": member.key, "name": member.name, "role": member.role, "release": member.release,
        "revision": member.revision, "epoch": member.epoch, "beat": member.beat, "lease_s": member.lease_s,
        "seen_at": member.seen_at,
    }  # fmt: skip


def _parse(row: Row, key: str) -> MemberRecord:
    """Return the process. Where its row cannot be read it has acknowledged nothing: it is there, and steps wait."""
    of = Values(row)
    beat = of.find_count("beat")
    return MemberRecord(
        key, of.text("name") or key or "a process", of.text("role"), of.text("release"),
        of.find_integer("revision") or 0, of.find_count("epoch") or 0, _NO_BEAT if beat is None else beat,
        min(of.find_number("lease_s") or LONG_S, LONG_S), of.find_moment("seen_at") or datetime.min,
        None if beat is not None else of.any("beat"),
    )  # fmt: skip
