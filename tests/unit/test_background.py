"""Work that nobody waits for: its bound, its context, its turns and its end."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from lazymig.loop.background import Allowance, Background

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


async def test_the_bound_is_that_of_the_sizes() -> None:
    """What runs takes its size, and gives it back at its end, also when it is cancelled before its first step."""
    background = Background(5)
    go = asyncio.Event()

    async def wait() -> None:
        await go.wait()

    background.start(wait(), 3)
    background.start(wait())
    assert background.free == 1
    for task in background._running:
        task.cancel()
    await background.drain(10)
    assert background.free == 5


async def test_work_runs_in_a_context_of_its_own() -> None:
    """The caller's deadline, trace and session end with the caller."""
    seen: list[str] = []

    async def look() -> None:
        seen.append(CALLER.get())

    token = CALLER.set("somebody")
    background = Background(1)
    background.start(look())
    await background.drain(10)
    CALLER.reset(token)
    assert seen == ["nobody"]


async def test_draining_cancels_what_takes_too_long() -> None:
    """Work that ends in time is waited for."""
    background, ended = Background(2), asyncio.Event()
    outcomes: list[str] = []

    async def work(until: asyncio.Event) -> None:
        try:
            await until.wait()
            outcomes.append("ended")
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise

    background.start(work(ended))
    background.start(work(asyncio.Event()))
    asyncio.get_running_loop().call_soon(ended.set)
    await background.drain(0.05)
    assert sorted(outcomes) == ["cancelled", "ended"]
    assert background.free == 2
    await background.drain(0.05)


@pytest.mark.parametrize("crowd", [2, 20])
async def test_one_computation_per_turn(crowd: int) -> None:
    """Between two of a crowd, everything else that is ready runs once at least."""
    background, turns, running = Background(crowd), 0, True
    computed: list[int] = []

    async def count_turns() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    async def compute() -> None:
        await background.wait_for_turn()
        computed.append(turns)

    counting = asyncio.create_task(count_turns())
    for _ in range(crowd):
        background.start(compute())
    await background.drain(30)
    running = False
    await counting
    assert len(computed) == crowd
    assert len(set(computed)) == crowd


@pytest.mark.parametrize("per_s", [0.25, 1.0, 3.0, 200.0])
@pytest.mark.parametrize("wanted", [1, 7])
def test_an_allowance_is_kept_over_any_second(per_s: float, wanted: int) -> None:
    """At most a tenth at once, and in the long run so many per second; fractions are not lost."""
    allowance = Allowance(per_s)
    granted = [allowance.take(wanted, step / 100) for step in range(4000)]
    most = max(per_s / 10, 2.0)
    for start in range(0, 3900, 50):
        assert sum(granted[start : start + 100]) <= most + per_s
    asked = min(wanted * 100.0, per_s)
    assert sum(granted) == pytest.approx(40 * asked + min(most, wanted * 100), abs=most + 1)


def test_without_a_bound_everything_is_allowed() -> None:
    """Also where the clock stands."""
    assert [Allowance(None).take(5, 0.0) for _ in range(3)] == [5, 5, 5]
    assert Allowance(40).take(5, 0.0) == 4
