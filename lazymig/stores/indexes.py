"""Creating indexes where none exists that serves as well, whatever its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from lazymig.errors import ConfigurationError
from lazymig.stores.drivers import Handle

#: The server's codes for an existing index: the same keys under another name, other keys under this name.
_TAKEN = frozenset({85, 86})
#: Options that make an index omit, refuse or remove documents, or sort them differently.
_LIMITS = ("unique", "partialFilterExpression", "expireAfterSeconds", "collation", "hidden")

Keys = Sequence[tuple[str, int]]


async def ensure_index(collection: Handle, keys: Keys, name: str, *, sparse: bool = False) -> None:
    """Create the index unless one exists that serves as well.

    Raises `ConfigurationError` where an index of another kind has its name or its keys.
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
    # An index of all documents serves as well as a sparse one.
    return sparse or not index.get("sparse")
