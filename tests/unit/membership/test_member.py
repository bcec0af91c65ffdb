"""One process in its fleet, in memory: joining, leaving, leases, holds, and what it acknowledges."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import evolve
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import AutoReconnect, PyMongoError

from lazymig import Control, Phase, PhaseError, Repository
from lazymig.membership.member import ATTENTIVE_S, HOLD_MAX_S, POLL_S
from lazymig.stores.rows import Rows
from lazymig.telemetry import EPOCHS, LEASES_LOST, REFUSED_CALLS
from tests.fleets import ManualClock, Operator, member_of, settle
from tests.people import ada, people
from tests.statements import Held

NAME = people().name


@pytest.fixture
def clock() -> ManualClock:
    """The clock of all processes."""
    return ManualClock()


@pytest.fixture
def database() -> Any:
    """An empty database in memory."""
    return AsyncMongoMockClient()["fleet"]


@pytest.fixture
def control(database: Any, clock: ManualClock) -> Control:
    """The control collection."""
    return Control(database["control"], clock)


@pytest.fixture
async def operator(control: Control) -> Operator:
    """The migration begins in `shadow`."""
    operator = Operator(control, NAME)
    await operator.begin(Phase.SHADOW)
    return operator


@pytest.fixture
async def repository(
    database: Any, control: Control, operator: Operator, clock: ManualClock
) -> AsyncIterator[Repository[Any, Any]]:
    """One process, which has joined."""
    repository = open_repository(database, control)
    await repository.insert(ada(1))
    yield repository
    closing = asyncio.create_task(repository.__aexit__(None, None, None))
    await clock.move(12)  # where a test leaves calls in flight
    await closing


def open_repository(database: Any, control: Control, **options: Any) -> Repository[Any, Any]:
    return Repository(people(), v1=database["v1"], v2=database["v2"], phase=control, **options)


class Broken:
    """Lets statements of the control collection fail while `fails` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails, self.sent = False, 0
        for name in ("find_first", "add", "change", "change_and_find", "remove"):
            monkeypatch.setattr(Rows, name, self._wrap(getattr(Rows, name)))

    def _wrap(self, original: Any) -> Any:
        async def statement(*arguments: Any, **options: Any) -> Any:
            self.sent += 1
            if self.fails:
                raise AutoReconnect("gone")
            return await original(*arguments, **options)

        return statement


# ---- joining and leaving --------------------------------------------------------------------------------------------


async def test_first_calls_share_one_registration(database: Any, control: Control, operator: Operator) -> None:
    """A hundred calls at once register one process."""
    async with open_repository(database, control) as repository:
        assert await asyncio.gather(*(repository.get(id) for id in range(100))) == [None] * 100
        (member,) = await operator.members()
        assert (member.role, member.epoch, member.revision) == ("service", 1, 1)
        assert member.name.endswith(f":{os.getpid()}")
    assert await operator.members() == []


async def test_a_cancelled_first_call_takes_nothing_from_others(
    database: Any, control: Control, operator: Operator
) -> None:
    """The call that happened to be first is cancelled while it joins; the second goes on."""
    async with open_repository(database, control) as repository:
        calls = [asyncio.create_task(repository.get(id)) for id in (1, 2)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await calls[1] is None
        assert len(await operator.members()) == 1


async def test_without_a_phase_calls_are_refused_and_nothing_is_registered(database: Any, control: Control) -> None:
    """The error says what to do, and once it is done the repository goes on."""
    operator = Operator(control, NAME)
    async with open_repository(database, control) as repository:
        for call in (repository.check, repository.count, lambda: repository.insert(ada(1))):
            with pytest.raises(PhaseError, match=r"no phase is recorded .* lazymig phase begin"):
                await call()
        assert await operator.members() == []
        await operator.begin(Phase.V1_ONLY)
        await repository.insert(ada(1))
        assert repository.phase is Phase.V1_ONLY
        assert repository.tally.counts[REFUSED_CALLS] == 3


async def test_a_process_that_leaves_waits_for_its_calls(repository: Any, operator: Operator, clock: Any) -> None:
    """Its record stays while a call is in flight."""
    member = member_of(repository)
    generation = await member.enter(writes=True)
    leaving = asyncio.create_task(member.leave())
    await clock.move(1)
    assert len(await operator.members()) == 1
    member.end(generation, writes=True)
    await clock.move(1)
    assert leaving.done()
    assert await operator.members() == []


async def test_a_process_leaves_without_calls_that_never_end(repository: Any, operator: Operator, clock: Any) -> None:
    """It waits a bounded time, and its record stays, so that its lease is waited for."""
    member = member_of(repository)
    await member.enter(writes=True)
    leaving = asyncio.create_task(member.leave())
    await clock.move(11)
    assert leaving.done()
    assert len(await operator.members()) == 1
    assert member.try_to_enter(writes=False) is None


async def test_a_forgotten_repository_leaves(database: Any, control: Control, operator: Operator, clock: Any) -> None:
    """Nobody closed it, and nothing uses it any more."""
    repository = open_repository(database, control)
    await repository.get(1)
    assert len(await operator.members()) == 1
    del repository
    gc.collect()
    await clock.move(3)
    assert await operator.members() == []


def test_another_event_loop_joins_anew(database: Any) -> None:
    """A repository in memory that was used in a loop which is gone registers in the next one."""
    control = Control(database["control"])
    repository = open_repository(database, control)

    async def use(*, begins: bool) -> list[str]:
        operator = Operator(control, NAME)
        if begins:
            await operator.begin(Phase.COEXIST)
        await member_of(repository).join()
        if not begins:  # once the lease of the first loop is over
            member_of(repository)._lease.end()
        await repository.get(1)
        return [one.key for one in await operator.members()]

    first = asyncio.run(use(begins=True))
    second = asyncio.run(use(begins=False))
    assert len(first) == 1
    assert set(second) > set(first)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_process_lets_no_call_in(repository: Any) -> None:
    """It has the memory of a process that has joined, and has not joined itself."""
    member = member_of(repository)
    assert member.try_to_enter(writes=False) is not None
    child = os.fork()
    if child == 0:
        os._exit(7 if member.try_to_enter(writes=False) is None and not member.record.key else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7  # noqa: ASYNC222


# ---- the lease ------------------------------------------------------------------------------------------------------


async def test_a_process_that_cannot_renew_refuses_calls_and_recovers(
    repository: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before its lease is over, and by itself once the control collection answers again."""
    broken = Broken(monkeypatch)
    broken.fails = True
    await clock.move(10)
    assert await repository.get(1) == ada(1)
    await clock.move(6)
    with pytest.raises(PhaseError, match=r"cannot renew its lease .* goes on by itself .*AutoReconnect"):
        await repository.get(1)
    broken.fails = False
    await clock.move(POLL_S)
    assert await repository.get(1) == ada(1)


async def test_calls_cost_no_statement_of_the_control_collection(
    repository: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred calls of each kind, and nothing is sent there."""
    broken = Broken(monkeypatch)
    for _ in range(100):
        await repository.get(1)
        await repository.update(1, lambda person: evolve(person, age=3))
    assert broken.sent == 0


async def test_a_removed_process_registers_anew(repository: Any, operator: Operator, control: Any, clock: Any) -> None:
    """It was taken for dead; it notices by its next heartbeat, and acknowledges anew."""
    (before,) = await operator.members()
    await operator._members.remove(before)
    await clock.move(4)
    (after,) = await operator.members()
    assert after.key != before.key
    assert after.epoch == 1
    assert repository.tally.counts[LEASES_LOST] == 1


async def test_a_record_that_begins_anew_is_followed(repository: Any, operator: Operator, clock: Any) -> None:
    """What was acknowledged of the record before does not count for the new one."""
    await operator.change(settings={"share": 0.1})
    await clock.move(1)
    (before,) = await operator.members()
    assert await operator._phases._rows.remove({"_id": f"{NAME}/phase"})
    await operator.begin(Phase.PREPARE)
    await clock.move(1)
    assert await repository.get(1) == ada(1)
    assert repository.phase is Phase.PREPARE
    (after,) = await operator.members()
    assert (after.key != before.key, before.epoch, after.epoch) == (True, 2, 1)


# ---- what is acknowledged -------------------------------------------------------------------------------------------


async def test_an_epoch_is_acknowledged_once_older_calls_have_ended(
    repository: Any, operator: Operator, clock: Any
) -> None:
    """A call that began before goes on in its phase; one that begins after it runs in the new one."""
    held = Held(repository_pair(repository).v1, "find")
    call = await held.until(repository.get(1))
    await operator.move(Phase.COEXIST)
    await clock.move(1)
    assert repository.phase is Phase.COEXIST
    assert not await operator.is_acknowledged()
    held.go()
    assert await call == ada(1)
    await clock.move(0.1)
    assert await operator.is_acknowledged()
    assert repository.tally.counts[EPOCHS] == 2


async def test_an_epoch_is_acknowledged_once_bodies_behind_callers_are_stored(
    database: Any, control: Any, operator: Operator, clock: Any
) -> None:
    """A write has returned, and its body is stored behind it."""
    async with open_repository(database, control, write_behind=True) as repository:
        await repository.insert(ada(1))
        await repository_drained(repository)
        held = Held(repository_pair(repository).bodies, "apply")
        await repository.update(1, lambda person: evolve(person, age=3))
        await held.reached.wait()
        await operator.move(Phase.COEXIST)
        await clock.move(1)
        assert not await operator.is_acknowledged()
        held.go()
        await clock.move(1)
        assert await operator.is_acknowledged()


async def test_writes_wait_while_they_are_held(repository: Any, operator: Operator, clock: Any) -> None:
    """Reads do not; once the hold ends, the write goes on in the phase of then."""
    await operator.change(hold="announced")
    await clock.move(1)
    await repository.update(1, lambda person: evolve(person, age=2))
    await operator.change(hold="writes")
    await clock.move(0.1)
    write = asyncio.create_task(repository.update(1, lambda person: evolve(person, age=3)))
    await clock.move(1)
    assert not write.done()
    assert (await repository.get(1)).age == 2
    assert await operator.is_acknowledged()
    await operator.move(Phase.COEXIST)
    await clock.move(0.1)
    assert (await write).age == 3


async def test_a_hold_is_acknowledged_once_writes_have_ended(repository: Any, operator: Operator, clock: Any) -> None:
    """A write in flight that began before the hold."""
    held = Held(repository_pair(repository).v1, "compare_and_set")
    write = await held.until(repository.update(1, lambda person: evolve(person, age=3)))
    await operator.change(hold="writes")
    await clock.move(1)
    assert not await operator.is_acknowledged()
    held.go()
    await write
    await clock.move(0.1)
    assert await operator.is_acknowledged()


async def test_a_held_write_goes_on_after_a_while(repository: Any, operator: Operator, clock: Any) -> None:
    """An operator that died must not stop a service: the database refuses what comes too late."""
    await operator.change(hold="writes")
    await clock.move(1)
    write = asyncio.create_task(repository.update(1, lambda person: evolve(person, age=3)))
    await clock.move(HOLD_MAX_S - 2)
    assert not write.done()
    await clock.move(2)
    assert (await write).age == 3


@pytest.mark.parametrize("hold", ["announced", "writes"])
async def test_a_hold_that_is_left_over_loads_no_control_collection(
    hold: str, repository: Any, operator: Operator, clock: Any
) -> None:
    """A process looks often for as long as a step takes, and no longer, where an operator died and left the hold."""
    await repository.get(1)
    await operator.change(hold=hold)
    await clock.move(3)
    member = member_of(repository)
    assert member.pause_s(streamed=False) == ATTENTIVE_S
    await clock.move(HOLD_MAX_S)
    assert member.pause_s(streamed=False) == POLL_S


class Transaction:
    """A session with a transaction, as drivers show it."""

    def __init__(self) -> None:
        self.in_transaction, self._transaction_id = True, 1


async def test_a_transaction_stays_in_the_epoch_of_its_first_call(
    repository: Any, operator: Operator, clock: Any
) -> None:
    """Its calls do not wait for what comes later, and the epoch is acknowledged once it is over."""
    member, session = member_of(repository), Transaction()
    first = await member.enter(writes=False, session=session)
    member.end(first, writes=False)
    await operator.change(hold="writes")
    await clock.move(1)
    assert not await operator.is_acknowledged()
    again = await member.enter(writes=True, session=session)
    assert again is first
    member.end(again, writes=True)
    session._transaction_id = 2  # the next one, with no pause between them
    entering = asyncio.create_task(member.enter(writes=False, session=session))
    await clock.move(1)
    assert await operator.is_acknowledged()
    assert not entering.done()
    await operator.change(hold=None)
    await clock.move(1)
    assert await entering is not first


async def test_a_transaction_of_a_lost_lease_is_refused(repository: Any, operator: Operator, clock: Any) -> None:
    """With the label by which drivers run it again."""
    member, session = member_of(repository), Transaction()
    member.end(await member.enter(writes=True, session=session), writes=True)
    (record,) = await operator.members()
    await operator._members.remove(record)
    await clock.move(4)
    with pytest.raises(PhaseError, match="run it again") as refused:
        await member.enter(writes=True, session=session)
    assert isinstance(refused.value, PyMongoError)
    assert refused.value.has_error_label("TransientTransactionError")
    assert not await operator.is_acknowledged()
    session.in_transaction = False
    await clock.move(4)
    assert await operator.is_acknowledged()


# ---- listings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["v2", "v1"])
@pytest.mark.parametrize("sort", [None, "age"])
async def test_a_listing_goes_on_in_the_next_phase(
    door: str, sort: str | None, repository: Any, operator: Operator, clock: Any
) -> None:
    """Each entity once, whatever the phase of its page, with a limit of the whole."""
    for id in range(2, 160):
        await repository.insert(ada(id, age=id))
    calls = repository if door == "v2" else repository.v1
    found = []
    async for person in calls.list(sort=sort, limit=155):
        found.append(person.id)
        if len(found) in (10, 60, 110):
            await operator.move({10: Phase.COEXIST, 60: Phase.V2_PRIMARY, 110: Phase.V2_ONLY}[len(found)])
            await clock.move(1)
    order = sorted(range(1, 160), key=lambda id: (36 if id == 1 else id, id)) if sort else list(range(1, 160))
    assert found == order[:155]
    assert repository.phase is Phase.V2_ONLY


async def test_a_listing_whose_place_is_gone_says_so(repository: Any, operator: Operator, clock: Any) -> None:
    """In an order that is not by id, after an entity that was deleted."""
    for id in range(2, 130):
        await repository.insert(ada(id, age=id))
    listing = repository.list(sort="age")
    found = [(await anext(listing)).id for _ in range(100)]
    await operator.move(Phase.COEXIST)
    await clock.move(1)
    for id in found:
        await repository.delete(id)
    with pytest.raises(PhaseError, match="list again"):
        [person async for person in listing]


@pytest.mark.parametrize(("door", "last"), [("v2", Phase.V2_PRIMARY), ("v1", Phase.V2_ONLY)])
async def test_a_listing_by_two_fields_does_not_go_on_by_the_other(
    door: str, last: Phase, repository: Any, operator: Operator, clock: Any
) -> None:
    """What comes first by V1's field may come last by V2's: it would be given twice, or never."""
    for id in range(2, 160):
        await repository.insert(ada(id, first=f"F{id:03}", last=f"L{999 - id}"))
    calls = repository if door == "v2" else repository.v1
    found = []

    async def list_all() -> None:
        async for person in calls.list(sort=("name", "last")):
            found.append(person.id)
            if len(found) % 50 == 10:
                phase = list(Phase)[list(Phase).index((await operator.standing()).phase) + 1]
                await operator.move(phase)
                await clock.move(1)

    with pytest.raises(PhaseError, match="list again"):
        await list_all()
    assert repository.phase is last
    assert found == [1, *range(2, len(found) + 1)]


def repository_pair(repository: Any) -> Any:
    return repository._calls.pair


async def repository_drained(repository: Any) -> None:
    await repository._calls.drain()
    await settle()
