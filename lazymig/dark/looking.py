"""Looking at an entity until both sides were seen at one revision. It only reads."""

from __future__ import annotations

from typing import TypeVar

from lazymig.comparing.comparer import Comparer
from lazymig.dark.contests import Contest, Look, Outcome, TwoSides
from lazymig.loop.clock import Clock
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: The waits, in seconds, before the looks that follow the first.
WAITS_S = (0.05, 0.2)


async def compare_once(pair: Pair[V1, V2], comparer: Comparer[V1, V2], id: RawId, *, expects_all: bool = False) -> Look:
    """Compare both sides of one entity as they are now, as a dark read does. Nothing is written.

    Driver errors pass through, and what the comparer's checks raise.
    """
    contest = TwoSides(pair, comparer, expects_all=expects_all)
    return await look_until_settled(contest, pair.clock, id, await contest.judge(id, await contest.read(id)))


async def look_until_settled(contest: Contest, clock: Clock, id: RawId, first: Look) -> Look:
    """Look again while both sides move, and once more at each difference; return the last look.

    A difference counts when the next look sees the same documents. By then V2 was read after V1: had a write been in
    flight, V2 would hold its announcement now, and would not be clean.
    """
    look = first
    for wait_s in WAITS_S:
        if look.outcome in (Outcome.MATCHED, Outcome.MISSING):
            return look
        await clock.sleep(wait_s)
        before, look = look, await contest.judge(id, await contest.read(id))
        if look.outcome is Outcome.DIFFERS and look.signature == before.signature:
            return look
    return look if look.outcome in (Outcome.MATCHED, Outcome.MISSING) else Look(Outcome.MOVED)
