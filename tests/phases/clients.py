"""Old and new clients of the service over HTTP, and what each of them saw."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from random import Random
from typing import Any

import httpx
from attrs import Factory, define, evolve, field, frozen
from bson import ObjectId

from lazymig.loop.clock import SYSTEM_CLOCK
from lazymig.testing.linearizability import Operation, Outcome, Verdict, check_entities, listed
from tests.phases.services import Service

#: What a test compares of a customer: what both versions hold, as one text each.
Value = tuple[str, str]
#: How often each request is sent, relative to the others.
WEIGHTS = {"get": 6, "patch": 6, "create": 2, "remove": 1, "list": 1}
VERBS = ("get", "update", "insert", "delete", "list")
#: How many entities are met often. Their ids come before all others, so that one page holds them.
HOT = 24
_STUCK_S = 120
_REFUSED = "nothing was written"


def hot_id(number: int) -> str:
    """The id of an entity that is met often."""
    return str(ObjectId(number.to_bytes(12, "big")))


def value_of(customer: dict[str, Any]) -> Value:
    """What a test compares, of an answer of either version."""
    name = customer["name"]
    if not isinstance(name, str):
        name = " ".join(filter(None, (name["title"], name["first"], name["last"], name["suffix"])))
    return customer["email"], name


@frozen
class Request:
    """One request: its verb in the model, and what it does to a value."""

    verb: str
    method: str
    path: str
    entity: str | None = None
    body: dict[str, Any] | None = None
    argument: Any = None


@define
class History:
    """What all clients saw."""

    #: The entities at the start; all others are absent.
    initial: dict[str, Value]
    #: Whether other programs write beside the service. Then each field has an order of its own: a write of one field
    #: does not ask whether they have changed another one since it was read.
    by_field: bool = False
    operations: list[Operation] = Factory(list)
    #: Requests by verb, and those that were refused or are uncertain.
    counts: Counter[str] = Factory(Counter)
    #: Refusals by the process that answered, and their reasons.
    refused: Counter[str] = Factory(Counter)
    reasons: Counter[str] = Factory(Counter)
    #: Answers that no client should ever get.
    faults: list[str] = Factory(list)
    #: How long each write took.
    write_s: list[float] = Factory(list)
    _in_flight: dict[int, Operation] = field(factory=dict, init=False)
    #: The process that each request waits for, by the request's number.
    _asked: dict[int, str] = field(factory=dict, init=False)

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(self.counts[verb] for verb in VERBS)

    def wait(self, number: int, process: str) -> None:
        """Record that a request waits for the answer of a process."""
        self._asked[number] = process

    def wait_no_more(self, number: int) -> None:
        """Forget a request that has its answer, or gets none."""
        del self._asked[number]

    def find_waiting(self, process: str) -> set[int]:
        """Find the requests that wait for this process."""
        return {number for number, asked in self._asked.items() if asked == process}

    def find_elsewhere(self, process: str) -> set[int]:
        """Find the requests that wait for other processes."""
        return set(self._asked) - self.find_waiting(process)

    def begin(self, operation: Operation) -> int:
        """Record that a write was sent. Until its answer is here, it may have happened or not."""
        self._in_flight[id(operation)] = operation
        return id(operation)

    def end(self, key: int) -> None:
        """Forget a write that was sent, because its answer is recorded."""
        del self._in_flight[key]

    def problems(self) -> dict[str, Verdict]:
        """The entities whose history no order of the requests explains."""
        operations = [*self.operations, *self._in_flight.values()]
        if not self.by_field:
            return _find_wrong(check_entities(operations, self.initial))
        found: dict[str, Verdict] = {}
        for number in range(2):
            seen = [see_field(one, number) for one in operations]
            initial = {entity: value[number] for entity, value in self.initial.items()}
            found |= _find_wrong(check_entities(seen, initial))
        return found

    def of(self, entity: str) -> list[Operation]:
        """One entity's history, in the order of the requests."""
        return sorted((one for one in self.operations if one.entity == entity), key=lambda one: one.called_at)


def _find_wrong(verdicts: dict[Any, Verdict]) -> dict[str, Verdict]:
    return {entity: verdict for entity, verdict in verdicts.items() if verdict is not Verdict.OK}


def see_field(operation: Operation, number: int) -> Operation:
    """What an operation did and saw of one field. No field's new value depends on the other field."""
    given, result = operation.argument, operation.result
    argument = (lambda value: given((value, value))[number]) if callable(given) else given and given[number]
    return evolve(operation, argument=argument, result=result[number] if isinstance(result, tuple) else result)


@define
class Client:
    """One client. Each request goes to any process that is in rotation."""

    name: str
    version: str
    rotation: Sequence[Service]
    history: History
    random: Random
    http: httpx.AsyncClient
    cold: Sequence[str]
    _sent: int = 0

    async def run(self, think_s: float, stopping: asyncio.Event) -> None:
        """Send requests, with a pause after each, until it is to stop."""
        while not stopping.is_set():
            await self.send(self.choose(), self.random.choice(self.rotation))
            await SYSTEM_CLOCK.sleep(self.random.uniform(0, 2 * think_s))

    def choose(self) -> Request:
        """A request by the seed."""
        verb = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if verb == "list":
            return Request("list", "GET", f"/{self.version}/customers?limit={HOT}")
        if self.random.random() < 0.15 and verb in ("get", "patch"):
            return self.make(verb, self.random.choice(self.cold))
        return self.make(verb, hot_id(int(HOT * self.random.random() ** 2)))

    def make(self, verb: str, id: str) -> Request:
        """A request for one entity; what it writes is unique."""
        self._sent += 1
        token, path = f"{self.name}x{self._sent}", f"/{self.version}/customers/{id}"
        match verb:
            case "get":
                return Request("get", "GET", path, id)
            case "remove":
                return Request("delete", "DELETE", path, id)
            case "create":
                body = _BODIES[self.version](id, token)
                return Request("insert", "POST", f"/{self.version}/customers", id, body, (token, f"Client {token}"))
        if self._sent % 2:
            return Request("update", "PATCH", path, id, {"email": token}, lambda value: (token, value[1]))
        name: Any = f"Client {token}" if self.version == "v1" else {"first": "Client", "last": token}
        return Request("update", "PATCH", path, id, {"name": name}, lambda value: (value[0], f"Client {token}"))

    async def send(self, request: Request, service: Service) -> None:
        """Send a request to this process, and record what came of it."""
        self.history.counts[request.verb] += 1
        called_at = time.monotonic()
        if request.verb == "list":
            await self._list(request, service, called_at)
            return
        made = Operation(self.name, request.verb, request.argument, Outcome.UNCERTAIN, called_at, None, request.entity)
        key = self.history.begin(made) if request.verb != "get" else None
        result = await self._answer(request, service)
        returned_at = time.monotonic()
        if key is not None:
            self.history.end(key)
            self.history.write_s.append(returned_at - called_at)
        if (result is Outcome.UNCERTAIN and request.verb == "get") or result is _REFUSED:
            return
        end = None if result is Outcome.UNCERTAIN else returned_at
        self.history.operations.append(
            Operation(self.name, request.verb, request.argument, result, called_at, end, request.entity)
        )

    async def _list(self, request: Request, service: Service, called_at: float) -> None:
        found = await self._answer(request, service)
        if isinstance(found, dict):
            hot = [hot_id(number) for number in range(HOT)]
            self.history.operations += listed(
                found, hot, client=self.name, called_at=called_at, returned_at=time.monotonic()
            )

    async def _answer(self, request: Request, service: Service) -> Any:
        """The value, an `Outcome`, or `_REFUSED` where nothing was done."""
        number = self.history.requests  # of the latest request, which is this one
        self.history.wait(number, service.name)
        try:
            answer = await self.http.request(request.method, service.url + request.path, json=request.body)
        except httpx.ConnectError:
            self.history.counts["unreachable"] += 1
            return _REFUSED
        except httpx.TransportError:
            self.history.counts["broken"] += 1
            return Outcome.UNCERTAIN
        finally:
            self.history.wait_no_more(number)
        return judge(request, service.name, answer, self.history)


def judge(request: Request, process: str, answer: httpx.Response, history: History) -> Any:
    """Return the value, an `Outcome`, or `_REFUSED` where nothing was done; keep refusals and faults."""
    match answer.status_code:
        case 200 if request.verb == "list":
            return {customer["id"]: value_of(customer) for customer in answer.json()["customers"]}
        case 200 | 201:
            return value_of(answer.json())
        case 204:
            return Outcome.DONE
        case 404:
            return None if request.verb == "get" else Outcome.NOT_FOUND
        case 409:
            return Outcome.ALREADY_EXISTS
        case 503:
            history.refused[process] += 1
            history.reasons[answer.json()["detail"][0]] += 1
            return _REFUSED if _REFUSED in answer.text else Outcome.UNCERTAIN
    history.faults.append(f"{request.method} {request.path}: {answer.status_code} {answer.text[:300]}")
    return Outcome.UNCERTAIN


def _old(id: str, token: str) -> dict[str, Any]:
    return {
        "id": id, "username": token, "name": f"Client {token}", "address": "PSC 1, Box 2\nAPO AE 09012",
        "birthdate": "1977-03-02T02:20:31.000Z", "email": token, "accounts": [1, 2], "tier_and_details": {},
    }  # fmt: skip


def _new(id: str, token: str) -> dict[str, Any]:
    return {
        "id": id, "username": token, "name": {"first": "Client", "last": token}, "email": token,
        "address": {"kind": "street", "street": "1 Mill Avenue", "city": "Bath", "state": "ME", "zip": "04530"},
        "born": "1977-03-02", "accounts": [3], "tiers": [],
    }  # fmt: skip


_BODIES: dict[str, Callable[[str, str], dict[str, Any]]] = {"v1": _old, "v2": _new}


@asynccontextmanager
async def at_work(
    rotation: Sequence[Service], history: History, cold: Sequence[str], seed: int, *, count: int, think_s: float
) -> AsyncIterator[list[Client]]:
    """Clients of both versions by turns, at work within the block."""
    stopping = asyncio.Event()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=count)
    async with httpx.AsyncClient(timeout=_STUCK_S, limits=limits) as http:
        clients = [
            Client(f"c{number}", version, rotation, history, Random(f"{seed}/{number}"), http, cold)
            for number, version in zip(range(count), cycle(("v1", "v2")), strict=False)
        ]
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.run(think_s, stopping))
            try:
                yield clients
            finally:
                stopping.set()
