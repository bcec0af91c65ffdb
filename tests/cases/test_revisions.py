"""Cases 1, 2 and 12: bodies that an older conversion made, in one release after another and side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import Migration, Phase, Repository, Sweeper
from lazymig.cli.status import looked_up
from lazymig.cli.status import show as render
from lazymig.errors import ConfigurationError, ConversionError
from lazymig.repository import calls_of

META, REV = "_lazymig", "_lazymig_rev"


@frozen
class PriceV1:
    """Whole cents."""

    id: int
    cents: int


@frozen
class PriceV2:
    """Euros, and a label that V1 cannot express."""

    id: int
    euros: float
    label: str = ""


@frozen
class PriceV2Wider:
    """The same with one more field, which bodies of the class before lack."""

    id: int
    euros: float
    currency: str
    label: str = ""


def to_cents(v2: Any) -> PriceV1:
    return PriceV1(v2.id, round(v2.euros * 100))


WRONG: Migration[Any, Any] = Migration(
    name="prices", v1=PriceV1, v2=PriceV2, upgrade=lambda v1: PriceV2(v1.id, v1.cents / 10), downgrade=to_cents
)
RIGHT = evolve(WRONG, upgrade=lambda v1: PriceV2(v1.id, v1.cents / 100), revision=2)
WIDER = evolve(WRONG, v2=PriceV2Wider, upgrade=lambda v1: PriceV2Wider(v1.id, v1.cents / 100, "EUR"), revision=2)


def keeping(v1: PriceV1, previous: PriceV2 | None) -> PriceV2:
    """Upgrade, and keep the label."""
    return PriceV2(v1.id, v1.cents / 100, previous.label if previous else "")


def keeping_wider(v1: PriceV1, previous: PriceV2Wider | None) -> PriceV2Wider:
    """The same for the wider class."""
    return PriceV2Wider(v1.id, v1.cents / 100, "EUR", previous.label if previous else "")


def from_narrow(body: dict[str, Any]) -> PriceV2Wider:
    """Reads a body of the class before."""
    return PriceV2Wider(body["_id"], body["euros"], "EUR", body["label"])


KEEPING = evolve(WRONG, upgrade=keeping)
KEEPING_WIDER = evolve(WRONG, v2=PriceV2Wider, upgrade=keeping_wider, revision=2)


def opened(database: Any, migration: Migration[Any, Any], **options: Any) -> Repository[Any, Any]:
    """A process of one release."""
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST, **options)


async def meta(database: Any, id: int = 1) -> dict[str, Any]:
    """V2's own field."""
    return dict((await database["v2"].find_one({"_id": id}))[META])


async def test_case_1_a_body_of_a_wrong_conversion_never_reaches_v1(database: Any) -> None:
    """`upgrade` divided by ten; with the fix at revision 2, adding one euro adds a hundred cents in V1."""
    await database["v1"].insert_one({"_id": 1, "cents": 1000})
    assert (await opened(database, WRONG).get(1)).euros == 100.0
    repository = opened(database, RIGHT)
    assert (await repository.update(1, lambda price: evolve(price, euros=price.euros + 1))).euros == 11.0
    assert (await database["v1"].find_one({"_id": 1}))["cents"] == 1100
    assert (await database["v2"].find_one({"_id": 1}))["euros"] == 11.0


async def read(repository: Any) -> Any:
    return await repository.get(1)


async def read_many(repository: Any) -> Any:
    return (await repository.get_many([1, 2]))[1]


async def listed(repository: Any) -> Any:
    return await anext(repository.list())


async def updated(repository: Any) -> Any:
    return await repository.update(1, lambda price: price)


async def updated_in_v1(repository: Any) -> Any:
    await repository.v1.update(1, lambda price: price)
    return await repository.get(1)


async def swept(repository: Any) -> Any:
    report = await Sweeper(repository).run()
    assert (report.reconverted, report.present, report.dead) == (2, 2, 0)
    return await repository.get(1)


@pytest.mark.parametrize("door", [read, read_many, listed, updated, updated_in_v1, swept])
async def test_case_1_no_door_answers_with_an_older_body(database: Any, door: Callable[[Any], Any]) -> None:
    """Reads, listings, writes of both doors and the sweep: V1 answers, and V2 stands at the new revision afterwards."""
    await database["v1"].insert_many([{"_id": 1, "cents": 1000}, {"_id": 2, "cents": 2000}])
    await opened(database, WRONG).get_many([1, 2])
    repository = opened(database, RIGHT)
    assert (await door(repository)).euros == 10.0
    if door is not listed:  # which stores nothing
        assert (await meta(database))["conv"] == 2
    assert (await repository.get(1)).euros == 10.0
    assert (await meta(database))["conv"] == 2


async def test_case_1_a_body_made_anew_costs_one_round_trip_from_then_on(database: Any) -> None:
    """The new body is stored at V1's revision, without a write to V1: the next read finds it alone."""
    await database["v1"].insert_one({"_id": 1, "cents": 1000, REV: 4})
    await opened(database, WRONG).get(1)
    await opened(database, RIGHT).get(1)
    assert await meta(database) == {"rev": 4, "intent": 4, "by": "read", "conv": 2}
    await database["v1"].delete_one({"_id": 1})
    assert (await opened(database, RIGHT).get(1)).euros == 10.0


async def test_case_2_an_older_process_leaves_no_key_of_a_newer_body(database: Any) -> None:
    """Rolling deploy: the new class stores a field more, the old process writes, the new one reads what V1 says."""
    new, old = opened(database, WIDER), opened(database, evolve(WRONG, upgrade=RIGHT.upgrade))
    await new.insert(PriceV2Wider(1, 10.0, "CHF"))
    await old.v1.update(1, lambda price: evolve(price, cents=2000))
    stored = await database["v2"].find_one({"_id": 1})
    assert "currency" not in stored
    assert await new.get(1) == PriceV2Wider(1, 20.0, "EUR")


async def test_case_2_an_older_process_trusts_a_newer_body_and_leaves_it(database: Any) -> None:
    """The old process decodes it as far as it knows, heals its mark, and every key stays."""
    new, old = opened(database, WIDER), opened(database, evolve(WRONG, upgrade=RIGHT.upgrade))
    await new.insert(PriceV2Wider(1, 10.0, "CHF"))
    assert await old.get(1) == PriceV2(1, 10.0)
    await calls_of(old).pair.ledger.ticket(1)
    assert await old.get(1) == PriceV2(1, 10.0)
    report = await Sweeper(old).run()
    assert report.reconverted == 0
    assert (await database["v2"].find_one({"_id": 1}))["currency"] == "CHF"
    assert (await meta(database))["conv"] == 2


async def test_case_2_an_older_class_that_cannot_decode_a_newer_body_is_answered_by_v1(database: Any) -> None:
    """V1 answers, and nothing is stored over the newer body."""
    narrow = evolve(WRONG, upgrade=RIGHT.upgrade)
    await opened(database, narrow).insert(PriceV2(1, 10.0))
    await database["v2"].update_one({"_id": 1}, {"$set": {"euros": "ten", f"{META}.conv": 2}})
    before = await database["v2"].find_one({"_id": 1})
    assert await opened(database, narrow).get(1) == PriceV2(1, 10.0)
    assert [price async for price in opened(database, narrow).list()] == [PriceV2(1, 10.0)]
    assert await database["v2"].find_one({"_id": 1}) == before


async def test_case_12_a_body_that_no_longer_decodes_is_made_anew(database: Any) -> None:
    """V1 answers, and the body is made by today's class, whether or not the revision was raised."""
    await database["v1"].insert_many([{"_id": id, "cents": 1000} for id in (1, 2)])
    await opened(database, WRONG).get_many([1, 2])
    for migration, id in ((evolve(WIDER, revision=1), 1), (WIDER, 2)):
        repository = opened(database, migration)
        assert await repository.get(id) == PriceV2Wider(id, 10.0, "EUR")
        assert (await database["v2"].find_one({"_id": id}))["currency"] == "EUR"
        assert (await repository.update(id, lambda price: evolve(price, euros=12.0))).currency == "EUR"


async def test_case_12_a_sweep_makes_bodies_anew_that_no_longer_decode(database: Any) -> None:
    """After the revision was raised the sweep converts them, and nothing is dead."""
    await database["v1"].insert_many([{"_id": id, "cents": 1000} for id in range(30)])
    await opened(database, WRONG).get_many(range(30))
    report = await Sweeper(opened(database, WIDER), batch_size=7).run()
    assert (report.reconverted, report.dead, report.finished) == (30, 0, True)
    assert await database["v2"].count_documents({"currency": "EUR", f"{META}.conv": 2}) == 30
    assert (await Sweeper(opened(database, WIDER)).run()).reconverted == 0


async def test_what_only_v2_holds_survives_a_raised_revision(database: Any) -> None:
    """The older body is handed to `upgrade` as the previous entity, by a read, a write, and the sweep."""
    for id in (1, 2, 3):
        await opened(database, KEEPING).insert(PriceV2(id, 10.0, f"label {id}"))
    repository = opened(database, evolve(KEEPING, revision=2))
    assert (await repository.get(1)).label == "label 1"
    assert (await repository.update(2, lambda price: evolve(price, euros=9.0))).label == "label 2"
    await Sweeper(repository).run()
    rows = await database["v2"].find({}).sort("_id", 1).to_list(None)
    assert [(row["label"], row[META]["conv"]) for row in rows] == [(f"label {id}", 2) for id in (1, 2, 3)]


async def test_a_body_that_today_s_class_cannot_read_is_reshaped(database: Any) -> None:
    """`reshape` reads an older body for what only it holds; each door and the sweep keep it."""
    for id in (1, 2, 3):
        await opened(database, KEEPING).insert(PriceV2(id, 10.0, f"label {id}"))
    repository = opened(database, evolve(KEEPING_WIDER, reshape={1: from_narrow}))
    assert (await repository.get(1)).label == "label 1"
    await repository.v1.update(2, lambda price: evolve(price, cents=900))
    await Sweeper(repository).run()
    labels = [row["label"] for row in await database["v2"].find({}).sort("_id", 1).to_list(None)]
    assert labels == ["label 1", "label 2", "label 3"]


async def test_without_a_reshape_nothing_is_dropped_silently(database: Any) -> None:
    """V2's door reports it, the sweep gives it a dead letter, V1's door goes on serving it; the body stays."""
    await opened(database, KEEPING).insert(PriceV2(1, 10.0, "precious"))
    repository = opened(database, KEEPING_WIDER)
    for call in (lambda: repository.get(1), lambda: repository.update(1, lambda price: price)):
        with pytest.raises(ConversionError):
            await call()
    assert await repository.v1.get(1) == PriceV1(1, 1000)
    report = await Sweeper(repository).run()
    assert (report.dead, report.dead_letters) == (1, 1)
    assert (await database["v2"].find_one({"_id": 1}))["label"] == "precious"


async def test_a_reshape_of_none_allows_dropping(database: Any) -> None:
    """`{1: None}` says that what no longer decodes may go."""
    await opened(database, KEEPING).insert(PriceV2(1, 10.0, "gone by consent"))
    repository = opened(database, evolve(KEEPING_WIDER, reshape={1: None}))
    assert (await repository.get(1)).label == ""


async def test_a_dry_run_counts_what_it_would_convert_anew(database: Any) -> None:
    """It writes nothing at all."""
    await database["v1"].insert_many([{"_id": id, "cents": 1000} for id in range(5)])
    await opened(database, WRONG).get_many(range(5))
    before = await database["v2"].find({}).to_list(None)
    report = await Sweeper(opened(database, RIGHT), dry_run=True).run()
    assert report.reconverted == 5
    assert await database["v2"].find({}).to_list(None) == before


async def test_the_sweep_warns_when_classes_changed_and_the_revision_did_not(database: Any) -> None:
    """The control document keeps the highest revision and a fingerprint of both classes."""
    assert (await Sweeper(opened(database, WRONG)).run()).warnings == ()
    assert (await Sweeper(opened(database, WRONG)).run()).warnings == ()
    (warning,) = (await Sweeper(opened(database, evolve(WIDER, revision=1))).run()).warnings
    assert "raise it" in warning
    assert (await Sweeper(opened(database, WIDER)).run()).warnings == ()
    (older,) = (await Sweeper(opened(database, WRONG)).run()).warnings
    assert "older" in older
    row = await database["lazymig_control"].find_one({"_id": "prices/conversion"})
    assert row["revision"] == 2


@pytest.mark.parametrize(
    "changed",
    [{"revision": 0}, {"revision": "2"}, {"revision": True}, {"reshape": {1: from_narrow}}, {"reshape": [1]}],
    ids=str,
)
def test_a_revision_is_checked_when_the_migration_is_built(changed: dict[str, Any]) -> None:
    """`ConfigurationError` that says what to pass; a reshape is for older revisions only."""
    with pytest.raises(ConfigurationError, match="re"):
        evolve(WRONG, **changed)


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("exact", [False, True], ids=["estimated", "exact"])
async def test_status_shows_how_many_entities_stand_at_each_revision(database: Any, exact: bool) -> None:
    """Bodies by the conversion that made them, tombstones left out, and what is wrong with the release."""
    await database["v1"].insert_many([{"_id": id, "cents": 1000} for id in range(9)])
    await Sweeper(opened(database, WRONG)).run()
    newer = opened(database, RIGHT)
    await newer.get_many([3, 4])
    await newer.get(2)
    await newer.delete(8)
    found = await looked_up(newer, exact=exact)
    assert found.conversions == {1: 5, 2: 3}
    assert found.warnings == []
    (warning,) = (await looked_up(opened(database, evolve(WIDER, revision=1)), exact=exact)).warnings
    assert "raise it" in warning


@pytest.mark.parametrize("driver", ["pymongo"])
async def test_status_on_the_command_line_shows_revisions(database: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each revision, and the warning in words."""
    await database["v1"].insert_many([{"_id": id, "cents": 1000} for id in range(3)])
    await Sweeper(opened(database, WRONG)).run()
    render(await looked_up(opened(database, evolve(WIDER, revision=1)), exact=True))
    shown = capsys.readouterr().out
    assert re.search(r"conversion revision 1 +3\n", shown)
    assert "Warning: the classes have changed" in shown


@pytest.mark.parametrize("healer", ["get", "sweep"])
async def test_case_2_an_older_process_heals_away_nothing_that_only_the_newer_knows(database: Any, healer: str) -> None:
    """A newer body is behind V1, its mark is old: the older release answers from V1 and leaves it to the newer one."""
    kept = Migration(
        name="prices", v1=PriceV1, v2=PriceV2Wider, downgrade=to_cents, revision=2,
        upgrade=lambda v1, previous: PriceV2Wider(v1.id, v1.cents / 100, previous.currency if previous else "?"),
    )  # fmt: skip
    new, old = opened(database, kept), opened(database, KEEPING)
    await new.insert(PriceV2Wider(1, 10.0, "CHF"))
    await calls_of(new).pair.ledger.ticket(1)
    await database["v1"].update_one({"_id": 1}, {"$set": {"cents": 2000}, "$inc": {REV: 1}})
    await database["v2"].update_one({"_id": 1}, {"$set": {f"{META}.at": datetime(2024, 1, 1)}})
    if healer == "get":
        assert (await old.get(1)).euros == 20.0
    else:
        assert (await Sweeper(old).run()).dead == 0
    assert (await database["v2"].find_one({"_id": 1}))["currency"] == "CHF"
    assert await new.get(1) == PriceV2Wider(1, 20.0, "CHF")
