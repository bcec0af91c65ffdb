"""Whether V2 can hold every entity: a coarse look, for phases in which an entity that V2 lacks does not exist."""

from __future__ import annotations

from lazymig.stores.probes import Probe
from lazymig.surroundings.looking import attempt

#: V2 may have this share of V1's documents less: counts are not taken at one moment, and a few dead letters may be
#: waived. What is missing one by one, only a verification finds.
_TOLERANCE = 0.01


async def find_incomplete(v1: Probe, v2: Probe, unseen: list[str]) -> list[str]:
    """Return what is wrong where V2 holds far fewer documents than V1; empty where it does not.

    The server's estimates cost nothing. Only if they say so, both are counted.
    """
    what = "whether V2 holds every entity: the counts of v1 and v2"
    for exactly in (False, True):
        held, there = await attempt(_count(v1, v2, exactly), (0, 0), unseen, what)
        if there >= held * (1 - _TOLERANCE):
            return []
    return [
        f"v2 {v2.name} holds {there} documents and v1 {v1.name} {held}, but in this phase an entity that V2 lacks does "
        "not exist; stay in Phase.COEXIST until a sweep has moved every entity"
    ]


async def _count(v1: Probe, v2: Probe, exactly: bool) -> tuple[int, int]:
    # V1 first: what is inserted meanwhile is then counted in V2.
    return await v1.count(exactly=exactly), await v2.count(exactly=exactly)
