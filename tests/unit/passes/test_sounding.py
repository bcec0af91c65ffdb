"""A pass measures what a read takes: while nothing is converted, beside its own statements and without them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from mongomock_motor import AsyncMongoMockClient
from pymongo.errors import AutoReconnect, OperationFailure

from lazymig.loop.run_queue import read_waited_s
from lazymig.passes import sounding as soundings
from lazymig.passes import throttle as throttling
from lazymig.passes.gate import Gate
from lazymig.passes.shedding import OVERLOADED
from lazymig.passes.sounding import Sounding
from lazymig.passes.throttle import Limits, Throttle
from lazymig.stores.soundings import Soundings
from tests.sweeps import StandingClock


class Server(Soundings):
    """A server without one: each answer takes the time that is given here, or fails."""

    def __init__(self, clock: StandingClock) -> None:
        self.clock = clock
        self.possible = True
        self.asked = 0
        self.takes_s = 0.002
        self.error: Exception | None = None
        self._heard = asyncio.Condition()

    async def heard(self, count: int) -> None:
        """Wait until it was asked so often."""
        async with self._heard:
            await self._heard.wait_for(lambda: self.asked >= count)

    async def ask(self) -> None:
        self.asked += 1
        async with self._heard:
            self._heard.notify_all()
        await self.clock.sleep(self.takes_s)
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock() -> StandingClock:
    """Stands until somebody sleeps."""
    return StandingClock()


@pytest.fixture
def server(clock: StandingClock) -> Server:
    """Answers in two milliseconds."""
    return Server(clock)


def sounding(clock: StandingClock, server: Server, bound: float | None = 2.0, most: int = 2) -> Sounding:
    """The soundings of a pass with a gate for two statements."""
    made = Sounding(clock, server, bound)
    made.gate = Gate(lambda: most)
    return made


async def turns(made: Sounding, clock: StandingClock, count: int, each_s: float = 0.01) -> None:
    """Let a task convert for this time before each turn."""
    async with made.converting:
        for _ in range(count):
            await clock.sleep(each_s)
            await made.take_turn()


async def test_in_memory_and_without_a_bound_nothing_is_asked(clock: StandingClock, server: Server) -> None:
    """Without a server, or where the user wants no bound, a turn is a turn and nothing else."""
    memory = Throttle(AsyncMongoMockClient()["db"]["v2"], Limits(live_slowdown=2.0), lambda: False, clock)
    for made in (memory.sounding, sounding(clock, server, None)):
        assert made.balance is None
        await turns(made, clock, 3)
        await made.wait_for_quiet()
    assert (server.asked, memory.concurrency, memory.batches.size) == (0, 2, 1000)


async def test_the_first_page_waits_until_quiet_reads_are_known(clock: StandingClock, server: Server) -> None:
    """Five reads before anything is on the way, and one more before them, which opens the connection."""
    made = sounding(clock, server)
    await made.wait_for_quiet()
    assert server.asked == 6
    assert made.balance is not None
    assert not made.balance.needs_quiet(clock.monotonic())
    await made.wait_for_quiet()
    assert server.asked == 6


async def test_reads_beside_statements_are_told_from_others(clock: StandingClock, server: Server) -> None:
    """Slow reads lower the share while a statement of the pass is on the way, and not without one."""
    made = sounding(clock, server)
    await made.wait_for_quiet()
    assert made.balance is not None
    share = made.balance.share
    server.takes_s = 0.02
    await turns(made, clock, 100)
    assert made.balance.share >= share
    server.takes_s = 0.002
    await turns(made, clock, 200)
    share = made.balance.share
    server.takes_s = 0.02
    async with made.gate.passing():  # type: ignore[union-attr]
        await turns(made, clock, 200)
    assert made.balance.share < share
    assert made.balance.hindered


async def test_asking_costs_little(clock: StandingClock, server: Server) -> None:
    """However slow or quick the server is, the pass waits for it a twentieth of its time at most, or 50 reads a second.

    While nothing is on the way, it asks five times a second.
    """
    made = sounding(clock, server)
    await made.wait_for_quiet()
    for takes_s, busy, most in ((0.0001, True, 51), (0.0001, False, 6), (0.01, True, 6), (0.1, True, 1)):
        server.takes_s, server.asked = takes_s, 0
        if busy:
            async with made.gate.passing():  # type: ignore[union-attr]
                await turns(made, clock, 1000, 0.001)
        else:
            await turns(made, clock, 1000, 0.001)
        assert 1 <= server.asked <= most, takes_s


async def test_a_server_that_does_not_answer_stops_nothing(clock: StandingClock, server: Server) -> None:
    """A lost connection is no measurement, and no page waits for it."""
    made = sounding(clock, server)
    server.error = AutoReconnect("gone")
    await made.wait_for_quiet()
    await turns(made, clock, 50)
    assert made.balance is not None
    assert made.balance.share == 0.25
    assert made.balance.needs_quiet(clock.monotonic())


async def test_overload_is_passed_on(clock: StandingClock, server: Server) -> None:
    """A read that is refused as overload slows the pass as a statement of its own does."""
    noted: list[bool] = []
    made = Sounding(clock, server, 2.0, lambda: noted.append(True))
    server.error = OperationFailure("full", 462, {"errorLabels": [OVERLOADED]})
    await made.wait_for_quiet()
    assert noted == [True]


async def test_a_read_that_hangs_is_given_up(
    clock: StandingClock, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conversions go on after a while, and such reads lower the share."""
    made = sounding(clock, server)
    await made.wait_for_quiet()
    monkeypatch.setattr(soundings, "_PATIENCE_S", 0.001)

    async def hanging() -> None:
        clock.time += timedelta(seconds=1)
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(server, "ask", hanging)
    async with made.gate.passing():  # type: ignore[union-attr]
        await turns(made, clock, 10, 5.0)
    assert made.balance is not None
    assert made.balance.share <= 0.25


async def test_quiet_is_waited_for_and_not_for_ever(clock: StandingClock, server: Server) -> None:
    """Where a statement of the pass is on the way, the next page waits for its end, two seconds at most."""
    made = sounding(clock, server)
    began_s = clock.monotonic()
    async with made.gate.passing():  # type: ignore[union-attr]
        await made.wait_for_quiet()
    assert clock.monotonic() - began_s == pytest.approx(2, abs=0.01)
    assert server.asked == 0


def test_the_scheduler_says_how_long_a_thread_waited(tmp_path: Path) -> None:
    """What Linux counts is read in seconds; where nothing counts, or something else is found, it is nothing."""
    file = tmp_path / "schedstat"
    assert read_waited_s(file) == 0
    for text, waited_s in (("71000000 2500000000 12\n", 2.5), ("0 0 0", 0), ("", 0), ("1", 0), ("a b c", 0)):
        file.write_text(text)
        assert read_waited_s(file) == waited_s


async def test_what_a_thread_waited_for_a_processor_does_not_count(
    server: Server, monkeypatch: pytest.MonkeyPatch, clock: StandingClock
) -> None:
    """A read that took long because this process had no processor is as quick as the server made it."""
    waited = [0.0]
    monkeypatch.setattr(soundings, "SYSTEM_CLOCK", clock)
    made = Sounding(clock, server, 2.0, read_waited_s=lambda: waited[0])
    made.gate = Gate(lambda: 2)
    await made.wait_for_quiet()

    async def late() -> None:
        waited[0] += 0.5
        clock.time += timedelta(seconds=0.5 + server.takes_s)

    monkeypatch.setattr(server, "ask", late)
    async with made.gate.passing():
        await turns(made, clock, 100, 2.0)
    assert made.balance is not None
    assert (made.balance.share, made.balance.hindered) == (0.375, False)


# The throttle, by which a pass waits before each page.


@pytest.fixture
def throttle(clock: StandingClock, server: Server, monkeypatch: pytest.MonkeyPatch) -> Throttle:
    """The throttle of a pass beside live reads."""
    monkeypatch.setattr(throttling, "Soundings", lambda _: server)
    return Throttle(AsyncMongoMockClient()["db"]["v2"], Limits(live_slowdown=2.0), lambda: False, clock)


async def test_no_page_is_read_before_quiet_reads_are_known(throttle: Throttle, server: Server) -> None:
    """A pass knows what a read takes without it before its first page, and asks for no page after that."""
    assert await throttle.wait_for_page()
    assert server.asked == 6
    assert await throttle.wait_for_page()
    assert server.asked == 6


@pytest.mark.parametrize("wait", ["page", "documents"])
async def test_it_rests_where_one_small_batch_is_too_much(throttle: Throttle, clock: StandingClock, wait: str) -> None:
    """A pass that may work for a fifth of its time rests four times as long as it worked, and five seconds at most."""
    balance = throttle.sounding.balance
    assert balance is not None
    for _ in range(2):  # the first one measures
        await throttle.wait_for_page()
    balance.share, balance._ceiling = 0.01, 0.02  # of 2,000 documents 20, where a batch has 100 at least
    for worked_s, rested_s in ((0.5, 2.0), (60.0, 5.0)):
        clock.slept.clear()
        clock.time += timedelta(seconds=worked_s)
        await (throttle.wait_for_page() if wait == "page" else throttle.wait_for_documents(1))
        assert clock.slept[0] == pytest.approx(rested_s)
    assert throttle.reason == "its statements make reads of live clients slower"
    assert (throttle.concurrency, throttle.batches.size, throttle.pages) == (1, 100, 2)


# A statement that takes long, beside which nothing is converted.


async def waiting(answer: asyncio.Event, made: Sounding) -> str:
    """A statement that is on the way until it is answered."""
    async with made.gate.passing():  # type: ignore[union-attr]
        await answer.wait()
    return "done"


class PassingClock(StandingClock):
    """Moves by a little each time that somebody looks at it."""

    def monotonic(self) -> float:
        self.time += timedelta(milliseconds=5)
        return super().monotonic()


async def test_reads_are_measured_beside_one_long_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server works for the pass and nothing is converted, slow reads lower the share, too."""
    monkeypatch.setattr(soundings, "_BUSY_EVERY_S", 0.0001)
    clock, answer = PassingClock(), asyncio.Event()
    server = Server(clock)
    made = sounding(clock, server)
    await made.wait_for_quiet()
    assert made.balance is not None

    async def look() -> None:
        server.asked += 1
        clock.time += timedelta(milliseconds=20)
        if server.asked == 5:
            answer.set()

    monkeypatch.setattr(server, "ask", look)
    server.asked = 0
    assert await made.beside(waiting(answer, made)) == "done"
    assert made.balance.share < 0.25


async def test_nothing_is_measured_beside_it_while_another_task_converts(
    clock: StandingClock, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task that converts lets reads go between its conversions, and no other does."""
    monkeypatch.setattr(soundings, "_BUSY_EVERY_S", 0.0001)
    made, answer = sounding(clock, server), asyncio.Event()
    await made.wait_for_quiet()
    clock.time += timedelta(seconds=60)
    asked = server.asked
    async with made.converting:
        task = asyncio.create_task(made.beside(waiting(answer, made)))
        await asyncio.wait({task}, timeout=0.01)
        assert server.asked == asked
        answer.set()
        assert await task == "done"


@pytest.mark.parametrize("bound", [None, 2.0])
async def test_a_statement_keeps_its_error_and_is_cancelled_with_its_caller(
    clock: StandingClock, server: Server, bound: float | None
) -> None:
    """What a statement raises is raised, and a caller that is cancelled leaves no statement on the way."""
    made = sounding(clock, server, bound)

    async def failing() -> None:
        raise AutoReconnect("gone")

    with pytest.raises(AutoReconnect):
        await made.beside(failing())
    task = asyncio.create_task(made.beside(waiting(asyncio.Event(), made)))
    await turn()
    assert made.gate is not None
    assert made.gate.in_flight == 1
    task.cancel()
    await asyncio.wait({task})
    assert (task.cancelled(), made.gate.in_flight) == (True, 0)


# The gate.


class Crowd:
    """Statements that pass a gate, and stay until they are ended."""

    def __init__(self, gate: Gate, count: int) -> None:
        self.gate = gate
        self.passed: list[int] = []
        self.ends = [asyncio.Event() for _ in range(count)]
        self.tasks = [asyncio.create_task(self.run(number)) for number in range(count)]

    async def run(self, number: int) -> None:
        async with self.gate.passing():
            self.passed.append(number)
            await self.ends[number].wait()

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number].set()
        await turn()


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_pass_in_their_order() -> None:
    """No more than allowed are on the way, the others follow in order, and more once more are allowed."""
    most = [2]
    gate = Gate(lambda: most[0])
    crowd = Crowd(gate, 8)
    await crowd.end()
    assert (crowd.passed, gate.in_flight) == ([0, 1], 2)
    await crowd.end(1)
    assert (crowd.passed, gate.in_flight) == ([0, 1, 2], 2)
    most[0] = 4
    await crowd.end(0)
    assert (crowd.passed, gate.in_flight) == ([0, 1, 2, 3, 4, 5], 4)
    most[0] = 0
    await crowd.end(2, 3, 4)
    assert (crowd.passed, gate.in_flight) == ([0, 1, 2, 3, 4, 5], 1)
    await crowd.end(5)
    assert (crowd.passed, gate.in_flight) == ([0, 1, 2, 3, 4, 5, 6], 1)  # one always may
    await crowd.end(6, 7)
    await asyncio.gather(*crowd.tasks)
    assert gate.in_flight == 0


@pytest.mark.parametrize("let_in", [False, True])
async def test_who_gives_up_frees_the_place(let_in: bool) -> None:
    """A statement that is cancelled while it waits, or at the moment it may pass, holds no place."""
    most = [1]
    gate = Gate(lambda: most[0])
    crowd = Crowd(gate, 3)
    await crowd.end()
    if let_in:
        most[0] = 2
        gate._let_in()  # the second has its place now, and has not run yet
        most[0] = 1
    crowd.tasks[1].cancel()
    await crowd.end(0, 1, 2)
    outcomes = await asyncio.gather(*crowd.tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [False, True, False]
    assert crowd.passed == [0, 2]
    assert gate.in_flight == 0
