"""Documents of several versions in V1: read in every way, written whole, and never set back, on every driver."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lazymig import ConversionError, Criteria, Phase, Repository, Rewriter, Sweeper, Verifier, upcasters
from tests.contract.conftest import PHASES, Last
from tests.layouts import META, REV, Layout
from tests.older import ADA, Address, Buyer, BuyerV2, alone, buyers, chain, document, upgrade

ADA_V2 = upgrade(ADA)


def repository(database: Any, phase: Phase, layout: Layout = Layout.TWO, **changed: Any) -> Repository[Buyer, BuyerV2]:
    # Older documents have fields of any name, so V2's part gets a place of its own.
    apart = {"v2_within": "new"} if layout is Layout.ONE else {}
    return layout.open(database, buyers(**apart, **changed), phase=phase)


@pytest.fixture(params=PHASES[:-1], ids=str)
def phase(request: pytest.FixtureRequest) -> Phase:
    """All phases in which V1's fields are written."""
    return request.param.phase if isinstance(request.param, Last) else request.param


def of_one(database: Any, **options: Any) -> Repository[Buyer, Buyer]:
    return Repository(alone(**options), v1=database["v1"], phase=Phase.V1_ONLY)


async def stored(database: Any, id: int = 1) -> dict[str, Any]:
    """V1's part of the document without its revision."""
    found: dict[str, Any] = await database["v1"].find_one({"_id": id})
    return {name: value for name, value in found.items() if name not in (REV, META, "new")}


async def test_every_read_sees_the_newest_version(database: Any, phase: Phase, layout: Layout) -> None:
    """One entity, a page of them, and V1's own view: documents of each version give the same entity."""
    await database["v1"].insert_many([document(version, id) for id, version in enumerate((None, 1, 2, 3))])
    repo = repository(database, phase, layout)
    ids = range(4)
    assert [await repo.get(id) for id in ids] == [evolve(ADA_V2, id=id) for id in ids]
    assert await repo.get_many(ids) == {id: evolve(ADA_V2, id=id) for id in ids}
    assert [one async for one in repo.list()] == [evolve(ADA_V2, id=id) for id in ids]
    assert [await repo.v1.get(id) for id in ids] == [evolve(ADA, id=id) for id in ids]
    assert await repo.v1.get_many(ids) == {id: evolve(ADA, id=id) for id in ids}
    assert [one async for one in repo.v1.list(sort="visits")] == [evolve(ADA, id=id) for id in ids]
    # Nothing was rewritten.
    assert [await stored(database, id) for id in ids] == [document(v, i) for i, v in enumerate((None, 1, 2, 3))]


@pytest.mark.parametrize("version", [None, 1, 2, 3])
@pytest.mark.parametrize("read_first", [False, True])
async def test_an_update_stores_one_shape(
    database: Any, phase: Phase, layout: Layout, version: int | None, read_first: bool
) -> None:
    """A write stores the whole document in the newest version, whether or not V2 answered; unknown fields stay."""
    await database["v1"].insert_one(document(version))
    repo = repository(database, phase, layout)
    if read_first:
        await repo.get(1)  # in `coexist`, V2 is clean from here on, and the write does not read V1
    assert await repo.update(1, lambda one: evolve(one, visits=3)) == evolve(ADA_V2, visits=3)
    assert await stored(database) == document(3, visits=3)
    assert await repo.v1.get(1) == evolve(ADA, visits=3)
    assert await repo.get(1) == evolve(ADA_V2, visits=3)


@pytest.mark.parametrize("version", [None, 1, 2, 3])
async def test_every_write_of_the_v1_view_stores_one_shape(
    database: Any, phase: Phase, layout: Layout, version: int | None
) -> None:
    """An update inside a sub-document that only the newest version has, and a replacement."""
    await database["v1"].insert_many([document(version, id) for id in (1, 2, 3)])
    repo = repository(database, phase, layout)
    moved = Address("Paris", "FR")
    await repo.v1.update(1, lambda one: evolve(one, address=moved))
    await repo.v1.replace(evolve(ADA, id=2, address=moved))
    await repo.replace(evolve(ADA_V2, id=3, city="Paris", country="FR"))
    for id in (1, 2, 3):
        assert await stored(database, id) == document(3, id, address={"city": "Paris", "country": "FR"})
        assert await repo.v1.get(id) == evolve(ADA, id=id, address=moved)


async def test_inserts_are_of_the_newest_version(database: Any, phase: Phase, layout: Layout) -> None:
    """Both doors stamp what they insert."""
    repo = repository(database, phase, layout)
    await repo.insert(ADA_V2)
    await repo.v1.insert(evolve(ADA, id=2))
    assert [(await stored(database, id))["schema_version"] for id in (1, 2)] == [3, 3]
    assert await repo.v1.get(1) == ADA


async def test_a_newer_document_is_refused(database: Any, phase: Phase, layout: Layout) -> None:
    """A release that does not know the version neither reads nor changes the document, and says what to deploy."""
    await database["v1"].insert_one(document(4))
    repo = repository(database, phase, layout)
    for call in (
        lambda: repo.get(1),
        lambda: repo.v1.get(1),
        lambda: repo.update(1, lambda one: evolve(one, visits=3)),
        lambda: repo.v1.update(1, lambda one: evolve(one, visits=3)),
        lambda: repo.replace(ADA_V2),
        lambda: repo.v1.replace(ADA),
    ):
        with pytest.raises(ConversionError, match="deploy the release that knows version 4") as caught:
            await call()
        assert (caught.value.id, caught.value.direction, caught.value.path) == (1, "read", "schema_version")
    assert await stored(database) == document(4)


async def test_a_newer_document_is_passed_and_never_set_back(database: Any, phase: Phase, layout: Layout) -> None:
    """With `newer="pass"` the class decides; a write changes its own fields and leaves the version."""
    await database["v1"].insert_many([document(4, 1), document(4, 2), {"_id": 3, "whole": "new", "schema_version": 4}])
    repo = repository(database, phase, layout, upcasters=alone(newer="pass").upcasters)
    assert await repo.get(1) == ADA_V2
    await repo.update(1, lambda one: evolve(one, visits=3))
    await repo.v1.replace(evolve(ADA, id=2, visits=4))
    assert await stored(database, 1) == document(4, 1, visits=3)
    assert await stored(database, 2) == document(4, 2, visits=4)
    # What the class cannot read, it must not change.
    for call in (
        lambda: repo.update(3, lambda one: one),
        lambda: repo.replace(evolve(ADA_V2, id=3)),
        lambda: repo.v1.replace(evolve(ADA, id=3)),
    ):
        with pytest.raises(ConversionError):
            await call()
    assert await stored(database, 3) == {"_id": 3, "whole": "new", "schema_version": 4}


async def test_an_older_release_beside_a_newer_one(database: Any) -> None:
    """The newer release stores version 4; the older one answers from V2, and its write is refused, not mixed in."""
    await database["v1"].insert_one(document(3))
    older = repository(database, Phase.COEXIST)
    assert await older.get(1) == ADA_V2
    # The newer release moves the document by the protocol: V2 is clean at the new revision.
    longer = upcasters({**chain().steps, 3: lambda one: {**one, "visits": one["visits"] * 10}})
    newer = repository(database, Phase.COEXIST, upcasters=longer, revision=2)
    await newer.update(1, lambda one: evolve(one, city="Paris"))
    assert await stored(database) == document(4, visits=20, address={"city": "Paris", "country": "GB"})
    assert await older.get(1) == evolve(ADA_V2, city="Paris", visits=20)
    with pytest.raises(ConversionError, match="deploy the release that knows version 4"):
        await older.update(1, lambda one: evolve(one, visits=0))
    assert await stored(database) == document(4, visits=20, address={"city": "Paris", "country": "GB"})
    assert await older.get(1) == evolve(ADA_V2, city="Paris", visits=20)


@pytest.mark.parametrize("driver", ["pymongo", "mock"])
@pytest.mark.parametrize("version", ["2", 2.0, 2.5, None, -1, 0, True, [2], {"v": 2}])
async def test_a_version_of_another_type(
    database: Any, driver: str, phase: Phase, layout: Layout, version: object
) -> None:
    """What is no version is refused with the field's name and not its value; a replacement puts it right."""
    await database["v1"].insert_one({**document(2), "schema_version": version})
    repo = repository(database, phase, layout)
    for call in (lambda: repo.get(1), lambda: repo.v1.get(1), lambda: repo.v1.update(1, lambda one: one)):
        with pytest.raises(ConversionError, match="at field 'schema_version': its version is") as caught:
            await call()
        assert caught.value.side == "V1"
    await repo.replace(evolve(ADA_V2, visits=5))
    assert (await stored(database))["schema_version"] == 3
    assert await repo.get(1) == evolve(ADA_V2, visits=5)
    assert await repo.v1.get(1) == evolve(ADA, visits=5)


async def test_an_upcaster_that_fails(database: Any, phase: Phase, layout: Layout) -> None:
    """The error has the line of the step and nothing of the document; the next document is read."""
    await database["v1"].insert_many([document(1, 1, name="Ada"), document(1, 2)])
    repo = repository(database, phase, layout)
    with pytest.raises(ConversionError, match=r"older\.py:\d+ in split") as caught:
        await repo.get(1)
    assert "Ada" not in str(caught.value)
    assert [one async for one in repo.list(on_error="skip")] == [evolve(ADA_V2, id=2)]
    with pytest.raises(ConversionError):
        await repo.update(1, lambda one: one)
    assert await stored(database, 1) == document(1, 1, name="Ada")


async def test_one_collection_alone(database: Any) -> None:
    """A team without V2 passes one collection: every call works, and nothing else is written."""
    await database["v1"].insert_many([document(version, id) for id, version in enumerate((None, 1, 2, 3))])
    repo = of_one(database)
    assert [one async for one in repo.list(Criteria(v1={"visits": 2}, v2={}), sort="-visits")] == [
        evolve(ADA, id=id) for id in (3, 2, 1, 0)
    ]
    assert await repo.update(0, lambda one: evolve(one, visits=9)) == evolve(ADA, id=0, visits=9)
    await repo.insert(evolve(ADA, id=7))
    await repo.delete(1)
    assert await stored(database, 0) == document(3, 0, visits=9)
    assert await repo.count() == 4
    assert await database.list_collection_names() == ["v1"]


@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_checked_beside_a_program_that_writes_directly(database: Any, driver: str, phase: Phase) -> None:
    """With `checked=True`, what a plain driver changes while an older document is rewritten by an update stays."""
    await database["v1"].insert_many([document(1, 1), document(2, 2)])
    repo = Repository(buyers(), v1=database["v1"], v2=database["v2"], phase=phase, checked=True)
    calls: list[int] = []

    async def change(one: BuyerV2) -> BuyerV2:
        calls.append(one.visits)
        if len(calls) == 1:
            # It changes what the upcaster reads, and leaves the revision alone.
            await database["v1"].update_one({"_id": 1}, {"$set": {"name": "Grace Hopper"}})
        return evolve(one, visits=one.visits + 1)

    assert await repo.update(1, change) == evolve(ADA_V2, name="Grace Hopper", visits=3)
    assert calls == [2, 2]
    assert await stored(database) == document(3, first="Grace", last="Hopper", visits=3)
    assert await repo.get(2) == evolve(ADA_V2, id=2)


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_a_first_update_of_an_older_document_reads_v1(database: Any, driver: str) -> None:
    """In `coexist` a clean V2 answers; the guarded attempt leaves an older document alone, the next stores it whole."""
    await database["v1"].insert_many([document(1, 1), document(3, 2)])
    repo = repository(database, Phase.COEXIST)
    for id, contended in ((1, 1), (2, 1)):
        await repo.get(id)
        await repo.update(id, lambda one: evolve(one, visits=3))
        assert repo.tally.counts["lazymig.contended"] == contended
        assert await stored(database, id) == document(3, id, visits=3)


async def test_deletes_need_no_version(database: Any, phase: Phase, layout: Layout) -> None:
    """What cannot be read can be deleted, a newer document too."""
    await database["v1"].insert_many([document(4, 1), {"_id": 2, "schema_version": "2"}])
    repo = repository(database, phase, layout)
    for id in (1, 2):
        await repo.delete(id)
        assert not await repo.exists(id)
    assert await database["v1"].count_documents({}) == 0


@pytest.mark.parametrize("driver", ["pymongo", "mock"])
async def test_verification_compares_the_newest_version(database: Any, driver: str) -> None:
    """Documents of all versions agree with V2, before and after they are rewritten; a changed body does not."""
    await database["v1"].insert_many([document(version, id) for id, version in enumerate((None, 1, 2, 3))])
    repo = repository(database, Phase.COEXIST, upcasters=chain(persist=True))
    await Sweeper(repo).run()
    before = await Verifier(repo, min_age_s=0).run()
    assert (before.finished, before.match, before.different, before.unknown) == (True, 4, 0, 0)
    await Rewriter(repo).run()
    after = await Verifier(repo, min_age_s=0).run()
    assert (after.finished, after.match, after.different, after.unknown) == (True, 4, 0, 0)
    await database["v2"].update_one({"_id": 1}, {"$set": {"city": "Paris"}})
    found = await Verifier(repo, min_age_s=0).run()
    assert (found.match, found.different) == (3, 1)
