"""The hand-written sweep: a loop that finds a batch, converts it and inserts the results.

It converts in two ways. `plain` is what one writes by hand: cattrs' converter for BSON, with hooks for the two types
that it lacks, by the driver's own methods. `generated` is lazymig's converter, with its generated readers and its
Decimal128. Both make the same documents, which `check_same` asserts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import bson
from bson.decimal128 import Decimal128
from cattrs import Converter
from cattrs.preconf.bson import make_converter as make_bson_converter

import lazymig
from benchmarks.invoices import InvoiceV1, documents, to_v2

#: Documents per statement, as lazymig's sweeps have.
BATCH = 1000
_MIDNIGHT = datetime.min.time()


def plain() -> Converter:
    """Return a converter as one writes it by hand."""
    converter = make_bson_converter(detailed_validation=False)
    converter.register_structure_hook(Decimal, lambda value, _: value.to_decimal())
    converter.register_unstructure_hook(Decimal, Decimal128)
    # The preset stores a date as text. Here, as in lazymig, it is a datetime, which the server can compare.
    converter.register_structure_hook(date, lambda value, _: value.date())
    converter.register_unstructure_hook(date, lambda value: datetime.combine(value, _MIDNIGHT))
    return converter


def generated() -> Converter:
    """Return lazymig's converter."""
    return lazymig.make_converter(detailed_validation=False)


def convert(converter: Converter, document: dict[str, Any]) -> dict[str, Any]:
    """V2's document of one of V1's, which is used up."""
    document["id"] = document.pop("_id")
    new: dict[str, Any] = converter.unstructure(to_v2(converter.structure(document, InvoiceV1)))
    new["_id"] = new.pop("id")
    return new


async def sweep(database: Any, make: Callable[[], Converter]) -> None:
    """Sweep as one would write it."""
    converter = make()
    last: Any = None
    while True:
        where = {} if last is None else {"_id": {"$gt": last}}
        found = await database["v1"].find(where).sort("_id", 1).limit(BATCH).to_list(None)
        if not found:
            return
        last = found[-1]["_id"]
        await database["v2"].insert_many([convert(converter, document) for document in found], ordered=False)


def check_same(count: int = 1_000) -> None:
    """Assert that both converters make the same documents, to the byte."""
    ways = plain(), generated()
    for document in documents(count, seed=2):
        made = [bson.encode(convert(way, {**document, "items": list(document["items"])})) for way in ways]
        assert made[0] == made[1], "the two converters disagree"


async def check_stored(database: Any, count: int = 200) -> None:
    """Assert that V2 holds what the hand-written conversion makes, lazymig's own field aside."""
    converter = plain()
    for document in await (await database["v1"].aggregate([{"$sample": {"size": count}}])).to_list(None):
        stored = await database["v2"].find_one({"_id": document["_id"]}, {"_lazymig": 0})
        assert stored == convert(converter, document), "a sweep stored something else"
