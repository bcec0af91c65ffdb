"""A sampled verification: uniform over ids of both sides, with what it can and cannot exclude."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from lazymig import Verdict
from lazymig.loop.clock import SystemClock
from lazymig.stores.scans import Scan
from lazymig.verifying.sampling import draw_ids
from tests.sweeps import LaterClock, control, moved, thing
from tests.verifications import claims, expected, fill, plant, rows, verdicts_of, verifier

COUNT = 60
#: Tests of what no driver does differently run on one.
MEMORY = pytest.mark.parametrize("driver", ["mock"])


async def test_a_sample_of_everything(database: Any) -> None:
    """A sample of more than all entities finds what a full run finds, and says that these are all."""
    await fill(database, range(COUNT))
    planted = await plant(database, range(3, COUNT, 5))
    report = await verifier(database, expected=expected).run(sample=1000)
    assert verdicts_of(report.mismatches) == claims(planted)
    assert report.sample.count("these are all") == 2
    assert "2 of 60 sampled documents of V2 are orphans" in report.sample
    (run,) = await control(database).history("things", kind="verify")
    assert run.counts["sample"] == 1000


async def test_a_sample_of_some(database: Any) -> None:
    """A sample compares as many entities of each side as asked, and says what it can miss."""
    await fill(database, range(COUNT))
    report = await verifier(database).run(sample=20)
    assert report.agrees
    assert 20 <= report.compared <= 40
    first, _, second = report.sample.partition(". ")
    assert first.startswith("0 of 20 sampled entities of V1 do not agree: with 95% confidence fewer than 13.9%")
    assert second.startswith("0 of 20 sampled documents of V2 are orphans")
    assert await rows(database) == []


async def test_a_sample_with_a_filter(database: Any) -> None:
    """With a filter, the sample is of V1's documents that match, and says nothing about orphans."""
    await fill(database, range(COUNT))
    await database["v1"].update_many({"_id": {"$lt": 30}}, {"$set": {"code": "x"}})
    await database["v2"].insert_many([moved(id) for id in range(100, 130)])
    report = await verifier(database, where={"code": "x"}).run(sample=10)
    assert (report.compared, report.different, report.orphan) == (10, 10, 0)
    assert report.sample.startswith("10 of 10 sampled entities of V1 do not agree")
    assert "orphans" not in report.sample
    assert report.limits


@MEMORY
async def test_a_sample_leaves_other_rows(database: Any) -> None:
    """A sample neither counts nor forgets mismatches of entities that it did not draw."""
    await fill(database, range(COUNT))
    await database["v2"].delete_many({"_id": {"$lt": 30}})
    await verifier(database).run()
    assert len(await rows(database)) == 30
    await database["v2"].insert_many([moved(id) for id in range(30)])
    report = await verifier(database).run(sample=10)
    assert report.agrees
    assert 10 <= len(await rows(database)) < 30


@MEMORY
async def test_a_sample_of_nothing(database: Any) -> None:
    """Two empty collections have nothing to sample."""
    report = await verifier(database).run(sample=10)
    assert report.agrees
    assert report.compared == 0
    assert report.sample == "there are no entities of V1 to sample. there are no documents of V2 to sample"


@MEMORY
async def test_a_sample_may_be_repaired(database: Any) -> None:
    """What a sample confirms is repaired on request."""
    await fill(database, range(COUNT))
    await database["v2"].delete_many({})
    report = await verifier(database, repair=True).run(sample=15)
    assert (report.repaired, report.missing, report.agrees) == (15, 0, True)
    # Of all the others, which were not repaired, the sample says what it found.
    assert report.sample.startswith("15 of 15 sampled entities of V1 do not agree")
    assert len(await database["v2"].find({}).to_list(None)) == 15


@MEMORY
async def test_a_sample_is_stopped(database: Any) -> None:
    """A sample that is stopped says that it did not finish."""
    await fill(database, range(COUNT))
    running = verifier(database, on_progress=lambda _: running.stop())
    report = await running.run(sample=50)
    assert not report.finished
    assert report.compared < 50
    assert report.sample == "the sample was not finished, so it says nothing about all entities"


@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_the_draw_is_uniform(database: Any, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each id is drawn equally often, whatever the size of its document and the order of inserts."""
    draws, wanted, ids = 400, 10, list(range(50))
    order = [*ids[::2], *reversed(ids[1::2])]
    await database["v1"].insert_many([thing(id, filler="x" * (id % 7) * 3000) for id in order])
    scan, clock = Scan(database["v1"]), SystemClock()
    drawn: Counter[int] = Counter()
    for _ in range(draws):
        found = await draw_ids(scan, wanted, len(ids), clock, {})
        assert len(found) == len(set(found)) == wanted
        assert found == sorted(found)
        drawn.update(found)
    mean = draws * wanted / len(ids)
    squares = sum((drawn[id] - mean) ** 2 for id in ids) / mean
    print(f"chi-squared {squares:.1f} of 49 degrees of freedom")
    assert squares < 110  # below this in all but one of a million runs


async def test_a_wrong_estimate_draws_again(server_database: Any) -> None:
    """Where the collection is smaller than estimated, the draw is repeated until it is large enough."""
    await server_database["v1"].insert_many([thing(id) for id in range(100)])
    found = await draw_ids(Scan(server_database["v1"]), 50, 100_000, LaterClock(), {})
    assert len(found) == 50
    found = await draw_ids(Scan(server_database["v1"]), 500, 100_000, LaterClock(), {})
    assert len(found) == 100


async def test_the_draw_reads_the_index_only(server_database: Any) -> None:
    """The server draws from the index on `_id` and fetches no document."""
    await server_database["v1"].insert_many([thing(id) for id in range(100)])
    await server_database.command("profile", 2)
    await Scan(server_database["v1"]).find_random_ids(0.5)
    await server_database.command("profile", 0)
    (entry,) = await server_database["system.profile"].find({"command.aggregate": "v1"}).to_list(None)
    assert (entry["docsExamined"], entry["keysExamined"]) == (0, 100)


@MEMORY
async def test_what_a_sample_finds_is_orphaned_or_wrong(database: Any) -> None:
    """Orphans are drawn from V2 only, and all else from V1 only, so that neither share is counted twice."""
    await fill(database, range(10))
    await database["v2"].insert_many([moved(f"lost {id}") for id in range(10)])
    await database["v2"].delete_many({"_id": {"$lt": 5}})
    report = await verifier(database).run(sample=100)
    assert (report.missing, report.orphan) == (5, 10)
    assert "5 of 10 sampled entities of V1" in report.sample
    assert "10 of 15 sampled documents of V2" in report.sample
    assert {one.verdict for one in report.mismatches} == {Verdict.MISSING, Verdict.ORPHAN}
