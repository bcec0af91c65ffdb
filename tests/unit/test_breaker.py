"""The circuit breaker: when it opens, what passes while it is open, and what closes it."""

from __future__ import annotations

import pytest

from lazymig.loop.breaker import FAILURES, REST_S, WINDOW_S, Breaker
from tests.people import TestClock


@pytest.fixture
def clock() -> TestClock:
    """Stands until it is moved."""
    return TestClock()


@pytest.fixture
def breaker(clock: TestClock) -> Breaker:
    """A closed one."""
    return Breaker(clock)


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    """So many failures."""
    for _ in range(times):
        assert breaker.admits()
        breaker.failed()


def test_it_opens_at_the_last_of_so_many_failures(breaker: Breaker) -> None:
    """One fewer is no reason, and after the last nobody asks."""
    fail(breaker, FAILURES - 1)
    assert breaker.admits()
    assert breaker.closed
    fail(breaker, 1)
    assert not breaker.closed
    assert not breaker.admits()


async def test_failures_of_long_ago_do_not_count(breaker: Breaker, clock: TestClock) -> None:
    """Only those within the window do."""
    fail(breaker, FAILURES - 1)
    await clock.sleep(WINDOW_S + 0.1)
    fail(breaker, FAILURES - 1)
    assert breaker.admits()


def test_a_few_failures_among_many_answers_are_no_reason(breaker: Breaker) -> None:
    """A tenth of the outcomes must have failed."""
    for _ in range(FAILURES * 20):
        breaker.succeeded()
    fail(breaker, FAILURES * 2)
    assert breaker.closed


async def test_one_probes_after_the_rest_and_an_answer_closes_it(breaker: Breaker, clock: TestClock) -> None:
    """Others wait for its outcome."""
    fail(breaker)
    await clock.sleep(REST_S - 0.1)
    assert not breaker.admits()
    await clock.sleep(0.2)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.closed
    fail(breaker, FAILURES - 1)
    assert breaker.closed


async def test_a_failed_probe_begins_the_rest_again(breaker: Breaker, clock: TestClock) -> None:
    """Counted from its failure, however long it took."""
    fail(breaker)
    await clock.sleep(REST_S)
    assert breaker.admits()
    await clock.sleep(REST_S - 0.1)
    breaker.failed()
    await clock.sleep(REST_S - 0.1)
    assert not breaker.admits()
    await clock.sleep(0.2)
    assert breaker.admits()


async def test_a_probe_that_reports_nothing_blocks_nobody(breaker: Breaker, clock: TestClock) -> None:
    """Its caller was cancelled: the next one probes after another rest."""
    fail(breaker)
    await clock.sleep(REST_S)
    assert breaker.admits()
    await clock.sleep(REST_S)
    assert breaker.admits()
