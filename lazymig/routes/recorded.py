"""A process with a fixed phase beside a fleet that follows a record: it refuses to work too far away from that."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import PyMongoError

from lazymig.control import Control, Standing, parts_of
from lazymig.errors import PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.phases import Phase

#: Seconds that the look may take. Where it fails, the user's own care must do, as without a control collection.
_LOOK_S = 2.0
#: What the rule is, without and with a seal.
_BESIDE = {
    False: "only adjacent phases may run beside each other",
    True: "only adjacent phases may run beside each other, and none beside v2_only",
}


async def check_recorded(
    control: Control, migration: str, phase: Phase, ladder: Sequence[Phase] = tuple(Phase), *, sealed: bool = True
) -> Standing | None:
    """Return what is recorded, as far as it can be seen. Raises `PhaseError` where it may not run beside this phase.

    `ladder` are the phases of the layout in their order. `sealed`: none may run beside `V2_ONLY`.
    """
    try:
        async with Deadline(_LOOK_S):
            standing = await parts_of(control).phases(migration).find()
    except PyMongoError:
        return None  # unreachable, or this user may not read it
    if standing is None:
        return None
    if not _may_run_beside(phase, standing.phase, ladder, sealed=sealed):
        raise PhaseError(
            f"this process runs in {phase}, and {migration} is in {standing.phase} since {standing.last.at:%Y-%m-%d} "
            f"(by {standing.last.by}): {_BESIDE[sealed]}. Pass "
            "phase=lazymig.Control(...), so that the process follows the record"
        )
    return standing


def _may_run_beside(one: Phase, other: Phase, ladder: Sequence[Phase], *, sealed: bool) -> bool:
    # In v2_only writes are ordered by V2 alone, and before it by V1: without the seal between them, the one overwrites
    # what the other has acknowledged.
    if sealed and Phase.V2_ONLY in (one, other):
        return one is other
    return other in ladder and abs(ladder.index(one) - ladder.index(other)) <= 1
