"""A service on its way through all phases: its processes, the clients at work, and the commands of the operator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define, field, frozen
from pymongo import AsyncMongoClient

from examples.customers import load_documents
from examples.customers_in_pydantic import migration
from lazymig import Control, Phase, PhaseError, Repository, Sweeper, Switch, Verifier
from lazymig.control import Standing, parts_of
from lazymig.loop.clock import SYSTEM_CLOCK
from tests.faults.proxy import Proxy
from tests.phases.clients import HOT, Client, History, at_work, hot_id
from tests.phases.services import SCRIPT, TOP, Service, environment, started

NAME = "customers"
APP = ("--app", "examples.service.app:repository")


@frozen
class Pace:
    """How long a walk takes: the lease, the requests that are waited for in each place, and the clients."""

    lease_s: float = 1.5
    requests: int = 80
    clients: int = 6
    think_s: float = 0.03
    cold: int = 200


@frozen
class Ran:
    """A command that ended: its exit code, and what it printed."""

    code: int
    output: str
    errors: str


@define
class Walk:
    """Everything that a test moves, breaks and looks at."""

    services: list[Service]
    #: Those that clients send requests to.
    rotation: list[Service]
    history: History
    clients: list[Client]
    pace: Pace
    database: Any
    control: Control
    repository: Any
    switch: Any
    variables: Mapping[str, str]
    proxy: Proxy
    ran: list[tuple[str, Ran]] = field(factory=list)

    async def lazymig(self, *words: str, code: int = 0, app: bool = True) -> Ran:
        """Run a command as the operator does; its exit code must be this one."""
        process = await asyncio.create_subprocess_exec(
            SCRIPT, *words, *(APP if app else ()), cwd=TOP, env=environment(self.variables),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
        ran = Ran(process.returncode or 0, output.decode(), errors.decode())
        self.ran.append((" ".join(words), ran))
        assert ran.code == code, f"lazymig {' '.join(words)}: exit code {ran.code}\n{ran.output}\n{ran.errors}"
        return ran

    async def standing(self) -> Standing:
        """Where the migration stands."""
        found = await parts_of(self.control).phases(NAME).find()
        assert found is not None
        return found

    async def fill(self) -> None:
        """Move everything to V2 and verify it. Without that, the next step is refused."""
        with pytest.raises(PhaseError, match="verification: "):
            await self.switch.advance(by="the walk", why="too early", confirm=NAME, accept=["soak", "outside-writes"])
        if (await self.standing()).phase is Phase.COEXIST:
            assert (await Sweeper(self.repository, control=self.control).run()).remaining == 0
        assert (await Verifier(self.repository, control=self.control).run()).agrees

    async def move(self, to: Phase) -> None:
        """Move the fleet one phase on or back."""
        order = list(Phase)
        if order.index(to) < order.index((await self.standing()).phase):
            await self.switch.rollback(by="the walk", why="to see the way back")
        else:
            await self.switch.advance(by="the walk", why="the next step", accept=["soak"])
        assert (await self.standing()).phase is to

    async def seal(self) -> None:
        """Go to V2 alone, while a process sleeps with writes half way: the database refuses them when it wakes up."""
        sleeper = self.services[1]
        late = await self.burst(sleeper)
        self.out(sleeper)
        await self.lazymig(
            "phase", "advance", "--to", "v2_only", "--why", "V1 may go", "--soak", "0", "--accept", "outside-writes",
            "--confirm", NAME, "--yes",
        )  # fmt: skip
        assert (await self.standing()).phase is Phase.V2_ONLY
        await self.work()
        assert not any(task.done() for task in late)
        refused = self.history.refused[sleeper.name]
        sleeper.resume()
        await asyncio.gather(*late)
        print(self.history.refused, self.history.reasons, len(late))
        assert self.history.refused[sleeper.name] > refused
        await self.back(sleeper)
        await self.work()

    async def work(self, requests: int | None = None) -> None:
        """Let the clients send some more requests, and check what every client saw until then."""
        until = self.history.requests + (requests or self.pace.requests)
        await self.wait(lambda: self.history.requests >= until)
        self.check()

    def check(self) -> None:
        """No client saw anything lost, stale or resurrected, and no answer was a fault."""
        assert self.history.faults == []
        problems = self.history.problems()
        assert not problems, _explain(self.history, problems)

    async def wait(self, ready: Callable[[], Any], within_s: float = 60) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(within_s):
            while not ready():
                await SYSTEM_CLOCK.sleep(0.01)

    def out(self, service: Service) -> None:
        """Take a process out of rotation: new requests go to the others."""
        self.rotation.remove(service)

    async def back(self, service: Service) -> None:
        """Put a process into rotation, once it answers."""
        await self.answers(service)
        self.rotation.append(service)

    async def answers(self, service: Service, status: int = 200, within_s: float = 30) -> str:
        """Wait until a process answers reads with this status, and return the text."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.clients[0].http.get(f"{service.url}/v1/customers?limit=1")
                if answer.status_code == status:
                    return answer.text
                await SYSTEM_CLOCK.sleep(0.05)

    async def suffer(self) -> None:
        """Kill the first process and start it again, while the third is cut off from the control collection."""
        await asyncio.gather(self._crash(self.services[0]), self._cut_off(self.services[2]))

    async def _crash(self, service: Service) -> None:
        await service.kill()
        self.out(service)
        await service.start()
        await self.back(service)

    async def _cut_off(self, service: Service) -> None:
        """Let a process lose its lease until it refuses calls, and let it recover by itself."""
        refused = self.history.refused[service.name]
        self.proxy.close()
        await self.answers(service, 503)
        await self.wait(lambda: self.history.refused[service.name] > refused)
        self.proxy.closed = False
        await self.answers(service)

    async def burst(self, service: Service) -> list[asyncio.Task[None]]:
        """Send writes to one process and pause it at the first answer. Return those that are half way."""
        client = self.clients[0]
        requests = [client.make("patch", hot_id(number)) for number in range(HOT)]
        tasks = [asyncio.create_task(client.send(request, service)) for request in requests]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        service.pause()
        return [task for task in tasks if not task.done()]


def _explain(history: History, problems: Mapping[str, Any]) -> str:
    entity, verdict = next(iter(problems.items()))
    lines = [f"{len(problems)} entities; {entity} is {verdict}, from {history.initial.get(entity)}:"]
    lines += [
        f"  {one.called_at:.4f}-{one.returned_at or 0:.4f} {one.client} {one.name} -> {one.result}"
        for one in history.of(entity)
    ]
    return "\n".join(lines)


@asynccontextmanager
async def under_way(uri: str, port: int, database: str, pace: Pace, seed: int) -> AsyncIterator[Walk]:
    """A service of three processes with real customers in V1; the third reaches the control collection by a proxy."""
    variables = {"MONGODB_URI": uri, "MONGODB_DATABASE": database, "CUSTOMERS_LEASE_S": str(pace.lease_s)}
    async with Proxy(port).running() as proxy, AsyncMongoClient(uri) as client:
        documents = load_documents()[: pace.cold]
        db = client[database]
        await db["customers"].insert_many(documents)
        cold = [str(document["_id"]) for document in documents]
        history = History({str(one["_id"]): (one["email"], one["name"]) for one in documents})
        control = Control(db["lazymig_control"])
        around = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=1000"
        third = {**variables, "CUSTOMERS_CONTROL_URI": around}
        async with started({"a": variables, "b": variables, "c": third}) as services:
            rotation = list(services)
            async with at_work(rotation, history, cold, seed, count=pace.clients, think_s=pace.think_s) as clients:
                repository = Repository(
                    migration, v1=db["customers"], v2=db["customers_v2"], phase=Control(db["lazymig_control"])
                )
                switch = Switch(repository, on_wait=print)
                yield Walk(
                    services, rotation, history, clients, pace, db, control, repository, switch, variables, proxy
                )
        await client.drop_database(database)
