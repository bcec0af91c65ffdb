"""Measure the verification: `python -m benchmarks.verification [--documents 50000] [--rounds 5] [--quick]`.

Beside what no verification can avoid, reading both collections: by the driver's cursors, and as undecoded batches. Then
one entity's way through the process, part by part, and the peak memory for two sizes. Starts a mongod of its own, and
writes `results/verification.json`. With `--alone URI DATABASE` it verifies once and prints its peak memory in MB.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import bson
from pymongo import AsyncMongoClient

import lazymig
from benchmarks.beside import peak_kb
from benchmarks.subject import MIGRATION, document, orders, to_v1, to_v2
from lazymig.cli.verify import VERIFY
from lazymig.cli.verify_options import Opinions
from lazymig.comparing.comparer import Comparer
from lazymig.fleet.workers import Workers
from lazymig.shapes.conversions import conversions_for
from lazymig.stores.documents import born_clean, parse_v1, parse_v2
from lazymig.testing import Server

RESULTS = Path(__file__).parent / "results" / "verification.json"
NAME, _FILL = "verification", 5_000


def made(uri: str, name: str) -> lazymig.Repository[Any, Any]:
    """A repository of its own for a worker."""
    return _repository(AsyncMongoClient[dict[str, Any]](uri)[name])


def _repository(database: Any) -> lazymig.Repository[Any, Any]:
    return lazymig.Repository(MIGRATION, v1=database["v1"], v2=database["v2"], phase=lazymig.Phase.COEXIST)


async def _fill(client: Any, name: str, count: int) -> None:
    """Orders in V1, and what a sweep stores in V2."""
    await client.drop_database(name)
    for start in range(0, count, _FILL):
        found = orders(min(_FILL, count - start), start)
        await client[name]["v1"].insert_many([document(order) for order in found], ordered=False)
        bodies = ({k: v for k, v in document(to_v2(order)).items() if k != "_id"} for order in found)
        stored = [born_clean(order.id, body, 0, "sweep") for order, body in zip(found, bodies, strict=True)]
        await client[name]["v2"].insert_many(stored, ordered=False)


async def _verify(client: Any, uri: str, count: int) -> None:
    found = await lazymig.Verifier(_repository(client[NAME])).run()
    assert (found.agrees, found.compared) == (True, count)


async def _by_workers(client: Any, uri: str, count: int) -> None:
    size = max(min(count // 8, 50_000), 1000)
    options = {"opinions": Opinions(), "partition_size": size}
    found = await Workers(VERIFY, _repository(client[NAME]), partial(made, uri, NAME), 2, options).run()
    assert (found.agrees, found.compared) == (True, count)


async def _read_decoded(client: Any, uri: str, count: int) -> None:
    async def read(name: str) -> int:
        return sum([1 async for _ in client[NAME][name].find()])

    assert await asyncio.gather(read("v1"), read("v2")) == [count, count]


async def _read_raw(client: Any, uri: str, count: int) -> None:
    async def read(name: str) -> int:
        return sum([len(batch) async for batch in client[NAME][name].find_raw_batches()])

    assert min(await asyncio.gather(read("v1"), read("v2"))) > count


LEGS: dict[str, Callable[[Any, str, int], Awaitable[None]]] = {
    "read both, decoded": _read_decoded,
    "read both, undecoded": _read_raw,
    "verify": _verify,
    "verify, 2 workers": _by_workers,
}


async def _timed(client: Any, uri: str, count: int, rounds: int) -> dict[str, Any]:
    """Seconds and processor seconds of each leg in alternating rounds, and the ratios of speeds."""
    await _fill(client, NAME, count)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in LEGS}
    for number in range(rounds + 1):
        for name, leg in LEGS.items():
            await client[NAME].drop_collection("lazymig_control")
            gc.collect()
            began, began_cpu = perf_counter(), _processor_s()
            await leg(client, uri, count)
            if number:  # the first round warms up
                taken[name].append((perf_counter() - began, _processor_s() - began_cpu))
    rows: dict[str, Any] = {}
    for name, times in taken.items():
        rows[name] = {
            "per_s": round(count / median(seconds for seconds, _ in times)),
            "cpu_us_each": round(median(cpu for _, cpu in times) / count * 1e6, 1),
        }
        for other in list(LEGS)[:2]:
            ratios = [theirs / ours for (ours, _), (theirs, _) in zip(times, taken[other], strict=True)]
            rows[name][f"beside {other}"] = {"ratio": round(median(ratios), 2), "range": _range(ratios)}
    return rows


def _processor_s() -> float:
    """Processor seconds of this process and of the workers that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def _range(values: list[float]) -> list[float]:
    return [round(min(values), 2), round(max(values), 2)]


async def _parts() -> dict[str, float]:
    """Microseconds of one entity's way through the process, without the server: the least of 7 rounds."""
    conversions = conversions_for(MIGRATION, v1_aware=False, v2_aware=False)
    found = orders(2_000, 1)
    raw1 = [bson.encode(document(order)) for order in found]
    raw2 = [bson.encode(born_clean(order.id, conversions.v2_body(to_v2(order)), 0, "sweep")) for order in found]
    truths = [parse_v1(bson.decode(raw)) for raw in raw1]
    seens = [parse_v2(bson.decode(raw)) for raw in raw2]
    v1s, v2s = [conversions.v1_entity(one) for one in truths], [conversions.v2_entity(one) for one in seens]
    comparer = Comparer(conversions)

    async def compare() -> None:
        for truth, seen in zip(truths, seens, strict=True):
            await comparer.compare(truth, seen)

    def each(function: Callable[[Any], object], values: list[Any]) -> Callable[[], None]:
        def work() -> None:
            for value in values:
                function(value)

        return work

    works: dict[str, Callable[[], Any]] = {
        "decode both from BSON": lambda: (each(bson.decode, raw1)(), each(bson.decode, raw2)()),
        "structure V1": each(conversions.v1_entity, truths),
        "structure V2": each(conversions.v2_entity, seens),
        "upgrade": each(to_v2, v1s),
        "downgrade": each(to_v1, v2s),
        "unstructure both": lambda: (each(conversions.v1.encode, v1s)(), each(conversions.v2.encode, v2s)()),
        "encode both to BSON, as stored": lambda: (
            each(bson.encode, [one.document for one in truths])(), each(bson.encode, [one.document for one in seens])(),
        ),
        "compare, all of it but decoding": compare,
    }  # fmt: skip
    return {
        name: round(min([await _once(work) for _ in range(7)]) / len(found) * 1e6, 1) for name, work in works.items()
    }


async def _once(work: Callable[[], Any]) -> float:
    gc.collect()
    began = process_time()  # which other programs do not lengthen
    waiting = work()
    if asyncio.iscoroutine(waiting):
        await waiting
    return process_time() - began


async def _memory(client: Any, uri: str, sizes: list[int]) -> dict[str, float]:
    found = {}
    for count in sizes:
        await _fill(client, NAME, count)
        command = [sys.executable, "-m", "benchmarks.verification", "--alone", uri, NAME]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        found[f"{count:,}"] = round(float(done.stdout.strip().splitlines()[-1]), 1)
    return found


async def _alone(uri: str, name: str) -> None:
    found = await lazymig.Verifier(made(uri, name)).run()
    assert found.agrees
    print(peak_kb() / 1024)


async def _run(uri: str, arguments: argparse.Namespace) -> None:
    count, rounds = (5_000, 2) if arguments.quick else (arguments.documents, arguments.rounds)
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        found: dict[str, Any] = {"documents": count, "rounds": rounds, "parts_us": await _parts()}
        found["rows"] = await _timed(client, uri, count, rounds)
        found["resident_mb"] = await _memory(client, uri, [2_000, count] if arguments.quick else [20_000, 100_000])
    print(json.dumps(found, indent=1))
    if not arguments.quick:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verification", description="verification beside reading"
    )
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds")
    parser.add_argument("--quick", action="store_true", help="few documents; prints, and writes nothing")
    parser.add_argument("--alone", nargs=2, metavar=("URI", "DATABASE"), help="verify once, and print the peak memory")
    arguments = parser.parse_args()
    if arguments.alone:
        asyncio.run(_alone(*arguments.alone))
        return
    with Server(cache_gb=1.0) as server:
        asyncio.run(_run(server.uri, arguments))


if __name__ == "__main__":
    main()
