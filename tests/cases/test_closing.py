"""Cases 14g, 41 and 54: changes that alter in place, replacing what is broken, and marks that are not left open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import define, evolve, frozen

from lazymig import Migration, Phase, Repository
from lazymig.errors import ConversionError, NotFound
from tests.people import PersonV2, ada, ada_v1, people

META, REV = "_lazymig", "_lazymig_rev"


def opened(database: Any, migration: Any = None, **options: Any) -> Repository[Any, Any]:
    """A repository on the database's collections `v1` and `v2`."""
    made = migration or people()
    return Repository(made, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


# ---- case 14g -------------------------------------------------------------------------------------------------------


@define
class Box:
    """A mutable entity, one field of which may hold anything."""

    id: int
    box: Any = None
    label: str = ""


@frozen
class Crate:
    """The same as V1 has it; a missing box is an empty one in V2."""

    id: int
    box: Any = None
    label: str = ""


BOXES: Migration[Any, Any] = Migration(
    name="boxes", v1=Crate, v2=Box,
    upgrade=lambda v1: Box(v1.id, v1.box if v1.box is not None else {"n": 0}, v1.label),
    downgrade=lambda v2: Crate(v2.id, v2.box, v2.label),
)  # fmt: skip


def add_in_place(box: Any) -> Any:
    """Careless, and common."""
    box.box["n"] += 1
    return box


@pytest.mark.parametrize("stored", [None, {"n": 0}, {"n": 0, "unknown": 1}], ids=str)
async def test_case_14g_a_change_in_place_is_applied_once(database: Any, stored: Any) -> None:
    """However many attempts it takes: each starts from a fresh copy, and V1 gets what changed."""
    await database["v1"].insert_one({"_id": 1, "box": stored, "label": ""})
    repository = opened(database, BOXES)
    await repository.get(1)
    assert (await repository.update(1, add_in_place)).box["n"] == 1
    v1, v2 = await database["v1"].find_one({"_id": 1}), await database["v2"].find_one({"_id": 1})
    assert (v1["box"]["n"], v2["box"]["n"]) == (1, 1)


async def test_case_14g_a_change_in_place_that_loses_a_race_starts_afresh(database: Any) -> None:
    """A rival moves V1 between the attempts: one is added to what the rival left."""
    repository, rival = opened(database, BOXES), opened(database, BOXES)
    await repository.insert(Box(1, {"n": 0}))
    crossed = []

    async def crossing(box: Any) -> Any:
        if not crossed:
            crossed.append(await rival.update(1, lambda other: evolve(other, label="crossed")))
        return add_in_place(box)

    changed = await repository.update(1, crossing)
    assert (changed.box["n"], changed.label) == (1, "crossed")
    assert (await database["v1"].find_one({"_id": 1}))["box"] == {"n": 1}


# ---- case 41 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["v1", "v2"])
@pytest.mark.parametrize("broken", [{"name": "Plato"}, {"age": "old"}, {"tags": "none"}], ids=str)
async def test_case_41_a_known_good_entity_replaces_a_broken_one(database: Any, door: str, broken: Any) -> None:
    """The document does not convert: `replace` by either door makes it good, and keeps what no class knows."""
    await database["v1"].insert_one(ada_v1(**broken))
    repository = opened(database)
    with pytest.raises(ConversionError):
        await repository.get(1)
    good = ada(age=50)
    if door == "v2":
        assert await repository.replace(good) == good
    else:
        await repository.v1.replace(people().downgrade(good))
    assert await repository.get(1) == good
    stored = await database["v1"].find_one({"_id": 1})
    assert (stored["name"], stored["age"], stored["shoe_size"]) == ("Ada Lovelace", 50, 38)


@pytest.mark.parametrize("door", ["v1", "v2"])
async def test_case_41_a_broken_body_is_replaced(database: Any, door: str) -> None:
    """V2's body does not decode, at V1's revision: it is replaced as well."""
    await database["v1"].insert_one(ada_v1() | {REV: 1})
    await database["v2"].insert_one({"_id": 1, "first": 5, META: {"rev": 1, "intent": 1}})
    repository = opened(database)
    await (repository.replace(ada(age=50)) if door == "v2" else repository.v1.replace(people().downgrade(ada(age=50))))
    assert await repository.get(1) == ada(age=50)


async def test_replace_keeps_what_only_nested_documents_know(database: Any) -> None:
    """An entity that does convert keeps unknown fields in sub-documents, as with an update."""
    await database["v1"].insert_one({"_id": 1, "box": {"n": 1}, "label": "x", "other": {"kept": True}})
    repository = opened(database, BOXES)
    await repository.replace(Box(1, {"n": 2}, "y"))
    assert (await database["v1"].find_one({"_id": 1}))["other"] == {"kept": True}
    with pytest.raises(NotFound):
        await repository.replace(Box(2))


# ---- case 54 --------------------------------------------------------------------------------------------------------


def refuse(_person: PersonV2) -> PersonV2:
    """A change that raises."""
    raise RuntimeError("no")


async def never(_person: PersonV2) -> PersonV2:
    """A change that takes for ever."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def cancelled(repository: Any, change: Any) -> None:
    """Cancel an update while its change runs."""
    started = asyncio.Event()

    async def starting(person: PersonV2) -> PersonV2:
        started.set()
        return await change(person)

    task = asyncio.create_task(repository.update(1, starting))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def raised(repository: Any) -> None:
    with pytest.raises(RuntimeError):
        await repository.update(1, refuse)


async def raised_in_v1(repository: Any) -> None:
    with pytest.raises(RuntimeError):
        await repository.v1.update(1, refuse)


async def stopped(repository: Any) -> None:
    await cancelled(repository, never)


@pytest.mark.parametrize("failing", [raised, raised_in_v1, stopped])
@pytest.mark.parametrize("state", ["migrated", "unmigrated"])
async def test_case_54_a_change_that_fails_leaves_no_mark(database: Any, failing: Any, state: str) -> None:
    """Nothing was written, so V2 is as it was before: clean, or without the entity."""
    await database["v1"].insert_one(ada_v1())
    repository = opened(database)
    if state == "migrated":
        await repository.get(1)
    before = await database["v2"].find({}).to_list(None)
    await failing(repository)
    assert await database["v2"].find({}).to_list(None) == before
    assert await repository.get(1) == ada()


async def test_case_54_a_write_that_finds_nothing_leaves_nothing(database: Any) -> None:
    """An update of an entity that does not exist leaves no placeholder in V2."""
    repository = opened(database)
    for call in (repository.update(1, refuse), repository.delete(1), repository.v1.replace(people().downgrade(ada()))):
        with pytest.raises(NotFound):
            await call
    assert await database["v2"].count_documents({}) == 0


async def test_case_54_a_tombstone_stays_one(database: Any) -> None:
    """A write of a deleted entity leaves its tombstone, closed, for the grace period."""
    repository = opened(database)
    await repository.insert(ada())
    await repository.delete(1)
    before = (await database["v2"].find_one({"_id": 1}))[META]
    with pytest.raises(NotFound):
        await repository.update(1, refuse)
    after = (await database["v2"].find_one({"_id": 1}))[META]
    assert (after["gone"], after["rev"], after["intent"]) == (True, before["rev"], before["intent"])


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_case_54_a_document_that_v1_refuses_leaves_no_mark(database: Any) -> None:
    """A unique index on V1 refuses the update and the insert: their announcements are taken back."""
    await database["v1"].create_index("age", unique=True)
    repository = opened(database)
    await repository.insert(ada(1, age=1))
    await repository.insert(ada(2, age=2))
    before = await database["v2"].find({}).sort("_id", 1).to_list(None)
    for call in (repository.update(1, lambda person: evolve(person, age=2)), repository.insert(ada(3, age=2))):
        with pytest.raises(Exception, match="duplicate key"):
            await call
    assert await database["v2"].find({}).sort("_id", 1).to_list(None) == before
