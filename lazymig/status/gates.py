"""The next step's conditions at each look: those are judged again that rest on something that has changed.

To judge all of them costs the servers more, so that is done now and then. But a look reads most of what they rest on
anyway, and a condition that was met some seconds ago must not be shown as met once the look has seen otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import attrs
from attrs import evolve, frozen
from pymongo.errors import OperationFailure

from lazymig.control import Followed, MemberRecord, RunRecord, Standing
from lazymig.measuring.held import Held
from lazymig.measuring.holdings import SMALL
from lazymig.repository import Repository, calls_of
from lazymig.switch import Gate, Plan, Switch, mover_of
from lazymig.switching.case import Demands

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: How many entities V2 may lack by the numbers of a large collection, which are not exact, and the part of it.
_SOME, _PART = 100, 1000
_AGAIN: Final = "what it rests on has changed since it was checked; it is checked again soon"


@frozen(kw_only=True)
class Facts:
    """What conditions rest on, as far as each look reads it. While it is the same, they are as they were judged.

    Attributes:
        members: The processes: names, roles, epochs and conversion revisions.
        warnings: What is wrong with this release.
        letters: Open dead letters. A waiver makes one fewer, and its end one more.
        verified: The last run of a verification.
        mismatches: What does not agree, by verdicts and by dark reads.
        lacking: How many entities V2 lacks, and open dead letters; of a large collection whether the first are so many
            that no estimate is that wrong, and whether there are any of the others.
        waiting: Whether entities wait for their users.
        dirty: Entities with an open write. While there are any, they grow older, which nothing here shows.
        follower: Whether it runs, what it may have missed, and how many changes it has seen that nobody announced.
        running: The processes that run passes.
    """

    members: tuple[tuple[str, str, int, int], ...]
    warnings: tuple[str, ...]
    letters: int
    verified: RunRecord | None
    mismatches: Mapping[str, int]
    lacking: tuple[int, int]
    waiting: bool
    dirty: int
    follower: tuple[bool, str | None, int]
    running: tuple[tuple[str, str], ...]

    def without(self, gates: frozenset[str], before: Facts | None) -> Facts:
        """Return these facts, and the former ones for what these conditions rest on: they were not judged again."""
        names = set().union(*(RESTS_ON[gate] for gate in gates))
        return self if before is None else evolve(self, **{name: getattr(before, name) for name in names})


#: What each condition rests on, of these. Conditions that are not here rest on the record of the phase, whose changes
#: have all of them judged, or on what only samples and checks of the collections show. What a costly one rests on is
#: its own, since it stays as it was until that one is judged again.
RESTS_ON: Final[Mapping[str, frozenset[str]]] = {
    "fleet": frozenset({"members"}),
    "releases": frozenset({"members", "warnings"}),
    "suspect": frozenset({"verified", "letters"}),
    "verification": frozenset({"verified", "letters"}),
    "soak": frozenset({"verified", "letters"}),
    "mismatches": frozenset({"mismatches", "letters"}),
    "remaining": frozenset({"lacking"}),
    "open-writes": frozenset({"dirty"}),
    "dead-letters": frozenset({"letters"}),
    "waiting": frozenset({"waiting"}),
    "outside-writes": frozenset({"follower", "verified"}),
    "tools": frozenset({"running", "members", "follower"}),
}


def find_lacking(held: Held, letters: int) -> tuple[int, int]:
    """Return what `Facts.lacking` says of these numbers."""
    remaining = held.v2.remaining(held.v1)
    if held.v1 <= SMALL:
        return remaining, letters
    return int(remaining > max(_SOME, held.v1 // _PART)), int(letters > 0)


def describe_members(members: tuple[MemberRecord, ...]) -> tuple[tuple[str, str, int, int], ...]:
    """Return what `Facts.members` says of these processes; their heartbeats are no news."""
    return tuple((one.name, one.role, one.epoch, one.revision) for one in members)


def describe_following(found: Followed | None) -> tuple[bool, str | None, int]:
    """Return what `Facts.follower` says of a follower."""
    if found is None:
        return False, None, 0
    return found.running, found.catching_up, sum(sum(counts.values()) for counts in found.rogue_by_hour.values())


async def look_up_plan(repository: Repository[V1, V2], standing: Standing | None, demands: Demands) -> Plan | None:
    """Judge all conditions of the next step; None where there is none, or this user may not look at all of it."""
    if standing is None or calls_of(repository).control is None:
        return None
    try:
        plan = await _open(repository, demands).plan("advance")
    except OperationFailure:
        return None
    return None if plan.target is None else plan


def find_costly(held: Held) -> frozenset[str]:
    """Return the conditions that count documents one by one, where there are many: they cannot be judged in a look."""
    if held.v1 <= SMALL:
        return frozenset()
    return frozenset({"remaining"} if held.place is None else {"waiting", "remaining"})


def find_changed(plan: Plan, before: Facts, now: Facts) -> frozenset[str]:
    """Return the conditions of a plan that rest on something that has changed."""
    changed = {one.name for one in attrs.fields(Facts) if getattr(before, one.name) != getattr(now, one.name)}
    changed |= {"dirty"} if now.dirty else set()
    return frozenset(gate.name for gate in plan.gates if RESTS_ON.get(gate.name, frozenset()) & changed)


async def judge_again(
    repository: Repository[V1, V2], plan: Plan, standing: Standing, names: frozenset[str], demands: Demands
) -> Plan | None:
    """Judge these conditions of a plan again; None where this user may not look at what they need."""
    try:
        return await mover_of(_open(repository, demands)).judge_again(plan, standing, names)
    except OperationFailure:
        return None


def doubt(plan: Plan, names: frozenset[str]) -> Plan:
    """Return the plan with these conditions as unknown: neither what met them nor what closed them stands any more."""
    return evolve(plan, gates=tuple(_doubt(gate) if gate.name in names else gate for gate in plan.gates))


def _doubt(gate: Gate) -> Gate:
    return evolve(gate, state="unknown", evidence=_AGAIN, remedy="wait a moment")


def _open(repository: Repository[V1, V2], demands: Demands) -> Switch[V1, V2]:
    return Switch(repository, soak_s=demands.soak_s, max_age_s=demands.max_age_s)
