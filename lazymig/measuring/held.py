"""Counting what the collections hold, in both layouts."""

from __future__ import annotations

from typing import TypeVar

from attrs import frozen

from lazymig.measuring.holdings import Holdings, estimate_holdings, look_up_holdings
from lazymig.measuring.in_place import Measure, PlaceHoldings
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.stores.counts import Counts

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Held:
    """How many entities V1 has, and what V2 holds of them; `place` says more where one document carries both shapes.

    `estimated`: what V2 holds was counted in a sample.
    """

    v1: int
    v2: Holdings
    place: PlaceHoldings | None = None
    estimated: bool = False


async def look_up_held(
    ground: Pair[V1, V2] | Place[V1, V2], *, exact: bool = False, within_ms: int | None = None
) -> Held:
    """Count what the collections hold; without `exact`, by estimates where there is much.

    The server ends each statement after `within_ms` milliseconds, if that is bounded.
    """
    if isinstance(ground, Place):
        found = await Measure(ground, within_ms=within_ms).look(exact=exact)
        return Held(found.documents, found.as_of_two, found, found.estimated)
    held = await look_up_holdings(Counts(ground.bodies, within_ms), exact=exact)
    return Held(await Counts(ground.v1, within_ms).count_all(exact=exact), held)


async def estimate_held(pair: Pair[V1, V2], *, within_ms: int) -> Held:
    """Estimate what two collections hold, by numbers that servers keep and a sample of V2."""
    held = await estimate_holdings(Counts(pair.bodies, within_ms))
    return Held(await Counts(pair.v1, within_ms).count_all(), held, estimated=True)
