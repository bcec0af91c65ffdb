"""The in-memory repository of `lazymig.testing`."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import ConfigurationError, Migration, NotFound, Phase
from lazymig.testing import memory_repository


@frozen
class PersonV1:
    id: int
    name: str


@frozen
class PersonV2:
    id: int
    first: str
    last: str


def upgrade(v1: PersonV1) -> PersonV2:
    return PersonV2(v1.id, *v1.name.split(" "))


def downgrade(v2: PersonV2) -> PersonV1:
    return PersonV1(v2.id, f"{v2.first} {v2.last}")


migration = Migration(name="people", v1=PersonV1, v2=PersonV2, upgrade=upgrade, downgrade=downgrade)


async def test_it_migrates_what_it_is_given() -> None:
    """A raw V1 document is migrated when it is read, and a write reaches both collections."""
    repo = memory_repository(migration)
    await repo.collections.v1.insert_one({"_id": 1, "name": "Ada King"})
    assert await repo.get(1) == PersonV2(1, "Ada", "King")
    await repo.update(1, lambda person: evolve(person, last="Byron"))
    assert (await repo.collections.v1.find_one({"_id": 1}))["name"] == "Ada Byron"
    assert (await repo.collections.v2.find_one({"_id": 1}))["last"] == "Byron"


async def test_each_is_empty_and_alone() -> None:
    """Two repositories of one migration share nothing."""
    one, other = memory_repository(migration), memory_repository(migration)
    await one.insert(PersonV2(1, "Ada", "King"))
    assert await other.get(1) is None
    assert await other.count() == 0


async def test_phase_and_keywords_are_the_repositorys() -> None:
    """The phase is taken as given, and so is any other keyword."""
    repo = memory_repository(migration, Phase.V1_ONLY, timeout_s=5)
    assert (repo.phase, repo.timeout_s) == (Phase.V1_ONLY, 5)
    await repo.insert(PersonV2(1, "Ada", "King"))
    assert await repo.collections.v2.count_documents({}) == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mongomock-motor the error says what to install."""
    found = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "mongomock_motor":
            raise ModuleNotFoundError("gone", name=name)
        return found(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'lazymig\[testing\]'"):
        memory_repository(migration)


async def test_both_shapes_may_share_their_documents() -> None:
    """With `in_place` there is one collection, in which a read completes the document; keywords are passed on."""
    repo = memory_repository(migration, Phase.V2_PRIMARY, in_place=True, timeout_s=5)
    assert (repo.phase, repo.timeout_s, repo.collections.v1) == (Phase.V2_PRIMARY, 5, repo.collections.v2)
    await repo.collections.v1.insert_one({"_id": 1, "name": "Ada King"})
    assert await repo.get(1) == PersonV2(1, "Ada", "King")
    stored = await repo.collections.v1.find_one({"_id": 1})
    assert (stored["name"], stored["first"], stored["last"]) == ("Ada King", "Ada", "King")
    other = memory_repository(migration, in_place=True)
    assert await other.count() == 0
    with pytest.raises(ConfigurationError, match="in this layout there are"):
        memory_repository(migration, Phase.PREPARE, in_place=True)


async def test_a_part_needs_its_document() -> None:
    """In memory too, the document comes first, by the collection itself."""
    repo = memory_repository(evolve(migration, part=True))
    await repo.collections.v1.insert_one({"_id": 1, "mail": "ada@example.org"})
    await repo.insert(PersonV2(1, "Ada", "King"))
    with pytest.raises(NotFound):
        await repo.insert(PersonV2(2, "Ada", "King"))
    assert [person async for person in repo.list()] == [PersonV2(1, "Ada", "King")]
    assert (await repo.collections.v1.find_one({"_id": 1}))["mail"] == "ada@example.org"
