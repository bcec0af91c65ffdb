"""A process with a fixed phase beside a fleet that follows a record: it refuses to work too far away from that."""

from __future__ import annotations

from pymongo.errors import PyMongoError

from lazymig.control import Control, parts_of
from lazymig.errors import PhaseError
from lazymig.loop.deadline import Deadline
from lazymig.phases import Phase

#: Seconds that the look may take. Where it fails, the user's own care must do, as without a control collection.
_LOOK_S = 2.0


async def check_recorded(control: Control, migration: str, phase: Phase) -> None:
    """Raise `PhaseError` where the recorded phase may not run beside this one."""
    try:
        async with Deadline(_LOOK_S):
            standing = await parts_of(control).phases(migration).find()
    except PyMongoError:
        return  # unreachable, or this user may not read it
    if standing is None:
        return
    if not _may_run_beside(phase, standing.phase):
        raise PhaseError(
            f"this process runs in {phase}, and {migration} is in {standing.phase} since {standing.last.at:%Y-%m-%d} "
            f"(by {standing.last.by}): only adjacent phases may run beside each other, and none beside v2_only. Pass "
            "phase=lazymig.Control(...), so that the process follows the record"
        )


def _may_run_beside(one: Phase, other: Phase) -> bool:
    # In v2_only writes are ordered by V2 alone, and before it by V1: without the seal between them, the one overwrites
    # what the other has acknowledged.
    if Phase.V2_ONLY in (one, other):
        return one is other
    ladder = list(Phase)
    return abs(ladder.index(one) - ladder.index(other)) <= 1
