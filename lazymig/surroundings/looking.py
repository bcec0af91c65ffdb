"""One collection as the server describes it. What this user may not see is noted, and is no error."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen
from bson.binary import Binary
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from lazymig.stores.drivers import LENIENT, Driver, driver_of, settled, tuned

T = TypeVar("T")

#: Not authorized, no such command, not supported here, not in the strict API, out of its time (`maxTimeMS`).
_HIDDEN = frozenset({13, 59, 115, 8000, 323, 50})
#: No such collection; a view, which has no indexes.
_ABSENT = frozenset({26, 166})
_UNKNOWN_COMMAND = 59
#: Bounds every look at documents, in milliseconds: none is worth a slow start.
LOOK_MS = 2000


@frozen
class Seen:
    """One collection as the server describes it."""

    #: "v1", "v2" or "control": the argument that named it.
    side: str
    #: Database and collection.
    name: str
    #: "collection", "view" or "timeseries"; None where there is none yet, or where that cannot be seen.
    kind: str | None = None
    options: Mapping[str, Any] = field(factory=dict)
    indexes: Sequence[Mapping[str, Any]] = ()
    hello: Mapping[str, Any] = field(factory=dict)
    #: Whether the client talks to one server and looks for no other.
    direct: bool = False
    #: The keys by which a cluster distributes the collection, where it does and where that can be seen.
    shard_key: Mapping[str, Any] = field(factory=dict)
    #: What this user may not look at, in words.
    unseen: tuple[str, ...] = ()

    @property
    def may_step_down(self) -> bool:
        """Whether the client's only server is a primary today, and would go on answering as a secondary."""
        return self.direct and "setName" in self.hello


async def look(side: str, collection: Any, hello: Mapping[str, Any]) -> Seen:
    """Look at one collection of a server that answered `hello`. In memory there is nothing to see."""
    name = str(collection.full_name)
    if driver_of(collection) is Driver.MEMORY:
        return Seen(side, name)
    unseen: list[str] = []
    described = await _described(collection, unseen, side)
    indexes = [] if described.get("type") != "collection" else await _indexes(collection, unseen, side)
    return Seen(
        side, name, described.get("type"), described.get("options", {}), indexes, hello,
        _is_direct(collection), await _shard_key(collection, hello, unseen, side), tuple(unseen),
    )  # fmt: skip


def in_memory(*collections: Any) -> bool:
    """Whether none of them is on a server."""
    return all(driver_of(collection) is Driver.MEMORY for collection in collections)


async def uuid_of(collection: Any) -> str | None:
    """What identifies a collection, or None where there is none or it cannot be seen."""
    if driver_of(collection) is Driver.MEMORY:
        return None
    described = await _described(collection, [], "")
    return _hex(described.get("info", {}).get("uuid"))


async def identities(v1: Any, v2: Any) -> dict[str, str | None] | None:
    """What identifies both collections; None where either cannot be seen or does not stand."""
    found = {"v1": await uuid_of(v1), "v2": await uuid_of(v2)}
    return None if None in found.values() else found


def _hex(value: Any) -> str | None:
    """A UUID however the driver returned it."""
    if value is None:
        return None
    return bytes(value).hex() if isinstance(value, Binary) else str(value.hex)


def _is_direct(collection: Any) -> bool:
    topology = getattr(collection.database.client, "topology_description", None)
    return getattr(topology, "topology_type_name", "") == "Single"


def is_still_primary(collection: Any) -> bool:
    """Whether the driver's own monitor has not seen the only server step down. Asks nobody."""
    servers = collection.database.client.topology_description.server_descriptions().values()
    # Without a connection nothing is known, and the next statement waits for one.
    return all(server.server_type_name in ("RSPrimary", "Unknown") for server in servers)


async def attempt(call: Awaitable[T], otherwise: T, unseen: list[str], what: str) -> T:
    """The answer, or `otherwise` where this user or this server cannot give it; then `what` is noted as unseen."""
    try:
        return await call
    except OperationFailure as error:
        if error.code in _HIDDEN:
            unseen.append(what)
        elif error.code not in _ABSENT:
            raise
        return otherwise


async def _command(collection: Any, command: str, value: Any, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await collection.database.command(
        command, value, read_preference=ReadPreference.PRIMARY, codec_options=DEFAULT_CODEC_OPTIONS, **arguments
    )
    return found


async def greeted(*collections: Any) -> list[dict[str, Any]]:
    """What the server of each collection says of itself, each client's asked once."""
    answers: dict[int, dict[str, Any]] = {}
    for collection in collections:
        if driver_of(collection) is not Driver.MEMORY:
            client = id(collection.database.client)
            answers[client] = answers.get(client) or await _hello(collection)
    return [answers.get(id(collection.database.client), {}) for collection in collections]


async def _hello(collection: Any) -> dict[str, Any]:
    admin = collection.database.client["admin"]["$cmd"]
    try:
        return await _command(admin, "hello", 1)
    except OperationFailure as error:
        if error.code != _UNKNOWN_COMMAND:
            raise
        old = await _command(admin, "isMaster", 1)  # servers before 4.4.2
        return {**old, "isWritablePrimary": old.get("ismaster")}


async def _described(collection: Any, unseen: list[str], side: str) -> dict[str, Any]:
    named = {"filter": {"name": collection.name}}
    nothing: dict[str, Any] = {"cursor": {"firstBatch": []}}
    hidden: list[str] = []
    found = await attempt(_command(collection, "listCollections", 1, **named), nothing, hidden, "")
    if hidden:
        # Who may read only some of a database's collections may still see their names and types.
        unseen.append(f"{side}: its options (capped, collation, validator)")
        allowed = {"nameOnly": True, "authorizedCollections": True}
        found = await attempt(_command(collection, "listCollections", 1, **named, **allowed), nothing, hidden, "")
    first: list[dict[str, Any]] = found["cursor"]["firstBatch"]
    return first[0] if first else {}


async def _indexes(collection: Any, unseen: list[str], side: str) -> list[dict[str, Any]]:
    nothing: dict[str, Any] = {"cursor": {"firstBatch": []}}
    listed = _command(collection, "listIndexes", collection.name)
    found = await attempt(listed, nothing, unseen, f"{side}: its indexes")
    indexes: list[dict[str, Any]] = found["cursor"]["firstBatch"]
    return indexes


async def _shard_key(collection: Any, hello: Mapping[str, Any], unseen: list[str], side: str) -> Mapping[str, Any]:
    if hello.get("msg") != "isdbgrid":
        return {}
    collections = collection.database.client["config"]["collections"]
    row = await attempt(
        collections.find_one({"_id": collection.full_name}, {"key": 1}), None, unseen, f"{side}: its shard key"
    )
    key: Mapping[str, Any] = (row or {}).get("key", {})
    return key


async def first_of(collection: Any, where: Mapping[str, Any], fields: Mapping[str, Any], **options: Any) -> list[Any]:
    """A few documents, found within a bounded time and decoded whatever they hold."""
    cursor = tuned(collection, codec=LENIENT).find(dict(where), dict(fields), max_time_ms=LOOK_MS, **options)
    return list(await cursor.to_list(None))


async def aggregated(source: Any, stages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The result of a small aggregation of a collection or a database, found within a bounded time."""
    cursor = await settled(source.aggregate(list(stages), maxTimeMS=LOOK_MS))
    return list(await cursor.to_list(None))
