"""Measure the sweep over documents with both shapes: `python -m benchmarks.sweeps_in_place [--documents 50000]`.

Beside a hand-written loop that keeps both shapes in one document with optimistic locking, with the same conversion:
once over documents that lack V2's part, and once over documents that have it, where nothing is left to do. Starts a
mongod of its own and prints; `--keep` writes `benchmarks/results/sweeps_in_place.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import attrs
from pymongo import AsyncMongoClient, UpdateOne, WriteConcern

import lazymig
from benchmarks import report
from benchmarks.invoices import MIGRATION, InvoiceV1, fill, to_v2
from benchmarks.measure import Outcome, alternate, outcome
from benchmarks.options import NOT_MET, verdict
from lazymig.testing import Server

#: V2's part stands in this sub-document, since both classes have fields of one name and of different types.
WITHIN = "v2"
_NAME, _BATCH = "sweeps_in_place", 1000
_AGAINST = "find a batch, convert, bulk_write with optimistic locking"


def repository(client: Any) -> lazymig.Repository[Any, Any]:
    """The repository over the invoices, each with both shapes."""
    migration = attrs.evolve(MIGRATION, v2_within=WITHIN)
    return lazymig.Repository.in_place(migration, client[_NAME]["v1"], phase=lazymig.Phase.COEXIST)


async def _by_hand(collection: Any) -> None:
    """What one would write: documents without the new shape get it, unless somebody has written them since."""
    converter = lazymig.make_converter(detailed_validation=False)
    durable = collection.with_options(write_concern=WriteConcern("majority"))
    last: Any = None
    while True:
        where = {} if last is None else {"_id": {"$gt": last}}
        found = await collection.find(where).sort("_id", 1).limit(_BATCH).to_list(None)
        if not found:
            return
        last = found[-1]["_id"]
        updates = []
        for document in found:
            seen, version = document.pop(WITHIN, None), document.pop("version", None)
            if seen is not None:
                continue
            id = document["id"] = document.pop("_id")
            new = converter.unstructure(to_v2(converter.structure(document, InvoiceV1)))
            del new["id"]
            updates.append(UpdateOne({"_id": id, "version": version}, {"$set": {WITHIN: new, "version": 1}}))
        if updates:
            await durable.bulk_write(updates, ordered=False)


def _timed(client: Any, work: Callable[[], Awaitable[Any]], *, unfilled: bool) -> Callable[[], Awaitable[float]]:
    async def leg() -> float:
        await client[_NAME].drop_collection("lazymig_control")
        if unfilled:
            meta = {WITHIN: 1, "version": 1, "_lazymig": 1}
            await client[_NAME]["v1"].update_many({}, {"$unset": meta})
        started = perf_counter()
        await work()
        return perf_counter() - started

    return leg


async def _measure(client: Any, count: int, rounds: int) -> list[Outcome]:
    collection = client[_NAME]["v1"]
    rows = []
    for row, target, unfilled in (("sweep in one document", 0.95, True), ("the same, nothing left", None, False)):
        await fill(client, _NAME, count)
        if not unfilled:
            await _by_hand(collection)
            await collection.update_many({}, {"$unset": {WITHIN: 1}})
            await lazymig.Sweeper(repository(client)).run()  # each finds what both have stored
        hand = _timed(client, lambda: _by_hand(collection), unfilled=unfilled)
        sweep = _timed(client, lambda: lazymig.Sweeper(repository(client)).run(), unfilled=unfilled)
        taken = await alternate(sweep, hand, rounds)
        rows.append(outcome(f"{row}, {count:,}", _AGAINST, 1, target, taken, count))
        print(report.line(rows[-1]), flush=True)
    await client.drop_database(_NAME)
    return rows


async def _run(uri: str, arguments: argparse.Namespace) -> list[Outcome]:
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        rows = await _measure(client, arguments.documents, arguments.rounds)
    if arguments.keep:
        kept = {"machine": report.machine(uri), "outcomes": [attrs.asdict(one) for one in rows]}
        (report.HERE / "results" / "sweeps_in_place.json").write_text(json.dumps(kept, indent=1) + os.linesep)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sweeps_in_place", description="the sweep in one document"
    )
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds per row")
    parser.add_argument("--keep", action="store_true", help="write the figures into benchmarks/results")
    parser.add_argument("--check", action="store_true", help=f"exit with {NOT_MET} if a row misses its target")
    arguments = parser.parse_args()
    with Server(cache_gb=2.0) as server:
        rows = asyncio.run(_run(server.uri, arguments))
    raise SystemExit(verdict(rows, check=arguments.check))


if __name__ == "__main__":
    main()
