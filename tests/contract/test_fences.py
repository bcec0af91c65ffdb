"""The fences of the seal on the server: what is stored, what is refused and to whom, and what lifting restores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve
from bson import Int64, Regex
from pymongo.errors import OperationFailure, WriteError

from lazymig import LazymigError, Phase, PhaseError, Repository
from lazymig.protocol import sealing
from lazymig.protocol.distrusting import raise_all_intents
from lazymig.protocol.seals import Fleet, Terms
from lazymig.repository import calls_of
from lazymig.stores.fences import MongoFence
from lazymig.stores.fencing import RULES, Ability, find_fencing, is_refused_by_fence
from lazymig.stores.mongo_v1 import V1Store
from lazymig.stores.mongo_v2 import V2Store
from lazymig.stores.records import Applied, Put
from lazymig.stores.v2_alone import AloneStore
from tests.people import ada, join, people

META, REV = "_lazymig", "_lazymig_rev"
NOW = datetime(2024, 5, 1)
IN_S = 2.0
SERVERS = pytest.mark.parametrize("driver", ["pymongo", "motor"])
ONE = pytest.mark.parametrize("driver", ["pymongo"])
#: A user's validators with how they are enforced; of each kind of value one that a careless copy would change.
STRICT = {"validationLevel": "strict", "validationAction": "error"}
RULE = {"count": {"$not": {"$lt": Int64(0)}}, "name": {"$not": Regex("^no", "i")}, "made": {"$ne": datetime(1, 1, 1)}}
OWN: dict[str, dict[str, Any]] = {
    "none": {},
    "strict": {"validator": RULE, **STRICT},
    "a schema": {
        "validator": {"$jsonSchema": {"required": ["_id"]}},
        "validationLevel": "strict",
        "validationAction": "error",
    },
    "moderate": {"validator": RULE, "validationLevel": "moderate", "validationAction": "error"},
    "warning": {"validator": RULE, "validationLevel": "strict", "validationAction": "warn"},
    "off": {"validator": RULE, "validationLevel": "off", "validationAction": "error"},
}


async def options(collection: Any) -> dict[str, Any]:
    """What the server says of the collection."""
    found = await collection.database.command("listCollections", 1, filter={"name": collection.name})
    return found["cursor"]["firstBatch"][0]["options"]


def live(id: Any = 1, rev: int = 3, intent: int = 3, **body: Any) -> dict[str, Any]:
    """A V2 document with a body."""
    return {"_id": id, "first": "Ada", **body, META: {"rev": rev, "intent": intent, "by": "sweep"}}


async def fenced(database: Any) -> None:
    """Both collections have their fences."""
    for side in ("v1", "v2"):
        assert (await MongoFence(database[side], side).put_up("k", IN_S)).stands  # type: ignore[arg-type]


@SERVERS
@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("side", ["v1", "v2"])
async def test_lifting_restores_what_was_there(database: Any, side: Any, own: str) -> None:
    """The user's validator is kept beside the fence, also over a second attempt, and is back unchanged afterwards."""
    await database.create_collection("c", **OWN[own])
    before, fence = await options(database["c"]), MongoFence(database["c"], side)
    assert (await fence.look()).ability is Ability.OPEN
    for key in ("first", "second"):
        barrier = await fence.put_up(key, IN_S)
        assert (barrier.stands, barrier.key) == (True, key)
        assert await fence.look() == barrier
    stored = await options(database["c"])
    assert stored["validator"]["$and"][2] == RULES[side]
    assert (stored["validationLevel"], stored["validationAction"]) == ("strict", "error")
    found = find_fencing(stored)
    assert found is not None
    assert found.own.validator == OWN[own].get("validator", {})
    assert (await fence.take_down(IN_S, "first")).stands, "another attempt's fence is not this one's to lift"
    assert (await fence.take_down(IN_S, "second")).ability is Ability.OPEN
    assert await options(database["c"]) == {**STRICT, **before}
    assert (await fence.take_down(IN_S)).ability is Ability.OPEN


@ONE
async def test_the_users_rule_holds_beside_the_fence_as_before(database: Any) -> None:
    """A rule that refuses still does; one that only warns, or is off, does not begin to."""
    for own in ("strict", "warning", "off"):
        await database.create_collection(own, **OWN[own])
        await MongoFence(database[own], "v2").put_up("k", IN_S)
    with pytest.raises(WriteError) as refused:
        await database["strict"].insert_one(live(count=-1))
    assert not is_refused_by_fence(refused.value)
    for own in ("warning", "off"):
        await database[own].insert_one(live(count=-1))
        with pytest.raises(WriteError) as announced:
            await database[own].insert_one(live(2, 3, 4))
        assert is_refused_by_fence(announced.value)


@ONE
async def test_a_moderate_rule_is_fenced_only_where_all_satisfy_it(database: Any) -> None:
    """Beside a fence it would refuse changes that it lets through: so it is looked whether there could be any."""
    await database["c"].insert_one(live(count=-1))
    await database.command("collMod", "c", **OWN["moderate"])
    fence = MongoFence(database["c"], "v2")
    barrier = await fence.rehearse(IN_S, IN_S)
    assert (barrier.ability, barrier.lasting) == (Ability.LOOSE, True)
    assert "correct them" in barrier.why
    await database["c"].update_one({}, {"$set": {"count": 1}})
    assert (await fence.rehearse(IN_S, IN_S)).ability is Ability.OPEN
    assert find_fencing(await options(database["c"])) is None, "a rehearsal changes nothing"


@ONE
async def test_where_no_fence_can_be_put_up_the_answer_says_why(database: Any, server_database: Any) -> None:
    """A collection that does not exist, a view, and one that an open transaction holds; that one within the time."""
    assert (await MongoFence(database["nowhere"], "v1").put_up("k", IN_S)).ability is Ability.ABSENT
    await database.create_collection("view", viewOn="c", pipeline=[])
    assert (await MongoFence(database["view"], "v2").put_up("k", IN_S)).ability is Ability.UNSUPPORTED
    await database["c"].insert_one(live())
    async with database.client.start_session() as session:
        await session.start_transaction()
        await database["c"].update_one({}, {"$set": {"first": "Eve"}}, session=session)
        barrier = await MongoFence(database["c"], "v2").put_up("k", 0.05)
        assert (barrier.ability, barrier.lasting) == (Ability.BUSY, False)
        assert "try again" in barrier.why
        await session.abort_transaction()
    assert find_fencing(await options(database["c"])) is None


@pytest.mark.parametrize("driver", ["mock"])
async def test_in_memory_there_are_no_fences(database: Any) -> None:
    """Every method says so."""
    fence = MongoFence(database["c"], "v1")
    for ask in (fence.look(), fence.rehearse(IN_S, IN_S), fence.put_up("k", IN_S), fence.take_down(IN_S)):
        assert (await ask).ability is Ability.IN_MEMORY


# ---- what is refused ------------------------------------------------------------------------------------------------

Step = Callable[[V1Store, V2Store], Awaitable[object]]
#: The statements that the fences refuse, on a document whose V2 is clean at 3, on one that V2 holds a tombstone of, and
#: on one that neither side holds.
FORBIDDEN: dict[str, Step] = {
    "ticket": lambda _, v2: v2.ticket(1),
    "ticket of an absent one": lambda _, v2: v2.ticket(9),
    "vacant ticket": lambda _, v2: v2.vacant_ticket(2, 5),
    "vacant ticket of an absent one": lambda _, v2: v2.vacant_ticket(9, 5),
    "raise": lambda _, v2: v2.raise_intent(1, 4),
    "raise to where V2 is": lambda _, v2: v2.raise_intent(1, 3),
    "raise to what V2 is past": lambda _, v2: v2.raise_intent(1, 2),
    "raise each": lambda _, v2: v2.raise_each([1]),
    "vacate": lambda _, v2: vacate(v2),
    "V1 insert": lambda v1, _: v1.insert(9, {"name": "Eve"}, 5),
    "V1 insert of one that exists": lambda v1, _: v1.insert(1, {"name": "Eve"}, 5),
    "V1 compare-and-set": lambda v1, _: v1.compare_and_set(1, 3, 4, {"name": "Eve"}),
}


async def vacate(v2: V2Store) -> bool:
    """Announce an insert over the document that stands."""
    seen = await v2.find(1)
    assert seen is not None
    return await v2.vacate(seen, 8)


async def filled(database: Any) -> tuple[V1Store, V2Store]:
    """Both stores on fenced collections with some documents."""
    await database["v1"].insert_one({"_id": 1, "name": "Ada", REV: 3})
    await database["v2"].insert_many([live(), {"_id": 2, META: {"rev": 5, "intent": 5, "gone": True, "at": NOW}}])
    await database["v2"].insert_one({"_id": "foreign"})
    await fenced(database)
    return V1Store(database["v1"]), V2Store(database["v2"])


async def contents(database: Any) -> list[Any]:
    """All documents."""
    return [await database[side].find().sort("_id", 1).to_list(None) for side in ("v1", "v2")]


@SERVERS
@pytest.mark.parametrize("step", FORBIDDEN)
async def test_the_fences_refuse_what_a_late_process_must_not_do(database: Any, step: str) -> None:
    """Each announcement, and each insert and update of V1, is refused by the fence, and nothing is stored."""
    v1, v2 = await filled(database)
    before = await contents(database)
    with pytest.raises(OperationFailure) as refused:
        await FORBIDDEN[step](v1, v2)
    assert is_refused_by_fence(refused.value)
    assert await contents(database) == before


@ONE
async def test_the_fences_let_pass_what_is_harmless(database: Any) -> None:
    """V2's own writes in `v2_only`, bodies and tombstones that leave nothing open, foreign documents, V1's deletes."""
    v1, v2 = await filled(database)
    alone = AloneStore(database["v2"])
    seen = await alone.find_local(1)
    assert seen is not None
    assert await alone.replace(seen, {"first": "Eve"})
    seen = await alone.find_local(1)
    assert seen is not None
    assert await alone.bury(seen)
    assert await alone.insert(7, {"first": "Eve"}, 6)
    assert await v2.apply(7, {"first": "Eve"}, 8, own=True) is Applied.APPLIED
    assert await v2.bury(7, 9) is Applied.APPLIED
    assert await v2.put_if_absent(8, {"first": "Eve"}, 4) is Put.STORED
    await database["v2"].update_one({"_id": "foreign"}, {"$set": {"first": "Eve"}})
    assert await v1.compare_and_set(1, 2, 4, {"name": "Eve"}) is False, "a write that matches nothing is not validated"
    await v1.confirm_missing(9)
    assert await v1.delete(1, 3)


@ONE
async def test_a_body_under_an_open_announcement_is_refused(database: Any) -> None:
    """It would leave the announcement open. Its writer learns that V2 does not have the body."""
    await database["v2"].insert_one(live(1, 3, 6))
    await MongoFence(database["v2"], "v2").put_up("k", IN_S)
    assert await V2Store(database["v2"]).apply(1, {"first": "Eve"}, 4, own=True) is Applied.REFUSED
    assert (await database["v2"].find_one({}))[META]["rev"] == 3


# ---- whom it is refused to ------------------------------------------------------------------------------------------


def opened(database: Any, phase: Phase, **changed: Any) -> Repository[Any, Any]:
    """A repository in this phase."""
    return Repository(people(), v1=database["v1"], v2=database["v2"], phase=phase, **changed)


@SERVERS
@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY])
async def test_a_late_process_learns_that_the_migration_has_gone_on(database: Any, phase: Phase) -> None:
    """Each write of each door is a `PhaseError` in the phases before, without the server's words; reads go on."""
    await opened(database, Phase.COEXIST).insert(ada(1))
    await fenced(database)
    repo, before = opened(database, phase), await contents(database)
    for write in (
        lambda: repo.update(1, lambda person: evolve(person, age=7)),
        lambda: repo.replace(ada(1, age=7)),
        lambda: repo.insert(ada(2)),
        lambda: repo.v1.update(1, lambda person: evolve(person, age=7)),
        lambda: repo.v1.insert(join(ada(3))),
    ):
        with pytest.raises(PhaseError, match="has gone on to v2_only") as late:
            await write()
        assert late.value.__cause__ is None
        assert "validation" not in str(late.value)
    if phase is not Phase.V1_ONLY:  # whose deletes nothing announces
        with pytest.raises(PhaseError, match="has gone on to v2_only"):
            await repo.delete(1)
    assert await contents(database) == before
    assert await repo.get(1) == ada(1)


@ONE
async def test_v2_only_works_beside_both_fences(database: Any) -> None:
    """Every write of both doors, from the first call on, whose check finds nothing wrong with the fences."""
    await opened(database, Phase.COEXIST).insert(ada(1))
    await fenced(database)
    repo = opened(database, Phase.V2_ONLY)
    assert await repo.update(1, lambda person: evolve(person, age=7)) == ada(1, age=7)
    assert await repo.insert(ada(2)) == ada(2)
    await repo.delete(1)
    assert await repo.insert(ada(1)) == ada(1)
    assert await repo.v1.get(2) is not None
    await repo.v1.delete(2)
    assert await repo.count() == 1


# ---- the seal itself ------------------------------------------------------------------------------------------------


class Requests:
    """A fleet of one, and what it was asked."""

    def __init__(self, *, switches: bool = True, held: Callable[[], Awaitable[object]] | None = None) -> None:
        self.asked: list[str] = []
        self._switches = switches
        self._held = held

    @property
    def fleet(self) -> Fleet:
        """What the seal is given."""
        return Fleet(hold=self._hold, switch=self._switch, release=self._release)

    async def _hold(self) -> float:
        self.asked.append("hold")
        if self._held is not None:
            await self._held()
        return 0.0

    async def _switch(self) -> bool:
        self.asked.append("switch")
        return self._switches

    async def _release(self) -> None:
        self.asked.append("release")


async def standing(database: Any) -> list[bool]:
    """Whether V1 and V2 are fenced."""
    return [find_fencing(await options(database[side])) is not None for side in ("v1", "v2")]


async def prepared(database: Any) -> Any:
    """Entities in both collections, one of them with an open mark, one whose delete died half way."""
    repo = opened(database, Phase.V2_PRIMARY)
    for id in range(1, 6):
        await opened(database, Phase.COEXIST).insert(ada(id))
    ledger = calls_of(repo).pair.ledger
    await ledger.ensure_mark_index()
    await ledger.ticket(2)
    await ledger.ticket(3)
    await database["v1"].delete_one({"_id": 3})
    return calls_of(repo).pair


@SERVERS
async def test_a_seal_heals_buries_fences_and_switches(database: Any) -> None:
    """It says how many marks it met and how long writes were held; both fences stand, and no mark is open."""
    pair, requests = await prepared(database), Requests()
    made = await sealing.seal(pair, sealing.fences_of(pair), requests.fleet, Terms(key="k"))
    assert (made.sealed, made.fenced, made.why, made.healed, made.buried) == (True, True, "", 1, 1)
    assert 0 < made.held_s < 5
    assert requests.asked == ["hold", "switch", "release"]
    assert await standing(database) == [True, True]
    assert [document[META]["rev"] == document[META]["intent"] async for document in database["v2"].find()] == [True] * 5
    repo = opened(database, Phase.V2_ONLY)
    assert [await repo.get(id) for id in (2, 3)] == [ada(2), None]


@ONE
async def test_a_late_writer_lifts_the_seal_and_is_named(database: Any) -> None:
    """It announced a write after the marks were healed: both fences are gone, and the answer has its id."""
    pair, requests = await prepared(database), Requests()
    fences = sealing.fences_of(pair)

    class Late(MongoFence):
        async def put_up(self, key: str, within_s: float) -> Any:
            await pair.ledger.ticket(4)
            return await super().put_up(key, within_s)

    made = await sealing.seal(pair, evolve(fences, v2=Late(pair.ledger, "v2")), requests.fleet, Terms(key="k"))
    assert (made.sealed, made.fenced, made.late) == (False, False, (4,))
    assert "with the ids 4" in made.why
    assert requests.asked == ["hold", "release"]
    assert await standing(database) == [False, False]


@ONE
async def test_the_phase_is_not_switched_where_a_fence_vanished(database: Any) -> None:
    """Somebody lifts a fence while the seal looks for marks: it is given up."""
    pair, requests = await prepared(database), Requests()
    fences = sealing.fences_of(pair)
    find_each = type(pair.v1).find_each

    async def lifted(store: Any, ids: Any, question: Any = None) -> Any:
        if await standing(database) == [True, True]:
            await database.command("collMod", "v2", validator={})
        return await find_each(store, ids, question)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(pair.v1), "find_each", lifted)
        made = await sealing.seal(pair, fences, requests.fleet, Terms(key="k"))
    assert not made.sealed
    assert "v2: " in made.why
    assert "is not fenced" in made.why
    assert requests.asked == ["hold", "release"]
    assert await standing(database) == [False, False]


@ONE
@pytest.mark.parametrize("why", ["lost", "cancelled", "busy"])
async def test_whatever_fails_before_the_switch_lifts_both_fences(database: Any, why: str) -> None:
    """A record that somebody changed, a cancellation with both fences up, an open transaction over V1."""
    pair, requests = await prepared(database), Requests(switches=why != "lost")
    fences = sealing.fences_of(pair)
    looked = asyncio.Event()

    class Stuck(MongoFence):
        async def put_up(self, key: str, within_s: float) -> Any:
            barrier = await super().put_up(key, within_s)
            looked.set()
            await asyncio.Event().wait()
            return barrier

    if why == "cancelled":
        stuck = evolve(fences, v1=Stuck(pair.v1, "v1"))
        sealed = asyncio.create_task(sealing.seal(pair, stuck, requests.fleet, Terms(key="k", within_s=None)))
        await looked.wait()
        assert await standing(database) == [True, True]
        sealed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sealed
    elif why == "busy":
        async with database.client.start_session() as session:

            async def held() -> None:
                await session.start_transaction()
                await database["v1"].update_one({"_id": 1}, {"$set": {"x": 1}}, session=session)

            requests = Requests(held=held)
            made = await sealing.seal(pair, fences, requests.fleet, Terms(key="k", change_s=0.05))
            await session.abort_transaction()
        assert not made.sealed
        assert "try again" in made.why
    else:
        made = await sealing.seal(pair, fences, requests.fleet, Terms(key="k"))
        assert not made.sealed
        assert "changed meanwhile" in made.why
    assert requests.asked[-1] == "release"
    assert await standing(database) == [False, False]


@ONE
async def test_an_unknown_switch_leaves_the_fences(database: Any) -> None:
    """Nobody knows whether the phase is `v2_only` now: lifting may open V2 to late writers, so a person decides."""
    pair = await prepared(database)
    fences = sealing.fences_of(pair)

    async def unknown() -> bool:
        raise TimeoutError

    fleet = evolve(Requests().fleet, switch=unknown)
    with pytest.raises(TimeoutError) as raised:
        await sealing.seal(pair, fences, fleet, Terms(key="k"))
    assert "the fences of V1 and V2 stay" in raised.value.__notes__[0]
    assert await standing(database) == [True, True]
    assert not any(barrier.stands for barrier in await sealing.lift(fences))
    assert await standing(database) == [False, False]


@ONE
async def test_where_v1_cannot_be_fenced_the_seal_waits_for_a_decision(database: Any) -> None:
    """Nothing is held and the reason is said; with the leases only it goes on, and says what is missing."""
    repo = opened(database, Phase.V2_PRIMARY)
    await database.create_collection("v2")
    pair, requests = calls_of(repo).pair, Requests()
    made = await sealing.seal(pair, sealing.fences_of(pair), requests.fleet, Terms(key="k"))
    assert (made.sealed, requests.asked) == (False, [])
    assert "does not exist" in made.why
    made = await sealing.seal(pair, sealing.fences_of(pair), requests.fleet, Terms(key="k", leases_only=True))
    assert (made.sealed, made.fenced, requests.asked) == (True, False, ["hold", "switch", "release"])
    assert len(made.unfenced) == 1


@ONE
async def test_all_intents_are_raised_in_batches_across_types_of_ids(database: Any) -> None:
    """Every document of lazymig's is dirty and marked then, a second time too; foreign ones stay as they are."""
    ids = [1, 2.5, "a", "b", {"x": 1}, b"1", True, NOW]
    await database["v2"].insert_many([live(id) for id in ids] + [{"_id": "foreign"}])
    pair = calls_of(opened(database, Phase.PREPARE)).pair
    for times in (1, 2):
        assert await raise_all_intents(pair, batch=2) == len(ids)
        found = [document async for document in database["v2"].find({META: {"$exists": True}})]
        assert {document[META]["intent"] for document in found} == {3 + times}
        assert all("at" in document[META] and document["first"] == "Ada" for document in found)
    assert await database["v2"].find_one({"_id": "foreign"}) == {"_id": "foreign"}


def test_an_error_of_the_users_own_rule_is_not_the_fences() -> None:
    """Only the fence's own condition counts, and what the document holds is not looked at."""
    mine = {"errInfo": {"details": {"operatorName": "$lt", "specifiedAs": {"a": {"$lt": 1}}, "consideredValue": 5}}}
    assert not is_refused_by_fence(WriteError("Document failed validation", 121, mine))
    assert not is_refused_by_fence(WriteError("Document failed validation", 121, {}))
    assert not is_refused_by_fence(LazymigError("x"))
