"""Each statement of the protocol fails in each way, while clients of both doors work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define
from pymongo import common

from lazymig.testing import Server
from tests.faults.boxes import legacy
from tests.faults.claims import Row, added, judge
from tests.faults.conftest import connected
from tests.faults.load import Client, History, ShiftedClock, clients, work
from tests.faults.proxy import Cut, Proxy

#: Each statement as the server sees it: command and collection.
STATEMENTS = {
    "find V2": ("find", "v2"),
    "find V1": ("find", "v1"),
    "ticket": ("findAndModify", "v2"),
    "compare-and-set V1": ("update", "v1"),
    "insert V1": ("insert", "v1"),
    "delete V1": ("delete", "v1"),
    "apply or raise V2": ("update", "v2"),
    "put if absent V2": ("insert", "v2"),
}
#: What the server does by itself; 8 is an unknown error, 6 one that drivers answer by sending once more.
FAILURES: dict[str, dict[str, Any]] = {
    "error": {"errorCode": 8},
    "error, sent again": {"errorCode": 6},
    "write concern error": {"writeConcernError": {"code": 64, "errmsg": "injected"}},
}
#: At a time; more than there are clients, so that a statement that is sent again fails again.
TIMES = 8
#: Calls from one time to the next.
EVERY = 25
CALLS = 75

Arm = Callable[[], Awaitable[None]]


@define
class Fault:
    """How to make it happen, and how often it did."""

    arm: Arm
    injected: int = 0


async def fire(database: Any, fault: Fault, statement: str, seed: int) -> tuple[History, range]:
    """Let six clients work while a fault is armed again and again."""
    # Few entities, so that clients meet; many where it matters that V2 does not know them yet.
    ids = range(100) if statement == "put if absent V2" else range(8)
    history = History({id: (f"legacy.{id}", 0) for id in ids if id % 2})
    await database["v1"].insert_many([legacy(id) for id in history.initial])
    crowd = clients(database, history, ids, seed, ShiftedClock(), count=6)
    await work_under(crowd, history, fault)
    return history, ids


async def work_under(crowd: Iterable[Client], history: History, fault: Fault) -> None:
    """Let clients work while a fault is armed again and again."""
    armed_at = 0

    async def between() -> None:
        nonlocal armed_at
        if history.calls >= armed_at:
            armed_at += EVERY
            await fault.arm()

    await work(crowd, lambda: history.calls < CALLS, between)


@asynccontextmanager
async def failing(server: Server, statement: str, failure: str) -> AsyncIterator[Fault]:
    """The server's own failpoint; off afterwards."""
    command, collection = STATEMENTS[statement]
    point = {"failCommands": [command], "namespace": f"faults.{collection}", **FAILURES[failure]}
    async with connected(server.uri) as other:

        async def switch(mode: Any) -> int:
            reply = await other.client.admin.command("configureFailPoint", "failCommand", mode=mode, data=point)
            return int(reply["count"])

        before = await switch("off")
        fault = Fault(lambda: switch({"times": TIMES}))  # type: ignore[arg-type,return-value]
        try:
            yield fault
        finally:
            fault.injected = await switch("off") - before


@asynccontextmanager
async def cutting(proxy: Proxy, statement: str, when: Any) -> AsyncIterator[Fault]:
    """The proxy's scissors; away afterwards."""

    async def arm() -> None:
        proxy.cut = Cut(*STATEMENTS[statement], when, TIMES)

    fault = Fault(arm)
    yield fault
    proxy.cut = None
    fault.injected = proxy.cuts


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("statement", STATEMENTS)
async def test_server_fails(
    mortal_server: Server, ledger: Any, seed: int, wide: int, statement: str, failure: str
) -> None:
    """Whichever statement the server refuses or does not acknowledge, the claims hold."""
    if statement.startswith("find") and failure == "write concern error":
        pytest.skip("a read has no write concern")

    async def once(seed: int) -> Row:
        async with connected(mortal_server.uri) as database:
            async with failing(mortal_server, statement, failure) as fault:
                history, ids = await fire(database, fault, statement, seed)
            return await judge(f"{statement}: {failure}", fault.injected, database, history, ids, ShiftedClock())

    # Again rather than longer: the more uncertain writes one history has, the more it may mean.
    row = added([await once(seed + number) for number in range(wide)])
    ledger(row)
    assert row.injected
    assert not row.violations


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", STATEMENTS)
async def test_connection_closes(
    mortal_server: Server, ledger: Any, seed: int, wide: int, statement: str, when: str, monkeypatch: Any
) -> None:
    """Whether the connection closes before the server got a statement or after it was done, the claims hold."""
    # A driver that lost a connection looks again after this long, and at once only when it polls.
    monkeypatch.setattr(common, "MIN_HEARTBEAT_INTERVAL", 0.05)
    options = "directConnection=true&serverMonitoringMode=poll"

    async def once(seed: int) -> Row:
        proxy = Proxy(mortal_server.port)
        async with proxy.running(), connected(f"mongodb://127.0.0.1:{proxy.port}/?{options}") as database:
            async with cutting(proxy, statement, when) as fault:
                history, ids = await fire(database, fault, statement, seed)
            return await judge(f"{statement}: closed {when}", fault.injected, database, history, ids, ShiftedClock())

    row = added([await once(seed + number) for number in range(wide)])
    ledger(row)
    assert row.injected
    assert not row.violations
