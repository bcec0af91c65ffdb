"""The next step of a migration, and what still blocks it, by what `lazymig status` has looked up."""

from __future__ import annotations

from attrs import frozen

from lazymig.phases import Phase
from lazymig.status.looking import Status


@frozen
class NextStep:
    """What comes next, and what stands in its way; all in words."""

    what: str
    blocked_by: tuple[str, ...] = ()


def find_next_step(found: Status) -> NextStep | None:
    """Return the next step; None where nothing is left to do."""
    if found.upcasting_only:
        return None
    if found.phase == Phase.V2_ONLY:
        return NextStep(describe_retirement(found.retirement)) if found.retirement else None
    if found.plan is not None:
        gates = tuple(f"{gate.name}: {gate.evidence} ({gate.remedy})" for gate in found.plan.blocking)
        return NextStep(f"lazymig phase advance, to {found.plan.target}", gates)
    phases = [phase for phase in Phase if phase is not Phase.PREPARE or found.place is None]
    after = phases[phases.index(Phase(found.phase)) + 1]
    return NextStep(f"the phase {after}", _find_blocks(found, after))


def describe_retirement(step: str) -> str:
    """Return what to do about V1 once V2 is the only truth, by the next step of V1's end."""
    return f"lazymig retire show, then lazymig retire {step}, to take V1 out of service for good"


def _find_blocks(found: Status, after: Phase) -> tuple[str, ...]:
    """Return what the counts show to be missing. They say less than the gates of the step itself."""
    if after not in {Phase.V2_PRIMARY, Phase.V2_ONLY}:
        return ()
    counts = {
        "remaining": found.remaining, "dirty": found.v2.dirty, "dead letters": found.dead_letters,
        "mismatches": sum(found.verified.mismatches.values()),
    }  # fmt: skip
    blocks = [f"{name} {count:,}" for name, count in counts.items() if count]
    last = found.verified.last
    if last is None or not last.finished or last.counts.get("sample") or last.counts.get("filtered"):
        blocks.append("no full verification that finished")
    return tuple(blocks)
