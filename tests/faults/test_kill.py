"""`kill -9` of mongod while clients write and while a sweep runs, and a start on the same data.

Acknowledged is what returned without an exception.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo.errors import PyMongoError

from lazymig import Control, Sweeper
from lazymig.control import LEASE
from lazymig.testing import Server
from tests.faults.boxes import legacy
from tests.faults.claims import GRACE_S, judge
from tests.faults.conftest import connected
from tests.faults.load import History, ShiftedClock, clients, repository, work

IDS = range(24)
CALLS = 250


async def kill_and_restart(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.restart)


def begun() -> History:
    return History({id: (f"legacy.{id}", 0) for id in IDS if id % 2})


async def test_kill_during_writes(mortal_server: Server, ledger: Any, seed: int, wide: int) -> None:
    """Whatever was acknowledged before the server was killed stands when it is back, and V1 and V2 agree."""
    history, clock = begun(), ShiftedClock()
    # So that those in flight are left uncertain; drivers that send again find out what became of them.
    async with connected(mortal_server.uri, retryWrites=False) as database:
        await database["v1"].insert_many([legacy(id) for id in history.initial])
        kills: list[asyncio.Task[None]] = []

        async def between() -> None:
            if history.calls >= (len(kills) + 1) * CALLS and len(kills) < 2 * wide:
                kills.append(asyncio.create_task(kill_and_restart(mortal_server)))

        crowd = clients(database, history, IDS, seed, clock, count=8)
        await work(crowd, lambda: history.calls < (2 * wide + 1) * CALLS, between)
        await asyncio.gather(*kills)
        row = await judge("kill -9 during writes", len(kills), database, history, IDS, clock)
    ledger(row)
    assert row.injected == 2 * wide
    assert not row.violations


async def test_kill_during_a_sweep(mortal_server: Server, ledger: Any, seed: int, wide: int) -> None:
    """A sweep whose server is killed goes on where it was, beside clients, and V1 and V2 agree at the end."""
    history, clock = begun(), ShiftedClock()
    history.initial = {id: (f"legacy.{id}", 0) for id in IDS}
    async with connected(mortal_server.uri) as database:
        await database["v1"].insert_many([legacy(id) for id in range(3000)])
        kills: list[asyncio.Task[None]] = []

        def progress(told: Any) -> None:
            if told.scanned >= 500 * (len(kills) + 1) and len(kills) < wide:
                kills.append(asyncio.create_task(kill_and_restart(mortal_server)))

        finished = False

        async def sweep() -> None:
            nonlocal finished
            while not finished:
                control = Control(database["control"], clock)
                sweeper: Any = Sweeper(
                    repository(database, clock), control=control, batch_size=40, grace_s=GRACE_S, on_progress=progress,
                    partition_size=300, clock=clock,
                )  # fmt: skip
                try:
                    finished = (await sweeper.run()).finished
                except PyMongoError:
                    # What a scheduler does: start it again. The dead run's leases are over by then.
                    clock.ahead += 10 * LEASE

        crowd = clients(database, history, IDS, seed, clock, count=4)
        await asyncio.gather(sweep(), work(crowd, lambda: not finished and history.calls < 4 * CALLS * wide))
        await asyncio.gather(*kills)
        row = await judge("kill -9 during a sweep", len(kills), database, history, IDS, clock)
        assert await database["v2"].count_documents({}) == await database["v1"].count_documents({})
    ledger(row)
    assert row.injected == wide
    assert not row.violations
