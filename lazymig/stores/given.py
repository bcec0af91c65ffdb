"""The types of what the user passes: ids, collections and sessions.

PyMongo's asyncio API, Motor and mongomock-motor share no base class, so these types are structural and name only what
lazymig checks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from bson import ObjectId

#: The types of an id: scalars that BSON compares by value. A dict could become a filter.
Id: TypeAlias = str | int | bytes | ObjectId | UUID
#: Whatever stands in `_id`. Nothing narrower is true: MongoDB takes every BSON type there except arrays and regular
#: expressions, and other clients may have stored any of them.
RawId: TypeAlias = Any
#: A store, or a collection of any driver. `drivers.collection_of` gets the collection.
Store: TypeAlias = object


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
    """The two collections of a repository, as they were passed to it.

    Their type is `Any`, so that type checkers accept the methods of the driver that they belong to.

    Attributes:
        v1: The collection of the old shape.
        v2: The collection of the new shape.
    """

    v1: Any
    v2: Any
