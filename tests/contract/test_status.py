"""What `lazymig status` looks up: V2's documents by state, and live entities by who brought them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
import pytest
from attrs import evolve

from lazymig import Phase, Repository
from lazymig.cli.status import looked_up
from lazymig.control import parts_of
from lazymig.measuring import holdings
from lazymig.measuring.holdings import Holdings, MovedBy, count_moved_by
from lazymig.status.looking import control_of
from lazymig.stores.counts import Counts
from lazymig.stores.records import DeadLetter
from lazymig.sweeping import versions
from tests.older import buyers, chain, document
from tests.sweeps import ThingV2, moved, repository, stored, sweeper, thing

LONG_AGO = datetime(2024, 1, 1)


async def mixed(database: Any) -> None:
    """20 entities: 6 read (3 by one call), 2 written, 1 inserted, 1 read and deleted, 2 of earlier times, 8 left."""
    await database["v1"].insert_many([thing(id) for id in range(19)])
    await database["v2"].insert_many([moved(id, by=None) for id in (17, 18)])
    repo = repository(database)
    for id in (0, 1, 2, 6):
        await repo.get(id)
    await repo.get_many([3, 4, 5])
    for id in (2, 7, 8):
        await repo.update(id, lambda thing: evolve(thing, count=5))
    await repo.insert(ThingV2(19, 1))
    await repo.delete(6)


@pytest.mark.parametrize("exact", [False, True])
async def test_who_moved_what(database: Any, exact: bool) -> None:
    """Live entities are counted by who brought them first, each one where they are few; deleted ones not at all."""
    await mixed(database)
    before = await looked_up(repository(database), exact=exact)
    assert before.moved_by == MovedBy(read=6, write=3, sweep=0, unknown=2, estimated=False)
    assert (before.v1, before.v2, before.remaining) == (19, Holdings(11, 0, 0, 1), 8)
    report = await sweeper(database).run()
    after = await looked_up(repository(database), exact=exact)
    assert after.moved_by == MovedBy(read=6, write=3, sweep=report.migrated, unknown=2, estimated=False)
    assert (report.migrated, after.remaining, after.share) == (8, 0, 1.0)


async def test_status_writes_nothing(database: Any) -> None:
    """Looking changes no document of either collection, and makes no control collection."""
    await mixed(database)
    before = await stored(database["v1"]), await stored(database["v2"])
    await looked_up(repository(database), exact=True)
    assert (await stored(database["v1"]), await stored(database["v2"])) == before
    assert await stored(database["lazymig_control"]) == {}


async def test_a_sample_where_v2_is_large(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a sample stands for all: it says that it does, and adds up to what V2 holds."""
    monkeypatch.setattr(holdings, "SMALL", 50)
    monkeypatch.setattr(holdings, "SAMPLE", 40)
    await database["v2"].insert_many([moved(id, by="read" if id % 4 else "sweep") for id in range(90)])
    await database["v2"].insert_many(
        {"_id": id, "_lazymig": {"rev": 1, "intent": 1, "gone": True, "at": LONG_AGO}} for id in range(90, 100)
    )
    found = await count_moved_by(Counts(database["v2"]), 90)
    assert found.estimated
    assert found.read + found.sweep == 90
    assert (found.write, found.unknown) == (0, 0)
    assert 0 < found.sweep < found.read
    assert await count_moved_by(Counts(database["v2"]), 90, exact=True) == MovedBy(67, 0, 23, 0, estimated=False)


@pytest.mark.parametrize("driver", ["mock"])
async def test_an_empty_v2(database: Any, driver: str) -> None:
    """Nothing is moved by nobody, from a sample too."""
    assert attrs.astuple(await count_moved_by(Counts(database["v2"]), 0)) == (0, 0, 0, 0, False)
    assert holdings.scaled({"read": 0, "write": 0}, 0) == {"read": 0, "write": 0}


@pytest.mark.parametrize("whole", [0, 1, 2, 3, 10, 999_999_937])
def test_shares_add_up(whole: int) -> None:
    """Whatever the sample, its shares of the whole are not negative and add up to the whole."""
    for counts in ({"a": 1, "b": 1, "c": 1}, {"a": 0, "b": 2000, "c": 0}, {"a": 667, "b": 1, "c": 1332}):
        scaled = holdings.scaled(counts, whole)
        assert sum(scaled.values()) == whole
        assert all(value >= 0 for value in scaled.values())
        assert all(counts[name] or not scaled[name] for name in counts)


@pytest.mark.parametrize("exact", [False, True])
async def test_versions_of_v1(database: Any, exact: bool) -> None:
    """Documents by their version, with those whose field is missing or holds none; without a chain, nothing."""
    await database["v1"].insert_many(
        [
            *(document(version, id) for id, version in enumerate((None, 1, 2, 2, 3, 3, 3, 4))),
            *(
                {**document(3, 20 + id), "schema_version": value}
                for id, value in enumerate(("3", 3.5, None, [3], {}, True))
            ),
        ]
    )
    given = {"v1": database["v1"], "v2": database["v2"], "phase": Phase.COEXIST}
    found = await looked_up(Repository(buyers(), **given), exact=exact)
    odd = dict.fromkeys(("array", "bool", "double", "null", "object", "string"), 1)
    assert found.versions is not None
    assert dict(found.versions.counts) == {"missing": 1, "1": 1, "2": 2, "3": 3, "4": 1, **odd}
    assert (found.versions.estimated, found.versions.deletable) == (False, ())
    assert (await looked_up(Repository(buyers(upcasters=None), **given), exact=exact)).versions is None


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_versions_of_a_large_v1(database: Any, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample stands for all, adds up to what there is, and allows no upcaster to be deleted; an exact count does."""
    monkeypatch.setattr(versions, "SMALL", 50)
    monkeypatch.setattr(versions, "SAMPLE", 40)
    await database["v1"].insert_many([document(2 if id % 4 else 3, id) for id in range(90)])
    counts = Counts(database["v1"])
    found = await versions.count_versions(counts, chain(), exact=False)
    assert (found.estimated, found.deletable, sum(found.counts.values())) == (True, (), 90)
    exactly = await versions.count_versions(counts, chain(), exact=True)
    assert (exactly.counts, exactly.deletable) == ({"2": 67, "3": 23}, (1,))


async def test_dead_letters_by_their_causes(database: Any) -> None:
    """All open dead letters are counted by their causes, the largest group first; messages part refused bodies only."""
    letters = parts_of(control_of(repository(database))).letters
    made = [("upgrade", "ValueError", "a"), ("upgrade", "ValueError", "b"), ("store", "WriteError", "a")]
    made += [("store", "WriteError", "b")]
    await letters.record(
        [
            DeadLetter("things", f"{number}-{place}", 1, direction, error, message, "", line="model.py:3 in upgrade")
            for number in range(8)
            for place, (direction, error, message) in enumerate(made)
        ]
    )
    assert await letters.waive("things", "0-3", "seen")
    found = await looked_up(repository(database), exact=False)
    assert [(one.error, one.message, one.count) for one in found.causes] == [
        ("ValueError", "", 16), ("WriteError", "a", 8), ("WriteError", "b", 7),
    ]  # fmt: skip
    assert sum(one.count for one in found.causes) == found.dead_letters == 31
