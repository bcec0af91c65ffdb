"""What `lazymig status` says of documents with both shapes: counts that fit one collection."""

from __future__ import annotations

from typing import Any

import pytest

from lazymig import Phase, PhaseError, Switch
from lazymig.cli.status import looked_up
from lazymig.cli.status.screen import Page, lines_of
from lazymig.measuring import in_place as holdings
from lazymig.measuring.holdings import Holdings, MovedBy
from lazymig.measuring.in_place import Measure, PlaceHoldings, Stale
from lazymig.metrics import LEFT_NOW, REMAINING, SHARE, WAITING_NOW
from lazymig.status.gauges import show_gauges
from lazymig.status.next_step import find_next_step
from lazymig.status.objects import object_of
from lazymig.telemetry import Tally
from tests.places import deciding, noted, place_of, place_repository, place_sweeper
from tests.sweeps import control, letters, stored, thing, things
from tests.whole_people import ORDER

PIPE, TERMINAL = Page(80, terminal=False), Page(80, terminal=True)


async def mixed(database: Any) -> Any:
    """20 documents: 3 read, 2 written, 1 of them the truth by now; 1 waits, 2 are left, 1 is bad, 1 is behind."""
    codes = {1: "wait", 2: "leave", 3: "leave"}
    await database["both"].insert_many([thing(id, -1 if id == 4 else 1, code=codes.get(id)) for id in range(20)])
    repo = place_repository(database, migration=deciding())
    await repo.get_many([5, 6, 7])
    await repo.update(8, noted("v2"))
    await place_repository(database, phase=Phase.V2_ONLY).update(9, noted("the truth"))
    await database["both"].update_one({"_id": 5}, {"$set": {"n": 3}})
    return repo


async def test_what_documents_hold(database: Any) -> None:
    """Each document counts once, by what it holds; V2 parts that are behind are counted by looking at them."""
    repo = await mixed(database)
    before = await looked_up(repo, exact=False)
    assert before.place == PlaceHoldings(20, 5, 0, 0, 1, MovedBy(3, 2, 0, 0, estimated=False), {1: 5})
    assert (before.v1, before.v2, before.remaining, before.stale) == (20, Holdings(5, 0, 0, 0), 15, Stale(1, False))
    report = await place_sweeper(database, repo=repo).run()
    after = await looked_up(repo, exact=True)
    assert after.place == PlaceHoldings(20, 16, 1, 2, 1, MovedBy(3, 2, 11, 0, estimated=False), {1: 16})
    assert (after.stale, after.remaining, after.dead_letters) == (Stale(0, False), 1, 1)
    assert (report.migrated, report.healed, report.remaining) == (11, 1, 1)
    assert after.share == 16 / 18


async def test_status_writes_nothing(database: Any) -> None:
    """Looking changes no document and makes no control collection."""
    repo = await mixed(database)
    before = await stored(database["both"])
    await looked_up(repo, exact=True)
    assert await stored(database["both"]) == before
    assert await stored(database["lazymig_control"]) == {}


async def test_a_sample_where_there_are_many(server_database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a sample stands for all and says so; who waits and who is left is counted by the index."""
    codes = {1: "wait", 2: "leave", 3: "leave"}
    await server_database["both"].insert_many([thing(id, code=codes.get(id)) for id in range(200)])
    repo = place_repository(server_database, migration=deciding())
    await place_sweeper(server_database, repo=repo, batch_size=100, partition_size=1000).run()
    await server_database["both"].update_many({"_id": {"$gte": 100}}, {"$set": {"n": 9}})
    monkeypatch.setattr(holdings, "SMALL", 50)
    monkeypatch.setattr(holdings, "SAMPLE", 40)
    measure = Measure(place_of(repo))
    found = await measure.look()
    assert (found.documents, found.waiting, found.left, found.estimated) == (200, 1, 2, True)
    assert 180 <= found.filled <= 200
    stale = await measure.find_stale(found)
    assert stale.estimated
    assert stale.count % 5 == 0  # 40 stand for 200
    assert 20 <= stale.count <= 180
    assert (await measure.look(exact=True)).filled == 197


@pytest.mark.parametrize("driver", ["mock"])
async def test_revisions_of_conversions(database: Any) -> None:
    """V2 parts are counted by the conversion that made them, and an older release is warned."""
    await database["both"].insert_many([thing(id) for id in range(6)])
    await place_repository(database).get_many([0, 1])
    newer = place_repository(database, migration=things(revision=3))
    await newer.get_many([1, 2, 3])
    found = await looked_up(newer, exact=False)
    assert found.conversions == {1: 1, 3: 3}
    await place_sweeper(database, repo=newer).run()
    assert "conversion revision 3" in (await looked_up(place_repository(database), exact=False)).warnings[0]


@pytest.mark.parametrize("driver", ["mock"])
@pytest.mark.parametrize("page", [PIPE, TERMINAL], ids=["pipe", "terminal"])
async def test_what_is_shown(database: Any, page: Page) -> None:
    """The screen speaks of one collection's documents, fits 80 columns, and has nothing of marks and remains."""
    repo = await mixed(database)
    await place_sweeper(database, repo=repo).run()
    await database["both"].update_one({"_id": 6}, {"$set": {"n": 3}})
    lines = list(lines_of(await looked_up(repo, exact=False), page))
    text = "\n".join(lines)
    for row in ("documents", "with a V2 part", "V2 part behind V1", "V2 part is the truth", "waiting for users"):
        assert row in text
    for row in ("dirty", "tombstones", "placeholders", "V1 entities", "V2 clean"):
        assert row not in text
    assert not page.terminal or max(map(len, lines)) <= 80
    assert "phase coexist, 88.8 % migrated" in lines[0]


@pytest.mark.parametrize("driver", ["mock"])
async def test_what_programs_get(database: Any) -> None:
    """JSON holds the counts by name, and the gauges show them."""
    repo = await mixed(database)
    await place_sweeper(database, repo=repo).run()
    found = await looked_up(repo, exact=False)
    made: Any = object_of(found)
    assert (made["place"]["filled"], made["place"]["alone"], made["stale"]["count"]) == (16, 1, 0)
    assert (made["v1"], made["v2"]["waiting"], made["remaining"]) == (20, 1, 1)
    tally = Shown("things")
    show_gauges(tally, found)
    assert tally.shown[SHARE] == found.share == 16 / 18
    assert (tally.shown[REMAINING], tally.shown[WAITING_NOW], tally.shown[LEFT_NOW]) == (1, 1, 2)
    assert set(await letters(database)) == {"4"}


class Shown(Tally):
    """Remembers the gauges."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.shown: dict[str, float] = {}

    def show(self, name: str, value: float, **_: str) -> None:
        self.shown[name] = value


async def test_under_control(server_database: Any) -> None:
    """A sweep follows the recorded phase as a process of the fleet, and status shows the next step with its gates."""
    await server_database["both"].insert_many([thing(id) for id in range(9)])
    repo = place_repository(server_database, phase=control(server_database))
    switch = Switch(repo)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    with pytest.raises(PhaseError):
        await place_sweeper(server_database, repo=repo).run()
    await switch.advance(**ORDER)
    await switch.advance(**ORDER)
    before = await looked_up(repo, exact=False)
    assert before.plan is not None
    assert (before.phase, before.plan.target) == ("coexist", Phase.V2_PRIMARY)
    assert "remaining" in [gate.name for gate in before.plan.blocking]
    assert (await place_sweeper(server_database, repo=repo).run()).migrated == 9
    after = await looked_up(repo, exact=False)
    assert after.plan is not None
    assert "remaining" not in [gate.name for gate in after.plan.blocking]
    assert not [member for member in after.fleet.members if member.role == "sweep"]


@pytest.mark.parametrize("driver", ["mock"])
async def test_the_next_phase(database: Any) -> None:
    """From v1_only the next phase is shadow: this layout has nothing to prepare."""
    found = await looked_up(place_repository(database, phase=Phase.V1_ONLY), exact=False)
    step = find_next_step(found)
    assert step is not None
    assert step.what == "the phase shadow"
