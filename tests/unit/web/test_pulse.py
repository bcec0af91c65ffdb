"""The looks that all who watch share, with a clock that only the test moves and looks that end when the test says."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from lazymig.errors import PhaseError
from lazymig.web.pulse import NotYet, Patience, Pulse
from lazymig.web.snapshot import Snapshot
from tests.clocks import StandingClock, settle

#: Nobody waits longer for a look that the test holds than one turn of the loop.
AT_ONCE = Patience(first_s=0.0, later_s=0.0, look_s=30.0)
PATIENT = Patience(first_s=30.0, later_s=30.0, look_s=30.0)


class Looks:
    """Looks that are counted, and fail or wait where the test says so."""

    def __init__(self) -> None:
        self.count = 0
        self.fails: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, before: Snapshot | None) -> Snapshot:
        """Look."""
        self.count += 1
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return shot(self.count)


def shot(number: int) -> Snapshot:
    """A snapshot that says which look made it."""
    status: Any = f"look {number}"
    return Snapshot(status)


class Pulsing:
    """A pulse, its clock and its looks."""

    def __init__(self, patience: Patience = PATIENT) -> None:
        self.clock, self.looks = StandingClock(), Looks()
        self.pulse = Pulse(self.looks, 1.0, self.clock, patience)

    async def move(self, by_s: float) -> None:
        """Move the clock, and let everybody do what can be done then."""
        self.clock.move(by_s)
        await settle()

    @asynccontextmanager
    async def watching(self, count: int = 1) -> AsyncIterator[list[list[Snapshot]]]:
        """So many watch; what each of them sees."""
        seen: list[list[Snapshot]] = [[] for _ in range(count)]

        async def watch(mine: list[Snapshot]) -> None:
            async for snapshot in self.pulse.watch():
                mine.append(snapshot)  # noqa: PERF401 - each as soon as it comes

        tasks = [asyncio.create_task(watch(mine)) for mine in seen]
        await settle()
        yield seen
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def numbers(seen: list[Snapshot]) -> list[str]:
    """Which looks made them."""
    return [str(snapshot.status) for snapshot in seen]


async def test_all_who_watch_share_one_look_per_interval() -> None:
    """Twenty who watch and twenty who ask cost one look at once, and one for each interval that passes."""
    on = Pulsing()
    async with on.watching(20) as seen:
        await asyncio.gather(*(on.pulse.now() for _ in range(20)))
        assert on.looks.count == 1
        for _ in range(3):
            await on.move(0.5)
            await asyncio.gather(*(on.pulse.now() for _ in range(20)))
            await on.move(0.5)
    assert on.looks.count == 4
    assert {tuple(numbers(mine)) for mine in seen} == {("look 1", "look 2", "look 3", "look 4")}


async def test_nobody_watches_and_nothing_is_looked_up() -> None:
    """After the last one has gone, no look begins and no task sleeps; the next one begins again."""
    on = Pulsing()
    async with on.watching(2):
        assert on.clock.sleepers == 1
    await settle()
    assert (on.pulse.watchers, on.clock.sleepers) == (0, 0)
    for _ in range(5):
        await on.move(1.0)
    assert on.looks.count == 1
    async with on.watching() as seen:
        await on.move(1.0)
    assert numbers(seen[0]) == ["look 2", "look 3"]


async def test_one_leaves_and_the_others_go_on() -> None:
    """A watcher that is cancelled, even within a look, takes nothing away from another one."""
    on = Pulsing()
    async with on.watching() as seen:
        on.looks.go.clear()
        async with on.watching():
            await on.move(1.0)
            assert on.looks.count == 2
        on.looks.go.set()
        await settle()
        assert numbers(seen[0]) == ["look 1", "look 2"]


async def test_who_asks_and_goes_away_leaves_the_look_to_others() -> None:
    """A look goes on though the one who began it is cancelled, and no second one begins."""
    on = Pulsing()
    on.looks.go.clear()
    first, second = (asyncio.create_task(on.pulse.now()) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    on.looks.go.set()
    assert (str((await second).status), on.looks.count) == ("look 1", 1)


async def test_a_slow_watcher_holds_nobody() -> None:
    """One that does not take what is there misses what came meanwhile; the others see all of it."""
    on = Pulsing()
    slow = on.pulse.watch()
    await anext(slow)
    async with on.watching() as seen:
        for _ in range(3):
            await on.move(1.0)
        assert numbers(seen[0]) == ["look 1", "look 2", "look 3", "look 4"]
        assert str((await anext(slow)).status) == "look 4"
    await slow.aclose()
    assert on.pulse.watchers == 0


async def test_a_look_that_fails_leaves_the_last_snapshot_with_its_age() -> None:
    """What was seen stays, with the trouble in words and the age; the next look that works ends the trouble."""
    on = Pulsing()
    async with on.watching() as seen:
        on.looks.fails = AutoReconnect("mongodb://user:secret@db.example:27017 is away")
        await on.move(1.0)
        await on.move(1.0)
        assert [(one.trouble, one.age_s) for one in seen[0]] == [
            ("", 0.0), ("the database does not answer", 1.0), ("the database does not answer", 2.0),
        ]  # fmt: skip
        assert numbers(seen[0]) == ["look 1"] * 3
        on.looks.fails = None
        await on.move(1.0)
        assert (str(seen[0][-1].status), seen[0][-1].trouble, seen[0][-1].age_s) == ("look 4", "", 0.0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationFailure("secret: {name: 'Ada'}", 13), "does not allow this user"),
        (OperationFailure("secret", 18), "does not accept the user or the password"),
        (OperationFailure("secret: {name: 'Ada'}", 26, {"codeName": "NoSuchThing"}), "NoSuchThing (code 26)"),
        (PhaseError("no phase is recorded"), "no phase is recorded"),
        (ZeroDivisionError("secret"), "it failed (ZeroDivisionError); the log"),
    ],
)  # fmt: skip
async def test_trouble_in_words(error: Exception, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of error has words that say what it is, and neither they nor the log quote what it says of data."""
    caplog.set_level(logging.DEBUG)
    on = Pulsing()
    await on.pulse.now()
    on.looks.fails = error
    await on.move(1.0)
    trouble = (await on.pulse.now()).trouble
    assert words in trouble
    assert "secret" not in trouble + caplog.text
    assert ("raise self.fails" in caplog.text) == isinstance(error, ZeroDivisionError)


async def test_the_first_look_raises_what_it_finds() -> None:
    """Where nothing was ever seen, the error itself is raised, to watchers too; and one look serves an interval."""
    on = Pulsing()
    on.looks.fails = PhaseError("no phase is recorded")
    raised: list[Exception] = []
    for _ in range(20):
        with pytest.raises(PhaseError, match="no phase is recorded") as one:
            await on.pulse.now()
        with pytest.raises(PhaseError, match="no phase is recorded") as other:
            await anext(on.pulse.watch())
        raised += [one.value, other.value]
    assert len({id(error) for error in raised}) == len(raised), "what one adds to it is not the others'"
    assert (on.looks.count, on.pulse.watchers, on.clock.sleepers) == (1, 0, 0)
    assert count_frames(on.looks.fails) < 10
    on.looks.fails = None
    await on.move(1.0)
    assert str((await on.pulse.now()).status) == "look 2"


def count_frames(error: Exception) -> int:
    """How many frames an error keeps alive."""
    count, frame = 0, error.__traceback__
    while frame is not None:
        count, frame = count + 1, frame.tb_next
    return count


async def test_a_look_that_takes_long_holds_nobody() -> None:
    """A request meanwhile gets the last snapshot with its age; watchers see it too, and no second look begins."""
    on = Pulsing(AT_ONCE)
    on.looks.go.clear()
    with pytest.raises(NotYet):
        await on.pulse.now()
    on.looks.go.set()
    await settle()
    async with on.watching() as seen:
        on.looks.go.clear()
        for _ in range(3):
            await on.move(1.0)
            assert (await on.pulse.now()).trouble == "the database has not answered yet"
        assert on.looks.count == 2
        assert seen[0][-1].age_s == 3.0
        on.looks.go.set()
        await settle()
        assert (str(seen[0][-1].status), seen[0][-1].trouble) == ("look 2", "")


async def test_a_look_that_hangs_is_given_up() -> None:
    """After its time a look counts as failed, so that the next one can begin."""
    on = Pulsing(Patience(first_s=30.0, later_s=30.0, look_s=0.001))
    on.looks.go.clear()
    with pytest.raises(AutoReconnect):
        await on.pulse.now()
    on.looks.go.set()
    await on.move(1.0)
    assert str((await on.pulse.now()).status) == "look 2"


async def test_a_change_is_seen_at_once() -> None:
    """After a change people see what a look finds that began later, though the interval is not over."""
    on = Pulsing()
    await on.pulse.now()
    assert str((await on.pulse.renew()).status) == "look 2"
    await on.move(1.0)
    on.looks.go.clear()
    earlier = asyncio.create_task(on.pulse.now())
    await settle()
    later = asyncio.create_task(on.pulse.renew())
    await settle()
    on.looks.go.set()
    assert [str(one.status) for one in (await earlier, await later)] == ["look 3", "look 4"]


async def test_the_end_reaches_all_who_watch() -> None:
    """When the server stops, each watcher comes to its end, and so does the task."""
    on = Pulsing()
    async with asyncio.TaskGroup() as group:
        group.create_task(exhaust(on.pulse))
        group.create_task(exhaust(on.pulse))
        await settle()
        assert on.pulse.watchers == 2
        on.pulse.end()
    await settle()
    assert (on.pulse.watchers, on.clock.sleepers) == (0, 0)


async def exhaust(pulse: Pulse) -> None:
    """Watch to the end."""
    async for _ in pulse.watch():
        pass


async def test_only_the_newest_snapshot_is_kept() -> None:
    """However long somebody watches, old snapshots are not kept."""
    on = Pulsing()
    watch = on.pulse.watch()
    kept = [weakref.ref(await anext(watch))]
    for _ in range(5):
        await settle()
        await on.move(1.0)
        kept.append(weakref.ref(await anext(watch)))
    gc.collect()
    assert [ref() is None for ref in kept] == [True] * 5 + [False]
    await watch.aclose()


async def test_looks_know_nothing_of_who_began_them() -> None:
    """A look runs outside of the context of the request that began it, such as its trace."""
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")
    found = []

    async def look(before: Snapshot | None) -> Snapshot:
        found.append(mark.get())
        return shot(len(found))

    mark.set("a request")
    clock = StandingClock()
    pulse = Pulse(look, 1.0, clock, PATIENT)
    watch = pulse.watch()
    await anext(watch)
    await settle()
    clock.move(1.0)
    await anext(watch)
    await watch.aclose()
    assert found == ["none", "none"]


async def test_slow_looks_leave_the_database_a_rest() -> None:
    """After a look that took two seconds the next one begins ten seconds after it began, and later looks as usual."""
    pulsing = Pulsing()
    async with pulsing.watching():
        pulsing.looks.go.clear()
        await pulsing.move(1.0)
        await pulsing.move(2.0)
        pulsing.looks.go.set()
        await settle()
        assert pulsing.looks.count == 2
        await pulsing.move(7.5)
        assert pulsing.looks.count == 2
        await pulsing.move(0.5)
        assert pulsing.looks.count == 3
        await pulsing.move(1.0)
        assert pulsing.looks.count == 4
