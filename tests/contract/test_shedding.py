"""A pass sheds load: it waits out what the server reports as overload, goes slowly for a while, and says why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import frozen
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from lazymig import Phase, Rewriter, Sweeper
from lazymig.passes.shedding import GIVE_UP_S, OVERLOADED, RETRYABLE, Shedding, as_patient_as
from lazymig.passes.throttle import Limits, Throttle
from lazymig.repository import calls_of
from lazymig.stores.scans import Scan
from lazymig.sweeper import Progress
from lazymig.verifier import Verifier, VerifyProgress
from tests.older import buyers, chain, document
from tests.people import TestClock
from tests.sweeps import LaterClock, moved, repository, stored, sweeper, thing

LABELS = [OVERLOADED, RETRYABLE]
#: The server's code for "too many requests": one that drivers do not retry without the labels.
CODE = 462
COUNT = 40
#: How often a statement fails until its driver, which tries it twice again, raises the error.
TRIES = 3


def overload(*labels: str) -> OperationFailure:
    """The error of a server that reports overload."""
    return OperationFailure("full", CODE, {"errorLabels": list(labels), "code": CODE})


def failing(*errors: PyMongoError) -> Callable[[], Awaitable[str]]:
    """A statement that fails so often, and is done then."""
    left = list(errors)

    async def statement() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return statement


def shedding(clock: TestClock, stopping: Callable[[], bool] = lambda: False) -> Shedding:
    """The patience of a pass on this clock."""
    return Shedding(stopping, clock, lambda: None)


@asynccontextmanager
async def overloaded(database: Any, *commands: str, times: int, labels: list[str] = LABELS) -> AsyncIterator[None]:
    """A server that refuses these commands so often, as an overloaded one does."""
    data = {"failCommands": list(commands), "errorCode": CODE, "errorLabels": labels}
    admin = database.client.admin
    await admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)
    try:
        yield
    finally:
        await admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize(
    ("driver", "commands"),
    [
        ("pymongo", ["find"]),
        ("pymongo", ["insert"]),
        ("pymongo", ["update", "findAndModify"]),
        ("pymongo", ["count", "aggregate"]),
        ("motor", ["find", "insert"]),
    ],
)
async def test_an_overloaded_server_does_not_end_a_sweep(database: Any, driver: str, commands: list[str]) -> None:
    """A sweep whose statements are refused as overload is finished, moves everything, went slowly and said why."""
    await database["v1"].insert_many([thing(id) for id in range(COUNT)])
    clock, seen = LaterClock(), list[Progress]()
    sweeping = sweeper(database, clock=clock, on_progress=seen.append)
    async with overloaded(database, *commands, times=TRIES * 2):
        report = await sweeping.run()
    assert (report.finished, report.scanned, report.dead, report.remaining) == (True, COUNT, 0, 0)
    assert len(await stored(database["v2"])) == COUNT
    assert "the server reports overload" in {progress.throttle for progress in seen}
    assert sum(clock.slept) > 0.5


@pytest.mark.parametrize("commands", [["find"], ["update", "findAndModify"]])
async def test_an_overloaded_server_does_not_end_a_verification(server_database: Any, commands: list[str]) -> None:
    """A verification whose statements are refused as overload finishes, finds no fault, and says why it waited."""
    await server_database["v1"].insert_many([thing(id) for id in range(COUNT)])
    await server_database["v2"].insert_many([moved(id) for id in range(COUNT)])
    clock, seen = LaterClock(), list[VerifyProgress]()
    repo = repository(server_database)
    verifier = Verifier(repo, clock=clock, batch_size=4, partition_size=10, on_progress=seen.append)
    # Twice is for what comes before the first page.
    async with overloaded(server_database, *commands, times=TRIES * 4):
        report = await verifier.run()
    assert (report.finished, report.needs_person, report.compared) == (True, False, COUNT)
    assert "the server reports overload" in {progress.throttle for progress in seen}


@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.COEXIST])
async def test_an_overloaded_server_does_not_end_a_rewriting(server_database: Any, phase: Phase) -> None:
    """A rewriting of older documents whose statements are refused as overload finishes, and rewrites them all."""
    await server_database["v1"].insert_many([document(1, id) for id in range(8)])
    repo = repository(server_database, migration=buyers(upcasters=chain(persist=True)), phase=phase)
    rewriter = Rewriter(repo, clock=LaterClock(), batch_size=4)
    async with overloaded(server_database, "update", "findAndModify", times=TRIES * 2):
        report = await rewriter.run()
    assert (report.finished, report.needs_person, report.rewritten) == (True, False, 8)
    assert await server_database["v1"].count_documents({"schema_version": 3}) == 8


async def test_a_calm_server_does_not_slow_a_sweep(server_database: Any) -> None:
    """A sweep of a server that refuses nothing waits for the moment only in which it sees that nobody else reads."""
    await server_database["v1"].insert_many([thing(id) for id in range(COUNT)])
    clock, seen = LaterClock(), list[Progress]()
    await sweeper(server_database, clock=clock, on_progress=seen.append).run()
    assert {progress.throttle for progress in seen} == {""}
    assert [delay_s for delay_s in clock.slept if delay_s] == [0.05]


async def test_clients_get_the_error(server_database: Any) -> None:
    """A client's own statement raises what the server reports, after its driver's retries; lazymig adds none."""
    await server_database["v1"].insert_one(thing(1))
    repo = repository(server_database)
    assert await repo.get(1) is not None
    async with overloaded(server_database, "find", times=TRIES):
        with pytest.raises(OperationFailure) as caught:
            await repo.get(1)
        assert caught.value.code == CODE
        assert await repo.get(1) is not None  # the third refusal was the last


async def test_what_is_no_overload_ends_a_sweep(server_database: Any) -> None:
    """The same code without the labels ends the sweep at once, as every other error does."""
    await server_database["v1"].insert_one(thing(1))
    clock = LaterClock()
    async with overloaded(server_database, "insert", times=TRIES, labels=[]):
        with pytest.raises(OperationFailure) as caught:
            await sweeper(server_database, clock=clock).run()
    assert caught.value.code == CODE
    assert sum(clock.slept) == 0


@pytest.mark.parametrize("labels", [LABELS, [OVERLOADED], [RETRYABLE]], ids=["both", "overload", "retryable"])
async def test_each_label_counts(labels: list[str]) -> None:
    """Each of the labels, alone or with the other, makes a statement wait, each time longer, and be made again."""
    clock = TestClock()
    patient = shedding(clock)
    connecting = AutoReconnect("no room for a connection", errors=labels)
    for label in labels:
        connecting._add_error_label(label)
    assert await patient.call(failing(overload(*labels), connecting, overload(*labels))) == "done"
    assert clock.slept == [0.25, 0.5, 1.0]
    assert patient.pause_s > 0


async def test_waits_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two passes that met the same overload come back at different moments, at most half as long again apart."""
    clock = TestClock()
    monkeypatch.setattr(clock, "random", iter([0.0, 0.25, 0.999]).__next__)
    await shedding(clock).call(failing(*[overload(*LABELS)] * 3))
    assert clock.slept == pytest.approx([0.125, 0.375, 1.499], abs=0.01)


async def test_patience_ends() -> None:
    """A server that reports overload for a quarter of an hour ends the pass with its error."""
    clock = TestClock()
    with pytest.raises(OperationFailure):
        await shedding(clock).call(failing(*[overload(*LABELS)] * 10_000))
    assert GIVE_UP_S - 20 < sum(clock.slept) <= GIVE_UP_S


async def test_stopping_ends_patience() -> None:
    """A pass that is to stop waits for some seconds more, and then gives up."""
    clock = TestClock()
    with pytest.raises(OperationFailure):
        await shedding(clock, lambda: True).call(failing(*[overload(*LABELS)] * 10_000))
    assert 1 < sum(clock.slept) <= 10


async def test_slow_down_quickly_recover_slowly() -> None:
    """Each overload doubles the pause before a page, up to five seconds; pages without one shorten it bit by bit."""
    clock = TestClock()
    patient = shedding(clock)
    pauses = []
    for _ in range(8):
        patient.note_overload()
        await patient.wait_for_page()
        pauses.append(clock.slept[-1])
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    clock.slept.clear()
    for _ in range(100):
        await patient.wait_for_page()
    assert clock.slept[:3] == pytest.approx([4.5, 4.05, 3.645])
    assert 20 < len(clock.slept) < 100  # and then not at all


async def test_batches_shrink(server_database: Any) -> None:
    """Overload halves the batch, and the throttle names the reason until its pause is over."""
    clock = TestClock()
    throttle = Throttle(server_database["v2"], Limits(batch_size=1000), lambda: False, clock)
    throttle.shedding.note_overload()
    assert throttle.batches.size == 500
    assert throttle.reason == "the server reports overload"
    for _ in range(100):
        await throttle.wait_for_page()
    assert throttle.reason == ""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(False, "the probe says that the server is not well"), (RuntimeError("broken"), "the probe fails"), (True, "")],
)
async def test_a_probe_is_a_reason(server_database: Any, answer: bool | Exception, reason: str) -> None:
    """What a user's probe says, or that it fails, is named as the reason."""
    asked = 0

    async def probe() -> bool:
        nonlocal asked
        asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    throttle = Throttle(server_database["v2"], Limits(probe=probe), lambda: asked >= 2, TestClock())
    if answer is not False:
        asked = -10
    await throttle.wait_for_page()
    assert throttle.reason == reason


@pytest.mark.parametrize("make", [Sweeper, Verifier])
async def test_a_failing_probe_slows_each_kind_of_pass(server_database: Any, make: Any) -> None:
    """A sweep and a verification whose probe fails finish, rest between their pages, and say why."""
    await server_database["v1"].insert_many([thing(id) for id in range(COUNT)])

    async def broken() -> bool:
        raise RuntimeError("no answer")

    clock, seen = LaterClock(), list[Any]()
    passing = make(repository(server_database), clock=clock, probe=broken, batch_size=4, on_progress=seen.append)
    report = await passing.run()
    assert report.finished
    assert {progress.throttle for progress in seen} == {"the probe fails"}
    assert len([s for s in clock.slept if s]) > 1


async def test_an_overloaded_hello_counts(server_database: Any) -> None:
    """Where even the question for the replication's lag is refused as overload, the pass goes slowly for it."""
    throttle = Throttle(server_database["v2"], Limits(), lambda: False, TestClock())
    async with overloaded(server_database, "hello", times=10_000):
        await throttle.wait_for_page()
    assert throttle.reason == "the server reports overload"


@frozen
class Store:
    """A store with one statement."""

    ask: Callable[[], Awaitable[str]]
    name: str = "store"

    async def find(self) -> str:
        return await self.ask()

    def describe(self) -> str:
        return self.name


async def test_only_statements_are_patient() -> None:
    """A patient store waits in its async methods; all else is as the store has it, and others are not patient."""
    patient = shedding(TestClock()).around(Store(failing(overload(*LABELS))))
    assert (await patient.find(), patient.describe(), patient.name) == ("done", "store", "store")
    other = Store(failing(overload(*LABELS)))
    assert as_patient_as(Store(failing()), other) is other
    assert await as_patient_as(patient, other).find() == "done"


async def test_the_pair_of_clients_stays_as_it_is(server_database: Any) -> None:
    """A pass has a patient pair of its own: scans beside it are patient, and those of the clients' pair are not."""
    await server_database["v1"].insert_one(thing(1))
    clock = TestClock()
    given = calls_of(repository(server_database)).pair
    patient = shedding(clock).pair(given)
    async with overloaded(server_database, "find", times=TRIES):
        assert await as_patient_as(patient.v1, Scan(patient.v1)).find_ids({}) != []
    assert len(clock.slept) == 1
    async with overloaded(server_database, "find", times=TRIES):
        with pytest.raises(OperationFailure):
            await as_patient_as(given.v1, Scan(given.v1)).find_ids({})
