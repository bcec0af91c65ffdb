"""Calls that share statements or turns, where those fail: each caller's error is an object of its own."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, NotPrimaryError, PyMongoError, WriteConcernError

from lazymig import Phase, Repository
from lazymig.loop import rounds
from lazymig.protocol import joining
from tests.conftest import all_dropped, fresh_database
from tests.people import PersonV1, PersonV2, ada, people

CALLERS = 8
#: What the server answers to a command, and what each caller sees of it.
FAILURES: dict[str, tuple[dict[str, Any], type[PyMongoError]]] = {
    "connection lost": ({"closeConnection": True}, AutoReconnect),
    "not primary": ({"errorCode": 10107, "errorLabels": ["NotPrimary"]}, NotPrimaryError),
    "refused for its state": ({"errorCode": 8000}, PyMongoError),
    "not acknowledged": ({"writeConcernError": {"code": 64, "errmsg": "timed out"}}, WriteConcernError),
}
Repo = Repository[PersonV1, PersonV2]
#: The calls that share statements, the command that fails, and the collection that it is sent to.
CALLS: dict[str, tuple[Callable[[Repo, int], Awaitable[Any]], str, str]] = {
    "reads": (lambda repo, id: repo.get(id), "find", "v1"),
    "announcements": (lambda repo, id: repo.update(id, older), "update", "v2"),
    "updates": (lambda repo, id: repo.update(id, older), "update", "v1"),
    "inserts": (lambda repo, id: repo.insert(ada(id + 100)), "insert", "v1"),
    "deletes": (lambda repo, id: repo.delete(id), "delete", "v1"),
    "updates of one entity": (lambda repo, id: repo.update(1, older), "update", "v1"),
}


def older(person: PersonV2) -> PersonV2:
    return evolve(person, age=(person.age or 0) + 1)


@pytest.fixture
async def failing(fallible: Any) -> AsyncIterator[Any]:
    """An empty database on the server that may be made to fail."""
    async with AsyncMongoClient(fallible.uri, retryReads=False, retryWrites=False) as client:
        async with fresh_database(client) as database:
            yield database
        await all_dropped()


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No turn ends early because the machine is busy."""
    for module, name in ((joining, "DECIDING_S"), (joining, "PATIENCE_S"), (rounds, "PATIENCE_S")):
        monkeypatch.setattr(module, name, 60.0)


@pytest.mark.parametrize(("answer", "kind"), FAILURES.values(), ids=list(FAILURES))
@pytest.mark.parametrize(("call", "command", "side"), CALLS.values(), ids=list(CALLS))
async def test_each_caller_gets_an_error_of_its_own(
    failing: Any, failpoint: Callable[..., Any], call: Any, command: str, side: str,
    answer: dict[str, Any], kind: type[PyMongoError],
) -> None:  # fmt: skip
    """Of the same type, code and labels; its frames and notes are those of its own call, however many there are."""
    if command == "find" and "writeConcernError" in answer:
        return  # no read has one
    repo = Repository(people(), v1=failing["v1"], v2=failing["v2"], phase=Phase.COEXIST)
    for number in range(CALLERS):
        await repo.insert(ada(number))
    if command == "find":
        await failing["v2"].delete_many({})
    raised: list[PyMongoError] = []

    async def note(number: int) -> None:
        with pytest.raises(kind) as found:
            await call(repo, number)
        found.value.add_note(f"call {number}")
        raised.append(found.value)

    with failpoint({"failCommands": [command], "namespace": failing[side].full_name, **answer}):
        await asyncio.gather(*map(note, range(CALLERS)))
    assert len({id(error) for error in raised}) == CALLERS
    assert sorted(error.__notes__ for error in raised) == [[f"call {number}"] for number in range(CALLERS)]
    assert len({(type(error), getattr(error, "code", None), *sorted(error._error_labels)) for error in raised}) <= 2
    frames = [[frame.name for frame in traceback.extract_tb(error.__traceback__)] for error in raised]
    assert [found.count("note") for found in frames] == [1] * CALLERS
