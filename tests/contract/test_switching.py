"""Moving a migration from phase to phase, on the real server and in memory: forth, back, cut off, and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from attrs import evolve

from lazymig import ConfigurationError, Phase, PhaseError, Repository, Sweeper, Switch, Verifier
from lazymig.control import Phases
from lazymig.protocol.sealing import fences_of, look
from lazymig.repository import calls_of
from lazymig.stores.fences import MongoFence
from lazymig.switching.plan import Refused
from tests.sweeps import ThingV2
from tests.switches import COUNT, ORDER, HurriedClock, Ready, followed, process, standing
from tests.widening import WIDENING

UP = list(Phase)
on_both = pytest.mark.parametrize("driver", ["pymongo", "mock"])
on_server = pytest.mark.parametrize("driver", ["pymongo"])
in_memory = pytest.mark.parametrize("driver", ["mock"])


async def compare(repo: Repository[Any, Any]) -> None:
    """Fill V2 and compare both sides, as the gates demand."""
    await Sweeper(repo).run()
    assert (await Verifier(repo, min_age_s=0).run()).agrees


def older(entity: Any) -> Any:
    """A change of an entity."""
    return evolve(entity, count=entity.count + 1)


@in_memory
async def test_forth_back_and_forth_again_loses_nothing(database: Any) -> None:
    """A process that follows the record keeps every write through all phases up, all the way back, and up again."""
    clock = HurriedClock()
    repo = followed(database, clock)
    switch = Switch(repo, soak_s=0)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    expected = dict.fromkeys(range(3), 0)
    async with repo:
        for id in expected:
            await repo.insert(ThingV2(id, 0))
        for target in (*UP[1:5], *reversed(UP[:4]), *UP[1:]):
            if target in (Phase.V2_PRIMARY, Phase.V2_ONLY):
                await compare(repo)
            upwards = UP.index(target) > UP.index((await standing(repo)).phase)
            last = {"confirm": "things", "accept": ["seal", "outside-writes"]} if target is Phase.V2_ONLY else {}
            made = await (switch.advance(**ORDER, **last) if upwards else switch.rollback(**ORDER))
            assert made.after is target
            for id in expected:
                assert (await repo.update(id, older)).count == expected[id] + 1
                expected[id] += 1
                assert (await repo.get(id), await repo.v1.get(id)) != (None, None)
            assert {entity.id: entity.count async for entity in repo.list()} == expected
            assert (await switch.plan("advance")).phase is target
    assert [moved.after for moved in await switch.history()] == [*UP[:5], *reversed(UP[:4]), *UP[1:]]


@on_both
async def test_the_last_phase_has_no_way_out(database: Any) -> None:
    """From V2_ONLY both directions are refused, each with what to do instead; the record stays as it is."""
    repo = followed(database)
    switch = Switch(repo)
    await switch.begin(Phase.V2_ONLY, **ORDER)
    before = await standing(repo)
    with pytest.raises(PhaseError, match=r"migration.reversed\(name\)"):
        await switch.rollback(**ORDER)
    with pytest.raises(PhaseError, match="lazymig retire"):
        await switch.advance(**ORDER)
    for direction in ("advance", "rollback"):
        plan = await switch.plan(direction)
        assert (plan.blocked, plan.target) == (True, None)
    assert await standing(repo) == before


@in_memory
async def test_refusals_before_anything_is_recorded(database: Any) -> None:
    """A step before the first record, a second first record, a way back from V1_ONLY and a fixed phase are refused."""
    repo = followed(database)
    switch = Switch(repo)
    assert await switch.history() == ()
    for call in (switch.advance, switch.rollback):
        with pytest.raises(PhaseError, match="lazymig phase begin"):
            await call(**ORDER)
    with pytest.raises(PhaseError, match="lazymig phase begin"):
        await switch.plan("advance")
    with pytest.raises(ConfigurationError, match="phase: this release runs"):
        await switch.begin("v3_only", **ORDER)  # type: ignore[arg-type]
    await switch.begin(Phase.V1_ONLY, **ORDER)
    before = await standing(repo)
    with pytest.raises(PhaseError, match=r"things is in v1_only since .* by me"):
        await switch.begin(Phase.COEXIST, **ORDER)
    with pytest.raises(PhaseError, match="there is no phase before it"):
        await switch.rollback(**ORDER)
    with pytest.raises(ConfigurationError, match=r"phase=Control\(collection\)"):
        Switch(followed(database, phase=Phase.COEXIST))
    with pytest.raises(ConfigurationError, match="direction"):
        await switch.plan("up")  # type: ignore[arg-type]
    assert await standing(repo) == before


@on_both
async def test_of_two_operators_one_moves_and_the_other_learns_who_did(database: Any) -> None:
    """Both plan the same step at once; one makes it, and the other's error names the first. It is made once."""
    ready = Ready(database)
    await ready.begin(Phase.PREPARE)
    orders = [ready.switch().advance(by=by, why="now") for by in ("ann", "bob")]
    made, lost = sorted(
        await asyncio.gather(*orders, return_exceptions=True), key=lambda one: isinstance(one, Exception)
    )
    assert not isinstance(made, BaseException)
    assert isinstance(lost, PhaseError)
    assert f"{made.by} has moved things to shadow meanwhile" in str(lost)
    assert (await standing(ready.repo)).epoch == made.epoch == 2


@in_memory
async def test_a_setting_that_changes_meanwhile_stops_a_step(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes the record after the gates were checked makes the step lose, and nothing is moved."""
    ready = Ready(database)
    await ready.begin(Phase.COEXIST)
    move = Phases.move

    async def change_then_move(self: Phases, *args: Any, **options: Any) -> Any:
        await ready.change(share=0.1)
        return await move(self, *args, **options)

    monkeypatch.setattr(Phases, "move", change_then_move)
    with pytest.raises(PhaseError, match="a setting of things has changed meanwhile"):
        await ready.switch().advance(**ORDER)
    assert (await standing(ready.repo)).phase is Phase.COEXIST


@in_memory
async def test_writes_may_not_leave_v2_out_any_more_before_v2_answers(database: Any) -> None:
    """Out of SHADOW, `degrade` is switched off and acknowledged first; what a process records then is judged again."""
    ready = Ready(database)
    await ready.begin(Phase.SHADOW)
    await ready.change(degrade=True)
    await ready.join(process(epoch=2))
    acknowledged: list[bool] = []

    async def sleep(_: float) -> None:
        """A process learns that `degrade` is ending, and has left V2 out until then."""
        now = await standing(ready.repo)
        if now.settings["degrade"] == "announced" and not acknowledged:
            acknowledged.append(True)
            await ready.change(suspect_since=ready.clock.now())
            now = await standing(ready.repo)
        await ready.parts.members("things").renew(process(epoch=now.epoch, beat=now.epoch))

    ready.clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(Refused, match="suspect"):
        await ready.switch().advance(**ORDER)
    now = await standing(ready.repo)
    assert (acknowledged, now.phase, now.settings["degrade"]) == ([True], Phase.SHADOW, False)
    assert [(one.what, one.by, one.why) for one in now.changes] == [("on-outage fail", ORDER["by"], ORDER["why"])]
    del ready.clock.sleep
    await ready.clock.sleep(10)
    await ready.verify(ago_s=5)
    await ready.switch().advance(**ORDER)
    now = await standing(ready.repo)
    assert (now.phase, now.settings["suspect_since"]) == (Phase.COEXIST, None)


@on_both
async def test_nothing_that_v2_holds_from_earlier_is_trusted(database: Any) -> None:
    """Documents that look clean and are out of date are marked before SHADOW begins, and answers are V1's."""
    ready = Ready(database)
    await ready.begin(Phase.PREPARE)
    await followed(database, phase=Phase.V1_ONLY).update(1, lambda thing: evolve(thing, count=7))
    assert any("mark the 5 documents" in step for step in (await ready.switch().plan("advance")).steps)
    await ready.switch().advance(**ORDER)
    marked = await database["v2"].count_documents({"_lazymig.intent": 1, "_lazymig.rev": 0})
    assert marked == COUNT
    repo = followed(database, phase=Phase.COEXIST)
    assert await repo.get(1) == ThingV2(1, 7)


# Gates that only a server can close.


async def _foreign(database: Any) -> None:
    await database["v2"].update_one({"_id": 1}, {"$unset": {"_lazymig": ""}})


async def _colliding(database: Any) -> None:
    for id in range(COUNT):
        await database["v2"].update_one({"_id": id}, {"$set": {"code": str(id)}})
    await database["v2"].create_index("code", unique=True)


async def _index(database: Any) -> None:
    await database["v1"].create_index("n")
    await database["v1"].update_one({"_id": 1}, {"$set": {"n": 2}})
    await database["v2"].update_one({"_id": 1}, {"$set": {"count": 2}})
    await database["v1"].find({"n": 2}).hint("n_1").to_list(None)


@on_server
@pytest.mark.parametrize(
    ("gate", "damage", "remedy"),
    [
        ("collections", _foreign, "change that"),
        ("collections", _colliding, "change that"),
        ("indexes", _index, 'createIndex({"count": 1})'),
    ],
)
async def test_what_the_server_shows_closes_a_gate(database: Any, gate: str, damage: Any, remedy: str) -> None:
    """Documents that lazymig did not store, a unique index in which announcements collide, and a missing index."""
    ready = Ready(database)
    await ready.begin(Phase.COEXIST)
    await damage(database)
    plan = await ready.switch().plan("advance")
    assert [one.name for one in plan.blocking] == [gate]
    assert remedy in plan.blocking[0].remedy
    with pytest.raises(Refused):
        await ready.switch().advance(**ORDER)
    assert (await standing(ready.repo)).phase is Phase.COEXIST


# An operator that is cut off.


class Killed(BaseException):
    """The operator's process has died."""


class Life:
    """How many statements that change something an operator sends before it dies. It sends nothing after that."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def limited(self, send: Callable[..., Any]) -> Callable[..., Any]:
        """The statement, sent by this operator."""

        async def sent(*args: Any, **options: Any) -> Any:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            result = await send(*args, **options)
            if not self.left:
                raise Killed
            return result

        return sent


def mortal(monkeypatch: pytest.MonkeyPatch, statements: int) -> pytest.MonkeyPatch:
    """Let the operator die after this many changes of the record and of the fences."""
    life = Life(statements)
    for owner, names in ((Phases, ("change", "move")), (MongoFence, ("put_up", "take_down"))):
        for name in names:
            monkeypatch.setattr(owner, name, life.limited(getattr(owner, name)))
    return monkeypatch


async def advance_killed(ready: Ready, monkeypatch: pytest.MonkeyPatch, statements: int, **options: Any) -> bool:
    """Advance by an operator that dies after some statements; whether it did."""
    with monkeypatch.context() as patched:
        mortal(patched, statements)
        try:
            await ready.switch().advance(**ORDER, **options)
        except Killed:
            return True
    return False


@on_server
@pytest.mark.parametrize("turn", range(3 if WIDENING.full else 1))
async def test_a_seal_that_is_cut_off_anywhere_is_undone_or_made_by_the_next_operator(
    database: Any, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a death behind each statement, `show` names what is left, and the next command leaves all well."""
    last = {"confirm": "things", "accept": ["outside-writes", "seal"]}
    stops = 0
    for statements in count(1):
        then = ("release", "advance", "rollback")[(statements + turn) % 3]
        for name in ("v1", "v2", "lazymig_control"):
            await database.drop_collection(name)
        ready = Ready(database)
        await ready.begin(Phase.V2_PRIMARY)
        if not await advance_killed(ready, monkeypatch, statements, **last):
            break
        stops += 1
        now = await standing(ready.repo)
        switch = ready.switch()
        if now.phase is Phase.V2_ONLY:
            assert now.hold is None
            assert not await switch.release()
        else:
            fenced = any(barrier.stands for barrier in await look(fences_of(calls_of(ready.repo).pair)))
            plan = await switch.plan("rollback")
            assert any("cut off" in step for step in plan.steps) == (fenced or now.hold is not None)
            if then == "release":
                assert await switch.release() == (fenced or now.hold is not None)
                await check_in(Phase.V2_PRIMARY, ready)
            elif then == "rollback":
                assert (await switch.rollback(**ORDER)).after is Phase.COEXIST
                await check_in(Phase.COEXIST, ready)
                continue
            await switch.advance(**ORDER, **last)
        await check_in(Phase.V2_ONLY, ready)
    assert stops >= 5


async def check_in(phase: Phase, ready: Ready) -> None:
    """Nothing is held, writes of this phase succeed, and both fences stand in V2_ONLY and nowhere else."""
    now = await standing(ready.repo)
    assert (now.phase, now.hold) == (phase, None)
    barriers = await look(fences_of(calls_of(ready.repo).pair))
    assert [barrier.stands for barrier in barriers] == [phase is Phase.V2_ONLY] * 2
    repo = followed(ready.database, phase=phase)
    for id in range(COUNT):
        assert (await repo.update(id, older)).count > 1
    if phase is Phase.V2_ONLY:
        late = followed(ready.database, phase=Phase.V2_PRIMARY)
        calls_of(late).first_use.due = False  # it has been at work for long
        with pytest.raises(PhaseError, match="has gone on to v2_only"):
            await late.update(1, older)


@in_memory
@pytest.mark.parametrize("phase", UP[:4])
async def test_every_other_step_that_is_cut_off_is_made_or_not(
    database: Any, phase: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a death behind each statement, the phase is the one before or after, and the next operator goes on."""
    for statements in count(1):
        await database.drop_collection("lazymig_control")
        for name in ("v1", "v2"):
            await database[name].delete_many({})
        ready = Ready(database)
        await ready.begin(phase)
        await ready.change(degrade=True)
        if not await advance_killed(ready, monkeypatch, statements):
            break
        now = await standing(ready.repo)
        assert now.hold is None
        if now.phase is phase:
            assert (await ready.switch().advance(**ORDER)).before is phase
        else:
            assert (now.last.before, now.epoch) == (phase, now.last.epoch)
        assert (await ready.switch().rollback(**ORDER)).after is phase
    assert statements > 1


@in_memory
async def test_a_hold_of_another_operator_that_is_at_work_is_left_alone(database: Any) -> None:
    """While the record goes on changing, nothing is undone, and the error says that somebody is at work."""
    ready = Ready(database)
    await ready.begin(Phase.V2_PRIMARY)
    phases = ready.parts.phases("things")
    assert await phases.change(await standing(ready.repo), hold="announced")

    async def sleep(_: float) -> None:
        now = await standing(ready.repo)
        if now.hold == "announced":
            assert await phases.change(now, hold="writes")

    ready.clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(PhaseError, match="changed meanwhile"):
        await ready.switch().release()
    assert (await standing(ready.repo)).hold == "writes"


@in_memory
async def test_a_process_that_does_not_drain_its_writes_ends_the_seal(database: Any) -> None:
    """It is named, writes go on, and the phase stays."""
    ready = Ready(database)
    await ready.begin(Phase.V2_PRIMARY)
    await ready.followed()
    await ready.join(process(epoch=2))  # it learns of the announcement, and does not drain
    with pytest.raises(PhaseError, match="web:1"):
        await ready.switch(wait_s=2).advance(**ORDER, confirm="things", accept=["seal"])
    now = await standing(ready.repo)
    assert (now.phase, now.hold) == (Phase.V2_PRIMARY, None)
