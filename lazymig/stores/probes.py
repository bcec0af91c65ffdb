"""What the server says of one collection: statements that look, change nothing, and know nothing of what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from lazymig.stores.drivers import LENIENT, Driver, Handle, awaited, collection_of, driver_of, tuned

#: Bounds every look at documents, in milliseconds: none is worth a slow start.
LOOK_MS = 2000
_UNKNOWN_COMMAND = 59


class Probe:
    """One collection, to be looked at on its primary. Driver errors pass through.

    In memory there is nothing to see: the only statements that work there are those about documents.
    """

    def __init__(self, collection: Handle) -> None:
        self._given = collection
        self._documents = tuned(collection)
        self._lenient = tuned(collection, codec=LENIENT)
        self.in_memory = driver_of(collection) is Driver.MEMORY

    @property
    def name(self) -> str:
        """Database and collection."""
        return str(self._given.full_name)

    @property
    def client_key(self) -> int:
        """What distinguishes the collection's client from others."""
        return id(self._given.database.client)

    def is_same(self, other: Probe) -> bool:
        """Whether both are one collection of one client. Nothing is sent."""
        one, two = self._given, other._given
        return one is two or bool(one.full_name == two.full_name and one.database.client == two.database.client)

    @property
    def is_direct(self) -> bool:
        """Whether the client talks to one server and looks for no other. Nothing is sent."""
        topology = getattr(self._given.database.client, "topology_description", None)
        return getattr(topology, "topology_type_name", "") == "Single"

    @property
    def is_still_primary(self) -> bool:
        """Whether the driver's own monitor has not seen the only server step down. Nothing is sent."""
        servers = self._given.database.client.topology_description.server_descriptions().values()
        # Without a connection nothing is known, and the next statement waits for one.
        return all(server.server_type_name in ("RSPrimary", "Unknown") for server in servers)

    async def greet(self) -> dict[str, Any]:
        """Ask what the server says of itself, in today's words whatever its version."""
        admin = self._given.database.client["admin"]
        try:
            return await _command(admin, "hello", 1)
        except OperationFailure as error:
            if error.code != _UNKNOWN_COMMAND:
                raise
            old = await _command(admin, "isMaster", 1)  # servers before 4.4.2
            return {**old, "isWritablePrimary": old.get("ismaster")}

    async def describe(self, *, name_only: bool = False) -> dict[str, Any]:
        """Ask what kind of collection it is, with its options; empty where there is none yet.

        `name_only` asks for the kind alone, which may also be seen by those who may read only some collections.
        """
        arguments: dict[str, Any] = {"filter": {"name": self._given.name}}
        if name_only:
            arguments |= {"nameOnly": True, "authorizedCollections": True}
        found = await _command(self._given.database, "listCollections", 1, **arguments)
        first: list[dict[str, Any]] = found["cursor"]["firstBatch"]
        return first[0] if first else {}

    async def find_indexes(self) -> list[dict[str, Any]]:
        """Ask for the collection's indexes."""
        found = await _command(self._given.database, "listIndexes", self._given.name)
        indexes: list[dict[str, Any]] = found["cursor"]["firstBatch"]
        return indexes

    async def find_shard_key(self) -> Mapping[str, Any]:
        """Ask a cluster for the keys by which it distributes the collection; none where it does not."""
        collections = self._given.database.client["config"]["collections"]
        row = await collections.find_one({"_id": self._given.full_name}, {"key": 1})
        key: Mapping[str, Any] = (row or {}).get("key", {})
        return key

    async def find_documents(self, where: Mapping[str, Any], fields: Mapping[str, Any], **options: Any) -> list[Any]:
        """Find a few documents within a bounded time, decoded whatever they hold."""
        cursor = self._lenient.find(dict(where), dict(fields), max_time_ms=LOOK_MS, **options)
        return list(await cursor.to_list(None))

    async def evaluate(self, stages: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Aggregate the collection's documents within a bounded time."""
        return await _aggregated(self._documents, stages)

    async def count_matching(self, documents: Sequence[Mapping[str, Any]], where: Mapping[str, Any]) -> int:
        """Count which of these documents, none of them stored, the server would find by this filter.

        Raises `OperationFailure` on servers before 6.0, and where the filter cannot be evaluated for one of them.
        """
        # Wrapped as literals, for an id may be a text that begins with a dollar.
        literal = [{"$literal": document} for document in documents]
        stages: list[dict[str, Any]] = [{"$documents": literal}, {"$match": where}, {"$count": "n"}]
        return sum(int(row["n"]) for row in await _aggregated(self._given.database, stages))


def probe_of(given: Any) -> Probe:
    """The probe of a store or a collection; a probe is its own."""
    return given if isinstance(given, Probe) else Probe(collection_of(given))


async def _command(database: Any, command: str, value: Any, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await database.command(
        command, value, read_preference=ReadPreference.PRIMARY, codec_options=DEFAULT_CODEC_OPTIONS, **arguments
    )
    return found


async def _aggregated(source: Any, stages: Sequence[Mapping[str, Any]]) -> list[Any]:
    cursor = await awaited(source.aggregate(list(stages), maxTimeMS=LOOK_MS))
    return list(await cursor.to_list(None))
