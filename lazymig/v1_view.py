"""The door in V1's type, for code that still uses it. It follows the phase, as the repository does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Literal, TypeVar, overload

from lazymig.door import Door
from lazymig.errors import ConfigurationError, ConversionError
from lazymig.protocol.births import decide_insert_v1
from lazymig.protocol.edits import UpdateV1
from lazymig.protocol.replacing import ReplaceV1
from lazymig.query import Criteria, Listing, OnError, Sort, check_criteria
from lazymig.routes.calls import Calls
from lazymig.shapes.migration import is_finished
from lazymig.stores.given import Id, Session

K = TypeVar("K", bound=Id)
V1 = TypeVar("V1")
V2 = TypeVar("V2")


class V1View(Door[V1, V2]):
    """A repository's entities in V1's type, with the calls, errors and guarantees of `Repository`.

    `Repository.v1` returns one.

    Args:
        calls: What the repository is composed of.

    Raises:
        ConfigurationError: `Migration.finished` made the migration, which knows no V1.
    """

    def __init__(self, calls: Calls[V1, V2]) -> None:
        if is_finished(calls.migration):
            raise ConfigurationError("v1: Migration.finished(...) knows no V1; use the repository itself")
        self._calls = calls

    def __repr__(self) -> str:
        return f"<V1 view of <Repository {self._calls.migration.name} {self._calls.stages}>>"

    async def exists(self, id: Id) -> bool:
        """Return whether the entity exists; nothing is converted. One round trip.

        Args:
            id: The entity's id, a value of the id attribute's type.

        Returns:
            Whether it existed at some moment of this call.

        Raises:
            TypeError: If the id is of another type.
        """
        raw = self._calls.conversions.raw_id(id)
        return await self._calls.exists_in_v1(raw)

    async def count(self, criteria: Criteria | None = None) -> int:
        """Count the entities that match. V1's side of the question is asked while V1 is written.

        Args:
            criteria: The question in both shapes; None for all.

        Returns:
            The number of documents that match, convertible or not.
        """
        where = check_criteria(criteria)
        return await self._calls.count_v1(where)

    def with_session(self, session: Session) -> V1View[V1, V2]:
        """Return this view with every step in a driver session, and in its transaction if one is open.

        Args:
            session: A session of the client that both collections belong to.

        Returns:
            A view on the same repository; it needs no closing of its own.

        Raises:
            ConfigurationError: For a repository with `read_concern`, which a transaction cannot keep.
        """
        return V1View(self._calls.in_session(session))

    async def get(self, id: Id) -> V1 | None:
        """Return the entity, or None. One round trip.

        Args:
            id: The entity's id, a value of the id attribute's type.

        Returns:
            The entity as it was at some moment of this call.

        Raises:
            ConversionError: If V1's document does not fit its class.
            TypeError: If the id is of another type.
        """
        raw = self._calls.conversions.raw_id(id)
        return await self._calls.read_v1(raw)

    @overload
    async def get_many(self, ids: Iterable[K], *, on_error: OnError = "raise") -> dict[K, V1]: ...

    @overload
    async def get_many(self, ids: Iterable[K], *, on_error: Literal["return"]) -> dict[K, V1 | ConversionError]: ...

    async def get_many(
        self, ids: Iterable[K], *, on_error: OnError | Literal["return"] = "raise"
    ) -> dict[K, V1] | dict[K, V1 | ConversionError]:
        """Return the entities by id, in the order of `ids`; missing ids are left out.

        One round trip per thousand ids.

        Args:
            ids: The ids, any number of them.
            on_error: What to do with documents that do not fit V1's class: "raise" all their errors together, "skip"
                them, "return" each error in its entity's place, or call a function (sync or async) with each error.

        Returns:
            The entities, and with "return" the errors, by the ids as they were given.

        Raises:
            ExceptionGroup: Of `ConversionError`, with "raise".
            TypeError: If an id is of another type.
        """
        return await self._calls.read_v1_many(ids, on_error)

    async def insert(self, entity: V1) -> V1:
        """Store a new entity and return it.

        Args:
            entity: An instance of the migration's V1 class.

        Returns:
            The entity as given.

        Raises:
            AlreadyExists: If the id is taken.
            NotFound: With `Migration(part=True)`, if V1 has no document that the entity could be a part of.
            ConversionError: If the entity does not convert, or BSON cannot hold it exactly.
            TypeError: If it is of another class.
        """
        raw = self._calls.conversions.raw_id_of(entity, self._calls.migration.v1)
        await self._calls.insert(raw, partial(decide_insert_v1, self._calls.conversions, entity))
        return entity

    async def update(self, id: Id, change: Callable[[V1], V1 | Awaitable[V1]]) -> V1:
        """Change one entity and return the new one.

        Four round trips, two in place: V1 is read first, so that fields which do not change stay as they are, byte for
        byte.

        Args:
            id: The entity's id.
            change: `change(entity) -> entity`, sync or async. It must be pure, because it is called again after a lost
                race. Where other tasks of this process update the entity, it may get what their changes have returned
                before that is stored. It may be cancelled and called again if it waits for longer than some
                milliseconds.

        Returns:
            The entity that `change` returned, as it is stored now.

        Raises:
            NotFound: If there is no such entity.
            Contention: If other writers won every attempt.
            Exception: What `change` raises. In all these cases nothing was written.
        """
        made = await self._calls.write(self._calls.conversions.raw_id(id), UpdateV1(self._calls.conversions, change))
        assert made is not None  # an update is no delete
        entity: V1 = made.entity
        return entity

    async def replace(self, entity: V1) -> V1:
        """Replace the stored entity by this one and return it. The last write wins, and V1 and V2 agree.

        The stored document need not fit its class: `replace` is how to put a good entity in its place.

        Args:
            entity: An instance of the migration's V1 class.

        Returns:
            The entity as given.

        Raises:
            NotFound: If there is no such entity.
            Contention: If other writers won every attempt.
            TypeError: If it is of another class.
        """
        raw = self._calls.conversions.raw_id_of(entity, self._calls.migration.v1)
        self._calls.conversions.v1_document(entity, "upgrade")  # raises here, before anything is announced
        await self._calls.write(raw, ReplaceV1(self._calls.conversions, entity))
        return entity

    def list(
        self,
        criteria: Criteria | None = None,
        *,
        sort: Sort | None = None,
        limit: int | None = None,
        after: Id | None = None,
        on_error: OnError = "raise",
    ) -> AsyncIterator[V1]:
        """Yield the entities that match, in a stable order, paged inside: memory does not grow with their number.

        Entities that are inserted or deleted meanwhile may or may not be yielded. All others are yielded exactly once,
        unless their sort field changes.

        Args:
            criteria: The question in both shapes; None for all.
            sort: A field that both shapes have, or a pair (V1's field, V2's field), with "-" in front for descending
                order; None for the order of ids.
            limit: How many entities at most; documents that do not fit the class count as well.
            after: The id of the last entity that was seen; the listing continues after it.
            on_error: What to do at a document that does not fit V1's class: "raise" its `ConversionError`, "skip" it,
                or call a function (sync or async) with the error and continue.

        Yields:
            Entities, each decoded when it is reached.

        Raises:
            ConversionError: At a document that does not fit V1's class, with "raise".
            ConfigurationError: If `sort` names a field that a shape does not have.
            NotFound: If the entity `after` is gone and the order is not by id.
            TypeError: If an argument is of another type.
        """
        asked = Listing(criteria=criteria, sort=sort, limit=limit, after=after, on_error=on_error)
        return self._calls.list_v1(asked)
