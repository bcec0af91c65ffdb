"""The processes of a migration's fleet: who they are, which epoch each has acknowledged, and whether they live.

Clocks are never compared. A process counts its lease on its own monotonic clock, from before it sent the heartbeat.
Others watch the number of its heartbeats: once that has not changed for longer than the lease, by their own clock, the
lease is over.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import frozen

from lazymig.control.part import Part
from lazymig.control.reading import Values
from lazymig.loop.clock import Clock
from lazymig.stores.rows import Row, Rows

#: The lease of a process whose own cannot be read, and the longest that is waited for, in seconds.
_LONG_S: Final = 86_400.0


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

        A heartbeat that arrives after a later one changes nothing.
        """
        where = {"_id": self._key(member.key), "beat": {"$lt": member.beat}}
        return await self._rows.change(where, {"$set": _make_row(member)})

    async def remove(self, member: MemberRecord) -> bool:
        """Remove a process whose lease is over, or which leaves. False: it sent a heartbeat since, or is not there."""
        return bool(await self._rows.remove({"_id": self._key(member.key), "beat": member.beat}))

    async def remove_own(self, key: str) -> bool:
        """Remove the process that calls this, whatever its last heartbeat was. False: it is not there."""
        return bool(await self._rows.remove({"_id": self._key(key)}))

    async def find_all(self) -> list[MemberRecord]:
        """Find all processes, by their names."""
        rows = await self._rows.find_all(self._fleet, sort=[("name", 1), ("_id", 1)])
        return [_parse(row) for row in rows]

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


def _parse(row: Row) -> MemberRecord:
    """Return the process. Where its row cannot be read it has acknowledged nothing: it is there, and steps wait."""
    of = Values(row)
    key = of.text("key")
    return MemberRecord(
        key, of.text("name") or key or "a process", of.text("role"), of.text("release"),
        of.find_integer("revision") or 0, of.find_count("epoch") or 0, of.find_integer("beat") or 0,
        min(of.find_number("lease_s") or _LONG_S, _LONG_S), of.find_moment("seen_at") or datetime.min,
    )  # fmt: skip
