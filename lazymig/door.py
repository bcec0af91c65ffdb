"""The calls that the repository and the V1 view share: those that neither take nor return an entity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from lazymig.protocol.births import decide_insert_v2
from lazymig.protocol.edits import ClientEdit, Delete, DeleteV2, UpdateV2
from lazymig.protocol.replacing import ReplaceV2, Supply
from lazymig.query import Criteria, check_criteria
from lazymig.routes.calls import Calls
from lazymig.stores.given import Id

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Door(Generic[V1, V2]):
    """The calls that are the same in V1's and in V2's type."""

    _calls: Calls[V1, V2]

    async def check(self) -> None:
        """Check the collections now and not in the first call.

        Raises:
            ConfigurationError: If they cannot be used as they are; the message says what to change.
        """
        stage = await self._calls.join()
        await stage.first_use.passed()

    async def exists(self, id: Id) -> bool:
        """Return whether the entity exists; nothing is converted. At most two round trips.

        Args:
            id: The entity's id, a value of the id attribute's type.

        Returns:
            Whether it existed at some moment of this call. V2's door also counts entities that wait for their users,
            and those that `upgrade` leaves until V2 has recorded that.

        Raises:
            TypeError: If the id is of another type.
        """
        raw = self._calls.conversions.raw_id(id)
        async with self._calls.bounded() as stage:
            return await stage.route.exists(raw)

    async def delete(self, id: Id) -> None:
        """Delete one entity, from both collections where there are two.

        Args:
            id: The entity's id, a value of the id attribute's type.

        Raises:
            NotFound: If there is no such entity. V2's door does not know one that `upgrade` leaves.
            Contention: If other writers won every attempt.
            TypeError: If the id is of another type.
        """
        await self._calls.write(self._calls.conversions.raw_id(id), self._make_deletion())

    def _make_deletion(self) -> ClientEdit:
        return Delete()

    async def count(self, criteria: Criteria | None = None) -> int:
        """Count the entities that match.

        Args:
            criteria: The question in both shapes; None for all.

        Returns:
            The number of documents that match, convertible or not. Before `V2_PRIMARY` it includes entities that wait
            for their users and those that `upgrade` leaves; from then on V2's door counts neither.
        """
        where = check_criteria(criteria)
        async with self._calls.bounded() as stage:
            return await stage.route.count(where)


class V2Door(Door[V1, V2]):
    """Writes in V2's type."""

    def _make_deletion(self) -> ClientEdit:
        return DeleteV2(self._calls.conversions)

    async def insert(self, entity: V2) -> V2:
        """Store a new entity and return it. Three round trips while both collections are written, one in place.

        Args:
            entity: An instance of the migration's V2 class.

        Returns:
            The entity as given.

        Raises:
            AlreadyExists: If the id is taken.
            NotFound: With `Migration(part=True)`, if V1 has no document that the entity could be a part of.
            ConversionError: If the entity does not convert, or BSON cannot hold it exactly.
            TypeError: If it is of another class.
        """
        raw = self._calls.conversions.raw_id_of(entity, self._calls.migration.v2)
        await self._calls.insert(raw, partial(decide_insert_v2, self._calls.conversions, entity))
        return entity

    async def update(self, id: Id, change: Callable[[V2], V2 | Awaitable[V2]]) -> V2:
        """Change one entity and return the new one. Three round trips when V2 has it, two with `write_behind`.

        In place, two.

        Args:
            id: The entity's id.
            change: `change(entity) -> entity`, sync or async. It must be pure, because it is called again after a lost
                race. Where other tasks of this process update the entity, it may get what their changes have returned
                before that is stored. It may be cancelled and called again if it waits for longer than some
                milliseconds.

        Returns:
            The entity that `change` returned, as it is stored now.

        Raises:
            NotFound: If there is no such entity, or `upgrade` leaves it.
            ConversionError: If it does not convert, or with the cause `NotYet`: there is no entity to start from.
            Contention: If other writers won every attempt.
            Exception: What `change` raises. In all these cases nothing was written.
        """
        made = await self._calls.write(self._calls.conversions.raw_id(id), UpdateV2(self._calls.conversions, change))
        assert made is not None  # an update is no delete
        entity: V2 = made.entity
        return entity

    async def replace(self, entity: V2) -> V2:
        """Replace the stored entity by this one and return it. The last write wins, and V1 and V2 agree.

        The stored document need not be convertible: `replace` is how to put a good entity in its place. An entity that
        waits for its user is moved by it.

        Args:
            entity: An instance of the migration's V2 class.

        Returns:
            The entity as given.

        Raises:
            NotFound: If there is no such entity, or `upgrade` leaves it.
            Contention: If other writers won every attempt.
            TypeError: If it is of another class.
        """
        raw = self._calls.conversions.raw_id_of(entity, self._calls.migration.v2)
        self._calls.conversions.v2_body(entity, "downgrade")  # raises here, before anything is announced
        await self._calls.write(raw, ReplaceV2(self._calls.conversions, entity))
        return entity

    async def supply(self, id: Id, entity: V2) -> V2:
        """Give an entity that waits for its user what `upgrade` lacks, and return it.

        Unlike `replace`, it replaces nothing that somebody else has given or that converts by itself.

        Args:
            id: The entity's id.
            entity: The whole entity, an instance of the migration's V2 class with this id.

        Returns:
            The entity as given.

        Raises:
            AlreadyExists: If the entity does not wait: V2's door has it.
            NotFound: If there is no such entity, or `upgrade` leaves it.
            ConversionError: If V1's document does not convert for another reason, or the entity does not.
            Contention: If other writers won every attempt.
            TypeError: If the id or the entity is of another type, or the entity has another id.
        """
        conversions = self._calls.conversions
        raw = conversions.raw_id(id)
        if conversions.raw_id_of(entity, self._calls.migration.v2) != raw:
            raise TypeError("supply: the entity has another id; pass the entity with the id that is asked for")
        conversions.v2_body(entity, "downgrade")  # raises here, before anything is announced
        await self._calls.write(raw, Supply(conversions, entity))
        return entity
