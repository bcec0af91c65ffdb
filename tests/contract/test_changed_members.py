"""Rows of processes that somebody has changed: steps wait, the next heartbeat makes them whole, and the dead end."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, MinKey, Regex

from lazymig import Control, Phase
from lazymig.control import Parts, parts_of
from lazymig.control.members import LONG_S
from lazymig.errors import PhaseError
from lazymig.retiring.ground import Work
from lazymig.retiring.reduction import check_strip
from lazymig.switching.waiting import NotAcknowledged, RollCall
from tests.people import TestClock
from tests.switches import ORDER, process

SERVERS = pytest.mark.parametrize("driver", ["pymongo", "motor"])
ROW = {"_id": "things/member/web:1"}
GONE = object()


def parts_in(database: Any) -> tuple[Parts, TestClock]:
    """The parts of a control collection, and their clock."""
    clock = TestClock()
    return parts_of(Control(database["lazymig_control"], clock)), clock


async def change(database: Any, name: str, value: object) -> None:
    """Change one value of the process's row by hand."""
    wrong = {"$unset": {name: ""}} if value is GONE else {"$set": {name: value}}
    assert (await database["lazymig_control"].update_one(ROW, wrong)).modified_count == 1


@pytest.mark.parametrize("name", ["kind", "migration"])
@pytest.mark.parametrize("value", [GONE, None, "phase", 7, ["member"]])
async def test_a_process_whose_row_names_something_else_is_waited_for(database: Any, name: str, value: object) -> None:
    """It is found by its id, which nobody can change; the next heartbeat makes the row whole."""
    parts, _ = parts_in(database)
    members = parts.members("things")
    await members.register(process())
    whole = await database["lazymig_control"].find_one(ROW)
    await change(database, name, value)
    with pytest.raises(NotAcknowledged, match=re.escape("web:1 (service)")):
        await RollCall(parts, "things", print).wait(2, at_most_s=1)
    assert await members.renew(process(beat=2))
    assert await database["lazymig_control"].find_one(ROW) == whole | {"beat": 2}


async def test_processes_of_another_fleet_are_not_found(database: Any) -> None:
    """A name is matched as it stands, from its beginning."""
    parts, _ = parts_in(database)
    names = ("things", "thingsx", "my things", "things/member", "t.ings", "t", "Things")
    for name in names:
        await parts.members(name).register(process("web:1", role=name))
        await parts.phases(name).begin(Phase.SHADOW, **ORDER)
    for name in names:
        assert [one.role for one in await parts.members(name).find_all()] == [name]


@SERVERS
@pytest.mark.parametrize(
    "value",
    [
        GONE, None, True, "x", -1, 1.5, float("nan"), Int64(2**63 - 1), [], [1], {}, {"a": {"b": 1}}, b"\x00",
        Decimal128("NaN"), Regex("^x"), MinKey(), datetime(1, 1, 1),
    ],
    ids=lambda value: "gone" if value is GONE else repr(value),
)  # fmt: skip
@pytest.mark.parametrize("name", ["beat", "key"])
async def test_a_dead_process_with_a_damaged_row_is_left_out_as_any_other(
    database: Any, name: str, value: object
) -> None:
    """Once its lease is over and a margin, and not before; its row is removed by the id, and as it was seen."""
    parts, clock = parts_in(database)
    await parts.members("things").register(process())
    await change(database, name, value)
    said: list[str] = []
    roll = RollCall(parts, "things", said.append)
    assert len(await roll.find_behind(2)) == 1
    await clock.sleep(18.9)
    assert len(await roll.find_behind(2)) == 1
    await clock.sleep(0.2)
    assert await roll.find_behind(2) == []
    assert said == ["web:1 sends no heartbeats; its lease is over, so it is left out"]
    assert await database["lazymig_control"].count_documents({}) == 0


@SERVERS
async def test_a_row_that_changes_once_more_is_not_removed(database: Any) -> None:
    """Its process has sent a heartbeat since it was seen, or somebody has put it right."""
    parts, _ = parts_in(database)
    members = parts.members("things")
    await members.register(process())
    await change(database, "beat", "x")
    (seen,) = await members.find_all()
    await change(database, "beat", 2)
    assert not await members.remove(seen)
    assert len(await members.find_all()) == 1


@pytest.mark.parametrize("value", [GONE, "x", -1, 0, 1e300])
async def test_an_error_says_how_to_remove_a_process_whose_lease_cannot_be_read(database: Any, value: object) -> None:
    """Its lease may have any length; the statement that a person types removes this row and no other."""
    parts, _ = parts_in(database)
    members = parts.members("things")
    await members.register(process())
    await members.register(process("web:2", epoch=2))
    await change(database, "lease_s", value)
    with pytest.raises(NotAcknowledged) as refused:
        await RollCall(parts, "things", print).wait(2, at_most_s=100)
    said = re.search(r'db\.lazymig_control\.deleteOne\(\{_id: "(.*)"\}\)', str(refused.value))
    assert said is not None
    assert (await database["lazymig_control"].delete_one({"_id": said[1]})).deleted_count == 1
    assert [one.name for one in await members.find_all()] == ["web:2"]


async def test_a_process_whose_lease_cannot_be_read_counts_as_alive_and_nobody_waits_for_a_day(database: Any) -> None:
    """What cannot be undone is refused where it is unknown whether a process lives, and says how to go on."""
    parts, clock = parts_in(database)
    await parts.members("things").register(process())
    await change(database, "lease_s", "x")
    work = Work(name="things", parts=parts, clock=clock, by="me")
    with pytest.raises(PhaseError, match=re.escape('deleteOne({_id: "things/member/web:1"})')):
        await check_strip(work, "things")
    assert sum(clock.slept) < LONG_S / 1000


async def test_work_whose_row_does_not_say_of_what_kind_it_is_is_at_work(database: Any) -> None:
    """No gate opens, and nothing fails, since somebody removed the name."""
    parts, clock = parts_in(database)
    row = {"_id": "x", "migration": "things", "until": clock.now()}
    await database["lazymig_control"].insert_one(row)
    assert await parts.at_work.find("things") == ["something"]
