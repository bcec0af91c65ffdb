"""The phases of a migration, and what each means: one row of a routing table."""

from __future__ import annotations

import enum

from attrs import frozen


class Phase(enum.StrEnum):
    """Where a migration stands. Processes may be in the same phase or in two adjacent ones."""

    #: Reads and writes go to V1 alone; V2 holds nothing. Way back: none needed.
    V1_ONLY = "v1_only"
    #: Writes announce themselves in V2 before they touch V1; V2 is not read. Way back: to `V1_ONLY`.
    PREPARE = "prepare"
    #: V1 answers; V2 is filled and compared beside it. Way back: to `PREPARE`.
    SHADOW = "shadow"
    #: V2 answers first, filled lazily from V1, which stays the source of truth. Way back: to `SHADOW`.
    COEXIST = "coexist"
    #: V2 answers and lists; V1 is kept exact, ready for the fallback. Way back: to `COEXIST`.
    V2_PRIMARY = "v2_primary"
    #: V2 alone. The point of no return: there is no way back.
    V2_ONLY = "v2_only"


class Source(enum.Enum):
    """Who answers a read or a listing."""

    V1 = enum.auto()
    V1_THEN_COMPARE = enum.auto()
    V2_FIRST = enum.auto()
    V1_IDS_V2_BODIES = enum.auto()
    V2 = enum.auto()


class Target(enum.Enum):
    """Whom a write reaches."""

    V1 = enum.auto()
    ANNOUNCED_V1 = enum.auto()
    BOTH = enum.auto()
    V2 = enum.auto()


@frozen
class Route:
    """One phase's row: who answers reads, whom writes reach, who answers listings."""

    reads: Source
    writes: Target
    lists: Source


ROUTES: dict[Phase, Route] = {
    Phase.V1_ONLY: Route(Source.V1, Target.V1, Source.V1),
    Phase.PREPARE: Route(Source.V1, Target.ANNOUNCED_V1, Source.V1),
    Phase.SHADOW: Route(Source.V1_THEN_COMPARE, Target.BOTH, Source.V1),
    Phase.COEXIST: Route(Source.V2_FIRST, Target.BOTH, Source.V1_IDS_V2_BODIES),
    Phase.V2_PRIMARY: Route(Source.V2_FIRST, Target.BOTH, Source.V2),
    Phase.V2_ONLY: Route(Source.V2, Target.V2, Source.V2),
}

#: The phases that this release can run.
RUNNABLE = frozenset({Phase.V1_ONLY, Phase.COEXIST})
