"""A service on its way through all phases: its processes, the clients at work, and what breaks meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom
from typing import Any

from attrs import define, frozen
from pymongo import AsyncMongoClient
from pymongo.uri_parser import parse_uri

from examples.customers import load_documents
from lazymig.loop.clock import SYSTEM_CLOCK
from tests.faults.proxy import Proxy
from tests.phases.clients import HOT, Client, History, Value, at_work, hot_id
from tests.phases.layouts import TWO, Layout
from tests.phases.operating import Operator
from tests.phases.services import Service, home, started
from tests.widening import WIDENING


@frozen
class Pace:
    """How long a walk takes: the lease, the requests that are waited for in each place, and the clients."""

    lease_s: float = 1.5
    requests: int = 80
    clients: int = 6
    think_s: float = 0.05
    cold: int = 200


@define
class Walk:
    """Everything that a test moves, breaks and looks at."""

    services: list[Service]
    #: Those that clients send requests to.
    rotation: list[Service]
    history: History
    clients: list[Client]
    pace: Pace
    operator: Operator
    proxy: Proxy

    async def work(self) -> None:
        """Let the clients send some more requests, and check what every client saw until then."""
        until = self.history.requests + self.pace.requests
        await _wait(lambda: self.history.requests >= until)
        self.check()

    def check(self) -> None:
        """No client saw anything lost, stale or resurrected, and no answer was a fault."""
        assert self.history.faults == []
        problems = self.history.problems()
        assert not problems, _explain(self.history, problems)

    def out(self, service: Service) -> None:
        """Take a process out of rotation: new requests go to the others."""
        self.rotation.remove(service)

    async def back(self, service: Service) -> None:
        """Put a process into rotation, once it answers."""
        await self.answers(service)
        self.rotation.append(service)

    async def answers(self, service: Service, status: int = 200, within_s: float = 120) -> str:
        """Wait until a process answers reads with this status, and return the text."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.clients[0].http.get(f"{service.url}/v1/customers?limit=1")
                if answer.status_code == status:
                    return answer.text
                await SYSTEM_CLOCK.sleep(0.05)

    async def suffer(self) -> None:
        """Kill the first process and start it again, while the third is cut off from the control collection."""
        await asyncio.gather(self.crash(self.services[0]), self._cut_off(self.services[2]))

    async def crash(self, service: Service) -> None:
        """Kill a process under load, and start it again."""
        await service.kill()
        self.out(service)
        await service.start()
        await self.back(service)

    async def _cut_off(self, service: Service) -> None:
        """Let a process lose its lease until it refuses calls, and let it recover by itself."""
        refused = self.history.refused[service.name]
        self.proxy.close()
        assert "nothing was written" in await self.answers(service, 503)
        await _wait(lambda: self.history.refused[service.name] > refused)
        self.proxy.closed = False
        await self.answers(service)

    async def sleep(self, service: Service) -> list[asyncio.Task[None]]:
        """Pause a process with writes half way, and return the tasks that wait for it.

        Where writes are announced, one at least is announced in V2, and not in V1.
        """
        self.out(service)
        await _wait(lambda: not self.history.find_waiting(service.name))
        announces = self.operator.layout.announces
        while True:
            dead = await self._find_announced(service) if announces else set()
            late = await self._burst(service)
            if announces and await self._find_announced(service) - dead:
                return late
            if not announces and await self._waits(late):
                return late
            service.resume()
            await asyncio.gather(*late)

    async def _find_announced(self, service: Service) -> set[tuple[str, int]]:
        """Find writes that stay announced when all others have ended: those of this process, and of dead ones."""
        found = await self.operator.find_announced()
        others = self.history.find_elsewhere(service.name)
        await _wait(lambda: not others & self.history.find_elsewhere(service.name))
        return found & await self.operator.find_announced()

    async def _waits(self, late: list[asyncio.Task[None]]) -> bool:
        """Whether a write has no answer yet, once all that the process had sent has arrived."""
        for _ in range(30):  # turns, of which a busy machine spares none
            await SYSTEM_CLOCK.sleep(0.01)
        return not all(task.done() for task in late)

    async def _burst(self, service: Service) -> list[asyncio.Task[None]]:
        """Send writes to a process, and pause it at the first answer."""
        client = self.clients[0]
        requests = [client.make("patch", hot_id(number)) for number in range(HOT)]
        tasks = [asyncio.create_task(client.send(request, service)) for request in requests]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        service.pause()
        return [task for task in tasks if not task.done()]

    async def wake(self, service: Service, late: list[asyncio.Task[None]]) -> None:
        """Let a paused process go on with its writes, and put it into rotation."""
        assert not all(task.done() for task in late)
        service.resume()
        await asyncio.gather(*late)
        await self.back(service)


def draw_seed() -> int:
    """The seed of a walk, printed so that it can be taken again."""
    seed = 1 if WIDENING.seed is None and os.environ.get("CI") else WIDENING.seed
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    print(f"--seed {seed}")
    return seed


async def _wait(ready: Callable[[], bool], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not ready():
            await SYSTEM_CLOCK.sleep(0.01)


def _explain(history: History, problems: Mapping[str, Any]) -> str:
    entity, verdict = next(iter(problems.items()))
    lines = [f"{len(problems)} entities; {entity} is {verdict}, from {history.initial.get(entity)}:"]
    lines += [
        f"  {one.called_at:.4f}-{one.returned_at or 0:.4f} {one.client} {one.name} -> {one.result}"
        for one in history.of(entity)
    ]
    return "\n".join(lines)


@asynccontextmanager
async def under_way(uri: str, database: str, pace: Pace, seed: int, layout: Layout = TWO) -> AsyncIterator[Walk]:
    """A service of three processes with real customers in V1; the third reaches the control collection by a proxy."""
    variables = {
        "MONGODB_URI": uri, "MONGODB_DATABASE": database, "CUSTOMERS_LEASE_S": str(pace.lease_s),
        "CUSTOMERS_TIMEOUT_S": "60", **layout.variables,
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(home())
        client = await stack.enter_async_context(AsyncMongoClient[dict[str, Any]](uri))
        stack.push_async_callback(client.drop_database, database)
        documents = load_documents()[: pace.cold]
        await client[database]["customers"].insert_many(documents)
        operator = Operator.over(client[database], layout, variables, folder)
        await operator.lazymig("phase", "begin", "v1_only", "--why", "the service as it is", "--yes")
        proxy = await stack.enter_async_context(Proxy(parse_uri(uri)["nodelist"][0][1]).running())
        around = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true&serverSelectionTimeoutMS=1000"
        each = {"1": variables, "2": variables, "3": {**variables, "CUSTOMERS_CONTROL_URI": around}}
        services = await stack.enter_async_context(started(each, folder))
        initial = {str(one["_id"]): _value(one) for one in documents}
        rotation, history = list(services), History(initial, by_field=layout.outsiders)
        load = at_work(rotation, history, list(history.initial), seed, count=pace.clients, think_s=pace.think_s)
        clients = await stack.enter_async_context(load)
        for service in services:
            stack.callback(service.resume)  # or a client would wait for a process that a failed test left asleep
        yield Walk(services, rotation, history, clients, pace, operator, proxy)


def _value(document: dict[str, Any]) -> Value:
    return document["email"], document["name"]
