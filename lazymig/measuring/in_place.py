"""Counting what documents with both shapes hold.

All documents of a small collection are counted, and a sample of a large one: no index has an entry for each V2 part,
because each write would have to keep it. Whether a V2 part is of V1's part as it stands shows in the document only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen
from pymongo.errors import ExecutionTimeout

from lazymig.measuring.holdings import SAMPLE, SMALL, Holdings, MovedBy, scaled, show_holdings
from lazymig.protocol.in_place.parts import Parts
from lazymig.protocol.in_place.place import Place
from lazymig.stores.counts import Counts
from lazymig.stores.given import Store
from lazymig.stores.keyset import Order
from lazymig.stores.records import StoredWhole
from lazymig.stores.scans import Scan
from lazymig.stores.whole_counts import WholeKind, count_kinds, count_unmoved
from lazymig.telemetry import Tally

T = TypeVar("T")
V1 = TypeVar("V1")
V2 = TypeVar("V2")

_BY_ID = Order("_id", 1)
#: Whole documents per statement.
_PAGE = 500


@frozen
class PlaceHoldings:
    """The documents of one collection by what they hold.

    Attributes:
        documents: All of them.
        filled: Those with a V2 part, whether it is of V1's part as it stands or not.
        waiting: Those that wait for their users.
        left: Those that are not taken over.
        alone: Those whose V2 part is the only truth, since they were written in `v2_only`.
        moved_by: Those with a V2 part by what stored it first.
        conversions: Those with a V2 part by the revision of the conversion that made it.
        estimated: Whether a sample was counted. What waits and what is left is counted, unless that takes too long.
    """

    documents: int
    filled: int
    waiting: int
    left: int
    alone: int
    moved_by: MovedBy
    conversions: dict[int, int] = field(factory=dict)
    estimated: bool = False

    @property
    def lacking(self) -> int:
        """About how many documents a sweep would have to give a V2 part."""
        return self.as_of_two.remaining(self.documents)

    @property
    def as_of_two(self) -> Holdings:
        """What V2 would hold if it was a collection: there are no open writes and no remains of deletes."""
        return Holdings(self.filled, 0, 0, 0, self.waiting, self.left)

    def show(self, tally: Tally) -> None:
        """Set the gauges."""
        show_holdings(tally, self.documents, self.as_of_two)


@frozen
class Stale:
    """V2 parts that were made of another V1 part than stands beside them: another program has changed V1's fields.

    Reads convert such a document again, and a sweep stores that. `estimated`: counted in a sample.
    """

    count: int
    estimated: bool


class Alike(Protocol):
    """Gives what asks about a store's collection the store's own ways, such as the patience of a pass."""

    def __call__(self, store: object, other: T) -> T: ...


def as_it_is(store: object, other: T) -> T:
    """Return what asks about the store's collection as it is."""
    return other


class Measure(Generic[V1, V2]):
    """Counts the documents of one collection. A pass gives its statements the patience of its store by `alike`.

    The server ends each statement after `within_ms` milliseconds, if that is bounded.
    """

    def __init__(self, place: Place[V1, V2], alike: Alike = as_it_is, *, within_ms: int | None = None) -> None:
        self._place = place
        self._alike = alike
        self._all = alike(place.store, Counts(place.store, within_ms))
        self._kinds = alike(place.store, _Kinds(place.store, place.conversions.migration.name, within_ms))

    async def look(self, *, exact: bool = False) -> PlaceHoldings:
        """Count all documents if they are few or with `exact`, else those of a sample."""
        total = await self._all.count_all()
        sample = SAMPLE if total > SMALL and not exact else 0
        kinds = await self._kinds.count(sample)
        if not sample:
            return _sum_up(kinds, Counter(_count_unmoved(kinds)), estimated=False)
        whole = Counter(scaled(kinds, total))
        try:
            unmoved = await self._kinds.count_unmoved()
        except ExecutionTimeout:  # only where it is bounded: the sample shows them too
            unmoved = Counter(_count_unmoved(whole))
        return _sum_up(whole, unmoved, estimated=True)

    async def find_stale(self, holdings: PlaceHoldings) -> Stale:
        """Count the V2 parts that are not of V1's part as it stands, in all documents or in a sample."""
        estimated = holdings.documents > SMALL
        seen = stale = 0
        async with aclosing(self._sample() if estimated else self._pages()) as found:
            async for some in found:
                seen += len(some)
                stale += sum(map(self._is_stale, some))
        return Stale(round(stale * holdings.documents / seen) if estimated and seen else stale, estimated)

    async def _pages(self) -> AsyncGenerator[Sequence[StoredWhole]]:
        store, after = self._place.store, None
        while page := await store.page({}, _BY_ID, _PAGE, after):
            yield list(page)
            after = page.document_at(len(page) - 1)

    async def _sample(self) -> AsyncGenerator[Sequence[StoredWhole]]:
        ids = await self._alike(self._place.store, Scan(self._place.store)).sample_ids(SAMPLE)
        for start in range(0, len(ids), _PAGE):
            yield list((await self._place.store.find_many(ids[start : start + _PAGE])).values())

    def _is_stale(self, stored: StoredWhole) -> bool:
        parts = Parts(self._place, stored)
        return stored.of is not None and not parts.alone and not parts.fits


@frozen
class _Kinds:
    """The statements about kinds, as methods: only those can be made patient."""

    store: Store
    migration: str
    within_ms: int | None

    async def count(self, sample: int) -> Counter[WholeKind]:
        return await count_kinds(self.store, self.migration, sample=sample, within_ms=self.within_ms)

    async def count_unmoved(self) -> Counter[str]:
        return await count_unmoved(self.store, self.within_ms)


def _count_unmoved(kinds: Counter[WholeKind]) -> dict[str, int]:
    return {why: sum(count for kind, count in kinds.items() if kind.unmoved == why) for why in ("waiting", "left")}


def _sum_up(kinds: Counter[WholeKind], unmoved: Counter[str], *, estimated: bool) -> PlaceHoldings:
    by: Counter[str] = Counter()
    conversions: Counter[int] = Counter()
    for kind, count in kinds.items():
        if kind.filled:
            by[kind.by or ""] += count
            conversions[kind.conv] += count
    known = {name: by[name] for name in ("read", "write", "sweep")}
    filled = sum(by.values())
    return PlaceHoldings(
        documents=sum(kinds.values()), filled=filled, waiting=unmoved["waiting"], left=unmoved["left"],
        alone=sum(count for kind, count in kinds.items() if kind.alone),
        moved_by=MovedBy(**known, unknown=filled - sum(known.values()), estimated=estimated),
        conversions=dict(sorted(conversions.items())), estimated=estimated,
    )  # fmt: skip
