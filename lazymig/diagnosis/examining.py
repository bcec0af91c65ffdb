"""Examining V1's documents: each is converted there and back in this process, and nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import bson
from attrs import frozen

from lazymig.comparing.checks import Checks, Comparison
from lazymig.comparing.comparer import Comparer
from lazymig.comparing.equivalences import MISSING_DEFAULT
from lazymig.diagnosis.findings import Finding
from lazymig.diagnosis.writers import Writers
from lazymig.errors import ConversionError
from lazymig.loop.clock import Clock
from lazymig.protocol.pair import Pair
from lazymig.stores.chunks import split_ids
from lazymig.stores.counts import Counts
from lazymig.stores.decoding import Unreadable, make_condition
from lazymig.stores.documents import META_FIELD, parse_v2, raw_id
from lazymig.stores.given import RawId, Store
from lazymig.stores.keyset import ONE_VALUE
from lazymig.stores.raw import decode_for_id, keys_of
from lazymig.stores.records import Document, Partition, StoredV1, StoredV2, StoredWhole, Unmoved
from lazymig.stores.scans import Scan

V1 = TypeVar("V1")
V2 = TypeVar("V2")

_PAGE = 500
#: Documents between two turns of the event loop.
_TURN = 20
#: A field that V1's class adds to a document is no change: writes leave it out of V1.
AS_WRITTEN: Final = Checks(accept=(MISSING_DEFAULT,))
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


@frozen
class Parsed:
    """A document as it is stored: V1's side of it, and the whole where it carries both shapes."""

    truth: StoredV1
    whole: StoredWhole | None = None


class Subject(Protocol):
    """The documents of one layout, and how they are converted."""

    @property
    def store(self) -> Store:
        """The store of V1's documents."""

    @property
    def clock(self) -> Clock:
        """The source of time."""

    def parse(self, document: Document) -> Parsed:
        """Return V1's side of a document. Raises `ConversionError`."""

    async def convert(self, parsed: Parsed, v1_bytes: int) -> Converted | Unmoved | None:
        """Convert a document there and back; None where there is nothing to convert. Raises `ConversionError`."""

    async def note_page(self, parsed: Sequence[Parsed]) -> None:
        """Note the documents of one page, for what says something about other programs."""


class TwoSides(Subject, Generic[V1, V2]):
    """Documents of V1 beside those of V2."""

    def __init__(self, pair: Pair[V1, V2], writers: Writers) -> None:
        self.pair = pair
        self._writers = writers
        self._comparer = Comparer(pair.conversions, AS_WRITTEN)
        self._v2 = Scan(pair.bodies)

    @property
    def store(self) -> Store:
        return self.pair.v1

    @property
    def clock(self) -> Clock:
        return self.pair.clock

    def parse(self, document: Document) -> Parsed:
        return Parsed(self.pair.conversions.carried.parse(document))

    async def convert(self, parsed: Parsed, v1_bytes: int) -> Converted | Unmoved | None:
        conversions, truth = self.pair.conversions, parsed.truth
        entity = await conversions.upgraded(truth, None)
        if isinstance(entity, Unmoved):
            return entity
        _, raw = conversions.v2_document(truth.id, entity, truth.revision, "sweep", compare=True)
        # As a later read of V2 would find it. The comparer upgrades once more, which must give the same bytes.
        seen = parse_v2(bson.decode(raw, conversions.v2.options))
        newest, comparison = conversions.v1_stored(truth), await self._comparer.compare(truth, seen)
        return Converted(truth, newest, v1_bytes, seen, len(raw), comparison)

    async def note_page(self, parsed: Sequence[Parsed]) -> None:
        truths = [one.truth for one in parsed]
        self._writers.note(truths, await self._v2.find_fields([one.id for one in truths], META_FIELD))


class Examination:
    """Shows V1's documents to examiners: a random sample, or all."""

    def __init__(self, subject: Subject, examiners: Sequence[Examiner]) -> None:
        self._subject = subject
        self._examiners = examiners
        self._scan = Scan(subject.store, majority=True)
        #: How many documents were examined, and about how many there are.
        self.examined = self.documents = 0

    async def run(self, sample: int | None, on_progress: OnProgress | None) -> None:
        """Examine this many documents, or all where that is None. Driver errors pass through."""
        self.documents = await Counts(self._subject.store).count_all()
        whole = sample is None or self.documents <= sample
        planned = self.documents if whole else sample or 0
        async for page in self._all() if whole else self._sampled(planned):
            parsed: list[Parsed] = []
            for start in range(0, len(page), _TURN):
                parsed += [one for given in page[start : start + _TURN] if (one := await self._examine(given))]
                await self._subject.clock.sleep(0)
            await self._subject.note_page(parsed)
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

    async def _examine(self, given: Document) -> Parsed | None:
        """Examine one document. Return it unless no statement can name its id."""
        try:
            parsed = self._subject.parse(self._scan.decoded(given))
        except ConversionError as error:
            self._fail(raw_id(error.id), error)
            return None
        truth = parsed.truth
        for examiner in self._examiners:
            examiner.note_stored(truth)
        try:
            size = len(given) if isinstance(given, bytes) else size_of(given)
            converted = await self._subject.convert(parsed, size)
        except ConversionError as error:
            self._fail(truth.id, error)
        else:
            for examiner in self._examiners:
                if isinstance(converted, Unmoved):
                    examiner.note_unmoved(truth.id, converted)
                elif converted is not None:
                    examiner.note_converted(converted)
        return None if isinstance(truth.id, Unreadable) else parsed

    def _fail(self, id: RawId, error: ConversionError) -> None:
        for examiner in self._examiners:
            examiner.note_failure(id, error)


def size_of(document: Document) -> int:
    """Return how many bytes a document has."""
    return len(bson.encode(document))
