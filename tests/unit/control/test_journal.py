"""What people ordered: entered once per form, ended once, and bounded."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from lazymig import Control
from lazymig.control import parts_of
from lazymig.control.journal import KEPT, TEXT, Act
from tests.people import TestClock


def act(clock: TestClock, form: str = "f1", **changed: Any) -> Act:
    return evolve(Act(clock.time, "ada", "advance", "to coexist: all is done", form=form), **changed)


async def test_acts_come_back(control: Control, clock: TestClock) -> None:
    """An act is kept as it was entered, gets its end, and the newest comes first."""
    journal = parts_of(control).journal("m")
    first, second = act(clock), act(clock, "f2", by="<b>$bob</b>", what="str:$set")
    assert await journal.add(first)
    assert await journal.add(second)
    clock.time += timedelta(seconds=5)
    assert await journal.end("f1", "in coexist now", good=True)
    ended = evolve(first, outcome="in coexist now", good=True, ended_at=clock.time)
    assert await journal.find_last(10) == [second, ended]
    assert await journal.find_last(1) == [second]
    assert await parts_of(control).journal("other").find_last(10) == []


async def test_a_form_acts_once(control: Control, clock: TestClock) -> None:
    """A form that arrives twice is entered once, and an end is entered once; acts without a form are all entered."""
    journal = parts_of(control).journal("m")
    assert await journal.add(act(clock))
    assert not await journal.add(act(clock, by="someone else"))
    assert await journal.end("f1", "done", good=True)
    assert not await journal.end("f1", "refused", good=False)
    assert not await journal.end("f2", "done", good=True)
    assert [one.outcome for one in await journal.find_last(10)] == ["done"]
    assert await journal.add(act(clock, ""))
    assert await journal.add(act(clock, ""))
    assert len(await journal.find_last(10)) == 3


async def test_it_is_bounded(control: Control, clock: TestClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest acts go once there are many, and long texts are cut."""
    kept = 5
    monkeypatch.setattr("lazymig.control.journal.KEPT", kept)
    journal = parts_of(control).journal("m")
    for number in range(kept + 2):
        await journal.add(act(clock, f"f{number}", what="x" * 2 * TEXT))
    found = await journal.find_last(kept * 2)
    assert [one.form for one in found] == [f"f{number}" for number in range(kept + 1, 1, -1)]
    assert {len(one.what) for one in found} == {TEXT}


async def test_the_row_fits_whatever_people_write(control: Control, clock: TestClock) -> None:
    """The longest act, in letters of four bytes, leaves room for as many as the row keeps."""
    journal, long = parts_of(control).journal("m"), "\N{GRINNING FACE}" * 2 * TEXT
    await journal.add(act(clock, by=long, what=long))
    assert await journal.end("f1", long, good=True, lines=[long] * 30)
    (found,) = await journal.find_last(1)
    texts = [found.by, found.what, found.outcome, *found.lines]
    assert len(texts) == 23
    assert {one.strip("\N{GRINNING FACE}") for one in texts} == {""}  # no letter is cut in two
    assert KEPT * sum(len(one.encode()) for one in texts) < 8_000_000


async def test_an_act_reports_until_its_end(control: Control, clock: TestClock) -> None:
    """An act is under way while its process reports of it; its lines are kept, the newest ones; its end ends that."""
    journal = parts_of(control).journal("m")
    await journal.add(act(clock))
    clock.time += timedelta(seconds=20)
    (begun,) = await journal.find_last(1)
    assert begun.is_under_way(clock.time)
    assert await journal.report("f1", [f"line {number}" for number in range(30)])
    clock.time += timedelta(seconds=20)
    (reported,) = await journal.find_last(1)
    assert (reported.is_under_way(clock.time), len(reported.lines), reported.lines[-1]) == (True, 20, "line 29")
    assert not reported.is_under_way(clock.time + timedelta(seconds=20))
    assert reported.is_under_way(clock.time - timedelta(seconds=40))  # another machine's clock is behind
    assert await journal.end("f1", "done", good=True, lines=["line 30"])
    (ended,) = await journal.find_last(1)
    assert (ended.is_under_way(clock.time), ended.lines, ended.began_at) == (False, ("line 30",), begun.at)
    assert not await journal.report("f1", ["too late"])
    assert await journal.find("f1") == ended
    assert await journal.find("f2") is None


async def test_two_acts_may_make_the_row_at_one_time(control: Control, clock: TestClock) -> None:
    """The first acts of a migration, entered at once, are all entered: each has a form of its own."""
    journal = parts_of(control).journal("m")
    assert all(await asyncio.gather(*(journal.add(act(clock, f"f{number}")) for number in range(8))))
    assert {one.form for one in await journal.find_last(10)} == {f"f{number}" for number in range(8)}
