"""Rows of the control collection that somebody has changed: each value by each kind of wrong one.

Whatever it is, the page, the report and `lazymig status` show the rest, or say in words what cannot be read; and no
condition of a step opens.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from bson import Int64
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from bson.regex import Regex
from mongomock_motor import AsyncMongoMockClient

from lazymig import Control, LazymigError, Mismatch, Phase, PhaseError, RunRecord, Switch, Verdict
from lazymig.cli.status.screen import Page, lines_of
from lazymig.control import CutOver, FiguresRecord, GroupFigures, Sample, parts_of, set_cut_over
from lazymig.control.following import CatchUp, Handled
from lazymig.control.journal import Act
from lazymig.repository import calls_of
from lazymig.status.json_text import as_json
from lazymig.status.looking import looked_up
from lazymig.status.objects import object_of
from lazymig.stores.records import DeadLetter
from lazymig.stores.verdicts import Difference
from lazymig.sweeping.revisions import remember_revision
from lazymig.switching.case import Demands
from lazymig.web.looks import look_up
from lazymig.web.report import make_report
from lazymig.web.view.charts import make_data
from tests.pages_of import follow
from tests.sweeps import StandingClock, thing
from tests.switches import process
from tests.widening import WIDENING

#: No value; a row that has been damaged so lacks the field.
GONE = object()
WRONG: tuple[Any, ...] = (
    GONE, None, True, "x", "", -1, 0, Int64(2**63 - 1), 1e308, float("nan"), float("inf"), float("-inf"), [], {},
    [["x"]], {"a": {"b": 1}}, b"\x00", datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59), DatetimeMS(2**62),
    "<script>\x1b[31m", Code("f", {}), Regex("a"), ObjectId(bytes(12)),
)  # fmt: skip
#: What rows are found by: with another value they are rows of something else.
FOUND_BY = ("_id", "kind", "migration", "shown_until")


async def fill(database: Any, clock: Any) -> None:
    """A migration in `coexist`, gradual, with rows of every kind that a look reads."""
    control, repo = follow(database, clock=clock)
    parts, now = parts_of(control), clock.now()
    await Switch(repo).begin(Phase.COEXIST, by="ada", why="to begin")
    await set_cut_over(parts.phases("things"), share=0.5, by="ada", why="to try")
    await database["v1"].insert_many([thing(1), thing(2)])
    await parts.members("things").register(process(seen_at=now))
    for kind in ("sweep", "verify", "rewrite"):
        counts = {"migrated": 2, "compared": 2, "match": 1, "different": 1}
        run = RunRecord("things", now - timedelta(60), now, finished=True, counts=counts, pass_began_at=now, revision=1)
        await parts.runs.record(evolve(run, remarks=("a remark",)), kind=kind)
        await control.pause("things", by="bob", reason="lunch", kind=kind)
        await control.set_rate("things", 5.0, by="bob", kind=kind)
    await parts.orders("things", "sweep").set_concurrency(3, "bob")
    await parts.letters.record([DeadLetter("things", 1, 0, "upgrade", "ValueError", "no", "n", line="a.py:1 in up")])
    differs = (Difference("n", "int32", "missing"),)
    for source, id in (("verify", 1), ("dark read", 2)):
        found = Mismatch(id, Verdict.DIFFERENT, "upgrade", differs, "", 1, 1, "s", source, confirmed=source == "verify")
        await parts.mismatches.record("things", [found])
    await remember_revision(calls_of(repo).ground, control)
    await fill_what_runs(database, clock)


async def fill_what_runs(database: Any, clock: Any) -> None:
    """The rows of processes that run, and of what people did."""
    control, _ = follow(database, clock=clock)
    parts, now = parts_of(control), clock.now()
    state = {
        "process": "here:1", "of": "sweep", "since": now - timedelta(minutes=9), "done": 7, "per_s": 3.5,
        "paused": False, "throttle": "slow", "rate": 9.0, "concurrency": 2, "batch": 100,
    }  # fmt: skip
    await parts.runners("things").report("a", state)
    group = GroupFigures()
    group.counts["matched"] = 3
    group.v1.asked = 3
    group.v1.latency.record(0.1)
    await parts.figures("things").record(FiguresRecord("a", "here:1", CutOver(0.5), ("x",), {"share": group}, now))
    claim = await parts.following("things").claim("me")
    assert claim is not None
    handled = Handled(rogue={(now.replace(minute=0, second=0), "update"): 2}, lag_s=1.0, staleness_s=(0.1, 0.2))
    await parts.following("things").save(claim, {"t": 1}, handled)
    await parts.following("things").begin_catch_up(claim, {"t": 1}, CatchUp("a gap", now, 1))
    for ago_s in range(0, 400, 40):
        at = now - timedelta(seconds=ago_s)
        sample = Sample(
            at=at, by="sweep here:1", phase="coexist", v1=10, live=10 - ago_s // 40, per_s=2.0, moved_read=1,
            moved_write=1, moved_sweep=1, v1_p99_s=0.1, v2_p99_s=0.2, consistency=0.5,
        )  # fmt: skip
        await parts.samples("things").record(sample)
    journal = parts.journal("things")
    for form in ("f1", "f2"):
        await journal.add(Act(now, "ada", "pause", "sweeps", form=form))
    await journal.end("f1", "sweeps are paused", good=True, lines=["one"])


def list_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in a row, and of each part of one."""
    if path:
        yield path
    named = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, one in named:
        if path or name not in FOUND_BY:
            yield from list_paths(one, (*path, name))


def takes(row: Mapping[str, Any], path: tuple[Any, ...], wrong: Any) -> bool:
    """Whether Mongo in memory can look for it: it sorts no times out of range, and takes the end of lists only."""
    if row["kind"] == "journal" and path == ("acts",):
        return wrong is GONE or isinstance(wrong, list)
    return not isinstance(wrong, DatetimeMS) or path not in {("first_at",), ("verdict",)}


def damage(row: dict[str, Any], path: tuple[Any, ...], wrong: Any) -> dict[str, Any]:
    """The row with another value there."""
    changed = deepcopy(row)
    of: Any = changed
    for name in path[:-1]:
        of = of[name]
    if wrong is not GONE:
        of[path[-1]] = wrong
    else:
        del of[path[-1]]
    return changed


async def look(database: Any, clock: Any) -> None:
    """Look as the page, the report and `lazymig status` do. What fails says so in words that lazymig chose."""
    _, repo = follow(database, clock=clock)
    try:
        first = await look_up(repo, Demands(), None)
        snapshot = await look_up(repo, Demands(), first)
        status = await looked_up(repo, exact=False)
    except LazymigError as error:
        if not re.search("cannot be read|does not know", str(error)):
            raise
        return
    text = make_report(snapshot)
    assert "<script>\x1b" not in text
    assert ">nan" not in text.lower()
    assert "inf " not in text.lower()
    json.loads(json.dumps(make_data(snapshot.samples), allow_nan=False))
    json.loads(as_json(object_of(status)), parse_constant=refuse)
    assert list(lines_of(status, Page(80, terminal=True), snapshot.samples))
    gates = [] if status.plan is None else status.plan.gates
    assert not any(gate.name == "mismatches" and gate.state == "open" for gate in gates)


def refuse(constant: str) -> None:
    raise AssertionError(constant)


async def filled(clock: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the control collection, and V1's documents."""
    database = AsyncMongoMockClient()["test"]
    await fill(database, clock)
    return await database["lazymig_control"].find({}).to_list(None), await database["v1"].find({}).to_list(None)


async def try_one(
    database: Any, rows: list[dict[str, Any]], things: list[dict[str, Any]], damaged: dict[str, Any], clock: Any
) -> None:
    """Look at these rows with one of them damaged."""
    await database["v1"].insert_many(deepcopy(things))
    # Of mismatches the damaged one is alone: another would keep the gate closed.
    alone = damaged["kind"] == "mismatch"
    left = [row for row in rows if not (alone and row["kind"] == "mismatch")]
    others = [deepcopy(row) for row in left if row["_id"] != damaged["_id"]]
    await database["lazymig_control"].insert_many([*others, damaged])
    await look(database, clock)


async def test_each_value_may_be_wrong() -> None:
    """In memory: one value of one row at a time; by default some of all these cases, which the seed draws."""
    clock = StandingClock()
    rows, documents = await filled(clock)
    cases = [
        (row, path, wrong) for row in rows for path in list_paths(row) for wrong in WRONG if takes(row, path, wrong)
    ]
    kinds = {row["kind"] for row in rows}
    assert kinds == {
        "phase", "member", "run", "verify run", "rewrite run", "steering", "dead", "mismatch", "conversion", "running",
        "figures", "follower", "samples", "journal",
    }  # fmt: skip
    seed = WIDENING.seed if WIDENING.seed is not None else random.randrange(2**32)
    print(f"seed {seed} of {len(cases)} cases")
    drawn = cases if WIDENING.full else random.Random(seed).sample(cases, 60)
    for row, path, wrong in drawn:
        case = f"{row['kind']} {path} {wrong!r}"
        try:
            await try_one(AsyncMongoMockClient()["test"], rows, documents, damage(row, path, wrong), clock)
        except Exception as error:
            raise AssertionError(case) from error


@pytest.mark.parametrize("name", ["confirmed", "source", "verdict", "id"])
async def test_the_only_mismatch_keeps_its_gate_closed_whatever_is_wrong_in_it(name: str) -> None:
    """In memory: each value that decides whether it counts, by each kind of wrong one, with no other beside it."""
    clock = StandingClock()
    rows, documents = await filled(clock)
    for row in (one for one in rows if one["kind"] == "mismatch"):
        for wrong in (one for one in WRONG if takes(row, (name,), one)):
            await try_one(AsyncMongoMockClient()["test"], rows, documents, damage(row, (name,), wrong), clock)


async def test_a_hold_that_was_removed_is_not_over() -> None:
    """Nobody acts by a record of the phase that does not say whether writes are held."""
    database = AsyncMongoMockClient()["test"]
    await fill(database, StandingClock())
    phases = parts_of(Control(database["lazymig_control"])).phases("things")
    assert (await phases.find()) is not None
    await database["lazymig_control"].update_one({"kind": "phase"}, {"$unset": {"hold": ""}})
    with pytest.raises(PhaseError, match="field hold"):
        await phases.find()


@pytest.mark.parametrize(("name", "rest"), [("history", ["coexist", "v2_primary"]), ("changes", ["to try"])])
@pytest.mark.parametrize(
    "wrong", ["of_a_later_release", "", 7, None, GONE], ids=lambda value: "gone" if value is GONE else repr(value)
)
async def test_an_old_change_that_cannot_be_read_hides_no_other(name: str, rest: list[str], wrong: object) -> None:
    """The fleet goes on by the record; only that change is left out, and nothing is lost where it is stored."""
    clock = StandingClock()
    database = AsyncMongoMockClient()["test"]
    control, repo = follow(database, clock=clock)
    phases = parts_of(control).phases("things")
    begun = await phases.begin(Phase.COEXIST, by="ada", why="to begin")
    assert begun is not None
    for why in ("to err", "to try"):
        await set_cut_over(phases, share=0.5 if why == "to err" else 1, by="ada", why=why)
    for to in (Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY):
        found = await phases.find()
        assert found is not None
        assert await phases.move(found, to, by="ada", why="to go on")
    place = f"{name}.{1 if name == 'history' else 0}.after"
    change = {"$unset": {place: ""}} if wrong is GONE else {"$set": {place: wrong}}
    await database["lazymig_control"].update_one({"kind": "phase"}, change)
    left = (await phases.find()).history if name == "history" else (await phases.find()).changes
    shown = [str(one.after) for one in left][1:] if name == "history" else [one.why for one in left]
    assert shown == rest
    assert (await Switch(repo).history())[-1].after is Phase.V2_PRIMARY
    stored = await database["lazymig_control"].find_one({"kind": "phase"})
    assert len(stored[name]) == {"history": 4, "changes": 2}[name]


async def test_a_phase_of_a_later_release_is_named() -> None:
    """What cannot be read of the last change then is not what a person must know first."""
    database = AsyncMongoMockClient()["test"]
    await fill(database, StandingClock())
    change = {"$set": {"phase": "v3_primary", "history.0.after": "v3_primary"}}
    await database["lazymig_control"].update_one({"kind": "phase"}, change)
    with pytest.raises(PhaseError, match="the phase 'v3_primary', which this release does not know"):
        await parts_of(Control(database["lazymig_control"])).phases("things").find()


@pytest.mark.parametrize("wrong", ["x", None, "", [], GONE], ids=lambda value: "gone" if value is GONE else repr(value))
async def test_a_verdict_that_cannot_be_read_is_unknown(wrong: object) -> None:
    """Wherever mismatches are named or counted, and never that the two sides agree."""
    database = AsyncMongoMockClient()["test"]
    await fill(database, StandingClock())
    mismatches = parts_of(Control(database["lazymig_control"])).mismatches
    change = {"$unset": {"verdict": ""}} if wrong is GONE else {"$set": {"verdict": wrong}}
    await database["lazymig_control"].update_many({"kind": "mismatch"}, change)
    [page] = [page async for page in mismatches.find_pages("things")]
    assert [row.verdict for row in page] == [Verdict.UNKNOWN] * 2
    assert await mismatches.count_by_verdict("things") == {Verdict.UNKNOWN: 2}


@pytest.mark.parametrize("wrong", ["x", None, "", []])
async def test_a_mismatch_of_which_it_is_unknown_counts_as_confirmed(wrong: object) -> None:
    """A wrong value in place of whether it is confirmed leaves it in the counts and lists of confirmed ones."""
    database = AsyncMongoMockClient()["test"]
    await fill(database, StandingClock())
    mismatches = parts_of(Control(database["lazymig_control"])).mismatches
    await database["lazymig_control"].update_many({"kind": "mismatch"}, {"$set": {"confirmed": wrong}})
    assert await mismatches.count("things", confirmed=True) == 2
    assert sum([len(page) async for page in mismatches.find_pages("things", confirmed=True)]) == 2
    assert await mismatches.count("things", confirmed=False) == 0
