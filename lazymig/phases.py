"""The phases of a migration. The routes (`lazymig/routes/`) define what each does."""

from __future__ import annotations

import enum


class Phase(enum.StrEnum):
    """Where a migration stands.

    Processes may run side by side in the same phase or in two adjacent ones. With `phase=Control(...)` all processes
    follow one record, and `Switch` and `lazymig phase` see to that. With a fixed phase nothing but you does: then stop
    all processes in `V2_PRIMARY` before the first goes to `V2_ONLY`.
    """

    #: Reads and writes go to V1 alone; V2 is neither read nor written. Way back: none needed.
    V1_ONLY = "v1_only"
    #: V1 answers. Writes announce themselves in V2 before V1 changes, so that V2 can be filled once no process is in
    #: `V1_ONLY` any more; nothing else is put into V2. Way back: to `V1_ONLY`.
    PREPARE = "prepare"
    #: V1 answers; V2 is filled by reads, writes and sweeps, and can be compared. Way back: to `PREPARE`.
    SHADOW = "shadow"
    #: V2 answers first, filled lazily from V1, which stays the source of truth. Way back: to `SHADOW`.
    COEXIST = "coexist"
    #: V2 answers, lists and counts, by its own fields; it must hold every entity. V1 is kept exact. A write is
    #: acknowledged once both have it. Way back: to `COEXIST`.
    V2_PRIMARY = "v2_primary"
    #: Reads and writes go to V2 alone; V1 grows stale. There is no way back.
    V2_ONLY = "v2_only"


_UNFILLED = {
    Phase.V1_ONLY: "In the phase v1_only V2 is not used; go through prepare to shadow first",
    Phase.PREPARE: "In the phase prepare V2 must stay empty, because processes in v1_only may write V1 without "
    "announcing it; go to shadow first, once no process is in v1_only",
    Phase.V2_ONLY: "In the phase v2_only V1 is stale, and would overwrite what V2 alone holds; lazymig retire takes V1 "
    "out of service",
}


def explain_unfilled(phase: Phase) -> str:
    """Return why nothing may be moved from V1 to V2 in a phase."""
    return _UNFILLED.get(phase, f"The phase {phase} does not do that")
