"""The panel of the fleet: the processes that follow the phase's record."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from lazymig.control import MemberRecord
from lazymig.status.looking import Status
from lazymig.status.recorded import Fleet
from lazymig.status.words import describe_age, describe_members
from lazymig.web.snapshot import Snapshot
from lazymig.web.view.parts import Table, make_table

#: Processes that are shown. Their heartbeats change all the time, and each page that is open gets all of them then.
_SHOWN: Final = 50


@frozen
class FleetView:
    """The panel's text."""

    sentences: tuple[str, ...]
    good: bool
    members: Table | None


def view_fleet(snapshot: Snapshot) -> FleetView:
    """Return what the panel of the fleet shows."""
    found = snapshot.status
    sentences = tuple(describe_members(found.fleet, found.at)) or (
        "No phase is recorded: each process has the phase that it was made with.",
    )
    return FleetView(sentences, _is_good(found.fleet), _table_members(found))


def _is_good(fleet: Fleet) -> bool:
    return not fleet.behind and (fleet.standing is None or fleet.standing.hold is None)


def _table_members(found: Status) -> Table | None:
    behind = {member.key for member in found.fleet.behind}
    members = list(found.fleet.members)
    if len(members) > _SHOWN:
        members.sort(key=lambda one: one.key not in behind and not _is_over(found, one))
    rows = [_make_row(found, one, is_behind=one.key in behind) for one in members[:_SHOWN]]
    columns = "~name | role | release | #revision | #acknowledged | heartbeat | #lease s | ~state"
    of = f"{len(rows):,}" if len(rows) == len(members) else f"{len(rows):,} of {len(members):,}, what is late first"
    return make_table(f"Processes ({of})", columns, rows)


def _is_over(found: Status, one: MemberRecord) -> bool:
    return (found.at - one.seen_at).total_seconds() > one.lease_s


def _make_row(found: Status, one: MemberRecord, *, is_behind: bool) -> tuple[str, ...]:
    states = [*(["behind"] if is_behind else []), *(["lease is over"] if _is_over(found, one) else [])]
    epoch = 0 if found.fleet.standing is None else found.fleet.standing.epoch
    return (
        one.name, one.role, one.release, f"{one.revision:,}", f"{one.epoch:,} of {epoch:,}",
        describe_age(one.seen_at, found.at), f"{one.lease_s:,.0f}", ", ".join(states) or "ok",
    )  # fmt: skip
