"""Which gates each step has to pass where one document carries both shapes. A step that is not here has none."""

from __future__ import annotations

from functools import partial

from lazymig.phases import Phase
from lazymig.switching.case import AnyCase
from lazymig.switching.contents import dead_letters
from lazymig.switching.gates import Check, judge_by
from lazymig.switching.in_place.contents import indexes, remaining, waiting
from lazymig.switching.in_place.outsiders import outside_writes
from lazymig.switching.plan import Gate
from lazymig.switching.proofs import mismatches, soak, verification
from lazymig.switching.standing import cohorts, collections, fleet, options, releases, tools

#: The watch on V1's fields goes on through the step.
_WATCH = "watch"
_ABLE: tuple[Check, ...] = (fleet, collections, options)
#: V2 parts are there, and have been right for a while.
_COMPLETE: tuple[Check, ...] = (releases, verification, soak, mismatches, remaining, dead_letters, waiting, indexes)

GATES: dict[tuple[Phase, Phase], tuple[Check, ...]] = {
    (Phase.V1_ONLY, Phase.SHADOW): _ABLE,
    (Phase.SHADOW, Phase.COEXIST): _ABLE,
    # Other programs may go on writing: a fingerprint shows each such change to every reader.
    (Phase.COEXIST, Phase.V2_PRIMARY): (*_ABLE, cohorts, *_COMPLETE),
    (Phase.V2_PRIMARY, Phase.V2_ONLY): (*_ABLE, *_COMPLETE, outside_writes, partial(tools, but=_WATCH)),
    (Phase.V2_PRIMARY, Phase.COEXIST): (fleet,),
    (Phase.COEXIST, Phase.SHADOW): (fleet,),
    (Phase.SHADOW, Phase.V1_ONLY): (fleet,),
}


async def judge(case: AnyCase, accepted: frozenset[str]) -> tuple[Gate, ...]:
    """Check every gate of this step, one after the other. Driver errors pass through."""
    return await judge_by(case, GATES[(case.standing.phase, case.to)], accepted)
