"""Dead letters: removed once their entities are well again or are no more, tried again once V1 has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

import bson
from attrs import frozen

from lazymig.control import Control
from lazymig.documents import META_FIELD, REVISION_FIELD, stored_v2
from lazymig.drivers import LENIENT, READ_MAJORITY, tuned
from lazymig.pair import Pair
from lazymig.raw import Undecoded, decoded_leniently
from lazymig.records import DeadLetter, StoredV2
from lazymig.sweeping.marks import resolve
from lazymig.sweeping.moving import Mover
from lazymig.sweeping.remainder import Pages

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Bytes of ids in one statement, far below what a statement may hold.
_ID_BYTES = 1_000_000


def _never() -> bool:
    return False


async def settle_dead(
    pair: Pair[V1, V2],
    control: Control,
    mover: Mover[V1, V2],
    grace: timedelta,
    *,
    ids: Sequence[Any] = (),
    insist: bool = False,
    stopping: Callable[[], bool] = _never,
) -> int:
    """Go over the dead letters, or over those of `ids`; how many of them were removed.

    Those of entities that V2 holds by now or V1 no longer holds are removed. Entities whose V1 document has another
    revision by now are tried again first; with `insist`, the others too. A thousand letters whose entities are as they
    were cost three statements.
    """
    name, count = pair.conversions.migration.name, 0
    desk = _Desk(pair, mover, grace, insist)
    pages = control.letters_of(name, ids) if ids else control.dead_pages(name, waived=False if insist else None)
    async for page in pages:
        for letters in _by_size(page):
            if stopping():
                return count
            well = await desk.well(letters)
            count += await control.resolve(name, [letter.id for letter in well])
    return count


@frozen
class _Desk(Generic[V1, V2]):
    pair: Pair[V1, V2]
    mover: Mover[V1, V2]
    grace: timedelta
    #: Whether entities are tried again although V1 has not changed.
    insist: bool

    async def well(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Those whose entities need nobody any more, after another try where one is due."""
        seen = await self._seen(letters)
        rest = [letter for letter in letters if not _is_clean(seen, letter)]
        standing = await self._standing(rest)
        due = [letter for letter in rest if self._is_due(letter, standing)]
        if due:
            await self._try_again(due, seen)
            seen |= await self._seen(due)
        deleted = [letter for letter in rest if _key(letter.id) not in standing]
        return [letter for letter in letters if _is_clean(seen, letter)] + deleted

    def _is_due(self, letter: DeadLetter, standing: dict[Any, Any]) -> bool:
        key = _key(letter.id)
        return key in standing and (self.insist or standing[key] != letter.revision)

    async def _try_again(self, letters: Sequence[DeadLetter], seen: dict[Any, StoredV2]) -> None:
        absent = [letter.id for letter in letters if _key(letter.id) not in seen]
        async for documents in self._documents(absent):
            await self.mover.move(documents)
        for letter in letters:
            if (dirty := seen.get(_key(letter.id))) is not None:
                await resolve(self.pair, self.mover, dirty, self.grace)
        await self.mover.failures.flush()

    async def _documents(self, ids: Sequence[Any]) -> AsyncIterator[Sequence[Any]]:
        """V1's whole documents, as many at a time as fill one reply, or fewer."""
        pages, rest = Pages(tuned(self.pair.v1.collection, read=READ_MAJORITY)), {_key(id): id for id in ids}
        while rest:
            found = await pages.page({"_id": {"$in": list(rest.values())}}, len(rest), whole=True)
            if not found:
                return  # deleted meanwhile
            yield found
            for document in found:
                rest.pop(_key(decoded_leniently(document)["_id"]), None)

    async def _seen(self, letters: Sequence[DeadLetter]) -> dict[Any, StoredV2]:
        # Not by the store: it may join finds, for which an id must be hashable, and one that is none is a dead letter.
        rows = await _found(tuned(self.pair.v2.collection, codec=LENIENT), letters, META_FIELD)
        return {_key(row["_id"]): stored_v2(row) for row in rows if _is_known(row)}

    async def _standing(self, letters: Sequence[DeadLetter]) -> dict[Any, Any]:
        """V1's revisions. Only those: a document may be one that cannot even be decoded."""
        v1 = tuned(self.pair.v1.collection, read=READ_MAJORITY, codec=LENIENT)
        rows = await _found(v1, letters, REVISION_FIELD)
        return {_key(row["_id"]): row.get(REVISION_FIELD, 0) for row in rows}


def _is_known(row: dict[str, Any]) -> bool:
    """Whether this is a document of lazymig's. Somebody else's says nothing about an entity."""
    meta = row.get(META_FIELD)
    return isinstance(meta, dict) and {"rev", "intent"} <= meta.keys()


def _is_clean(seen: dict[Any, StoredV2], letter: DeadLetter) -> bool:
    found = seen.get(_key(letter.id))
    return found is not None and found.clean


async def _found(collection: Any, letters: Sequence[DeadLetter], field: str) -> list[dict[str, Any]]:
    if not letters:
        return []
    where = {"_id": {"$in": [letter.id for letter in letters]}}
    return list(await collection.find(where, {field: 1}).to_list(None))


def _by_size(letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    start, size = 0, 0
    for end, letter in enumerate(letters, 1):
        size += len(bson.encode({"": letter.id}))
        if size >= _ID_BYTES or end == len(letters):
            yield letters[start:end]
            start, size = end, 0


def _key(id: Any) -> Any:
    """What tells ids of one collection apart; an id may be of a type that Python cannot hash."""
    return Undecoded([bson.encode({"_id": id})], LENIENT, _nothing).keys[0]


def _nothing(_: Any) -> None:
    """Of a document whose id alone is wanted."""
