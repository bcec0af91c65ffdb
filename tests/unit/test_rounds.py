"""Turns of calls for one key: who shares one, in which order, and what becomes of those that leave."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from lazymig.loop import rounds
from lazymig.loop.rounds import Again, Member, Rounds

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


class Work:
    """The turns that were made, each held until it is let go."""

    def __init__(self) -> None:
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self.go = asyncio.Event()
        #: What a work ends with; its tenfold where nothing is said.
        self.outcomes: dict[Any, Any] = {}
        self.error: BaseException | None = None
        self.stuck: int | None = None
        self.callers: list[str] = []
        self.rounds: Rounds[Any, Any] = Rounds(lambda work: Made(self, [work]), self.join)

    def join(self, members: Sequence[Member[Any]]) -> Made:
        return Made(self, [member.work for member in members], members)

    def start(self, *works: Any, kind: Any = "updates", key: Any = 1) -> list[asyncio.Task[Any]]:
        return [asyncio.ensure_future(self.rounds.call(key, kind, work, self.run)) for work in works]

    async def run(self, turn: Any) -> Any:
        self.began.append(turn.works)
        self.callers.append(CALLER.get())
        try:
            await asyncio.sleep(0)
            await self.go.wait()
        finally:
            self.ended.append(turn.works)
        if self.error is not None:
            raise self.error
        return turn.works[0] * 10


class Made:
    """A turn."""

    def __init__(self, work: Work, works: list[Any], members: Sequence[Member[Any]] = ()) -> None:
        self.work, self.works, self.members = work, works, members

    @property
    def decision(self) -> int | None:
        return self.work.stuck

    def divide(self, error: BaseException | None) -> Sequence[object]:
        default = error if error is not None else None
        return [self.work.outcomes.pop(work, default if default is not None else work * 10) for work in self.works]


async def turns(count: int = 8) -> None:
    """Let the loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
async def work() -> Work:
    """Turns that wait."""
    return Work()


async def test_a_call_alone_starts_at_once(work: Work) -> None:
    """In its own task; nothing of it is left behind."""
    work.go.set()
    assert await work.rounds.call(1, "updates", 3, work.run) == 30
    assert not work.rounds._queues


async def test_those_that_wait_share_the_next_turn(work: Work) -> None:
    """In the order in which they came, and each gets its own outcome."""
    tasks = work.start(1)
    await turns()
    tasks += work.start(2, 3, 4)
    await turns()
    assert work.began == [[1]]
    work.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert work.began == [[1], [2, 3, 4]]
    await turns()
    assert not work.rounds._queues


async def test_other_keys_do_not_wait(work: Work) -> None:
    """Each key has turns of its own."""
    work.start(1, key="one")
    work.start(2, key="other")
    await turns()
    assert work.began == [[1], [2]]
    work.go.set()
    await turns()


async def test_another_kind_takes_its_own_turn(work: Work) -> None:
    """The order of arrival holds, so what comes after it does not overtake it."""
    tasks = work.start(1)
    await turns()
    for number, kind in [(2, "updates"), (3, "updates"), (4, None), (5, None), (6, "updates"), (7, "others")]:
        tasks += work.start(number, kind=kind)
        await turns()
    work.go.set()
    await asyncio.gather(*tasks)
    assert work.began == [[1], [2, 3], [4], [5], [6], [7]]


async def test_those_that_call_again_share_again(work: Work) -> None:
    """Of tasks that call again with their outcomes, none is left to go first by itself."""
    work.go.set()

    async def call_thrice(number: int) -> None:
        for _ in range(3):
            await work.rounds.call(1, "updates", number, work.run)

    work.start(0)
    await asyncio.gather(*map(call_thrice, range(1, 9)))
    assert [len(works) for works in work.began] == [1, 8, 8, 8]


async def test_an_outcome_may_be_an_error(work: Work) -> None:
    """It is its own caller's."""
    work.outcomes[3] = ValueError("three")
    tasks = work.start(1, 2, 3, 4)
    work.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["10", "20", "three", "40"]


@pytest.mark.parametrize("kind", [ConnectionError, asyncio.CancelledError], ids=lambda kind: kind.__name__)
async def test_the_error_of_a_turn_is_everybodys(work: Work, kind: Any) -> None:
    """As an object of its own: a traceback grows with each task that it passes."""
    first = work.start(1)
    await turns()
    calls = [asyncio.ensure_future(raised_by(work.rounds.call(1, "updates", number, work.run))) for number in (2, 3, 4)]
    work.go.set()
    await first[0]
    work.error = kind("lost")
    raised = await asyncio.gather(*calls)
    assert [type(error) for error in raised] == [kind] * 3
    assert len({id(error) for error in raised}) == 3
    assert len({id(error.__cause__) for error in raised}) == 1
    assert kind is asyncio.CancelledError or raised[0].__cause__ is work.error


async def raised_by(call: Awaitable[Any]) -> BaseException:
    """What a call raises."""
    try:
        await call
    except BaseException as error:
        return error
    raise AssertionError("it returned")


async def test_the_error_of_a_turn_with_one_caller_left_is_that_ones(work: Work) -> None:
    """As it would be by itself."""
    tasks = await shared(work, 2, 3)
    work.error = ConnectionError("lost")
    tasks[0].cancel()
    await turns()
    work.go.set()
    assert await raised_by(tasks[1]) is work.error


async def test_who_has_no_outcome_goes_first_next_time(work: Work) -> None:
    """Before those that came later, together or alone as its turn said."""
    work.outcomes |= {3: Again.TOGETHER, 4: Again.TOGETHER}
    tasks = work.start(1, 2, 3, 4)
    await turns()
    work.go.set()
    await turns(3)
    tasks += work.start(5)
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40, 50]
    assert work.began == [[1], [2, 3, 4], [3, 4, 5]]
    work.outcomes |= {7: Again.BY_ITSELF, 8: Again.BY_ITSELF}
    assert await asyncio.gather(*work.start(6, 7, 8, 9)) == [60, 70, 80, 90]
    assert work.began[3:] == [[6], [7, 8, 9], [7], [8]]


# ---- leaving --------------------------------------------------------------------------------------------------------


async def test_who_leaves_while_waiting_takes_no_turn(work: Work) -> None:
    """The others do not notice."""
    tasks = work.start(1, 2, 3, 4)
    await turns()
    tasks[2].cancel()
    work.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert work.began == [[1], [2, 4]]
    assert isinstance(results[2], asyncio.CancelledError)


async def test_who_has_its_turn_alone_and_leaves_makes_room(work: Work) -> None:
    """Its turn is cancelled with it, and the next begins."""
    first, second = work.start(1, 2)
    await turns()
    first.cancel()
    await turns()
    assert work.began == [[1], [2]]
    work.go.set()
    assert await second == 20


@pytest.mark.parametrize("comes", [False, True], ids=["it waits", "its turn comes"])
async def test_a_call_that_is_closed_holds_up_nobody(work: Work, comes: bool) -> None:
    """Closed while it waits, it takes no turn; closed just as its turn comes, it passes it on."""
    [first] = work.start(1)
    await turns()
    waiting: Any = work.rounds.call(1, None, 2, work.run)
    waiting.send(None)
    [last] = work.start(3, kind=None)
    await turns()
    if comes:
        work.go.set()
        await first
    waiting.close()
    work.go.set()
    assert await asyncio.gather(first, last) == [10, 30]
    assert work.began == [[1], [3]]
    await turns()
    assert not work.rounds._queues


async def test_who_leaves_just_as_its_turn_comes_passes_it_on(work: Work) -> None:
    """It was handed over already, and nobody else would take it."""
    tasks = work.start(1)
    await turns()
    tasks += work.start(2, kind=None) + work.start(3, kind=None)
    await turns()
    work.go.set()
    queue = work.rounds._queues[1]
    for _ in range(20):
        if queue.turn is not None and queue.turn.works == [2]:  # type: ignore[attr-defined]
            break
        await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert results[2] == 30
    assert work.began == [[1], [3]]


async def shared(work: Work, *works: Any) -> list[asyncio.Task[Any]]:
    """Calls that share a turn, which is under way."""
    first = work.start(0)
    await turns()
    tasks = work.start(*works)
    await turns()
    work.go.set()
    await first[0]
    work.go.clear()
    await turns()
    assert work.began[-1] == list(works)
    return tasks


async def test_a_shared_turn_outlives_each_of_its_callers(work: Work) -> None:
    """As long as one is left."""
    tasks = await shared(work, 1, 2, 3)
    tasks[0].cancel()
    tasks[1].cancel()
    await turns()
    assert work.ended == [[0]]
    work.go.set()
    assert await tasks[2] == 30


@pytest.mark.parametrize("cancelled", [1, 3])
async def test_a_shared_turn_ends_before_its_last_caller_does(work: Work, cancelled: int) -> None:
    """Nothing goes on for calls that are over: who waits for the calls of a phase waits for it. Even if they are
    cancelled again and again."""
    held, seen = asyncio.Event(), []

    async def run(turn: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            try:
                await held.wait()
            finally:
                seen.append("over")

    first = work.start(0)
    await turns()
    tasks = [asyncio.ensure_future(work.rounds.call(1, "updates", number, run)) for number in (1, 2)]
    await turns()
    work.go.set()
    await first[0]
    await turns()
    tasks[0].cancel()
    await turns()
    assert seen == []
    tasks[1].cancel()
    await turns()
    assert (seen, tasks[1].done()) == (["cancelled"], False)
    if cancelled == 1:
        held.set()
    else:
        tasks[1].cancel()
    await asyncio.wait(tasks)
    assert seen == ["cancelled", "over"]
    assert all(task.cancelled() for task in tasks)
    assert await work.start(5)[0] == 50


async def test_a_shared_turn_has_no_callers_context(work: Work) -> None:
    """What one has there, such as its trace, is not the others'."""
    CALLER.set("a caller")
    tasks = await shared(work, 1, 2)
    work.go.set()
    await asyncio.gather(*tasks)
    assert work.callers == ["a caller", "nobody"]


# ---- patience -------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others look after every turn of the loop."""
    monkeypatch.setattr(rounds, "PATIENCE_S", 0)


@pytest.mark.usefixtures("impatient")
async def test_a_turn_that_waits_for_its_users_code_holds_up_nobody(work: Work) -> None:
    """The next begins beside it, and what comes later does not wait for it either."""
    work.stuck = 1
    tasks = work.start(1, 2, 3)
    await turns()
    assert work.began == [[1], [2, 3]]
    work.stuck = None
    tasks += work.start(4)
    work.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert work.began == [[1], [2, 3], [4]]


@pytest.mark.usefixtures("impatient")
async def test_those_that_take_another_turn_are_not_held_up_either(work: Work) -> None:
    """Nobody waited while they shared theirs, so nobody looked how long the next one takes."""
    tasks = await shared(work, 1, 2, 3)
    work.outcomes |= {1: Again.BY_ITSELF, 2: Again.BY_ITSELF, 3: Again.BY_ITSELF}
    work.stuck = 1
    work.go.set()
    await asyncio.sleep(0)
    work.go.clear()
    await turns(20)
    assert work.began[-3:] == [[1], [2], [3]]
    work.go.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30]


@pytest.mark.usefixtures("impatient")
async def test_a_turn_that_gets_on_is_waited_for(work: Work) -> None:
    """Whether it makes one decision after the other, or waits for the server."""
    tasks = work.start(1)
    await turns()
    tasks += work.start(2)
    for number in range(20):
        work.stuck = number
        await asyncio.sleep(0)
    work.stuck = None
    await turns(20)
    assert work.began == [[1]]
    work.go.set()
    assert await asyncio.gather(*tasks) == [10, 20]


async def test_who_is_too_slow_for_the_others_works_beside_them(work: Work) -> None:
    """Once its code is over, which was cancelled."""
    tasks = await shared(work, 1, 2)
    queue = work.rounds._queues[1]
    members = queue.turn.members  # type: ignore[union-attr]
    code = members[0].task = asyncio.ensure_future(asyncio.Event().wait())
    members[0].go_beside()
    await turns()
    assert work.began[-1] == [1, 2]
    code.cancel()
    await turns()
    assert work.began[-1] == [1]
    work.go.set()
    assert await asyncio.gather(*tasks) == [10, 20]
