"""After the end: a repository that knows no V1, one whose V1 was dropped, and the way back as a migration."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from attrs import evolve, frozen

from lazymig import ConfigurationError, Control, Migration, Phase, PhaseError, Repository, Sweeper, Verifier, upcasters
from lazymig.control import parts_of
from tests.layouts import Layout
from tests.older import Buyer, buyers, chain
from tests.people import PersonV1, PersonV2, ada, join, people

META = "_lazymig"
FINISHED = Migration.finished("people", v2=PersonV2)


@pytest.fixture
def layout() -> Layout:
    """The end of a migration between two collections."""
    return Layout.TWO


def finished(database: Any, **options: Any) -> Repository[PersonV2, PersonV2]:
    """A repository of a release that no longer has V1."""
    return Repository(FINISHED, **({"v2": database["v2"], "phase": Phase.V2_ONLY} | options))


async def names(database: Any) -> set[str]:
    return set(await database.list_collection_names())


async def test_a_finished_migration_serves_v2_alone(database: Any, open_repository: Any) -> None:
    """Entities of before are read and written; nothing but the revision is kept; a delete leaves nothing behind."""
    before = open_repository(database, phase=Phase.V2_ONLY)
    await before.insert(ada())
    repo = finished(database)
    assert await repo.get(1) == ada()
    assert await repo.update(1, lambda person: evolve(person, age=40)) == ada(age=40)
    assert await before.get(1) == ada(age=40)
    await repo.insert(ada(2))
    await repo.delete(2)
    assert [row["_id"] async for row in database["v2"].find()] == [1]
    assert (await database["v2"].find_one({"_id": 1}))[META].keys() == {"rev", "intent"}
    assert await names(database) == {"v2"}


async def test_a_finished_migration_refuses_what_needs_v1(database: Any) -> None:
    """The V1 view, a V1 collection and every other phase are refused, each with the reason."""
    with pytest.raises(ConfigurationError, match="knows no V1; use the repository itself"):
        _ = finished(database).v1
    with pytest.raises(ConfigurationError, match="leave it out"):
        finished(database, v1=database["v1"])
    with pytest.raises(ConfigurationError, match="v2: pass the collection"):
        finished(database, v2=None)
    for phase in set(Phase) - {Phase.V2_ONLY}:
        with pytest.raises(ConfigurationError, match="no longer knows V1"):
            finished(database, phase=phase)
    with pytest.raises(ConfigurationError, match=r"only Migration\.finished"):
        Repository(people(), v2=database["v2"], phase=Phase.V2_ONLY)


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_finished_migration_follows_the_fleet_into_no_other_phase(database: Any) -> None:
    """With the phase under control it serves V2 alone, and refuses calls, with the reason, as long as V1 is needed."""
    control = Control(database["lazymig_control"])
    phases = parts_of(control).phases("people")
    before = await phases.begin(Phase.V2_PRIMARY, by="me", why="test")
    async with finished(database, phase=control) as repo:
        with pytest.raises(PhaseError, match="no longer knows V1"):
            await repo.get(1)
        assert before is not None
        assert await phases.move(before, Phase.V2_ONLY, by="me", why="test")
    async with finished(database, phase=control) as repo:
        assert await repo.get(1) is None


async def test_v2_only_needs_no_v1_collection(database: Any, open_repository: Any) -> None:
    """With both classes and a V1 that was dropped, everything works, the V1 view too, and V1 is not created."""
    repo = open_repository(database, phase=Phase.V2_ONLY)
    await repo.check()
    await repo.insert(ada())
    assert await repo.v1.get(1) == join(ada())
    await repo.v1.update(1, lambda person: evolve(person, age=41))
    await repo.delete(1)
    assert await names(database) == {"v2"}


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_v2_only_reads_no_document_of_v1(database: Any, open_repository: Any) -> None:
    """A document of V1 that would be refused in every other phase is no matter."""
    await database["v1"].insert_one({"_id": 1, META: {"rev": 1, "intent": 1, "gone": True}})
    with pytest.raises(ConfigurationError, match="tombstones"):
        await open_repository(database, phase=Phase.V1_ONLY).check()
    await database["v2"].insert_one({"_id": 1, META: {"rev": 1, "intent": 1}})
    await open_repository(database, phase=Phase.V2_ONLY).check()


# ---- the way back ---------------------------------------------------------------------------------------------------


def test_reversed_exchanges_both_sides() -> None:
    """Classes, conversions with their second arguments and converters; the id stays, and revisions begin anew."""
    there = people(revision=3, reshape={1: None})
    back = there.reversed("people_back")
    assert (back.name, back.v1, back.v2, back.id_field, back.revision) == ("people_back", PersonV2, PersonV1, "id", 1)
    assert (back.upgrade, back.downgrade) == (there.downgrade, there.upgrade)
    assert evolve(back, revision=2).revision == 2


@frozen
class Versioned(Buyer):
    """A buyer that declares its version."""

    schema_version: int = 3


def test_reversed_is_refused_where_it_cannot_be() -> None:
    """One class only, the same name, and V1's versions that nobody would write."""
    for one in (FINISHED, Migration.upcasting("buyers", Buyer, chain())):
        with pytest.raises(ConfigurationError, match="one class only"):
            one.reversed("back")
    with pytest.raises(ConfigurationError, match="name of its own"):
        people().reversed("people")
    with pytest.raises(ConfigurationError, match=r"declare it with the default 3"):
        buyers().reversed("back")
    both = upcasters({1: _as_it_is, 2: _as_it_is})
    kept = Migration(name="b", v1=Versioned, v2=Versioned, upgrade=_same, downgrade=_same, upcasters=both)
    assert kept.reversed("back").upcasters is None


def _as_it_is(document: dict[str, Any]) -> dict[str, Any]:
    return document


def _same(entity: Versioned) -> Versioned:
    return entity


@pytest.mark.parametrize("indexed", [True, False], ids=["with V2's index", "without"])
@pytest.mark.parametrize("driver", ["pymongo"])
async def test_tombstones_are_no_entities_of_the_way_back(database: Any, open_repository: Any, indexed: bool) -> None:
    """The first call refuses a V1 that still holds tombstones of its time as V2."""
    repo = open_repository(database, phase=Phase.V2_ONLY)
    for id in range(1, 5):
        await repo.insert(ada(id))
    await repo.delete(4)
    if indexed:
        await database["v2"].create_index("_lazymig.at", sparse=True)
    back = Repository(people().reversed("back"), v1=database["v2"], v2=database["v1"], phase=Phase.V1_ONLY)
    with pytest.raises(ConfigurationError, match="lazymig retire reduce"):
        await back.get(1)
    await database["v2"].delete_one({"_id": 4})
    assert await back.get(1) == join(ada())


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_the_way_back_goes_all_the_way(database: Any, open_repository: Any) -> None:
    """From V2 alone through every phase of the reverse migration: nothing is lost, sweep and verification agree."""
    repo = open_repository(database, phase=Phase.V2_ONLY)
    people_now = {id: ada(id, age=id) for id in range(1, 41)}
    for person in people_now.values():
        await repo.insert(person)
    migration = people().reversed("people_back")
    sides = {"v1": database["v2"], "v2": database["v1"]}
    for id, phase in enumerate([Phase.V1_ONLY, Phase.PREPARE, Phase.SHADOW, Phase.COEXIST], start=1):
        back: Repository[PersonV2, PersonV1] = Repository(migration, **sides, phase=phase)
        assert await back.get(id) == join(people_now[id])
        await back.update(id, lambda old: attrs.evolve(old, age=100))
        await back.v1.update(id + 10, lambda new: attrs.evolve(new, tags=[*new.tags, "later"]))
        people_now[id] = evolve(people_now[id], age=100)
        people_now[id + 10] = evolve(people_now[id + 10], tags=["math", "later"])
        await back.v1.insert(ada(100 + id))
        people_now[100 + id] = ada(100 + id)
        await back.delete(id + 20)
        del people_now[id + 20]
    for id in (2, 12, 102):  # what `prepare` announced is younger than the sweep's grace period
        await back.update(id, lambda old: old)
    report = await Sweeper(back).run()
    assert (report.remaining, report.dead) == (0, 0)
    verified = await Verifier(back).run()
    assert (verified.agrees, verified.match) == (True, len(people_now))
    back = Repository(migration, **sides, phase=Phase.V2_PRIMARY)
    assert {person.id: person async for person in back.list()} == {id: join(one) for id, one in people_now.items()}
    assert {person.id: person async for person in back.v1.list()} == people_now
    await back.update(5, lambda old: attrs.evolve(old, age=7))
    stored = await database["v2"].find_one({"_id": 5})
    assert (stored["age"], stored[META].keys()) == (7, {"rev", "intent"})
