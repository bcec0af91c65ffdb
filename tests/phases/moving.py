"""Moves of a fleet as the operator makes them."""

from __future__ import annotations

from lazymig import Control, Phase
from lazymig.control import MemberRecord, parts_of
from lazymig.loop.clock import SYSTEM_CLOCK


async def move(control: Control, name: str, to: Phase, *, why: str = "the walk") -> None:
    """Move the fleet once all live processes work by the present record, and wait until they work by the new one."""
    phases = parts_of(control).phases(name)
    standing = await phases.find()
    assert standing is not None
    await _settle(control, name, standing.epoch)
    moved = await phases.move(standing, to, by="the walk", why=why)
    assert moved is not None
    await _settle(control, name, moved.epoch)


async def _settle(control: Control, name: str, epoch: int) -> None:
    members = parts_of(control).members(name)
    seen: dict[str, tuple[int, float]] = {}
    while behind := [member for member in await members.find_all() if member.epoch != epoch]:
        for member in behind:
            if _is_dead(member, seen):
                await members.remove(member)
        await SYSTEM_CLOCK.sleep(0.05)


def _is_dead(member: MemberRecord, seen: dict[str, tuple[int, float]]) -> bool:
    now_s = SYSTEM_CLOCK.monotonic()
    beat, since_s = seen.setdefault(member.key, (member.beat, now_s))
    if beat != member.beat:
        seen[member.key] = member.beat, now_s
        return False
    return now_s - since_s > member.lease_s + 1
