"""The doctor on a real server: each check is provoked by what it is there to find, and nothing is written."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from attrs import Factory, evolve, frozen
from bson import Decimal128, Int64
from pymongo import AsyncMongoClient
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

import lazymig
from lazymig import ConfigurationError, Control, Diagnosis, Doctor, Finding, Migration, Phase, Repository, Severity
from tests.people import TestClock
from tests.sweeps import ThingV1, ThingV2, moved, named_back, renamed, repository, stored, sweeper, thing, things

COUNT = 30


async def diagnosed(database: Any, *, sample: int | None = None, repo: Any = None, **options: Any) -> Diagnosis:
    """The diagnosis of a database's collections `v1` and `v2`; of all documents unless a sample is asked for."""
    return await Doctor(repo or repository(database, **options), sample=sample).run()


def of(diagnosis: Diagnosis, check: str) -> list[Finding]:
    """The findings of one check."""
    return [finding for finding in diagnosis.findings if finding.check == check]


def only(diagnosis: Diagnosis, check: str) -> Finding:
    """The only finding of one check."""
    (found,) = of(diagnosis, check)
    return found


async def filled(database: Any, *documents: dict[str, Any], count: int = COUNT) -> None:
    """V1 with some things without fault, and these documents."""
    await database["v1"].insert_many([*(thing(id, id) for id in range(count)), *documents])


@pytest.mark.parametrize("phase", [Phase.V1_ONLY, Phase.COEXIST])
async def test_nothing_blocks_a_good_migration(database: Any, phase: Phase) -> None:
    """A migration without fault is not blocked in any phase and on any driver; all its documents were examined."""
    await filled(database)
    diagnosis = await diagnosed(database, phase=phase)
    assert not diagnosis.blocked
    assert not [one for one in diagnosis.findings if one.severity is Severity.WARNING]
    assert (diagnosis.migration, diagnosis.examined, diagnosis.documents) == ("things", COUNT, COUNT)
    for check in ("conversion", "round trip", "determinism", "ids", "size", "collections"):
        assert only(diagnosis, check).severity is Severity.OK, check
    assert only(diagnosis, "topology").severity is Severity.NOTE  # a set of one, or in memory


async def test_it_writes_nothing(server_database: Any) -> None:
    """After a diagnosis both collections are as they were, and no other exists."""
    await filled(server_database, thing(-1, -1))
    before = await stored(server_database["v1"])
    assert (await diagnosed(server_database)).blocked
    assert await stored(server_database["v1"]) == before
    assert await server_database.list_collection_names() == ["v1"]


async def test_an_empty_database(database: Any) -> None:
    """Without any document nothing is said of documents, and nothing blocks."""
    diagnosis = await diagnosed(database)
    assert not diagnosis.blocked
    assert not of(diagnosis, "conversion")


@pytest.mark.parametrize(("sample", "examined"), [(0, 0), (7, 7), (COUNT, COUNT), (1000, COUNT), (None, COUNT)])
async def test_samples(database: Any, sample: int | None, examined: int) -> None:
    """As many documents are examined as were asked for, at most all; a progress is reported."""
    await filled(database)
    reported: list[tuple[int, int]] = []
    doctor = Doctor(repository(database), sample=sample, on_progress=lambda done, total: reported.append((done, total)))
    diagnosis = await doctor.run()
    # A random sample may name a document twice.
    assert (examined - 3 if sample == 7 else examined) <= diagnosis.examined <= examined
    assert bool(reported) == bool(examined)
    assert all(done <= total for done, total in reported)


def test_a_sample_is_a_number_of_documents(server_database: Any) -> None:
    """A negative sample is refused."""
    with pytest.raises(ConfigurationError, match="sample"):
        Doctor(repository(server_database), sample=-1)


async def test_documents_that_do_not_convert(database: Any) -> None:
    """They block, in one finding per error, field and line, with ids and without what the documents hold."""
    await filled(database, *(thing(100 + n, -n - 7777) for n in range(8)), thing("bad", "x7777"), thing("worse", None))
    diagnosis = await diagnosed(database)
    upgrade, *reads = of(diagnosis, "conversion")
    assert diagnosis.blocked
    assert upgrade.ids == (100, 101, 102, 103, 104)
    assert upgrade.evidence.startswith("8 of 40 documents do not convert: upgrade: ValueError at sweeps.py:")
    assert {id for one in reads for id in one.ids} == {"bad", "worse"}
    assert all("field n" in one.evidence for one in reads)
    assert "7777" not in repr(diagnosis)


async def test_what_python_cannot_hold(server_database: Any) -> None:
    """A document that the driver itself refuses is a finding with its id, and the others are examined."""
    from tests.damage import document, element, orders, text

    await server_database["v1"].insert_many([{"_id": id, "name": "x"} for id in range(3)])
    await server_database["v1"].insert_one(document({"_id": 9}, element(0x02, "name", text(b"a\xffb"))))
    diagnosis = await diagnosed(server_database, repo=orders(server_database))
    found = only(diagnosis, "conversion")
    assert (found.severity, found.ids) == (Severity.BLOCKS, (9,))
    assert "field name" in found.evidence
    assert diagnosis.examined == 4


async def test_documents_that_do_not_come_back(database: Any) -> None:
    """A downgrade that returns another value, type or nothing is named with the field and both types, and blocks."""
    await filled(database)
    longer = things(downgrade=lambda v2: ThingV1(v2.id, Int64(v2.count), v2.code))
    found = only(await diagnosed(database, migration=longer), "round trip")
    assert found.severity is Severity.BLOCKS
    assert "30 of 30" in found.evidence
    assert "field n: int32 becomes int64" in found.evidence
    other = things(downgrade=lambda v2: evolve(named_back(v2), n=v2.count + 1))
    assert "field n: another int32" in only(await diagnosed(database, migration=other), "round trip").evidence

    def broken(_v2: Any) -> Any:
        raise LookupError("7777")

    failing = only(await diagnosed(database, migration=things(downgrade=broken)), "round trip")
    assert failing.severity is Severity.BLOCKS
    assert "downgrade failed: LookupError" in failing.evidence
    assert "7777" not in failing.evidence


async def test_defaults_are_no_loss(database: Any) -> None:
    """Documents that lack a field with a default come back as they are: that is a note, not a broken law."""
    await database["v1"].insert_many([{"_id": id, "n": id} for id in range(COUNT)])
    found = of(await diagnosed(database), "round trip")
    assert [one.severity for one in found] == [Severity.NOTE, Severity.OK]
    assert "30 of 30 documents lack fields" in found[0].evidence


async def test_a_conversion_that_varies(database: Any) -> None:
    """An upgrade with another result each time is a warning that names the field."""
    await filled(database)
    numbers = itertools.count()

    def varying(v1: Any) -> Any:
        return evolve(things().upgrade(v1), note=f"made {next(numbers)}")

    found = only(await diagnosed(database, migration=things(upgrade=varying)), "determinism")
    assert found.severity is Severity.WARNING
    assert "field note: another string" in found.evidence
    assert len(found.ids) == 5


async def test_ids(server_database: Any) -> None:
    """Several types are a note, whole doubles too, and an id that no call accepts blocks."""
    await filled(server_database, thing("text"), thing(5000.0), thing({"a": 1}), thing(Decimal128("7.5")))
    found = of(await diagnosed(server_database), "ids")
    assert [one.severity for one in found] == [Severity.BLOCKS, Severity.BLOCKS, Severity.NOTE, Severity.NOTE]
    assert {repr(one.ids) for one in found[:2]} == {"({'a': 1},)", "(Decimal128('7.5'),)"}
    assert found[2].ids == (5000.0,)
    assert "int32 (30)" in found[3].evidence


@frozen
class Page:
    """A document with a large text."""

    id: int
    text: str
    seal: str = ""
    parts: list[dict[str, Any]] = Factory(list)


def pages(database: Any, **changed: Any) -> Repository[Page, Page]:
    """A migration of pages, by default without any change."""
    fields = {"name": "pages", "v1": Page, "v2": Page, "upgrade": lambda v1: v1, "downgrade": lambda v2: v2}
    migration: Migration[Page, Page] = Migration(**fields | changed)
    return Repository(migration, v1=database["v1"], v2=database["v2"], phase=Phase.COEXIST)


async def test_sizes(server_database: Any) -> None:
    """Documents that outgrow 16 MB block, those within 20 % of it are a warning, and the growth is reported."""
    sizes = {1: 3_400_000, 2: 4_500_000, 3: 100}
    await server_database["v1"].insert_many(
        [{"_id": id, "text": "x" * size, "seal": "", "parts": []} for id, size in sizes.items()]
    )
    grown = pages(
        server_database,
        upgrade=lambda v1: evolve(v1, text=v1.text * 4),
        downgrade=lambda v2: evolve(v2, text=v2.text[: len(v2.text) // 4]),
    )
    large, close, growth = of(await diagnosed(server_database, repo=grown), "size")
    assert (large.severity, large.ids) == (Severity.BLOCKS, (2,))
    assert (close.severity, close.ids) == (Severity.WARNING, (1,))
    assert "4 times" in growth.evidence
    assert "18,0" in growth.evidence


async def test_additive_changes(database: Any) -> None:
    """Where V2 is V1 with constants, or V1 itself, no migration is needed; a value that varies is no constant."""
    documents = [{"_id": id, "text": f"t{id}", "seal": "", "parts": [{"n": id}]} for id in range(COUNT)]
    await database["v1"].insert_many(documents)
    same = only(await diagnosed(database, repo=pages(database)), "additive")
    assert "V2 is what V1 is" in same.evidence

    def marked(v1: Page) -> Page:
        return evolve(v1, parts=[{**part, "unit": "kg"} for part in v1.parts])

    def unmarked(v2: Page) -> Page:
        return evolve(v2, parts=[{"n": part["n"]} for part in v2.parts])

    added = only(await diagnosed(database, repo=pages(database, upgrade=marked, downgrade=unmarked)), "additive")
    assert added.severity is Severity.NOTE
    assert "constant values of parts.unit" in added.evidence
    for change in (
        lambda v1: evolve(v1, parts=[{**part, "unit": part["n"]} for part in v1.parts]),
        lambda v1: evolve(v1, text=v1.text.upper()),
        lambda v1: evolve(v1, parts=[]),
    ):
        varied = pages(database, upgrade=change, downgrade=unmarked)
        assert of(await diagnosed(database, repo=varied), "additive") == []
    assert of(await diagnosed(database, repo=repository(database)), "additive") == []  # none of these converts


async def test_few_documents_say_nothing_of_constants(database: Any) -> None:
    """A value that is always the same in ten documents is not called a constant."""
    await database["v1"].insert_many([{"_id": id, "text": "t", "seal": "", "parts": []} for id in range(10)])
    assert of(await diagnosed(database, repo=pages(database)), "additive") == []


async def test_fields_that_no_class_knows(database: Any) -> None:
    """They are named with how often they occur; very many names are data, and are not listed."""
    await filled(database, thing(100, rare=1), thing(101, rare=2, secret=1))
    known = only(await diagnosed(database), "unknown fields")
    assert known.severity is Severity.NOTE
    assert known.evidence.endswith("colour (100 %), rare (6 %), 1 that occur in one document only")
    await database["v1"].insert_many([thing(200 + n, **{f"key{n}": 1}) for n in range(60)])
    assert "key7" not in only(await diagnosed(database), "unknown fields").evidence


async def test_missing_indexes(server_database: Any) -> None:
    """An index of V1 for which V2 has none is named by V2's field; what V2 has, in any direction, is not."""
    await filled(server_database, count=1)
    await server_database["v1"].insert_many([thing(100 + n, n, code=f"c{n // 2}") for n in range(COUNT)])
    for keys in ("n", "code", [("code", 1), ("n", -1)], "colour"):
        await server_database["v1"].create_index(keys)
    for _ in range(3):
        await server_database["v1"].find_one({"n": 5})
    by_name = {one.evidence: one for one in of(await diagnosed(server_database), "indexes")}
    assert len(by_name) == 4
    used = next(
        one for text, one in by_name.items() if text.startswith("V1 has an index on (n), used 3 times on the primary")
    )
    assert used.severity is Severity.WARNING
    assert "V2 has none on (count)" in used.evidence
    assert 'createIndex({"count": 1})' in used.advice
    assert [one.severity for text, one in by_name.items() if "used 0 times" in text] == [Severity.NOTE] * 3
    assert any("no field of V2 holds the values of colour" in text for text in by_name)
    await server_database["v2"].create_index([("count", -1), ("code", 1)])
    await server_database["v2"].create_index([("code", -1), ("count", 1)])
    (left,) = of(await diagnosed(server_database), "indexes")
    assert "colour" in left.evidence


async def test_an_index_that_omits_documents_serves_no_other(server_database: Any) -> None:
    """A partial or sparse index of V2 is not taken for a plain one of V1."""
    await server_database["v1"].insert_many([thing(n, n) for n in range(COUNT)])
    await server_database["v1"].create_index("n")
    await server_database["v2"].create_index("count", sparse=True)
    assert "V2 has none on (count)" in only(await diagnosed(server_database), "indexes").evidence
    await server_database["v2"].create_index([("count", 1), ("note", 1)])
    assert only(await diagnosed(server_database), "indexes").severity is Severity.OK


async def test_indexes_whose_field_is_computed(server_database: Any) -> None:
    """Where no field of V2 has the values, that is said; text indexes are left to a person."""
    await server_database["v1"].insert_many([thing(n, n + 7, code="same") for n in range(COUNT)])
    for keys in ("n", "missing", "code", [("code", "text")]):
        await server_database["v1"].create_index(keys)
    doubled = things(
        upgrade=lambda v1: evolve(things().upgrade(v1), count=v1.n * 2 + 1000, code=None, note="same"),
        downgrade=lambda v2: evolve(named_back(v2), n=(v2.count - 1000) // 2, code=v2.note),
    )
    texts = " | ".join(one.evidence for one in of(await diagnosed(server_database, migration=doubled), "indexes"))
    assert "no field of V2 holds the values of n" in texts
    assert "which field of V2 holds missing" in texts
    assert "which field of V2 holds code" in texts
    assert "a text or wildcard index" in texts


async def test_unique_indexes(server_database: Any) -> None:
    """Documents that V2's unique index would refuse are a warning with their ids; without any it is a note."""
    await server_database["v1"].insert_many([thing(n, n, code=f"c{n // 2 if n < 4 else n}") for n in range(COUNT)])
    await server_database["v2"].create_index(
        "code", unique=True, partialFilterExpression={"code": {"$exists": True}}, name="by_code"
    )
    found = only(await diagnosed(server_database), "unique indexes")
    assert (found.severity, found.ids) == (Severity.WARNING, (1, 3))
    assert "by_code on (code), and 2 of 30" in found.evidence
    await server_database["v1"].delete_many({"_id": {"$in": [1, 3]}})
    assert only(await diagnosed(server_database), "unique indexes").severity is Severity.NOTE
    await server_database["v2"].drop_index("by_code")
    await server_database["v2"].create_index("code", unique=True)  # in which announcements collide
    assert "collide" in only(await diagnosed(server_database), "collections").evidence


async def test_expiring_collections(server_database: Any) -> None:
    """A TTL index of V1 blocks; where each read compares both sides, it is a warning."""
    await filled(server_database)
    await server_database["v1"].create_index("at", expireAfterSeconds=10_000)
    blocked = await diagnosed(server_database)
    assert "TTL index" in only(blocked, "collections").evidence
    assert only(blocked, "collections").severity is Severity.BLOCKS
    compared = await diagnosed(server_database, checked=True)
    assert not compared.blocked
    assert of(compared, "TTL indexes")[0].severity is Severity.WARNING


async def test_a_view_is_not_examined(server_database: Any) -> None:
    """A view for V1 blocks, and its documents are not looked at."""
    await server_database["other"].insert_one(thing(1, -1))
    await server_database.create_collection("v1", viewOn="other", pipeline=[])
    diagnosis = await diagnosed(server_database)
    assert "a view" in only(diagnosis, "collections").evidence
    assert diagnosis.examined == 0


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
async def test_foreign_documents_block(database: Any) -> None:
    """Documents in V2 that lazymig did not store block, with how many were seen and what to do."""
    await filled(database)
    await database["v2"].insert_many([{"_id": id, "count": id} for id in range(2)])
    found = only(await diagnosed(database), "collections")
    assert found.severity is Severity.BLOCKS
    assert "seen: 2 of 2" in found.evidence
    assert "--adopt" in found.advice


async def test_a_control_collection_of_its_own(server_database: Any) -> None:
    """A control collection that is V2 itself blocks."""
    await filled(server_database)
    diagnosis = await Doctor(repository(server_database), control=Control(server_database["v2"])).run()
    assert only(diagnosis, "control collection").severity is Severity.BLOCKS


async def test_programs_that_replace_documents(database: Any) -> None:
    """A document that another program replaced has lost its revision: a warning with its id; else how to look."""
    await filled(database)
    repo = repository(database)
    assert "shows nothing" in only(await diagnosed(database), "direct writers").evidence.replace("show ", "shows ")
    for id in (1, 2, 3):
        await repo.update(id, lambda v2: evolve(v2, note="mine"))
    quiet = only(await diagnosed(database), "direct writers")
    assert quiet.severity is Severity.NOTE
    assert "3 entities" in quiet.evidence
    await database["v1"].replace_one({"_id": 2}, thing(2, 22))
    await database["v1"].update_one({"_id": 3}, {"$set": {"_lazymig_rev": 0}})
    dropped, behind = of(await diagnosed(database), "direct writers")
    assert (dropped.severity, dropped.ids) == (Severity.WARNING, (2,))
    assert "1 of 3" in dropped.evidence
    assert (behind.severity, behind.ids) == (Severity.WARNING, (3,))


async def test_revisions_are_not_compared_where_v1_is_stale(server_database: Any) -> None:
    """In `v2_only` V1 lacks V2's writes by design: no program is suspected, and none is looked for."""
    await filled(server_database, count=3)
    before, after = (repository(server_database, phase=phase) for phase in (Phase.COEXIST, Phase.V2_ONLY))
    for id in range(3):
        await before.update(id, lambda v2: evolve(v2, note="a"))
    await after.update(1, lambda v2: evolve(v2, note="b"))
    assert "lower revision" in only(await diagnosed(server_database, repo=before), "direct writers").evidence
    assert of(await diagnosed(server_database, repo=after), "direct writers") == []


async def test_classes_that_refuse_or_drop_the_revision(server_database: Any) -> None:
    """A pydantic class that forbids unknown fields is a warning: other programs that use it would fail."""
    from pydantic import BaseModel

    class Strict(BaseModel, extra="forbid"):
        id: int
        n: int

    class Loose(BaseModel):
        id: int
        n: int

    def migration(cls: Any) -> Any:
        return Migration(name="s", v1=cls, v2=Loose, upgrade=lambda v: Loose(id=v.id, n=v.n), downgrade=lambda v: v)

    for cls, severities in ((Strict, [Severity.WARNING]), (Loose, [])):
        repo = repository(server_database, migration=migration(cls))
        found = of(await diagnosed(server_database, repo=repo, sample=0), "direct writers")
        assert [one.severity for one in found] == severities


async def test_a_class_that_changed_without_a_new_revision(server_database: Any) -> None:
    """After a sweep with other classes, a release of the same revision blocks; with a new one it does not."""

    @frozen
    class Longer(ThingV1):
        size: int = 0

    await filled(server_database)
    assert only(await diagnosed(server_database), "revision").severity is Severity.NOTE
    await sweeper(server_database).run()
    assert only(await diagnosed(server_database), "revision").severity is Severity.OK
    changed = things(v1=Longer, downgrade=lambda v2: Longer(v2.id, v2.count, v2.code))
    found = only(await diagnosed(server_database, migration=changed), "revision")
    assert found.severity is Severity.BLOCKS
    assert "raise it" in found.advice
    raised = evolve(changed, revision=2)
    assert only(await diagnosed(server_database, migration=raised), "revision").severity is Severity.NOTE
    await sweeper(server_database, repo=repository(server_database, migration=raised)).run()
    older = only(await diagnosed(server_database), "revision")
    assert older.severity is Severity.BLOCKS
    assert "older" in older.evidence


async def test_two_clients(server_database: Any, lazymig_server: Any) -> None:
    """Collections of two clients on one server share no session."""
    async with AsyncMongoClient(lazymig_server.uri) as other:
        repo = repository(server_database, v2=other[server_database.name]["v2"])
        assert "two clients" in only(await diagnosed(server_database, repo=repo), "clusters").evidence
    assert only(await diagnosed(server_database), "clusters").severity is Severity.OK


async def test_the_clients_settings(server_database: Any, lazymig_server: Any) -> None:
    """The client's own settings are read from it: no retries, another preference."""
    async with AsyncMongoClient(lazymig_server.uri, retryWrites=False, readPreference="nearest") as other:
        database = other[server_database.name]
        found = of(await diagnosed(database), "concerns")
        plain = server_database["v1"].with_options(write_concern=WriteConcern(1), read_concern=ReadConcern("available"))
        own = of(await diagnosed(server_database, v1=plain), "concerns")
    assert [one.severity for one in found] == [Severity.WARNING, Severity.NOTE]
    assert all(one.evidence.startswith("v1 and v2: ") for one in found)
    assert ["available" in one.evidence for one in own] == [True, False]


async def test_a_wrong_clock_here(server_database: Any) -> None:
    """A machine whose clock is years behind the server's is warned."""
    found = await Doctor(repository(server_database), clock=TestClock()).run()
    assert only(found, "clocks").severity is Severity.WARNING
    assert only(await diagnosed(server_database), "clocks").severity is Severity.OK


async def test_entities_that_v2_has_already(server_database: Any) -> None:
    """A migration that is under way is diagnosed as one that has not begun."""
    await filled(server_database)
    await server_database["v2"].insert_many([moved(id, id) for id in range(5)])
    assert not (await diagnosed(server_database)).blocked


async def test_documents_of_several_versions(database: Any) -> None:
    """Documents of older versions are judged as their upcasters bring them up, and the version is a known field."""
    from tests.older import alone, buyers, document

    await database["v1"].insert_many([document(None if id < 5 else 1 + id % 3, id) for id in range(COUNT)])
    diagnosis = await diagnosed(database, migration=buyers())
    assert not diagnosis.blocked
    assert only(diagnosis, "round trip").severity is Severity.OK
    assert only(diagnosis, "unknown fields").evidence.endswith(": shoe (100 %)")
    lonely = Repository(alone(), v1=database["v1"], phase=Phase.V1_ONLY)
    diagnosis = await diagnosed(database, repo=lonely)
    assert only(diagnosis, "round trip").severity is Severity.OK
    assert "v2" not in repr(diagnosis).lower().replace("v2 document", "")  # there is none


async def test_documents_that_upgrade_gives_no_body(database: Any) -> None:
    """Those that wait and those that stay are noted with their ids, and no other check takes them for a fault."""

    def decide(v1: ThingV1) -> ThingV2 | lazymig.Leave:
        if v1.n == 0:
            return lazymig.LEAVE
        if v1.n == 1:
            raise lazymig.NotYet("no code")
        return renamed(v1)

    await filled(database)
    diagnosis = await diagnosed(database, migration=things(upgrade=decide))
    assert not diagnosis.blocked
    assert [(one.severity, one.evidence, one.ids) for one in of(diagnosis, "conversion")] == [
        (Severity.NOTE, "1 of 30 documents wait for their users, because upgrade raises NotYet", (1,)),
        (Severity.NOTE, "1 of 30 documents stay in V1, because upgrade returns LEAVE", (0,)),
    ]
    assert only(diagnosis, "round trip").severity is Severity.OK
