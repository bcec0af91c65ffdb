"""Cutting V1 into ranges of ids, even in documents: plain values that any process can work on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise
from math import ceil
from typing import Any

from lazymig.stores.documents import raw_id
from lazymig.stores.drivers import LENIENT, driver_of, settled, tuned
from lazymig.stores.keyset import bracket_of, brackets, in_bracket, is_nan
from lazymig.stores.records import Partition

#: Documents per partition, about: small enough to be shared and taken over, large enough to be worth a lease.
DOCUMENTS_EACH = 50_000
_PARTITIONS_MAX = 1000
#: A small collection is cut all the same, so that several processes find something to share, down to this size.
_SHARED, _WORTH_SHARING = 16, 2_000
#: Sampled ids per boundary; more makes the partitions more even.
_SAMPLES_EACH = 20


async def plan(collection: Any, documents_each: int = DOCUMENTS_EACH) -> list[Partition]:
    """Partitions that cover every id of the collection, whatever its BSON type, each of about this many documents.

    An empty collection has none. Documents inserted later fall into one of them if their bracket of types is covered;
    they are born in V2 anyway.
    """
    collection = tuned(collection, codec=LENIENT)
    count = await collection.estimated_document_count()
    wanted = min(max(ceil(count / documents_each), min(_SHARED, count // _WORTH_SHARING)), _PARTITIONS_MAX)
    bounds = await _sampled(collection, wanted) if wanted > 1 else []
    driver = driver_of(collection)
    partitions: list[Partition] = []
    for bracket in brackets(driver):
        # A bracket without documents is not covered: one look at the index tells.
        if await collection.find_one(in_bracket("_id", bracket, driver), {"_id": 1}) is not None:
            partitions += _cut(bracket, [bound for bound in bounds if bracket_of(bound) == bracket])
    return partitions


async def _sampled(collection: Any, wanted: int) -> list[Any]:
    size = {"$sample": {"size": wanted * _SAMPLES_EACH}}
    cursor = await settled(collection.aggregate([size, {"$project": {"_id": 1}}, {"$sort": {"_id": 1}}]))
    # NaN cannot bound a range: no comparison finds anything by it.
    ids = [raw_id(document["_id"]) for document in await cursor.to_list(None) if not is_nan(document["_id"])]
    return [first for first, _ in groupby(ids[_SAMPLES_EACH::_SAMPLES_EACH])]


def _cut(bracket: str, bounds: Sequence[Any]) -> list[Partition]:
    edges = [None, *bounds, None]
    return [Partition(bracket, low, high) for low, high in pairwise(edges)]
