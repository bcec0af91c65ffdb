"""Moving a migration from phase to phase where one document carries both shapes: nothing to prepare, hold or seal."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from attrs import evolve

from lazymig import ConfigurationError, Control, Phase, PhaseError, Repository, Switch
from lazymig.control import parts_of
from lazymig.control.watching import Noted
from lazymig.switch import mover_of
from lazymig.switching.in_place.gates import GATES
from lazymig.switching.plan import Refused
from tests.people import PersonV2, ada, ada_v1
from tests.switches import HurriedClock, process
from tests.whole_people import LAST, META, ORDER, lift_to, verified, whole

UP = [Phase.V1_ONLY, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY, Phase.V2_ONLY]
on_both = pytest.mark.parametrize("driver", ["pymongo", "mock"])
on_server = pytest.mark.parametrize("driver", ["pymongo"])
in_memory = pytest.mark.parametrize("driver", ["mock"])


def older(entity: PersonV2) -> PersonV2:
    """A change of an entity."""
    return evolve(entity, age=(entity.age or 0) + 1)


async def read_all(repo: Repository[Any, Any], database: Any) -> None:
    """Store every V2 part, as a sweep does."""
    for document in await database["people"].find({}, {"_id": 1}).to_list(None):
        await repo.get(document["_id"])


@on_both
async def test_forth_back_and_forth_again_loses_nothing(database: Any) -> None:
    """A process that follows the record keeps every write through all phases up, all the way back, and up again."""
    clock = HurriedClock()
    repo = whole(database, clock=clock)
    switch = Switch(repo, soak_s=0)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    expected = dict.fromkeys(range(3), 0)
    async with repo:
        for id in expected:
            await repo.insert(ada(id, age=0))
        for target in (*UP[1:4], *reversed(UP[:3]), *UP[1:]):
            if UP.index(target) > UP.index((await Control(database["lazymig_control"]).standing("people")).phase):  # type: ignore[union-attr]
                await lift_to(switch, database, clock, target)
            else:
                assert (await switch.rollback(**ORDER)).after is target
            for id in expected:
                assert (await repo.update(id, older)).age == expected[id] + 1
                expected[id] += 1
                assert (await repo.get(id), await repo.v1.get(id)) != (None, None)
            assert {entity.id: entity.age async for entity in repo.list()} == expected
    assert [moved.after for moved in await switch.history()] == [*UP[:4], *reversed(UP[:3]), *UP[1:]]


@on_server
async def test_three_processes_pass_each_step_side_by_side(database: Any) -> None:
    """Three processes write through every step, each going on as it learns of it; no acknowledged write is lost."""
    clock = HurriedClock()
    repos = [whole(database, clock=clock) for _ in range(3)]
    switch = Switch(whole(database, clock=clock), soak_s=0)
    await switch.begin(Phase.V1_ONLY, **ORDER)
    await database["people"].insert_many([ada_v1(id, age=0) for id in range(4)])
    counts, over = dict.fromkeys(range(4), 0), asyncio.Event()
    draw = random.Random(7)

    async def work(repo: Repository[Any, Any]) -> None:
        while not over.is_set():
            id = draw.choice(list(counts))
            await (repo.v1.update(id, older) if draw.random() < 0.5 else repo.update(id, older))
            counts[id] += 1

    async with repos[0], repos[1], repos[2], asyncio.TaskGroup() as group:
        for repo in repos:
            group.create_task(work(repo))
        try:
            for target in UP[1:]:
                await read_all(repos[0], database)
                await lift_to(switch, database, clock, target)
        finally:
            over.set()
    async with repos[0]:
        assert {entity.id: entity.age async for entity in repos[0].list()} == counts
    assert sum(counts.values()) > 20


@in_memory
async def test_the_record_of_two_collections_is_refused(database: Any) -> None:
    """A record at PREPARE, which this layout lacks, is refused by every command, with what to do; it stays as it is."""
    repo = whole(database)
    switch, control = Switch(repo), Control(database["lazymig_control"])
    with pytest.raises(ConfigurationError, match=r"in this layout there are Phase.V1_ONLY, Phase.SHADOW"):
        await switch.begin(Phase.PREPARE, **ORDER)
    await parts_of(control).phases("people").begin(Phase.PREPARE, **ORDER)
    for call in (switch.advance, switch.rollback):
        with pytest.raises(PhaseError, match=r"the record is of two collections\. Roll it back to v1_only"):
            await call(**ORDER)
    with pytest.raises(PhaseError, match="the record is of two collections"):
        await switch.plan("advance")
    async with repo:
        with pytest.raises(PhaseError, match="the record is of two collections"):
            await repo.get(1)
    assert (await control.standing("people")).epoch == 1  # type: ignore[union-attr]


@in_memory
async def test_the_last_phase_has_no_way_out(database: Any) -> None:
    """From V2_ONLY both directions are refused, each with what to do instead; from V1_ONLY there is no way back."""
    switch = Switch(whole(database))
    await switch.begin(Phase.V1_ONLY, **ORDER)
    with pytest.raises(PhaseError, match="there is no phase before it"):
        await switch.rollback(**ORDER)
    await (
        parts_of(Control(database["lazymig_control"]))
        .phases("people")
        .move(await mover_of(switch).find(), Phase.V2_ONLY, **ORDER)
    )
    with pytest.raises(PhaseError, match=r"migration.reversed\(name\), once lazymig retire reduce --strip"):
        await switch.rollback(**ORDER)
    with pytest.raises(PhaseError, match="lazymig retire takes V1's fields out"):
        await switch.advance(**ORDER)


class Ready:
    """People whose next step has nothing in its way."""

    def __init__(self, database: Any) -> None:
        self.database, self.clock = database, HurriedClock()
        self.repo = whole(database, clock=self.clock)
        self.switch = Switch(self.repo, soak_s=0, wait_s=1)
        self.parts = parts_of(Control(database["lazymig_control"], self.clock))

    async def begin(self, phase: Phase) -> None:
        """Record the phase, and let every document have a V2 part that was compared."""
        await self.switch.begin(phase, **ORDER)
        filler = whole(self.database, Phase.COEXIST)
        await self.database["people"].insert_many([ada_v1(id) for id in range(5)])
        await read_all(filler, self.database)
        await verified(self.database, self.clock)

    async def watched(self) -> Callable[..., Awaitable[bool]]:
        """Record a watch on V1's fields that begins now; return what records more that it has seen."""
        log = self.parts.watching("people")
        claim = await log.claim("me")
        assert claim is not None
        assert await log.begin(claim, {"_data": "00"}, "")

        async def note(**seen: Any) -> bool:
            return await log.note(claim, {"_data": "00"}, Noted(**seen))

        assert await note()
        return note

    async def gates(self) -> dict[str, str]:
        """The state of each gate of the next step."""
        return {gate.name: gate.state for gate in (await self.switch.plan("advance")).gates}


@in_memory
@pytest.mark.parametrize("phase", UP[:4])
async def test_every_gate_of_a_ready_step_is_open(database: Any, phase: Phase) -> None:
    """Where nothing is in the way, each gate is open, and the plan names no hold, no seal and no preparation."""
    ready = Ready(database)
    await ready.begin(phase)
    await ready.watched()
    await verified(database, ready.clock)
    plan = await ready.switch.plan("advance")
    assert [(gate.name, gate.evidence) for gate in plan.gates if gate.state != "open"] == []
    assert plan.steps[0].startswith(f"record the phase {plan.target}")
    assert plan.consequences
    assert plan.confirm == ("people" if plan.target is Phase.V2_ONLY else "")


@in_memory
async def test_documents_without_a_part_of_this_conversion_close_the_way(database: Any) -> None:
    """One document that no V2 part was stored of, or an older one, closes `remaining`; a waived one does not."""
    ready = Ready(database)
    await ready.begin(Phase.COEXIST)
    await database["people"].insert_one(ada_v1(9, name="Ada"))
    assert (await ready.gates())["remaining"] == "closed"
    with pytest.raises(Refused, match="missing or of an older conversion in 1 of 6 documents"):
        await ready.switch.advance(**ORDER)
    await database["people"].update_one({"_id": 9}, {"$set": {"name": "Ada Lovelace"}})
    await whole(database, Phase.COEXIST).get(9)
    assert (await ready.gates())["remaining"] == "open"
    later = Switch(whole(database, clock=ready.clock, migration=evolve(ready.repo.migration, revision=2)))
    states = {gate.name: gate.evidence for gate in (await later.plan("advance")).gates}
    assert states["remaining"].startswith("V2's part is missing or of an older conversion in 6 of 6")


@in_memory
async def test_entities_that_wait_close_the_way(database: Any) -> None:
    """An entity that waits for its user closes `waiting`, which a person may accept before V2_ONLY only."""
    ready = Ready(database)
    await ready.begin(Phase.COEXIST)
    await database["people"].update_one({"_id": 1}, {"$set": {f"{META}.unmoved": "waiting"}})
    plan = await ready.switch.plan("advance", accept=["waiting"])
    assert [(gate.name, gate.accepted) for gate in plan.gates if gate.state == "closed"] == [("waiting", True)]


@in_memory
async def test_a_share_below_one_closes_the_way(database: Any) -> None:
    """While V1's part still answers for some ids, V2_PRIMARY is refused."""
    ready = Ready(database)
    await ready.begin(Phase.COEXIST)
    await Control(database["lazymig_control"]).cut_over("people", share=0.5)
    await verified(database, ready.clock)
    assert (await ready.gates())["cohorts"] == "closed"


@on_server
async def test_a_used_index_of_v1s_fields_needs_one_of_v2s(database: Any) -> None:
    """An index on a field that only V1 has, and that is used, closes `indexes` until V2's field has one."""
    ready = Ready(database)
    await ready.begin(Phase.COEXIST)
    await database["people"].update_many({}, [{"$set": {"name": {"$concat": ["A", {"$toString": "$_id"}, " B"]}}}])
    await database["people"].update_many({}, [{"$set": {"first": "$name"}}])  # the same values as V1's field
    await database["people"].create_index("name")
    await database["people"].create_index("age")
    await database["people"].find({"name": "A1 B"}).to_list(None)
    plan = {gate.name: gate for gate in (await ready.switch.plan("advance")).gates}
    assert (plan["indexes"].state, plan["indexes"].acceptable) == ("closed", True)
    assert "V2 has none on (first)" in plan["indexes"].evidence
    await database["people"].create_index("first")
    assert (await ready.gates())["indexes"] == "open"


@in_memory
async def test_who_still_writes_v1s_fields_is_asked_before_they_are_ignored(database: Any) -> None:
    """Into V2_ONLY: unknown without a watch, or where it began late or ended; closed after a write; else open."""
    ready = Ready(database)
    await ready.begin(Phase.V2_PRIMARY)

    async def judged() -> tuple[str, str]:
        plan = await ready.switch.plan("advance")
        gate = next(gate for gate in plan.gates if gate.name == "outside-writes")
        return gate.state, gate.evidence

    assert await judged() == (
        "unknown", "nobody watches V1's fields, so nothing shows whether another program writes them"
    )  # fmt: skip
    await verified(database, ready.clock, behind=2)
    state, evidence = await judged()
    assert (state, "found 2 V2 parts that another program's writes" in evidence) == ("closed", True)
    await verified(database, ready.clock, ago_s=1)
    note = await ready.watched()
    state, evidence = await judged()
    assert state == "unknown"
    assert "after the last verification did" in evidence
    await verified(database, ready.clock)
    assert (await judged())[0] == "open"
    now = ready.clock.now()
    assert await note(changes={(now.replace(minute=0, second=0, microsecond=0), "update"): 3}, last_change=now)
    state, evidence = await judged()
    assert (state, "another program writes V1's fields: 3 times" in evidence) == ("closed", True)
    with pytest.raises(Refused, match="stop that program, and verify again"):
        await ready.switch.advance(**ORDER, **LAST)
    await verified(database, ready.clock)
    assert (await judged())[0] == "open"


@in_memory
async def test_a_step_waits_for_a_process_that_has_not_followed(database: Any) -> None:
    """A process that has not acknowledged the last step is waited for, and named."""
    ready = Ready(database)
    await ready.begin(Phase.SHADOW)
    await ready.parts.members("people").register(process(epoch=0))
    with pytest.raises(PhaseError, match="web:1"):
        await ready.switch.advance(**ORDER)
    assert (await mover_of(ready.switch).find()).phase is Phase.SHADOW


def test_each_step_has_its_gates() -> None:
    """Each pair of adjacent phases has gates in both directions, but for the way back from V2_ONLY."""
    pairs = {*pairwise(UP), *pairwise(reversed(UP))}
    assert set(GATES) == pairs - {(Phase.V2_ONLY, Phase.V2_PRIMARY)}
