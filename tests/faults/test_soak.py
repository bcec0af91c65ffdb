"""Eight clients of both doors and a sweeper for as long as wanted: `--soak-s` seconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from lazymig import Control, Sweeper
from lazymig.stores.mongo_v2 import V2Store
from lazymig.testing.linearizability import Verdict
from tests.faults import load
from tests.faults.boxes import legacy
from tests.faults.claims import illegal, judge
from tests.faults.conftest import connected
from tests.faults.load import History, ShiftedClock, clients, repository, work
from tests.widening import WIDENING

IDS = range(400)
#: Short, so that tombstones are purged while clients insert the same entities again.
TIMEOUT_S, GRACE_S = 2.0, 2.2


async def test_soak(lazymig_server: Any, ledger: Any, seed: int) -> None:
    """Nothing is lost, nothing returns, and V1 and V2 agree after clients and a sweeper have met for a while."""
    history, clock = History({id: (f"legacy.{id}", 0) for id in IDS if id % 2}), ShiftedClock()
    async with connected(lazymig_server.uri) as database:
        await database["v1"].insert_many([legacy(id) for id in history.initial])
        until, sweeps, purged = time.monotonic() + WIDENING.soak_s, 0, 0

        def going() -> bool:
            return time.monotonic() < until

        async def sweep() -> None:
            nonlocal sweeps, purged
            while going():
                control = Control(database["control"], clock)
                repo = repository(database, clock, TIMEOUT_S)
                report = await Sweeper(repo, control=control, grace_s=GRACE_S, clock=clock).run()
                sweeps, purged = sweeps + 1, purged + report.purged

        crowd = clients(database, history, IDS, seed, clock, count=8, timeouts_s=(TIMEOUT_S, TIMEOUT_S))
        await asyncio.gather(work(crowd, going), sweep())
        name = f"none, for {WIDENING.soak_s:g} s with {sweeps} sweeps, {purged} purges"
        row = await judge(name, 0, database, history, IDS, clock)
    ledger(row)
    assert sweeps
    assert row.operations > 100
    assert not row.violations


#: Calls that others begin between a writer's step on V1 and its step on V2, or turns of the event loop without as many.
_OTHERS, _TURNS = 8, 2000


@pytest.mark.parametrize("announced", [True, False], ids=["with a ticket", "without"])
async def test_the_claims_bite(
    lazymig_server: Any, seed: int, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    """Once writes take no ticket, the same clients and the same verdict find it, and with tickets they find nothing."""

    async def no_ticket(self: V2Store, id: Any) -> Any:
        seen = await self.find(id)
        return await ticket(self, id) if seen is None else seen._replace(intent=seen.intent + 1)

    async def late_apply(self: V2Store, *arguments: Any, **options: Any) -> Any:
        enough = history.calls + _OTHERS
        for _ in range(_TURNS):
            if history.calls >= enough:
                break
            await asyncio.sleep(0)
        return await apply(self, *arguments, **options)

    ticket, apply = V2Store.ticket, V2Store.apply
    monkeypatch.setattr(V2Store, "apply", late_apply)
    # Inserts and deletes leave V2 gone, and whoever finds it gone asks V1: reads and updates are what tickets are for.
    monkeypatch.setattr(load, "WEIGHTS", {"get": 5, "update": 2})
    if not announced:
        monkeypatch.setattr(V2Store, "ticket", no_ticket)
    ids, found = range(2), []
    for round in range(10):
        history = History({id: (f"legacy.{id}", 0) for id in ids})
        async with connected(lazymig_server.uri) as database:
            await database["v1"].insert_many([legacy(id) for id in ids])
            crowd = clients(database, history, ids, seed + round, ShiftedClock(), count=6)
            await work(crowd, lambda history=history: history.calls < 150)
            found += illegal(history)
        if found:
            break
    assert bool(found) is not announced
    assert all(f"{Verdict.ILLEGAL}" in one for one in found)
