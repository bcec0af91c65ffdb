"""Making sure of an index, whatever its name: one that somebody created before serves as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from lazymig.errors import ConfigurationError
from lazymig.stores.drivers import Handle

#: The server's codes for an index that stands already: the same keys under another name, another index of this name.
_TAKEN = frozenset({85, 86})
#: What makes an index hold fewer documents, refuse some, remove some, or sort them otherwise.
_LIMITS = ("unique", "partialFilterExpression", "expireAfterSeconds", "collation", "hidden")

Keys = Sequence[tuple[str, int]]


async def ensure_index(collection: Handle, keys: Keys, name: str, *, sparse: bool = False) -> None:
    """Create the index unless one stands that serves as well.

    Raises `ConfigurationError` where an index of another kind is in its place.
    """
    options: dict[str, Any] = {"sparse": True} if sparse else {}
    try:
        await collection.create_index(list(keys), name=name, **options)
    except OperationFailure as error:
        if error.code not in _TAKEN:
            raise
        standing = await collection.index_information()
        if any(_serves(index, keys, sparse=sparse) for index in standing.values()):
            return
        fields = ", ".join(field for field, _ in keys)
        raise ConfigurationError(
            f"{collection.full_name}: an index named {name} or one on ({fields}) is in the way of the one that lazymig "
            "needs; drop it, and lazymig creates its own"
        ) from None


def _serves(index: Mapping[str, Any], keys: Keys, *, sparse: bool) -> bool:
    if list(index["key"]) != list(keys) or any(index.get(limit) for limit in _LIMITS):
        return False
    # One that holds all documents serves where a sparse one would do.
    return sparse or not index.get("sparse")
