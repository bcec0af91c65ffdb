"""What a step does and what it changes, in words."""

from __future__ import annotations

from lazymig.phases import Phase
from lazymig.stores.counts import Counts
from lazymig.switching.case import AnyCase
from lazymig.switching.plan import Direction
from lazymig.switching.sealed import find_fences

_CONSEQUENCES: dict[tuple[Phase, Phase], tuple[str, ...]] = {
    (Phase.V1_ONLY, Phase.PREPARE): ("writes announce themselves in V2 first, and fail while V2 is down",),
    (Phase.PREPARE, Phase.SHADOW): ("V2 is filled by reads, writes and sweeps; V1 answers",),
    (Phase.SHADOW, Phase.COEXIST): ("V2 answers where it can, V1 stays the truth",),
    (Phase.COEXIST, Phase.V2_PRIMARY): (
        "V2 answers, lists and counts; what it lacks does not exist for readers",
        "a write is acknowledged once V2 has it, too",
    ),
    (Phase.V2_PRIMARY, Phase.V2_ONLY): (
        "V1 is neither read nor written any more, and there is no way back",
        "sweeper, follower and verifier refuse to run",
    ),
    (Phase.V2_PRIMARY, Phase.COEXIST): ("lists and counts are V1's again, by V1's fields",),
    (Phase.COEXIST, Phase.SHADOW): (
        "V1 answers: fields that V1 cannot express are out of reach until the phase is coexist again",
    ),
    (Phase.SHADOW, Phase.PREPARE): ("V2 is no longer filled; dark reads, sweeps and verifications stop",),
    (Phase.PREPARE, Phase.V1_ONLY): ("V2 goes stale; on the way up, V1 is asked about every entity in it again",),
}


def describe_consequences(before: Phase, after: Phase) -> tuple[str, ...]:
    """Return what is different after a step."""
    return _CONSEQUENCES[(before, after)]


async def describe_steps(case: AnyCase) -> tuple[str, ...]:
    """Return what a step does, in order."""
    standing, epoch = case.standing, case.standing.epoch
    steps = []
    fences = await find_fences(case.pair, standing)
    if standing.hold is not None or fences:
        named = "".join(f", and the fence of {barrier.name}" for barrier in fences)
        steps.append(f"end the hold on writes{named}: a step that was cut off has left that, unless one is at work")
    behind = sorted(member.name for member in await case.members() if member.is_behind(epoch, epoch))
    if behind:
        steps.append(f"wait until {', '.join(behind)} has acknowledged epoch {epoch}, or its lease is over")
    if standing.phase is Phase.SHADOW and case.to is Phase.COEXIST and standing.settings.get("degrade"):
        steps.append("set phase on-outage to fail, and wait until all processes have acknowledged it")
    held = await Counts(case.pair.bodies).count_all() if standing.phase is Phase.PREPARE else 0
    if held and case.to is Phase.SHADOW:
        steps.append(f"mark the {held:,} documents that V2 holds, so that none is trusted until V1 has been asked")
    if case.to is Phase.V2_ONLY:
        steps.append("hold writes, for a second or less, and finish those that are open")
        what = "V2" if case.pair.conversions.carried.is_part else "both collections"
        steps.append(f"fence {what}, so that the server refuses a process that wakes up late")
    steps.append(f"record the phase {case.to}, for all processes")
    steps.append("wait until all processes have acknowledged it")
    return tuple(steps)


def explain_no_way(name: str, phase: Phase, direction: Direction) -> str:
    """Return why there is no step in this direction, and what to do instead."""
    if phase is Phase.V1_ONLY:
        return f"{name} is in {phase}: there is no phase before it"
    if direction == "rollback":
        return (
            f"{name} is in {phase}: V1 lacks what was written since, so no phase leads back. The way back is a "
            "migration of its own, from V2 to V1: migration.reversed(name)"
        )
    return f"{name} is in {phase}, the last phase: lazymig retire removes V1"
