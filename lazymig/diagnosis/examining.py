"""Examining V1's documents: each is converted there and back in this process, and nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, Protocol, TypeVar

import bson
from attrs import frozen

from lazymig.comparing.checks import Checks, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.comparing.equivalences import MISSING_DEFAULT
from lazymig.diagnosis.findings import Finding
from lazymig.diagnosis.writers import Writers
from lazymig.errors import ConversionError
from lazymig.protocol.pair import Pair
from lazymig.stores.chunks import split_ids
from lazymig.stores.counts import Counts
from lazymig.stores.decoding import Unreadable, make_condition
from lazymig.stores.documents import META_FIELD, parse_v2, raw_id
from lazymig.stores.given import RawId
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import decode_for_id, keys_of
from lazymig.stores.records import Document, Partition, StoredV1, StoredV2, Unmoved
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_PAGE = 500
#: Documents between two turns of the event loop.
_TURN = 20
#: Is called with the number of documents examined so far, and about how many there will be.
OnProgress = Callable[[int, int], None]


@frozen
class Converted:
    """A V1 document and the V2 document that it becomes, with their sizes in bytes."""

    truth: StoredV1
    #: V1's document as upcasters bring it up; without any, as it is stored.
    newest: Document
    v1_bytes: int
    seen: StoredV2
    v2_bytes: int
    comparison: Comparison


class Examiner(Protocol):
    """A check of documents. It sees them one after the other, and remembers little of each."""

    def note_stored(self, truth: StoredV1) -> None:
        """Note a document of V1, which may not convert."""

    def note_failure(self, id: RawId, error: ConversionError) -> None:
        """Note a document that does not convert."""

    def note_converted(self, one: Converted) -> None:
        """Note a document that converts."""

    def note_unmoved(self, id: RawId, unmoved: Unmoved) -> None:
        """Note a document that `upgrade` gives no body in V2."""

    def findings(self) -> Sequence[Finding]:
        """Return what was found in all documents."""


class Ignoring:
    """An examiner that ignores what its subclass does not note."""

    def note_stored(self, truth: StoredV1) -> None:
        """Ignore the document."""

    def note_failure(self, id: RawId, error: ConversionError) -> None:
        """Ignore the failure."""

    def note_converted(self, one: Converted) -> None:
        """Ignore the document."""

    def note_unmoved(self, id: RawId, unmoved: Unmoved) -> None:
        """Ignore the document."""


class Examination(Generic[V1, V2]):
    """Shows V1's documents to examiners: a random sample, or all."""

    def __init__(self, pair: Pair[V1, V2], examiners: Sequence[Examiner], writers: Writers) -> None:
        self._pair = pair
        self._examiners = examiners
        self._writers = writers
        self._v2 = Scan(pair.bodies)
        # A field that V1's class adds to a document is no change: writes leave it out of V1.
        self._comparer = Comparer(pair.conversions, Checks(accept=(MISSING_DEFAULT,)))
        self._scan = Scan(pair.v1, majority=True)
        #: How many documents were examined, and about how many there are.
        self.examined = self.documents = 0

    async def run(self, sample: int | None, on_progress: OnProgress | None) -> None:
        """Examine this many documents, or all where that is None. Driver errors pass through."""
        self.documents = await Counts(self._pair.v1).count_all()
        whole = sample is None or self.documents <= sample
        planned = self.documents if whole else sample or 0
        async for page in self._all() if whole else self._sampled(planned):
            truths: list[StoredV1] = []
            for start in range(0, len(page), _TURN):
                truths += [truth for given in page[start : start + _TURN] if (truth := await self._examine(given))]
                await self._pair.clock.sleep(0)
            self._writers.note(truths, await self._v2.find_fields([truth.id for truth in truths], META_FIELD))
            self.examined += len(page)
            if on_progress is not None:
                on_progress(self.examined, max(planned, self.examined))

    async def _all(self) -> AsyncIterator[Sequence[Document]]:
        for bracket in self._scan.brackets():
            partition, position = Partition(bracket, None, None), None
            while page := await self._scan.find_whole(self._scan.within(partition, position), _PAGE):
                yield page
                if bracket in ONE_VALUE:
                    break
                position = raw_id(decode_for_id(page[-1])["_id"])

    async def _sampled(self, count: int) -> AsyncIterator[Sequence[Document]]:
        ids = await self._scan.sample_ids(count)
        for start in range(0, len(ids), _PAGE):
            for part in split_ids(ids[start : start + _PAGE]):
                async for page in self._named(part):
                    yield page

    async def _named(self, ids: Sequence[RawId]) -> AsyncIterator[Sequence[Document]]:
        """Yield the documents with these ids, one reply at a time."""
        rest = dict(zip(keys_of(ids), ids, strict=True))
        while rest:
            found = await self._scan.find_whole({"_id": make_condition({"$in": list(rest.values())})}, len(rest))
            if not found:
                return  # deleted meanwhile
            yield found
            before = len(rest)
            for key in keys_of(decode_for_id(document)["_id"] for document in found):
                rest.pop(key, None)
            if len(rest) == before:
                return  # the reply had none of these ids: the loop would not end

    async def _examine(self, given: Document) -> StoredV1 | None:
        """Examine one document. Return it unless no statement can name its id."""
        try:
            truth = self._scan.carried.parse(self._scan.decoded(given))
        except ConversionError as error:
            self._fail(raw_id(error.id), error)
            return None
        for examiner in self._examiners:
            examiner.note_stored(truth)
        try:
            converted = await self._convert(truth, len(given) if isinstance(given, bytes) else _size_of(given))
        except ConversionError as error:
            self._fail(truth.id, error)
        else:
            for examiner in self._examiners:
                if isinstance(converted, Unmoved):
                    examiner.note_unmoved(truth.id, converted)
                else:
                    examiner.note_converted(converted)
        return None if isinstance(truth.id, Unreadable) else truth

    def _fail(self, id: RawId, error: ConversionError) -> None:
        for examiner in self._examiners:
            examiner.note_failure(id, error)

    async def _convert(self, truth: StoredV1, v1_bytes: int) -> Converted | Unmoved:
        conversions = self._pair.conversions
        entity = await conversions.upgraded(truth, None)
        if isinstance(entity, Unmoved):
            return entity
        _, raw = conversions.v2_document(truth.id, entity, truth.revision, "sweep", compare=True)
        # As a later read of V2 would find it. The comparer upgrades once more, which must give the same bytes.
        seen = parse_v2(bson.decode(raw, conversions.v2.options))
        newest = conversions.v1_stored(truth)
        return Converted(truth, newest, v1_bytes, seen, len(raw), await self._comparer.compare(truth, seen))


def _size_of(document: Document) -> int:
    return len(bson.encode(document))
