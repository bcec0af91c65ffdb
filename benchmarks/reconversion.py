"""What a raised conversion revision costs: `python -m benchmarks.reconversion [--documents 50000] [--rounds 3]`.

A sweep of invoices (`invoices.py`) that moves all of them, one that finds nothing to do, one after the revision was
raised, and one that finds nothing to do at the raised revision: documents per second, medians of the rounds, and the
bytes that the index on the revision takes. Writes `results/reconversion.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from attrs import evolve
from pymongo import AsyncMongoClient

import lazymig
from benchmarks.invoices import fill, repository
from lazymig.testing import Server

RESULTS = Path(__file__).parent / "results" / "reconversion.json"


def _at(client: Any, name: str, revision: int) -> lazymig.Repository[Any, Any]:
    """A process of the release with this conversion revision."""
    made = repository(client, name)
    migration = evolve(made.migration, revision=revision)
    return lazymig.Repository(migration, v1=client[name]["v1"], v2=client[name]["v2"], phase=lazymig.Phase.COEXIST)


async def _swept(client: Any, name: str, revision: int) -> tuple[float, Any]:
    started = perf_counter()
    report = await lazymig.Sweeper(_at(client, name, revision)).run()
    return perf_counter() - started, report


async def _measured(client: Any, count: int, rounds: int) -> dict[str, Any]:
    name, taken = (
        "reconversion",
        {"move all": [], "nothing left": [], "revision raised": [], "nothing left, raised": []},
    )
    await fill(client, name, count)
    for _ in range(rounds):
        for collection in ("v2", "lazymig_control"):
            await client[name].drop_collection(collection)
        for row, revision in zip(taken, (1, 1, 2, 2), strict=True):
            seconds, report = await _swept(client, name, revision)
            taken[row].append(seconds)
            assert report.reconverted == (count if row == "revision raised" else 0)
    stats = await client[name].command("collStats", "v2")
    per_s = {row: round(count / median(seconds)) for row, seconds in taken.items()}
    return {"documents": count, "rounds": rounds, "per_s": per_s, "index_bytes": stats["indexSizes"]["lazymig_conv"]}


async def _main(count: int, rounds: int) -> None:
    with Server() as server:
        async with AsyncMongoClient(server.uri) as client:
            found = await _measured(client, count, rounds)
    for row, per_s in found["per_s"].items():
        print(f"{row:<24} {per_s:>10,} documents/s")
    print(f"{'index on the revision':<24} {found['index_bytes'] / count:>10.1f} bytes each")
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.documents, arguments.rounds))
