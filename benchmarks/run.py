"""Run the comparison: `python -m benchmarks.run [--rounds 11] [--quick] [--rows get insert] [--check]`.

Starts a mongod of its own (`pip install 'lazymig[server]'`), runs every row in alternating rounds, writes
`benchmarks/results/repository.json` and draws the table and the chart once more. Never part of the tests: the figures
are a machine's, and a busy machine's figures are noise.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from pymongo import AsyncMongoClient

from benchmarks import report
from benchmarks.arena import Scale, Stage, Trips
from benchmarks.contests import CONTESTS, Contest
from benchmarks.listings import LISTINGS, Listing, conversions
from benchmarks.measure import Outcome
from benchmarks.options import arguments_of, chosen, kept, verdict
from benchmarks.peers import Peer, peers
from lazymig.testing import Server


async def measure(uri: str, scale: Scale, arguments: argparse.Namespace) -> list[Outcome]:
    """All rows that are asked for."""
    trips = Trips()
    client: Any = AsyncMongoClient(uri)
    listening: Any = AsyncMongoClient(uri, event_listeners=[trips])
    stage = Stage(uri, client, listening, trips, scale)
    outcomes: list[Outcome] = []
    contests: tuple[Contest | Listing | Peer, ...] = (*CONTESTS, *LISTINGS, *peers())
    for contest in contests:
        if not chosen(contest.row, arguments):
            continue
        made = await contest.run(stage)
        print("\n".join(report.line(one) for one in made), flush=True)
        outcomes += made
    await client.close()
    await listening.close()
    return outcomes


def main() -> None:
    arguments = arguments_of("run", "lazymig beside hand-written code", rounds=11).parse_args()
    rounds = 3 if arguments.quick else max(arguments.rounds, 7)
    scale = Scale(rounds, 60, 160, each=2, listed=1_000) if arguments.quick else Scale(rounds, 600, 1_600)
    with Server(cache_gb=1.0) as server:
        outcomes = asyncio.run(measure(server.uri, scale, arguments))
        machine = {**report.machine(server.uri), "conversions of the listings": conversions()}
    if kept(arguments):
        report.write("repository", machine, rounds, outcomes, among=bool(arguments.rows))
    raise SystemExit(verdict(outcomes, check=arguments.check))


if __name__ == "__main__":
    main()
