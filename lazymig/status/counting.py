"""Counting what the collections hold, for `lazymig status`: quickly each time, and by samples now and then."""

from __future__ import annotations

from typing import TypeVar

from attrs import frozen

from lazymig.measuring.held import Held
from lazymig.measuring.holdings import MovedBy, count_by_conversion, count_moved_by
from lazymig.measuring.in_place import Measure, Stale
from lazymig.routes.calls import Calls
from lazymig.stores.counts import Counts
from lazymig.sweeping.versions import Versions, count_versions

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Sampled:
    """What only documents show: what moved them, by which conversion, and which V2 parts are behind V1's."""

    moved_by: MovedBy
    conversions: dict[int, int]
    versions: Versions | None
    stale: Stale | None = None


async def look_up_sampled(calls: Calls[V1, V2], held: Held, *, exact: bool) -> Sampled:
    """Count what costs the servers more."""
    if calls.place is not None and held.place is not None:
        stale = await Measure(calls.place).find_stale(held.place)
        versions = await _count_versions(calls, Counts(calls.place.store), exact=exact)
        return Sampled(held.place.moved_by, held.place.conversions, versions, stale)
    v2, live = Counts(calls.pair.bodies), held.v2.live
    return Sampled(
        await count_moved_by(v2, live, exact=exact), await count_by_conversion(v2, live, exact=exact),
        await _count_versions(calls, Counts(calls.pair.v1), exact=exact),
    )  # fmt: skip


async def _count_versions(calls: Calls[V1, V2], v1: Counts, *, exact: bool) -> Versions | None:
    chain = calls.migration.upcasters
    return None if chain is None else await count_versions(v1, chain, exact=exact)
