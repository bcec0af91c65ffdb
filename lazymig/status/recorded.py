"""What the control collection records of a migration's fleet, passes and comparisons, as `lazymig status` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from lazymig.control import Control, MemberRecord, Running, RunRecord, Standing, Steering, parts_of
from lazymig.dark.contests import SOURCE as DARK_READ

#: The kinds of passes that can be steered.
STEERED = ("sweep", "verify", "rewrite")


@frozen
class Verified:
    """What the last verification and live reads found that still stands.

    Attributes:
        last: The last run of a verification, None if there was none.
        mismatches: Entities that do not agree, by their verdicts. Only those that have stood for the minimum age count.
        oldest: When the oldest of these was first found.
    """

    last: RunRecord | None
    mismatches: Mapping[str, int]
    oldest: datetime | None


@frozen
class DarkLog:
    """The log of dark reads: how many entities it holds, and when the oldest was first found not to agree."""

    mismatches: int
    oldest: datetime | None


@frozen
class Fleet:
    """Where the control collection records the migration, and the processes that follow it; empty without a record."""

    standing: Standing | None = None
    members: tuple[MemberRecord, ...] = ()

    @property
    def behind(self) -> tuple[MemberRecord, ...]:
        """The processes that have not acknowledged the present epoch."""
        epoch = 0 if self.standing is None else self.standing.epoch
        return tuple(member for member in self.members if member.epoch != epoch)


@frozen
class Passes:
    """The processes that run passes now, and the orders to them by kind, where there are any."""

    running: tuple[Running, ...] = ()
    orders: Mapping[str, Steering] = field(factory=dict)


#: Where no phase is recorded, and where nothing runs.
NO_FLEET, NO_PASSES = Fleet(), Passes()


async def look_up_fleet(control: Control, name: str) -> Fleet:
    """Find the record of the phase, and the processes."""
    parts = parts_of(control)
    return Fleet(await parts.phases(name).find(), tuple(await parts.members(name).find_all()))


async def look_up_passes(control: Control, name: str) -> Passes:
    """Find the running passes, and the orders to them."""
    parts = parts_of(control)
    orders = await parts.find_orders(name, STEERED)
    given = {kind: found for kind, found in orders.items() if found != Steering()}
    return Passes(tuple(await parts.runners(name).find_all()), given)


async def look_up_verified(control: Control, name: str) -> Verified:
    """Find the last verification, and what stands that does not agree."""
    table = parts_of(control).mismatches
    counts = await table.count_by_verdict(name, confirmed=True)
    runs = await control.history(name, 1, kind="verify")
    oldest = None
    async for page in table.find_pages(name, confirmed=True, size=1):
        oldest = page[0].first_at if page else None
        break
    return Verified(runs[0] if runs else None, {str(verdict): count for verdict, count in counts.items()}, oldest)


async def look_up_dark(control: Control, name: str) -> DarkLog:
    """Find what the log of dark reads holds."""
    log = parts_of(control).mismatches
    async for page in log.find_pages(name, source=DARK_READ, size=1):
        return DarkLog(await log.count(name, source=DARK_READ), page[0].first_at if page else None)
    return DarkLog(0, None)
