"""The follower's row in the control collection: who follows, from which position, and what was found.

One row per migration. Position and counts are changed by one statement, so that a batch that is handled again after a
crash is counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from attrs import field, frozen

from lazymig.control.part import Part
from lazymig.control.passes import LEASE
from lazymig.control.reading import Values
from lazymig.loop.clock import Clock
from lazymig.stores.events import Token
from lazymig.stores.rows import Row, Rows

#: How long counts are kept.
KEPT = timedelta(days=30)
_HOUR = "%Y-%m-%dT%H"


@frozen
class CatchUp:
    """A verification with repair that is due, because changes may have gone by unseen."""

    reason: str
    since: datetime
    #: The number of the last pass that may have begun before the position was taken. A later one must be finished.
    after_pass: int


@frozen
class Claim:
    """The right to follow, until another process takes it over with a higher fence."""

    fence: int
    #: The position after which nothing is known to be handled; None before the first start.
    token: Token | None
    #: The verification that is due; None where none is.
    catch_up: CatchUp | None


@frozen(kw_only=True)
class Handled:
    """What is recorded together with a position."""

    #: Changes that were not announced, by hour and operation.
    rogue: Mapping[tuple[datetime, str], int] = field(factory=dict)
    lag_s: float = 0.0
    staleness_s: tuple[float | None, float | None] = (None, None)


@frozen
class Followed:
    """What the control collection holds about a migration's follower.

    Attributes:
        running: Whether a process holds the lease.
        seen_at: When a follower last recorded its position, naive UTC; None before the first time.
        lag_s: How far it was behind then, in seconds.
        staleness_p50_s: The median time from a change to its durable heal, over the last run; None without heals.
        staleness_p99_s: The time within which 99 of 100 heals were durable.
        catching_up: Why a verification is under way or due; None where none is.
        catch_ups: How often the position was lost, or unknown at the first start.
        rogue_by_hour: Changes that were not announced, by hour (naive UTC) and operation.
    """

    running: bool
    seen_at: datetime | None
    lag_s: float
    staleness_p50_s: float | None
    staleness_p99_s: float | None
    catching_up: str | None
    catch_ups: int
    rogue_by_hour: Mapping[datetime, Mapping[str, int]]

    def count_since(self, moment: datetime) -> Counter[str]:
        """Count by operation, from the hour that holds this moment on."""
        first = moment.replace(minute=0, second=0, microsecond=0)
        found: Counter[str] = Counter()
        for hour, counts in self.rogue_by_hour.items():
            if hour >= first:
                found.update(counts)
        return found


class Following(Part):
    """The follower's row of one migration. `Parts.following` makes it."""

    #: What the row is of, in its key and its kind.
    _NAME = "follower"
    #: The fields that hold counts by hour.
    _TABLES: tuple[str, ...] = ("rogue",)

    def __init__(self, rows: Rows, clock: Clock, migration: str) -> None:
        super().__init__(rows, clock)
        self._key = f"{migration}/{self._NAME}"
        self._migration = migration
        #: The hours that the row holds, so that old ones can be removed without reading it.
        self._hours: set[str] = set()

    async def find(self) -> Followed | None:
        """Find what is recorded; None where no follower ever ran."""
        row = await self._rows.find_first({"_id": self._key})
        if row is None:
            return None
        of = Values(row)
        until = of.find_moment("until")
        return Followed(
            running=until is not None and until >= self._clock.now(),
            seen_at=of.find_moment("seen_at"),
            lag_s=of.find_number("lag_s") or 0.0,
            staleness_p50_s=of.find_number("staleness_p50_s"),
            staleness_p99_s=of.find_number("staleness_p99_s"),
            # Also where it cannot be read why: a verification is due until one has ended.
            catching_up=(of.part("catch_up").text("reason") or "unknown") if of.has("catch_up") else None,
            catch_ups=of.find_count("catch_ups") or 0,
            rogue_by_hour=read_hours(of, "rogue"),
        )

    async def claim(self, owner: str) -> Claim | None:
        """Claim the right to follow. None: another process has it."""
        now = self._clock.now()
        free = {"_id": self._key, "$or": [{"until": None}, {"until": {"$lt": now}}]}
        held = {"kind": self._NAME, "migration": self._migration, "owner": owner, "until": now + LEASE}
        row = await self._rows.claim(free, {"$set": held, "$inc": {"fence": 1}})
        if row is None:
            return None
        self._hours = {hour for table in self._TABLES for hour in row.get(table, {})}
        return Claim(int(row["fence"]), row.get("token"), _parse_catch_up(row))

    async def renew(self, claim: Claim) -> bool:
        """Extend the lease, as its owner's heartbeat. False: another process follows now."""
        return await self._change(claim, {"until": self._clock.now() + LEASE})

    async def release(self, claim: Claim) -> None:
        """Give the lease back, so that another process can follow at once."""
        await self._change(claim, {"until": None})

    async def save(self, claim: Claim, token: Token, handled: Handled) -> bool:
        """Record a position up to which all is handled, durably, with its counts. False: taken over; nothing saved."""
        now = self._clock.now()
        fields = {
            "token": dict(token), "seen_at": now, "until": now + LEASE, "lag_s": handled.lag_s,
            "staleness_p50_s": handled.staleness_s[0], "staleness_p99_s": handled.staleness_s[1],
        }  # fmt: skip
        added = {f"rogue.{format_hour(hour)}.{name}": count for (hour, name), count in handled.rogue.items()}
        self._hours |= {format_hour(hour) for hour, _ in handled.rogue}
        return await self._change(claim, fields, added, self._take_old_hours(now))

    def _take_old_hours(self, now: datetime) -> list[str]:
        """Return the fields of hours that are no longer kept."""
        # The names of hours sort like the hours.
        old = {hour for hour in self._hours if hour < format_hour(now - KEPT)}
        self._hours -= old
        return [f"{table}.{hour}" for hour in old for table in self._TABLES]

    async def begin_catch_up(self, claim: Claim, token: Token, due: CatchUp) -> bool:
        """Record a new position together with the verification that is due because of it. False: taken over."""
        row = {"reason": due.reason, "since": due.since, "after_pass": due.after_pass}
        return await self._change(claim, {"token": dict(token), "catch_up": row}, {"catch_ups": 1})

    async def begin_without(self, claim: Claim, token: Token) -> bool:
        """Record the first position, where the user wants no verification. False: taken over."""
        return await self._change(claim, {"token": dict(token)})

    async def end_catch_up(self, claim: Claim, due: CatchUp) -> bool:
        """Record that this verification is finished. False: another one is due, or another process follows."""
        where = {"_id": self._key, "fence": claim.fence, "catch_up.since": due.since}
        return await self._rows.change(where, {"$unset": {"catch_up": ""}})

    async def _change(
        self, claim: Claim, fields: Row, added: Mapping[str, int] | None = None, removed: Sequence[str] = ()
    ) -> bool:
        change: dict[str, object] = {"$set": dict(fields)}
        removed = [name for name in removed if not any(one.startswith(f"{name}.") for one in added or ())]
        if added:
            change["$inc"] = dict(added)
        if removed:
            change["$unset"] = dict.fromkeys(removed, "")
        return await self._rows.change({"_id": self._key, "fence": claim.fence}, change)


def format_hour(at: datetime) -> str:
    """Return the hour of a time as a field's name. Names sort like the hours."""
    return at.strftime(_HOUR)


def parse_hour(name: str) -> datetime:
    """Return the hour that a field's name stands for."""
    return datetime.strptime(name, _HOUR)


def read_hours(row: Values, table: str) -> dict[datetime, dict[str, int]]:
    """Return the counts of a table by hour and operation, as far as they can be read."""
    found: dict[datetime, dict[str, int]] = {}
    for name in row.tables(table):
        with suppress(ValueError):  # no name of an hour
            found[parse_hour(name)] = row.part(table).counts(name)
    return found


def _parse_catch_up(row: Row) -> CatchUp | None:
    due = row.get("catch_up")
    return None if due is None else CatchUp(due["reason"], due["since"], due["after_pass"])
