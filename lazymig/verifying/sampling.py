"""Drawing ids uniformly at random from a collection."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TypeVar

from lazymig.loop.clock import Clock
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId
from lazymig.stores.raw import decode_for_id
from lazymig.stores.records import Document
from lazymig.stores.scans import Scan

T = TypeVar("T")

#: How many standard deviations more than wanted are drawn, so that a second draw is rarely needed.
_DEVIATIONS = 6


async def draw_ids(scan: Scan, wanted: int, population: int, clock: Clock, where: Document) -> list[RawId]:
    """Draw this many ids, or all if there are fewer. Every set of ids is equally likely."""
    if not scan.is_raw:
        found = [raw_id(decode_for_id(document)["_id"]) for document in await scan.find_ids(where)]
        return _choose(found, wanted, clock)
    share = (wanted + _DEVIATIONS * sqrt(wanted) + _DEVIATIONS) / max(population, 1)
    while True:
        ids = await scan.find_random_ids(min(share, 1.0), where)
        if len(ids) >= wanted or share >= 1:
            return _choose(ids, wanted, clock)
        share *= 2  # the population was overestimated


def _choose(ids: Sequence[T], wanted: int, clock: Clock) -> list[T]:
    """Choose so many, each set with the same probability, and keep their order."""
    places = list(range(len(ids)))
    for place in range(min(wanted, len(ids))):
        other = place + int(clock.random() * (len(ids) - place))
        places[place], places[other] = places[other], places[place]
    return [ids[place] for place in sorted(places[:wanted])]
