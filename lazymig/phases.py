"""The phases of a migration. The routes (`lazymig/routes/`) define what each does."""

from __future__ import annotations

import enum


class Phase(enum.StrEnum):
    """Where a migration stands.

    This release runs `V1_ONLY` and `COEXIST`, and refuses the other four. Processes in `V1_ONLY` and processes in
    `COEXIST` must not run at the same time. With all six phases, processes may be in the same phase or in two adjacent
    ones.
    """

    #: Reads and writes go to V1 alone; V2 is neither read nor written. Way back: none needed.
    V1_ONLY = "v1_only"
    #: Not in this release. Writes announce themselves in V2 before V1 changes; V2 is not read. Way back: to `V1_ONLY`.
    PREPARE = "prepare"
    #: Not in this release. V1 answers; V2 is filled and compared in parallel. Way back: to `PREPARE`.
    SHADOW = "shadow"
    #: V2 answers first, filled lazily from V1, which stays the source of truth. Way back: to `V1_ONLY`, with a stop
    #: between them; once it is there, to `SHADOW`.
    COEXIST = "coexist"
    #: Not in this release. V2 answers and lists; V1 is kept exact, ready for the fallback. Way back: to `COEXIST`.
    V2_PRIMARY = "v2_primary"
    #: Not in this release. Reads and writes go to V2 alone. There is no way back.
    V2_ONLY = "v2_only"
