"""Reviewing dead letters: remove those whose entities are in V2 or deleted, and try again where V1 has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

import bson
from attrs import frozen

from lazymig.control import Control, parts_of
from lazymig.passes.shedding import as_patient_as
from lazymig.protocol.pair import Pair
from lazymig.stores.documents import META_FIELD, is_foreign, parse_v2
from lazymig.stores.given import RawId
from lazymig.stores.raw import decode_for_id, keys_of
from lazymig.stores.records import DeadLetter, StoredV2
from lazymig.stores.scans import Scan
from lazymig.sweeping.failures import Failures
from lazymig.sweeping.marks import resolve_mark
from lazymig.sweeping.moving import Mover

V1 = TypeVar("V1")
V2 = TypeVar("V2")

#: Bytes of ids in one statement, far below the limit of a statement.
_ID_BYTES = 1_000_000


async def _always() -> bool:
    return True


class Review(Protocol):
    """Judges dead letters in one layout."""

    @property
    def name(self) -> str:
        """The migration's name."""

    @property
    def failures(self) -> Failures:
        """What could not be moved while letters were tried again."""

    @property
    def insist(self) -> bool:
        """Whether entities are tried again even if V1 has not changed."""

    async def find_resolved(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Try again where that is due; find the letters whose entities no longer need a person."""


async def review_letters(
    review: Review,
    control: Control,
    *,
    ids: Sequence[RawId] = (),
    goes_on: Callable[[], Awaitable[bool]] = _always,
) -> int:
    """Review the dead letters, or those of `ids`; return how many were removed.

    Letters of entities that V2 holds now or V1 no longer holds are removed. First, entities whose V1 document has
    another revision now are tried again; where the review insists, the others too. A thousand letters whose entities
    have not changed cost three statements. `goes_on` is awaited before those, and may wait; False ends the review.
    """
    await review.failures.flush()
    count = 0
    dead = parts_of(control).letters
    waived = None if review.insist else False
    pages = dead.find_pages_of(review.name, ids) if ids else dead.find_pages(review.name, waived=waived)
    async for page in pages:
        for letters in _by_size(page):
            if not await goes_on():
                return count
            resolved = await review.find_resolved(letters)
            count += await dead.remove(review.name, [letter.id for letter in resolved])
    return count


@frozen
class PairReview(Review, Generic[V1, V2]):
    """Judges the letters of entities that have a document in each of two collections."""

    pair: Pair[V1, V2]
    mover: Mover[V1, V2]
    grace: timedelta
    insist: bool = False

    @property
    def name(self) -> str:
        return self.pair.conversions.migration.name

    @property
    def failures(self) -> Failures:
        return self.mover.failures

    async def find_resolved(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        named = dict(zip(keys_of(letter.id for letter in letters), letters, strict=True))
        seen = await self._find_seen(letters)
        rest = {key: letter for key, letter in named.items() if not self._is_current(seen.get(key))}
        standing = await self._find_revisions(list(rest.values()))
        due = {key: letter for key, letter in rest.items() if self._is_due(key, letter, standing)}
        if due:
            await self._try_again(due, seen)
            seen |= await self._find_seen(list(due.values()))
        return [
            letter for key, letter in named.items()
            if self._is_current(seen.get(key)) or (key in rest and key not in standing)  # it was deleted
        ]  # fmt: skip

    def _scan_v1(self) -> Scan:
        return as_patient_as(self.pair.v1, Scan(self.pair.v1, majority=True))

    def _scan_v2(self) -> Scan:
        return as_patient_as(self.pair.bodies, Scan(self.pair.bodies))

    def _is_current(self, seen: StoredV2 | None) -> bool:
        return seen is not None and self.pair.conversions.is_settled(seen)

    def _is_due(self, key: Any, letter: DeadLetter, standing: dict[Any, Any]) -> bool:
        return key in standing and (self.insist or standing[key] != letter.revision)

    async def _try_again(self, due: dict[RawId, DeadLetter], seen: dict[RawId, StoredV2]) -> None:
        clock = self.pair.clock
        read_at_s = clock.monotonic()
        async for documents in find_named(self._scan_v1(), {k: one.id for k, one in due.items() if k not in seen}):
            await self.mover.move(documents, read_at_s)
            read_at_s = clock.monotonic()
        for key in due.keys() & seen.keys():
            # With its body: `upgrade` may take it as the previous entity.
            row = await self._scan_v2().find_document(due[key].id)
            if row is not None and not is_foreign(row):
                await resolve_mark(self.pair, self.mover, parse_v2(row), self.grace)
        await self.mover.failures.flush()

    async def _find_seen(self, letters: Sequence[DeadLetter]) -> dict[RawId, StoredV2]:
        # Not by the store, which may join calls by hashable ids: entities whose ids are not hashable have dead letters.
        rows = await self._scan_v2().find_fields([letter.id for letter in letters], META_FIELD)
        known = [row for row in rows if not is_foreign(row)]
        return dict(zip(keys_of(row["_id"] for row in known), map(parse_v2, known), strict=True))

    async def _find_revisions(self, letters: Sequence[DeadLetter]) -> dict[Any, Any]:
        """Find V1's revisions only, because some documents cannot be decoded."""
        found = await self._scan_v1().find_revisions([letter.id for letter in letters])
        return dict(zip(keys_of(one.id for one in found), (one.revision for one in found), strict=True))


async def find_named(scan: Scan, rest: dict[RawId, RawId]) -> AsyncIterator[Sequence[RawId]]:
    """Yield the whole documents of these ids, by their keys, one reply at a time."""
    while rest:
        found = await scan.find_whole({"_id": {"$in": list(rest.values())}}, len(rest))
        if not found:
            return  # deleted meanwhile
        yield found
        keys = set(keys_of(decode_for_id(document)["_id"] for document in found))
        rest, before = {key: id for key, id in rest.items() if key not in keys}, len(rest)
        if len(rest) == before:
            return  # the reply had none of these ids: the loop would not end


def _by_size(letters: Sequence[DeadLetter]) -> Iterator[Sequence[DeadLetter]]:
    start, size = 0, 0
    for end, letter in enumerate(letters, 1):
        size += len(bson.encode({"": letter.id}))
        if size >= _ID_BYTES or end == len(letters):
            yield letters[start:end]
            start, size = end, 0
