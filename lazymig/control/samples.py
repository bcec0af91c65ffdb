"""Samples of how far a migration was, for charts: a bounded number of rows, and one process counts per time slot.

Time is divided into slots at three levels. A process claims a slot before it counts, by a compare-and-set, so of many
processes one counts. Each level is a ring of rows, each with the samples of sixty slots: a row is used again once its
time is long past, so nothing has to be removed, and a new sample changes one field of one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

import attrs
from attrs import frozen

from lazymig.control.how_far import HowFar
from lazymig.control.part import TimedPart
from lazymig.control.reading import Values, read_each
from lazymig.stores.rows import Row, Rows
from lazymig.stores.server_time import ServerTime

#: Slots per row.
_PER_ROW: Final = 60
_EPOCH: Final = datetime(1970, 1, 1)
#: A slot that was taken further ahead than this was taken while a server's clock was wrong. It stops nobody.
_AHEAD: Final = timedelta(hours=1)


@frozen
class Level:
    """One sample per slot of so many seconds, kept for a while."""

    every_s: int
    kept: timedelta

    @property
    def rows(self) -> int:
        """How many rows the level has: what is kept, the one that is filled now, and one for clocks that are ahead."""
        return -(-int(self.kept.total_seconds()) // (self.every_s * _PER_ROW)) + 2

    def slot(self, at: datetime) -> int:
        """Return the number of the slot that holds this moment."""
        return int((at - _EPOCH).total_seconds()) // self.every_s

    def begin(self, at: datetime) -> datetime:
        """Return when the slot began that holds this moment."""
        return _EPOCH + timedelta(seconds=self.slot(at) * self.every_s)


#: Finest first: an hour, a day, and ninety days.
FINE: Final = Level(10, timedelta(hours=1))
MEDIUM: Final = Level(120, timedelta(days=1))
COARSE: Final = Level(3600, timedelta(days=90))
LEVELS: Final = (FINE, MEDIUM, COARSE)


@frozen(kw_only=True)
class Sample:
    """How far a migration was at one moment.

    Attributes:
        at: When, naive UTC by the server of the control collection.
        by: What counted: "sweep", "verify", "rewrite", "follow" or "service", and host and process id.
        phase: The phase then.
        v1: Entities in V1.
        live: Entities in V2, clean or dirty.
        left: Entities that are not taken over.
        waiting: Entities that wait for their users.
        dirty: Entities of V2 with an open write.
        dead: Open dead letters.
        mismatches: Entities that do not agree and count.
        moved_read: Of the live ones, those that a read moved; None where that was not counted.
        moved_write: Those that a write moved.
        moved_sweep: Those that a sweep moved.
        per_s: Documents per second of all running sweeps and rewrites together; None where none runs.
        v1_p99_s: The time within which V1 answered 99 of 100 reads that were compared; None where none were.
        v2_p99_s: The same of V2.
        consistency: The share of comparisons by live reads that found both sides equal; None where there were none.
        estimated: Whether what V2 holds was counted in a sample.
    """

    at: datetime
    by: str
    phase: str
    v1: int
    live: int
    left: int = 0
    waiting: int = 0
    dirty: int = 0
    dead: int = 0
    mismatches: int = 0
    moved_read: int | None = None
    moved_write: int | None = None
    moved_sweep: int | None = None
    per_s: float | None = None
    v1_p99_s: float | None = None
    v2_p99_s: float | None = None
    consistency: float | None = None
    estimated: bool = False

    @property
    def how_far(self) -> HowFar:
        """How far the migration was."""
        return HowFar(self.v1, self.live, self.waiting, self.left)

    @property
    def remaining(self) -> int:
        """About how many entities V2 lacked."""
        return self.how_far.remaining

    @property
    def share(self) -> float:
        """The part of the entities to take over that was migrated, from 0 to 1."""
        return self.how_far.share


class Samples(TimedPart):
    """The samples of one migration. `Parts.samples` makes it."""

    def __init__(self, rows: Rows, time: ServerTime, migration: str) -> None:
        super().__init__(rows, time, migration)
        self._key = f"{migration}/samples"

    async def claim(self, level: Level) -> bool:
        """Claim the present slot of a level. False: a process has it, and counts or has counted."""
        name, now = f"taken_{level.every_s}", await self._time.now()
        slot, far = level.slot(now), level.slot(now + _AHEAD)
        # Also where somebody has put something else there.
        free = {"_id": self._key, name: {"$not": {"$gte": slot, "$lte": far}}}
        change = {"$set": {"kind": "samples", "migration": self._migration, name: slot}}
        return await self._rows.claim(free, change) is not None

    async def record(self, sample: Sample, levels: Iterable[Level] = LEVELS) -> None:
        """Store a sample in its slot of each level, in place of an earlier one of the same slot."""
        point = {
            name: value for name, value in attrs.asdict(sample).items() if value is not None and value is not False
        }
        for level in levels:
            chunk, place = divmod(level.slot(sample.at), _PER_ROW)
            await self._put(level, chunk, str(place), point)

    async def _put(self, level: Level, chunk: int, place: str, point: Row) -> None:
        key, added = self._row_key(level, chunk), {"$set": {f"points.{place}": point}}
        fresh = {
            "kind": "samples", "migration": self._migration, "every_s": level.every_s, "chunk": chunk,
            "points": {place: point},
        }  # fmt: skip
        standing: dict[str, object] = {"chunk": chunk, "points": {"$type": "object"}}
        if await self._rows.change({"_id": key, **standing}, added):
            return
        # The row is of a time long past, or is not there, or holds something else. Of two processes that begin it, the
        # second adds to it.
        if not await self._rows.put({"_id": key, "$nor": [standing]}, {"$set": fresh}):
            await self._rows.change({"_id": key, **standing}, added)

    async def find(self, since: datetime | None = None) -> list[Sample]:
        """Find the samples after this moment, or all, oldest first: at each time the finest that are kept.

        Only the rows are read that can hold them, by their keys. What cannot be read is left out.
        """
        now = await self._time.now()
        keys = [key for level in LEVELS for key in self._find_rows(level, since, now)]
        found: dict[datetime, Sample] = {}
        for row in await self._rows.find_all({"_id": {"$in": keys}}):
            # A row may still be of a time long past, and a server's clock may have been wrong.
            oldest = now - timedelta(seconds=_kept_s(row))
            found |= {
                one.at: one
                for one in _parse_points(row)
                if oldest <= one.at <= now + _AHEAD and (since is None or one.at > since)
            }
        # A sample of several levels is one.
        return [found[at] for at in sorted(found)]

    def _find_rows(self, level: Level, since: datetime | None, now: datetime) -> Iterator[str]:
        newest = level.slot(now) // _PER_ROW
        oldest = newest - level.rows + 2
        if since is not None:
            oldest = max(oldest, level.slot(since) // _PER_ROW)
        # A server whose clock was a little ahead may have begun the next row.
        for chunk in range(oldest, newest + 2):
            yield self._row_key(level, chunk)

    def _row_key(self, level: Level, chunk: int) -> str:
        return f"{self._key}/{level.every_s}/{chunk % level.rows}"


def _kept_s(row: Row) -> float:
    return next((one.kept.total_seconds() for one in LEVELS if one.every_s == row.get("every_s")), 0.0)


def _parse_points(row: Row) -> list[Sample]:
    points = row.get("points")
    return read_each("a sample", points.values() if isinstance(points, dict) else (), _read)


def _read(point: Values) -> Sample:
    consistency = point.find_number("consistency")
    return Sample(
        at=point.need_moment("at"), by=point.need_text("by"), phase=point.need_text("phase"),
        v1=point.need_count("v1"), live=point.need_count("live"),
        left=point.find_count("left") or 0, waiting=point.find_count("waiting") or 0,
        dirty=point.find_count("dirty") or 0, dead=point.find_count("dead") or 0,
        mismatches=point.find_count("mismatches") or 0, moved_read=point.find_count("moved_read"),
        moved_write=point.find_count("moved_write"), moved_sweep=point.find_count("moved_sweep"),
        per_s=point.find_number("per_s"), v1_p99_s=point.find_number("v1_p99_s"),
        v2_p99_s=point.find_number("v2_p99_s"),
        consistency=None if consistency is None or consistency > 1 else consistency, estimated=point.flag("estimated"),
    )  # fmt: skip
