"""Measure the parts alone: `python -m benchmarks.parts`. What the ratios of the other tables can be at best.

The statements of the rows, one after the other by one task, without conversions; and one document's way through this
process, without statements. Starts a mongod of its own, and writes `benchmarks/results/parts.json`.
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import bson
from pymongo import AsyncMongoClient

from benchmarks import invoices, report
from benchmarks.subject import CONVERTER, OrderV1, OrderV2, document, orders, to_v1, to_v2
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import StoredV2
from lazymig.testing import Server

_ROUNDS, _CALLS, _DOCUMENTS = 11, 100, 1_000


async def _statements(client: Any) -> dict[str, float]:
    """Milliseconds per statement: medians over rounds in which each has its turn."""
    await client.drop_database("parts")
    database = client["parts"]
    v1, v2 = V1Store(database["v1"]), V2Store(database["v2"])
    old = orders(_CALLS, seed=1)
    bodies = [{k: value for k, value in document(to_v2(order)).items() if k != "_id"} for order in old]
    for order, body in zip(old, bodies, strict=True):
        await v1.insert(order.id, {k: value for k, value in document(order).items() if k != "_id"}, 0)
        await v2.put_if_absent(order.id, body, 0)
    by_hand = database["by_hand"]
    await by_hand.insert_many([document(order) for order in old])
    taken: dict[str, list[float]] = {}
    for number in range(_ROUNDS):
        for name, call in _calls(v1, v2, by_hand, [order.id for order in old], bodies, number).items():
            started = perf_counter()
            for place in range(_CALLS):
                assert await call(place)
            taken.setdefault(name, []).append((perf_counter() - started) / _CALLS * 1000)
    for seen in (await v2.find_many([order.id for order in old])).values():
        assert seen.clean, "a step was lost"
        assert seen.revision == 2 * _ROUNDS, "a step was lost"
    return {name: round(median(times), 2) for name, times in taken.items()}


def _calls(
    v1: V1Store, v2: V2Store, by_hand: Any, ids: Sequence[Any], bodies: Sequence[dict[str, Any]], number: int
) -> dict[str, Callable[[int], Awaitable[Any]]]:
    """What is sent in one round: a write's steps in their order, and what a hand-writer sends."""
    changed = {"status": f"status {number}"}
    fresh = [document(order) for order in orders(len(ids), seed=1)]
    # Each round moves every entity twice: by one step after the other, and by all three in a row.
    first = 2 * number

    announced: dict[int, StoredV2] = {}

    async def announce(place: int) -> StoredV2:
        announced[place] = await v2.ticket(ids[place])
        return announced[place]

    def move(place: int, revision: int = first) -> Awaitable[bool]:
        return v1.compare_and_set(ids[place], revision, revision + 1, changed)

    def apply(place: int, revision: int = first) -> Awaitable[Any]:
        # As by its writer, who knows what its announcement has made.
        body = {**bodies[place], **changed}
        return v2.apply(ids[place], body, revision + 1, own=True, announced=announced[place])

    def find(place: int) -> Awaitable[Any]:
        return by_hand.find_one({"_id": ids[place]})

    def replace(place: int) -> Awaitable[Any]:
        return by_hand.replace_one({"_id": ids[place]}, {**bodies[place], **changed})

    async def write(place: int) -> bool:
        await announce(place)
        moved = await move(place, first + 1)
        await apply(place, first + 1)
        return moved

    async def write_by_hand(place: int) -> bool:
        await find(place)
        await replace(place)
        await replace(place)
        return True

    return {
        "find": find,
        "announcement": announce,
        "V1's compare-and-set": move,
        "V2's body": apply,
        "replace": replace,
        "insert": lambda place: by_hand.insert_one(fresh[place]),
        "announcement, compare-and-set, body in a row": write,
        "find, replace, replace in a row": write_by_hand,
    }


def _each(function: Callable[[Any], Any], values: Sequence[Any]) -> tuple[float, list[Any]]:
    """Microseconds per value, the median of rounds, and the results; nothing but `function` is timed."""
    taken = []
    for _ in range(_ROUNDS):
        gc.collect()
        started = perf_counter()
        results = list(map(function, values))
        taken.append((perf_counter() - started) / len(values) * 1e6)
    return round(median(taken), 1), results


def _way(raw: Sequence[bytes], old: type, new: type, convert: Callable[[Any], Any]) -> dict[str, float]:
    """One document's way from V1's bytes to V2's, and from those to an entity."""

    def structure(kind: type) -> Callable[[dict[str, Any]], Any]:
        return lambda found: CONVERTER.structure({**found, "id": found["_id"]}, kind)

    way: dict[str, float] = {}
    way["decode V1"], found = _each(bson.decode, raw)
    way["structure V1"], entities = _each(structure(old), found)
    way["convert"], converted = _each(convert, entities)
    way["unstructure V2"], documents = _each(document, converted)
    way["encode V2"], stored = _each(bson.encode, documents)
    way["decode V2"], found = _each(bson.decode, stored)
    way["structure V2"], _ = _each(structure(new), found)
    return way


def _decimals(raw: Sequence[bytes]) -> float:
    """The microseconds that an invoice's Decimal128 take, there and back."""
    prices = [[item["price"] for item in bson.decode(one)["items"]] for one in raw]
    there, numbers = _each(lambda found: [price.to_decimal() for price in found], prices)
    back, _ = _each(lambda found: [bson.Decimal128(price) for price in found], numbers)
    return round(there + back, 1)


async def _run(uri: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        statements = await _statements(client)
    raw = [bson.encode(one) for one in invoices.documents(_DOCUMENTS, seed=1)]
    old = orders(_DOCUMENTS, seed=1)
    assert to_v1(to_v2(old[0])) == old[0]
    figures = {
        "statements_ms": statements,
        "order_us": _way([bson.encode(document(order)) for order in old], OrderV1, OrderV2, to_v2),
        "invoice_us": {
            **_way(raw, invoices.InvoiceV1, invoices.InvoiceV2, invoices.to_v2),
            "Decimal128 in the above": _decimals(raw),
        },
    }
    (report.HERE / "results" / "parts.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    report.redraw()


def main() -> None:
    with Server(cache_gb=1.0) as server:
        asyncio.run(_run(server.uri))


if __name__ == "__main__":
    main()
