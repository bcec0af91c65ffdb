"""Finding V1's documents of older versions, and storing them in the newest: in bulk where V2 is not used."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from lazymig.errors import Contention, ConversionError, LazymigError
from lazymig.metrics import REWRITE_BATCH
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.throttle import Throttle
from lazymig.protocol.pair import Pair
from lazymig.protocol.rewriting import rewrite
from lazymig.routes.route import Route
from lazymig.shapes.upcasting import NewerVersion, Upcasters
from lazymig.stores.decoding import Unreadable
from lazymig.stores.documents import parse_v1, raw_id
from lazymig.stores.drivers import STATEMENT_ERRORS, is_refused
from lazymig.stores.given import RawId
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import decode_for_id
from lazymig.stores.records import Partition, StoredV1
from lazymig.stores.rewrites import Rewrite, Rewrites, make_older_filter
from lazymig.stores.scans import Scan
from lazymig.sweeping.failures import Failures

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Ids per page. Only documents of older versions are read whole.
IDS_PER_PAGE = 10_000
#: Ids per page under a rate limit.
LIMITED_PAGE = 1000
#: Single writes in flight per batch in flight, where writes must be announced in V2.
_WRITES_EACH = 16
#: Documents between two turns of the event loop.
_TURN = 50


@frozen
class Stretch:
    """A range of V1 whose older documents are durably stored in the newest version, or noted as failures."""

    last: RawId
    scanned: int


class Older(Generic[V1, V2]):
    """Rewrites the older documents of one partition after the other."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        find_route: Callable[[], Route[V1, V2]],
        chain: Upcasters,
        throttle: Throttle,
        counts: Counter[str],
        *,
        dry_run: bool,
    ) -> None:
        self._pair = pair
        self._find_route = find_route
        self._throttle = throttle
        self._counts = counts
        self._dry_run = dry_run
        self._scan = as_patient_as(pair.v1, Scan(pair.v1))
        self._rewrites = as_patient_as(pair.v1, Rewrites(pair.v1))
        self._older = make_older_filter(chain.field, chain.newest)
        self._writing = asyncio.Semaphore(_WRITES_EACH * throttle.concurrency)
        self.failures = Failures(None, pair.conversions.migration.name, counts)

    async def pages(self, partition: Partition, position: RawId) -> AsyncGenerator[Stretch]:
        """Rewrite a partition after the position; yield each stretch once it is done. Ends early to stop."""
        marked = position
        while await self._throttle.wait_for_page():
            # Under a rate limit a page takes long, and checkpoints should still come soon.
            size = min(IDS_PER_PAGE, LIMITED_PAGE) if self._throttle.limited else IDS_PER_PAGE
            ids = await self._scan.find_ids(self._scan.within(partition, position), size)
            if not ids:
                return
            last = raw_id(decode_for_id(ids[-1])["_id"])
            if not await self._rewrite_stretch(partition, position, last):
                return
            self._counts["scanned"] += len(ids)
            if not isinstance(last, Unreadable):
                marked = last
            yield Stretch(marked, len(ids))
            if partition.bracket in ONE_VALUE:
                return
            position = last

    async def _rewrite_stretch(self, partition: Partition, position: RawId, last: RawId) -> bool:
        """Rewrite what is older between two ids, several batches at a time. False: the run is to stop before."""
        running: deque[asyncio.Task[None]] = deque()
        try:
            async for documents in self._find_older(partition, position, last):
                if not await self._throttle.wait_for_documents(len(documents)):
                    return False
                while len(running) >= self._throttle.concurrency:
                    await running.popleft()
                running.append(asyncio.create_task(self._rewrite_batch(documents)))
                if not await self._throttle.wait_for_page():
                    return False
            while running:
                await running.popleft()
        finally:
            # Batches in flight are finished where the run is to stop, and before an error is raised.
            await asyncio.gather(*running, return_exceptions=True)
        return True

    async def _find_older(self, partition: Partition, position: RawId, last: RawId) -> AsyncIterator[Sequence[Any]]:
        while True:
            where = {"$and": [self._scan.within(partition, position, last), self._older]}
            found = await self._scan.find_whole(where, self._throttle.batches.size)
            if not found:
                return
            yield found
            if partition.bracket in ONE_VALUE:
                return
            position = raw_id(decode_for_id(found[-1])["_id"])

    async def _rewrite_batch(self, documents: Sequence[Any]) -> None:
        with self._pair.tally.span(REWRITE_BATCH, documents=len(documents)):
            await self._make_and_store(documents)

    async def _make_and_store(self, documents: Sequence[RawId]) -> None:
        clock = self._pair.clock
        began_s = clock.monotonic()
        made: list[Rewrite] = []
        for start in range(0, len(documents), _TURN):
            made += [one for one in map(self._make, documents[start : start + _TURN]) if one is not None]
            await clock.sleep(0)
        if self._dry_run:
            self._counts["rewritten"] += len(made)
        elif self._find_route().uses_v2:
            await self._write_each([one.id for one in made])
        elif made:
            await self._store(made)
        self._throttle.batches.note_batch(len(documents), clock.monotonic() - began_s)

    def _make(self, given: Any) -> Rewrite | None:
        """Return what to store for a document; None where nothing is to be stored, which is counted."""
        try:
            truth = parse_v1(self._scan.decoded(given))
            found = self._pair.conversions.v1_rewrite(truth)
        except ConversionError as error:
            self._note(error)
            return None
        if found is None:
            self._counts["newer"] += 1
            return None
        return Rewrite(truth.id, truth.revision, found.changed, found.vanished, found.within, found.held)

    def _note(self, error: ConversionError) -> None:
        if isinstance(error.cause, NewerVersion):
            self._counts["newer"] += 1
        else:
            self.failures.note_unconvertible(StoredV1(raw_id(error.id), 0, {}), error)

    async def _store(self, made: Sequence[Rewrite]) -> None:
        """Store a batch by one statement. Where others changed some documents meanwhile, those are tried one by one."""
        count, refused = await self._rewrites.store(made)
        self._counts["rewritten"] += count
        for place in refused:
            self._note_refused(made[place].id)
        if count + len(refused) < len(made):
            left = await self._find_left([one.id for one in made])
            refused_ids = [made[place].id for place in refused]
            await self._write_each([id for id in left if id not in refused_ids])

    async def _find_left(self, ids: Sequence[RawId]) -> list[RawId]:
        """Find which of these documents are still older."""
        found = await self._scan.find_ids({"$and": [{"_id": {"$in": list(ids)}}, self._older]}, len(ids))
        return [raw_id(decode_for_id(one)["_id"]) for one in found]

    def _note_refused(self, id: RawId) -> None:
        message = "V1 refuses the document in the newest version (unique index, validator or size)"
        self.failures.note(id, 0, "store", "Refused", message, "")

    async def _write_each(self, ids: Sequence[RawId]) -> None:
        await asyncio.gather(*map(self._write, ids))

    async def _write(self, id: RawId) -> None:
        route = self._find_route()
        async with self._writing:
            try:
                done = await rewrite(self._pair.conversions, id, route.write, both=route.fills_v2)
            except ConversionError as error:
                self._note(error)
            except STATEMENT_ERRORS as error:
                if not is_refused(error):
                    raise
                self._note_refused(id)
            except Contention:
                self._counts["contended"] += 1  # the next run finds it again
            except LazymigError as error:  # V1 has the newest version, and V2 refuses the body
                self.failures.note(id, 0, "store", "Refused", str(error), "")
            else:
                self._counts["rewritten" if done else "moved_by_clients"] += 1
