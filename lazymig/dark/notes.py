"""Notes of what one call read, so that its comparison looks at the documents that its answer was made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, cast

from attrs import evolve, field, frozen

from lazymig.errors import ForeignDocument
from lazymig.protocol.pair import Pair
from lazymig.stores.given import RawId
from lazymig.stores.ports import Bodies, Truth
from lazymig.stores.records import StoredV1, StoredV2

V1 = TypeVar("V1")
V2 = TypeVar("V2")


@frozen
class Notes:
    """The documents that a call read last, by id; None where a side lacked the entity.

    The call's entity is no substitute: its caller may change it, and it does not say which revision it is of.
    """

    v1: dict[RawId, StoredV1 | None] = field(factory=dict)
    v2: dict[RawId, StoredV2 | None] = field(factory=dict)

    def find_clean(self, id: RawId) -> StoredV2 | None:
        """Return V2's document if it was clean: only then V2 could answer."""
        seen = self.v2.get(id)
        return seen if seen is not None and seen.clean else None


def take_notes(pair: Pair[V1, V2], notes: Notes) -> Pair[V1, V2]:
    """Return the pair for one call, whose reads are noted. Its statements are the same."""
    v1, bodies = _NotingV1(pair.v1, notes), _NotingV2(pair.bodies, notes)
    return evolve(pair, v1=cast(Truth, v1), bodies=cast(Bodies, bodies))


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
        for id in ids:
            stored = found.get(id)
            if not isinstance(stored, ForeignDocument):
                self._notes.v2[id] = stored
        return found
