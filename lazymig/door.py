"""The calls that the repository and the V1 view share: those that neither take nor return an entity."""

from __future__ import annotations

from typing import Generic, TypeVar

from lazymig.protocol.edits import Delete
from lazymig.query import Criteria, check_criteria
from lazymig.routes.calls import Calls
from lazymig.stores.given import Id

V1 = TypeVar("V1")
V2 = TypeVar("V2")


class Door(Generic[V1, V2]):
    """The calls that are the same in V1's and in V2's type."""

    _calls: Calls[V1, V2]

    async def check(self) -> None:
        """Check both collections now and not in the first call.

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
            Whether it existed at some moment of this call.

        Raises:
            TypeError: If the id is of another type.
        """
        raw = self._calls.conversions.raw_id(id)
        async with self._calls.bounded() as stage:
            return await stage.route.exists(raw)

    async def delete(self, id: Id) -> None:
        """Delete one entity from both collections.

        Args:
            id: The entity's id, a value of the id attribute's type.

        Raises:
            NotFound: If there is no such entity.
            Contention: If other writers won every attempt.
            TypeError: If the id is of another type.
        """
        await self._calls.write(self._calls.conversions.raw_id(id), Delete())

    async def count(self, criteria: Criteria | None = None) -> int:
        """Count the entities that match.

        Args:
            criteria: The question in both shapes; None for all.

        Returns:
            The number of documents that match, convertible or not.
        """
        where = check_criteria(criteria)
        async with self._calls.bounded() as stage:
            return await stage.route.count(where)
