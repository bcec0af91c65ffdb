"""Many at once: a call alone goes directly, those of the same turn together, and nobody pays for another's fate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any
from unittest.mock import ANY

import pymongo
import pytest
from pymongo.errors import NetworkTimeout

from lazymig.loop import batcher
from lazymig.loop.batcher import _SOLITARY, Batcher
from lazymig.loop.deadline import Deadline
from lazymig.stores.coalescing import CoalescingV1, CoalescingV2
from lazymig.stores.given import RawId
from lazymig.stores.records import Put
from lazymig.testing.memory_collection import MemoryCollection


class Calls:
    """A statement for one and a statement for many, both held until they are let go."""

    def __init__(self, timeout_s: float = 7.0) -> None:
        self.made: list[Any] = []
        self.go = asyncio.Event()
        self.answer: Any = lambda argument: argument * 10
        self.deadlines: list[float | None] = []
        self.batcher: Batcher[int, int] = Batcher(self.one, self.many, timeout_s)
        self.patient: Batcher[int, int] = Batcher(self.one, self.many, timeout_s, patient=True)

    async def one(self, argument: int) -> int:
        self.made.append(argument)
        await self.go.wait()
        result: int = self.answer(argument)
        return result

    async def many(self, arguments: Sequence[int]) -> Sequence[int | BaseException]:
        self.made.append(list(arguments))
        self.deadlines.append(pymongo._csot.get_timeout())
        await self.go.wait()
        return [self.answer(argument) for argument in arguments]

    def start(self, *arguments: int) -> list[asyncio.Future[int]]:
        return [asyncio.ensure_future(self.batcher.call(argument)) for argument in arguments]

    async def results(self, *arguments: int) -> list[Any]:
        """What becomes of calls that start in one turn."""
        tasks = self.start(*arguments)
        await turns()
        self.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)


async def turns(count: int = 5) -> None:
    """Let the loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def calls() -> Calls:
    """Calls that wait."""
    return Calls()


async def test_a_call_alone_goes_directly(calls: Calls) -> None:
    """One after the other, none has to wait for more to come."""
    calls.go.set()
    assert [await calls.batcher.call(number) for number in (1, 2)] == [10, 20]
    assert calls.made == [1, 2]


async def test_after_many_calls_alone_the_next_goes_at_once(calls: Calls) -> None:
    """It does not look for company, which costs a turn of the loop; once there was some, it looks again."""
    calls.go.set()
    for number in range(_SOLITARY):
        await calls.batcher.call(number)
    calls.made.clear()
    calls.go.clear()
    tasks = calls.start(1, 2, 3)
    await turns(1)
    assert calls.made == [1]
    await turns()
    assert calls.made == [1, [2, 3]]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30]
    assert await calls.results(1, 2, 3) == [10, 20, 30]
    assert [sorted(made) for made in calls.made[2:]] == [[1, 2, 3]]


async def test_calls_of_the_same_turn_are_joined(calls: Calls) -> None:
    """The first among them, and each gets its own result."""
    tasks = calls.start(1, 2, 3, 4)
    await turns()
    assert [sorted(made) for made in calls.made] == [[1, 2, 3, 4]]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]


async def test_those_that_were_joined_stay_together(calls: Calls) -> None:
    """Tasks that ask again with their answers are one statement again: none is left to run beside the others."""
    calls.go.set()

    async def ask_thrice(number: int) -> None:
        for _ in range(3):
            await calls.batcher.call(number)

    await asyncio.gather(*map(ask_thrice, range(16)))
    assert [len(made) for made in calls.made] == [16, 16, 16]


async def test_a_patient_one_gathers_while_a_statement_is_in_flight(calls: Calls) -> None:
    """Whatever turn they start in; they go when it has landed, were it by an error."""
    calls.answer = lambda argument: 1 / 0 if argument == 1 else argument
    tasks = [asyncio.ensure_future(calls.patient.call(1))]
    await turns()
    for number in (2, 3, 4):
        tasks.append(asyncio.ensure_future(calls.patient.call(number)))
        await turns()
    assert calls.made == [1]
    calls.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(results[0]), *results[1:]] == [ZeroDivisionError, 2, 3, 4]
    assert calls.made == [1, [2, 3, 4]]


async def test_a_call_that_joins_learns_whether_it_has_company(calls: Calls) -> None:
    """Alone, it does its work itself; in company, it gets what will become of it, and cancels what it gives up."""
    assert await calls.patient.join(1) is None
    alone = asyncio.ensure_future(calls.patient.go_alone(1))
    await turns()
    joined = [await calls.patient.join(number) for number in (2, 3, 4)]
    assert joined[1] is not None
    joined[1].cancel()
    calls.go.set()
    assert await asyncio.gather(alone, *joined, return_exceptions=True) == [10, 20, ANY, 40]
    assert joined[1].cancelled()
    assert calls.made == [1, [2, 4]]


async def test_a_statement_that_waits_for_a_lock_holds_up_nobody(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is one call's or many calls': those that gather go beside it, and what comes later waits for these."""
    monkeypatch.setattr(batcher, "PATIENCE_S", 0)
    tasks = [asyncio.ensure_future(calls.patient.call(1))]
    await turns()
    tasks += [asyncio.ensure_future(calls.patient.call(number)) for number in (2, 3)]
    await turns()
    assert calls.made == [1, [2, 3]]
    tasks.append(asyncio.ensure_future(calls.patient.call(4)))
    await turns()
    assert calls.made == [1, [2, 3], [4]]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    monkeypatch.undo()
    calls.go.clear()
    tasks = [asyncio.ensure_future(calls.patient.call(number)) for number in (5, 6)]
    await turns()
    tasks.append(asyncio.ensure_future(calls.patient.call(7)))
    await turns()
    # What was overdue is not counted twice: one statement is in flight at a time again.
    assert [sorted(made) for made in calls.made[3:]] == [[5, 6]]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [50, 60, 70]
    assert not calls.patient._in_flight


async def test_calls_of_another_turn_do_not_wait_for_those_in_flight(calls: Calls) -> None:
    """While statements are under way, the next turn's calls form a statement of their own."""
    tasks = calls.start(1)
    await turns()
    tasks += calls.start(2)
    await turns()
    tasks += calls.start(3, 4)
    await turns()
    assert calls.made == [1, [2], [3, 4]]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]


async def test_a_call_after_all_others_goes_directly_again(calls: Calls) -> None:
    """Whatever was joined before, failed or not."""
    calls.answer = lambda argument: 1 / 0
    await calls.results(1, 2, 3)
    calls.answer = lambda argument: argument
    assert await calls.batcher.call(9) == 9
    assert calls.made[1:] == [9]


async def test_more_than_a_thousand_go_in_several(calls: Calls) -> None:
    """A thousand at most for a statement."""
    tasks = calls.start(*range(2502))
    await turns()
    assert [len(made) for made in calls.made] == [1000, 1000, 502]
    calls.go.set()
    assert await asyncio.gather(*tasks) == [number * 10 for number in range(2502)]


async def test_an_error_is_every_callers(calls: Calls) -> None:
    """Of the whole statement; each gets an object of its own, whose cause is that of the statement."""
    calls.answer = lambda argument: 1 / 0
    results = await calls.results(1, 2, 3)
    assert [type(result) for result in results] == [ZeroDivisionError] * 3
    assert len({id(result) for result in results}) == 3
    assert len({id(result.__cause__) for result in results}) == 1


async def test_an_error_of_several_calls_is_each_ones_own(calls: Calls) -> None:
    """Where the statement returns one object for them; who gets one that no other gets has that."""
    shared, alone = ValueError("shared"), ValueError("alone")
    calls.answer = lambda argument: {2: alone, 4: argument}.get(argument, shared)
    results = await calls.results(1, 2, 3, 4)
    assert [results[1] is alone, results[3]] == [True, 4]
    assert [(str(results[place]), results[place].__cause__) for place in (0, 2)] == [("shared", shared)] * 2
    assert results[0] is not results[2]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit], ids=lambda kind: kind.__name__)
def test_what_ends_the_program_comes_once_to_each(kind: Any) -> None:
    """The loop ends with what the statement has raised; each caller that is run to its end gets one of its own."""
    raised: list[BaseException] = []

    async def note(call: Awaitable[int]) -> None:
        try:
            await call
        except BaseException as error:
            raised.append(error)

    async def call_thrice() -> None:
        calls = Calls()
        calls.go.set()
        calls.answer = end
        await asyncio.gather(*(note(calls.batcher.call(number)) for number in range(3)))

    def end(_: int) -> int:
        raise kind(3)

    with asyncio.Runner() as runner:
        callers = runner.get_loop().create_task(call_thrice())
        with pytest.raises(kind) as ended:
            runner.get_loop().run_until_complete(callers)
        runner.get_loop().run_until_complete(callers)
    assert [(type(error), error.args, error.__cause__) for error in raised] == [(kind, (3,), ended.value)] * 3
    assert len({id(error) for error in raised}) == 3


async def test_the_error_of_a_statement_with_one_caller_left_is_that_ones(calls: Calls) -> None:
    """The others were cancelled while it was under way."""
    calls.answer = lambda argument: 1 / 0
    tasks = calls.start(1, 2, 3)
    await turns()
    for task in tasks[:2]:
        task.cancel()
    await turns()
    calls.go.set()
    result = (await asyncio.gather(*tasks, return_exceptions=True))[2]
    assert (type(result), result.__cause__) == (ZeroDivisionError, None)


async def test_an_error_among_the_results_is_its_own_callers(calls: Calls) -> None:
    """The others have their results."""
    calls.answer = lambda argument: ValueError("odd") if argument == 3 else argument
    results = await calls.results(1, 2, 3, 4)
    assert [str(result) for result in results] == ["1", "2", "odd", "4"]


async def test_a_cancelled_follower_is_harmless(calls: Calls) -> None:
    """Before its statement has gone or afterwards: the others get their results, in their order."""
    first, early, late, last = calls.start(1, 2, 3, 4)
    await asyncio.sleep(0)
    early.cancel()
    await turns()
    assert [sorted(made) for made in calls.made] == [[1, 3, 4]]
    late.cancel()
    calls.go.set()
    results = await asyncio.gather(first, early, late, last, return_exceptions=True)
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        10,
        asyncio.CancelledError,
        asyncio.CancelledError,
        40,
    ]


async def test_a_cancelled_first_is_harmless(calls: Calls) -> None:
    """Whether it waits for the loop to come round, for its statement alone, or for the joined one."""
    first, *others = calls.start(1, 2, 3)
    await asyncio.sleep(0)
    first.cancel()
    calls.go.set()
    assert await asyncio.gather(*others) == [20, 30]
    assert first.cancelled()
    calls.go.clear()
    (alone,) = calls.start(4)
    await turns()
    others = calls.start(5, 6)
    await turns()
    alone.cancel()
    calls.go.set()
    assert await asyncio.gather(*others) == [50, 60]
    assert await calls.batcher.call(7) == 70
    assert calls.made == [[2, 3], 4, [5, 6], 7]


async def test_a_statement_that_is_cancelled_tells_its_callers(calls: Calls) -> None:
    """At the end of the program: nobody waits for ever."""
    tasks = calls.start(1, 2, 3)
    await turns()
    (running,) = calls.batcher._running
    running.cancel()
    await turns()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 3
    assert len({id(result) for result in results}) == 3


async def test_one_callers_deadline_is_not_the_others_concern(calls: Calls) -> None:
    """A joined statement goes on without those who gave up, and without what they set for themselves."""

    async def hurried() -> None:
        with pymongo.timeout(0.001):
            async with Deadline(0.0):
                await calls.batcher.call(1)

    first = asyncio.ensure_future(hurried())
    rest = calls.start(2, 3)
    with pytest.raises(NetworkTimeout):
        await first
    await turns()
    calls.go.set()
    assert await asyncio.gather(*rest) == [20, 30]
    assert calls.deadlines == [None]


async def test_a_joined_statement_that_hangs_ends_for_all_its_callers() -> None:
    """Each gets the driver's error once the batcher's own deadline is over, and the next call goes on."""
    calls = Calls(timeout_s=0.01)
    results = await asyncio.gather(*calls.start(1, 2), return_exceptions=True)
    assert [type(result) for result in results] == [NetworkTimeout] * 2
    calls.go.set()
    assert await calls.batcher.call(3) == 30


async def test_the_same_id_twice_gets_distinct_documents() -> None:
    """Entities may hold parts of their documents, and change them."""
    collection = MemoryCollection("v1", [{"_id": 1, "tags": ["x"]}, {"_id": 2, "tags": ["y"]}])
    store = CoalescingV1(collection, None)
    found = await asyncio.gather(*(store.find(id) for id in (2, 1, 1, 3, 1)))
    ones = [stored for stored in found if stored is not None and stored.id == 1]
    assert found[3] is None
    assert len({id(stored.document["tags"]) for stored in ones}) == 3
    ones[0].document["tags"].append("changed")
    assert [stored.document["tags"] for stored in ones[1:]] == [["x"], ["x"]]


async def test_those_that_look_for_changes_together_are_each_answered_for_their_revision() -> None:
    """Of one entity too; those that are gone have changed, and who asks for several is answered for all of them."""
    store = CoalescingV1(MemoryCollection("v1", [{"_id": 1, "_lazymig_rev": 4}, {"_id": 2}]), None)
    asked: list[dict[RawId, int]] = [{1: 4}, {1: 3}, {2: 0}, {7: 0}, {1: 5, 2: 0, 7: 1}, {}]
    changed = await asyncio.gather(*map(store.find_changed, asked))
    assert changed == [[], [1], [], [7], [1, 7], []]


async def test_lazy_inserts_that_fall_together_share_a_statement() -> None:
    """One unordered insert, each its own outcome, and all of them reads."""
    collection = MemoryCollection("v2", [{"_id": 3, "_lazymig": {"rev": 1, "intent": 1}}])
    store = CoalescingV2(collection, ["name"], None)
    puts = await asyncio.gather(*(store.put_if_absent(id, {"name": "x"}, 0) for id in (1, 2, 3, 4)))
    assert puts == [Put.STORED, Put.STORED, Put.LOST, Put.STORED]
    by = {document["_id"]: document["_lazymig"].get("by") for document in collection.documents()}
    assert by == {1: "read", 2: "read", 3: None, 4: "read"}


async def test_one_entity_put_twice_in_a_turn_is_lost_once() -> None:
    """Two readers that meet: one stores, the other has lost."""
    store = CoalescingV2(MemoryCollection("v2"), ["name"], None)
    puts = await asyncio.gather(*(store.put_if_absent(id, {"name": "x"}, 0) for id in (9, 1, 1)))
    assert sorted(put.name for put in puts) == ["LOST", "STORED", "STORED"]


async def test_nothing_is_sent_for_a_caller_that_was_cancelled_before(calls: Calls) -> None:
    """Its statement was not on its way yet, and what comes after the caller must not meet it later."""
    first = asyncio.ensure_future(calls.patient.call(1))
    await turns()
    cancelled, third = (asyncio.ensure_future(calls.patient.call(number)) for number in (2, 3))
    await turns()
    cancelled.cancel()
    await turns()
    calls.go.set()
    assert await asyncio.gather(first, third) == [10, 30]
    assert calls.made == [1, [3]]
