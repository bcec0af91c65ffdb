"""The same door in V1's type, for clients that still speak V1. Reads are V1's own; writes keep V2 exact."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lazymig.errors import ConversionError
from lazymig.protocol import listing
from lazymig.protocol.edits import Delete, ReplaceV1, UpdateV1, insert_v1
from lazymig.stores.chunks import chunks

if TYPE_CHECKING:
    from lazymig.protocol.listing import Criteria, OnError
    from lazymig.repository import Repository

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class V1View(Generic[V1, V2]):
    """A repository's entities in V1's type. Same calls, same errors, same guarantees as `Repository`."""

    def __init__(self, repository: Repository[V1, V2]) -> None:
        self._repository = repository
        self._pair = repository.pair
        self._conversions = repository.pair.conversions

    def __repr__(self) -> str:
        return f"<V1 view of {self._repository!r}>"

    async def get(self, id: Any) -> V1 | None:
        """The entity, or None. One round trip. Raises `ConversionError`, `TypeError`."""
        raw = self._conversions.raw_id(id)
        async with self._repository.call():
            stored = await self._pair.v1.find(raw)
        return None if stored is None else self._conversions.v1_entity(stored)

    async def get_many(self, ids: Iterable[Any]) -> dict[Any, V1]:
        """The entities by id, in the order of `ids`; missing ids are left out. One round trip for each thousand ids.

        Raises an `ExceptionGroup` of `ConversionError`.
        """
        raws = {self._conversions.raw_id(id): id for id in ids}
        entities: dict[Any, V1] = {}
        failed: list[ConversionError] = []
        async with self._repository.call():
            for part in chunks(list(raws)):
                stored = await self._pair.v1.find_many(part)
                for raw in (raw for raw in part if raw in stored):
                    try:
                        entities[raws[raw]] = self._conversions.v1_entity(stored[raw])
                    except ConversionError as error:
                        failed.append(error)
        if failed:
            raise ExceptionGroup(f"{len(failed)} of {len(raws)} documents cannot be converted", failed)
        return entities

    async def exists(self, id: Any) -> bool:
        """Whether the entity exists; nothing is converted."""
        return await self._repository.exists(id)

    async def insert(self, entity: V1) -> V1:
        """Store a new entity; returns it. Raises `AlreadyExists`, `ConversionError`, `TypeError`."""
        raw = self._conversions.raw_id_of(entity, self._repository.migration.v1)
        await self._repository.insert_change(raw, lambda: insert_v1(self._conversions, entity))
        return entity

    async def update(self, id: Any, change: Callable[[V1], V1 | Awaitable[V1]]) -> V1:
        """Change one entity; returns the new one. `change(v1) -> v1` must be pure: it may be called again.

        Raises `NotFound`, `Contention`, or whatever `change` raises; then nothing was written. Four round trips:
        V1 is read, so that fields which do not change stay as they are, byte for byte.
        """
        made = await self._repository.write(self._conversions.raw_id(id), UpdateV1(self._conversions, change))
        assert made is not None  # an update is no delete
        entity: V1 = made.entity
        return entity

    async def replace(self, entity: V1) -> V1:
        """Put this entity in the place of the stored one; returns it. Raises `NotFound`, `Contention`, `TypeError`."""
        raw = self._conversions.raw_id_of(entity, self._repository.migration.v1)
        self._conversions.v1_document(entity, "upgrade")  # refused here, before anything is announced
        await self._repository.write(raw, ReplaceV1(self._conversions, entity))
        return entity

    async def delete(self, id: Any) -> None:
        """Delete one entity from both collections. Raises `NotFound`, `Contention`."""
        await self._repository.write(self._conversions.raw_id(id), Delete())

    async def list(
        self,
        criteria: Criteria | None = None,
        *,
        sort: str | tuple[str, str] | None = None,
        limit: int | None = None,
        after: Any = None,
        on_error: OnError = "raise",
    ) -> AsyncIterator[V1]:
        """The entities that match, in a stable order; as `Repository.list`."""
        report = listing.reporter(on_error)
        span = await self._repository.span(criteria, sort, limit, after)
        async with aclosing(listing.rows(self._pair, span)) as found:
            async for rows in found:
                for stored in rows:
                    try:
                        entity = self._conversions.v1_entity(stored)
                    except ConversionError as error:
                        await report(error)
                    else:
                        yield entity

    async def count(self, criteria: Criteria | None = None) -> int:
        """How many entities match."""
        return await self._repository.count(criteria)

    def with_session(self, session: Any) -> V1View[V1, V2]:
        """The same view with every step in that driver session."""
        return self._repository.with_session(session).v1
