"""Fill both of lazymig's collections with as many migrated orders as one likes, fast.

A thousand orders are migrated by a repository, and what is then stored is stored once more under other ids, as bytes:
nothing is converted, encoded or decoded. Some of the entities are then read through the repository, to see that they
are what they seem to be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import bson
from attrs import evolve, frozen
from bson import CodecOptions, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern

import lazymig
from benchmarks.subject import MIGRATION, OrderV1, document, orders, to_v2
from lazymig.repository import calls_of

#: Orders that differ from each other in more than the id.
KINDS = 1_000
_BATCH, _SAMPLE = 5_000, 200
#: Where the id stands in a document that begins with it: behind its length, its type and its name.
_ID = slice(9, 21)
_RAW = CodecOptions(document_class=RawBSONDocument)


@frozen
class Filled:
    """Collections that hold this many migrated orders."""

    repository: lazymig.Repository[Any, Any]
    count: int

    def ids(self, number: int, draw: random.Random) -> list[ObjectId]:
        """That many ids of stored orders; none twice, where there are as many."""
        if number <= self.count:
            return [id_of(place) for place in draw.sample(range(self.count), number)]
        return [id_of(draw.randrange(self.count)) for _ in range(number)]

    async def warm(self) -> None:
        """Let the server read all of it: what it has stored so fast it has written to its files and forgotten."""
        for collection in (self.repository.collections.v1, self.repository.collections.v2):
            await collection.count_documents({"a field of none": 1})
            await collection.count_documents({"_id": {"$gte": id_of(0)}})


def id_of(place: int) -> ObjectId:
    return ObjectId(place.to_bytes(12, "big"))


async def filled(client: Any, name: str, count: int) -> Filled:
    """A new database with this many migrated orders, some of them looked at."""
    await client.drop_database(name)
    kinds = orders(min(KINDS, count), seed=1)
    v1, v2 = await _as_stored(client, f"{name}_kinds", kinds)
    database = client[name].with_options(write_concern=WriteConcern(1))
    for collection, stored in (("v1", v1), ("v2", v2)):
        for start in range(0, count, _BATCH):
            places = range(start, min(start + _BATCH, count))
            await database[collection].insert_many(list(_copies(stored, places)), ordered=False)
    repository = lazymig.Repository(
        MIGRATION, v1=client[name]["v1"], v2=client[name]["v2"], phase=lazymig.Phase.COEXIST
    )
    made = Filled(repository, count)
    await _look_at(made, kinds)
    return made


async def _as_stored(client: Any, name: str, kinds: Sequence[OrderV1]) -> list[list[bytes]]:
    """The bytes of these orders in V1 and in V2, as lazymig stores them."""
    await client.drop_database(name)
    database = client[name]
    await database["v1"].insert_many([document(order) for order in kinds])
    pair: dict[str, Any] = {"v1": database["v1"], "v2": database["v2"]}
    await lazymig.Repository(MIGRATION, **pair, phase=lazymig.Phase.COEXIST).get_many([order.id for order in kinds])
    places = {order.id: place for place, order in enumerate(kinds)}
    found = []
    for collection in pair.values():
        stored = {raw["_id"]: raw.raw async for raw in collection.with_options(_RAW).find({})}
        found.append([stored[id] for id in places])
    await client.drop_database(name)
    return found


def _copies(stored: Sequence[bytes], places: Sequence[int]) -> Iterator[RawBSONDocument]:
    for place in places:
        copy = bytearray(stored[place % len(stored)])
        copy[_ID] = id_of(place).binary
        yield RawBSONDocument(bytes(copy))


async def _look_at(made: Filled, kinds: Sequence[OrderV1]) -> None:
    draw = random.Random(1)
    places = draw.sample(range(made.count), min(_SAMPLE, made.count))
    found = await made.repository.get_many([id_of(place) for place in places])
    for place in places:
        assert found[id_of(place)] == to_v2(evolve(kinds[place % len(kinds)], id=id_of(place)))
    counts = calls_of(made.repository).pair.tally.counts
    assert not counts["lazymig.migrated"], "what is stored is not taken for migrated"
    for collection in (made.repository.collections.v1, made.repository.collections.v2):
        assert await collection.estimated_document_count() == made.count


assert bson.encode({"_id": id_of(1)})[_ID] == id_of(1).binary
