"""Moving a batch: convert, store what V2 lacks, record what cannot be moved. A bad document stops no other."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from attrs import frozen
from bson.raw_bson import RawBSONDocument

from lazymig.control import Control, parts_of
from lazymig.errors import ConversionError
from lazymig.passes.shedding import as_patient_as
from lazymig.passes.sounding import Sounding
from lazymig.protocol.pair import Pair
from lazymig.protocol.reading import OLD_READ_S, look_again_at
from lazymig.shapes.conversions import Conversions
from lazymig.stores.documents import decode_id, raw_id
from lazymig.stores.foreign import ForeignDocuments
from lazymig.stores.given import RawId
from lazymig.stores.records import Put, StoredV1, Unmoved
from lazymig.stores.scans import Scan
from lazymig.sweeping.failures import Failures

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: A batch is stored once it has this many bytes, whatever its count; a message may have 48 MB.
BATCH_BYTES = 8_000_000
#: How many bodies of a run are decoded and compared before they are stored; a dry run compares all.
COMPARED = 100
#: Allocations between two garbage collections during a run.
_ALLOCATIONS = 50_000


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


S = TypeVar("S", bound=_Sized)


@frozen
class _Converted:
    id: RawId
    revision: int
    document: Any
    size: int
    #: The count of a report that it belongs to once it is stored.
    counted: str


class Mover(Generic[V1, V2]):
    """Moves V1 documents that V2 lacked when both were compared."""

    def __init__(
        self,
        pair: Pair[V1, V2],
        control: Control | None,
        counts: Counter[str],
        *,
        dry_run: bool,
        sounding: Sounding | None = None,
    ) -> None:
        self._pair = pair
        letters = None if control is None else parts_of(control).letters
        self.failures = Failures(letters, pair.conversions.migration.name, counts)
        self._counts = counts
        self._dry_run = dry_run
        self._to_compare = COMPARED
        self._sounding = Sounding(pair.clock) if sounding is None else sounding
        self._v1, self._v2 = Scan(pair.v1), Scan(pair.bodies)

    async def move(self, documents: Sequence[Any], read_at_s: float, *, adopting: bool = False) -> float:
        """Convert and store V1 documents, decoded or raw, that were read at this time of the monotonic clock.

        `adopting`: they replace documents that lazymig did not store. Returns when each is durably stored or has its
        dead letter, with the seconds for which other batches were converted first.
        """
        batch: list[_Converted] = []
        began_s = self._pair.clock.monotonic()
        async with self._sounding.converting:
            waited_s = self._pair.clock.monotonic() - began_s
            async for some in self._sounding.in_turns(documents):
                batch += await self._convert(some)
        for part in split_by_size(batch):
            await (self._adopt(part) if adopting else self._store(part, read_at_s))
        await self.failures.flush()
        return waited_s

    async def _convert(self, documents: Sequence[Any]) -> list[_Converted]:
        converted = []
        for given in documents:
            try:
                truth = self._v1.carried.parse(self._v1.decoded(given))
            except ConversionError as error:
                self.failures.note_unconvertible(StoredV1(raw_id(error.id), 0, {}), error)
                continue
            try:
                check_id(self._pair.conversions, truth.id)
                made = await self._pair.conversions.upgraded(truth, None)
                compare = self._dry_run or self._to_compare > 0
                self._to_compare -= 1
                whole, raw = self._pair.conversions.v2_document(
                    truth.id, made, truth.revision, "sweep", compare=compare
                )
            except ConversionError as error:
                self.failures.note_unconvertible(truth, error)
            else:
                # Encoded once: the driver sends these bytes as they are.
                document = RawBSONDocument(raw) if self._v2.is_raw else whole
                counted = made.why if isinstance(made, Unmoved) else "migrated"
                converted.append(_Converted(truth.id, truth.revision, document, len(raw), counted))
        return converted

    async def _store(self, batch: Sequence[_Converted], read_at_s: float) -> None:
        if self._dry_run:
            self._counts.update(converted.counted for converted in batch)
            return
        if self._is_old(read_at_s):
            read_at_s = self._pair.clock.monotonic()
            batch = await self._keep_standing(batch)
        if not batch:
            return
        puts = await self._pair.bodies.put_many([converted.document for converted in batch], durable=True)
        if self._is_old(read_at_s):
            stored = [converted for converted, put in zip(batch, puts, strict=True) if put is Put.STORED]
            await look_again_at(self._pair, stored)
        self._counts.update(one.counted for one, put in zip(batch, puts, strict=True) if put is Put.STORED)
        # A client was faster, which is no error.
        self._counts["moved_by_clients"] += puts.count(Put.LOST)
        for converted, put in zip(batch, puts, strict=True):
            if put is Put.REFUSED:
                error, message = await self._pair.bodies.why_refused(converted.document)
                if error:
                    self.failures.note(converted.id, converted.revision, "store", error, message, "")
                else:
                    self._counts["moved_by_clients"] += 1  # nothing refuses it any more, so it is stored now
                    if self._is_old(read_at_s):
                        await look_again_at(self._pair, [converted])

    async def _adopt(self, batch: Sequence[_Converted]) -> None:
        if self._dry_run or not batch:
            self._counts["adopted"] += len(batch)
            return
        foreign = as_patient_as(self._pair.bodies, ForeignDocuments(self._pair.bodies))
        count, refused = await foreign.replace([converted.document for converted in batch])
        self._counts["adopted"] += count
        for place in refused:
            self.failures.note_refused(batch[place].id, batch[place].revision)

    def _is_old(self, read_at_s: float) -> bool:
        return self._pair.clock.monotonic() - read_at_s > OLD_READ_S

    async def _keep_standing(self, batch: Sequence[_Converted]) -> Sequence[_Converted]:
        """Keep conversions of documents that V1 still holds as read: V2 may have forgotten a delete since."""
        moved = set(await self._pair.v1.find_changed({converted.id: converted.revision for converted in batch}))
        self._counts["moved_by_clients"] += len(moved)
        return [converted for converted in batch if converted.id not in moved]


def check_id(conversions: Conversions[V1, V2], id: RawId) -> None:
    """Raise `ConversionError` for an id that no call of the repository accepts, so that nobody could reach the entity.

    Doubles are excepted: to MongoDB, 5.0 is 5.
    """
    try:
        if not isinstance(id, float):
            conversions.migration.check_id(decode_id(id))
    except TypeError as error:
        raise ConversionError(id, "read", error, conversions.migration.id_field, side="V1") from None


def split_by_size(batch: Sequence[S]) -> Iterator[Sequence[S]]:
    """Yield parts of a batch, each of which a statement can carry."""
    start, size = 0, 0
    for end, converted in enumerate(batch, 1):
        size += converted.size
        if size >= BATCH_BYTES or end == len(batch):
            yield batch[start:end]
            start, size = end, 0


@contextmanager
def calm_collector() -> Iterator[None]:
    """Make Python's garbage collector run less often during a run.

    Conversions allocate much and leave no cycles. Looking for cycles every 700 allocations would find none and take a
    sixth of the time. Objects from before the run are not examined at all.
    """
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(threshold[0], _ALLOCATIONS), *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
