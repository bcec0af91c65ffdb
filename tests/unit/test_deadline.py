"""Deadlines: each block ends in its own time, and all of one length share a timer."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator
from weakref import ref

import pytest
from pymongo.errors import NetworkTimeout

from lazymig.loop import deadline
from lazymig.loop.deadline import Deadline
from lazymig.loop.turns import let_others_run

#: No test waits for this long.
LONG_S = 1_000.0


async def hang() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _nothing_open() -> Iterator[None]:
    """Nothing that another test's event loop left behind counts."""
    deadline._OPEN.clear()
    yield
    deadline._OPEN.clear()


@pytest.mark.parametrize("timeout_s", [0.0, 0.001])
async def test_a_block_whose_time_is_over_ends_with_the_drivers_error(timeout_s: float) -> None:
    """The caller sees `NetworkTimeout`, and its task goes on uncancelled."""
    with pytest.raises(NetworkTimeout, match="timeout_s"):
        async with Deadline(timeout_s):
            await hang()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    await let_others_run()


async def test_without_a_bound_nothing_is_watched() -> None:
    """No timer is set, and the block's own error passes."""
    with pytest.raises(KeyError):
        async with Deadline(None):
            raise KeyError
    assert not deadline._OPEN


async def test_blocks_of_one_length_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred calls, one after the other and nested, set one timer."""
    loop, timers = asyncio.get_running_loop(), list[float]()
    set_timer = loop.call_at

    def count(when: float, *arguments: object, **options: object) -> asyncio.TimerHandle:
        timers.append(when)
        return set_timer(when, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", count)
    for _ in range(50):
        async with Deadline(LONG_S), Deadline(LONG_S):
            await let_others_run()
    assert len(timers) == 1
    (only,) = deadline._OPEN.values()
    assert not only.ends


async def test_a_block_that_began_later_ends_by_the_same_timer() -> None:
    """The timer of the first is set again for those that are still open, each of which ends."""
    ended: list[int] = []

    async def call(number: int) -> None:
        try:
            async with Deadline(0.002):
                await hang()
        except NetworkTimeout:
            ended.append(number)

    async def call_later(number: int) -> None:
        # It begins while the first one's timer is set, and ends after it.
        with pytest.raises(NetworkTimeout):
            async with Deadline(0.001):
                await hang()
        await call(number)

    await asyncio.gather(call(1), call_later(2), call_later(3))
    assert ended == [1, 2, 3]


async def test_nothing_is_kept_once_nothing_is_open() -> None:
    """The timer that finds nothing open is the last one, and no reference to the event loop stays."""
    async with Deadline(0.001):
        pass
    assert len(deadline._OPEN) == 1
    with pytest.raises(NetworkTimeout):
        async with Deadline(0.002):
            await hang()
    assert not deadline._OPEN


@pytest.mark.parametrize(("outer_s", "inner_s"), [(LONG_S, 0.001), (0.001, LONG_S)], ids=["inner", "outer"])
async def test_of_nested_blocks_the_one_whose_time_is_over_ends(outer_s: float, inner_s: float) -> None:
    """The inner one's end is an error within the outer block; the outer one's end passes through the inner."""
    seen: list[str] = []
    try:
        async with Deadline(outer_s):
            try:
                async with Deadline(inner_s):
                    await hang()
            except NetworkTimeout:
                seen.append("inner")
    except NetworkTimeout:
        seen.append("outer")
    assert seen == ["inner" if inner_s < outer_s else "outer"]


async def test_both_ends_at_once_are_the_outer_blocks() -> None:
    """Two nested blocks of one length end in the same moment: the outer one raises, and nothing is left to cancel."""
    with pytest.raises(NetworkTimeout):
        async with Deadline(0.001), Deadline(0.001):
            await hang()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_cancelled_call_stays_cancelled_though_its_time_is_over_as_well() -> None:
    """The code that cancelled the task waits for its end: a time-out must not swallow that."""

    async def call() -> None:
        async with Deadline(0.0):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            try:
                await hang()
            finally:
                (open,) = deadline._OPEN.values()
                open._expire()  # the time is over before the block has ended

    task = asyncio.ensure_future(call())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_of_the_block_passes_though_its_time_is_over() -> None:
    """What the block raises after it was cancelled says more than the time-out."""

    async def fail() -> None:
        async with Deadline(0.001):
            try:
                await hang()
            except asyncio.CancelledError:
                raise KeyError from None

    with pytest.raises(KeyError):
        await fail()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


def test_each_event_loop_has_timers_of_its_own() -> None:
    """A loop that was closed is forgotten by the next, which bounds its own calls."""

    async def in_time() -> None:
        async with Deadline(LONG_S):
            pass

    async def too_late() -> None:
        async with Deadline(0.001):
            await hang()

    asyncio.run(in_time())
    (key,) = deadline._OPEN
    assert key[0].is_closed()
    with pytest.raises(NetworkTimeout):
        asyncio.run(too_late())
    assert not deadline._OPEN


async def test_the_timer_keeps_nothing_of_the_call_that_set_it() -> None:
    """It outlives that call, whose context may hold a request."""

    class Request:
        pass

    variable: contextvars.ContextVar[Request] = contextvars.ContextVar("request")

    async def call() -> ref[Request]:
        request = Request()
        variable.set(request)
        async with Deadline(LONG_S):
            return ref(request)

    gone = await asyncio.create_task(call())
    await let_others_run()
    assert len(deadline._OPEN) == 1
    assert gone() is None


async def _cancelled_and_late(ends: asyncio.Event, seen: list[str]) -> None:
    """Waits for `ends` when it is cancelled, within a deadline that is over by then."""
    async with Deadline(0.0):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            try:
                await ends.wait()
            except asyncio.CancelledError:
                seen.append("cancelled again")
                raise
            raise


async def test_what_is_being_cancelled_is_not_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the driver looks for a server, a second cancellation takes its lock for ever, on Python 3.11."""
    monkeypatch.setattr(deadline, "_AGAIN_S", 0.0)
    monkeypatch.setattr(deadline, "_AGAIN_MAX", 10**9)
    ends, seen = asyncio.Event(), list[str]()
    call = asyncio.ensure_future(_cancelled_and_late(ends, seen))
    await let_others_run()
    call.cancel()
    for _ in range(20):
        await let_others_run()
    assert seen == ["cancelled"]
    ends.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert seen == ["cancelled"]


async def test_who_takes_no_notice_of_a_cancellation_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cancelled again in the end."""
    monkeypatch.setattr(deadline, "_AGAIN_S", 0.0)
    seen = list[str]()
    call = asyncio.ensure_future(_cancelled_and_late(asyncio.Event(), seen))
    await let_others_run()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert seen == ["cancelled", "cancelled again"]
