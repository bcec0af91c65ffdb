"""Writers of one entity in several processes: who gives way to whom, and for how long."""

from __future__ import annotations

from typing import Any

from lazymig import Repository
from lazymig.protocol.waiting import OLDER_WAITS_S, back_off
from lazymig.repository import calls_of
from lazymig.telemetry import CONTENDED
from lazymig.testing import memory_repository
from tests.people import TestClock, ada, people, split
from tests.taking_turns import tagging, write_joined


async def filled() -> tuple[Repository[Any, Any], TestClock]:
    """A repository with one person in both collections, and its clock."""
    clock = TestClock()
    # Its conversion needs no earlier body, so nobody waits for that of the older writer.
    repository = memory_repository(people(upgrade=lambda v1: split(v1)), clock=clock)
    await repository.insert(ada(1, tags=[]))
    return repository, clock


async def test_a_crowd_is_spread_and_who_has_lost_often_waits_less() -> None:
    """The first two attempts come at once, and the last ones almost."""
    repository, clock = await filled()
    pair = calls_of(repository).pair
    for attempt in range(pair.max_attempts):
        await back_off(pair, attempt)
    assert len(clock.slept) == pair.max_attempts - 2
    assert max(clock.slept) == clock.slept[6]
    assert clock.slept[6:] == sorted(clock.slept[6:], reverse=True)
    assert clock.slept[-1] < 0.001


async def test_updates_made_together_give_way_to_older_announcements() -> None:
    """They start from what the older writer has stored, and need one attempt."""
    repository, clock = await filled()
    pair = calls_of(repository).pair
    older = await pair.ledger.ticket(1)
    sleep, slept = clock.sleep, clock.slept

    async def write_meanwhile(delay_s: float) -> None:
        await sleep(delay_s)
        if len(slept) == 2:
            assert await pair.v1.compare_and_set(1, older.intent - 1, older.intent, {"tags": ["older"]})

    clock.sleep = write_meanwhile  # type: ignore[method-assign]
    outcomes: list[Any] = await write_joined(repository, 1, [tagging("a"), tagging("b")])
    assert [outcome.entity.tags for outcome in outcomes] == [["older", "a"], ["older", "a", "b"]]
    assert len(slept) == 2
    assert repository.tally.counts[CONTENDED] == 0


async def test_a_dead_announcement_holds_up_nobody_for_long() -> None:
    """Where V1 does not change for a moment, the writer goes on, and its write closes the mark."""
    repository, clock = await filled()
    pair = calls_of(repository).pair
    await pair.ledger.ticket(1)
    await write_joined(repository, 1, [tagging("a"), tagging("b")])
    assert len(clock.slept) == len(OLDER_WAITS_S)
    assert sum(clock.slept) < 0.25
    found = await pair.bodies.find(1)
    assert found is not None
    assert found.clean
    clock.slept.clear()
    await write_joined(repository, 1, [tagging("c"), tagging("d")])
    assert clock.slept == []
    assert (await repository.get(1)).tags == list("abcd")


async def test_an_update_by_itself_does_not_wait() -> None:
    """It is decided at once, and most announcements that it meets are those of the dead."""
    repository, clock = await filled()
    await calls_of(repository).pair.ledger.ticket(1)
    await repository.update(1, tagging("a"))
    assert clock.slept == []
