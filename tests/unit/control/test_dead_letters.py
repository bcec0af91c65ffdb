"""Dead letters in the control collection, on every driver."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

from bson import Binary, Decimal128

from lazymig import Control
from lazymig.control import parts_of
from lazymig.stores.records import DeadLetter
from tests.people import TestClock


def letter(id: Any, revision: int = 0, error: str = "ValueError") -> DeadLetter:
    """A failure of the migration `m`."""
    return DeadLetter("m", id, revision, "upgrade", error, "the document does not convert", "name")


async def test_a_dead_letter_keeps_its_history(control: Control, clock: TestClock) -> None:
    """One record per entity: first and last time, attempts, and what was wrong last."""
    first = clock.time
    await parts_of(control).letters.record([letter(1)])
    clock.time += timedelta(hours=1)
    await parts_of(control).letters.record([letter(1, 3, "KeyError")])
    found = await control.dead_letter("m", 1)
    assert (found.first_at, found.last_at, found.attempts) == (first, clock.time, 2)
    assert (found.revision, found.error, found.path, found.waived) == (3, "KeyError", "name", None)
    assert [one.id async for one in control.dead_letters("m")] == [1]
    assert await control.dead_letter("m", 2) is None


async def test_dead_letters_come_oldest_first(control: Control, clock: TestClock) -> None:
    """The list is in the order of the first failures."""
    for id in (3, 1, 2):
        await parts_of(control).letters.record([letter(id)])
        clock.time += timedelta(seconds=1)
    await parts_of(control).letters.record([letter(3)])
    assert [one.id async for one in control.dead_letters("m")] == [3, 1, 2]


async def test_ids_of_any_type(control: Control, driver: str) -> None:
    """A letter is found by its id whatever its type; a UUID and its binary are one."""
    ids: list[Any] = [1, "1", {"a": 1}, b"1", Binary.from_uuid(UUID(int=1))]
    if driver != "mock":  # which needs ids to be hashable
        ids.append(Decimal128("1.5"))
    for id in ids:
        await parts_of(control).letters.record([letter(id)])
    assert [(await control.dead_letter("m", id)).id for id in ids] == ids
    assert (await control.dead_letter("m", UUID(int=1))).attempts == 1
    assert await parts_of(control).letters.remove("m", [UUID(int=1), {"a": 1}, "absent"]) == 2
    assert await control.dead_count("m") == len(ids) - 2


async def test_a_waived_failure_asks_for_nobody(control: Control) -> None:
    """A waiver holds while the entity fails at the same revision, and ends when it fails at another one."""
    await parts_of(control).letters.record([letter(1, 2)])
    await parts_of(control).letters.record([letter(2, 2)])
    assert await control.waive("m", 1, "known, ends in June")
    assert await control.dead_count("m") == 1
    assert [one.id async for one in control.dead_letters("m", waived=False)] == [2]
    assert [(one.id, one.waived) async for one in control.dead_letters("m", waived=True)] == [
        (1, "known, ends in June")
    ]
    await parts_of(control).letters.record([letter(1, 2)])
    assert (await control.dead_letter("m", 1)).attempts == 2
    assert await control.dead_count("m") == 1
    await parts_of(control).letters.record([letter(1, 3)])
    found = await control.dead_letter("m", 1)
    assert (found.waived, found.attempts) == (None, 3)
    assert await control.dead_count("m") == 2


async def test_waivers_of_nothing(control: Control) -> None:
    """What is not there can be neither waived nor taken back, and no record comes of it."""
    assert not await control.waive("m", 1, "x")
    assert not await control.unwaive("m", 1)
    await parts_of(control).letters.record([letter(1)])
    assert not await control.unwaive("m", 1)
    await control.waive("m", 1, "x")
    assert await control.unwaive("m", 1)
    assert await control.dead_count("m") == 1
    assert await control.collection.count_documents({}) == 1


async def test_letters_of_a_crowd(control: Control) -> None:
    """Failures of one entity that are recorded at once are one record, and no attempt is lost."""
    await asyncio.gather(*(parts_of(control).letters.record([letter(1)]) for _ in range(6)))
    assert (await control.dead_letter("m", 1)).attempts == 6
