"""The benchmarks measure what they say: every row runs on a real server, both sides agree, and targets are judged.

Nothing here is about a time. What a row takes is a matter of the machine.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson.decimal128 import Decimal128
from pymongo import AsyncMongoClient

from benchmarks import contests, growth, hot, in_place, listings, loops, measure, report, run, sweeps
from benchmarks.arena import Scale, arena
from benchmarks.filling import filled
from benchmarks.invoices import FILL, UPGRADE_PIPELINE, fill, repository
from benchmarks.measure import Outcome, Rule, alternate, outcome, rotate
from benchmarks.options import NOT_MET, arguments_of, chosen, kept, verdict
from benchmarks.subject import orders, to_v1, to_v2, to_v2_checked
from lazymig import Contention, Repository, Sweeper
from lazymig.repository import calls_of

TINY = Scale(1, 2, 2, each=1, listed=20)


def one(ratios: list[float], rule: Rule = Rule.AT_LEAST, **more: Any) -> Outcome:
    """A row whose target is 2."""
    taken = [(1.0, ratio) if rule is Rule.AT_LEAST else (ratio, 1.0) for ratio in ratios]
    return outcome(more.pop("row", "row"), "another", 1, more.pop("target", 2.0), taken, 1, rule=rule, **more)


@pytest.fixture(autouse=True)
def _uncollected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed here, and to collect the garbage of a whole test run ahead of each leg takes long."""
    monkeypatch.setattr(measure, "gc", SimpleNamespace(collect=lambda: None))


@pytest.fixture
async def client(lazymig_server: Any) -> AsyncIterator[Any]:
    """A client whose databases are dropped, since benchmarks name theirs themselves."""
    async with AsyncMongoClient(lazymig_server.uri) as client:
        before = set(await client.list_database_names())
        yield client
        for name in set(await client.list_database_names()) - before:
            await client.drop_database(name)


@pytest.mark.parametrize(
    ("ratios", "rule", "more", "met"),
    [
        ([1.0, 2.0, 3.0], Rule.AT_LEAST, {}, True),
        ([1.0, 1.9, 3.0], Rule.AT_LEAST, {}, False),
        ([1.0, 2.0, 3.0], Rule.AT_MOST, {}, True),
        ([1.0, 2.1, 3.0], Rule.AT_MOST, {}, False),
        ([1.0, 1.5, 2.0], Rule.EVERY_ROUND, {}, True),
        ([1.0, 1.5, 2.1], Rule.EVERY_ROUND, {}, False),
        ([3.0, 3.0, 3.0], Rule.AT_LEAST, {"failures": 0}, True),
        ([3.0, 3.0, 3.0], Rule.AT_LEAST, {"failures": 1}, False),
        ([3.0, 3.0, 3.0], Rule.AT_LEAST, {"target": None}, None),
    ],
)
def test_targets_are_judged(ratios: list[float], rule: Rule, more: dict[str, Any], met: bool | None) -> None:
    """A target holds for the median or for every round, as its rule says, and never where a call failed."""
    assert one(ratios, rule, **more).met is met


def test_check_is_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--check` a missed target, or none at all, gives an exit code, and the missed rows are printed."""
    good, bad = one([3.0], row="good"), one([1.0], row="bad")
    assert verdict([good], check=True) == 0
    assert verdict([good, bad], check=False) == 0
    assert verdict([good, bad], check=True) == NOT_MET
    assert verdict([one([1.0], target=None)], check=True) == NOT_MET
    printed = capsys.readouterr().out
    assert "1 of 2 targets are met, but not:\n  bad" in printed


def test_rows_are_chosen() -> None:
    """`--rows` takes rows with one of its texts in their names, and keeps nothing unless `--keep` says so."""
    parser = arguments_of("run", "a test")
    some, every = parser.parse_args(["--rows", "GET", "delete"]), parser.parse_args([])
    assert [row for row in ("get, migrated", "insert", "delete") if chosen(row, some)] == ["get, migrated", "delete"]
    assert chosen("insert", every)
    assert [kept(some), kept(every)] == [False, True]
    assert kept(parser.parse_args(["--rows", "get", "--keep"]))
    assert not kept(parser.parse_args(["--quick", "--keep"]))


async def test_rounds_begin_with_each_in_turn() -> None:
    """Every contestant begins a round as often as any other, after a round that does not count."""
    calls: list[str] = []

    def leg(name: str, seconds: float) -> Any:
        async def run() -> float:
            calls.append(name)
            return seconds

        return run

    taken = await rotate({name: leg(name, place) for place, name in enumerate("abc")}, 3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert taken == {"a": [0] * 3, "b": [1] * 3, "c": [2] * 3}
    assert await alternate(leg("a", 1), leg("b", 2), 2) == [(1, 2), (1, 2)]


def test_kept_rows_go_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows measured alone replace those of their names, the table follows, and another machine is refused."""
    monkeypatch.setattr(report, "HERE", tmp_path)
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report._BEGIN}\n{report._END}\nafter\n")
    machine = {"processor": "one"}
    report.write("repository", machine, 1, [one([1.0], row="get"), one([1.0], row="insert")])
    report.write("repository", machine, 1, [one([3.0], row="insert", failures=0)], among=True)
    rows = report.everything()["repository"]
    assert [(row.row, row.ratio) for row in rows] == [("get", 1.0), ("insert", 3.0)]
    assert "| insert | another | 1 | 3.00 | 3.00 - 3.00 | 2 | met, 0 failed |" in page.read_text()
    with pytest.raises(SystemExit, match="another processor"):
        report.write("repository", {"processor": "other"}, 1, [one([1.0], row="get")], among=True)


def test_layouts_of_their_own_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcomes of files that have rows of their own are found as well, and other figures are left alone."""
    monkeypatch.setattr(report, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    row = {"outcome": report.attrs.asdict(one([1.0])), "ours_cpu_ms": 1}
    for name, content in {"in_place": {"rows": [row]}, "phases": [row], "dark": {"rows": [{"p50": 1}]}}.items():
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(content))
    assert {name: len(rows) for name, rows in report.everything().items()} == {"in_place": 1, "phases": 1, "dark": 0}


def test_both_conversions_agree() -> None:
    """The conversion that cleans all text makes of these orders what the plain one makes, and there is a way back."""
    made = orders(50, seed=1)
    assert [to_v2_checked(order) for order in made] == [to_v2(order) for order in made]
    assert [to_v1(to_v2(order)) for order in made] == list(made)


def test_growth_is_the_worst_step() -> None:
    """The growth of a line is that of the two places whose larger one costs most beside the smaller one."""
    costs = {1: [4.0, 4.0], 16: [1.0, 1.0], 64: [1.2, 1.6], 256: [1.1, 1.3]}
    points = [growth.Point("tasks", "get", at, ms) for at, ms in costs.items()]
    (row,) = growth.growths(points, crowd=16)
    assert (row.row, row.against, row.ratio) == ("get, by number of tasks: 64", "fewer tasks: 16", 1.4)
    assert row.met is False
    falling = [growth.Point("entities", "get", at, [10.0 / at]) for at in (1, 2, 4)]
    assert [one.met for one in growth.growths(falling, crowd=16)] == [True]


def test_growth_is_drawn(tmp_path: Path) -> None:
    """The chart names each operation and both axes."""
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    from benchmarks import growth_chart

    points = [
        {"axis": axis, "operation": name, "at": at, "ms": [0.1, 0.2]}
        for axis in growth.AXES
        for name in (growth.PLAIN, growth.TOGETHER, *growth.OPERATIONS)
        for at in (1, 10, 100)
    ]
    growth_chart.draw(points, tmp_path / "growth.svg")
    drawn = (tmp_path / "growth.svg").read_text()
    texts = ("entities stored, 16 tasks", "concurrent tasks, 100,000 entities", "milliseconds per operation")
    assert [text for text in (growth.TOGETHER, *growth.OPERATIONS, *texts) if text not in drawn] == []


async def test_filled_entities_are_migrated(client: Any) -> None:
    """What is stored as bytes is taken for migrated: it is read by one statement, and updated, and deleted."""
    made = await filled(client, "bench_filled", 1_500)
    ids = made.ids(3, growth.random.Random(1))
    repo = made.repository
    changed = await repo.update(ids[0], growth.ship)
    assert changed == await repo.get(ids[0])
    await repo.delete(ids[1])
    assert await repo.get(ids[1]) is None
    stored = await client["bench_filled"]["v2"].find_one({"_id": ids[2]})
    assert stored["_lazymig"]["rev"] == stored["_lazymig"]["intent"] == 0
    assert calls_of(repo).pair.tally.counts["lazymig.migrated"] == 0


@pytest.mark.parametrize("contest", contests.CONTESTS, ids=lambda contest: f"{contest.row}, against {contest.against}")
async def test_contests_run(contest: Any, client: Any, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row of operations runs at each number of tasks, and both sides come to the same entities."""
    monkeypatch.setattr(contests, "_LOOKED_AT", 5)
    trips = run.Trips()
    async with AsyncMongoClient(lazymig_server.uri, event_listeners=[trips]) as listening:
        rows = await contest.run(run.Stage(lazymig_server.uri, client, listening, trips, TINY))
    assert [row.tasks for row in rows] == [1, 16, 64]
    assert all(row.round_trips and row.cpu_ratio for row in rows)


@pytest.mark.parametrize("listing", listings.LISTINGS, ids=lambda listing: listing.row)
async def test_listings_run(listing: Any, client: Any) -> None:
    """Every listing runs on both sides, with the share migrated that its row says."""
    (row,) = await listing.run(run.Stage("", client, client, run.Trips(), TINY))
    assert row.row.startswith("list of 20,")
    assert await client["timed_ours"]["v2"].count_documents({}) == 20 * listing.share


async def test_arena_notices_a_lost_write(client: Any) -> None:
    """A contest whose sides come to different entities fails."""
    place = await arena(client, "timed")
    ids = await place.fill(2, seed=1)
    await contests._agree(place, ids)
    await place.theirs.update(ids[0], growth.ship)
    with pytest.raises(AssertionError, match="the two sides differ"):
        await contests._agree(place, ids)


@pytest.mark.parametrize("processes", [1, 2])
async def test_one_entity_is_updated_by_many(processes: int, client: Any, lazymig_server: Any) -> None:
    """Tasks of one process and of several count up one entity, and no update is lost on either side."""
    crowd = hot.Crowd("updates", processes, 2, 2, 1.0)
    row = await hot.contest(lazymig_server.uri, client, crowd, 1)
    assert (row.tasks, row.failures) == (2 * processes, 0)
    assert await hot.sides_of(client).counted() == [[8 * processes] * 2] * 2


async def test_one_entity_that_gives_up_fails_its_row(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that gives up is counted as a failure, with which a row does not meet its target."""
    update, calls = Repository.update, iter(range(100))

    async def some(repository: Any, id: Any, change: Any) -> Any:
        if next(calls) == 2:
            raise Contention(id, 1)
        return await update(repository, id, change)

    monkeypatch.setattr(Repository, "update", some)
    row = await hot.contest("", client, hot.Crowd("updates", 1, 2, 2, 0.0001), 1)
    assert (row.failures, row.met) == (1, False)


async def test_growth_runs(client: Any) -> None:
    """All operations are measured at each size and number of tasks, and as much is stored afterwards as before."""
    scope = growth.Scope((20, 40), (1, 2), 2, 20, reads=4, writes=4, each=1)
    points = await growth.measure(client, scope, 1, Namespace(rows=None))
    assert len(points) == 2 * 2 * 6
    rows = growth.growths(points, scope.crowd)
    assert len(rows) == 2 * 5
    assert [row.target for row in rows if row.row.startswith(growth.TOGETHER)] == [None, None]
    for size in scope.entities:
        for collection in ("v1", "v2"):
            assert await client[f"growth_{size}"][collection].count_documents({}) == size


async def test_in_place_runs(client: Any, lazymig_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call in one document runs at its numbers of tasks."""
    monkeypatch.setattr(in_place, "EACH", 1)
    given = Namespace(rows=None, operations=2, listed=20, stored=64, profile=False)
    rows = [row.outcome for row in await in_place.measure(lazymig_server.uri, given, 1)]
    found = {name: [row.tasks for row in rows if row.row == name] for name in dict.fromkeys(row.row for row in rows)}
    writes = {call: [1, 16, 64] for call in ("update", "insert", "delete")}
    assert found == {"get": [1, 16], **writes, "list of 20": [1]}


async def test_sweeps_run(client: Any, lazymig_server: Any) -> None:
    """A sweep, by Python and by the server, and both loops store as much as V1 has; the stricter loop has no target."""
    given = Namespace(rows=["sweep of 100, 1 process", "server-side", "find 1"], documents=100, quick=True)
    rows = await sweeps.measure(client, lazymig_server.uri, given, 1)
    assert [(row.row, row.target is None) for row in rows] == [
        ("sweep of 100, 1 process", False),
        ("sweep of 100, server-side", False),
        ("sweep of 100 beside the loop with lazymig's converter, server-side", True),
        ("find 1 % of 1,000", False),
    ]


async def test_what_a_sweep_stored_is_compared_with_the_conversion_by_hand(client: Any) -> None:
    """Both converters of the loop make the same bytes, and what is stored otherwise ends the measurement."""
    loops.check_same(50)
    await fill(client, "bench_loops", 20)
    database = client["bench_loops"]
    await loops.sweep(database, loops.plain)
    await loops.check_stored(database)
    await database["v2"].update_many({}, {"$set": {"total": Decimal128("1")}})
    with pytest.raises(AssertionError, match="something else"):
        await loops.check_stored(database)


async def test_the_server_converts_invoices_alike(client: Any) -> None:
    """The pipeline gives, for every invoice, what lazymig stores of its conversion in Python."""
    assert FILL > 100
    await fill(client, "bench_invoices", 100)
    await Sweeper(repository(client, "bench_invoices")).run()
    stored = {row["_id"]: row async for row in client["bench_invoices"]["v2"].find({}, {"_lazymig": 0})}
    found = await client["bench_invoices"]["v1"].aggregate(UPGRADE_PIPELINE)
    assert {row["_id"]: row async for row in found} == stored
    assert len(stored) == 100
