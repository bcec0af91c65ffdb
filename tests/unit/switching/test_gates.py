"""Each gate closes by what it forbids, and nothing else would refuse that step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from mongomock_motor import AsyncMongoMockClient

from lazymig import ConfigurationError, Phase
from lazymig.dark.contests import SOURCE as DARK_READ
from lazymig.stores.counts import Counts
from lazymig.switch import mover_of
from lazymig.switching import contents, gates
from lazymig.switching.plan import Refused
from tests.switches import COUNT, ORDER, Ready, followed, process, standing

COEXIST, PRIMARY, SHADOW = Phase.COEXIST, Phase.V2_PRIMARY, Phase.SHADOW
Damage = Callable[[Ready], Awaitable[object]]
#: What a step into `V2_ONLY` needs of a person in memory, where nothing can be fenced.
SEAL = ("seal",)


async def _older(ready: Ready) -> None:
    await ready.join(process(revision=2))


async def _newer_swept(ready: Ready) -> None:
    await ready.parts.conversions.remember("things", 2, "another")


async def _checked(ready: Ready) -> None:
    ready.repo = followed(ready.database, ready.clock, checked=True)


async def _no_verification(ready: Ready) -> None:
    await ready.forget_verifications()


def _only(**run: Any) -> Damage:
    """The only verification is this one."""

    async def damage(ready: Ready) -> None:
        await ready.forget_verifications()
        await ready.verify(**run)

    return damage


async def _earlier_pass(ready: Ready) -> None:
    """The last run went on with a pass that began in another phase."""
    await ready.forget_verifications()
    await ready.verify()
    began = ready.clock.time - timedelta(hours=5)
    await ready.database["lazymig_control"].update_one({"kind": "verify run"}, {"$set": {"pass_began_at": began}})


async def _by_earlier_release(ready: Ready) -> None:
    """The last run's record does not say when its pass began."""
    await ready.database["lazymig_control"].update_one({"kind": "verify run"}, {"$unset": {"pass_began_at": ""}})


async def _long_ago(ready: Ready) -> None:
    ready.clock.time += timedelta(days=2)


async def _unseen(ready: Ready) -> None:
    await ready.database["v2"].delete_one({"_id": 1})


async def _open(ready: Ready) -> None:
    at = ready.clock.time - timedelta(minutes=1)
    change = {"$set": {"_lazymig.at": at}, "$inc": {"_lazymig.intent": 1}}
    await ready.database["v2"].update_one({"_id": 1}, change)


async def _waiting(ready: Ready) -> None:
    meta = {"rev": 0, "intent": 0, "gone": True, "unmoved": "waiting"}
    await ready.database["v2"].replace_one({"_id": 1}, {"_lazymig": meta})


async def _rogue(ready: Ready) -> None:
    await ready.followed(update=3)


async def _missed(ready: Ready) -> None:
    await ready.followed(running=True)
    due = {"reason": "the change stream was lost", "since": ready.clock.time, "after_pass": 1}
    await ready.database["lazymig_control"].update_one({"kind": "follower"}, {"$set": {"catch_up": due}})


async def _never_followed(ready: Ready) -> None:
    await ready.database["lazymig_control"].delete_many({"kind": "follower"})


async def _followed_long_ago(ready: Ready) -> None:
    await _never_followed(ready)
    await ready.followed(seen_ago_s=3600)


async def _following(ready: Ready) -> None:
    await _never_followed(ready)
    await ready.followed(running=True)


async def _sweeping(ready: Ready) -> None:
    assert await ready.parts.passes("things", "sweep").claim_planning("me")


async def _rogue_again(ready: Ready) -> None:
    await _never_followed(ready)
    await _rogue(ready)


#: The step's phase, the gate that must refuse it, and what closes it.
CLOSED: list[tuple[Phase, str, Damage]] = [
    (SHADOW, "suspect", lambda ready: ready.change(suspect_since=ready.clock.time)),
    (SHADOW, "suspect", lambda ready: ready.change(suspect_since="yesterday")),
    (COEXIST, "cohorts", lambda ready: ready.change(share=0.5)),
    (COEXIST, "releases", _older),
    (COEXIST, "releases", _newer_swept),
    (COEXIST, "verification", _no_verification),
    *((COEXIST, "verification", _only(**{kind: 1})) for kind in ("sample", "filtered", "sharded", "upgrade_only")),
    (COEXIST, "verification", _only(finished=False)),
    (COEXIST, "verification", _only(revision=2)),
    (COEXIST, "verification", _only(ago_s=7200)),
    *((COEXIST, "verification", _only(**{found: 1})) for found in ("missing", "stale", "different", "orphan", "dirty")),
    (COEXIST, "verification", lambda ready: ready.verify(ago_s=0, unknown=1)),
    (COEXIST, "verification", _earlier_pass),
    (COEXIST, "verification", _by_earlier_release),
    (COEXIST, "verification", _long_ago),
    (COEXIST, "mismatches", lambda ready: ready.mismatch()),
    (COEXIST, "mismatches", lambda ready: ready.mismatch(source=DARK_READ, confirmed=False)),
    (COEXIST, "remaining", _unseen),
    (COEXIST, "open-writes", _open),
    (COEXIST, "dead-letters", lambda ready: ready.dead_letter()),
    (COEXIST, "waiting", _waiting),
    (COEXIST, "outside-writes", _rogue),
    (COEXIST, "outside-writes", _missed),
    (PRIMARY, "options", _checked),
    (PRIMARY, "verification", _no_verification),
    (PRIMARY, "mismatches", lambda ready: ready.mismatch()),
    (PRIMARY, "remaining", _unseen),
    (PRIMARY, "open-writes", _open),
    (PRIMARY, "dead-letters", lambda ready: ready.dead_letter()),
    (PRIMARY, "waiting", _waiting),
    (PRIMARY, "releases", _older),
    (PRIMARY, "outside-writes", _never_followed),
    (PRIMARY, "outside-writes", _followed_long_ago),
    (PRIMARY, "tools", _following),
    (PRIMARY, "tools", _sweeping),
    (PRIMARY, "tools", lambda ready: ready.join(process(role="retry"))),
]


#: The functions of gates whose names differ from the gates'.
FUNCTIONS = {
    "dead-letters": "dead_letters", "open-writes": "open_writes", "seal": "can_be_sealed",
    "outside-writes": "outside_writes",
}  # fmt: skip


def is_gate(check: Any, gate: str) -> bool:
    """Whether this function is the gate."""
    return bool(check.__name__.removeprefix("last_") == FUNCTIONS.get(gate, gate))


async def ready_in(phase: Phase) -> Ready:
    """A migration whose next step has nothing in its way."""
    ready = Ready(AsyncMongoMockClient()["memory"])
    await ready.begin(phase)
    if phase is PRIMARY:
        await ready.followed()
    return ready


def confirm(phase: Phase) -> dict[str, Any]:
    """What a person adds to a step out of this phase."""
    return {"confirm": "things", "accept": SEAL} if phase is PRIMARY else {}


@pytest.mark.parametrize("phase", list(Phase)[:-1])
async def test_a_step_with_nothing_in_its_way_is_made(phase: Phase) -> None:
    """From each phase a ready migration moves to the next, and the record says who moved it and why."""
    ready = await ready_in(phase)
    made = await ready.switch().advance(**ORDER, **confirm(phase))
    order = list(Phase)
    assert (made.before, made.after) == (phase, order[order.index(phase) + 1])
    found = await standing(ready.repo)
    assert (found.phase, found.last, found.last.by) == (made.after, made, "me")
    assert found.hold is None


@pytest.mark.parametrize(("phase", "gate", "damage"), CLOSED, ids=[f"{one[1]}-{n}" for n, one in enumerate(CLOSED)])
async def test_each_gate_refuses_what_it_forbids_and_nothing_else_does(
    phase: Phase, gate: str, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is refused by this gate alone, nothing changes, and without the gate the step would be made."""
    ready = await ready_in(phase)
    await damage(ready)
    before, given = await standing(ready.repo), confirm(phase)
    # A soak time begins with a clean verification, so what forbids one is not to be seen there.
    accepted = {*given.pop("accept", ()), *(() if gate == "soak" else ("soak",))}
    plan = await ready.switch().plan("advance", accept=accepted)
    assert [one.name for one in plan.blocking] == [gate]
    assert all(one.evidence and one.remedy for one in plan.blocking)
    with pytest.raises(Refused, match=gate):
        await ready.switch().advance(**ORDER, **given, accept=accepted)
    assert await standing(ready.repo) == before
    without = {
        step: tuple(check for check in checks if not is_gate(check, gate)) for step, checks in gates.GATES.items()
    }
    monkeypatch.setattr(gates, "GATES", without)
    assert (await ready.switch().advance(**ORDER, **given, accept=accepted)).before is phase


async def test_a_soak_time_runs_from_the_first_clean_verification_on() -> None:
    """Verifications in a row count from the first of them; one that finds something starts it anew."""
    ready = await ready_in(COEXIST)
    switch = ready.switch(soak_s=1800)
    for _ in range(2):  # the first clean one ended a minute ago
        assert [one.name for one in (await switch.plan("advance")).blocking] == ["soak"]
        ready.clock.time += timedelta(minutes=14)
        await ready.verify()
    ready.clock.time += timedelta(minutes=2)
    assert (await switch.plan("advance")).blocking == ()
    await ready.verify(ago_s=30, different=1)
    ready.clock.time += timedelta(minutes=1)
    await ready.verify(ago_s=30)
    assert [one.name for one in (await switch.plan("advance")).blocking] == ["soak"]


async def test_nothing_refuses_the_way_back() -> None:
    """Every gate that refuses the way up is closed, and each step back is made all the same."""
    ready = await ready_in(PRIMARY)
    for damage in (_unseen, _open, _rogue_again, _older, _no_verification):
        await damage(ready)
    await ready.dead_letter()
    await ready.mismatch()
    for phase in reversed(list(Phase)[:-2]):
        assert (await ready.switch().rollback(**ORDER)).after is phase


@pytest.mark.parametrize("gate", ["fleet", "verification", "mismatches", "remaining", "dead-letters", "tools", "nope"])
async def test_what_protects_data_cannot_be_accepted(gate: str) -> None:
    """A person may accept time, speed and what cannot be checked, and nothing else."""
    ready = await ready_in(COEXIST)
    with pytest.raises(ConfigurationError, match=f"accept: {gate}"):
        await ready.switch().plan("advance", accept=[gate])
    with pytest.raises(ConfigurationError, match=f"accept: {gate}"):
        await ready.switch().advance(**ORDER, accept=[gate])


async def test_rogue_writes_cannot_be_accepted_where_they_would_be_lost() -> None:
    """Outside writes that were seen refuse the step into V2_ONLY, whatever a person accepts."""
    ready = await ready_in(PRIMARY)
    await _rogue_again(ready)
    with pytest.raises(Refused, match="outside-writes"):
        await ready.switch().advance(**ORDER, confirm="things", accept=["seal", "outside-writes"])


async def test_what_was_accepted_is_kept_in_the_history() -> None:
    """The reason of a step names the gates that a person accepted, and those only."""
    ready = await ready_in(COEXIST)
    made = await ready.switch(soak_s=7200).advance(**ORDER, accept=["soak", "indexes"])
    assert made.why == "a test (accepted: soak)"


async def test_waived_entities_are_no_obstacle() -> None:
    """V2 may lack an entity whose failure a person has waived, and a verification may say so."""
    ready = await ready_in(COEXIST)
    await _unseen(ready)
    await ready.dead_letter(1)
    assert await ready.parts.letters.waive("things", 1, "test data")
    await ready.mismatch(1)
    await ready.verify(ago_s=0, missing=1)
    plan = await ready.switch().plan("advance")
    assert plan.blocking == ()
    assert any(f"holds all {COUNT} entities but 1 waived" in gate.evidence for gate in plan.gates)
    await ready.mismatch(2)
    assert [gate.name for gate in (await ready.switch().plan("advance")).blocking] == ["mismatches"]


async def test_a_waiver_whose_entity_is_gone_excuses_no_other() -> None:
    """V2 lacks another entity than the one that a person accepted and a user deleted since: the step is refused."""
    ready = await ready_in(COEXIST)
    await ready.dead_letter(99)
    assert await ready.parts.letters.waive("things", 99, "test data")
    assert (await ready.switch().plan("advance")).blocking == ()
    await ready.database["v2"].delete_one({"_id": 2})
    assert [gate.name for gate in (await ready.switch().plan("advance")).blocking] == ["remaining"]


async def test_leaving_out_the_reason_or_the_name_is_refused() -> None:
    """A step needs who and why, and into V2_ONLY the migration's name; nothing changes without."""
    ready = await ready_in(PRIMARY)
    for missing in ({"by": " ", "why": "x"}, {"by": "me", "why": ""}):
        with pytest.raises(ConfigurationError, match="by, why"):
            await ready.switch().advance(**missing)
    for typed in (None, "thing"):
        with pytest.raises(Exception, match="confirm it by the migration's name, 'things'"):
            await ready.switch().advance(**ORDER, accept=SEAL, confirm=typed)
    assert (await standing(ready.repo)).phase is PRIMARY


async def test_every_step_has_its_gates_and_no_other_step_exists() -> None:
    """The table names each pair of adjacent phases once, but for the way back from V2_ONLY."""
    order = list(Phase)
    pairs = set(pairwise(order)) | set(pairwise(reversed(order)))
    assert set(gates.GATES) == pairs - {(Phase.V2_ONLY, Phase.V2_PRIMARY)}


@pytest.mark.parametrize("phase", [COEXIST, PRIMARY])
async def test_entities_that_stay_in_v1_close_no_gate(phase: Phase) -> None:
    """What V2 has recorded as not taken over is neither missing nor waiting, and the gate says how many there are."""
    ready = await ready_in(phase)
    meta = {"rev": 0, "intent": 0, "gone": True, "unmoved": "left"}
    await ready.database["v2"].replace_one({"_id": 1}, {"_lazymig": meta})
    plan = await ready.switch().plan("advance", accept=confirm(phase).get("accept", ()))
    assert plan.blocking == ()
    assert [one.evidence for one in plan.gates if one.name == "remaining"] == [
        "V2 holds all 5 entities but 1 not taken over"
    ]


@pytest.mark.parametrize("thorough", [False, True])
async def test_what_v2_surely_lacks_is_not_counted_one_by_one(thorough: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan believes the estimates where V2 lacks very much; a step that is about to be made counts all the same."""
    ready = await ready_in(COEXIST)
    exactly: list[bool] = []
    count_all = Counts.count_all

    async def counted(self: Counts, *, exact: bool = False) -> int:
        exactly.append(exact)
        return await count_all(self, exact=exact)

    monkeypatch.setattr(contents, "_SURELY", 2)
    monkeypatch.setattr(Counts, "count_all", counted)
    await ready.database["v1"].insert_many([{"_id": 1000 + id, "n": 1, "code": None} for id in range(COUNT + 5)])
    plan = await mover_of(ready.switch()).plan("advance", frozenset(), thorough=thorough)
    assert "remaining" in [gate.name for gate in plan.blocking]
    assert any(exactly) is thorough
