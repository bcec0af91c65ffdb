"""The row of V1's watch in the control collection: since when nothing went by unseen, and what was seen.

One row per migration. Counts are kept by hour and operation, and position and counts are changed by one statement.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from lazymig.control.following import Claim, Following, format_hour, read_hours
from lazymig.control.reading import Values
from lazymig.stores.events import Token
from lazymig.stores.strays import Access

Hours = Mapping[tuple[datetime, str], int]


@frozen(kw_only=True)
class Noted:
    """What is recorded together with a position."""

    #: Changes of V1's documents, by hour and operation.
    changes: Hours = field(factory=dict)
    #: Reads and writes that the server counted, by hour and kind ("reads", "writes").
    accesses: Hours = field(factory=dict)
    #: When the last of them was, None where there was none.
    last_change: datetime | None = None
    last_write: datetime | None = None
    #: The server's counts now; None where they were not asked for, or cannot be seen.
    sample: Access | None = None


@frozen(kw_only=True)
class Watched:
    """What the control collection holds about V1's watch.

    Attributes:
        running: Whether a process holds the lease.
        since: Since when every change was seen, naive UTC.
        seen_at: When the watch last recorded its position; None before the first time.
        gap: Why it had to start over then; "" at its first start.
        changes: Changes of V1's documents, by hour and operation.
        accesses: Reads and writes that the server counted, by hour and kind.
        last_change: When V1 was last changed; None if never.
        last_write: When a write of V1 was last counted, whether it changed anything or not; None if never.
        counted: Whether the server's counts of reads and writes can be seen.
    """

    running: bool
    since: datetime
    seen_at: datetime | None
    gap: str
    changes: Hours
    accesses: Hours
    last_change: datetime | None
    last_write: datetime | None
    counted: bool

    @property
    def last_stray(self) -> datetime | None:
        """When a program last wrote V1 or tried to; None if never."""
        return max((at for at in (self.last_change, self.last_write) if at is not None), default=None)


class Watching(Following):
    """The record of one migration's watch on V1. `Parts.watching` makes it."""

    _NAME = "watch"
    _TABLES = ("rogue", "accesses")

    async def begin(self, claim: Claim, token: Token, gap: str) -> bool:
        """Record the first position, or a new one behind a gap. False: another process watches now."""
        fields = {"token": dict(token), "since": self._clock.now(), "gap": gap}
        return await self._change(claim, fields)

    async def note(self, claim: Claim, token: Token, seen: Noted) -> bool:
        """Record a position up to which all is counted, durably. False: taken over; nothing was recorded."""
        now = self._clock.now()
        last = {"last_change": seen.last_change, "last_write": seen.last_write}
        fields: dict[str, object] = {name: at for name, at in last.items() if at is not None}
        fields |= {"token": dict(token), "seen_at": now}
        if seen.sample is not None:
            fields["sample"] = {"host": seen.sample.host, "reads": seen.sample.reads, "writes": seen.sample.writes}
        added = {
            f"{table}.{format_hour(hour)}.{name}": count
            for table, counts in (("rogue", seen.changes), ("accesses", seen.accesses))
            for (hour, name), count in counts.items()
        }
        self._hours |= {format_hour(hour) for hour, _ in (*seen.changes, *seen.accesses)}
        return await self._change(claim, fields, added, self._take_old_hours(now))

    async def find_sample(self) -> Access | None:
        """Find the server's counts at the last position; None where there are none."""
        row = await self._rows.find_first({"_id": self._key})
        found = Values(row).part("sample")
        host, reads, writes = found.find_text("host"), found.find_count("reads"), found.find_count("writes")
        return None if host is None or reads is None or writes is None else Access(host, reads, writes)

    async def find_watched(self) -> Watched | None:
        """Find what is recorded; None where nobody ever watched."""
        row = await self._rows.find_first({"_id": self._key})
        if row is None or "since" not in row:
            return None
        of, now = Values(row), self._clock.now()
        until = of.find_moment("until")

        def find_last(name: str) -> datetime | None:
            # A time that cannot be read may be any: V1 may be dropped only after a quiet time.
            return of.find_moment(name) or (now if of.has(name) else None)

        return Watched(
            running=until is not None and until >= now, since=of.find_moment("since") or now,
            seen_at=of.find_moment("seen_at"), gap=of.text("gap"), changes=_parse_hours(of, "rogue"),
            accesses=_parse_hours(of, "accesses"), last_change=find_last("last_change"),
            last_write=find_last("last_write"), counted="sample" in row,
        )  # fmt: skip


def _parse_hours(row: Values, table: str) -> Hours:
    hours = read_hours(row, table)
    return {(hour, name): count for hour, counts in hours.items() for name, count in counts.items()}
