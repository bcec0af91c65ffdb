"""A process and its fleet on real servers: cut off, stopped, without its record, and across an election."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from lazymig import Control, Phase, PhaseError, Repository
from lazymig.control import parts_of
from lazymig.switching.waiting import RollCall
from lazymig.testing import ReplicaSet
from tests.clocks import RestlessClock
from tests.faults.proxy import Proxy
from tests.fleets import Operator, until
from tests.people import ada, people
from tests.sweeps import LaterClock
from tests.widening import WIDENING

#: Seconds after which the lease of a process is over that has sent no heartbeat.
LEASE_S = 15.0
#: Seconds that nothing but a broken library reaches.
PATIENCE_S = 60.0
NAME = people().name


def open_repository(database: Any, control: Control) -> Repository[Any, Any]:
    return Repository(people(), v1=database["v1"], v2=database["v2"], phase=control)


async def is_refused(call: Callable[[], Awaitable[object]]) -> str:
    """Why a call is refused; empty where it is not."""
    try:
        await call()
    except PhaseError as error:
        return str(error)
    return ""


async def is_allowed(call: Callable[[], Awaitable[object]]) -> bool:
    """Whether a call is not refused."""
    return not await is_refused(call)


@asynccontextmanager
async def through(proxy: Proxy, name: str) -> AsyncIterator[Any]:
    uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
    async with AsyncMongoClient(uri, serverSelectionTimeoutMS=300) as client:
        yield client[name]


async def test_a_process_that_is_cut_off_refuses_calls_and_recovers(server_database: Any, lazymig_server: Any) -> None:
    """Both collections answer all the time; only the control collection is out of reach."""
    operator, clock = Operator(Control(server_database["control"]), NAME), RestlessClock()
    await operator.begin(Phase.COEXIST)
    port = lazymig_server.port
    async with (
        Proxy(port).running() as proxy,
        through(proxy, server_database.name) as apart,
        open_repository(server_database, Control(apart["control"], clock)) as repository,
    ):
        await until(lambda: is_allowed(repository.check))
        await repository.insert(ada(1))
        (before,) = await operator.members()
        proxy.close()
        assert await repository.get(1) == ada(1)  # its lease is held
        clock.move(LEASE_S)
        await until(lambda: is_refused(lambda: repository.get(1)))
        assert "cannot renew its lease" in await is_refused(lambda: repository.get(1))
        # The fleet goes on without it, and it comes back into the phase of then.
        later = Control(server_database["control"], LaterClock())
        roll_call = RollCall(parts_of(later), NAME, lambda _: None)
        for phase in (Phase.V2_PRIMARY, Phase.COEXIST, Phase.SHADOW):
            epoch = (await operator.move(phase)).epoch
            await roll_call.wait(epoch, at_most_s=PATIENCE_S)
        assert await operator.members() == []
        proxy.closed = False
        await until(lambda: is_allowed(lambda: repository.get(1)))
        assert repository.phase is Phase.SHADOW
        (after,) = await operator.members()
        assert after.key != before.key


SERVICE = """
import asyncio, sys
from pymongo import AsyncMongoClient
from lazymig import Control, PhaseError, Repository
from tests.fleets import shorten_lease
from tests.people import people

async def main(uri, name):
    async with AsyncMongoClient(uri) as client:
        database = client[name]
        repository = Repository(people(), v1=database["v1"], v2=database["v2"], phase=Control(database["control"]))
        shorten_lease(repository, 2.0)
        async with repository:
            while await asyncio.to_thread(sys.stdin.readline):
                try:
                    async with repository._calls.bounded() as stage:
                        print(stage.phase, flush=True)
                except PhaseError as error:
                    print("refused", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process")
async def test_a_stopped_process_never_comes_back_into_an_old_phase(server_database: Any, lazymig_server: Any) -> None:
    """Stopped for longer than its lease, while the fleet moves two phases on."""
    control = Control(server_database["control"], lease_s=2.0)
    operator, roll_call = Operator(control, NAME), RollCall(parts_of(control), NAME, lambda _: None)
    await operator.begin(Phase.PREPARE)
    root = str(Path(__file__).parents[2])
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, lazymig_server.uri, server_database.name,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, root])},
    )  # fmt: skip
    assert service.stdin is not None
    assert service.stdout is not None

    async def ask() -> str:
        assert service.stdin is not None
        assert service.stdout is not None
        service.stdin.write(b"\n")
        return (await asyncio.wait_for(service.stdout.readline(), PATIENCE_S)).decode().strip()

    try:

        async def has_joined() -> bool:
            return await ask() == "prepare"

        await until(has_joined)
        os.kill(service.pid, signal.SIGSTOP)
        for phase in (Phase.SHADOW, Phase.COEXIST):
            await roll_call.wait((await operator.move(phase)).epoch, at_most_s=PATIENCE_S)
        assert await operator.members() == []
        os.kill(service.pid, signal.SIGCONT)
        answers = {await ask() for _ in range(20)}
        assert answers <= {"refused", "coexist"}

        async def has_recovered() -> bool:
            return await ask() == "coexist"

        await until(has_recovered)
        assert len(await operator.members()) == 1
    finally:
        service.stdin.close()
        await asyncio.wait_for(service.wait(), PATIENCE_S)
    assert await operator.members() == []


async def test_without_its_record_a_process_refuses_calls_until_there_is_one(server_database: Any) -> None:
    """Somebody dropped the control collection."""
    control = Control(server_database["control"], RestlessClock())
    operator = Operator(control, NAME)
    await operator.begin(Phase.SHADOW)
    async with open_repository(server_database, control) as repository:
        await until(lambda: is_allowed(repository.check))
        await repository.insert(ada(1))
        await server_database["control"].drop()
        await until(lambda: is_refused(lambda: repository.get(1)))
        assert "no phase is recorded" in await is_refused(lambda: repository.get(1))
        assert await operator.members() == []
        await operator.begin(Phase.COEXIST)
        await until(lambda: is_allowed(lambda: repository.get(1)))
        assert repository.phase is Phase.COEXIST
        await operator.acknowledged()


@pytest.mark.skipif(not WIDENING.full, reason="an election takes long")
async def test_a_fleet_goes_on_across_an_election() -> None:
    """The primary steps down twice while the phase moves; nothing needs to be done by hand."""
    with ReplicaSet(election_s=10) as servers:
        async with AsyncMongoClient(servers.uri) as client:
            database = client["fleet"]
            control = Control(database["control"])
            operator = Operator(control, NAME)
            await operator.begin(Phase.V1_ONLY)
            async with Repository(people(), v1=database["v1"], v2=database["v2"], phase=control) as repository:
                await repository.insert(ada(1))
                for phase in (Phase.PREPARE, Phase.SHADOW):
                    await asyncio.to_thread(servers.step_down)
                    await operator.move(phase)
                    await operator.acknowledged()
                    assert repository.phase is phase
                    assert await repository.get(1) == ada(1)
