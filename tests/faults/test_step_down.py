"""A replica set of three whose primary steps down again and again under load."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from lazymig.testing import ReplicaSet, electing
from tests.faults.boxes import legacy
from tests.faults.claims import judge
from tests.faults.conftest import CALM_S, connected
from tests.faults.load import History, ShiftedClock, clients, work

IDS = range(24)
CALLS = 120


async def elect_after(election_s: float, replica_set: ReplicaSet) -> None:
    """Let the members elect another primary after this time without one."""
    with electing.follow(replica_set.uri) as client:
        await asyncio.to_thread(electing.set_election, client, election_s)


async def test_step_downs(replica_set: ReplicaSet, ledger: Any, seed: int, wide: int) -> None:
    """Every entity's history is linearizable across changes of the primary, and V1 and V2 agree afterwards."""
    history, clock = History({id: (f"legacy.{id}", 0) for id in IDS if id % 2}), ShiftedClock()
    async with connected(replica_set.uri, retryWrites=False) as database:
        await database["v1"].insert_many([legacy(id) for id in history.initial])
        changes: list[asyncio.Task[Any]] = []

        async def between() -> None:
            over = not changes or changes[-1].done()
            if over and history.calls >= (len(changes) + 1) * CALLS and len(changes) < 3 * wide:
                changes.append(asyncio.create_task(asyncio.to_thread(replica_set.step_down)))

        def going() -> bool:
            return history.calls < (3 * wide + 1) * CALLS or len(changes) < 3 * wide

        await work(clients(database, history, IDS, seed, clock, count=6), going, between)
        elected = [member.port for member in await asyncio.gather(*changes)]
        row = await judge("primary steps down", len(changes), database, history, IDS, clock)
    ledger(row)
    assert all(before != after for before, after in pairwise(elected))
    assert row.injected == 3 * wide
    assert not row.violations


async def test_primary_killed(replica_set: ReplicaSet, ledger: Any, seed: int) -> None:
    """The same when the primary is killed: what it had alone is rolled back, what was acknowledged is not."""
    history, clock = History({id: (f"legacy.{id}", 0) for id in IDS if id % 2}), ShiftedClock()
    async with connected(replica_set.uri) as database:
        await database["v1"].insert_many([legacy(id) for id in history.initial])
        await elect_after(1.0, replica_set)
        killed: list[asyncio.Task[Any]] = []

        async def between() -> None:
            if history.calls >= CALLS and not killed:
                killed.append(asyncio.create_task(asyncio.to_thread(replica_set.kill_primary)))

        await work(clients(database, history, IDS, seed, clock, count=6), lambda: history.calls < 3 * CALLS, between)
        # It comes back with writes that nobody else has, and must drop them.
        await asyncio.to_thread((await killed[0]).start)
        await elect_after(CALM_S, replica_set)
        row = await judge("primary killed", 1, database, history, IDS, clock)
    ledger(row)
    assert not row.violations
