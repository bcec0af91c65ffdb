"""Counting what the collections hold, in both layouts."""

from __future__ import annotations

from typing import TypeVar

from attrs import frozen

from lazymig.measuring.holdings import Holdings, look_up_holdings
from lazymig.measuring.in_place import Measure, PlaceHoldings
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.stores.counts import Counts

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Held:
    """How many entities V1 has, and what V2 holds of them; `place` says more where one document carries both shapes."""

    v1: int
    v2: Holdings
    place: PlaceHoldings | None = None


async def look_up_held(ground: Pair[V1, V2] | Place[V1, V2], *, exact: bool = False) -> Held:
    """Count what the collections hold; without `exact`, by estimates where there is much."""
    if isinstance(ground, Place):
        found = await Measure(ground).look(exact=exact)
        return Held(found.documents, found.as_of_two, found)
    held = await look_up_holdings(Counts(ground.bodies), exact=exact)
    return Held(await Counts(ground.v1).count_all(exact=exact), held)
