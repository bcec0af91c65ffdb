"""The doctor on a collection whose documents carry both shapes: each check is provoked, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve, frozen

from lazymig import Diagnosis, Doctor, Finding, Migration, Phase, Repository, Severity
from lazymig.diagnosis.releases import check_conversions
from lazymig.repository import calls_of
from tests.sweeps import ThingV1, ThingV2, stored
from tests.wholes import NAME, filled, keeping, put, whole_repository, whole_things

COUNT = 30
MEMORY = pytest.mark.parametrize("driver", ["mock"])
WITHIN = pytest.mark.parametrize("within", [None, "profile"], ids=["beside", "within"])
PHASES = pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.SHADOW, Phase.COEXIST, Phase.V2_PRIMARY])
#: Checks about two collections, which say nothing here.
ELSEWHERE = {"clusters", "unknown fields"}


async def diagnosed(database: Any, *, repo: Any = None, **options: Any) -> Diagnosis:
    """The diagnosis of all documents."""
    return await Doctor(repo or whole_repository(database, **options), sample=None).run()


def of(diagnosis: Diagnosis | Sequence[Finding], check: str) -> list[Finding]:
    """The findings of one check."""
    findings = diagnosis.findings if isinstance(diagnosis, Diagnosis) else diagnosis
    return [finding for finding in findings if finding.check == check]


def only(diagnosis: Diagnosis | Sequence[Finding], check: str) -> Finding:
    """The only finding of one check."""
    (found,) = of(diagnosis, check)
    return found


@PHASES
async def test_nothing_blocks_a_good_migration(database: Any, phase: Phase) -> None:
    """A migration without fault is not blocked in any phase, and nothing is said about two collections."""
    await filled(database, range(COUNT))
    await put(database, ["new"])
    before = await stored(database[NAME])
    diagnosis = await diagnosed(database, phase=phase)
    assert not diagnosis.blocked
    assert not [one for one in diagnosis.findings if one.severity is Severity.WARNING]
    assert (diagnosis.migration, diagnosis.examined, diagnosis.documents) == ("things", COUNT + 1, COUNT + 1)
    for check in (
        "conversion", "round trip", "determinism", "size", "collections", "taken fields", "shared fields",
        "unique indexes",
    ):  # fmt: skip
        assert [one.severity for one in of(diagnosis, check)] == [Severity.OK], check
    assert not ELSEWHERE & {one.check for one in diagnosis.findings}
    assert not [one for one in diagnosis.findings if "v1 and v2" in one.evidence or one.evidence.startswith("v2:")]
    assert await stored(database[NAME]) == before


async def test_it_writes_nothing(server_database: Any) -> None:
    """After a diagnosis with findings the documents are as they were, and there is no other collection."""
    await put(server_database, range(3), note="theirs")
    before = await stored(server_database[NAME])
    assert (await diagnosed(server_database)).blocked
    assert await stored(server_database[NAME]) == before
    assert await server_database.list_collection_names() == [NAME]


@MEMORY
async def test_fields_that_v2_would_take(database: Any) -> None:
    """Fields that documents have already block, with the remedy; with the remedy they do not."""
    await put(database, range(10))
    await put(database, range(10, 14), note="theirs")
    found = only(await diagnosed(database), "taken fields")
    assert found.severity is Severity.BLOCKS
    assert found.evidence.startswith("4 of 14 documents have a field 'note' already")
    assert "v2_within" in found.advice
    assert found.ids == (10, 11, 12, 13)
    assert not (await diagnosed(database, migration=whole_things(v2_within="profile"))).blocked


@MEMORY
async def test_other_programs(database: Any) -> None:
    """Where others have meta data, a document that lost its own is a sign of another program; a changed one is none."""
    await filled(database, range(10))
    await database[NAME].update_one({"_id": 3}, {"$unset": {"_lazymig": ""}})
    await database[NAME].update_many({"_id": {"$in": [4, 5]}}, {"$set": {"n": 9}})
    diagnosis = await diagnosed(database)
    assert not diagnosis.blocked
    lost, changed = of(diagnosis, "direct writers")
    assert (lost.severity, lost.ids) == (Severity.WARNING, (3,))
    assert "unset V2's fields" in lost.advice
    assert (changed.severity, changed.ids) == (Severity.NOTE, (4, 5))
    assert "V1's fields of 2 of 9 documents" in changed.evidence
    kept = of(await diagnosed(database, migration=keeping()), "direct writers")[1]
    assert (kept.severity, "what only V2 holds is lost" in kept.evidence) == (Severity.WARNING, True)


def shouting(v1: ThingV1) -> ThingV2:
    """V1 to V2, with another value in what both share."""
    return ThingV2(v1.id, v1.n, v1.code and v1.code.upper())


def whispering(v2: ThingV2) -> ThingV1:
    """V2 to V1, the other way round."""
    return ThingV1(v2.id, v2.count, v2.code and v2.code.lower())


@MEMORY
async def test_a_conversion_that_changes_what_both_share(database: Any) -> None:
    """What would be a dead letter each is named before, with the field and the remedy."""
    await put(database, range(7))
    await put(database, range(7, 10), code="c")
    migration = whole_things(upgrade=shouting, downgrade=whispering)
    found = only(await diagnosed(database, migration=migration), "shared fields")
    assert (found.severity, found.ids) == (Severity.BLOCKS, (7, 8, 9))
    assert found.evidence.startswith("the conversion of 3 of 10 documents gives 'code' a value")
    assert not (await diagnosed(database, migration=evolve(migration, v2_within="profile"))).blocked


@frozen
class TextV1:
    """A text."""

    id: int
    text: str


@frozen
class TextV2:
    """A text under another name."""

    id: int
    body: str


def texts() -> Migration[TextV1, TextV2]:
    """The migration whose V2 part is as large as V1's."""
    return Migration(
        name="texts",
        v1=TextV1,
        v2=TextV2,
        upgrade=lambda v1: TextV2(v1.id, v1.text),
        downgrade=lambda v2: TextV1(v2.id, v2.body),
    )


async def test_sizes_of_both_parts_together(server_database: Any) -> None:
    """What one document cannot hold twice blocks, what nearly fills it is a warning; the factor is of both parts."""
    sizes = [1_000] * 8 + [7_000_000, 8_500_000]
    await server_database[NAME].insert_many([{"_id": id, "text": "x" * size} for id, size in enumerate(sizes)])
    repo: Repository[TextV1, TextV2] = Repository.in_place(texts(), server_database[NAME], phase=Phase.SHADOW)
    diagnosis = await diagnosed(server_database, repo=repo)
    large, close, factor = of(diagnosis, "size")
    assert (large.severity, large.ids) == (Severity.BLOCKS, (9,))
    assert "second collection" in large.advice
    assert (close.severity, close.ids) == (Severity.WARNING, (8,))
    assert "documents with both parts have 2.0" in factor.evidence


@WITHIN
async def test_indexes_for_v2s_listings(server_database: Any, within: str | None) -> None:
    """An index that V2's listings lack is named by its path in the document; once it exists, it is not."""
    for number in range(5):
        await put(server_database, range(number * 5, number * 5 + 5), n=number)
    await server_database[NAME].create_index("n")
    await server_database[NAME].create_index("code")  # shared, so it serves both
    migration = whole_things(v2_within=within)
    path = "count" if within is None else "profile.count"
    found = of(await diagnosed(server_database, migration=migration), "indexes")
    assert [f'createIndex({{"{path}": 1}})' in one.advice for one in found if one.severity is not Severity.OK][:1] == [
        True
    ]
    await server_database[NAME].create_index(path)
    await server_database[NAME].drop_index("code_1")
    assert only(await diagnosed(server_database, migration=migration), "indexes").severity is Severity.OK


@WITHIN
async def test_unique_indexes_of_v2(server_database: Any, within: str | None) -> None:
    """A unique index that V2 parts would not fit into is named, with those that have the values of others."""
    await put(server_database, range(4))
    await put(server_database, [9], n=9)
    path = "count" if within is None else "profile.count"
    partial = {path: {"$exists": True}}
    await server_database[NAME].create_index(path, unique=True, partialFilterExpression=partial)
    found = only(await diagnosed(server_database, migration=whole_things(v2_within=within)), "unique indexes")
    assert (found.severity, found.ids) == (Severity.WARNING, (1, 2, 3))
    assert "both parts" in found.advice


@MEMORY
async def test_documents_that_do_not_convert(database: Any) -> None:
    """They block as in two collections, by their error and field."""
    await put(database, range(5))
    await put(database, [7], n=-1)
    await put(database, [8], n="x")
    diagnosis = await diagnosed(database)
    assert {one.ids for one in of(diagnosis, "conversion")} == {(7,), (8,)}
    assert diagnosis.blocked


async def test_what_the_first_use_checks(server_database: Any) -> None:
    """What would end the first call is found as well, and the control collection's place."""
    await put(server_database, range(3))
    await server_database[NAME].create_index("count", unique=True, sparse=True)
    await server_database.command("collMod", NAME, validator={"$jsonSchema": {"additionalProperties": False,
        "properties": {"_id": {}, "n": {}, "code": {}, "colour": {}}}})  # fmt: skip
    found = only(await diagnosed(server_database), "collections")
    assert (found.severity, "'_lazymig'" in found.advice) == (Severity.BLOCKS, True)


@MEMORY
async def test_v2_alone(database: Any) -> None:
    """Documents whose V2 part is the truth are not converted: V1's part is not kept."""
    await filled(database, range(3))
    alone = whole_repository(database, phase=Phase.V2_ONLY)
    await alone.update(1, lambda v2: evolve(v2, count=7))
    await database[NAME].update_one({"_id": 1}, {"$set": {"n": "old"}})
    diagnosis = await diagnosed(database, phase=Phase.V2_ONLY)
    assert not diagnosis.blocked
    assert only(diagnosis, "conversion").evidence == "2 documents convert"
    assert not of(diagnosis, "direct writers")


@MEMORY
async def test_the_check_of_a_release(database: Any) -> None:
    """`lazymig check` converts a sample there and back, and names what cannot stand in one document."""
    await put(database, range(5))
    await put(database, [7], n=-1)
    await put(database, [8], note="theirs")
    calls = calls_of(whole_repository(database))
    checked = await check_conversions(calls.ground, 100, lambda done, total: None)
    assert checked.examined == 7
    blocking = {one.check: one.ids for one in checked.findings if one.severity is Severity.BLOCKS}
    assert blocking == {"conversion": (7,), "taken fields": (8,)}
    assert not of(checked.findings, "direct writers")
