"""The rows of a page of V1, and the entities that a listing in V2's type makes of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeAlias, TypeVar

from attrs import define

from lazymig.errors import ConversionError, ForeignDocument
from lazymig.loop.deadline import Deadline
from lazymig.protocol.many import make_answer, read_many
from lazymig.protocol.moved import find_held, find_moved
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import get_upgrading
from lazymig.stores.documents import holds_body
from lazymig.stores.given import RawId
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Document, StoredV1, StoredV2, StoredWhole

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

#: What distinguishes ids and can be looked up fast (`Undecoded.keys`): bytes or numbers.
Key: TypeAlias = Hashable
#: A row of a page of V1: the key of its id, its revision, and its place in the page.
Row: TypeAlias = tuple[Key, int, int]


class Missed:
    """Documents that a listing left out because V2's door does not know them, and the last one that it read."""

    def __init__(self) -> None:
        self.count = 0
        self.last: Document | None = None

    def note_part(self, rows: Sequence[StoredV1 | StoredWhole], answers: Sequence[object]) -> None:
        """Note some rows, of which the others are left out than those with these answers."""
        self.count += len(rows) - len(answers)
        self.last = rows[-1].document

    def note(self, row: StoredV1 | StoredWhole, answer: object) -> None:
        """Note a row and its answer, None where it is left out."""
        self.count += answer is None
        self.last = row.document


class ByKey(Generic[T]):
    """Documents by the keys of their ids, each decoded when it is accessed."""

    def __init__(self, found: Undecoded[T] | None = None) -> None:
        self._found = found
        self._places = {} if found is None else {key: place for place, key in enumerate(found.keys)}
        #: The documents that were decoded ahead.
        self.decoded: dict[Key, Document] = {}

    def decode_ahead(self, keys: Iterable[Key]) -> None:
        """Decode the documents with these keys together, which costs less than one by one; forget earlier ones."""
        places = {key: self._places[key] for key in keys if key in self._places}
        found = self._found.among(places.values()).documents() if self._found is not None and places else []
        self.decoded = dict(zip(places, found, strict=True))

    def get(self, key: Key) -> T | None:
        place = self._places.get(key)
        if self._found is None or place is None:
            return None
        document = self.decoded.get(key)
        return self._found[place] if document is None else self._found.made_of(document)

    def __contains__(self, key: Key) -> bool:
        return key in self._places


@define
class Page:
    #: In a lean page the rows are ids and revisions only.
    rows: Undecoded[StoredV1]
    keys: Sequence[Key]
    lean: bool
    v2: ByKey[StoredV2]
    #: V1's documents of a lean page: those that V2 lacks, and all of them once V2 is found to be behind.
    v1: ByKey[StoredV1]
    ids: Sequence[RawId]
    timeout_s: float | None

    #: The decoded rows of the part that was yielded last, and the place of its first.
    _part: tuple[int, list[StoredV1]] = (0, [])

    def parts(self, size: int) -> Iterator[Sequence[Row]]:
        """Yield the rows, some at a time, once what answers them is decoded."""
        revisions = self.rows.revisions if self.lean else None
        for start in range(0, len(self.keys), size):
            keys = self.keys[start : start + size]
            self.v2.decode_ahead(keys)
            self.v1.decode_ahead(keys)
            places = range(start, start + len(keys))
            if revisions is None:
                self._part = start, self.rows.among(places).at_once()
                yield list(zip(keys, [row.revision for row in self._part[1]], places, strict=True))
            else:
                yield list(zip(keys, revisions[start : start + size], places, strict=True))

    def row_at(self, place: int) -> StoredV1:
        """Return a row of the part that was yielded last."""
        start, rows = self._part
        return rows[place - start] if rows else self.rows[place]

    async def find_truth(self, pair: Pair[V1, V2], key: Key, row: StoredV1, stored: StoredV2 | None) -> StoredV1 | None:
        """Return V1's document of a row whose body V2 does not hold; None if it was deleted since the page was read."""
        if not self.lean:
            return row
        if stored is not None and key not in self.v1 and self.ids:
            ids, self.ids = self.ids, []
            async with Deadline(self.timeout_s):
                self.v1 = ByKey(await pair.v1.find_each(ids))
        return self.v1.get(key)


def _holds(stored: StoredV2, revision: int) -> bool:
    return stored.revision == revision and not stored.gone


@define
class _Row(Generic[V2]):
    """One row of a listing to which V2's body is no answer, on its way to its answer."""

    row: StoredV1
    #: What V2 held.
    seen: StoredV2 | None
    #: V1's document to convert. None without an answer: it was deleted, and is left out.
    truth: StoredV1 | None = None
    answer: V2 | ConversionError | None = None


async def make_page_answers(
    pair: Pair[V1, V2], page: Page, some: Sequence[Row], missed: Missed
) -> list[V2 | ConversionError]:
    """Return the answers for some rows of a page, those that V2's bodies hold without waiting for anything."""
    answers: list[V2 | ConversionError | None] = []
    for key, revision, _ in some:
        taken = _take_body(pair, page.v2, key, revision)
        answers.append(taken)
    if left := [place for place, answer in enumerate(answers) if answer is None]:
        rows: list[_Row[V2]] = [await _look_up(pair, page, some[place][0], some[place][2]) for place in left]
        await _read_moved(pair, rows)
        for place, one in zip(left, rows, strict=True):
            if one.answer is None and one.truth is not None:
                one.answer = await make_answer(pair, one.seen, one.truth, seen_later=True)
                missed.note(one.row, one.answer)
            answers[place] = one.answer
    missed.last = page.row_at(some[-1][2]).document
    return [answer for answer in answers if answer is not None]


def _take_body(pair: Pair[V1, V2], bodies: ByKey[StoredV2], key: Key, revision: int) -> V2 | ConversionError | None:
    """Return V2's body where it is the answer to a row; None where V1's document must be converted."""
    document = bodies.decoded.get(key)
    conversions = pair.conversions
    if document is not None and not pair.checked and holds_body(document, revision, conversions.migration.revision):
        return conversions.try_v2(document)
    try:
        stored = bodies.get(key)
    except ForeignDocument as error:
        return error
    if stored is None or pair.checked or not (_holds(stored, revision) or _holds_what_followed(pair, stored)):
        return None
    return conversions.trusted(stored)


async def _look_up(pair: Pair[V1, V2], page: Page, key: Key, place: int) -> _Row[V2]:
    """Find V1's document to convert."""
    row, stored = page.row_at(place), page.v2.get(key)
    decided = None if pair.checked else pair.conversions.decided(stored, row)
    return _Row(row, stored, row if decided is not None else await page.find_truth(pair, key, row, stored))


def _holds_what_followed(pair: Pair[V1, V2], stored: StoredV2) -> bool:
    """Whether V2 holds what V1 has by now, where V1's row is no answer: it lacks what was written with it since."""
    return stored.clean and get_upgrading(pair.conversions.migration).takes_other


async def _read_moved(pair: Pair[V1, V2], rows: Iterable[_Row[V2]]) -> None:
    """Read those again that moved while the page was read, where V1's document alone is not the whole entity."""
    if pair.checked or not get_upgrading(pair.conversions.migration).takes_other:
        return
    asked = {one.row.id: one for one in rows if one.answer is None and one.truth is not None}
    seen = {id: one.seen for id, one in asked.items() if one.seen is not None}
    truths = {id: one.truth for id, one in asked.items() if one.truth is not None}
    moved = set(await find_moved(pair, seen, truths))
    # V2 lacked it, and V1 has moved since: V2 may hold what was written with it.
    absent = [id for id, truth in truths.items() if id not in seen and truth.revision != asked[id].row.revision]
    moved |= await find_held(pair, absent)
    if moved:
        answers = await read_many(pair, list(moved))
        for id in moved:
            asked[id].truth, asked[id].answer = None, answers.get(id)
