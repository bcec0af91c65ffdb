"""Statements that ask the server about one collection. They change nothing, and others judge their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from lazymig.stores.carried import WHOLE, Carried, carried_of
from lazymig.stores.counts import estimate
from lazymig.stores.drivers import LENIENT, Driver, Handle, await_if_needed, collection_of, driver_of, tune

#: The bound of every read of documents, in milliseconds: none is worth a slow start.
LOOK_MS = 2000
_UNKNOWN_COMMAND = 59


class Probe:
    """Asks about one collection on its primary. Driver errors pass through.

    In memory only the statements about documents work.
    """

    def __init__(self, collection: Handle, carried: Carried = WHOLE) -> None:
        self._given = collection
        #: How the collection's documents carry the entities.
        self.carried = carried
        self._documents = tune(collection)
        self._lenient = tune(collection, codec=LENIENT)
        self.in_memory = driver_of(collection) is Driver.MEMORY

    @property
    def name(self) -> str:
        """Database and collection."""
        return str(self._given.full_name)

    @property
    def client_key(self) -> int:
        """A key that distinguishes the collection's client from others."""
        return id(self._given.database.client)

    def is_same(self, other: Probe) -> bool:
        """Whether both are one collection of one client. Sends nothing."""
        one, two = self._given, other._given
        return one is two or bool(one.full_name == two.full_name and one.database.client == two.database.client)

    @property
    def is_direct(self) -> bool:
        """Whether the client uses one server and does not look for others. Sends nothing."""
        topology = getattr(self._given.database.client, "topology_description", None)
        return getattr(topology, "topology_type_name", "") == "Single"

    @property
    def is_still_primary(self) -> bool:
        """Whether the only server is still a primary, as far as the driver's monitor knows. Sends nothing."""
        servers = self._given.database.client.topology_description.server_descriptions().values()
        # Without a connection the state is unknown, and the next statement waits for one.
        return all(server.server_type_name in ("RSPrimary", "Unknown") for server in servers)

    async def greet(self) -> dict[str, Any]:
        """Ask the server to describe itself; return the fields of `hello` or, from older servers, of `isMaster`."""
        admin = self._given.database.client["admin"]
        try:
            return await _run_command(admin, "hello", 1)
        except OperationFailure as error:
            if error.code != _UNKNOWN_COMMAND:
                raise
            old = await _run_command(admin, "isMaster", 1)  # servers before 4.4.2
            return {**old, "isWritablePrimary": old.get("ismaster")}

    async def describe(self, *, name_only: bool = False) -> dict[str, Any]:
        """Ask for the collection's type and options; return nothing where it does not exist yet.

        `name_only` asks for the type alone, which users may also see who can read only some collections.
        """
        arguments: dict[str, Any] = {"filter": {"name": self._given.name}}
        if name_only:
            arguments |= {"nameOnly": True, "authorizedCollections": True}
        found = await _run_command(self._given.database, "listCollections", 1, **arguments)
        first: list[dict[str, Any]] = found["cursor"]["firstBatch"]
        return first[0] if first else {}

    async def find_indexes(self) -> list[dict[str, Any]]:
        """Ask for the collection's indexes."""
        found = await _run_command(self._given.database, "listIndexes", self._given.name)
        indexes: list[dict[str, Any]] = found["cursor"]["firstBatch"]
        return indexes

    async def find_shard_key(self) -> Mapping[str, Any]:
        """Ask a cluster for the collection's shard key; empty where it is not sharded."""
        collections = self._given.database.client["config"]["collections"]
        row = await collections.find_one({"_id": self._given.full_name}, {"key": 1})
        key: Mapping[str, Any] = (row or {}).get("key", {})
        return key

    async def find_documents(self, where: Mapping[str, Any], fields: Mapping[str, Any], **options: Any) -> list[Any]:
        """Find a few documents within a bounded time; decoding cannot fail."""
        cursor = self._lenient.find(dict(where), dict(fields), max_time_ms=LOOK_MS, **options)
        return list(await cursor.to_list(None))

    async def count(self, *, exactly: bool) -> int:
        """Count all entities within a bounded time, or estimate their number, which costs little or nothing."""
        if exactly:
            return int(await self._documents.count_documents(self.carried.selection, maxTimeMS=LOOK_MS))
        return await estimate(self._documents, self.carried, maxTimeMS=LOOK_MS)

    async def evaluate(self, stages: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Aggregate the collection's documents within a bounded time."""
        return await _aggregate(self._documents, stages)

    async def count_matching(self, documents: Sequence[Mapping[str, Any]], where: Mapping[str, Any]) -> int:
        """Count how many of these documents, which are not stored, the server would find by this filter.

        Raises `OperationFailure` on servers before 6.0, and where the filter cannot be evaluated for one of them.
        """
        # As literals: an id may be a text that begins with a dollar sign.
        literal = [{"$literal": document} for document in documents]
        stages: list[dict[str, Any]] = [{"$documents": literal}, {"$match": where}, {"$count": "n"}]
        return sum(int(row["n"]) for row in await _aggregate(self._given.database, stages))


def probe_of(given: Any) -> Probe:
    """Return the probe of a store or a collection; of a probe, itself."""
    return given if isinstance(given, Probe) else Probe(collection_of(given), carried_of(given))


async def _run_command(database: Any, command: str, value: Any, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = await database.command(
        command, value, read_preference=ReadPreference.PRIMARY, codec_options=DEFAULT_CODEC_OPTIONS, **arguments
    )
    return found


async def _aggregate(source: Any, stages: Sequence[Mapping[str, Any]]) -> list[Any]:
    cursor = await await_if_needed(source.aggregate(list(stages), maxTimeMS=LOOK_MS))
    return list(await cursor.to_list(None))
