"""Samples: what they hold in both layouts, who takes them, what they cost, and that nothing is disturbed by them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect, ExecutionTimeout

from lazymig import Control, Phase, Repository, Rewriter
from lazymig.control import CutOver, FiguresRecord, GroupFigures, Sample, Samples, parts_of
from lazymig.control.samples import COARSE, FINE, MEDIUM
from lazymig.following import leasing
from lazymig.loop.clock import SystemClock
from lazymig.measuring import holdings, in_place, sampler
from lazymig.measuring.sampler import Sampler
from lazymig.repository import calls_of
from lazymig.stores.counts import Counts
from lazymig.stores.records import DeadLetter
from lazymig.stores.verdicts import Mismatch, Verdict
from tests.contract.conftest import Watched
from tests.fleets import Operator, member_of, until
from tests.following import Watched as FollowerRun
from tests.older import alone, document
from tests.people import TestClock
from tests.places import deciding, place_repository
from tests.sweeps import LaterClock, control, repository, sweeper, thing
from tests.verifications import verifier
from tests.watching import steps

FIRST = pytest.mark.parametrize("driver", ["pymongo"])
LAYOUTS: dict[str, Callable[..., Any]] = {"two collections": repository, "one document": place_repository}
#: What is in V1: ten that move, one that waits, one that is left, and two that nobody has touched.
MOVED, WAITS, LEFT, UNTOUCHED = range(10), 10, 11, (12, 13)


class Eager(SystemClock):
    """The machine's clock; what begins at random begins at once."""

    def random(self) -> float:
        return 0.0


def sampling(repo: Repository[Any, Any], kept: Control, finest: Any = FINE, **options: Any) -> Sampler[Any, Any]:
    """What takes samples of this repository, in the phase `coexist` unless one is recorded."""
    calls = calls_of(repo)
    options = {"find_phase": lambda: Phase.COEXIST} | options
    return Sampler(parts_of(kept), calls.migration.name, calls.ground, "sweep", finest=finest, **options)


async def take(taker: Sampler[Any, Any], clock: TestClock) -> None:
    """Let the time of the next sample come, and wait until it is taken or not."""
    clock.time += timedelta(seconds=taker._levels[0].every_s * 1.1)
    taker.start()
    assert taker._task is not None
    await taker._task


async def found(kept: Control, name: str = "things") -> list[Sample]:
    return await parts_of(kept).samples(name).find()


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_what_a_sample_holds(database: Any, layout: str) -> None:
    """Both sides, what moved them, what needs a person, the pace of running sweeps, and what live reads found."""
    clock = TestClock()
    kept, repo = control(database, clock), LAYOUTS[layout](database, migration=deciding())
    codes = {WAITS: "wait", LEFT: "leave"}
    v1 = database["both" if layout == "one document" else "v1"]
    await v1.insert_many([thing(id, code=codes.get(id)) for id in range(14)])
    await repo.get_many([*MOVED, WAITS, LEFT], on_error="skip")
    parts = parts_of(kept)
    await parts.letters.record([DeadLetter("things", 12, 0, "upgrade", "ValueError", "", "")])
    await parts.mismatches.record(
        "things", [Mismatch(1, Verdict.DIFFERENT, confirmed=True), Mismatch(2, Verdict.DIFFERENT)]
    )
    state = {
        "process": "a:1", "since": clock.now(), "done": 7, "paused": False, "throttle": "", "rate": None,
        "concurrency": 1, "batch": 1,
    }  # fmt: skip
    for owner, kind, per_s in (("a", "sweep", 10.0), ("b", "sweep", 2.5), ("c", "verify", 99.0)):
        await parts.runners("things").report(owner, {**state, "of": kind, "per_s": per_s})
    await Operator(kept, "things").begin(Phase.COEXIST)
    cut_over = CutOver(0.5)
    await Operator(kept, "things").change(settings={"share": 0.5})
    group = GroupFigures(Counter(matched=3, mismatched=1))
    group.v1.latency.record(0.002)
    group.v2.latency.record(0.001)
    await parts.figures("things").record(FiguresRecord("k", "a:1", cut_over, (), {"share": group}, clock.now()))

    taker = sampling(repo, kept, find_phase=None)
    taker.begin()
    await take(taker, clock)
    (one,) = await found(kept)
    assert one == Sample(
        at=clock.now(), by=one.by, phase="coexist", v1=14, live=10, left=1, waiting=1, dead=1, mismatches=1,
        moved_read=10, moved_write=0, moved_sweep=0, per_s=12.5, consistency=0.75,
        v1_p99_s=group.v1.latency.quantile(0.99), v2_p99_s=group.v2.latency.quantile(0.99),
    )  # fmt: skip
    assert one.by.startswith("sweep ")
    assert (one.remaining, one.share) == (2, 10 / 13)


@FIRST
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_large_collection_is_estimated(database: Any, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is much, a sample of documents is looked at, and what moved them adds up to what there is."""
    for module in (holdings, in_place):
        monkeypatch.setattr(module, "SMALL", 50)
        monkeypatch.setattr(module, "SAMPLE", 40)
    clock = TestClock()
    kept, repo = control(database, clock), LAYOUTS[layout](database)
    await database["both" if layout == "one document" else "v1"].insert_many([thing(id) for id in range(100)])
    await repo.get_many(list(range(100)))
    taker = sampling(repo, kept)
    taker.begin()
    await take(taker, clock)
    (one,) = await found(kept)
    assert (one.v1, one.live, one.moved_read, one.moved_sweep) == (100, 100, 100, 0)
    assert one.estimated == (layout == "one document")


@FIRST
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_what_takes_too_long_to_count_is_estimated(
    database: Any, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server ends what counts, a sample of documents says it, marked so, and a later slot counts again."""
    for module in (holdings, in_place):
        monkeypatch.setattr(module, "SMALL", 10)
        monkeypatch.setattr(module, "SAMPLE", 40)
    clock = TestClock()
    kept, repo = control(database, clock), LAYOUTS[layout](database, migration=deciding())
    codes = {id: "wait" if id < 10 else "leave" for id in range(30)}
    things = [thing(id, code=codes.get(id)) for id in range(40)]
    await database["both" if layout == "one document" else "v1"].insert_many(things)
    await repo.get_many(list(range(40)), on_error="skip")
    with monkeypatch.context() as patched:
        tried = take_too_long(patched)
        taker = sampling(repo, kept)
        taker.begin()
        for _ in range(2):
            await take(taker, clock)
        # What is marked and what moved it by the first sample, and neither by the second; or the index by each.
        assert len(tried) == 2
    for one in await found(kept):
        assert (one.v1, one.live, one.waiting, one.left, one.estimated) == (40, 10, 10, 20, True)
        assert one.share == 0.5
    clock.time += timedelta(minutes=3)
    await take(taker, clock)
    last = (await found(kept))[-1]
    assert (last.waiting, last.left, last.moved_read) == (10, 20, 10)
    assert last.estimated == (layout == "one document")


def take_too_long(patched: pytest.MonkeyPatch) -> list[str]:
    """Let the server end what counts all that is marked, and what moved entities; note each try."""
    tried: list[str] = []

    def too_long(*given: Any, **options: Any) -> Any:
        tried.append("count")
        raise ExecutionTimeout("operation exceeded time limit", 50)

    patched.setattr(Counts, "count_marked", too_long)
    patched.setattr(in_place, "count_unmoved", too_long)
    patched.setattr(sampler, "count_moved_by", too_long)
    return tried


@FIRST
async def test_what_moved_entities_is_counted_less_often(database: Any) -> None:
    """The finest samples leave out what only documents show; each coarser slot has one that counts it."""
    clock = TestClock()
    kept = control(database, clock)
    await database["v1"].insert_one(thing(1))
    taker = sampling(repository(database), kept)
    taker.begin()
    for _ in range(24):
        await take(taker, clock)
    counted = [one.moved_read is not None for one in await found(kept)]
    assert (len(counted), counted[0]) == (24, True)
    assert sum(counted) == len({MEDIUM.slot(one.at) for one in await found(kept)})


async def test_what_a_sample_sends(watched: Watched) -> None:
    """Nine statements where only the finest slot is due, and four more that count and keep what moved entities."""
    clock = TestClock()
    kept = control(watched.database, clock)
    await watched.database["v1"].insert_one(thing(1))
    taker = sampling(repository(watched.database), kept)
    taker.begin()
    clock.time = clock.time.replace(minute=1)
    assert (len(PLAIN), len(DETAILED)) == (9, 13), "docs/how-to/monitor.md says so: 6 * 9 and 4 / 2 per minute"
    for expected in (DETAILED, PLAIN):
        await take(taker, clock)  # the first sample of a row costs one statement more, so it is not counted
        clock.time += timedelta(minutes=2) if expected == DETAILED else timedelta()
        with watched.sent() as sent:
            await take(taker, clock)
        assert steps(sent) == expected
        # A server that cannot count quickly need not count.
        counting = [event.command for event in sent if not steps([event])[0].startswith(CONTROL)]
        assert {command["maxTimeMS"] for command in counting} == {1000}


CONTROL = "lazymig_control"
#: Both collections and what is marked, and what needs a person or runs.
COUNTS = ["v2 count", "v2 aggregate", "v1 count"]
OTHERS = [f"{CONTROL} aggregate", f"{CONTROL} aggregate", f"{CONTROL} find"]
PHASE, CLAIM, KEEP = f"{CONTROL} find", f"{CONTROL} findAndModify", f"{CONTROL} update"
PLAIN = [PHASE, CLAIM, *COUNTS, *OTHERS, KEEP]
DETAILED = [PHASE, CLAIM, CLAIM, *COUNTS, "v2 count", "v2 aggregate", *OTHERS, KEEP, KEEP]


@FIRST
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_service_looks_at_documents_once_an_hour(
    database: Any, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who only serves clients counts by estimates and indexes; where only documents show it, once an hour."""
    for module in (holdings, in_place, sampler):
        monkeypatch.setattr(module, "SMALL", 50)
    clock = TestClock()
    kept, repo = control(database, clock), LAYOUTS[layout](database)
    await database["both" if layout == "one document" else "v1"].insert_many([thing(id) for id in range(100)])
    taker = sampling(repo, kept, MEDIUM)
    taker.begin()
    for _ in range(40):
        await take(taker, clock)
    samples = await found(kept)
    looked = [one for one in samples if one.moved_read is not None]
    assert len(looked) == len({COARSE.slot(one.at) for one in samples}) == 2
    assert len(samples) == (2 if layout == "one document" else 40)


@FIRST
async def test_failures_make_samples_rare(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot answer is asked less and less often, and as often as before once it answers."""
    clock = TestClock()
    kept = control(database, clock)
    taker = sampling(repository(database), kept)
    taker.begin()
    with monkeypatch.context() as patched:
        tried = break_samples(patched, "refused")
        for _ in range(360):
            clock.time += timedelta(seconds=10)
            taker.start()
            assert taker._task is not None
            await taker._task
        assert 5 < len(tried) < 12
    clock.time += timedelta(hours=2)
    for _ in range(3):
        await take(taker, clock)
    assert len(await found(kept)) == 3


class Paging(LaterClock):
    """Moves on by some seconds with each page of a pass."""

    def page(self, _: object) -> None:
        """A page was done."""
        self.ahead_s += 4


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_sweep_takes_samples(database: Any, layout: str) -> None:
    """A sweep leaves one sample per slot, and a last one of what it has reached; a short one leaves none."""
    clock, repo = Paging(), LAYOUTS[layout](database)
    await database["both" if layout == "one document" else "v1"].insert_many([thing(id) for id in range(60)])
    await sweeper(database, repo=repo, clock=clock, on_progress=clock.page).run()
    samples = await found(control(database, clock))
    assert len(samples) > 2
    slots = [FINE.slot(one.at) for one in samples]
    assert slots == sorted(set(slots))
    lives = [one.live for one in samples]
    assert lives == sorted(lives)
    last = samples[-1]
    assert (last.v1, last.live, last.share, last.moved_sweep, last.phase) == (60, 60, 1.0, 60, "coexist")
    assert last.per_s is None, "it runs no more"
    await sweeper(database, repo=repo, clock=LaterClock(3600)).run()
    assert await found(control(database, clock)) == samples


@FIRST
async def test_a_dry_run_takes_none(database: Any) -> None:
    """What only looks writes nothing."""
    clock = Paging()
    await database["v1"].insert_many([thing(id) for id in range(40)])
    await sweeper(database, clock=clock, on_progress=clock.page, dry_run=True).run()
    assert await found(control(database, clock)) == []


@FIRST
async def test_a_verification_takes_samples(database: Any) -> None:
    """A verification samples beside its comparisons."""
    clock = Paging()
    await database["v1"].insert_many([thing(id) for id in range(40)])
    await sweeper(database).run()
    await verifier(database, clock=clock, on_progress=clock.page).run()
    samples = await found(control(database, clock))
    assert samples
    assert {one.by.partition(" ")[0] for one in samples} == {"verify"}


@FIRST
async def test_a_rewriting_pass_takes_samples(database: Any) -> None:
    """Where there is one collection, a pass that rewrites older documents samples as well: nothing is to be moved."""
    clock = Paging()
    await database["v1"].insert_many([document(1, id) for id in range(9)])
    repo = Repository(alone(persist=True), v1=database["v1"], phase=Phase.V1_ONLY)
    rewriting = Rewriter(repo, control=control(database, clock), clock=clock, batch_size=2, on_progress=clock.page)
    assert (await rewriting.run()).rewritten == 9
    samples = await found(control(database, clock), repo.migration.name)
    assert samples
    assert {(one.by.partition(" ")[0], one.v1, one.live, one.share) for one in samples} == {("rewrite", 9, 9, 1.0)}


@FIRST
async def test_a_follower_takes_samples(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower samples after its heartbeats, at the coarse slots only."""
    monkeypatch.setattr(leasing, "BEAT_S", 0.02)
    clock = Eager()
    await database["v1"].insert_many([thing(id) for id in range(3)])
    run = FollowerRun(database, clock=clock, catch_up=False)
    kept = control(database, clock)
    try:
        await until(lambda: found(kept))
    finally:
        run.follower.stop()
        await run.task
    (one,) = await found(kept)
    assert one.by.startswith("follow ")
    assert await database[CONTROL].count_documents({"kind": "samples", "every_s": FINE.every_s}) == 0


async def _served(database: Any, count: int, stack: AsyncExitStack, name: str = CONTROL) -> list[Any]:
    """This many repositories that follow one control collection, each like a process of its own."""
    clock = Eager()
    await Operator(Control(database[name], clock), "things").begin(Phase.COEXIST)
    repos = [repository(database, phase=Control(database[name], clock)) for _ in range(count)]
    for one in repos:
        await stack.enter_async_context(one)
        await one.check()
    return repos


def beside(repo: Any) -> Sampler[Any, Any]:
    taker: Any = member_of(repo)._beside
    assert isinstance(taker, Sampler)
    return taker


async def test_a_fleet_takes_samples(watched: Watched) -> None:
    """Of a fleet without any sweep, one process counts per coarse slot; each other one asks for the slot only."""
    database = watched.database
    await database["v1"].insert_many([thing(id) for id in range(3)])
    async with AsyncExitStack() as stack:
        with watched.sent() as sent:
            repos = await _served(database, 2, stack)

            async def asked() -> bool:
                return all(beside(one)._taken and not beside(one)._is_busy() for one in repos)

            await until(asked)
        (one,) = await found(control(database))
    assert (one.v1, one.live, one.phase) == (3, 0, "coexist")
    assert one.by.startswith("service ")
    claims = [event for event in sent if event.command.get("query", {}).get("_id") == "things/samples"]
    assert len(claims) == 3, "of two levels by one, and of one level by the other"
    assert await database[CONTROL].count_documents({"kind": "samples", "every_s": FINE.every_s}) == 0


@FIRST
@pytest.mark.parametrize("trouble", ["refused", "odd", "silent"])
async def test_a_sweep_is_not_disturbed(database: Any, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where samples cannot be kept, or are never answered, a sweep moves everything, and ends soon."""
    reached = break_samples(monkeypatch, trouble)
    clock = Paging()
    await database["v1"].insert_many([thing(id) for id in range(40)])
    async with asyncio.timeout(20):
        report = await sweeper(database, clock=clock, on_progress=clock.page).run()
    assert (report.finished, report.migrated) == (True, 40)
    assert reached
    assert await found(control(database, clock)) == []


def break_samples(monkeypatch: pytest.MonkeyPatch, trouble: str) -> list[str]:
    """Break what is sent for samples; what was tried is in the list."""
    reached: list[str] = []

    async def broken(*_: object) -> bool:
        reached.append(trouble)
        if trouble == "silent":
            await asyncio.get_running_loop().create_future()
        raise AutoReconnect("gone") if trouble == "refused" else KeyError("at")

    monkeypatch.setattr(Samples, "claim", broken)
    monkeypatch.setattr(Samples, "record", broken)
    monkeypatch.setattr(sampler, "_LAST_S", 0.05)
    return reached


@FIRST
@pytest.mark.parametrize("trouble", ["refused", "odd", "silent"])
async def test_a_service_is_not_disturbed(database: Any, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where samples cannot be kept, or are never answered, calls and heartbeats go on, and the process leaves."""
    reached = break_samples(monkeypatch, trouble)
    await database["v1"].insert_one(thing(1))
    async with asyncio.timeout(20):
        async with AsyncExitStack() as stack:
            (repo,) = await _served(database, 1, stack)
            await until(lambda: _is_true(reached))
            member, beat = member_of(repo), member_of(repo).record.beat
            assert (await repo.get(1)).count == 1
            assert await repo.update(1, lambda one: evolve(one, count=2))
            await member.exchange()
            member._lease.end()
            await member.join()
            assert member.record.beat > beat
        assert await parts_of(control(database)).members("things").find_all() == []
    assert not beside(repo)._is_busy()


async def _is_true(value: object) -> bool:
    return bool(value)


@FIRST
async def test_a_removed_control_collection_is_not_filled(database: Any) -> None:
    """A service whose record of the phase is gone takes no samples, so that what was removed stays so."""
    async with AsyncExitStack() as stack:
        (repo,) = await _served(database, 1, stack)
        await until(lambda: found(control(database)))
        await beside(repo).end()
        await database[CONTROL].drop()
        await _attempt_at_any_slot(beside(repo))
        assert await database[CONTROL].count_documents({"kind": "samples"}) == 0


async def _attempt_at_any_slot(taker: Sampler[Any, Any]) -> None:
    taker._taken.clear()
    await taker._attempt(5.0)
    assert taker._failed == 0


@FIRST
async def test_no_samples_once_v2_is_the_only_truth(database: Any) -> None:
    """In `v2_only` nothing is left to migrate: what was sampled stays, and what its retirement takes out stays out."""
    async with AsyncExitStack() as stack:
        (repo,) = await _served(database, 1, stack)
        rows = {"kind": "samples"}

        async def recorded() -> bool:
            return await database[CONTROL].count_documents(rows) == 3  # type: ignore[no-any-return]

        await until(recorded)
        await beside(repo).end()
        retirement = parts_of(control(database)).retirement("things")
        assert await retirement.count_others() == 0
        await Operator(control(database), "things").move(Phase.V2_ONLY)
        await _attempt_at_any_slot(beside(repo))
        assert len(await found(control(database))) == 1
        await retirement.remove_others()
        await _attempt_at_any_slot(beside(repo))
        assert await database[CONTROL].count_documents(rows) == 0


@FIRST
async def test_a_process_that_is_held_up_counts_later(database: Any) -> None:
    """A slot that another process has is not counted; the next one may be this process's."""
    clock = TestClock()
    kept = control(database, clock)
    await database["v1"].insert_one(thing(1))
    one, other = (sampling(repository(database), kept) for _ in range(2))
    one.begin()
    other.begin()
    clock.time += timedelta(seconds=10)
    for taker in (one, other):
        taker.start()
        assert taker._task is not None
        await taker._task
    assert len(await found(kept)) == 1
    clock.time += timedelta(seconds=3)
    other.start()
    assert len(await found(kept)) == 1, "it waits for the next slot"
    await take(other, clock)
    assert len(await found(kept)) == 2
