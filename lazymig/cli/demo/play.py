"""The steps of the demo: load, let both kinds of clients work, sweep beside them, sweep the rest, compare."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from attrs import frozen

from lazymig.cli.demo.clients import Ledger, crowd
from lazymig.cli.demo.comparison import Comparison, compare
from lazymig.cli.progress import Standing
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.phases import Phase
from lazymig.repository import Repository, calls_of
from lazymig.stores.counts import Counts
from lazymig.stores.staging import backdate, fill
from lazymig.sweeper import Sweeper
from lazymig.telemetry import HEALED, MIGRATED

#: Clients of each kind, and operations of each client.
CLIENTS_EACH = 4
OPERATIONS = 100
#: Writers that died half way before the demo begins.
DIED = 3
#: The part of all operations after which the sweeper joins.
_SWEEP_FROM = 0.7
_LOOK_EVERY_S = 0.1

Report = Callable[[Standing], None]


@frozen
class Outcome:
    """What happened in the demo."""

    comparison: Comparison
    operations: Counter[tuple[str, str]]
    #: How many customers came to V2 by each way.
    migrated: dict[str, int]
    healed: int
    elapsed_s: float


async def play(database: Any, example: Any, seed: int, report: Report) -> Outcome:
    """Run the demo in an empty database; `report` is called with how much is migrated."""
    began_s = SYSTEM_CLOCK.monotonic()
    originals = example.load_documents()
    await fill(database["customers"], example.load_documents())
    # Two repositories, since in production the sweeper is another process.
    service, cron = _repository(database, example), _repository(database, example)
    ledger = Ledger([document["_id"] for document in originals])
    await _die_half_way(service, ledger, Random(seed).sample(ledger.alive, DIED))
    swept = await _work(service, cron, example, ledger, seed, report)
    rest = await Sweeper(cron).run()
    report(await _standing(service, ledger))
    known = await Counts(calls_of(service).pair.bodies).count_all(exact=True)
    return Outcome(
        comparison=await compare(service, originals, ledger),
        operations=ledger.operations,
        migrated=_ways(known, service.tally.counts[MIGRATED], swept[0] + rest.migrated, len(ledger.inserted)),
        healed=service.tally.counts[HEALED] + swept[1] + rest.healed,
        elapsed_s=SYSTEM_CLOCK.monotonic() - began_s,
    )


def _repository(database: Any, example: Any) -> Repository[Any, Any]:
    v1, v2 = database["customers"], database["customers_v2"]
    return Repository(example.migration, v1=v1, v2=v2, phase=Phase.COEXIST)


async def _die_half_way(repository: Repository[Any, Any], ledger: Ledger, ids: list[Any]) -> None:
    """Leave what a writer leaves that announced its write a minute ago and died then.

    The clients do not touch these customers, so that the sweeper heals them.
    """
    then = SYSTEM_CLOCK.now() - timedelta(minutes=1)
    for id in ids:
        await calls_of(repository).pair.ledger.ticket(id)
        await backdate(calls_of(repository).pair.bodies, id, then)
        ledger.alive.remove(id)


async def _work(
    service: Repository[Any, Any], cron: Repository[Any, Any], example: Any, ledger: Ledger, seed: int, report: Report
) -> tuple[int, int]:
    """Run all clients, and near the end a sweeper beside them. Return what the sweeper migrated and healed."""
    clients = crowd(service, example, ledger, CLIENTS_EACH, seed)
    over = asyncio.Event()
    watcher = asyncio.create_task(_watch(service, ledger, report, over))
    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.work(OPERATIONS))
            sweeping = group.create_task(_sweep_from(cron, ledger, round(len(clients) * OPERATIONS * _SWEEP_FROM)))
    finally:
        over.set()  # a driver may swallow the cancellation of a statement
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    return sweeping.result()


async def _sweep_from(cron: Repository[Any, Any], ledger: Ledger, operations: int) -> tuple[int, int]:
    while ledger.total < operations:
        await SYSTEM_CLOCK.sleep(_LOOK_EVERY_S)
    report = await Sweeper(cron, batch_size=50).run()
    return report.migrated, report.healed


async def _watch(service: Repository[Any, Any], ledger: Ledger, report: Report, over: asyncio.Event) -> None:
    while not over.is_set():
        report(await _standing(service, ledger))
        await SYSTEM_CLOCK.sleep(_LOOK_EVERY_S)


async def _standing(service: Repository[Any, Any], ledger: Ledger) -> Standing:
    live = await Counts(calls_of(service).pair.bodies).count_live()
    return Standing(live, await service.count(), {"operations": ledger.total})


def _ways(known: int, read: int, swept: int, inserted: int) -> dict[str, int]:
    """Count every customer that came to V2, by what brought it there."""
    written = known - read - swept - inserted - DIED
    return {"read": read, "write": written, "sweep": swept, "heal": DIED, "insert": inserted}
