"""The tool that lets the clocks leap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from lazymig.loop.clock import SystemClock
from tests import widening
from tests.leaping import CLOCKS, SHORTEST_S, Leaps

LONG_S = 100_000.0
CONFTEST = "from tests.widening import add_options as pytest_addoption, take_options as pytest_configure"


@pytest.fixture
def own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pytest inside this one takes options of its own."""
    monkeypatch.setattr(widening, "WIDENING", widening.Widening())


@contextmanager
def leaping(every: int) -> Iterator[Leaps]:
    leaps = Leaps(1, every, LONG_S)
    leaps.apart_s = 0
    leaps.start()
    try:
        yield leaps
    finally:
        leaps.stop()


async def fire_after(delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    fired = loop.create_future()
    loop.call_later(delay_s, fired.set_result, None)
    await fired


LOOKS: dict[str, Callable[[], float]] = {
    "time.monotonic": lambda: time.monotonic(),
    "time.perf_counter": lambda: time.perf_counter(),
    "the loop": lambda: asyncio.get_running_loop().time(),
    "lazymig's clock": SystemClock().monotonic,
    "time.clock_gettime": lambda: time.clock_gettime(time.CLOCK_MONOTONIC),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_a_leap_is_seen_by(look: Callable[[], float]) -> None:
    """Each look is a leap where each may be one, and every clock sees it."""
    with leaping(1) as leaps:
        begin, before_s = look(), leaps.ahead_s
        end, after_s = look(), leaps.ahead_s
    assert leaps.count >= 2
    assert end - begin >= after_s - before_s >= SHORTEST_S


async def test_clocks_in_nanoseconds_leap_with_the_others() -> None:
    """They do not fall behind the clocks in seconds."""
    with leaping(1) as leaps:
        before = time.monotonic_ns(), time.perf_counter_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        time.monotonic()
        after = time.monotonic_ns(), time.perf_counter_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    least_ns = leaps.ahead_s * 1e9 - 1
    assert all(end - begin >= least_ns for begin, end in zip(before, after, strict=True))


def test_the_time_of_day_does_not_leap() -> None:
    """It is the servers' as well: a leap would set this machine's clock apart from theirs."""
    clock, real = SystemClock(), time.time()
    with leaping(1) as leaps:
        clock.monotonic()
        ahead = time.time() - real, time.clock_gettime(time.CLOCK_REALTIME) - real
        assert clock.now() - clock.now() < timedelta(seconds=1)
    assert leaps.ahead_s > 1_000
    assert max(ahead) < 1_000


def test_a_timer_of_an_hour_fires_at_once() -> None:
    """A timer whose time a leap passes fires, as after a stall."""
    with leaping(1):
        asyncio.run(fire_after(3600))


def test_leaps_are_apart() -> None:
    """However often something looks, the machine works between two leaps."""
    with leaping(1) as leaps:
        time.monotonic()
        leaps.apart_s = 1e9
        for _ in range(100):
            time.monotonic()
    assert leaps.count == 1


def test_the_clocks_are_given_back() -> None:
    """Afterwards they are the machine's own again."""
    before = [getattr(time, f"{name}{unit}") for name in CLOCKS for unit in ("", "_ns")]
    with leaping(1):
        assert time.monotonic not in before
    assert [getattr(time, f"{name}{unit}") for name in CLOCKS for unit in ("", "_ns")] == before


def test_the_summary_says_how_to_repeat_it(pytester: pytest.Pytester, own_options: None) -> None:
    """The seed and the density are printed, with what they did."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("import time\ndef test_leap():\n    assert time.monotonic()")
    result = pytester.runpytest("--leaps=7", "--leap-every=1", "--longest-leap-s=100000", "-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["* leaps of the clocks, * s; repeat: --leaps=7 --leap-every=1 --longest-leap-s=100000"]
    )


def test_without_the_option_nothing_leaps(pytester: pytest.Pytester, own_options: None) -> None:
    """A run of the tests keeps the machine's clocks."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(f"import time\ndef test_clock():\n    assert id(time.monotonic) == {id(time.monotonic)}")
    result = pytester.runpytest("-p", "no:asyncio")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*leaps of the clocks*")
