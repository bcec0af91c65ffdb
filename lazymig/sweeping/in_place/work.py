"""The work of a sweep on documents with both shapes.

A fingerprint cannot be indexed, so a pass reads the whole collection, in the order of `_id`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import ClassVar, Generic, TypeVar

from attrs import frozen

from lazymig.control import Identities
from lazymig.errors import ConfigurationError
from lazymig.measuring.in_place import Measure
from lazymig.metrics import SWEEP_BATCH
from lazymig.passes.shedding import as_patient_as
from lazymig.protocol.in_place.place import Place
from lazymig.stores.counts import Counts
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import raw_id
from lazymig.stores.given import RawId
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import decode_for_id
from lazymig.stores.records import Partition
from lazymig.stores.scans import Scan
from lazymig.surroundings.checking import check_apart
from lazymig.surroundings.looking import identify
from lazymig.sweeping.dead_letters import review_letters
from lazymig.sweeping.flow import work_in_order
from lazymig.sweeping.in_place.moving import PlaceMover
from lazymig.sweeping.in_place.reviewing import PlaceReview
from lazymig.sweeping.report import Left
from lazymig.sweeping.work import Means, SweepWork

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_ADOPT = (
    "adopt: there is nothing to adopt where one document carries both shapes; leave it out. A document that already "
    "has a field of V2's gets a dead letter, which says what to do"
)


@frozen
class WholePage:
    """Documents in the order of their ids."""

    documents: list[RawId]
    #: The last id that Python can hold, and so can be stored in a checkpoint.
    last: RawId

    @property
    def scanned(self) -> int:
        """How many documents were looked at."""
        return len(self.documents)


class PlaceWork(SweepWork, Generic[V1, V2]):
    """Stores the V2 parts that documents lack, a page at a time.

    Raises `ConfigurationError` where an option cannot work in this layout.
    """

    in_place: ClassVar[bool] = True

    def __init__(self, place: Place[V1, V2], means: Means) -> None:
        options = means.options
        if options.adopt:
            raise ConfigurationError(_ADOPT)
        check_apart(means.control, place.store, place.store)
        self._place, self._means, self._throttle = place, means, means.throttle
        self.store = place.store
        self.question = place.store.question(options.where or {})
        control = None if options.dry_run else means.control
        self._mover = PlaceMover(
            place, control, means.counts, dry_run=options.dry_run, sounding=means.throttle.sounding
        )
        self.failures = self._mover.failures
        self._counts = as_patient_as(place.store, Counts(place.store))
        self._measure = Measure(place, as_patient_as)

    def begin(self) -> None:
        """Do nothing: no run knows anything of another."""

    async def identify(self) -> Identities | None:
        return await self._throttle.shedding.call(identify, self.store, self.store)

    async def count(self) -> int:
        where = self._means.options.where
        return await self._place.store.count(where) if where else await self._counts.count_all()

    async def look(self) -> Left:
        held = await self._measure.look()
        held.show(self._place.tally)
        return Left(held.lacking, 0)

    async def ensure_indexes(self) -> None:
        await self._place.store.ensure_unmoved_index()

    async def adopt(self) -> None:
        """Do nothing: the option is refused."""

    async def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[WholePage]:
        """Store what a partition's documents lack; yield each page once it is durably done."""
        found = self._find_pages(partition, position)
        async with aclosing(work_in_order(found, self._move, self._throttle)) as done:
            async for page in done:
                self._means.counts["scanned"] += page.scanned
                yield page

    async def _find_pages(self, partition: Partition, position: RawId) -> AsyncGenerator[tuple[WholePage, float]]:
        down, clock, throttle = self._means.options.newest_first, self._place.clock, self._throttle
        # With majority: what is converted must not be rolled back.
        scan = as_patient_as(self.store, Scan(self.store, majority=True, descending=down))
        marked = position
        while await throttle.wait_for_page():
            size = throttle.batches.size
            # Documents wait for the rate before they are read, never between reading and storing.
            if throttle.limited and not await throttle.wait_for_documents(size):
                return
            began_s = clock.monotonic()
            where = scan.within(partition, position)
            found = await scan.find_whole({"$and": [where, self.question]} if self.question else where, size)
            if not found:
                return
            position = raw_id(decode_for_id(found[-1])["_id"])
            if not isinstance(position, Unreadable):
                marked = position
            throttle.latency.note_page(True, len(found), clock.monotonic() - began_s)
            yield WholePage(found, marked), began_s
            if partition.bracket in ONE_VALUE:
                return

    async def _move(self, page: WholePage, read_at_s: float) -> bool:
        with self._place.tally.span(SWEEP_BATCH, documents=page.scanned):
            await self._mover.move(page.documents)
        self._throttle.batches.note_batch(page.scanned, self._place.clock.monotonic() - read_at_s)
        return True

    async def endings(self, partition: Partition) -> AsyncGenerator[object]:
        """Do nothing: parts of older conversions are converted with the page that they are on."""
        return
        yield

    async def tidy(self, goes_on: Callable[[], Awaitable[bool]]) -> bool:
        """Review dead letters. There are no marks."""
        await review_letters(PlaceReview(self._place, self._mover), self._means.control, goes_on=goes_on)
        return True
