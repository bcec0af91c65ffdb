"""Write-behind: bounded, drained, and in a context of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lazymig.loop.behind import Behind
from lazymig.loop.deadline import Deadline


class Steps:
    """Steps that are held until they are let go."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.go = asyncio.Event()

    def __call__(self, name: str) -> Any:
        async def step() -> str:
            await self.go.wait()
            self.done.append(name)
            return name

        return step


@pytest.fixture
async def steps() -> Steps:
    """Steps."""
    return Steps()


async def test_without_a_limit_the_caller_does_the_step(steps: Steps) -> None:
    """Its result is the step's own."""
    steps.go.set()
    assert await Behind().do(steps("a"), "assumed") == "a"
    assert steps.done == ["a"]


async def test_behind_the_caller_the_result_is_assumed(steps: Steps) -> None:
    """The caller goes on at once, and its deadline is not the step's."""
    behind = Behind(2, 7.0)
    async with Deadline(0.001):
        assert await behind.do(steps("a"), "assumed") == "assumed"
    assert steps.done == []
    steps.go.set()
    await behind.drain()
    assert steps.done == ["a"]


@pytest.mark.parametrize("limit", [0, 2], ids=["at once", "behind"])
async def test_a_step_that_hangs_is_told_and_costs_no_error(steps: Steps, limit: int) -> None:
    """Once its time is over the result is assumed, the lateness told, and nothing is left to wait for."""
    late: list[str] = []
    behind = Behind(limit, 0.01, lambda: late.append("late"))
    assert await behind.do(steps("a"), "assumed") == "assumed"
    await behind.drain()
    assert (steps.done, late) == ([], ["late"])


async def test_a_full_queue_makes_the_caller_do_the_step_itself(steps: Steps) -> None:
    """Bounded: two behind, and the third caller waits."""
    behind = Behind(2)
    assert [await behind.do(steps(name), "assumed") for name in "ab"] == ["assumed"] * 2
    third = asyncio.ensure_future(behind.do(steps("c"), "assumed"))
    await asyncio.sleep(0)
    assert not third.done()
    steps.go.set()
    assert await third == "c"
    await behind.drain()
    assert sorted(steps.done) == ["a", "b", "c"]
    assert await behind.do(steps("d"), "assumed") == "assumed"
    await behind.drain()


async def test_drain_waits_for_steps_that_come_meanwhile(steps: Steps) -> None:
    """Nothing is left when it returns."""
    behind = Behind(5)
    await behind.do(steps("a"), None)
    draining = asyncio.ensure_future(behind.drain())
    await asyncio.sleep(0)
    await behind.do(steps("b"), None)
    steps.go.set()
    await draining
    assert sorted(steps.done) == ["a", "b"]
    await behind.drain()


async def test_a_cancelled_caller_does_not_take_its_step_with_it(steps: Steps) -> None:
    """What is behind is finished."""
    behind = Behind(5)

    async def caller() -> None:
        await behind.do(steps("a"), None)
        await asyncio.Event().wait()

    task = asyncio.ensure_future(caller())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    steps.go.set()
    await behind.drain()
    assert steps.done == ["a"]


# ---- the last step of a call that fails -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [None, ValueError(), asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
async def test_a_last_step_is_made_before_the_call_ends(steps: Steps, ending: BaseException | None) -> None:
    """Whatever the call ends with."""
    steps.go.set()
    assert await Behind().at_last(steps("a"), ending)
    assert steps.done == ["a"]


async def test_a_last_step_that_hangs_does_not_hold_up_the_end(steps: Steps) -> None:
    """It is given up, and reported as late."""
    late: list[str] = []
    assert await Behind(0, 0.01, lambda: late.append("late")).at_last(steps("a"), KeyboardInterrupt())
    assert (steps.done, late) == ([], ["late"])


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), SystemExit()])
async def test_nothing_replaces_what_ends_the_program(steps: Steps, ending: BaseException) -> None:
    """Neither what the last step raises nor that the call is cancelled meanwhile."""

    async def fail() -> None:
        raise ValueError

    assert not await Behind().at_last(fail, ending)
    last = asyncio.ensure_future(Behind().at_last(steps("a"), ending))
    await asyncio.sleep(0)
    last.cancel()
    assert await last is False
    assert steps.done == []


async def test_a_call_that_fails_can_be_cancelled_in_its_last_step(steps: Steps) -> None:
    """The cancellation is what it ends with then."""
    last = asyncio.ensure_future(Behind().at_last(steps("a"), ValueError()))
    await asyncio.sleep(0)
    last.cancel()
    with pytest.raises(asyncio.CancelledError):
        await last


async def test_a_call_that_is_closed_makes_no_last_step(steps: Steps) -> None:
    """Python lets a coroutine that is closed wait for nothing."""
    steps.go.set()
    assert not await Behind().at_last(steps("a"), GeneratorExit())
    assert steps.done == []
