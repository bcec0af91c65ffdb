"""Clients and programs on the plain driver hammer the same documents, while processes, statements and primaries fail.

No acknowledged write is lost: each field of each document has an order of its writes that explains every answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lazymig.testing import ReplicaSet, Server
from lazymig.testing.linearizability import Outcome
from tests.faults.claims import Row
from tests.faults.conftest import connected
from tests.faults.wholes import IDS, Entry, crowd, fill, find_violations, work

ROOT = Path(__file__).parents[2]
CALLS = 400
#: What the server does with a statement on the documents.
FAILURES: dict[str, dict[str, Any]] = {
    "an error": {"errorCode": 8},
    "no primary any more": {"errorCode": 10107, "closeConnection": False},
    "the connection closes": {"closeConnection": True},
    "no acknowledgement": {"writeConcernError": {"code": 64, "errmsg": "injected"}},
}
COMMANDS = ("find", "update", "insert", "delete")


def nothing(_: Entry) -> None:
    """Clients of this process keep their entries."""


async def judged(fault: str, injected: int, database: Any, initial: Any, entries: list[Entry], ledger: Any) -> None:
    """Check every history, and take down what was tried."""
    found = await find_violations(database, initial, entries)
    print(*found, sep="\n")
    uncertain = sum(entry.result is Outcome.UNCERTAIN and not entry.silent for entry in entries)
    ledger(Row(f"one document: {fault}", injected, len(entries), uncertain, len(IDS), len(found)))
    assert injected
    assert not found


async def nursed(uri: str, name: str, seed: int, count: int) -> list[Entry]:
    """Let a process make so many calls, kill it, and return what it reported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = (sys.executable, "-m", "tests.faults.wholes_nursery", uri, name, str(seed))
    child = await asyncio.create_subprocess_exec(*words, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    lines: list[bytes] = []
    async for line in child.stdout:
        lines.append(line)
        if len(lines) == count:
            child.kill()
    await child.wait()
    return list(_entries(lines))


def _entries(lines: list[bytes]) -> Iterator[Entry]:
    latest: dict[str, Entry] = {}
    for line in lines:
        if line.endswith(b"\n"):  # what it was killed in the middle of was not reported
            entry = Entry(**json.loads(line))
            latest[entry.writer] = entry
    for entry in latest.values():
        if entry.returned_at is None and entry.verb.startswith("get"):
            continue
        result = entry.result
        if isinstance(result, list):
            entry.result = tuple(tuple(one) if isinstance(one, list) else one for one in result)
        elif isinstance(result, str):
            entry.result = Outcome(result)
        yield entry


async def test_processes_are_killed(mortal_server: Server, ledger: Any, seed: int, wide: int) -> None:
    """What a process wrote before `kill -9` stands, and what it had begun happened or did not."""
    async with connected(mortal_server.uri, retryWrites=False) as database:
        initial = await fill(database)
        clients, going = crowd(database, seed, nothing), True

        async def others() -> list[Entry]:
            nonlocal going
            try:
                runs = [nursed(mortal_server.uri, f"p{number}", seed, 500) for number in range(wide)]
                return [entry for entries in await asyncio.gather(*runs) for entry in entries]
            finally:
                going = False

        found, _ = await asyncio.gather(others(), work(clients, lambda: going))
        entries = found + [entry for client in clients for entry in client.entries]
        await judged("kill -9 of clients", wide, database, initial, entries, ledger)


@contextmanager
def failing(server: Server, failure: dict[str, Any]) -> Iterator[Any]:
    """A way to make the next statements on the documents fail."""
    with server.members[0].client() as admin:

        def arm() -> None:
            data = {"failCommands": list(COMMANDS), "namespace": "faults.wholes", **failure}
            admin.admin.command("configureFailPoint", "failCommand", mode={"times": 3}, data=data)

        try:
            yield arm
        finally:
            admin.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize("failure", FAILURES)
async def test_statements_fail(mortal_server: Server, ledger: Any, seed: int, wide: int, failure: str) -> None:
    """Whatever becomes of single statements of either side, each field's writes have an order."""
    made = FAILURES[failure]
    if "writeConcernError" in made:
        made = {**made, "failCommands": ["update", "insert", "delete"]}
    async with connected(mortal_server.uri, retryWrites=False) as database:
        initial = await fill(database)
        clients = crowd(database, seed, nothing)
        armed = 0
        with failing(mortal_server, made) as arm:

            def going() -> bool:
                nonlocal armed
                calls = sum(len(client.entries) for client in clients)
                if calls >= (armed + 1) * 60:
                    armed += 1
                    arm()
                return calls < CALLS * wide

            await work(clients, going)
        entries = [entry for client in clients for entry in client.entries]
        await judged(failure, armed, database, initial, entries, ledger)


async def test_the_primary_steps_down(replica_set: ReplicaSet, ledger: Any, seed: int, wide: int) -> None:
    """Across a change of the primary nothing that was acknowledged to either side is lost."""
    async with connected(replica_set.uri, retryWrites=False) as database:
        initial = await fill(database)
        clients = crowd(database, seed, nothing)

        changes: list[asyncio.Task[Any]] = []

        def going() -> bool:
            calls = sum(len(client.entries) for client in clients)
            over = not changes or changes[-1].done()
            if over and len(changes) < wide and calls >= 150 * (len(changes) + 1):
                changes.append(asyncio.create_task(asyncio.to_thread(replica_set.step_down)))
            return calls < 400 * wide or not changes[-1].done()

        await work(clients, going)
        await asyncio.gather(*changes)
        entries = [entry for client in clients for entry in client.entries]
        await judged("primary steps down", len(changes), database, initial, entries, ledger)
