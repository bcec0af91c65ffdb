"""What every phase promises, and what is each phase's own: on the real server, and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from pymongo.errors import AutoReconnect, DuplicateKeyError

from lazymig import AlreadyExists, ConfigurationError, ConversionError, Criteria, LazymigError, NotFound, Phase
from lazymig.repository import calls_of
from tests.layouts import Layout
from tests.people import PersonV1, PersonV2, ada, ada_v1, join, people

REV, META = "_lazymig_rev", "_lazymig"
Open = Callable[..., Any]
#: Each phase on PyMongo and in memory; on Motor those whose statements no other phase sends.
DRIVEN = [
    *((driver, phase) for driver in ("pymongo", "mock") for phase in Phase),
    ("motor", Phase.V2_PRIMARY),
    ("motor", Phase.V2_ONLY),
]
EVERY = pytest.mark.parametrize(("driver", "every"), DRIVEN)
FILLED = (Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY)
AGED_7 = Criteria(v1={"age": 7}, v2={"age": 7})


@pytest.fixture
def layout() -> Layout:
    """What the phases do with V2's own collection; the other contracts have them in one document."""
    return Layout.TWO


def on(*drivers: str) -> pytest.MarkDecorator:
    """The test runs on these drivers."""
    return pytest.mark.parametrize("driver", drivers)


def older(person: Any) -> Any:
    """A change, of either shape."""
    return evolve(person, age=(person.age or 0) + 1)


async def ids(listing: Any) -> list[Any]:
    """The ids that a listing meets, in its order."""
    return [entity.id async for entity in listing]


def refuse(_person: Any) -> Any:
    """A change that does not happen."""
    raise PermissionError("not yours")


@EVERY
async def test_both_doors_do_the_same_in_every_phase(database: Any, every: Phase, open_repository: Open) -> None:
    """Every call of both doors, with its answers and refusals; after each write, each door answers it."""
    repo = open_repository(database, phase=every)
    assert await repo.insert(ada(1)) == ada(1)
    assert await repo.v1.insert(join(ada(2))) == join(ada(2))
    for door, entity in ((repo, ada(2)), (repo.v1, join(ada(1)))):
        with pytest.raises(AlreadyExists):
            await door.insert(entity)
    assert await repo.update(1, older) == ada(1, age=37)
    assert await repo.v1.update(2, older) == join(ada(2, age=37))
    assert await repo.replace(ada(1, last="King")) == ada(1, last="King")
    assert await repo.v1.replace(PersonV1(2, "Eve Ng", 7)) == PersonV1(2, "Eve Ng", 7)
    for door in (repo, repo.v1):
        with pytest.raises(PermissionError):
            await door.update(1, refuse)
    stand = {1: ada(1, last="King"), 2: PersonV2(2, "Eve", "Ng", 7)}
    assert await repo.get_many([2, 9, 1]) == stand
    assert await repo.v1.get_many([2, 9, 1]) == {id: join(person) for id, person in stand.items()}
    assert [await repo.get(id) for id in (1, 2, 9)] == [stand[1], stand[2], None]
    assert [await repo.v1.get(id) for id in (1, 2, 9)] == [join(stand[1]), join(stand[2]), None]
    assert [await repo.exists(id) for id in (1, 2, 9)] == [True, True, False]
    await repo.delete(1)
    await repo.v1.delete(2)
    for write in (lambda: repo.update(1, older), lambda: repo.v1.update(2, older), lambda: repo.delete(1)):
        with pytest.raises(NotFound):
            await write()
    with pytest.raises(NotFound):
        await repo.replace(ada(2))
    assert await repo.get_many([1, 2]) == await repo.v1.get_many([1, 2]) == {}
    assert [await repo.get(1), await repo.v1.get(2), await repo.exists(1), await repo.count()] == [None, None, False, 0]
    await repo.v1.insert(join(ada(1, age=None)))
    await repo.insert(ada(2))
    assert await repo.get_many([1, 2]) == {1: ada(1, age=None), 2: ada(2)}


@EVERY
async def test_both_doors_list_the_same_in_every_phase(
    database: Any, every: Phase, open_repository: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By criteria in both shapes, in either direction with ties and missing values, over pages, after one."""
    for size in ("FIRST_PAGE", "PAGE"):
        monkeypatch.setattr(f"lazymig.protocol.listing.{size}", 3)
    repo = open_repository(database, phase=every)
    ages = [5, 7, None, 3, 7, 8, None, 7, 1, 9]
    for id, age in enumerate(ages):
        await repo.insert(ada(id, age=age))
    await repo.delete(9)
    await repo.delete(5)
    by_age = [2, 6, 8, 3, 0, 1, 4, 7]
    for door in (repo, repo.v1):
        assert await ids(door.list()) == [0, 1, 2, 3, 4, 6, 7, 8]
        assert await ids(door.list(sort="age")) == by_age
        assert await ids(door.list(sort=("-age", "-age"))) == by_age[::-1]
        assert await ids(door.list(AGED_7, sort="-id")) == [7, 4, 1]
        assert await ids(door.list(sort="age", after=8, limit=4)) == [3, 0, 1, 4]
        assert await ids(door.list(after=5, limit=2)) == [6, 7]
        with pytest.raises(NotFound):
            await ids(door.list(sort="age", after=5))
        assert [await door.count(), await door.count(AGED_7)] == [8, 3]
    assert [person async for person in repo.list(AGED_7, limit=1)] == [ada(1, age=7)]
    assert [person async for person in repo.v1.list(AGED_7, limit=1)] == [join(ada(1, age=7))]


@EVERY
async def test_what_each_phase_stores(database: Any, every: Phase, open_repository: Open) -> None:
    """V1 alone; V1 and announcements; both, alike and clean; V2 alone."""
    repo = open_repository(database, phase=every)
    for id in (1, 2):
        await repo.insert(ada(id))
    await repo.update(1, older)
    await repo.delete(2)
    v1 = {row["_id"]: row async for row in database["v1"].find()}
    v2 = {row["_id"]: row async for row in database["v2"].find()}
    assert [id for id, row in v1.items() if row["age"] == 37] == ([] if every is Phase.V2_ONLY else [1])
    assert [id for id, row in v2.items() if row.get("age") == 37] == ([1] if every in (*FILLED, Phase.V2_ONLY) else [])
    assert set(v2) == (set() if every is Phase.V1_ONLY else {1, 2})
    if every is Phase.PREPARE:
        assert all(set(row) == {"_id", META} and row[META]["intent"] > row[META]["rev"] == -1 for row in v2.values())
        assert v2[1][META]["intent"] == v1[1][REV]
    elif every is not Phase.V1_ONLY:
        meta = v2[1][META]
        moved = {} if every is Phase.V2_ONLY else {"by": "write"}  # nobody moves what V1 never had
        assert meta == {"rev": meta["rev"], "intent": meta["rev"], **moved}
        assert set(v2[2]) == {"_id", META}
        assert every is Phase.V2_ONLY or meta["rev"] == v1[1][REV]


@EVERY
async def test_concurrent_updates_are_all_counted_in_every_phase(
    database: Any, every: Phase, open_repository: Open
) -> None:
    """Ten increments at once, by two processes and two doors: none is lost."""
    one, other = (open_repository(database, phase=every) for _ in range(2))
    await one.insert(ada(1, age=0))
    doors = [one, other.v1, other, one.v1, one] * 2
    await asyncio.gather(*(door.update(1, older) for door in doors))
    assert await other.get(1) == ada(1, age=10)


# ---- prepare and shadow ---------------------------------------------------------------------------------------------


@on("mock")
async def test_prepare_takes_back_what_came_to_nothing(database: Any, open_repository: Open) -> None:
    """A refused insert, a change that raises and a missing entity leave no announcement behind."""
    await database["v1"].insert_one(ada_v1(1))
    repo = open_repository(database, phase=Phase.PREPARE)
    with pytest.raises(AlreadyExists):
        await repo.insert(ada(1))
    with pytest.raises(PermissionError):
        await repo.update(1, refuse)
    with pytest.raises(NotFound):
        await repo.delete(2)
    assert await database["v2"].count_documents({}) == 0


@on("mock")
async def test_prepare_believes_v1_whatever_v2_holds(database: Any, open_repository: Open) -> None:
    """What an earlier attempt left in V2 neither answers, nor is written back, nor keeps an insert out."""
    outdated = {"first": "Old", "last": "One", "age": 1, "tags": [], "note": None, META: {"rev": 0, "intent": 0}}
    await database["v1"].insert_one(ada_v1(1))
    await database["v2"].insert_many([{"_id": 1, **outdated}, {"_id": 2, **outdated}])
    repo = open_repository(database, phase=Phase.PREPARE)
    assert await repo.get_many([1, 2]) == {1: ada(1)}
    assert await repo.update(1, older) == ada(1, age=37)
    await repo.insert(ada(2))
    assert [person async for person in repo.list()] == [ada(1, age=37), ada(2)]
    assert await open_repository(database, phase=Phase.COEXIST).get_many([1, 2]) == {1: ada(1, age=37), 2: ada(2)}


@on("mock")
@pytest.mark.parametrize("options", [{}, {"write_behind": True}, {"checked": True}], ids=str)
async def test_shadow_fills_and_repairs_v2(database: Any, open_repository: Open, options: Any) -> None:
    """Reads of one and of many store what V2 lacks or is behind with, and answer what V1 holds."""
    await database["v1"].insert_many([ada_v1(id) | {REV: 3} for id in range(1, 5)])
    behind = {"first": "Old", "last": "One", "age": 1, "tags": [], "note": "n", META: {"rev": 2, "intent": 3}}
    await database["v2"].insert_one({"_id": 1, **behind})
    async with open_repository(database, phase=Phase.SHADOW, **options) as repo:
        assert [await repo.get(id) for id in (1, 2)] == [ada(1), ada(2)]
        assert await repo.get_many([2, 3, 4, 9]) == {id: ada(id) for id in (2, 3, 4)}
    v2 = {row["_id"]: (row["first"], row["note"], row[META]["rev"]) async for row in database["v2"].find()}
    assert v2 == {1: ("Ada", "n", 3), **dict.fromkeys((2, 3, 4), ("Ada", None, 3))}


@on("mock")
async def test_shadow_answers_while_v2_is_away(
    database: Any, open_repository: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No failure of V2 reaches a reader."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2)])
    repo = open_repository(database, phase=Phase.SHADOW)

    async def fail(*_: Any) -> Any:
        raise AutoReconnect("away")

    for name in ("find", "find_many"):
        monkeypatch.setattr(calls_of(repo).pair.bodies, name, fail)
    assert await repo.get(1) == ada(1)
    assert await repo.get_many([1, 2]) == {1: ada(1), 2: ada(2)}
    assert [await ids(repo.list()), await repo.count(), await repo.exists(2)] == [[1, 2], 2, True]
    assert repo.tally.counts["lazymig.v2_away"] == 2


# ---- v2_primary -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def primary(database: Any, open_repository: Open) -> Any:
    """Three people in `v2_primary`: aged 36, 7 and 7."""
    repo = open_repository(database, phase=Phase.V2_PRIMARY)
    for id, age in ((1, 36), (2, 7), (3, 7)):
        await repo.insert(ada(id, age=age))
    return repo


async def written_without_v2(database: Any, repo: Any, id: int, **changed: Any) -> None:
    """What a process of `coexist` leaves whose last step fails: V1 has the write, and V2 is dirty."""
    pair = calls_of(repo).pair
    ticket = await pair.ledger.ticket(id)
    if not changed:
        await database["v1"].delete_one({"_id": id})
        return
    await database["v1"].update_one({"_id": id}, {"$set": changed | {REV: ticket.intent}}, upsert=True)


@on("pymongo", "mock")
async def test_v2_decides_what_is_listed_and_how(primary: Any) -> None:
    """V2's side of the criteria and of the order; V1's view goes on by V1's."""
    await primary.update(1, lambda person: evolve(person, first="Zoe", last="Abel"))
    await primary.update(2, lambda person: evolve(person, note="n"))
    assert await ids(primary.list(Criteria(v1={"name": "nobody"}, v2={"note": "n"}))) == [2]
    assert await primary.count(Criteria(v1={"name": "nobody"}, v2={"note": "n"})) == 1
    assert await ids(primary.list(sort=("name", "last"))) == [1, 2, 3]
    assert await ids(primary.v1.list(sort=("name", "last"))) == [2, 3, 1]
    assert await ids(primary.v1.list(Criteria(v1={"name": "Zoe Abel"}, v2={"note": "n"}))) == [1]


@on("pymongo", "mock")
async def test_an_entity_that_v2_lacks_does_not_exist(database: Any, primary: Any) -> None:
    """It is neither read nor listed nor counted, and V1 is not asked for it."""
    await database["v1"].insert_one(ada_v1(9))
    assert [await primary.get(9), await primary.exists(9), await primary.get_many([9])] == [None, False, {}]
    assert [await ids(primary.list()), await primary.count()] == [[1, 2, 3], 3]
    assert await database["v2"].count_documents({"_id": 9}) == 0


@on("pymongo", "mock")
async def test_what_another_process_left_dirty_is_listed_as_v1_has_it(database: Any, primary: Any) -> None:
    """Writes that V2 has not got: changed into and out of the question, inserted, deleted."""
    await written_without_v2(database, primary, 1, age=7)
    await written_without_v2(database, primary, 2, age=8)
    await written_without_v2(database, primary, 3)
    await written_without_v2(database, primary, 4, name="Eve Ng", age=7, tags=[])
    new = PersonV2(4, "Eve", "Ng", 7)
    assert await primary.count(AGED_7) == 2
    assert [person async for person in primary.list(AGED_7)] == [ada(1, age=7), new]
    assert [person async for person in primary.list(sort="age")] == [ada(1, age=7), new, ada(2, age=8)]
    assert await primary.count() == 3
    assert await primary.get_many([1, 2, 3, 4]) == {1: ada(1, age=7), 2: ada(2, age=8), 4: new}


@on("mock")
async def test_what_moves_while_its_page_is_read_is_answered_by_v1(
    database: Any, primary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V1's side decides whether it still matches; a deleted one is left out; the others keep V2's place."""
    bodies = calls_of(primary).pair.bodies
    page = bodies.page

    async def page_later(*arguments: Any) -> Any:
        await written_without_v2(database, primary, 1, age=8, name="Zoe King")
        await written_without_v2(database, primary, 2)
        await written_without_v2(database, primary, 3, age=70)
        return await page(*arguments)

    monkeypatch.setattr(bodies, "page", page_later)
    below_50 = Criteria(v1={"age": {"$lt": 50}}, v2={"age": {"$lt": 50}})
    assert [person async for person in primary.list(below_50)] == [PersonV2(1, "Zoe", "King", 8, ["math"])]


@on("mock")
async def test_a_body_of_an_older_conversion_is_answered_by_v1(
    database: Any, primary: Any, open_repository: Open
) -> None:
    """It is found by V2's fields, and V1's present conversion is the answer."""
    newer = people(revision=2, upgrade=lambda v1: PersonV2(v1.id, "New", "Name", v1.age, v1.tags))
    repo = open_repository(database, phase=Phase.V2_PRIMARY, migration=newer)
    found = [person async for person in repo.list(Criteria(v1={}, v2={"first": "Ada"}), limit=1)]
    assert found == [PersonV2(1, "New", "Name", 36, ["math"])]


@on("mock")
@pytest.mark.parametrize("write_behind", [False, True])
@pytest.mark.parametrize("call", ["insert", "update", "delete", "V1 update"])
async def test_a_write_that_v2_did_not_get_is_not_acknowledged(
    database: Any, open_repository: Open, monkeypatch: pytest.MonkeyPatch, call: str, write_behind: bool
) -> None:
    """The driver's error, also with `write_behind`; V1 has the write, and reads and listings answer it."""
    repo = open_repository(database, phase=Phase.V2_PRIMARY, write_behind=write_behind)
    await repo.insert(ada(1))
    bodies = calls_of(repo).pair.bodies

    async def fail(*_: Any, **__: Any) -> Any:
        raise AutoReconnect("away")

    writes: dict[str, Callable[[], Any]] = {
        "insert": lambda: repo.insert(ada(2)),
        "update": lambda: repo.update(1, older),
        "delete": lambda: repo.delete(1),
        "V1 update": lambda: repo.v1.update(1, older),
    }
    with monkeypatch.context() as broken:
        for name in ("apply", "bury"):
            broken.setattr(bodies, name, fail)
        with pytest.raises(AutoReconnect):
            await writes[call]()
    expected = {
        "insert": [ada(1), ada(2)], "update": [ada(1, age=37)], "delete": [], "V1 update": [ada(1, age=37)],
    }[call]  # fmt: skip
    assert [person async for person in repo.list()] == expected
    assert list((await repo.get_many([1, 2])).values()) == expected
    assert await repo.count() == len(expected)
    assert repo.tally.counts["lazymig.left_dirty"] == 1


@on("pymongo")
async def test_a_body_that_v2_refuses_is_an_error(database: Any, primary: Any) -> None:
    """It names the entity and what refuses it; reads answer what V1 has."""
    await database["v2"].create_index("note", unique=True, partialFilterExpression={"note": {"$type": "string"}})
    await primary.update(1, lambda person: evolve(person, note="mine"))
    with pytest.raises(LazymigError, match=r"^V2 refuses the body of the entity with id 2, by a unique index"):
        await primary.update(2, lambda person: evolve(person, note="mine", age=50))
    assert await primary.get(2) == ada(2, age=50)
    assert (await database["v1"].find_one({"_id": 2}))["age"] == 50


@on("pymongo")
@pytest.mark.parametrize("every", [Phase.V2_PRIMARY, Phase.V2_ONLY])
async def test_a_v2_that_was_never_filled_is_refused(database: Any, every: Phase, open_repository: Open) -> None:
    """The first call says how many documents each side holds; once V2 is filled, calls go through."""
    await database["v1"].insert_many([ada_v1(id) for id in range(5)])
    repo = open_repository(database, phase=every)
    for call in (lambda: repo.get(1), lambda: repo.insert(ada(9)), lambda: ids(repo.list())):
        with pytest.raises(ConfigurationError, match=r"holds 0 documents and v1 .* 5, but in this phase"):
            await call()
    assert await database["v2"].count_documents({}) == 0
    await open_repository(database, phase=Phase.COEXIST).get_many(range(5))
    assert await repo.get(1) == ada(1)


# ---- v2_only --------------------------------------------------------------------------------------------------------


@on("pymongo", "mock")
async def test_v2_only_ignores_v1_marks_and_conversion_revisions(
    database: Any, primary: Any, open_repository: Open
) -> None:
    """V2's body answers, whatever V1 holds and whatever was announced; the next write closes that."""
    await database["v1"].update_many({}, {"$set": {"name": "Some Body"}})
    await calls_of(primary).pair.ledger.ticket(1)
    before = await database["v1"].find().to_list(None)
    repo = open_repository(database, phase=Phase.V2_ONLY, migration=people(revision=3))
    assert await repo.get(1) == ada(1)
    assert [await ids(repo.list(AGED_7)), await repo.count()] == [[2, 3], 3]
    assert await repo.update(1, older) == ada(1, age=37)
    stored = (await database["v2"].find_one({"_id": 1}))[META]
    assert stored == {"rev": stored["intent"], "intent": stored["intent"], "by": "write", "conv": 3}
    await repo.delete(2)
    await repo.v1.insert(join(ada(2, age=1)))
    assert await repo.get(2) == ada(2, age=1)
    assert await database["v1"].find().to_list(None) == before


@on("mock")
async def test_v2_only_needs_no_downgrade_at_v2s_door(database: Any, open_repository: Open) -> None:
    """What V1 cannot express is stored and changed; only V1's door says that it cannot show it."""

    def downgrade(v2: PersonV2) -> PersonV1:
        raise ValueError("not expressible")

    repo = open_repository(database, phase=Phase.V2_ONLY, migration=people(downgrade=downgrade))
    await repo.insert(ada(1, note="n"))
    await repo.update(1, older)
    await repo.replace(ada(1, note="m"))
    assert await repo.get(1) == ada(1, note="m")
    for call in (lambda: repo.v1.get(1), lambda: repo.v1.update(1, older), lambda: ids(repo.v1.list())):
        with pytest.raises(ConversionError) as caught:
            await call()
        assert caught.value.direction == "downgrade"
    assert list(await repo.v1.get_many([1], on_error="return")) == [1]


@on("mock")
async def test_v1s_door_keeps_what_only_v2_has(database: Any, open_repository: Open) -> None:
    """`upgrade` gets the stored entity as `previous`; a replace of an unreadable one goes without."""
    repo = open_repository(database, phase=Phase.V2_ONLY)
    await repo.insert(ada(1, note="n"))
    await repo.v1.update(1, older)
    assert await repo.get(1) == ada(1, age=37, note="n")
    await repo.v1.replace(PersonV1(1, "Eve Ng", 5))
    assert await repo.get(1) == PersonV2(1, "Eve", "Ng", 5, [], "n")
    await database["v2"].update_one({"_id": 1}, {"$set": {"age": "old"}})
    with pytest.raises(ConversionError):
        await repo.get(1)
    await repo.v1.replace(PersonV1(1, "Eve Ng", 6))
    assert await repo.get(1) == PersonV2(1, "Eve", "Ng", 6)


@on("pymongo")
async def test_v2s_unique_index_refuses_a_write_of_v2_only(database: Any, open_repository: Open) -> None:
    """The driver's `DuplicateKeyError`, as V1's would; nothing was written."""
    repo = open_repository(database, phase=Phase.V2_ONLY)
    await repo.insert(ada(1))
    await repo.insert(ada(2, last="King"))
    await database["v2"].create_index("last", unique=True, partialFilterExpression={"last": {"$exists": True}})
    with pytest.raises(DuplicateKeyError):
        await repo.update(2, lambda person: evolve(person, last="Lovelace"))
    with pytest.raises(DuplicateKeyError):
        await repo.insert(ada(3))
    assert [person async for person in repo.list()] == [ada(1), ada(2, last="King")]


# ---- sessions -------------------------------------------------------------------------------------------------------


@on("pymongo")
@pytest.mark.parametrize("every", [Phase.V2_PRIMARY, Phase.V2_ONLY])
async def test_a_transaction_happens_as_a_whole(database: Any, every: Phase, open_repository: Open) -> None:
    """Every call within it sees its own writes; after an abort none of them happened, after a commit all have."""
    for name in ("v1", "v2"):
        await database.create_collection(name)
    repo = open_repository(database, phase=every)
    for id in (1, 2, 3):
        await repo.insert(ada(id))
    await repo.delete(3)

    async def every_call(bound: Any) -> None:
        await bound.update(1, older)
        await bound.v1.update(1, older)
        await bound.delete(2)
        await bound.insert(ada(3))  # over a tombstone
        await bound.insert(ada(4, age=1))
        with pytest.raises(AlreadyExists):
            await bound.insert(ada(1))
        with pytest.raises(NotFound):
            await bound.v1.delete(2)
        assert await bound.get_many([1, 2, 4]) == {1: ada(1, age=38), 4: ada(4, age=1)}
        assert await ids(bound.list(sort="age")) == [4, 3, 1]
        assert await bound.count() == 3

    async with database.client.start_session() as session:
        await session.start_transaction()
        await every_call(repo.with_session(session))
        assert await repo.get_many([1, 2, 3, 4]) == {1: ada(1), 2: ada(2)}
        await session.abort_transaction()
        assert await ids(repo.list()) == [1, 2]
        await session.with_transaction(lambda session: every_call(repo.with_session(session)))
    assert await repo.get_many([1, 2, 3, 4]) == {1: ada(1, age=38), 3: ada(3), 4: ada(4, age=1)}
