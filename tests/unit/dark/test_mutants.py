"""The guards of dark reads, each left out once: a test must notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attrs import evolve

from lazymig.comparing.comparer import Comparer
from lazymig.dark import watch
from lazymig.dark.contests import Look, Outcome, TwoSides
from lazymig.dark.log import Log
from lazymig.dark.notes import Notes
from lazymig.dark.watch import Watch
from lazymig.errors import ConversionError
from lazymig.loop.background import Allowance, Background
from lazymig.routes.dark import Dark
from tests.unit import test_background
from tests.unit.dark import test_looking, test_watch

Patch = Callable[[pytest.MonkeyPatch], None]
compare, judge = Comparer.compare, TwoSides.judge


async def ignore_revisions(comparer: Any, truth: Any, seen: Any) -> Any:
    """Compare whatever was read."""
    if truth is not None and seen is not None and not seen.gone:
        seen = seen._replace(revision=truth.revision, intent=truth.revision)
    return await compare(comparer, truth, seen)


async def ignore_open_writes(contest: Any, id: Any, sides: Any) -> Look:
    """Take a body for V2's answer although a write is open."""
    if sides.seen is not None:
        sides = evolve(sides, seen=sides.seen._replace(intent=sides.seen.revision))
    return await judge(contest, id, sides)


async def trust_the_first_look(contest: Any, clock: Any, id: Any, first: Look) -> Look:
    """Count a difference at once."""
    return first


async def trust_any_second_look(contest: Any, clock: Any, id: Any, first: Look) -> Look:
    """Count two differences in a row, although they are not the same."""
    for _ in range(2):
        if first.outcome not in (Outcome.DIFFERS, Outcome.MOVED):
            return first
        await clock.sleep(0.05)
        second = await contest.judge(id, await contest.read(id))
        if first.outcome is second.outcome is Outcome.DIFFERS:
            return second
        first = second
    return first


async def swallow(route: Any, read: Any, id: Any, candidate: Any) -> Any:
    """Take a control that raises for one that found nothing."""
    try:
        return await read(route.control)
    except ConversionError:
        return None


async def await_the_candidate(route: Any, read: Any, id: Any, candidate: Any) -> Any:
    """Compare before the caller has its answer."""
    notes = Notes()
    entity = await read(route.noting(notes))
    await route.watch._run((id,), notes, candidate, 0.0, None)
    return entity


async def at_once(_: Any) -> None:
    """Compute without waiting for a turn."""


async def log_all(log: Any, mismatch: Any) -> None:
    """Record without a bound."""
    await log._mismatches.record(log._migration, [mismatch])


async def forget_nothing(log: Any, id: Any) -> None:
    """Leave what was recorded."""


async def raise_it(watch: Any, step: Awaitable[None]) -> None:
    """Let a report raise."""
    await step


def mutant(owner: Any, name: str, changed: Any) -> Patch:
    """Replace one function."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, changed)


CASES: dict[str, tuple[Patch, Callable[[], Any]]] = {
    "compares at unequal revisions": (
        mutant(Comparer, "compare", ignore_revisions),
        lambda: test_looking.test_every_kind_of_defect_is_found("another revision in V1"),
    ),
    "compares open writes": (
        mutant(TwoSides, "judge", ignore_open_writes),
        test_looking.test_an_unfinished_write_is_no_mismatch,
    ),
    "counts the first look": (
        mutant(watch, "look_until_settled", trust_the_first_look),
        test_watch.test_a_write_between_both_reads_is_no_mismatch,
    ),
    "counts two different looks": (
        mutant(test_looking, "look_until_settled", trust_any_second_look),
        lambda: test_looking.test_only_what_two_looks_in_a_row_saw_counts(
            [test_looking.A, test_looking.B, test_looking.C], test_looking.MOVED
        ),
    ),
    "swallows the control's exception": (
        mutant(Dark, "_watched_one", swallow),
        lambda: test_watch.test_the_controls_exception_reaches_the_caller("get", "v2"),
    ),
    "awaits the candidate": (
        mutant(Dark, "_watched_one", await_the_candidate),
        test_watch.test_a_candidate_that_hangs_holds_nobody_up,
    ),
    "queues without a bound": (
        mutant(Background, "free", 1000),
        test_watch.test_above_the_bound_reads_are_dropped_and_never_queued,
    ),
    "knows no rate": (
        mutant(Allowance, "take", lambda _self, wanted, _now_s: wanted),
        test_watch.test_above_the_rate_reads_are_dropped,
    ),
    "computes all in one turn": (
        mutant(Background, "wait_for_turn", at_once),
        lambda: test_background.test_one_computation_per_turn(20),
    ),
    "logs without a bound": (mutant(Log, "add", log_all), lambda: test_watch.test_the_log_is_bounded(2)),
    "never empties its log": (
        mutant(Log, "forget", forget_nothing),
        test_watch.test_an_entity_leaves_the_log_when_both_sides_are_equal_again,
    ),
    "replaces what a verification recorded": (
        mutant(Log, "add", log_all),
        test_watch.test_what_a_verification_recorded_is_left_to_it,
    ),
    "lets a report raise": (
        mutant(Watch, "_try", raise_it),
        test_watch.test_a_log_that_cannot_be_written_hurts_nobody,
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_each_guard_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test that protects the guard fails without it."""
    patch, claim = CASES[name]
    patch(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, TimeoutError)):
        async with asyncio.timeout(5):
            await claim()
