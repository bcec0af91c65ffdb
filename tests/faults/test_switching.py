"""Moving a fleet while clients are at work, processes die, and one does not follow."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from lazymig import Control, Phase, PhaseError, Repository, Sweeper, Switch, Verifier
from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.switching.plan import Refused
from lazymig.switching.waiting import NotAcknowledged
from lazymig.testing.linearizability import Verdict, check_entities
from tests.faults import boxes, load
from tests.fleets import until
from tests.house import ROOT
from tests.sweeps import thing
from tests.switches import ORDER, HurriedClock, followed, parts, standing
from tests.widening import WIDENING

#: A lease that a test waits for, and one that outlasts whatever a busy machine does.
LEASE_S, LONG_S = 3.0, 60.0
#: Seconds that nothing but a broken library reaches.
PATIENCE_S = 60.0
UP = list(Phase)
IDS = range(8)
#: Up, all the way back to V1_ONLY, and up again, into V2_ONLY at last; behind `--wide` so from each phase.
ROUTE = [
    target
    for top in range(1 if WIDENING.wide else 4, 5)
    for target in (*UP[1 : top + 1], *reversed(UP[:top]))
] + UP[1:]  # fmt: skip


class History(load.History):
    """What every client was answered; a refusal because of the phase says that nothing was written."""

    async def _result(self, call: Any, reads: bool) -> Any:
        try:
            return await super()._result(call, reads)
        except PhaseError:
            self.counts["refused"] += 1
            return load.SILENT


def processes(database: Any, count: int) -> list[Repository[Any, Any]]:
    """Repositories that follow the record, each as a process of its own would; their heartbeats are quick."""
    control = Control(database["lazymig_control"], HurriedClock())
    return [followed(database, migration=boxes.migration, phase=control) for _ in range(count)]


class Rest:
    """Where clients wait between two calls, as long as they are to."""

    def __init__(self, clients: int) -> None:
        self._clients = asyncio.Semaphore(0)
        self._count = clients
        self._over = asyncio.Event()
        self._over.set()

    async def pause(self) -> None:
        """Return at once, or when the rest is over."""
        if not self._over.is_set():
            self._clients.release()
            await self._over.wait()

    async def begin(self) -> None:
        """Return when no client is in a call any more."""
        self._over.clear()
        for _ in range(self._count):
            await self._clients.acquire()

    def end(self) -> None:
        """Let them go on."""
        self._over.set()


async def compare(repo: Repository[Any, Any], rest: Rest) -> None:
    """Fill V2 and compare both sides. Clients rest meanwhile: entities that always change cannot be compared."""
    await rest.begin()
    await Sweeper(repo).run()
    await Verifier(repo, min_age_s=0.1).run()
    rest.end()


async def move(switch: Switch[Any, Any], repo: Repository[Any, Any], target: Phase, rest: Rest) -> None:
    """Make the step to this phase. Where a gate is closed for a moment by clients at work, look again."""
    last = {"confirm": "boxes", "accept": ["outside-writes"]} if target is Phase.V2_ONLY else {}
    for attempt in range(5):
        if target in (Phase.V2_PRIMARY, Phase.V2_ONLY) and UP.index(target) > UP.index(repo.phase):
            await compare(repo, rest)
        try:
            upwards = UP.index(target) > UP.index((await standing(repo)).phase)
            made = await (switch.advance(**ORDER, **last) if upwards else switch.rollback(**ORDER))
        except Refused:
            if attempt == 4:
                raise
        else:
            assert made.after is target
            return


async def test_clients_of_both_doors_see_no_step(server_database: Any, seed: int, wide: int) -> None:
    """Up, back to V1_ONLY and up again under load: every history is linearizable, to the last phase."""
    await server_database["v1"].insert_many([boxes.legacy(id) for id in IDS])
    initial = {id: (f"legacy.{id}", 0) for id in IDS}
    history = History(initial)
    repos = processes(server_database, 4)
    clients = [
        load.Client(f"c{n}", (boxes.DoorV1 if n % 2 else boxes.DoorV2)(repo), IDS, history, Random(seed * 1000 + n))
        for n, repo in enumerate(repos)
    ]
    switch = Switch(repos[0], soak_s=0)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    going, rest = True, Rest(len(clients))

    async def think() -> None:
        await SYSTEM_CLOCK.sleep(0.004)
        await rest.pause()

    async def operate() -> None:
        nonlocal going
        try:
            for target in ROUTE:
                enough = history.calls + 40 * wide
                while history.calls < enough:
                    await think()
                await move(switch, repos[0], target, rest)
            enough = history.calls + 40
            while history.calls < enough:
                await think()
        finally:
            going = False

    async with asyncio.TaskGroup() as group:
        group.create_task(load.work(clients, lambda: going, think))
        group.create_task(operate())
    for id in IDS:
        await history.record("end", "get", [id], lambda id=id: value(repos[1], id))
    for repo in repos:
        await repo.__aexit__(None, None, None)
    assert [moved.after for moved in await switch.history()] == [Phase.V1_ONLY, *ROUTE]
    verdicts = check_entities(history.operations, initial, model=boxes.model)
    assert set(verdicts.values()) == {Verdict.OK}, {id: each for id, each in verdicts.items() if each is not Verdict.OK}
    assert history.counts["uncertain"] == 0
    assert history.calls >= 40 * len(ROUTE)


async def value(repo: Repository[Any, Any], id: int) -> Any:
    """The value of a box."""
    return boxes.DoorV2(repo).value(await repo.get(id))


@asynccontextmanager
async def running(uri: str, name: str, *leases_s: float) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Processes of a fleet with these leases, once each has joined; those that live are killed at the end."""
    words = (sys.executable, "-m", "tests.faults.switch_nursery", uri, name)
    started = [
        await asyncio.create_subprocess_exec(*words, str(lease_s), cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        for lease_s in leases_s
    ]
    try:
        for process in started:
            await says(process, "joined")
        yield started
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def says(process: asyncio.subprocess.Process, word: str) -> None:
    """Wait until the process says this."""
    assert process.stdout is not None
    assert (await process.stdout.readline()).decode().strip() == word


async def has_acknowledged(repo: Repository[Any, Any], process: asyncio.subprocess.Process, epoch: int) -> bool:
    """Whether the process works by this epoch."""
    members = await parts(repo).members(repo.migration.name).find_all()
    return [one.epoch for one in members if one.name.endswith(f":{process.pid}")] == [epoch]


async def test_a_step_waits_for_a_dead_process_and_names_one_that_does_not_follow(
    server_database: Any, lazymig_server: Any
) -> None:
    """A process that was killed is waited for until its lease is over; one that is stuck is named, and stops all."""
    await server_database["v1"].insert_one(thing(1))
    said: list[str] = []
    repo = followed(server_database, phase=Control(server_database["lazymig_control"], lease_s=LEASE_S))
    switch = Switch(repo, soak_s=0, wait_s=PATIENCE_S, on_wait=said.append)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    async with running(lazymig_server.uri, server_database.name, LONG_S, LEASE_S, LONG_S) as (live, dead, stuck):
        began_s = SYSTEM_CLOCK.monotonic()  # the last heartbeat is not older
        await switch.advance(**ORDER)
        dead.send_signal(signal.SIGKILL)
        await dead.wait()
        assert (await switch.advance(**ORDER)).after is Phase.SHADOW
        assert SYSTEM_CLOCK.monotonic() - began_s > LEASE_S
        assert [line for line in said if "its lease is over" in line and f":{dead.pid} " in line]
        found = (await switch.plan("advance")).gates[0]
        assert found.evidence == "2 processes (2 service), and all have acknowledged epoch 3"
        stuck.send_signal(signal.SIGUSR1)
        await says(stuck, "stuck")
        switch = Switch(repo, soak_s=0, wait_s=3, on_wait=said.append)
        await switch.advance(**ORDER)  # its call began under the epoch before, so it does not acknowledge this one
        assert f":{stuck.pid} (service) is alive and still works by epoch 3" in said[-1]
        await until(lambda: has_acknowledged(repo, live, 4))  # a busy machine may let it be late
        for step in (switch.advance, switch.rollback):
            with pytest.raises(NotAcknowledged, match=rf":{stuck.pid} \(service\) is alive") as refused:
                await step(**ORDER)
            assert f":{live.pid} " not in str(refused.value)
        assert (await standing(repo)).phase is Phase.COEXIST
