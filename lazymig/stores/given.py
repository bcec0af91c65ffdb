"""What the user gives: ids, collections and sessions, by the least that lazymig needs of them.

PyMongo's asyncio API, Motor and mongomock-motor share no base class, so these types are structural.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from bson import ObjectId

#: The types of an id: scalars that BSON compares by value. A dict could become a filter.
Id: TypeAlias = str | int | bytes | ObjectId | UUID


class Collection(Protocol):
    """An async collection of PyMongo, Motor or mongomock-motor, of a client that belongs to the running event loop."""

    async def find_one(self, *args: Any, **kwargs: Any) -> Any:
        """Find one document."""

    async def insert_one(self, *args: Any, **kwargs: Any) -> Any:
        """Insert one document."""

    def find(self, *args: Any, **kwargs: Any) -> Any:
        """Find documents."""


class Session(Protocol):
    """A session of the driver that the collections belong to."""

    @property
    def client(self) -> Any:
        """The client that started the session."""

    async def end_session(self) -> Any:
        """End the session."""


class Collections(NamedTuple):
    """The two collections of a repository, as they were given: of whichever driver."""

    v1: Any
    v2: Any
