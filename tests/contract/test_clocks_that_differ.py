"""Machines whose clocks are hours wrong: what people see is in the order of the control collection's server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from lazymig import Control, Phase
from lazymig.control import parts_of
from lazymig.control.journal import Act
from lazymig.control.samples import FINE
from lazymig.loop.clock import Clock, SystemClock
from lazymig.measuring.sampler import Sampler
from lazymig.repository import calls_of
from lazymig.status.looking import looked_up
from lazymig.stores.rows import Rows
from lazymig.stores.server_time import ServerTime
from tests.fleets import Operator
from tests.sweeps import repository, thing

pytestmark = pytest.mark.parametrize("driver", ["pymongo", "motor"])
#: How far the clocks of the machines are wrong.
WRONG = [timedelta(hours=7), timedelta(hours=-9), timedelta(0)]


class Wrong(SystemClock):
    """The clock of a machine that is hours ahead or behind."""

    def __init__(self, by: timedelta) -> None:
        self.by = by

    def now(self) -> datetime:
        return super().now() + self.by

    def monotonic(self) -> float:
        return super().monotonic() + self.by.total_seconds()


@pytest.fixture(autouse=True)
def as_servers_say(servers_time: Callable[[Rows, Clock], ServerTime], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's time is the server's."""
    monkeypatch.setattr(Rows, "server_time", servers_time)


def control(database: Any, by: timedelta) -> Control:
    return Control(database["lazymig_control"], Wrong(by))


async def take(database: Any, by: timedelta) -> None:
    """Take a sample on a machine whose clock is wrong, as at the end of a pass."""
    kept, calls = control(database, by), calls_of(repository(database))
    taker = Sampler(parts_of(kept), "things", calls.ground, f"sweep {by}", find_phase=lambda: Phase.COEXIST)
    await taker._take(last=True)


async def test_samples_are_in_the_servers_order(database: Any) -> None:
    """Samples of machines that are ahead and behind stand at the server's time, in their order, and all see them."""
    await database["v1"].insert_one(thing(1))
    before = datetime.now(UTC).replace(tzinfo=None)
    for by in WRONG:
        await take(database, by)
    for by in WRONG:
        found = await parts_of(control(database, by)).samples("things").find()
        assert found
        assert all(abs(one.at - before) < timedelta(hours=1) for one in found)
        assert found[-1].by.startswith(f"sweep {WRONG[-1]}")


async def test_a_machine_ahead_takes_no_slot_of_others(database: Any) -> None:
    """One of all machines has the present slot, and none takes a later one before its time."""
    claims = [await parts_of(control(database, by)).samples("things").claim(FINE) for by in (*WRONG, *WRONG)]
    # Where the slot ends meanwhile, one more has the next one.
    assert claims[0]
    assert sum(claims) < len(claims)
    (row,) = [one async for one in database["lazymig_control"].find({"_id": "things/samples"})]
    now = await parts_of(control(database, WRONG[0])).time.now()
    assert row[f"taken_{FINE.every_s}"] <= FINE.slot(now)


async def test_history_and_journal_are_in_the_servers_order(database: Any) -> None:
    """Steps and acts of machines with wrong clocks stand in the order in which they were made."""
    ahead, behind, right = (control(database, by) for by in WRONG)
    await Operator(ahead, "things").begin(Phase.PREPARE)
    await Operator(behind, "things").move(Phase.SHADOW)
    await Operator(right, "things").change(settings={"share": 0.5})
    standing = await ahead.standing("things")
    assert standing is not None
    moments = [moved.at for moved in standing.history]
    for form, kept in (("f1", ahead), ("f2", behind)):
        parts = parts_of(kept)
        journal = parts.journal("things")
        assert await journal.add(Act(await parts.time.now(), "ada", "pause", "", form=form))
        assert await journal.report(form, ["waiting"])
        assert (await parts_of(right).journal("things").find_last(1))[0].is_under_way(await parts.time.now())
        assert await journal.end(form, "done", good=True)
    for act in reversed(await parts_of(right).journal("things").find_last(2)):
        assert act.ended_at is not None
        assert act.seen_at is not None
        moments += [act.at, act.seen_at, act.ended_at]
    # The servers' clock is asked by each, and a whole millisecond may be lost on the way.
    assert all(later - earlier > -timedelta(seconds=1) for earlier, later in pairwise(moments))
    assert moments[-1] - moments[0] < timedelta(hours=1)


async def test_a_look_has_the_servers_time(database: Any) -> None:
    """The age of what the page shows does not depend on the clock of the machine that serves it."""
    await database["v1"].insert_one(thing(1))
    await Operator(control(database, WRONG[0]), "things").begin(Phase.SHADOW)
    found = [(await looked_up(repository(database, phase=control(database, by)), exact=False)).at for by in WRONG]
    assert max(found) - min(found) < timedelta(hours=1)
