"""The rows of a page of V1, and the entities that a listing in V2's type makes of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeAlias, TypeVar

from attrs import define

from lazymig.errors import ConversionError, ForeignDocument
from lazymig.loop.deadline import Deadline
from lazymig.protocol.many import make_answer, read_many
from lazymig.protocol.moved import find_held, find_moved
from lazymig.protocol.pair import Pair
from lazymig.shapes.migration import get_upgrading
from lazymig.stores.given import RawId
from lazymig.stores.raw import Undecoded
from lazymig.stores.records import Document, StoredV1, StoredV2, StoredWhole

V1 = TypeVar("V1")
V2 = TypeVar("V2")
T = TypeVar("T")

#: What distinguishes ids and can be looked up fast (`Undecoded.keys`): bytes or numbers.
Key: TypeAlias = Hashable


class Missed:
    """Documents that a listing left out because V2's door does not know them, and the last one that it read."""

    def __init__(self) -> None:
        self.count = 0
        self.last: Document | None = None

    def note(self, row: StoredV1 | StoredWhole, answer: object) -> None:
        """Note a row and its answer, None where it is left out."""
        self.count += answer is None
        self.last = row.document


class ByKey(Generic[T]):
    """Documents by the keys of their ids, each decoded when it is accessed."""

    def __init__(self, found: Undecoded[T] | None = None) -> None:
        self._found = found
        self._places = {} if found is None else {key: place for place, key in enumerate(found.keys)}

    def get(self, key: Key) -> T | None:
        place = self._places.get(key)
        return None if place is None else self._found[place]  # type: ignore[index]

    def __contains__(self, key: Key) -> bool:
        return key in self._places


@define
class Page:
    #: Each row with its key. In a lean page the rows are ids and revisions only.
    rows: Iterable[tuple[Key, StoredV1]]
    lean: bool
    v2: ByKey[StoredV2]
    #: V1's documents of a lean page: those that V2 lacks, and all of them once V2 is found to be behind.
    v1: ByKey[StoredV1]
    ids: list[RawId]
    timeout_s: float | None

    async def find_truth(self, pair: Pair[V1, V2], key: Key, row: StoredV1, stored: StoredV2 | None) -> StoredV1 | None:
        """Return V1's document of a row whose body V2 does not hold; None if it was deleted since the page was read."""
        if not self.lean:
            return row
        if stored is not None and key not in self.v1 and self.ids:
            ids, self.ids = self.ids, []
            async with Deadline(self.timeout_s):
                self.v1 = ByKey(await pair.v1.find_each(ids))
        return self.v1.get(key)


def _holds(stored: StoredV2, row: StoredV1) -> bool:
    return stored.revision == row.revision and not stored.gone


@define
class _Row(Generic[V2]):
    """One row of a listing on its way to its answer."""

    row: StoredV1
    #: What V2 held; an error where lazymig did not store it.
    seen: StoredV2 | ForeignDocument | None = None
    #: V1's document to convert, where V2's body is not the answer. None without an answer: it was deleted, and is left
    #: out.
    truth: StoredV1 | None = None
    answer: V2 | ConversionError | None = None


async def make_page_answers(
    pair: Pair[V1, V2], page: Page, some: Iterable[tuple[Key, StoredV1]], missed: Missed
) -> list[V2 | ConversionError]:
    rows = [await _look_up(pair, page, key, row) for key, row in some]
    await _read_moved(pair, rows)
    for one in rows:
        missed.last = one.row.document
        if one.answer is None and one.truth is not None:
            assert not isinstance(one.seen, ForeignDocument)
            one.answer = await make_answer(pair, one.seen, one.truth, seen_later=True)
            missed.note(one.row, one.answer)
    return [one.answer for one in rows if one.answer is not None]


async def _look_up(pair: Pair[V1, V2], page: Page, key: Key, row: StoredV1) -> _Row[V2]:
    """Find the answer in V2's body, or V1's document to convert."""
    made: _Row[V2] = _Row(row)
    try:
        made.seen = page.v2.get(key)
    except ForeignDocument as error:
        made.seen = made.answer = error
        return made
    stored = made.seen
    if stored is not None and not pair.checked and (_holds(stored, row) or _holds_what_followed(pair, stored)):
        made.answer = pair.conversions.trusted(stored)
    if made.answer is None:
        decided = None if pair.checked else pair.conversions.decided(stored, row)
        made.truth = row if decided is not None else await page.find_truth(pair, key, row, stored)
    return made


def _holds_what_followed(pair: Pair[V1, V2], stored: StoredV2) -> bool:
    """Whether V2 holds what V1 has by now, where V1's row is no answer: it lacks what was written with it since."""
    return stored.clean and get_upgrading(pair.conversions.migration).takes_other


async def _read_moved(pair: Pair[V1, V2], rows: Iterable[_Row[V2]]) -> None:
    """Read those again that moved while the page was read, where V1's document alone is not the whole entity."""
    if pair.checked or not get_upgrading(pair.conversions.migration).takes_other:
        return
    asked = {one.row.id: one for one in rows if one.answer is None and one.truth is not None}
    seen = {id: one.seen for id, one in asked.items() if isinstance(one.seen, StoredV2)}
    truths = {id: one.truth for id, one in asked.items() if one.truth is not None}
    moved = set(await find_moved(pair, seen, truths))
    # V2 lacked it, and V1 has moved since: V2 may hold what was written with it.
    absent = [id for id, truth in truths.items() if id not in seen and truth.revision != asked[id].row.revision]
    moved |= await find_held(pair, absent)
    if moved:
        answers = await read_many(pair, list(moved))
        for id in moved:
            asked[id].truth, asked[id].answer = None, answers.get(id)
