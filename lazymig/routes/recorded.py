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
    ladder = list(Phase)
    if abs(ladder.index(standing.phase) - ladder.index(phase)) > 1:
        raise PhaseError(
            f"this process runs in {phase}, and {migration} is in {standing.phase} since {standing.last.at:%Y-%m-%d} "
            f"(by {standing.last.by}): only adjacent phases may run beside each other. Pass "
            "phase=lazymig.Control(...), so that the process follows the record"
        )
