"""The V1 view: the same calls in V1's types, whose writes keep V2 exact, in each phase and layout on every driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from lazymig import AlreadyExists, ConversionError, Criteria, NotFound, Phase, Repository
from tests.layouts import META, REV, Layout
from tests.people import PersonV1, PersonV2, ada, ada_v1

ADA = PersonV1(1, "Ada Lovelace", 36, ["math"])


@pytest.fixture
def repository(database: Any, phase: Phase, open_repository: Callable[..., Any]) -> Repository[PersonV1, PersonV2]:
    """People, in one of the phases."""
    return open_repository(database, phase=phase)


async def assert_exact(repository: Repository[PersonV1, PersonV2], database: Any, layout: Layout) -> None:
    """V2 is clean and at V1's revision, or, in the phases that do not fill it, without a body."""
    if layout is Layout.ONE:
        bodies = await layout.find_bodies(database)
        if repository.phase is Phase.V1_ONLY:
            assert bodies == {}
            return
        (v1,) = await layout.find_v1(database)
        if repository.phase is not Phase.V2_ONLY:
            assert f"{bodies[1]['first']} {bodies[1]['last']}" == v1["name"]
            # It is trusted: a reader stores nothing.
            before = await database["v1"].find_one({"_id": 1})
            await repository.get(1)
            assert await database["v1"].find_one({"_id": 1}) == before
        return
    if repository.phase in (Phase.V1_ONLY, Phase.PREPARE):
        assert await database["v2"].count_documents({"first": {"$exists": True}}) == 0
        assert await database["v2"].count_documents({}) == (repository.phase is Phase.PREPARE)
        return
    v1, v2 = await database["v1"].find_one({"_id": 1}), await database["v2"].find_one({"_id": 1})
    assert v2[META] == {"rev": v1[REV], "intent": v1[REV], "by": v2[META]["by"]}
    assert f"{v2['first']} {v2['last']}" == v1["name"]
    assert v2["age"] == v1["age"]


async def test_reads_are_v1s_own(repository: Any, database: Any, layout: Layout) -> None:
    """`get`, `get_many`, `exists` and `count` answer from V1 and migrate nothing."""
    plato = "Plato" if repository.phase is not Phase.V2_ONLY else "Plato Ng"  # V1's entity is V2's, converted
    await database["v1"].insert_many([ada_v1(1), ada_v1(2, name=plato)])
    view = repository.v1
    assert await view.get(1) == ADA
    assert await view.get(3) is None
    assert await view.get_many([2, 3, 1]) == {2: PersonV1(2, plato, 36, ["math"]), 1: ADA}
    assert [await view.exists(id) for id in (2, 3)] == [True, False]
    assert await view.count() == 2
    assert await view.count(Criteria(v1={"name": plato}, v2={"last": "Ng"})) == 1
    assert [person.id async for person in view.list(sort="-id")] == [2, 1]
    if repository.phase is not Phase.V2_ONLY:
        assert await layout.find_bodies(database) == {}


async def test_a_document_that_is_no_v1_entity_is_named(repository: Any, database: Any) -> None:
    """`ConversionError` with the field, alone, among many and in a listing."""
    await database["v1"].insert_many([ada_v1(1), ada_v1(2, age="old")])
    view = repository.v1
    with pytest.raises(ConversionError, match="id 2 at field 'age'"):
        await view.get(2)
    with pytest.raises(ExceptionGroup, match="1 of 2") as caught:
        await view.get_many([1, 2])
    assert [error.path for error in caught.value.exceptions] == ["age"]
    with pytest.raises(ConversionError):
        [person async for person in view.list()]


async def test_insert_reaches_both(repository: Any, database: Any, layout: Layout) -> None:
    """A V1 client's new entity is V2's too."""
    assert await repository.v1.insert(ADA) == ADA
    (stored,) = await layout.find_v1(database)
    assert stored.get("name") == (None if repository.phase is Phase.V2_ONLY else "Ada Lovelace")
    await assert_exact(repository, database, layout)
    assert await repository.get(1) == ada()
    with pytest.raises(AlreadyExists):
        await repository.v1.insert(ADA)
    await assert_exact(repository, database, layout)


@pytest.mark.parametrize("migrated", [False, True])
async def test_update_reaches_both(repository: Any, database: Any, migrated: bool, layout: Layout) -> None:
    """A V1 client's change is V2's too; fields that no class knows stay."""
    await database["v1"].insert_one(ada_v1())
    if migrated:
        await repository.get(1)
    changed = await repository.v1.update(1, lambda person: evolve(person, name="Ada King"))
    assert changed == evolve(ADA, name="Ada King")
    name = "Ada Lovelace" if repository.phase is Phase.V2_ONLY else "Ada King"
    assert await layout.find_v1(database) == [ada_v1(name=name)]
    await layout.assert_written(database, 1, 1)
    await assert_exact(repository, database, layout)
    assert await repository.get(1) == ada(last="King")


async def test_replace_reaches_both(repository: Any, database: Any, layout: Layout) -> None:
    """A V1 client's whole entity takes the place of the stored one in both shapes."""
    await database["v1"].insert_one(ada_v1())
    other = PersonV1(1, "Grace Hopper", None, [])
    assert await repository.v1.replace(other) == other
    assert await repository.v1.get(1) == other
    await assert_exact(repository, database, layout)


async def test_delete_reaches_both(repository: Any, database: Any) -> None:
    """What a V1 client deletes is gone through both doors."""
    await repository.insert(ada())
    await repository.v1.delete(1)
    assert await repository.get(1) is None
    assert await repository.v1.get(1) is None
    assert await database["v1"].count_documents({}) == 0
    with pytest.raises(NotFound):
        await repository.v1.delete(1)


async def test_a_v1_entity_that_does_not_upgrade_is_refused(repository: Any, database: Any, layout: Layout) -> None:
    """Nothing enters V1 that V2 could not say: V1 stays byte for byte, and the reads stay right."""
    await database["v1"].insert_one(ada_v1())
    with pytest.raises(ConversionError):
        await repository.v1.insert(PersonV1(2, "Plato"))
    with pytest.raises(ConversionError):
        await repository.v1.update(1, lambda person: evolve(person, name="Plato"))
    with pytest.raises(ConversionError):
        await repository.v1.replace(PersonV1(1, "Plato"))
    assert await layout.find_v1(database) == [ada_v1()]
    assert await repository.get(1) == ada()


async def test_a_change_must_return_v1s_class(repository: Any, database: Any, layout: Layout) -> None:
    """The error names what to return."""
    await database["v1"].insert_one(ada_v1())
    with pytest.raises(TypeError, match="return the changed PersonV1"):
        await repository.v1.update(1, lambda _: ada())
    assert await layout.find_v1(database) == [ada_v1()]
