"""Notes of what one call read, so that its comparison looks at the documents that its answer was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from attrs import evolve, field, frozen

from lazymig.errors import ConversionError, ForeignDocument
from lazymig.protocol.bodies import await_own_body
from lazymig.protocol.in_place.place import Place
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId
from lazymig.stores.ports import Bodies, Truth
from lazymig.stores.records import StoredV1, StoredV2, StoredWhole, Unmoved
from lazymig.stores.wholes import Wholes

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Notes:
    """The documents that were read last, by id; None where a side lacked the entity.

    The call's entity is no substitute: its caller may change it, and it does not say which revision it is of.
    """

    v1: dict[RawId, StoredV1 | None] = field(factory=dict)
    v2: dict[RawId, StoredV2 | None] = field(factory=dict)
    #: Where one document carries both shapes.
    wholes: dict[RawId, StoredWhole | None] = field(factory=dict)

    def only(self, ids: Sequence[RawId]) -> Notes:
        """Return the notes of these ids, so that the documents of others are kept no longer."""
        v1 = {id: self.v1[id] for id in ids if id in self.v1}
        v2 = {id: self.v2[id] for id in ids if id in self.v2}
        return Notes(v1, v2, {id: self.wholes[id] for id in ids if id in self.wholes})

    def find_clean(self, id: RawId) -> StoredV2 | None:
        """Return V2's document if it was clean: only then V2 could answer."""
        seen = self.v2.get(id)
        return seen if seen is not None and seen.clean else None


async def ask_v1(pair: Pair[V1, V2], ids: Sequence[RawId]) -> Notes:
    """Read V1's documents by one statement. A single read may share its statement with those of callers."""
    if len(ids) == 1:
        return Notes(v1={ids[0]: await pair.v1.find(ids[0])})
    found = await pair.v1.find_many(ids) if ids else {}
    return Notes(v1={id: found.get(id) for id in ids})


async def ask_v2(pair: Pair[V1, V2], ids: Sequence[RawId]) -> Notes:
    """Read V2's documents by one statement. Those that lazymig did not store are left out of the notes."""
    if len(ids) == 1:
        await await_own_body(pair, ids[0])
        return Notes(v2={ids[0]: await pair.bodies.find(ids[0])})
    found = await pair.bodies.find_many(ids) if ids else {}
    return Notes(v2=_without_foreign(ids, found))


async def answer(pair: Pair[V1, V2], id: RawId, asked: Notes, notes: Notes) -> None:
    """Make the answer that a candidate would give, for its latency."""
    truth, seen = asked.v1.get(id), asked.find_clean(id)
    if truth is not None:
        await upgrade(pair, truth, notes.find_clean(id))
    elif seen is not None:
        pair.conversions.trusted(seen)


async def upgrade(pair: Pair[V1, V2], truth: StoredV1, seen: StoredV2 | None) -> V2 | Unmoved | None:
    """Convert V1's document; None where that fails."""
    try:
        return await pair.conversions.upgraded(truth, seen)
    except ConversionError:
        return None


def take_notes(pair: Pair[V1, V2], notes: Notes) -> Pair[V1, V2]:
    """Return the pair for one call, whose reads are noted. Its statements are the same."""
    v1, bodies = _NotingV1(pair.v1, notes), _NotingV2(pair.bodies, notes)
    return evolve(pair, v1=cast(Truth, v1), bodies=cast(Bodies, bodies))


def take_whole_notes(place: Place[V1, V2], notes: Notes) -> Place[V1, V2]:
    """Return the place for one call, whose reads are noted. Its statements are the same."""
    return evolve(place, store=cast(Wholes, _NotingWholes(place.store, notes)))


class _NotingWholes:
    def __init__(self, store: Wholes, notes: Notes) -> None:
        self._store = store
        self._notes = notes

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def find(self, id: RawId) -> StoredWhole | None:
        stored = await self._store.find(id)
        self._notes.wholes[id] = stored
        return stored

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredWhole]:
        found = await self._store.find_many(ids)
        self._notes.wholes.update({id: found.get(id) for id in ids})
        return found


class _NotingV1:
    def __init__(self, store: Truth, notes: Notes) -> None:
        self._store = store
        self._notes = notes

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def find(self, id: RawId) -> StoredV1 | None:
        stored = await self._store.find(id)
        self._notes.v1[id] = stored
        return stored

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV1]:
        found = await self._store.find_many(ids)
        self._notes.v1.update({id: found.get(id) for id in ids})
        return found


class _NotingV2:
    def __init__(self, store: Bodies, notes: Notes) -> None:
        self._store = store
        self._notes = notes

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def find(self, id: RawId) -> StoredV2 | None:
        stored = await self._store.find(id)
        self._notes.v2[id] = stored
        return stored

    async def find_many(self, ids: Sequence[RawId]) -> dict[RawId, StoredV2 | ForeignDocument]:
        found = await self._store.find_many(ids)
        self._notes.v2.update(_without_foreign(ids, found))
        return found


def _without_foreign(
    ids: Sequence[RawId], found: dict[RawId, StoredV2 | ForeignDocument]
) -> dict[RawId, StoredV2 | None]:
    return {id: stored for id in ids if not isinstance(stored := found.get(id), ForeignDocument)}
