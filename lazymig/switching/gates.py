"""Which gates each step has to pass. A step that is not here has none, and cannot be made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from lazymig.errors import ConfigurationError
from lazymig.phases import Phase
from lazymig.switching.case import AnyCase
from lazymig.switching.contents import (
    dead_letters,
    indexes,
    last_outside_writes,
    open_writes,
    outside_writes,
    remaining,
    waiting,
)
from lazymig.switching.plan import Gate, accept
from lazymig.switching.proofs import mismatches, soak, suspect, verification
from lazymig.switching.sealed import can_be_sealed
from lazymig.switching.standing import cohorts, collections, fleet, options, releases, tools

Check = Callable[[AnyCase], Awaitable[Gate]]

#: What processes check by themselves in the phase after the step: better seen before.
_ABLE: tuple[Check, ...] = (fleet, collections, options)
#: V2 holds everything, and has done so for a while.
_COMPLETE: tuple[Check, ...] = (
    releases, verification, soak, mismatches, remaining, open_writes, dead_letters, waiting, indexes,
)  # fmt: skip

GATES: dict[tuple[Phase, Phase], tuple[Check, ...]] = {
    (Phase.V1_ONLY, Phase.PREPARE): _ABLE,
    (Phase.PREPARE, Phase.SHADOW): _ABLE,
    (Phase.SHADOW, Phase.COEXIST): (*_ABLE, suspect),
    (Phase.COEXIST, Phase.V2_PRIMARY): (*_ABLE, cohorts, *_COMPLETE, outside_writes),
    (Phase.V2_PRIMARY, Phase.V2_ONLY): (*_ABLE, *_COMPLETE, last_outside_writes, tools, can_be_sealed),
    # V1 is exact below V2_ONLY, so the way back needs nothing but a fleet that follows.
    (Phase.V2_PRIMARY, Phase.COEXIST): (fleet,),
    (Phase.COEXIST, Phase.SHADOW): (fleet,),
    (Phase.SHADOW, Phase.PREPARE): (fleet,),
    (Phase.PREPARE, Phase.V1_ONLY): (fleet,),
}
#: What may be accepted: time, speed, and what cannot be checked and a person can vouch for. Nothing stored is lost:
#: entities that wait stay in V1.
ACCEPTABLE = frozenset({"soak", "indexes", "outside-writes", "seal", "waiting"})


def check_accepted(names: Iterable[str]) -> frozenset[str]:
    """Return the gates that a person accepts. Raises `ConfigurationError` for one that nobody may accept."""
    accepted = frozenset(names)
    if wrong := sorted(accepted - ACCEPTABLE):
        able = ", ".join(sorted(ACCEPTABLE))
        raise ConfigurationError(f"accept: {', '.join(wrong)} cannot be accepted; only {able} can, where it is not met")
    return accepted


async def judge(case: AnyCase, accepted: frozenset[str]) -> tuple[Gate, ...]:
    """Check every gate of this step, one after the other. Driver errors pass through."""
    return await judge_by(case, GATES[(case.standing.phase, case.to)], accepted)


async def judge_by(case: AnyCase, checks: Sequence[Check], accepted: frozenset[str]) -> tuple[Gate, ...]:
    """Make these checks, one after the other, but for what is kept of an earlier look."""
    known = case.kept or (None,) * len(checks)
    return tuple([one or accept(await check(case), accepted) for check, one in zip(checks, known, strict=True)])
